"""TrivialAugment, wide (Müller & Hutter 2021): one operation for each image, at a magnitude drawn uniformly.

Translation stays at RandAugment's 45 % of the side; the published 32 pixels would empty a small image.
"""

from torch import Tensor

from augmint.augment.batches import Augment, on_images
from augmint.augment.operations import NAMES, WIDE, apply
from augmint.seeding import Draws


def build(strength: float = 1.0) -> Augment:
    """`strength` scales the widest magnitude, up to 1."""

    def change(images: Tensor, draws: Draws) -> Tensor:
        if strength == 0:
            return images
        unit = draws.uniform("trivialaugment", 2)
        kind = (unit[:, 0] * len(NAMES)).long()
        return apply(images, kind, (2 * unit[:, 1] - 1) * min(strength, 1.0), WIDE)

    return on_images(change)
