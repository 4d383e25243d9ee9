"""The pictures of a minting for the report: families, classes, ways, most and least believed, copies, rejected ones.

    tensors, facts = gallery(minted, pool, generator)  # stored as minted/gallery.safetensors, facts in its header

Families, classes and rejected ones are spread over parents, classes and reasons and otherwise picked at random, not by
score; the neighbours are the nearest pairs among the kept, so the worst case is on show.
"""

from typing import Any

import torch
from torch import Tensor

from augmint.data.table import ImageTable
from augmint.generate.image import ImageGenerator
from augmint.generate.ways import along_noise, between_parents
from augmint.mint.filters import ranks
from augmint.mint.images import Minted
from augmint.mint.thresholds import quantiles
from augmint.seeding import Draws, permutation

FAMILIES, CHILDREN, PAIRS, REJECTED = 24, 10, 24, 48
CLASSES, OF_CLASS = 25, 10
WAYS, STEPS = 6, 9
BELIEVED = 10
JUDGES = ("realness", "agreement")  # the discriminators, the independent classifier


def spread(keys: Tensor, limit: int) -> Tensor:
    """int64: up to `limit` places of `keys` (int64 [N]), every key in turn, then every key's second, …"""
    return torch.sort(ranks(keys), stable=True).indices[:limit]


def rejected_places(minted: Minted, limit: int) -> Tensor:
    """int64: up to `limit` rejected candidates, every reason in turn, otherwise at random."""
    rows = torch.nonzero(~minted.kept)[:, 0]
    rows = rows[permutation(len(rows), minted.seed, "mint/rejected")]
    names = {reason: i for i, reason in enumerate(sorted(set(minted.reason)))}
    return rows[spread(torch.tensor([names[minted.reason[i]] for i in rows.tolist()], dtype=torch.int64), limit)]


def families(minted: Minted) -> tuple[Tensor, Tensor]:
    """Places of the kept children, int64 [K, J], and of the parents in the pool, int64 [K].

    J is the largest number, up to 10, that every class with kept children can show.
    """
    kept = torch.nonzero(minted.kept)[:, 0]
    parents, inverse = torch.unique(minted.parent_rows[kept], return_inverse=True)
    counts = torch.bincount(inverse, minlength=len(parents))
    if len(parents) == 0:
        return torch.zeros((0, 0), dtype=torch.int64), parents
    classes = torch.empty_like(parents)
    classes[inverse] = minted.table.labels[kept]
    most = min(int(counts[classes == c].max()) for c in set(classes.tolist()))
    number = min(most, CHILDREN)
    enough = torch.nonzero(counts >= number)[:, 0]
    enough = enough[permutation(len(enough), minted.seed, "mint/gallery")]
    chosen = enough[spread(classes[enough], FAMILIES)]
    chosen = chosen[torch.sort(classes[chosen], stable=True).indices]
    children = [kept[inverse == parent][:number] for parent in chosen]
    return torch.stack(children), parents[chosen]


def by_class(minted: Minted) -> Tensor:
    """int64: places of up to 10 of the kept of each class, at random, class by class."""
    kept = torch.nonzero(minted.kept)[:, 0]
    kept = kept[permutation(len(kept), minted.seed, "mint/classes")]
    labels = minted.table.labels[kept]
    kept = kept[(ranks(labels) < OF_CLASS) & torch.isin(labels, torch.unique(labels)[:CLASSES])]
    return kept[torch.sort(minted.table.labels[kept], stable=True).indices]


def couples(minted: Minted) -> tuple[Tensor, list[int]]:
    """Two parents of one class with kept children, rows of the pool int64 [K, 2], and the class of each couple."""
    kept = torch.nonzero(minted.kept)[:, 0]
    kept = kept[permutation(len(kept), minted.seed, "mint/ways")]
    found: dict[int, list[int]] = {}
    for row, label in zip(minted.parent_rows[kept].tolist(), minted.table.labels[kept].tolist(), strict=True):
        if row not in found.setdefault(label, []):
            found[label].append(row)
    labels = sorted(label for label, rows in found.items() if len(rows) > 1)[:WAYS]
    return torch.tensor([found[label][:2] for label in labels], dtype=torch.int64).view(-1, 2), labels


