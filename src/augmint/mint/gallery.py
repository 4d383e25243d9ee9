"""The pictures of a minting for the report: families, nearest real neighbours, rejected ones.

    tensors, facts = gallery(minted, pool)             # stored as minted/gallery.safetensors, facts in its header

Families and rejected ones are spread over classes and reasons and otherwise picked at random, not by score;
the neighbours are the nearest pairs among the kept, so the worst case is on show.
"""

from typing import Any

import torch
from torch import Tensor

from augmint.data.table import ImageTable
from augmint.mint.filters import ranks
from augmint.mint.images import Minted
from augmint.mint.thresholds import quantiles
from augmint.seeding import permutation

FAMILIES, CHILDREN, PAIRS, REJECTED = 24, 10, 24, 48


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


def gallery(minted: Minted, pool: ImageTable) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (uint8 images) and the facts that go with them, as the report reads them."""
    children, parents = families(minted)
    kept = torch.nonzero(minted.kept)[:, 0]
    distances = minted.scores["real_distance"][kept]
    closest = kept[torch.sort(distances, stable=True).indices[:PAIRS]]
    rejected = rejected_places(minted, REJECTED)
    table, shape = minted.table, pool.shape
    tensors = {
        "parents": pool.gather(parents, "cpu"),
        "children": table.gather(children.flatten()).view(*children.shape, *shape),
        "copies_minted": table.gather(closest),
        "copies_real": pool.gather(minted.nearest_rows[closest], "cpu"),
        "copies_distance": minted.scores["real_distance"][closest],
        "rejected": table.gather(rejected),
    }
    labels = [int(table.labels[row[0]]) for row in children]
    own = minted.parent_rows[kept] == minted.nearest_rows[kept]
    facts = {
        "parent_classes": [table.classes[label] for label in labels],
        "rejected_reasons": [minted.reason[i] for i in rejected.tolist()],
        "counts": minted.counts(),
        "real_distances": minted.thresholds.real_distances,
        "minted_distances": quantiles(distances),
        "nearest_is_parent": float(own.float().mean()) if len(kept) else None,
        "thresholds": minted.thresholds.to_dict(),
    }
    return {name: tensor.contiguous() for name, tensor in tensors.items()}, facts
