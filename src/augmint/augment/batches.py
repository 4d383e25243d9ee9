"""What policies are made of: the type of a policy, the way from uint8 to float, and random boxes."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from augmint.augment import native
from augmint.data.table import Batch
from augmint.seeding import Draws

Augment = Callable[[Batch, Draws], Batch]
Size = tuple[int, int]  # height and width in pixels
_CACHED = 1 << 20  # numbers in one part of a batch: four megabytes


def as_float(images: Tensor) -> Tensor:
    """uint8 0 … 255 or float 0 … 1 → float32 0 … 1."""
    if images.dtype == torch.uint8:
        return images.to(torch.float32).div_(255)
    return images.to(torch.float32)


def on_images(change: Callable[[Tensor, Draws], Tensor], raw: bool = False) -> Augment:
    """A policy from a function of float32 images (`raw`: of uint8 too, as they come); targets and weights stay.

    On a CPU the batch is worked off in parts that stay near its cache: kinder than passing through memory
    some fifty times; `raw` ones leave that to the native kernels. No image's result depends on its part, since
    its numbers come from its row.
    """

    def augment(batch: Batch, draws: Draws) -> Batch:
        images, convert = batch.images, (lambda part: part) if raw else as_float
        whole = images.device.type != "cpu" or (raw and native.usable(images))
        size = max(8, _CACHED // max(1, math.prod(images.shape[1:])))
        with torch.autocast(images.device.type, enabled=False):  # colours need their 24 bits
            if whole or 0 < len(images) <= size:
                return replace(batch, images=change(convert(images), draws))
            parts = (slice(first, first + size) for first in range(0, len(images), size))
            out = [change(convert(images[part]), replace(draws, rows=draws.rows[part])) for part in parts]
            return replace(batch, images=torch.cat(out) if out else as_float(images))

    return augment


@dataclass(frozen=True)
class Numbered:
    """A policy that is one pure function of images, uint8 or float32, and of uniform numbers [N, count] of `name`.

    Drawing hashes strings on the host; `change` is tensors alone, so that it can be compiled whole.
    """

    name: str
    count: int
    change: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, batch: Batch, draws: Draws) -> Batch:
        """As every `Augment`."""
        augment = on_images(lambda images, draws: self.change(images, draws.uniform(self.name, self.count)), raw=True)
        return augment(batch, draws)


def default_flip(flip: bool | None, images: Tensor) -> bool:
    """Whether to mirror left and right if the user has not said: RGB yes, grey no.

    Photographs keep their meaning in a mirror. Grey images are as often signs (digits, letters) or one-sided
    things (shoes in a catalogue, X-rays), where a mirrored image is a wrong or an impossible one.
    """
    return images.shape[1] == 3 if flip is None else flip


def random_boxes(unit: Tensor, area: tuple[float, float], ratio: float, height: int, width: int) -> Tensor:
    """Boxes inside an image: float32 [N, 4] top, left, height, width in pixels, from uniform numbers [N, 4].

    Area uniform in `area` (of the image), side ratio log-uniform in 1/ratio … ratio, place uniform. A side that
    would not fit is cut to the image (torchvision draws again instead).
    """
    part = unit[:, 0] * (area[1] - area[0]) + area[0]
    slim = torch.exp((unit[:, 1] - 0.5) * (2 * math.log(ratio)))
    tall = (part / slim).sqrt().mul(height).clamp(min(1, height), height)
    wide = (part * slim).sqrt().mul(width).clamp(min(1, width), width)
    return torch.stack([unit[:, 2] * (height - tall), unit[:, 3] * (width - wide), tall, wide], 1)


def between(unit: Tensor, low: float, high: float) -> Tensor:
    """Uniform numbers 0 … 1 → low … high."""
    return unit * (high - low) + low
