"""What MixUp and CutMix share: partners, Beta-distributed shares, and targets and weights that go along."""

from functools import lru_cache

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

from augmint.data.table import Batch


@lru_cache(maxsize=32)
def _quantiles(alpha: float, device: torch.device) -> Tensor:
    """4,097 quantiles of Beta(alpha, alpha), at even steps of probability."""
    table = betaincinv(alpha, alpha, np.linspace(0.0, 1.0, 4097))
    return torch.from_numpy(table).float().to(device)


def beta(unit: Tensor, alpha: float) -> Tensor:
    """Uniform numbers [N] → Beta(alpha, alpha) [N], through its quantile function."""
    table = _quantiles(alpha, unit.device)
    place = unit * (len(table) - 1)
    below = place.long().clamp_(0, len(table) - 2)
    return torch.lerp(table[below], table[below + 1], place - below)


def mixed(batch: Batch, images: Tensor, share: Tensor, partner: Tensor) -> Batch:
    """The batch of `images` in which `share` [N] is the image's own and the rest its partner's.

    Loss = weight × cross-entropy stays share × (own loss) + (1 − share) × (partner's), each with its own weight:
    the weights are mixed, and the targets by weight. Without targets only the images are mixed.
    """
    if batch.targets is None and batch.weights is None:
        return Batch(images)
    weights = torch.ones_like(share) if batch.weights is None else batch.weights
    own, other = share * weights, (1 - share) * weights[partner]
    total = own + other
    targets = None
    if batch.targets is not None:
        part = torch.where(total > 0, own / total.clamp_min(1e-12), share)[:, None]
        targets = part * batch.targets + (1 - part) * batch.targets[partner]
    return Batch(images, targets, None if batch.weights is None else total)
