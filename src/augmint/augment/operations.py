"""The operations that RandAugment, TrivialAugment and AugMix choose from, each image with its own.

    images = apply(images, kind, level)      # kind int64 [N] into NAMES, level float32 [N] in −1 … 1

The size of `level` is the strength (1 = the widest setting of RandAugment), its sign the direction, where
an operation has one. With a C compiler on a CPU one kernel takes them image by image (native.py); else they are sorted
by kind and worked on as slices: a loop over operations, not images.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from augmint.augment import colour, geometry, native


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


@dataclass(frozen=True)
class Operation:
    """`amount`: levels [N], ranges, (height, width) → what they mean [N]; `change`: images, amounts → images."""

    amount: Callable[[Tensor, Ranges, tuple[int, int]], Tensor]
    change: Callable[[Tensor, Tensor], Tensor]


def _enhanced(level: Tensor, ranges: Ranges, size: tuple[int, int]) -> Tensor:
    return 1 + level * ranges.enhance


def _any(level: Tensor, ranges: Ranges, size: tuple[int, int]) -> Tensor:
    return level


def _shifted(axis: int) -> Callable[[Tensor, Ranges, tuple[int, int]], Tensor]:
    return lambda level, ranges, size: (level * ranges.translate * size[axis]).round()


# In the order of kernels.c. Amounts: slopes, whole pixels, degrees, factors, bits and a threshold.
OPERATIONS: dict[str, Operation] = {
    "identity": Operation(_any, lambda x, _: x),
    "shear_x": Operation(lambda v, r, _: v * r.shear, lambda x, by: geometry.affine(x, geometry.shearing(by))),
    "shear_y": Operation(
        lambda v, r, _: v * r.shear, lambda x, by: geometry.affine(x, geometry.shearing(torch.zeros_like(by), by))
    ),
    "translate_x": Operation(_shifted(1), lambda x, by: geometry.shift(x, by, torch.zeros_like(by))),
    "translate_y": Operation(_shifted(0), lambda x, by: geometry.shift(x, torch.zeros_like(by), by)),
    "rotate": Operation(lambda v, r, _: v * r.rotate, lambda x, by: geometry.affine(x, geometry.rotation(by))),
    "brightness": Operation(_enhanced, colour.brightness),
    "saturation": Operation(_enhanced, colour.saturation),
    "contrast": Operation(_enhanced, colour.contrast),
    "sharpness": Operation(_enhanced, colour.sharpness),
    "posterize": Operation(lambda v, r, _: 8 - (v.abs() * r.posterize).round(), colour.posterize),
    "solarize": Operation(lambda v, r, _: 1 - v.abs() * r.solarize, colour.solarize),
    "autocontrast": Operation(_any, lambda x, _: colour.autocontrast(x)),
    "equalize": Operation(_any, lambda x, _: colour.equalize(x)),
}
NAMES = tuple(OPERATIONS)


def apply(
    images: Tensor, kind: Tensor, level: Tensor, ranges: Ranges = Ranges(), names: tuple[str, ...] = NAMES
) -> Tensor:
    """Image i undergoes operation names[kind[i]] at level[i]."""
    chosen = [OPERATIONS[name] for name in names]
    size = (images.shape[2], images.shape[3])
    sorting = kind.argsort(stable=True)
    counts = torch.bincount(kind, minlength=len(names)).tolist()
    levels = torch.split(level[sorting], counts)
    amounts = [operation.amount(part, ranges, size) for operation, part in zip(chosen, levels, strict=True)]
    if native.usable(images):
        codes = torch.tensor([NAMES.index(name) for name in names])
        return native.operate(images, codes[kind], torch.empty_like(level).index_copy_(0, sorting, torch.cat(amounts)))
    parts = torch.split(images.index_select(0, sorting), counts)
    done = [
        operation.change(part, amount) if len(part) else part
        for operation, part, amount in zip(chosen, parts, amounts, strict=True)
    ]
    return torch.empty_like(images).index_copy_(0, sorting, torch.cat(done))
