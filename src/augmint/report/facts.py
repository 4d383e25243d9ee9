"""Everything the report says, as one dictionary that JSON can hold.

facts = collect(Path("runs/fashion"))
facts["verdict"][0]["sentence"]

Only stored files are read. A part that a run does not have (a stage switched off, no minted images, a
run that was stopped) is empty or None.
"""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from augmint.config import JudgeSettings
from augmint.judge.verdict import verdicts
from augmint.measure.intervals import share_interval
from augmint.report import mistakes, robustness
from augmint.report.answer import answer
from augmint.report.curves import curves
from augmint.report.evidence import SPLITS, Evidence, Trial, by_arm, read_parquet, summary
from augmint.report.limits import limits
from augmint.report.worth import worth

SCHEMA = 1
Facts = dict[str, Any]


def collect(folder: Path) -> Facts:
    """The facts of a run. InputError if `folder` is not the folder of a run."""
    folder = Path(folder)
    evidence = Evidence(folder)
    settings = evidence.settings
    facts: Facts = {
        "schema": SCHEMA,
        "name": folder.resolve().name,
        "settings": settings,
        "environment": _json(folder / "environment.json"),
        "data": _data(evidence),
        "leaks": list(_json(folder / "leaks.json").get("warnings", [])),
        "evaluation": _evaluation(evidence, settings),
        "verdict": _verdict(evidence, settings),
        "stages": _stages(folder),
        "views": _views(folder),
        "curves": curves(folder),
        "representation": _json(folder / "represent" / "summary.json"),
        "minted": _minted(folder, evidence.classes),
        "value": _json(folder / "value.json"),
        "final": _json(folder / "final" / "final.json"),
        "measures": _json(folder / "measures" / "measures.json"),
    }
    facts["answer"] = _answer(evidence, settings, facts["verdict"])
    facts["arms"] = _arms(evidence, facts["stages"])
    facts["per_class"] = _per_class(evidence)
    facts["confusion"] = mistakes.confusion(evidence)
    facts["calibration"] = mistakes.calibration(evidence)
    facts["worth"] = worth(evidence)
    facts["robustness"] = robustness.robustness(evidence)
    facts["limits"] = limits(facts)
    return dict(_finite(facts))


def _json(path: Path) -> Facts:
    """A JSON file, {} if it is not there or broken."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _finite(value: Any) -> Any:
    """The same with None for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _judge_settings(settings: Facts) -> JudgeSettings:
    known = {k: v for k, v in settings.get("judge", {}).items() if k in JudgeSettings.model_fields}
    return JudgeSettings.model_validate(known)


def _data(evidence: Evidence) -> Facts:
    """How many images of each split and class there are."""
    labels, splits = evidence.manifest["label"], evidence.splits
    classes = [{"name": name, "train": 0, "val": 0, "test": 0} for name in evidence.classes]
    counts: dict[str, dict[str, int]] = {}
    for label, split in zip(labels, splits, strict=True):
        known = label is not None and label >= 0
        part = counts.setdefault(split, {"labelled": 0, "unlabelled": 0})
        part["labelled" if known else "unlabelled"] += 1
        if known:
            classes[label][split] = classes[label].get(split, 0) + 1
    ordered = {name: counts[name] for name in (*SPLITS, *counts) if name in counts}
    return {"images": len(labels), "splits": ordered, "classes": classes, "target": evidence.target}


def _evaluation(evidence: Evidence, settings: Facts) -> Facts:
    """How the arms were compared."""
    counted = evidence.counted
    roles = {t["role"] for t in counted}
    kind = "folds" if "fold" in roles else "draws" if roles else "none"
    return {
        "kind": kind,
        "units": len({(t["draw"], t["fold"]) for t in counted}),
        "labels_per_class": settings.get("labels_per_class"),
        "labels": sorted({t["n_train"] for t in counted}),
        "test_images": sorted({t["n_test"] for t in counted}),
        "encoder_seeds": sorted({t["encoder_seed"] for t in counted}),
        "unminted": evidence.unminted,
    }


def _verdict(evidence: Evidence, settings: Facts) -> list[Facts]:
    hits = evidence.hits if len(evidence.labels) else None
    trials = Counter(trial["arm"] for trial in evidence.counted)
    never = [arm for arm, count in evidence.unminted.items() if count == trials[arm]]
    found = verdicts(evidence.counted, _judge_settings(settings), hits, unminted=never)
    return [outcome.to_dict() for outcome in found]


def _answer(evidence: Evidence, settings: Facts, declared: list[Facts]) -> Facts:
    hits = evidence.hits if len(evidence.labels) else None
    return answer(evidence.counted, _judge_settings(settings), hits, declared)


