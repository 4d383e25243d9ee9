"""Changing values, not places: brightness, contrast, saturation, hue, grey and the tone curves.

    jittered = jitter(images, brightness, contrast, saturation, hue, order)

Images are float32 [N, C, H, W] in 0 … 1, C is 1 or 3; parameters float32 [N]. Semantics are those of
torchvision's float operations, clamping after each included. On grey images saturation, hue and grey
are the identity.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from augmint.augment import native

LUMA = (0.2989, 0.587, 0.114)  # ITU-R 601, as torchvision rounds it


def _each(parameter: Tensor) -> Tensor:
    return parameter[:, None, None, None]


def luma(images: Tensor) -> Tensor:
    """[N, 1, H, W]: brightness of each pixel as people see it."""
    if images.shape[1] == 1:
        return images
    red, green, blue = (images[:, i : i + 1] for i in range(3))
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def _blend(images: Tensor, other: Tensor, ratio: Tensor) -> Tensor:
    """other + ratio · (images − other), kept in 0 … 1; above 1 moves away from `other`."""
    return torch.lerp(other, images, _each(ratio)).clamp_(0, 1)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply by `factor`; 0 is black, 1 unchanged."""
    return (images * _each(factor)).clamp_(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Away from (above 1) or towards (below 1) the image's mean brightness."""
    return _blend(images, luma(images).mean((2, 3), keepdim=True), factor)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Away from or towards grey; 0 is grey, 1 unchanged."""
    return images if images.shape[1] == 1 else _blend(images, luma(images), factor)


def grey(images: Tensor, where: Tensor) -> Tensor:
    """Without colour where `where` (bool [N])."""
    return images if images.shape[1] == 1 else torch.lerp(luma(images), images, _each((~where).float()))


def grey_(images: Tensor, where: Tensor) -> Tensor:
    """The same, in place where it can be."""
    if images.shape[1] == 1 or not native.usable(images):
        return grey(images, where)
    rows = where.nonzero()[:, 0]
    return images.index_copy_(0, rows, luma(images.index_select(0, rows)).expand(-1, 3, -1, -1))


def hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by `turn` of a full circle (−0.5 … 0.5), exactly as through HSV.

    Written without comparisons, which cost ten times an addition on a CPU. With the channels scaled to 0 … 1
    by the pixel's own range, the distance of its hue from red is 1 + g + b − r sixths of a circle.
    """
    if images.shape[1] == 1:
        return images
    low, chroma, shares = _turned(images, turn)
    return torch.stack([torch.addcmul(low, share, chroma) for share in shares], 1)


def _hue_(images: Tensor, turn: Tensor) -> None:
    """The same in place."""
    low, chroma, shares = _turned(images, turn)
    for channel, share in enumerate(shares):
        torch.addcmul(low, share, chroma, out=images[:, channel])


def _turned(images: Tensor, turn: Tensor) -> tuple[Tensor, Tensor, Iterator[Tensor]]:
    """Lowest value and range of each pixel, and how much of the range red, green and blue have after the turn."""
    red, green, blue = images.unbind(1)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = torch.maximum(torch.maximum(red, green), blue).sub_(low)
    side = green - blue
    distance = (green + blue).sub_(red).sub_(low).div_(chroma.clamp_min(1e-12)).add_(1)
    signed = torch.copysign(distance, side)  # which autograd keeps
    sixths = (signed.clone() if images.requires_grad else signed).add_(6 * turn[:, None, None])
    sixths -= (sixths / 6).floor_().mul_(6)
    form = ((3, 1, -1), (2, -1, 2), (4, -1, 2))  # HSV → RGB
    shares = ((sixths - centre).abs_().mul_(sign).add_(base).clamp_(0, 1) for centre, sign, base in form)
    return low, chroma, shares


def jitter(images: Tensor, *parameters: Tensor) -> Tensor:
    """`jitter_` that leaves `images` as they are."""
    return jitter_(images.clone(memory_format=torch.contiguous_format), *parameters)


def jitter_(
    images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, hue_turn: Tensor, order: Tensor
) -> Tensor:
    """The four colour changes in an order of its own for each image; may work in place. Images are contiguous.

    `order` int64 [N, 4]: a permutation of 0 brightness, 1 contrast, 2 saturation, 3 hue. The first three are
    blends (with black, the mean, grey) and so one operation for the whole batch; only the hue's turn comes at
    four different times. A CPU sorts the images by it, which is a third faster there; a GPU would have to wait for
    the sizes of the parts, and takes every slot twice instead.
    """
    factors = torch.stack([brightness, contrast, saturation], 1)
    if native.usable(images):
        return native.jitter_(images, factors, hue_turn, order)
    if images.shape[1] == 1:
        return _jitter_grey(images, brightness, contrast, order)
    if images.requires_grad:
        return _jitter_slowly(images, brightness, contrast, saturation, hue_turn, order)
    time = order.eq(3).long().argmax(1)
    blends = order.gather(1, (order == 3).long().argsort(dim=1, stable=True))[:, :3]
    factors = factors.gather(1, blends)
    apply = _jitter_sorted if images.device.type == "cpu" and not torch.compiler.is_compiling() else _jitter_whole
    return apply(images, blends, factors, hue_turn, time)


def _jitter_whole(images: Tensor, blends: Tensor, factors: Tensor, turn: Tensor, time: Tensor) -> Tensor:
    """Three blends of the images whose hue comes later, the hue of all, three blends of the others."""
    images = images.clone()
    for slot in range(3):
        _blend_by_kind_(images, blends[:, slot], torch.where(time > slot, factors[:, slot], 1.0))
    images = hue(images, turn)
    for slot in range(3):
        _blend_by_kind_(images, blends[:, slot], torch.where(time > slot, 1.0, factors[:, slot]))
    return images


def _jitter_sorted(images: Tensor, blends: Tensor, factors: Tensor, turn: Tensor, time: Tensor) -> Tensor:
    """Sorted by when the hue is due; a turn of 0 is left out."""
    time = torch.where(turn == 0, 4, time)
    sorting = time.argsort(stable=True)
    ends = [0, *torch.bincount(time, minlength=5).cumsum(0).tolist()]
    blends, factors = blends[sorting], factors[sorting]
    images, turn = images.index_select(0, sorting), turn[sorting]
    for slot in range(4):
        due = slice(ends[slot], ends[slot + 1])
        if due.stop > due.start:
            _hue_(images[due], turn[due])
        if slot < 3:
            _blend_by_kind_(images, blends[:, slot], factors[:, slot])
    return images.index_select(0, sorting.argsort())


def _jitter_slowly(
    images: Tensor, brightness_: Tensor, contrast_: Tensor, saturation_: Tensor, turn: Tensor, order: Tensor
) -> Tensor:
    """The same without writing in place, for gradients: each change four times, for the images whose turn it is."""
    for kind in order.unbind(1):
        images = brightness(images, torch.where(kind == 0, brightness_, 1.0))
        images = contrast(images, torch.where(kind == 1, contrast_, 1.0))
        images = saturation(images, torch.where(kind == 2, saturation_, 1.0))
        images = hue(images, torch.where(kind == 3, turn, 0.0))
    return images


def _blend_by_kind_(images: Tensor, kind: Tensor, factor: Tensor) -> None:
    """One blend for the whole batch, in place: with black (kind 0), the mean (1) or grey (2)."""
    level = luma(images)
    mean = level.mean((2, 3), keepdim=True) * _each(kind == 1)
    other = level.mul_(_each((kind == 2).float())).add_(mean)
    images.lerp_(other.expand_as(images), _each(1 - factor)).clamp_(0, 1)


def brightness_and_contrast_(images: Tensor, brightness_: Tensor, contrast_: Tensor) -> Tensor:
    """First one, then the other; may work in place. Images are contiguous."""
    if not native.usable(images):
        return contrast(brightness(images, brightness_), contrast_)
    order = torch.arange(4).expand(len(images), -1)
    one = torch.ones_like(brightness_)
    return native.jitter_(images, torch.stack([brightness_, contrast_, one], 1), torch.zeros_like(one), order)


def _jitter_grey(images: Tensor, brightness_: Tensor, contrast_: Tensor, order: Tensor) -> Tensor:
    """Brightness and contrast only, in their order."""
    first = (order == 0).long().argmax(1) < (order == 1).long().argmax(1)
    one = torch.ones_like(brightness_)
    images = brightness(images, torch.where(first, brightness_, one))
    images = contrast(images, contrast_)
    return brightness(images, torch.where(first, one, brightness_))


def invert(images: Tensor, where: Tensor) -> Tensor:
    """The negative where `where` (bool [N])."""
    return torch.where(_each(where), 1 - images, images)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Negative of the values at or above `threshold` (0 … 1); a threshold above 1 changes nothing."""
    return torch.where(images >= _each(threshold), 1 - images, images)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep 2^bits levels of each channel; 8 bits or more change nothing."""
    levels = 2.0 ** bits.round()
    fewer = torch.minimum((images * _each(levels)).floor_(), _each(levels - 1)) / _each(levels)
    return torch.where(_each(bits < 8), fewer, images)


def autocontrast(images: Tensor) -> Tensor:
    """Stretch every channel to 0 … 1; a channel of one value stays as it is."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    flat = high <= low
    scale = torch.where(flat, 1.0, 1 / (high - low))
    return ((images - torch.where(flat, 0.0, low)) * scale).clamp_(0, 1)


def equalize(images: Tensor) -> Tensor:
    """Flatten every channel's histogram over 256 levels, as Pillow does; the result has 256 levels."""
    count, channels, height, width = images.shape
    values = (images * 255).add_(0.5).floor_().clamp_(0, 255).long().view(count * channels, -1)
    ones = torch.ones((), dtype=torch.long, device=images.device).expand_as(values)
    histogram = torch.zeros(count * channels, 256, dtype=torch.long, device=images.device).scatter_add_(1, values, ones)
    total = histogram.cumsum(1)
    top = values.amax(1, keepdim=True)
    step = (height * width - histogram.gather(1, top)) // 255
    table = (step // 2 + total - histogram).div(step.clamp_min(1), rounding_mode="floor").clamp_(0, 255)
    equal = torch.where(step > 0, table.gather(1, values), values)
    return equal.view_as(images).to(images.dtype) / 255


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Away from (above 1) or towards (below 1) a smoothed image; the outermost pixels stay."""
    channels, height, width = images.shape[1:]
    if height < 3 or width < 3:
        return images
    kernel = torch.full((3, 3), 1 / 13, device=images.device)
    kernel[1, 1] = 5 / 13
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(images, kernel.expand(channels, 1, 3, 3), groups=channels)
    return _blend(images, smooth, factor)
