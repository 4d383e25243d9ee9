"""Which minted images are worth their place: by class, by parent, by what the judges said of them.

found = value(situation, val)             # `write` leaves it in RUN/value.json
found["groups"][1]                        # {"by": "class", "name": "Shirt", "images": 120, "value": …, "low": …, …}
found["parents"]["worst"][0]              # {"id": …, "file": …, "class": "Shirt", "images": 4, "value": …, …}

Measured by the exact Shapley value for a nearest-neighbour classifier on the encoder's features (measure/value.py) that
has the labels and the minted images: no training, and the groups of one kind add up. Judged on the validation slice;
where there is none, on the labelled images themselves, each without itself and its own children.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from augmint.judge.material import Material
from augmint.judge.situation import Situation
from augmint.measure.value import by_group
from augmint.train import checkpoint

Lines = Callable[[Tensor, int], list[dict[str, Any]]]  # group of each kept image, how many → a line each, then labels
NEIGHBOURS = 5
QUARTERS = {"realness": "what D says", "agreement": "agreement of the classifier", "real_distance": "distance to real"}
NAMES = ("lowest quarter", "second quarter", "third quarter", "highest quarter")
EXTREMES = 5  # parents whose children are worth most, and least
LEAST = 8  # images to judge on, and minted ones to be cut into quarters
CONFIDENCE = 0.95


def value(situation: Situation, val: Tensor) -> dict[str, Any]:
    """The groups of the kept images with their value in accuracy (0 … 1) and its interval over the images judged on;
    {} if nothing was kept or too few images can judge. `val`: rows of the table outside the pool; those count that have
    a label."""
    m, minted = situation.material, situation.minted
    val = val[m.table.labels[val] >= 0]
    val = val if len(val) >= LEAST else val[:0]
    kept = torch.nonzero(minted.kept)[:, 0]
    if m.encoder is None or not len(kept) or max(len(val), len(situation.rows)) < LEAST:
        return {}
    table, parents = minted.table.take(kept), minted.parent_rows[kept]
    own = m.features[situation.rows]
    features = torch.cat([own, m.encoder.features(table)])
    labels = torch.cat([situation.labels, table.labels])
    queries, truth, skip = own, situation.labels, None
    if len(val):
        queries, truth = m.encoder.features(m.table.take(val)), m.table.labels[val]
    else:
        source = torch.cat([situation.rows, parents])
        skip = situation.rows[:, None] == source[None]

    def lines(group: Tensor, count: int) -> list[dict[str, Any]]:
        groups = torch.cat([torch.full((len(own),), count), group])  # the labels themselves come last
        worth, error = by_group(features, labels, groups, queries, truth, NEIGHBOURS, skip)
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(queries) - 1)) * error
        numbers = torch.bincount(groups, minlength=count + 1), worth, worth - half, worth + half
        each = zip(*(column.tolist() for column in numbers), strict=True)
        return [dict(zip(("images", "value", "low", "high"), line, strict=True)) for line in each]

    found = []
    for kind, names, group in _kinds(situation, kept):
        for name, line in zip([*names, "labels"], lines(group, len(names)), strict=True):
            if line["images"] and (name != "labels" or kind == "all"):
                found.append({"by": kind, "name": name, **line})
    on = "validation" if len(val) else "labels"
    facts = {"schema": 1, "neighbours": NEIGHBOURS, "judged": len(queries), "on": on}
    return {**facts, "groups": found, "parents": _extremes(m, parents, table.labels, lines)}


def _extremes(m: Material, parents: Tensor, labels: Tensor, lines: Lines) -> dict[str, Any]:
    """The parents whose children are worth most, and least; `parents` and inherited `labels` of the kept images."""
    rows, group = torch.unique(parents, return_inverse=True)
    inherited = torch.empty_like(rows).index_put_((group,), labels)
    files, ids = (names[rows.numpy()].tolist() for names in (m.pool_table.paths, m.pool_table.ids))
    told = [
        {"id": id, "file": file, "class": m.table.classes[label], **line}
        for id, file, label, line in zip(ids, files, inherited.tolist(), lines(group, len(rows)), strict=False)
    ]
    told.sort(key=lambda line: float(line["value"]))
    few = min(EXTREMES, len(told) // 2)
    return {"of": len(told), "best": told[::-1][:few], "worst": told[:few]}


def write(situation: Situation, val: Tensor, folder: Path) -> None:
    """`value` as RUN/value.json."""
    checkpoint.atomic_write(folder / "value.json", json.dumps(value(situation, val), indent=1))


def _kinds(situation: Situation, kept: Tensor) -> list[tuple[str, list[str], Tensor]]:
    """(kind, names of its groups, int64 group of each kept image)."""
    minted, classes = situation.minted, list(situation.material.table.classes)
    labelled = torch.isin(minted.parent_rows[kept], situation.rows)
    found = [
        ("all", ["minted"], torch.zeros(len(kept), dtype=torch.int64)),
        ("class", classes, minted.table.labels[kept]),
        ("parent", ["labelled", "unlabelled, label propagated"], (~labelled).long()),
    ]
    if len(kept) >= LEAST:
        for name, title in QUARTERS.items():
            scores = minted.scores[name][kept]
            edges = torch.quantile(scores.double(), torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64))
            found.append((title, list(NAMES), torch.bucketize(scores.double(), edges)))
    return found
