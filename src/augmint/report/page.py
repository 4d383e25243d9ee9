"""The report as one self-contained HTML page, written from stored files alone.

path = write(Path("runs/fashion"))     # runs/fashion/report/index.html, and report.json beside it
"""

import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from augmint.report import figures, words
from augmint.report.encoder import health, worth
from augmint.report.facts import Facts, collect
from augmint.report.pictures import Gallery, Picture, film, nearest_pairs, seen
from augmint.train.checkpoint import atomic_write

HERE = Path(__file__).parent
SQUARE = 25  # classes; a larger confusion matrix cannot be read
CLASSES = 40  # rows of the table of classes; the hardest are shown
WORDS = (
    "label trials percent spread duration memory tally number measure_name caution".split()
)  # that the template calls
SECTIONS = {
    "arms": "All arms",
    "draws": "Draw by draw",
    "worth": "Worth in labels",
    "limits": "Limits",
    "classes": "Per class",
    "confusion": "Confusions",
    "calibration": "Calibration",
    "robustness": "Robustness",
    "encoder": "What the encoder sees",
    "minted": "Minted images",
    "ways": "Interpolations",
    "believed": "Most and least believed",
    "copies": "Copies?",
    "generator": "Generator",
    "rejected": "Rejected",
    "value": "Worth, by group",
    "curves": "Curves",
    "cost": "Cost",
    "data": "Data",
    "settings": "Settings",
}


def write(folder: Path) -> Path:
    """Write report/report.json and report/index.html of a run; returns the page's path.

    InputError if `folder` is not a run or cannot be written to.
    """
    folder = Path(folder)
    facts = collect(folder)
    page = folder / "report" / "index.html"
    atomic_write(page.with_name("report.json"), json.dumps(facts, indent=1, allow_nan=False))
    strip = film(folder, facts["settings"].get("seed", 0))
    atomic_write(page, html(facts, Gallery.read(folder), strip, seen(folder), nearest_pairs(folder)))
    return page


def html(
    facts: Facts,
    gallery: Gallery | None = None,
    strip: Picture | None = None,
    encoder: Mapping[str, Picture] = MappingProxyType({}),
    nearest: Picture | None = None,
) -> str:
    """The page of these facts; pictures of minted images, of the generator's training and of what the encoder sees."""
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
    names = WORDS
    environment.globals.update({name: getattr(words, name) for name in names} | {"worth": worth, "health": health})
    template, context = environment.get_template("page.html.jinja"), _context(facts, gallery)
    context |= {"strip": strip, "encoder": encoder, "nearest": nearest}
    text = template.render(**context, sections=[])
    present = [(name, title) for name, title in SECTIONS.items() if f'<section id="{name}"' in text]
    return template.render(**context, sections=present)


def _context(facts: Facts, gallery: Gallery | None) -> dict[str, Any]:
    judge = facts["settings"].get("judge", {})
    source = facts["settings"].get("data_source") or ""
    return {
        "facts": facts,
        "gallery": gallery,
        "css": Markup((HERE / "page.css").read_text()),
        "signs": words.SIGNS,
        "stages": words.STAGES,
        "believed": words.BELIEVED,
        "setting": words.setting(facts),
        "source": f"{source}: " if source else "",
        "families": [
            (words.FAMILIES.get(name, name), list(rows))
            for name, rows in groupby(facts["arms"], key=lambda row: row["family"])
        ],
        "figures": _figures(facts),
        "heat": _heat(facts),
        "confused": _confused(facts),
        "robust": _robust(facts),
        "confidence": f"{100 * judge.get('confidence', 0.95):g}",
        "equivalence": f"{100 * judge.get('equivalence', 0.005):g}",
        "labels": ", ".join(f"{n:,}" for n in facts["evaluation"]["labels"]),
        "machine": _machine(facts["environment"]),
        "settings_text": yaml.safe_dump(facts["settings"], sort_keys=False),
    }


def _machine(environment: Facts) -> str:
    """'x86_64, 2 threads' or the GPU's name."""
    if not environment:
        return ""
    gpus = ", ".join(environment.get("gpus") or [])
    return gpus or f"{environment.get('machine', 'unknown')}, {environment.get('threads', '?')} threads, no GPU"


