"""What D gets to see of images: a small change, the same for all images of a row, differentiable.

    images, near, parents = together([images, near, parents], draws)

Where D sees with the encoder its anchors are the stored features of parents as they are: only candidates, generated and
real, are changed.

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


class Adaptive:
    """The chance that an image is changed before D sees it: it rises while D is surer of real images than `target`, the
    mean sign of its logits, and falls otherwise (Karras et al., "Training generative adversarial networks with limited
    data", NeurIPS 2020, section 3.1, r_t). From 0 to 1 in `images` images."""

    MOST = 0.8  # beyond, G learns the change itself (their section 2.2)

    def __init__(self, target: float, images: int) -> None:
        self.target, self.images, self.chance = target, images, 0.0

    def heed(self, sign: float, count: int) -> None:
        """D's step on `count` real images gave their logits this mean sign, −1 … 1."""
        step = count / self.images if sign > self.target else -count / self.images
        self.chance = min(max(self.chance + step, 0.0), self.MOST)

    def state_dict(self) -> dict[str, float]:
        return {"chance": self.chance}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.chance = float(state["chance"])


def together(images: Sequence[Tensor], draws: Draws, strength: float = 1.0, chance: float = 1.0) -> list[Tensor]:
    """Each of `images`, float [N, C, H, W], shifted and lightened by the same draw per row. Strength 0: unchanged.
    With `chance` below 1 a row is left as it is otherwise."""
    if strength <= 0:
        return list(images)
    height, width = images[0].shape[2:]
    down, right = (round(strength * SHIFT * side) for side in (height, width))
    shown = draws.chance("shown", chance).long() if chance < 1 else 1
    rows = _selection(draws.integers("down", down + 1, low=-down) * shown, height)[:, None]
    columns = _selection(draws.integers("right", right + 1, low=-right) * shown, width)[:, None].transpose(2, 3)
    light = draws.uniform("light", low=1 - strength * LIGHT, high=1 + strength * LIGHT)
    light = (light if chance >= 1 else torch.where(draws.chance("shown", chance), light, 1.0))[:, None, None, None]
    with torch.autocast(rows.device.type, enabled=False):
        return [(rows @ part.float() @ columns) * light for part in images]
