"""The operations that RandAugment, TrivialAugment and AugMix choose from, each image with its own.

    images = apply(images, kind, level)      # kind int64 [N] into NAMES, level float32 [N] in −1 … 1

The size of `level` is the strength (1 = the widest setting of RandAugment), its sign the direction, where
an operation has one. Images are sorted by kind and worked on as slices: a loop over operations, not images.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from augmint.augment import colour, geometry


@dataclass(frozen=True)
class Ranges:
    """What level 1 means. Defaults: RandAugment's, as torchvision has them."""

    shear: float = 0.3
    translate: float = 150 / 331  # of the side
    rotate: float = 30.0  # degrees
    enhance: float = 0.9  # brightness, colour, contrast, sharpness factors in 1 ± this
    posterize: float = 4.0  # bits taken away from 8
    solarize: float = 1.0  # how far the threshold comes down from 1


WIDE = Ranges(shear=0.99, rotate=135.0, enhance=0.99, posterize=6.0)  # TrivialAugment's

Operation = Callable[[Tensor, Tensor, Ranges], Tensor]


def _none(level: Tensor) -> Tensor:
    return torch.zeros_like(level)


OPERATIONS: dict[str, Operation] = {
    "identity": lambda x, level, r: x,
    "shear_x": lambda x, level, r: geometry.affine(x, geometry.shearing(level * r.shear)),
    "shear_y": lambda x, level, r: geometry.affine(x, geometry.shearing(_none(level), level * r.shear)),
    "translate_x": lambda x, level, r: geometry.shift(x, (level * r.translate * x.shape[3]).round(), _none(level)),
    "translate_y": lambda x, level, r: geometry.shift(x, _none(level), (level * r.translate * x.shape[2]).round()),
    "rotate": lambda x, level, r: geometry.affine(x, geometry.rotation(level * r.rotate)),
    "brightness": lambda x, level, r: colour.brightness(x, 1 + level * r.enhance),
    "saturation": lambda x, level, r: colour.saturation(x, 1 + level * r.enhance),
    "contrast": lambda x, level, r: colour.contrast(x, 1 + level * r.enhance),
    "sharpness": lambda x, level, r: colour.sharpness(x, 1 + level * r.enhance),
    "posterize": lambda x, level, r: colour.posterize(x, 8 - (level.abs() * r.posterize).round()),
    "solarize": lambda x, level, r: colour.solarize(x, 1 - level.abs() * r.solarize),
    "autocontrast": lambda x, level, r: colour.autocontrast(x),
    "equalize": lambda x, level, r: colour.equalize(x),
}
NAMES = tuple(OPERATIONS)


def apply(
    images: Tensor, kind: Tensor, level: Tensor, ranges: Ranges = Ranges(), names: tuple[str, ...] = NAMES
) -> Tensor:
    """Image i undergoes operation names[kind[i]] at level[i]."""
    sorting = kind.argsort(stable=True)
    sizes = torch.bincount(kind, minlength=len(names)).tolist()
    parts = torch.split(images.index_select(0, sorting), sizes)
    levels = torch.split(level[sorting], sizes)
    done = [
        OPERATIONS[name](part, strength, ranges) if len(part) else part
        for name, part, strength in zip(names, parts, levels, strict=True)
    ]
    return torch.empty_like(images).index_copy_(0, sorting, torch.cat(done))
