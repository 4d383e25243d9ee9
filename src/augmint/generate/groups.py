"""Which group a row belongs to, where the generator is told or mismatched pairs come from another one.

    groups = groups_of("cluster", features, labels, clusters=20, seed=0)      # int64 [N]

"cluster": k-means of the features, no label needed; "class": the labels, of which none may be missing.
"""

import torch
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor

from augmint import seeding
from augmint.errors import UsageError

NAMES = ("none", "cluster", "class")
BATCH = 4096


def groups_of(name: str, features: Tensor, labels: Tensor | None, clusters: int, seed: int) -> Tensor | None:
    """int64 [N], 0 … groups − 1, of `features` float [N, D]; None for "none". UsageError if a class is asked for and
    a label of `labels` int64 [N] is missing, or the name is unknown."""
    if name not in NAMES:
        raise UsageError(f"condition {name}: there is no such condition; choose one of {', '.join(NAMES)}")
    if name == "none":
        return None
    if name == "class":
        if labels is None or bool((labels < 0).any()):
            raise UsageError("condition=class needs the label of every image; use condition=cluster, which needs none")
        return labels.clone()
    means = MiniBatchKMeans(
        min(clusters, len(features)), batch_size=BATCH, n_init=3, random_state=seeding.key(seed, "clusters") % 2**31
    )
    return torch.from_numpy(means.fit_predict(features.float().cpu().numpy())).long()


def centres_of(groups: Tensor, features: Tensor) -> Tensor:
    """float [K, D]: the mean of each group's `features` [N, D]; inf for a group without rows: nearest to none."""
    count = int(groups.max()) + 1
    held = torch.bincount(groups, minlength=count)
    sums = torch.zeros(count, features.shape[1]).index_add_(0, groups, features.float())
    return torch.where(held[:, None] > 0, sums / held[:, None].clamp(min=1), torch.inf)


def one_hot(groups: Tensor, count: int) -> Tensor:
    """float [N, count]."""
    return torch.nn.functional.one_hot(groups, count).float()