def ways(
    minted: Minted, pool: ImageTable, generator: ImageGenerator | None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What the generator makes along the noise of a parent, and between two parents of a class."""
    rows, labels = couples(minted)
    if generator is None or len(rows) == 0:
        return {}, {}
    ends = pool.gather(rows.flatten(), "cpu").view(*rows.shape, *pool.shape)
    draws = [Draws(minted.seed, "mint/ways", step, rows[:, 0]) for step in range(2)]
    tensors = {
        "way_parents": ends,
        "noise_ways": along_noise(generator, ends[:, 0], (draws[0], draws[1]), STEPS),
        "parent_ways": between_parents(generator, ends[:, 0], ends[:, 1], draws[0], STEPS),
    }
    return tensors, {"way_classes": [minted.table.classes[label] for label in labels]}


def extremes(scores: Tensor) -> dict[str, Tensor]:
    """Places of the highest and of the lowest of `scores` [N], the outermost first; what is not finite has none."""
    there = torch.nonzero(scores.isfinite())[:, 0]
    order = there[torch.sort(scores[there], descending=True, stable=True).indices]
    return {"most": order[:BELIEVED], "least": order.flip(0)[:BELIEVED]}


def believed(minted: Minted) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Of all candidates those that a judge believes most and least, with score and what became of them."""
    tensors, facts = {}, {}
    for name in JUDGES:
        scores = minted.scores[name]
        for end, places in extremes(scores).items():
            tensors[f"{name}_{end}"] = minted.table.gather(places)
            facts[f"{name}_{end}"] = [[float(scores[i]), minted.reason[i] or "kept"] for i in places.tolist()]
    return tensors, facts


def gallery(
    minted: Minted, pool: ImageTable, generator: ImageGenerator | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (uint8 images) and the facts that go with them, as the report reads them; ways if there is a
    `generator`."""
    children, parents = families(minted)
    kept = torch.nonzero(minted.kept)[:, 0]
    distances = minted.scores["real_distance"][kept]
    closest = kept[torch.sort(distances, stable=True).indices[:PAIRS]]
    rejected = rejected_places(minted, REJECTED)
    table, shape, own_class = minted.table, pool.shape, by_class(minted)
    (steps, way_facts), (extreme, extreme_facts) = ways(minted, pool, generator), believed(minted)
    tensors = {
        "parents": pool.gather(parents, "cpu"),
        "children": table.gather(children.flatten()).view(*children.shape, *shape),
        "copies_minted": table.gather(closest),
        "copies_real": pool.gather(minted.nearest_rows[closest], "cpu"),
        "copies_distance": minted.scores["real_distance"][closest],
        "rejected": table.gather(rejected),
        "by_class": table.gather(own_class),
        **steps,
        **extreme,
    }
    labels = [int(table.labels[row[0]]) for row in children]
    own = minted.parent_rows[kept] == minted.nearest_rows[kept]
    facts = {
        **way_facts,
        "class_names": [table.classes[label] for label in table.labels[own_class].tolist()],
        "believed": extreme_facts,
        "parent_classes": [table.classes[label] for label in labels],
        "rejected_reasons": [minted.reason[i] for i in rejected.tolist()],
        "counts": minted.counts(),
        "real_distances": minted.thresholds.real_distances,
        "minted_distances": quantiles(distances),
        "nearest_is_parent": float(own.float().mean()) if len(kept) else None,
        "thresholds": minted.thresholds.to_dict(),
    }
    return {name: tensor.contiguous() for name, tensor in tensors.items()}, facts
