"""Adding what cameras and handling add: noise, salt and pepper, scratches, missing patches.

    noisy = gaussian_noise(images, sigma, offset)         # offset: which part of the shared pool of noise

Images are float32 [N, C, H, W] in 0 … 1; parameters have one row for each image.
"""

from functools import lru_cache

import torch
from torch import Tensor

from augmint.augment import native
from augmint.seeding import torch_generator


@lru_cache(maxsize=8)
def _pool(kind: str, size: int, device: torch.device) -> Tensor:
    """Shared random numbers: drawing them anew for every pixel is the dearest thing an augmentation can do."""
    draw = torch.randn if kind == "normal" else torch.rand
    return draw(size, generator=torch_generator("noise pool", kind)).to(device)


def _part(kind: str, images: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """The pool, and where in it each image's numbers start: at `offset` (0 … 1 of it)."""
    length = images[:1].numel()
    size = max(1 << 20, 1 << (4 * length - 1).bit_length())
    return _pool(kind, size, images.device), (offset * (size - length)).long()


def _slices(kind: str, images: Tensor, offset: Tensor) -> Tensor:
    """[N, C, H, W] of the pool."""
    pool, start = _part(kind, images, offset)
    return pool.unfold(0, images[0].numel(), 1)[start].view_as(images)


def gaussian_noise(images: Tensor, sigma: Tensor, offset: Tensor) -> Tensor:
    """Add normal noise of standard deviation `sigma` [N]; `offset` [N] in 0 … 1 chooses the noise."""
    return gaussian_noise_(images.clone(memory_format=torch.contiguous_format), sigma, offset)


def gaussian_noise_(images: Tensor, sigma: Tensor, offset: Tensor) -> Tensor:
    """The same, in place where it can be. Images are contiguous."""
    if native.usable(images):
        pool, start = _part("normal", images, offset)
        return native.noise_(images, pool, sigma, start)
    return torch.addcmul(images, _slices("normal", images, offset), sigma[:, None, None, None]).clamp_(0, 1)


def salt_and_pepper(images: Tensor, share: Tensor, offset: Tensor) -> Tensor:
    """Set a `share` [N] of the pixels to white or black, half each, all channels alike."""
    noise = _slices("uniform", images[:, :1], offset)
    half = share[:, None, None, None] / 2
    return torch.where(noise < half, 0.0, torch.where(noise >= 1 - half, 1.0, images))


def erase(images: Tensor, box: Tensor, value: Tensor | None = None) -> Tensor:
    """Fill `box` (float32 [N, 4]: top, left, height, width in pixels) with `value` [N] or the image's own mean.

    A box of height or width 0 changes nothing (cutout: DeVries & Taylor 2017; random erasing: Zhong et al. 2020).
    """
    return erase_(images.clone(memory_format=torch.contiguous_format), box, value)


def erase_(images: Tensor, box: Tensor, value: Tensor | None = None) -> Tensor:
    """The same, in place where it can be. Images are contiguous."""
    if value is None and native.usable(images):
        return native.erase_(images, box)
    height, width = images.shape[2:]
    top, left, tall, wide = (side[:, None] for side in box.unbind(1))
    y, x = torch.arange(height, device=images.device) + 0.5, torch.arange(width, device=images.device) + 0.5
    rows, columns = (y >= top) & (y < top + tall), (x >= left) & (x < left + wide)
    fill = images.mean((2, 3), keepdim=True) if value is None else value[:, None, None, None]
    return torch.where((rows[:, :, None] & columns[:, None])[:, None], fill, images)


def scratches(images: Tensor, ends: Tensor, width: Tensor, value: Tensor) -> Tensor:
    """Draw K straight scratches with soft edges.

    ends [N, K, 4]: x, y of both ends as fractions of the image; width [N, K] in pixels (0 = none);
    value [N, K] in 0 … 1.
    """
    tall, wide = images.shape[2:]
    y = torch.arange(tall, device=images.device)[:, None] + 0.5
    x = torch.arange(wide, device=images.device) + 0.5
    for line in range(ends.shape[1]):
        x0, x1 = (ends[:, line, i, None, None] * wide for i in (0, 2))
        y0, y1 = (ends[:, line, i, None, None] * tall for i in (1, 3))
        dx, dy = x1 - x0, y1 - y0
        along = (((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy).clamp_min(1e-6)).clamp_(0, 1)
        away = torch.hypot(x - x0 - along * dx, y - y0 - along * dy)
        half = width[:, line, None, None] / 2
        cover = (half + 0.5 - away).clamp_(0, 1) * (half > 0)  # a pixel half covered is half painted
        images = torch.lerp(images, value[:, line, None, None, None].expand_as(images), cover[:, None])
    return images
