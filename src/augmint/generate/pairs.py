"""Who is paired with whom: real pairs (an image and a near one) and mismatched real pairs (x_j⊥ of the article).

rows = neighbours(features, k=10)                          # int64 [N, 10], once
near = choose(rows[chosen], draws)                         # int64 [B], real pairs: (chosen, near)
far = opposite("semi_hard", features[chosen], draws)       # int64 [B], places in the batch
"""

import torch
from torch import Tensor

from augmint.errors import InputError, UsageError
from augmint.measure.knn import nearest
from augmint.seeding import Draws

OPPOSITES = ("generated", "uniform", "farthest", "semi_hard", "other")
NEAR, MIDDLE = 0.25, 0.6  # semi-hard: between these quantiles of the distances in the batch


def neighbours(features: Tensor, k: int) -> Tensor:
    """int64 [N, k]: the k nearest other rows of `features` [N, D] (fewer if there are fewer rows)."""
    if len(features) < 2:
        raise InputError(f"{len(features)} images are too few to train a generator; give at least 2")
    return nearest(features, features, min(k, len(features) - 1), exclude_self=True)[1]


def choose(rows: Tensor, draws: Draws) -> Tensor:
    """int64 [B]: one of each line of `rows` [B, k], at random."""
    pick = draws.integers("neighbour", rows.shape[1])
    return rows.gather(1, pick[:, None])[:, 0]


def wander(near: Tensor, rows: Tensor, hops: int, draws: Draws) -> Tensor:
    """int64 [B]: where `hops` steps from each of `rows` (int64 [B]) end, each to a random one of `near` [N, k]."""
    for hop in range(hops):
        rows = choose(near[rows], draws if hop == 0 else draws.fork(f"hop{hop}"))
    return rows


def opposite(name: str, features: Tensor, draws: Draws, groups: Tensor | None = None) -> Tensor | None:
    """int64 [B]: for each row of `features` [B, D] the place in the batch of a real image not to be paired with it.

    "uniform": any other, as the article draws it; "farthest": as it describes it; "semi_hard": not so near
    that it could be of the same class, and not so far that D learns nothing from it (after Schroff et al.,
    FaceNet, CVPR 2015); "other": any of another class or cluster, as `groups` int64 [B] say (any other image where all
    are of one). "generated": None, D sees no mismatched pairs. UsageError lists the names.
    """
    if name not in OPPOSITES:
        raise UsageError(f"farthest {name}: there is no such choice; choose one of {', '.join(OPPOSITES)}")
    count = len(features)
    if name == "generated" or count < 2:
        return None
    if name == "uniform":
        here = torch.arange(count, device=features.device)
        return (here + 1 + draws.integers("opposite", count - 1)) % count
    if name == "other":
        return _of_another(groups, draws, count)
    order = torch.cdist(features, features).argsort(1)
    if name == "farthest":
        return order[:, -1]
    first, last = max(1, int(NEAR * count)), max(2, int(MIDDLE * count))
    pick = draws.integers("opposite", last, low=first)
    return order.gather(1, pick[:, None])[:, 0]


def _of_another(groups: Tensor | None, draws: Draws, count: int) -> Tensor:
    """int64 [B]: a random place of the batch whose group is another one; never the own place."""
    if groups is None:
        raise UsageError("farthest=other needs groups: classes or clusters")
    same = groups[:, None] == groups[None]
    lots = draws.uniform("opposite", count)  # the highest lot wins; another group outbids the own one
    itself = torch.eye(count, dtype=torch.bool, device=groups.device)
    return (lots - same.float() - itself.float()).argmax(1)
