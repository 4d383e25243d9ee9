"""What a training image is worth to a nearest-neighbour classifier: its Shapley value, exactly and without training.

    values = knn_shapley(features, labels, queries, truth, k=5)            # float64 [Q, N]
    worth, error = by_groups(features, labels, [groups], queries, truth)[0]  # float64 [G] each

The value of an image is what its presence adds to the classifier's share of right neighbours, averaged over all
orders in which the training images might have come (Shapley 1953; for nearest neighbours in closed form: Jia et al.,
"Efficient task-specific data valuation for nearest neighbor algorithms", VLDB 2019, theorem 1). So the values of all
images add up to what the classifier reaches, and images that mislead have a negative one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from augmint.errors import InputError

CELLS = 2**22  # cells of a block: 32 MiB in float64


def knn_shapley(
    features: Tensor, labels: Tensor, queries: Tensor, truth: Tensor, k: int = 5, skip: Tensor | None = None
) -> Tensor:
    """float64 [Q, N]: the value of each of `features` [N, D] with `labels` int64 [N] for each of `queries` [Q, D],
    whose right class is `truth` int64 [Q]. A row adds up to the share of the k nearest of its class, 0 … 1.

    `skip` bool [Q, N]: images that a query must not see; they are worth nothing to it. InputError if shapes do not fit.
    """
    if len(features) != len(labels) or len(queries) != len(truth) or not len(features):
        raise InputError(
            f"{len(features)} images with {len(labels)} labels and {len(queries)} queries with {len(truth)}: give one "
            "label for each, and at least one image"
        )
    if k < 1:
        raise InputError(f"a classifier by {k} neighbours does not exist; ask for at least 1")
    far = torch.cdist(queries.double(), features.double())
    right = labels[None] == truth[:, None]
    if skip is not None:  # farther than all and of another class: nobody's vote
        far, right = far.masked_fill(skip, torch.inf), right & ~skip
    order = far.argsort(dim=1, stable=True)
    match = right.gather(1, order).double()
    count = len(features)
    place = torch.arange(1, count, dtype=torch.float64)  # of all but the farthest, counted from 1
    steps = (match[:, :-1] - match[:, 1:]) / k * torch.minimum(place, place.new_tensor(float(k))) / place
    last = match[:, -1:] * min(k, count) / (k * count)
    sorted_values = torch.cat([steps, last], 1).flip(1).cumsum(1).flip(1)
    return torch.empty_like(sorted_values).scatter_(1, order, sorted_values)


def by_groups(
    features: Tensor,
    labels: Tensor,
    groupings: Sequence[Tensor],
    queries: Tensor,
    truth: Tensor,
    k: int = 5,
    skip: Tensor | None = None,
) -> list[tuple[Tensor, Tensor]]:
    """For each way to group the images (int64 [N], 0 … G − 1) float64 [G] twice: what the images of a group are worth
    together, mean over the queries, and the standard error of that mean over queries."""
    sums = [torch.zeros(2, int(groups.max()) + 1, dtype=torch.float64) for groups in groupings]
    for rows in torch.split(torch.arange(len(queries)), max(1, CELLS // len(features))):
        hidden = None if skip is None else skip[rows]
        values = knn_shapley(features, labels, queries[rows], truth[rows], k, hidden)
        for groups, total in zip(groupings, sums, strict=True):
            each = torch.zeros(len(rows), total.shape[1], dtype=torch.float64).index_add_(1, groups, values)
            total += torch.stack([each.sum(0), each.square().sum(0)])
    count = len(queries)
    means = [(total / count).unbind() for total in sums]
    return [(mean, ((square - mean**2).clamp(min=0) / (count - 1)).sqrt()) for mean, square in means]
