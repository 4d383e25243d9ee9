"""What D gets to see of images: the same small change for a candidate and its anchor, differentiable.

    images, parents = together([images, parents], draws)

D's overfitting is put off without G learning the change (Zhao et al., "Differentiable augmentation for
data-efficient GAN training", NeurIPS 2020). A shift is two small matrix products, whose gradient is as cheap.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from augmint.seeding import Draws

SHIFT = 1 / 10  # of the side
LIGHT = 0.1


def _selection(offset: Tensor, side: int) -> Tensor:
    """float [N, side, side]: matrices that move by whole pixels, the border repeated."""
    wanted = (torch.arange(side, device=offset.device) + offset[:, None]).clamp(0, side - 1)
    return torch.nn.functional.one_hot(wanted, side).float()


def together(images: Sequence[Tensor], draws: Draws, strength: float = 1.0) -> list[Tensor]:
    """Each of `images`, float [N, C, H, W], shifted and lightened by the same draw per row. Strength 0: unchanged."""
    if strength <= 0:
        return list(images)
    height, width = images[0].shape[2:]
    down, right = (round(strength * SHIFT * side) for side in (height, width))
    rows = _selection(draws.integers("down", down + 1, low=-down), height)[:, None]
    columns = _selection(draws.integers("right", right + 1, low=-right), width)[:, None].transpose(2, 3)
    light = draws.uniform("light", low=1 - strength * LIGHT, high=1 + strength * LIGHT)[:, None, None, None]
    with torch.autocast(rows.device.type, enabled=False):
        return [(rows @ part.float() @ columns) * light for part in images]