def _arms(evidence: Evidence, stages: list[Facts]) -> list[Facts]:
    """The table: accuracy over trials; seconds of one trial, of the encoder and generator that it builds on, and of
    both: what one classifier of this arm costs from nothing; peak memory."""
    seeds = len({t["encoder_seed"] for t in evidence.counted}) or 1
    seconds = {s["stage"]: s["seconds"] / seeds for s in stages}
    rows, arms = [], by_arm(evidence.counted)
    for arm, trials in arms.items():
        shared = [s for s in needs(arm) if s in seconds]
        once, before = sum(t["seconds"] for t in trials) / len(trials), sum(seconds[s] for s in shared)
        worst = min(trials, key=lambda t: t["accuracy"])
        rows.append(
            {
                **summary(arm, [t["accuracy"] for t in trials]),
                "family": trials[0]["family"],
                "accuracies": [t["accuracy"] for t in trials],
                "worst_unit": max(worst["draw"], worst["fold"]),
                "seconds": once,
                "shared_seconds": before,
                "shared_stages": shared,
                "total_seconds": once + before,
                "peak_memory": max(t["peak_memory"] or 0 for t in trials),
            }
        )
    return rows


def needs(arm: str) -> list[str]:
    """The stages that an arm builds on, by its name."""
    family, _, rest = arm.partition("@")[0].partition("-")
    encoder = ["views", "represent"]
    if family == "encoder":
        return encoder + ["generate-feature"] * (rest == "minted")
    image = [*encoder, "generate-image"]
    return {"pseudo": encoder, "minted": image, "both": image}.get(rest, [])


def _per_class(evidence: Evidence) -> Facts:
    """Accuracy of each arm per class over all trials, with its interval."""
    arms: dict[str, list[Facts]] = {}
    if not len(evidence.labels):
        return {"classes": evidence.classes, "arms": arms}
    for arm, trials in by_arm(evidence.counted).items():
        arms[arm] = [_class_row(evidence, trials, c) for c in range(len(evidence.classes))]
    return {"classes": evidence.classes, "arms": arms}


def _class_row(evidence: Evidence, trials: list[Trial], label: int) -> Facts:
    """One class: hits of its images by draw (or fold), averaged over encoder seeds."""
    units: dict[tuple[int, int], list[NDArray[np.bool_]]] = {}
    images: set[int] = set()
    for trial in trials:
        rows = evidence.logits(trial)[1]
        mine = evidence.labels[rows] == label
        if mine.any():
            images.update(rows[mine].tolist())
            units.setdefault((trial["draw"], trial["fold"]), []).append(evidence.hits(trial)[mine])
    tables = [np.mean(of, axis=0) for of in units.values()]
    accuracy = float(np.concatenate(tables).mean()) if tables else None
    folds = trials[0]["role"] == "fold"
    ratio = float(np.mean([t["n_test"] / max(t["n_train"], 1) for t in trials])) if folds else 0.0
    low, high = share_interval(tables, len(images), ratio)
    return {"accuracy": accuracy, "low": low, "high": high, "images": len(images)}


def _stages(folder: Path) -> list[Facts]:
    """Seconds and peak memory of every stage in the order they ended; trials count as one."""
    found: dict[str, Facts] = {}
    paths = sorted((folder / "stages").rglob("done.json"), key=lambda p: p.stat().st_mtime)
    for path in paths:
        done = _json(path)
        name = path.relative_to(folder / "stages").parts[0]
        stage = found.setdefault(name, {"stage": name, "seconds": 0.0, "peak_memory": 0, "count": 0})
        stage["seconds"] += float(done.get("seconds") or 0.0)
        stage["peak_memory"] = max(stage["peak_memory"], int(done.get("peak_memory") or 0))
        stage["count"] += 1
    return list(found.values())


def _views(folder: Path) -> Facts | None:
    """The choice of `represent.views: auto`, None where the views were named."""
    return next((_json(path).get("choice") for path in (folder / "stages/views/choice").glob("*/done.json")), None)


def _minted(folder: Path, classes: list[str]) -> Facts | None:
    """What was drawn, kept and rejected, and how near the kept ones are to real images."""
    if not (folder / "minted" / "metadata.parquet").exists():
        return None
    rows = [row for name in ("minted", "minted-rejected") for row in _trail(folder / name / "metadata.parquet")]
    by_class: dict[str, dict[str, int]] = {}
    reasons: dict[str, int] = {}
    for row in rows:
        label = row.get("label")
        name = classes[label] if isinstance(label, int) and 0 <= label < len(classes) else str(label)
        reason = "kept" if row.get("kept") else str(row.get("reason") or "unknown")
        count = by_class.setdefault(name, {})
        count[reason] = count.get(reason, 0) + 1
        if reason != "kept":
            reasons[reason] = reasons.get(reason, 0) + 1
    gallery = gallery_facts(folder)
    return {
        "drawn": len(rows),
        "kept": sum(bool(r.get("kept")) for r in rows),
        "reasons": dict(sorted(reasons.items(), key=lambda item: -item[1])),
        "classes": by_class,
        "real_distances": gallery.get("real_distances"),
        "minted_distances": gallery.get("minted_distances"),
        "nearest_is_parent": gallery.get("nearest_is_parent"),
    }


def _trail(path: Path) -> list[Facts]:
    """The rows of one metadata file, [] without one."""
    if not path.exists():
        return []
    table = read_parquet(path)
    return list(table.select([c for c in ("label", "kept", "reason") if c in table.column_names]).to_pylist())


def gallery_facts(folder: Path) -> Facts:
    """The JSON in the header of minted/gallery.safetensors, {} without one."""
    try:
        with safe_open(folder / "minted" / "gallery.safetensors", framework="np") as file:
            content = json.loads((file.metadata() or {}).get("facts", "{}"))
    except (OSError, SafetensorError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
