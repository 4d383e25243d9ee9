"""Moving pixels: crop, flip and blur axis by axis in two passes; every other affine map as one sampling.

    views = crop(images, box, flip, sigma)                         # box float32 [N, 4], one for each image
    turned = affine(images, rotation(angle) @ shear(x, y))         # any composition, interpolated once

Images are float32 [N, C, H, W] in 0 … 1, parameters float32 [N] on the same device. Interpolation is
bilinear with pixel centres at half integers, as in torchvision (`align_corners=False`).
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from augmint.augment import native
from augmint.augment.batches import Size, as_float

Pad = Literal["zeros", "border", "reflection"]


def _taps(position: Tensor, size: int, sigma: Tensor | None = None, radius: int = 1) -> tuple[Tensor, Tensor]:
    """What each output pixel of an axis reads: indices int64 and weights float32, both [N, out, taps].

    position [N, out] in pixels of an axis of `size`, interpolated linearly, 0 outside. With `sigma` [N], also the
    Gaussian's mean over 2 radius + 1 neighbours among the outputs, reflected about the outermost ones.
    """
    below = position.floor()
    index = torch.stack([below, below + 1], 2)
    inside = index.clamp(0, size - 1)
    part = position - below
    index, weight = inside.long(), torch.stack([1 - part, part], 2) * (index == inside)
    if sigma is None:
        return index, weight
    count, out = position.shape
    away = torch.arange(-radius, radius + 1, device=position.device)
    neighbour = (out - 1) - (out - 1 - (torch.arange(out, device=position.device)[:, None] + away).abs()).abs()
    spread = torch.exp(-0.5 * (away / sigma.clamp_min(1e-2)[:, None]).square())
    spread = (spread / spread.sum(1, keepdim=True)).repeat_interleave(2, 1)[:, None]
    index, weight = (taps.index_select(1, neighbour.flatten()).view(count, out, -1) for taps in (index, weight))
    return index, weight * spread


def _read(lines: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """lines [N, size, L], taps [N, out, K] → [N, out, L]: weighted sums of whole lines, in one pass over memory."""
    count, size, length = lines.shape
    first = torch.arange(count, device=lines.device)[:, None, None] * size
    taps = (index + first).view(-1, index.shape[2])
    bags = F.embedding_bag(
        taps, lines.reshape(-1, length), mode="sum", per_sample_weights=weight.reshape(taps.shape).to(lines.dtype)
    )
    return bags.view(count, -1, length)


def _resample(images: Tensor, rows: Tensor, columns: Tensor, sigma: Tensor | None = None, radius: int = 1) -> Tensor:
    """Each axis read at its positions, rows [N, h] and columns [N, w], then blurred: float32 [N, C, h, w].

    Images are uint8 0 … 255 or float 0 … 1. Columns are read as lines of the transpose.
    """
    if native.usable(images):
        return native.resample(images, rows, columns, sigma, radius)
    images = as_float(images)
    count, channels, height, width = images.shape
    index, weight = _taps(rows, height, sigma, min(radius, rows.shape[1] - 1))
    if channels > 1:
        index, weight = index.repeat_interleave(channels, 0), weight.repeat_interleave(channels, 0)
    down = _read(images.reshape(-1, height, width), index, weight)  # [N C, h, W]
    taps = _taps(columns, width, sigma, min(radius, columns.shape[1] - 1))
    across = _read(down.view(count, -1, width).transpose(1, 2), *taps)  # [N, w, C h]
    return across.transpose(1, 2).reshape(count, channels, rows.shape[1], -1)


def crop(
    images: Tensor,
    box: Tensor,
    flip: Tensor | None = None,
    sigma: Tensor | None = None,
    radius: int = 1,
    size: Size | None = None,
    pad: Pad | None = None,
) -> Tensor:
    """Cut out `box` (float32 [N, 4]: top, left, height, width in pixels) and bring it to the old size, or to `size`.

    `flip` (bool [N]) mirrors left and right, `sigma` (float32 [N], output pixels) blurs within `radius` pixels;
    all in the same two passes, from uint8 too. Boxes are at least one pixel and inside the image. No
    anti-aliasing: meant for enlarging. The outermost pixels of the cut are repeated, as in torchvision; with `pad`
    they blend into what is around the cut, and beyond the image into that, as `affine` does it.
    """
    height, width = images.shape[2:]
    top, left, tall, wide = box.unbind(1)
    out = size or (height, width)
    rows, columns = _positions(top, tall, out[0]), _positions(left, wide, out[1], flip)
    if pad is None:
        rows, columns = _clamped(rows, top, tall), _clamped(columns, left, wide)
    else:
        rows, columns = _inside(rows, height, pad), _inside(columns, width, pad)
    return _resample(images, rows, columns, sigma, radius)


def _positions(start: Tensor, length: Tensor, out: int, flip: Tensor | None = None) -> Tensor:
    """[N, out]: where in the source the pixels of a resized cut lie."""
    steps = (torch.arange(out, device=start.device) + 0.5) / out
    if flip is None:
        return (start - 0.5)[:, None] + length[:, None] * steps
    first = torch.where(flip, start + length, start)[:, None] - 0.5
    return first + torch.where(flip, -length, length)[:, None] * steps


def _clamped(position: Tensor, start: Tensor, length: Tensor) -> Tensor:
    """Positions kept within the centres of a cut's outermost pixels."""
    return position.clamp(start[:, None], (start + length - 1)[:, None])


def gaussian_blur(images: Tensor, sigma: Tensor, radius: int = 1) -> Tensor:
    """Blur by `sigma` pixels with a kernel of 2 `radius` + 1; sigma 0 leaves an image as it is."""
    rows, columns = (
        torch.arange(float(size), device=images.device).expand(len(images), -1) for size in images.shape[2:]
    )
    return _resample(images, rows, columns, sigma, radius)


def shift(images: Tensor, right: Tensor, down: Tensor, flip: Tensor | None = None, pad: Pad = "zeros") -> Tensor:
    """Move by `right` and `down` pixels (float32 [N], fractions interpolate), after mirroring where `flip`."""
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device) - down[:, None]
    columns = torch.arange(width, device=images.device) - right[:, None]
    if flip is not None:
        columns = torch.where(flip[:, None], width - 1 - columns, columns)
    return _resample(images, _inside(rows, height, pad), _inside(columns, width, pad))


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


def affine(images: Tensor, maps: Tensor, pad: Pad = "zeros", size: Size | None = None) -> Tensor:
    """Resample under `maps` (float32 [N, 3, 3], see above), once, whatever they are composed of; at another `size`
    the same picture in other pixels."""
    count, _, height, width = images.shape
    tall, wide = size or (height, width)
    x = (torch.arange(wide, device=images.device) - (wide - 1) / 2) * (2 / wide)
    y = (torch.arange(tall, device=images.device) - (tall - 1) / 2) * (2 / tall)
    a, b, c, d, e, f = (maps[:, i, j][:, None] for i in (0, 1) for j in (0, 1, 2))
    grid = torch.empty(count, tall, wide, 2, device=images.device)
    aspect = height / width  # grid_sample measures in half widths and half heights
    torch.add((a * x)[:, None], (b * aspect * y + c * (2 / width))[:, :, None], out=grid[..., 0])
    torch.add((d / aspect * x)[:, None], (e * y + f * (2 / height))[:, :, None], out=grid[..., 1])
    return F.grid_sample(images, grid, mode="bilinear", padding_mode=pad, align_corners=False)
