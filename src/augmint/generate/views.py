"""What D gets to see of images: a small change, the same for all images of a row, differentiable.

    images, near, parents = together([images, near, parents], draws)
    images, = together([images], draws, window=(20, 20))     # of 28 × 28: windows of 20 to 28 pixels, made smaller

D's overfitting is put off without G learning the change (Zhao et al., "Differentiable augmentation for
data-efficient GAN training", NeurIPS 2020). A shift or a window is two small matrix products, whose gradient is as
cheap. Where D stands on the encoder a parent's features are those of the whole image: only candidates are changed.
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


def _cut(start: Tensor, length: Tensor, side: int, out: int) -> Tensor:
    """float [N, out, side]: matrices that cut `length` pixels from `start` on and make them `out`, smoothed (bilinear,
    the triangle as wide as the step, as `interpolate` with antialias does)."""
    step = (length / out)[:, None, None]
    pixels, cells = torch.arange(side, device=start.device), torch.arange(out, device=start.device)[:, None]
    centre = start[:, None, None] + (cells + 0.5) * step
    weights = (1 - (pixels + 0.5 - centre).abs() / step.clamp_min(1)).clamp_min(0)
    return weights / weights.sum(2, keepdim=True)


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


def together(
    images: Sequence[Tensor],
    draws: Draws,
    strength: float = 1.0,
    chance: float = 1.0,
    window: tuple[int, int] | None = None,
) -> list[Tensor]:
    """Each of `images`, float [N, C, H, W], shifted and lightened by the same draw per row. Strength 0: unchanged.
    With `chance` below 1 a row is left as it is otherwise.

    `window` [h, w]: of each a random part, from h × w pixels to all of them, made h × w; all of them where a row is
    left as it is."""
    size = (images[0].shape[2], images[0].shape[3])
    window = None if window == size else window
    if strength <= 0 and window is None:
        return list(images)
    down, right = (round(strength * SHIFT * side) for side in size)
    shown = draws.chance("shown", chance).long() if chance < 1 else 1
    rows = _selection(draws.integers("down", down + 1, low=-down) * shown, size[0])
    columns = _selection(draws.integers("right", right + 1, low=-right) * shown, size[1])
    light = draws.uniform("light", low=1 - strength * LIGHT, high=1 + strength * LIGHT)
    light = (light if chance >= 1 else torch.where(draws.chance("shown", chance), light, 1.0))[:, None, None, None]
    with torch.autocast(rows.device.type, enabled=False):
        if window is not None:
            left_out = (1 - draws.uniform("part")) * shown * (strength > 0)  # 1: the smallest window, 0: all
            places = draws.uniform("top"), draws.uniform("left")
            rows, columns = (
                _cut(place * left_out * (side - out), side - left_out * (side - out), side, out) @ shift
                for place, side, out, shift in zip(places, size, window, (rows, columns), strict=True)
            )
        return [(rows[:, None] @ part.float() @ columns[:, None].transpose(2, 3)) * light for part in images]
