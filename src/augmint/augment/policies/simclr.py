"""The standard contrastive views: crop, flip, colour jitter, grey, blur (Chen et al. 2020, appendix A).

Crop, flip and blur are one step here, before the colours: a blur commutes with all of them but the clamping.
"""

import math

import torch
from torch import Tensor

from augmint.augment.batches import Augment, Numbered, Size, as_float, between, default_flip, random_boxes
from augmint.augment.colour import grey_, jitter_
from augmint.augment.geometry import crop


def build(
    strength: float = 1.0,
    *,
    area: float | None = None,
    flip: bool | None = None,
    colour: float = 0.4,
    hue: float = 0.1,
    blur: float = 0.5,
    size: Size | None = None,
) -> Augment:
    """`strength` scales crop, jitter and every chance. Default for images up to 64 pixels: CIFAR's setting.

    area    smallest crop, part of the image; default 0.2 up to 64 pixels, 0.08 above.
    colour  brightness, contrast and saturation factors in 1 ± colour, with chance 0.8; `hue` turns of the circle.
    blur    chance of a blur whose sigma is 0.1 … max(0.5, side / 112) pixels (2 at 224, as published).
    size    height and width of the views; default that of the images, as always at strength 0.
    """
    spread, turn = min(colour * strength, 1.0), min(hue * strength, 0.5)
    chance = min(strength, 1.0)

    def change(images: Tensor, unit: Tensor) -> Tensor:
        if strength == 0:
            return as_float(images)
        views = _place(images, unit, chance, smallest(images), default_flip(flip, images), blur, size)
        jittered = unit[:, 7] < 0.8 * chance
        factors = torch.where(jittered[:, None], between(unit[:, 8:11], 1 - spread, 1 + spread), 1.0)
        turns = torch.where(jittered, between(unit[:, 11], -turn, turn), 0.0)
        views = jitter_(views, factors[:, 0], factors[:, 1], factors[:, 2], turns, unit[:, 12:16].argsort(1))
        return grey_(views, unit[:, 16] < 0.2 * chance)

    def smallest(images: Tensor) -> float:
        published = 0.2 if max(images.shape[2:]) <= 64 else 0.08
        return max(1 - strength * (1 - (published if area is None else area)), 0.01)

    return Numbered("simclr", 17, change)


def _place(
    images: Tensor, unit: Tensor, chance: float, area: float, flip: bool, blur: float, size: Size | None
) -> Tensor:
    """Crop, flip and blur at once."""
    height, width = images.shape[2:]
    box = random_boxes(unit[:, :4], (area, 1.0), 4 / 3, height, width)
    mirrored = unit[:, 4] < 0.5 * chance if flip else None
    widest = max(0.5, max(size or (height, width)) / 112)
    sigma = torch.where(unit[:, 5] < blur * chance, between(unit[:, 6], 0.1, widest), 0.0)
    return crop(images, box, mirrored, sigma if blur else None, radius=math.ceil(3 * widest - 0.5), size=size)
