"""Which images to label first: typical ones, spread over everything that there is.

    picks = pick(encoder.features(pool), budget=40, labelled=rows, seed=0)
    picks.rows                                   # int64 [40], the most urgent first

The features are cut into as many clusters as there will be labels. From the largest cluster without a label the most
typical image is taken, then from the next, and so on (Hacohen, Dekel & Weinshall, "Active learning on a budget:
opposite strategies suit high and low budgets", ICML 2022: TypiClust). Typical means near to its neighbours; with few
labels an outlier teaches nothing. An image that is labelled already covers its cluster.
"""

from dataclasses import dataclass

import torch
from sklearn.cluster import KMeans
from torch import Tensor

from augmint.errors import InputError
from augmint.measure.knn import nearest
from augmint.seeding import key

NEIGHBOURS = 20
MOST_CLUSTERS = 500  # beyond, clusters give more than one image each
SMALLEST = 5  # a smaller cluster is an outlier's and comes last
FITTED = 50_000  # rows at most that the clusters are found from


@dataclass(frozen=True, eq=False)
class Picks:
    """Chosen rows of the features, the most urgent first; one entry each."""

    rows: Tensor  # int64
    cluster: Tensor  # int64, numbered from 0 by size, the largest first
    typicality: Tensor  # float32: 1 / mean distance to the nearest neighbours in the cluster


def pick(features: Tensor, budget: int, labelled: Tensor, seed: int) -> Picks:
    """`budget` rows of `features` float32 [N, D] to label, none of them in `labelled` (int64 rows).

    InputError if fewer than `budget` rows are without a label. The same seed gives the same rows.
    """
    free = torch.ones(len(features), dtype=torch.bool)
    free[labelled] = False
    left = int(free.sum())
    if budget > left:
        raise InputError(f"asked for {budget} images to label, but only {left:,} are unlabelled; ask for fewer")
    cluster = clusters(features, min(budget + len(labelled), MOST_CLUSTERS), seed)
    typical = typicality(features, cluster)
    sizes = torch.bincount(cluster)
    covered = torch.bincount(cluster[labelled], minlength=len(sizes))
    ranked = [_ranked(typical, (cluster == c) & free) for c in range(len(sizes))]
    rows: list[int] = []
    while len(rows) < budget:
        open_ = [c for c in range(len(sizes)) if ranked[c]]
        best = min(open_, key=lambda c: (int(covered[c]), int(sizes[c]) < SMALLEST, -int(sizes[c])))
        rows.append(ranked[best].pop())
        covered[best] += 1
    chosen = torch.tensor(rows, dtype=torch.int64)
    return Picks(chosen, cluster[chosen], typical[chosen])


def _ranked(typical: Tensor, allowed: Tensor) -> list[int]:
    """Allowed rows, the most typical last."""
    mine = torch.nonzero(allowed)[:, 0]
    return list(mine[typical[mine].argsort(stable=True)].tolist())


def clusters(features: Tensor, count: int, seed: int) -> Tensor:
    """int64 [N]: k-means cluster of each row, the largest is number 0. Fitted on at most 50,000 rows."""
    some = torch.linspace(0, len(features) - 1, min(len(features), FITTED)).round().long()
    count = min(count, len(torch.unique(features[some], dim=0)))
    model = KMeans(count, n_init=1, random_state=key(seed, "pick") % 2**32).fit(features[some].numpy())
    found = torch.from_numpy(model.predict(features.numpy())).long()
    order = torch.bincount(found, minlength=count).argsort(descending=True, stable=True)
    return order.argsort()[found]


def typicality(features: Tensor, cluster: Tensor) -> Tensor:
    """float32 [N]: one over the mean distance to the 20 nearest rows of the same cluster (their equation 1); 0 for a
    row that is alone."""
    found = torch.zeros(len(features))
    for c in torch.unique(cluster).tolist():
        mine = torch.nonzero(cluster == c)[:, 0]
        if len(mine) > 1:
            distance, _ = nearest(features[mine], features[mine], min(NEIGHBOURS, len(mine) - 1), exclude_self=True)
            found[mine] = 1 / distance.float().mean(1).clamp_min(1e-6)
    return found
