"""Images that come as one array of numbers (IDX, .npz, digits) → uint8 [N, C, H, W].

pixels, (sizes, modes, bad) = from_array(numbers, settings, choose_size)
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from augmint.config import DataSettings
from augmint.data.pixels import BadImage, check_pixels, decode_one

Array = np.ndarray[Any, Any]
SizeRule = Callable[[Sequence[tuple[int, int]], DataSettings], tuple[int, int]]


def to_bytes(values: Array) -> Array:
    """Any number type → uint8: floats in 0 … 1 or 0 … 255, integers of 8 or 16 bits. BadImage for others."""
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind not in "iuf":
        raise BadImage(f"images are numbers of type {values.dtype}; store them as uint8")
    low, high = float(values.min()), float(values.max())
    limit = 255 if values.dtype.kind == "f" else 65535
    if not (low >= 0 and high <= limit):
        raise BadImage(f"pixels run from {low:g} to {high:g}; store them as uint8 in 0 … 255 (or floats in 0 … 1)")
    scale = 1.0
    if values.dtype.kind == "f":
        scale = 255.0 if high <= 1 else 1.0
    elif values.dtype == np.uint16 or high > 255:
        scale = 1 / 257
    out = np.empty(values.shape, np.uint8)
    for i in range(0, len(values), 1000):
        out[i : i + 1000] = (values[i : i + 1000] * scale + 0.5).clip(0, 255)
    return out


def channels_last(values: Array) -> Array:
    """[N, H, W] or [N, H, W, C] or [N, C, H, W] → [N, H, W, C], C = 1 or 3; an alpha channel lies on white."""
    if values.ndim == 3:
        return values[..., None]
    if values.ndim != 4:
        raise BadImage(f"images of shape {values.shape}; expected [N, H, W], [N, H, W, C] or [N, C, H, W]")
    if values.shape[3] not in (1, 3, 4) and values.shape[1] in (1, 3, 4):
        values = values.transpose(0, 2, 3, 1)
    if values.shape[3] == 4:
        alpha = values[..., 3:].astype(np.float32) / 255
        values = (values[..., :3] * alpha + 255 * (1 - alpha) + 0.5).astype(np.uint8)
    if values.shape[3] not in (1, 3):
        raise BadImage(f"images of shape {values.shape}; expected 1 (grey) or 3 (RGB) channels")
    return values


def _grey(images: Array, settings: DataSettings) -> bool:
    if settings.mode != "auto":
        return settings.mode == "grey"
    blocks = (images[i : i + 1000] for i in range(0, len(images), 1000))
    return images.shape[3] == 1 or all((b == b[..., :1]).all() for b in blocks)


def from_array(
    values: Array, settings: DataSettings, choose_size: SizeRule
) -> tuple[Array, tuple[list[tuple[int, int]], list[str], list[tuple[str, str]]]]:
    """uint8 [N, C, H, W] and (sizes, modes, bad) of the originals. BadImage says what does not fit."""
    if 0 in values.shape:
        raise BadImage(f"images of shape {values.shape}; at least one dimension is zero")
    if values.ndim >= 3:
        check_pixels(values.shape[1], values.shape[2])
    images = channels_last(to_bytes(values))
    height, width = images.shape[1:3]
    size = choose_size([(width, height)], settings)
    grey = _grey(images, settings)
    if size == (height, width) and (grey is False or images.shape[3] == 1 or settings.mode == "auto"):
        images = images[..., :1] if grey else np.broadcast_to(images, (*images.shape[:3], 3))
        pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    else:
        flat = images[..., 0] if images.shape[3] == 1 else images
        pixels = np.stack([decode_one(np.ascontiguousarray(image), size, 1 if grey else 3) for image in flat])
    mode = "L" if images.shape[3] == 1 else "RGB"
    return pixels, ([(width, height)] * len(values), [mode] * len(values), [])
