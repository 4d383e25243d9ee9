"""Which minted images are worth their place: by class, by parent, by what the judges said of them.

found = value(situation, val)             # `write` leaves it in RUN/value.json
found["groups"][1]                        # {"by": "class", "name": "Shirt", "images": 120, "value": …, "low": …, …}
found["parents"]["worst"][0]              # {"id": …, "file": …, "class": "Shirt", "images": 4, "value": …, …}

Measured by the exact Shapley value for a nearest-neighbour classifier on the encoder's features (measure/value.py) that
has the labels and the minted images: no training, and the groups of one kind add up. Judged on the validation slice;
where there is none, on the labelled images themselves, each without itself and its own children; on 2,000 at most.
"""

import json
from pathlib import Path
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from augmint.judge.material import Material
from augmint.judge.situation import Situation
from augmint.measure.value import by_groups
from augmint.seeding import permutation
from augmint.train import checkpoint

NEIGHBOURS = 5
QUARTERS = {"realness": "what D says", "agreement": "agreement of the classifier", "real_distance": "distance to real"}
NAMES = ("lowest quarter", "second quarter", "third quarter", "highest quarter")
EXTREMES = 5  # parents whose children are worth most, and least
MOST = 2000  # images to judge on: intervals then are narrow enough
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
    some = permutation(len(val) or len(own), situation.split.seed, "value")[:MOST].sort().values
    if len(val):
        queries, truth, skip = m.encoder.features(m.table.take(val[some])), m.table.labels[val[some]], None
    else:
        queries, truth = own[some], situation.labels[some]
        skip = situation.rows[some, None] == torch.cat([situation.rows, parents])
    rows, group = torch.unique(parents, return_inverse=True)
    kinds = [*_kinds(situation, kept), ("each parent", rows.tolist(), group)]
    groupings = [torch.cat([torch.full((len(own),), len(names)), of]) for _, names, of in kinds]  # labels come last
    worth = by_groups(features, labels, groupings, queries, truth, NEIGHBOURS, skip)
    *lines, last = (_lines(of, *each, len(queries)) for of, each in zip(groupings, worth, strict=True))
    found = []
    for (kind, names, _), told in zip(kinds[:-1], lines, strict=True):
        for name, line in zip([*names, "labels"], told, strict=True):
            if line["images"] and (name != "labels" or kind == "all"):
                found.append({"by": kind, "name": name, **line})
    on = "validation" if len(val) else "labels"
    facts = {"schema": 1, "neighbours": NEIGHBOURS, "judged": len(queries), "on": on}
    inherited = torch.empty_like(rows).index_put_((group,), table.labels)
    return {**facts, "groups": found, "parents": _extremes(m, rows, inherited, last)}


def _lines(groups: Tensor, worth: Tensor, error: Tensor, queries: int) -> list[dict[str, Any]]:
    """A line for each of `groups` int64 [N]."""
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, queries - 1)) * error
    numbers = torch.bincount(groups, minlength=len(worth)), worth, worth - half, worth + half
    each = zip(*(column.tolist() for column in numbers), strict=True)
    return [dict(zip(("images", "value", "low", "high"), line, strict=True)) for line in each]


def _extremes(m: Material, rows: Tensor, inherited: Tensor, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The parents (`rows` of the pool, with the labels that their children inherit and a line each) whose children are
    worth most, and least."""
    files, ids = (names[rows.numpy()].tolist() for names in (m.pool_table.paths, m.pool_table.ids))
    told = [
        {"id": id, "file": file, "class": m.table.classes[label], **line}
        for id, file, label, line in zip(ids, files, inherited.tolist(), lines, strict=False)
    ]
    told.sort(key=lambda line: float(line["value"]))
    few = min(EXTREMES, len(told) // 2)
    return {"of": len(told), "best": told[::-1][:few], "worst": told[:few]}


def write(situation: Situation, val: Tensor, folder: Path) -> None:
    """`value` as RUN/value.json."""
    checkpoint.atomic_write(folder / "value.json", json.dumps(value(situation, val), indent=1))


def _kinds(situation: Situation, kept: Tensor) -> list[tuple[str, list[Any], Tensor]]:
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