def _figures(facts: Facts) -> dict[str, Any]:
    minted = facts["minted"] or {}
    real, own = minted.get("real_distances"), minted.get("minted_distances")
    copies = figures.copy_distances(real, own) if real and own else ""
    return {
        "accuracies": Markup(figures.accuracies(facts)),
        "paired": Markup(figures.paired(facts)),
        "cost": Markup(figures.cost(facts)),
        "worth": Markup(figures.label_efficiency(facts["worth"].get("arms", {}))),
        "scratch": Markup(figures.scratch_curves(facts)),
        "labels": Markup(figures.label_counts(facts)),
        "copies": Markup(copies),
        "stages": [
            (stage, Markup(figures.stage_curves(stage, metrics)))
            for stage, metrics in facts["curves"]["stages"].items()
            if metrics and not stage.startswith("views/")  # short trials, of which the scores are shown
        ],
    }


def _heat(facts: Facts) -> dict[str, Any] | None:
    """The table of classes: rows by class, a coloured cell an arm."""
    arms = {arm: cells for arm, cells in facts["per_class"]["arms"].items() if cells}
    values = [c["accuracy"] for cells in arms.values() for c in cells if c["accuracy"] is not None]
    if not values:
        return None
    names, low, high = facts["per_class"]["classes"], min(values), max(values)
    rows = [
        {
            "name": name,
            "cells": [_cell(cells[i], low, high) for cells in arms.values()],
            "images": max(cells[i]["images"] for cells in arms.values()),
            "mean": sum(cells[i]["accuracy"] or 0.0 for cells in arms.values()),
        }
        for i, name in enumerate(names)
    ]
    shown = rows if len(rows) <= CLASSES else sorted(rows, key=lambda row: row["mean"])[:CLASSES]
    return {"arms": [words.label(a) for a in arms], "rows": shown, "hidden": len(rows) - len(shown)}


def _confused(facts: Facts) -> dict[str, Any] | None:
    """The confusion matrix of the most accurate arm, as a table of shares; None with too many classes for one."""
    means = {arm["arm"]: arm["mean"] for arm in facts["arms"]}
    matrices, classes = facts["confusion"]["arms"], facts["per_class"]["classes"]
    if not matrices or len(classes) > SQUARE:
        return None
    best = max(matrices, key=lambda arm: means[arm])
    rows = [
        {"name": name, "cells": [_share(n, sum(counts)) for n in counts]}
        for name, counts in zip(classes, matrices[best], strict=True)
    ]
    return {"label": words.label(best), "classes": classes, "rows": rows}


def _robust(facts: Facts) -> dict[str, Any] | None:
    """The table of images made worse: rows by arm, a coloured cell a kind; its five strengths show on hovering."""
    arms = facts["robustness"].get("arms", {})
    if not arms:
        return None
    kinds = list(next(iter(arms.values()))["kinds"])
    means = {
        arm: {kind: sum(row["kinds"][kind]) / len(row["kinds"][kind]) for kind in kinds} for arm, row in arms.items()
    }
    values = [value for row in means.values() for value in row.values()]
    low, high = min(values), max(max(values), max(row["clean"] for row in arms.values()))
    rows = [
        {
            "name": words.label(arm),
            "clean": words.percent(row["clean"]),
            "cells": [
                {
                    "text": words.percent(means[arm][kind]),
                    "style": _shade((means[arm][kind] - low) / max(high - low, 1e-9)),
                    "title": "by strength: " + ", ".join(words.percent(v) for v in row["kinds"][kind]),
                }
                for kind in kinds
            ],
            "mean": words.percent(row["mean"]),
            "std": row["std"],
            "worst": f"{words.percent(row['worst'])} ({row['worst_at'][0]} {row['worst_at'][1]})",
        }
        for arm, row in arms.items()
    ]
    return {"kinds": kinds, "rows": rows}


def _share(count: int, images: int) -> dict[str, str]:
    """One cell of it: empty where nothing was taken for that."""
    if not count:
        return {"text": "", "style": "", "title": "none"}
    share = count / images
    text = f"{100 * share:.0f}" if share >= 0.005 else "<1"
    return {"text": text, "style": _shade(share), "title": f"{count:,} of {images:,}"}


def _shade(place: float) -> str:
    """Blue of this strength, 0 … 1, under ink that can be read on it."""
    red, green, blue, _ = (round(255 * v) for v in matplotlib.colormaps["Blues"](0.05 + 0.85 * place))
    ink = "#000" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#fff"
    return f"background:rgb({red},{green},{blue});color:{ink}"


def _cell(cell: Facts, low: float, high: float) -> dict[str, str]:
    """Text, colours and interval of one cell."""
    if cell["accuracy"] is None:
        return {"text": "–", "style": "", "title": "no test image"}
    return {
        "text": words.percent(cell["accuracy"]),
        "style": _shade((cell["accuracy"] - low) / max(high - low, 1e-9)),
        "title": f"{words.percent(cell['low'])} to {words.percent(cell['high'])}",
    }
