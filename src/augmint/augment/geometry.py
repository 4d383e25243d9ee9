"""Moving pixels: crop, flip and blur as two small matrix products; every other affine map as one sampling.

    views = crop(images, box, flip, sigma)                         # box float32 [N, 4], one for each image
    turned = affine(images, rotation(angle) @ shear(x, y))         # any composition, interpolated once

Images are float32 [N, C, H, W] in 0 … 1, parameters float32 [N] on the same device. Interpolation is
bilinear with pixel centres at half integers, as in torchvision (`align_corners=False`).
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Pad = Literal["zeros", "border", "reflection"]


def _hats(position: Tensor, size: int) -> Tensor:
    """[N, out] source positions in pixels → [N, out, size] bilinear weights; outside the image is 0."""
    pixels = torch.arange(size, device=position.device, dtype=position.dtype)
    return (position[:, :, None] - pixels).abs_().neg_().add_(1).clamp_min_(0)


def _taps(sigma: Tensor, radius: int) -> Tensor:
    """[N] → [N, 2 radius + 1]: a Gaussian's weights, sum 1. Sigma 0 is the identity."""
    away = torch.arange(-radius, radius + 1, device=sigma.device)
    weights = torch.exp(-0.5 * (away / sigma.clamp_min(1e-2)[:, None]).square())
    return weights / weights.sum(1, keepdim=True)


def _smooth(x: Tensor, taps: Tensor, dim: int) -> Tensor:
    """`x` [N, …] convolved along `dim` with `taps` [N, 2 r + 1], reflected about the outermost entries."""
    size, radius = x.shape[dim], taps.shape[1] // 2
    reach = torch.arange(-radius, size + radius, device=x.device).abs()
    padded = x.index_select(dim, (size - 1) - (size - 1 - reach).abs())
    weights = taps.t()[(...,) + (None,) * (x.ndim - 1)]
    out = padded.narrow(dim, radius, size) * weights[radius]
    for offset in range(1, radius + 1):  # symmetric: one product for both sides
        pair = padded.narrow(dim, radius - offset, size) + padded.narrow(dim, radius + offset, size)
        out += pair.mul_(weights[radius + offset])
    return out


def _apply(rows: Tensor, images: Tensor, columns: Tensor) -> Tensor:
    """rows [N, h, H] · images [N, C, H, W] · columnsᵀ [N, w, W] → [N, C, h, w]."""
    count, channels, height, width = images.shape
    across = torch.bmm(images.reshape(count, channels * height, width), columns.transpose(1, 2))
    if channels == 1:
        return torch.bmm(rows, across)[:, None]
    return torch.matmul(rows[:, None], across.view(count, channels, height, columns.shape[1]))


def crop(
    images: Tensor,
    box: Tensor,
    flip: Tensor | None = None,
    sigma: Tensor | None = None,
    radius: int = 1,
    size: int | None = None,
) -> Tensor:
    """Cut out `box` (float32 [N, 4]: top, left, height, width in pixels) and resize it to the old (or `size`²) shape.

    `flip` (bool [N]) mirrors left and right, `sigma` (float32 [N], output pixels) blurs within `radius` pixels;
    all in the same two matrix products. Boxes are at least one pixel and inside the image. No anti-aliasing:
    meant for enlarging.
    """
    height, width = images.shape[2:]
    top, left, tall, wide = box.unbind(1)
    rows = _hats(_positions(top, tall, size or height), height)
    columns = _hats(_positions(left, wide, size or width, flip), width)
    if sigma is not None:  # a blur of the result is a blur of the weights
        rows, columns = (_smooth(w, _taps(sigma, min(radius, w.shape[1] - 1)), 1) for w in (rows, columns))
    return _apply(rows, images, columns)


def _positions(start: Tensor, length: Tensor, out: int, flip: Tensor | None = None) -> Tensor:
    """[N, out]: where in the source the pixels of a resized cut lie; clamped to the cut, as torchvision does."""
    steps = (torch.arange(out, device=start.device) + 0.5) / out
    first, last = start[:, None], (start + length - 1)[:, None]
    if flip is None:
        position = first + length[:, None] * steps - 0.5
    else:
        position = torch.where(flip, start + length, start)[:, None] - 0.5
        position = position + torch.where(flip, -length, length)[:, None] * steps
    return position.clamp(first, last)


