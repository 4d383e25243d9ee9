"""RandAugment (Cubuk et al. 2020): `count` operations, drawn uniformly, at one magnitude.

The fourteen operations and their ranges are torchvision's (magnitude 9 of 30 at strength 1).
"""

from torch import Tensor

from augmint.augment.batches import Augment, on_images
from augmint.augment.operations import NAMES, apply
from augmint.seeding import Draws


def build(strength: float = 1.0, *, count: int = 2, magnitude: float = 9.0) -> Augment:
    """`magnitude` × strength of 30, at most 30, for each of `count` operations; signs are random."""
    level = min(magnitude * strength / 30, 1.0)

    def change(images: Tensor, draws: Draws) -> Tensor:
        if strength == 0:
            return images
        unit = draws.uniform("randaugment", count, 2)
        for turn in range(count):
            kind = (unit[:, turn, 0] * len(NAMES)).long()
            sign = (unit[:, turn, 1] < 0.5).float() * 2 - 1
            images = apply(images, kind, sign * level)
        return images

    return on_images(change)
