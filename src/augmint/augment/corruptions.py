"""Test images made worse, each kind at five fixed strengths: what a classifier stands is measured on these.

    hard = corrupt(images, "noise", 4, Draws(seed, "corrupt", 0, rows))     # uint8 in, uint8 out

Sizes go by the side of the image, so that 8 and 32 pixels lose about as much. Every image has a draw of its own, keyed
by its row, and the same one at all five strengths: the same pattern of noise, the same scratches, the same way round.
After Hendrycks & Dietterich, "Benchmarking neural network robustness", ICLR 2019, with the operations of this package.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from augmint.augment import colour, defects, geometry
from augmint.augment.batches import as_float, random_boxes
from augmint.seeding import Draws

Corruption = Callable[[Tensor, float, Draws], Tensor]
SCRATCHES = 3


def _all(value: float, images: Tensor) -> Tensor:
    return torch.full((len(images),), value, device=images.device)


def noise(images: Tensor, sigma: float, draws: Draws) -> Tensor:
    """Normal noise of standard deviation `sigma`."""
    return defects.gaussian_noise(images, _all(sigma, images), draws.uniform("noise"))


def blur(images: Tensor, share: float, draws: Draws) -> Tensor:
    """A Gaussian of standard deviation a quarter of a pixel (less changes nothing) + `share` of the longer side."""
    sigma = 0.25 + share * max(images.shape[2:])
    return geometry.gaussian_blur(images, _all(sigma, images), max(1, math.ceil(3 * sigma)))


def damage(images: Tensor, area: float, draws: Draws) -> Tensor:
    """A patch of `area` (share of the image) wiped out, three white or black scratches, a quarter of `area` of the side
    wide, and salt and pepper on as large a share of the pixels."""
    unit, count = draws.uniform("patch", 4), len(images)
    images = defects.erase(images, random_boxes(unit, (area, area), 2.0, *images.shape[2:]))
    width = torch.full((count, SCRATCHES), 0.25 * area * max(images.shape[2:]), device=images.device)
    value = draws.chance("value", 0.5, SCRATCHES).float()
    images = defects.scratches(images, draws.uniform("ends", SCRATCHES, 4), width, value)
    return defects.salt_and_pepper(images, _all(area / 4, images), draws.uniform("salt"))


def turn(images: Tensor, degrees: float, draws: Draws) -> Tensor:
    """Turned by `degrees` to one side or the other; black comes in on grey images, a reflection on colour ones."""
    side = 2 * draws.chance("side", 0.5).float() - 1
    pad: geometry.Pad = "zeros" if images.shape[1] == 1 else "reflection"
    return geometry.affine(images, geometry.rotation(degrees * side), pad)


def fade(images: Tensor, factor: float, draws: Draws) -> Tensor:
    """Contrast reduced to `factor` about the image's mean brightness."""
    return colour.contrast(images, _all(factor, images))


KINDS: dict[str, tuple[Corruption, tuple[float, ...]]] = {
    "noise": (noise, (0.04, 0.08, 0.12, 0.18, 0.26)),
    "blur": (blur, (0.0125, 0.02, 0.03, 0.045, 0.06)),
    "defects": (damage, (0.03, 0.06, 0.1, 0.15, 0.2)),
    "rotation": (turn, (6.0, 12.0, 18.0, 24.0, 30.0)),
    "contrast": (fade, (0.75, 0.55, 0.4, 0.25, 0.15)),
}
STRENGTHS = 5


def corrupt(images: Tensor, kind: str, strength: int, draws: Draws) -> Tensor:
    """uint8 [N, C, H, W] → uint8 of the same shape, on the same device, under `kind` at `strength` 1 … 5.

    `draws.rows` name the images: what one becomes does not depend on those beside it.
    """
    change, sizes = KINDS[kind]
    hard = change(as_float(images), sizes[strength - 1], draws.fork(kind))
    return hard.mul(255).round_().clamp_(0, 255).to(torch.uint8)
