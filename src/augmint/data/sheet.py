"""A grid of images as one picture, for everyone who writes one.

sheet(images, columns=10, captions=names).save("reals.png")     # images: uint8 [N, C, H, W]
"""

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from augmint.train.checkpoint import atomic_write

GAP = 2
LINE = 12


def _tile(pixels: Tensor, size: tuple[int, int]) -> Image.Image:
    array = pixels.permute(1, 2, 0).contiguous().cpu().numpy()
    image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).convert("RGB")
    return image.resize(size, Image.Resampling.NEAREST)


def _cut(text: str, width: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """As much of `text` as fits into `width` pixels."""
    while text and font.getlength(text) > width:
        text = text[:-1]
    return text


def sheet(images: Tensor, columns: int, scale: int | None = None, captions: list[str] | None = None) -> Image.Image:
    """uint8 [N, C, H, W], C = 1 or 3 → RGB picture, row by row, `columns` wide, white gaps.

    `scale`: every pixel becomes scale × scale (default: tiles of about 64). `captions`: one line under each tile.
    """
    count, _, height, width = images.shape
    scale = scale or max(1, round(64 / max(height, width)))
    columns = max(1, min(columns, count or 1))
    rows = max(1, -(-count // columns))
    wide, high = width * scale, height * scale
    step = high + GAP + (LINE if captions else 0)
    page = Image.new("RGB", (columns * (wide + GAP) + GAP, rows * step + GAP), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(10)
    for i in range(count):
        left, top = GAP + i % columns * (wide + GAP), GAP + i // columns * step
        page.paste(_tile(images[i], (wide, high)), (left, top))
        if captions:
            pen.text((left, top + high), _cut(captions[i], wide, font), fill="black", font=font)
    return page


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a picture, whole or not at all."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    atomic_write(path, buffer.getvalue())
