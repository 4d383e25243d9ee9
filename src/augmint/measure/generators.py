"""Is a generator's sample new, varied and useful? Pure functions of features; each names what real images give.

    copying(to_train, held_out_to_train)      # {"nearer": 0.5, "copied": 0.05} for real images never seen
    apart(features, labels)                   # mean distance of two of one class
    apart(features, parents)                  # mean distance of two children of one parent

Distances of distributions are in distances.py. Features are float [N, D] of an encoder that shares nothing with the
generator and its discriminators; name it beside every number.
"""

import torch
from torch import Tensor

from augmint.errors import InputError
from augmint.seeding import torch_generator

QUANTILE = 0.05


def copying(minted: Tensor, held_out: Tensor, quantile: float = QUANTILE) -> dict[str, float]:
    """How much nearer than unseen real images the minted ones are to the training images.

    `minted` float [N] and `held_out` float [M] are distances to the nearest training image. "nearer": the chance that
    a minted image is nearer than a held-out one (ties half): 0.5 for real images, 1 for copies, the statistic of
    Meehan et al., "A non-parametric test to detect data-copying in generative models", AISTATS 2020. "copied": the
    share nearer than all but `quantile` of the held-out ones, which real images reach in `quantile` of cases.
    """
    if len(minted) == 0 or len(held_out) == 0:
        raise InputError("copying compares minted with held-out images; there is none of one of them")
    order = held_out.sort().values
    below = torch.searchsorted(order, minted.contiguous(), right=False)
    upto = torch.searchsorted(order, minted.contiguous(), right=True)
    further = len(order) - (below + upto).double() / 2
    limit = order.double().quantile(quantile)
    return {"nearer": float(further.mean() / len(order)), "copied": float((minted.double() < limit).double().mean())}


def apart(features: Tensor, groups: Tensor, seed: int = 0) -> float:
    """Mean distance of two rows of `features` float [N, D] that share a group (int64 [N]); nan if none do.

    Groups are parents (is the noise used?) or classes (is a class more than one image?). Every row is compared with one
    other of its group, drawn at random, so that a group counts as often as it has rows.
    """
    order = torch.randperm(len(groups), generator=torch_generator("measure/apart", seed))
    order = order[groups[order].argsort(stable=True)]
    sizes = torch.unique_consecutive(groups[order], return_counts=True)[1]
    size, start = sizes.repeat_interleave(sizes), (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    next_one = start + (torch.arange(len(order)) - start + 1) % size
    first, second = order[size > 1], order[next_one[size > 1]]
    return float((features[first].double() - features[second].double()).norm(dim=1).mean())
