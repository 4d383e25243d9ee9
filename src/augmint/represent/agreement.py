"""How well features tell what other features of the same images tell: a measure without labels.

    scores = readable({"simclr": features, "gentle": others, …}, seed=0)     # per image, 0 … 1

Every representation is cut into pseudo-classes by k-means; the neighbours in each representation then vote on the
pseudo-classes of all the others. What differently trained networks agree on is in the images rather than in one
network: features that know it are read from best (the idea of an independent pretext: Reed et al., "SelfAugment",
CVPR 2021; agreement instead of rotations, because many images have no way up).
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from augmint.measure.knn import nearest
from augmint.seeding import permutation

CLUSTERS = 20  # pseudo-classes
STARTS = 3  # k-means from so many starts, each a task of its own
VOTERS = 10  # neighbours that vote


def clusters(features: Tensor, count: int, *key: object, steps: int = 20) -> Tensor:
    """int64 [N]: k-means of features [N, D] from `count` rows drawn by `key` (Lloyd's algorithm)."""
    centres = features[permutation(len(features), "clusters", *key)[:count].to(features.device)]
    for step in range(steps + 1):
        chosen = (2 * features @ centres.T - centres.square().sum(1)).argmax(1)
        if step < steps:
            sizes = torch.bincount(chosen, minlength=len(centres))
            means = torch.zeros_like(centres).index_add_(0, chosen, features) / sizes.clamp_min(1)[:, None]
            centres = torch.where(sizes[:, None] > 0, means, centres)
    return chosen


def votes(neighbours: Tensor, classes: Tensor, count: int) -> Tensor:
    """int64 [N]: the class that most of the neighbours [N, K] have; ties go to the lower."""
    return F.one_hot(classes[neighbours], count).sum(1).argmax(1)


def readable(features: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """For each name how well its neighbours tell the others' pseudo-classes, per image, float32 [N], about 0 … 1.

    `features` float32 [N, D] by name, of the same N images in the same order; at least 3 names and 2 images. Nobody
    reads its own pseudo-classes, so each is asked other questions, some easier than others: the score is the reader's
    effect in the two-way additive model hit[reader, task] = reader + task, fitted by least squares.
    """
    size = len(next(iter(features.values())))
    count = min(CLUSTERS, max(2, size // 10))
    tasks = [[clusters(f, count, seed, start) for start in range(STARTS)] for f in features.values()]
    hits = torch.zeros(len(tasks), len(tasks), size)
    for reader, own in enumerate(features.values()):
        _, neighbours = nearest(own, own, min(VOTERS, size - 1), exclude_self=True)
        for other, task in enumerate(tasks):
            if other != reader:
                right = [votes(neighbours, classes, count) == classes for classes in task]
                hits[reader, other] = torch.stack(right).float().mean(0)
    return dict(zip(features, _effects(hits), strict=True))


def _effects(hits: Tensor) -> Tensor:
    """Effects of the rows, [n, N], in hits [n, n, N] without their diagonals (0); on average the mean of all cells."""
    n = len(hits)
    rows, columns = hits.sum(1) / (n - 1), hits.sum(0) / (n - 1)
    mean = rows.mean(0)
    return mean + (n - 1) ** 2 / (n * (n - 2)) * (rows - mean + (columns - mean) / (n - 1))
