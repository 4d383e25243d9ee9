"""Weak augmentation, FixMatch's (Sohn et al. 2020): a shift by up to an eighth of each side, and a flip.

What the shift brings in is black for grey images (signs and things on black) and a reflection for RGB.
"""

from torch import Tensor

from augmint.augment.batches import Augment, default_flip, on_images
from augmint.augment.geometry import shift
from augmint.seeding import Draws


def build(strength: float = 1.0, *, flip: bool | None = None, reach: float = 0.125) -> Augment:
    """Whole-pixel shifts up to `reach` × strength of each side; `flip` by default for RGB only."""

    def change(images: Tensor, draws: Draws) -> Tensor:
        height, width = images.shape[2:]
        unit = draws.uniform("weak", 3)
        right, down = (
            ((2 * unit[:, i] - 1) * (min(reach * strength, 1.0) * size + 0.5)).round()
            for i, size in ((0, width), (1, height))
        )
        if strength == 0:
            return images
        mirrored = unit[:, 2] < 0.5 if default_flip(flip, images) else None
        return shift(images, right, down, mirrored, "zeros" if images.shape[1] == 1 else "reflection")

    return on_images(change)
