"""CutMix (Yun et al. 2019): a box of each image is replaced by a partner's; the target is mixed by area."""

import torch
from torch import Tensor

from augmint.augment.batches import Augment, as_float
from augmint.augment.mixing import beta, mixed
from augmint.data.table import Batch
from augmint.seeding import Draws


def build(strength: float = 1.0, *, alpha: float = 1.0) -> Augment:
    """Box areas from Beta(a, a), a = alpha × strength, centres uniform, cut at the border (as published)."""

    def augment(batch: Batch, draws: Draws) -> Batch:
        images = as_float(batch.images)
        if strength * alpha == 0:
            return Batch(images, batch.targets, batch.weights)
        unit = draws.uniform("box", 3)
        side = (1 - beta(unit[:, 0], alpha * strength)).sqrt()
        rows, columns = (_inside(unit[:, 1 + i], side, images.shape[2 + i]) for i in (0, 1))
        partner = draws.permutation("partner")
        hole = rows[:, None, :, None] & columns[:, None, None, :]
        both = torch.where(hole, images.index_select(0, partner), images)
        share = 1 - rows.float().mean(1) * columns.float().mean(1)
        return mixed(batch, both, share, partner)

    return augment


def _inside(centre: Tensor, side: Tensor, size: int) -> Tensor:
    """bool [N, size]: which pixels of one axis lie in the box, centre and side in parts of that axis."""
    pixels = (torch.arange(size, device=side.device) + 0.5) / size
    return (pixels - centre[:, None]).abs() < side[:, None] / 2
