"""One encoded image → uint8 pixels, whatever its mode; everything that can be wrong with a file ends here.

    head = header(path)                            # width, height, mode: reads a few bytes
    pixels = decode_one(path, (32, 32), channels=3)    # uint8 [3, 32, 32]

Only the formats in FORMATS are opened: Pillow's EPS reader, for one, would run a program.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from augmint.data.source import Raw

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000")
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".jp2"}
)
MAX_PIXELS = 80_000_000  # below Pillow's own warning; 240 MB as RGB
GREY_MODES = frozenset(("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"))


class BadImage(Exception):
    """This file is no image that can be read; the text says what is wrong with it."""


@dataclass(frozen=True)
class Header:
    """What a file says about itself; width and height as displayed (EXIF orientation applied)."""

    width: int
    height: int
    mode: str

    @property
    def grey(self) -> bool:
        """Certainly grey. An RGB or palette image may still turn out to be."""
        return self.mode in GREY_MODES


def check_pixels(width: int, height: int) -> None:
    """BadImage if an image of this size would eat the memory."""
    if width * height > MAX_PIXELS:
        raise BadImage(
            f"{width:,}×{height:,} pixels are more than the {MAX_PIXELS // 10**6} million allowed; scale it down"
        )


def _start(raw: bytes | Path) -> bytes:
    """The first bytes; of a file that the disk cannot give us, a question mark."""
    if isinstance(raw, bytes):
        return raw[:512]
    try:
        with open(raw, "rb") as file:
            return file.read(512)
    except OSError:
        return b"?"


def _why(raw: Raw, error: Exception) -> str:
    """A reason that a person understands."""
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than the {MAX_PIXELS // 10**6} million pixels allowed; scale it down"
    if isinstance(error, OSError) and error.strerror:  # the disk's, not Pillow's
        return error.strerror.lower()
    start = b"?" if raw is None or isinstance(raw, np.ndarray) else _start(raw)
    if not start:
        return "empty file"
    if isinstance(error, UnidentifiedImageError):
        text = b"\0" not in start and sum(b < 9 or 13 < b < 32 for b in start) == 0
        return "a text file, not an image" if text else "not an image of a known format"
    lines = str(error).splitlines()
    return f"corrupt or truncated ({lines[0][:80] if lines else type(error).__name__})"


def _open(raw: Raw) -> Image.Image:
    if raw is None:
        raise BadImage("no image data")
    if isinstance(raw, np.ndarray):
        return Image.fromarray(raw)
    image = Image.open(io.BytesIO(raw) if isinstance(raw, bytes) else raw, formats=FORMATS)
    check_pixels(*image.size)
    return image


def header(raw: Raw) -> Header:
    """Size and mode from the first bytes of an image. BadImage if there are none to be had."""
    try:
        with _open(raw) as image:
            width, height = image.size
            if image.getexif().get(0x0112, 1) in (5, 6, 7, 8):
                width, height = height, width
            return Header(width, height, image.mode)
    except BadImage:
        raise
    except Exception as error:  # Pillow's plugins raise nearly anything on broken files
        raise BadImage(_why(raw, error)) from error


def _from_numbers(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and float pixels → 8 bits, by the range of their type and not of their content."""
    values = np.asarray(image)
    if image.mode == "F":
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 255):
            raise BadImage(f"float pixels from {low:g} to {high:g}; save it with 8 or 16 bits")
        values = values * (255 if high <= 1 else 1)
    else:
        if values.min() < 0 or values.max() > 65535:
            raise BadImage("32-bit pixels beyond 0 … 65,535; save it with 8 or 16 bits")
        values = values / 257
    return Image.fromarray((values + 0.5).clip(0, 255).astype(np.uint8))


def flatten(image: Image.Image, channels: int) -> Image.Image:
    """Any mode → "L" or "RGB"; transparency lies on white."""
    if image.mode in ("F", "I") or image.mode.startswith("I;"):
        image = _from_numbers(image)
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image).convert("RGB")
    elif image.mode not in ("L", "RGB", "CMYK", "YCbCr", "1", "P", "LAB", "HSV"):
        image = image.convert("RGB")
    if image.mode in ("LAB", "P", "CMYK", "HSV", "YCbCr") and channels == 1:
        image = image.convert("RGB")
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def decode_one(raw: Raw, size: tuple[int, int], channels: int) -> np.ndarray[Any, Any]:
    """uint8 [channels, height, width]: the short side scaled to fit (antialiased), the centre cut out.

    EXIF orientation is applied, an animation gives its first frame. BadImage says what is wrong.
    """
    height, width = size
    try:
        with _open(raw) as image:
            if image.format == "JPEG":  # decodes at 1/2, 1/4, 1/8: far faster on photographs, no loss at twice the size
                image.draft(image.mode, (2 * max(size), 2 * max(size)))
            ImageOps.exif_transpose(image, in_place=True)
            flat = flatten(image, channels)
            if flat.size != (width, height):
                flat = ImageOps.fit(flat, (width, height), Image.Resampling.BICUBIC)
            pixels = np.asarray(flat)
    except BadImage:
        raise
    except Exception as error:  # as above
        raise BadImage(_why(raw, error)) from error
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def headers(raws: Sequence[Raw]) -> list[Header | str]:
    """The header of each, or what is wrong with it."""
    out: list[Header | str] = []
    for raw in raws:
        try:
            out.append(header(raw))
        except BadImage as bad:
            out.append(str(bad))
    return out


def decode_all(raws: Sequence[Raw], size: tuple[int, int], channels: int) -> list[np.ndarray[Any, Any] | str]:
    """The pixels of each, or what is wrong with it."""
    out: list[np.ndarray[Any, Any] | str] = []
    for raw in raws:
        try:
            out.append(decode_one(raw, size, channels))
        except BadImage as bad:
            out.append(str(bad))
    return out