def gaussian_blur(images: Tensor, sigma: Tensor, radius: int = 1) -> Tensor:
    """Blur by `sigma` pixels with a kernel of 2 `radius` + 1; sigma 0 leaves an image as it is."""
    for dim in (2, 3):
        images = _smooth(images, _taps(sigma, min(radius, images.shape[dim] - 1)), dim)
    return images


def shift(images: Tensor, right: Tensor, down: Tensor, flip: Tensor | None = None, pad: Pad = "zeros") -> Tensor:
    """Move by `right` and `down` pixels (float32 [N], fractions interpolate), after mirroring where `flip`."""
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device) - down[:, None]
    columns = torch.arange(width, device=images.device) - right[:, None]
    if flip is not None:
        columns = torch.where(flip[:, None], width - 1 - columns, columns)
    return _apply(_hats(_inside(rows, height, pad), height), images, _hats(_inside(columns, width, pad), width))


def _inside(position: Tensor, size: int, pad: Pad) -> Tensor:
    """Positions brought back into 0 … size - 1, or left outside for zeros; reflection repeats the edge pixel."""
    if pad == "zeros":
        return position
    if pad == "reflection":
        around = (position + 0.5).remainder(2 * size)
        position = torch.minimum(around, 2 * size - around) - 0.5
    return position.clamp(0, size - 1)


def horizontal_flip(images: Tensor, flip: Tensor) -> Tensor:
    """Mirror left and right where `flip` (bool [N])."""
    return torch.where(flip[:, None, None, None], images.flip(3), images)


def vertical_flip(images: Tensor, flip: Tensor) -> Tensor:
    """Mirror top and bottom where `flip` (bool [N])."""
    return torch.where(flip[:, None, None, None], images.flip(2), images)


# Affine maps: float32 [N, 3, 3], from an output pixel's (x, y, 1) to the input pixel it shows, both in pixels
# from the image's centre, y downwards. The product A @ B means: what A does to the picture, then what B does.


def _maps(like: Tensor, *entries: tuple[int, int, Tensor | float]) -> Tensor:
    maps = torch.eye(3, device=like.device).repeat(len(like), 1, 1)
    for row, column, value in entries:
        maps[:, row, column] = value
    return maps


def rotation(degrees: Tensor) -> Tensor:
    """Turn counter-clockwise by `degrees`."""
    angle = torch.deg2rad(degrees)
    cos, sin = angle.cos(), angle.sin()
    return _maps(degrees, (0, 0, cos), (0, 1, -sin), (1, 0, sin), (1, 1, cos))


def scaling(vertical: Tensor, horizontal: Tensor | None = None) -> Tensor:
    """Enlarge by these factors (above 1 = larger)."""
    across = vertical if horizontal is None else horizontal
    return _maps(vertical, (0, 0, 1 / across), (1, 1, 1 / vertical))


def shearing(horizontal: Tensor, vertical: Tensor | None = None) -> Tensor:
    """Slant: each pixel further down moves `horizontal` pixels right, each further right `vertical` pixels down."""
    slant = _maps(horizontal, (0, 1, -horizontal))
    return slant if vertical is None else slant @ _maps(horizontal, (1, 0, -vertical))


def translation(right: Tensor, down: Tensor) -> Tensor:
    """Move by this many pixels."""
    return _maps(right, (0, 2, -right), (1, 2, -down))


def mirroring(flip: Tensor) -> Tensor:
    """Mirror left and right where `flip` (bool [N])."""
    return _maps(flip, (0, 0, 1 - 2 * flip.float()))


def affine(images: Tensor, maps: Tensor, pad: Pad = "zeros") -> Tensor:
    """Resample under `maps` (float32 [N, 3, 3], see above), once, whatever they are composed of."""
    count, _, height, width = images.shape
    x = (torch.arange(width, device=images.device) - (width - 1) / 2) * (2 / width)
    y = (torch.arange(height, device=images.device) - (height - 1) / 2) * (2 / height)
    a, b, c, d, e, f = (maps[:, i, j][:, None] for i in (0, 1) for j in (0, 1, 2))
    grid = torch.empty(count, height, width, 2, device=images.device)
    aspect = height / width  # grid_sample measures in half widths and half heights
    torch.add((a * x)[:, None], (b * aspect * y + c * (2 / width))[:, :, None], out=grid[..., 0])
    torch.add((d / aspect * x)[:, None], (e * y + f * (2 / height))[:, :, None], out=grid[..., 1])
    return F.grid_sample(images, grid, mode="bilinear", padding_mode=pad, align_corners=False)
