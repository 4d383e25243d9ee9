"""Every mode and format becomes the right uint8 pixels."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from augmint.data.pixels import BadImage, decode_one, header
from conftest import picture


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def solid(mode: str, colour: object, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new(mode, size, colour)


def only(pixels: np.ndarray) -> list[int]:
    """The one colour of an image of one colour."""
    flat = pixels.reshape(len(pixels), -1)
    assert (flat == flat[:, :1]).all()
    return flat[:, 0].tolist()


def test_16_bit_is_scaled_by_its_type() -> None:
    for value, expected in ((0, 0), (257, 1), (32896, 128), (65535, 255)):
        image = Image.fromarray(np.full((8, 8), value, np.uint16))
        for kind in ("PNG", "TIFF"):
            assert only(decode_one(encoded(image, kind), (8, 8), 1)) == [expected]
            assert only(decode_one(encoded(image, kind), (8, 8), 3)) == [expected] * 3


def test_16_bit_rgb_png_keeps_its_colour() -> None:
    row = b"\0" + struct.pack(">3H", 65535, 32768, 0) * 4
    body = zlib.compress(row * 4)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    assert only(decode_one(png, (4, 4), 3)) == [255, 128, 0]


def test_cmyk_becomes_rgb() -> None:
    red, green, blue = only(decode_one(encoded(solid("CMYK", (0, 255, 255, 0)), "JPEG"), (8, 8), 3))
    assert red > 230 and green < 40 and blue < 40


def test_transparency_lies_on_white() -> None:
    assert only(decode_one(encoded(solid("RGBA", (0, 0, 0, 0))), (8, 8), 3)) == [255] * 3
    assert only(decode_one(encoded(solid("RGBA", (255, 0, 0, 255))), (8, 8), 3)) == [255, 0, 0]
    half = only(decode_one(encoded(solid("LA", (0, 128))), (8, 8), 1))
    assert abs(half[0] - 127) <= 1


def test_palette_with_and_without_transparency() -> None:
    image = solid("RGB", (10, 200, 30)).convert("P", palette=Image.Palette.ADAPTIVE)
    assert only(decode_one(encoded(image), (8, 8), 3)) == [10, 200, 30]
    clear = encoded(image, "PNG", transparency=0)
    assert only(decode_one(clear, (8, 8), 3)) in ([255] * 3, [10, 200, 30])
    index = image.getpixel((0, 0))
    assert only(decode_one(encoded(image, "PNG", transparency=index), (8, 8), 3)) == [255] * 3


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animation_gives_its_first_frame(kind: str) -> None:
    frames = [solid("RGB", colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    red, green, blue = decode_one(data, (8, 8), 3).reshape(3, -1).mean(1)
    assert red > 230 and green < 20 and blue < 20


def test_exif_orientation_is_applied() -> None:
    image = Image.new("L", (16, 16), 0)
    image.paste(255, (0, 0, 16, 8))  # white above
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    pixels = decode_one(encoded(image, "PNG", exif=exif), (16, 16), 1)
    assert pixels[0, 0].max() == 0 and pixels[0, -1].min() == 255
    exif[0x0112] = 6
    wide = encoded(Image.new("L", (20, 10)), "JPEG", exif=exif)
    assert (header(wide).width, header(wide).height) == (10, 20)


def test_one_bit_and_one_pixel() -> None:
    assert only(decode_one(encoded(solid("1", 1)), (8, 8), 1)) == [255]
    assert only(decode_one(encoded(solid("RGB", (9, 8, 7), (1, 1))), (8, 8), 3)) == [9, 8, 7]


def test_centre_is_cut_and_short_side_fits() -> None:
    image = Image.new("RGB", (60, 20), (255, 0, 0))
    image.paste((0, 255, 0), (20, 0, 40, 20))  # the middle square
    assert only(decode_one(encoded(image), (20, 20), 3)) == [0, 255, 0]


def test_scaling_is_antialiased() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    pixels = decode_one(encoded(Image.fromarray(stripes)), (8, 8), 1)
    assert abs(float(pixels.mean()) - 127.5) < 2 and pixels.std() < 12


def test_large_jpeg_decoded_at_a_fraction_is_the_same_picture() -> None:
    data = encoded(picture(3, 640, 640), "JPEG", quality=95)
    whole = np.asarray(Image.open(io.BytesIO(data)).resize((32, 32), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(decode_one(data, (32, 32), 3).transpose(1, 2, 0).astype(int) - whole).max() <= 4


def test_float_tiff() -> None:
    unit = Image.fromarray(np.full((8, 8), 0.5, np.float32))
    assert only(decode_one(encoded(unit, "TIFF"), (8, 8), 1)) == [128]
    with pytest.raises(BadImage, match="float pixels"):
        decode_one(encoded(Image.fromarray(np.full((8, 8), -3.0, np.float32)), "TIFF"), (8, 8), 1)


def test_postscript_is_never_opened() -> None:
    with pytest.raises(BadImage, match="text file"):
        decode_one(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n", (8, 8), 3)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_image_or_a_bad_image(data: bytes) -> None:
    with pytest.raises(BadImage):
        decode_one(data, (8, 8), 3)


@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=4), st.sampled_from(["PNG", "JPEG", "GIF", "TIFF"]))
def test_damaged_images_are_decoded_or_bad_never_a_crash(at: int, noise: bytes, kind: str) -> None:
    data = bytearray(encoded(picture(1), kind))
    at %= len(data)
    data[at : at + len(noise)] = noise
    try:
        pixels = decode_one(bytes(data), (8, 8), 3)
    except BadImage as bad:
        assert "\n" not in str(bad)
    else:
        assert pixels.shape == (3, 8, 8) and pixels.dtype == np.uint8


@given(st.integers(1, 80), st.integers(1, 80), st.sampled_from(["RGB", "L", "RGBA", "LA", "P", "1", "CMYK", "I;16"]))
def test_every_size_and_mode_gives_the_asked_shape(width: int, height: int, mode: str) -> None:
    image = picture(0, width, height).convert("I" if mode == "I;16" else mode)
    image = image.convert("I;16") if mode == "I;16" else image
    data = encoded(image, "TIFF" if mode in ("CMYK", "I;16") else "PNG")
    for channels in (1, 3):
        assert decode_one(data, (9, 9), channels).shape == (channels, 9, 9)
