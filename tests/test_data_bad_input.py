"""Files that are no good image, given to every reader of encoded images; and the cache around them."""

import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from augmint.config import DataSettings
from augmint.data import cache, load
from augmint.data.table import ImageTable
from augmint.errors import InputError
from conftest import picture
from test_data_pixels import encoded


def huge_png() -> bytes:
    """20,000 × 20,000 pixels of one bit in about 50 kB."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    body = zlib.compress(bytes(2501 * 20_000), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def cut(kind: str) -> bytes:
    data = encoded(picture(1, 64, 64), kind)
    return data[: len(data) * 2 // 3]


def corrupt_png() -> bytes:
    data = bytearray(encoded(picture(1, 64, 64)))
    data[60:200] = bytes(140)
    return bytes(data)


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "truncated-jpeg": (lambda: cut("JPEG"), "corrupt or truncated"),
    "truncated-png": (lambda: cut("PNG"), "corrupt or truncated"),
    "truncated-gif": (lambda: cut("GIF"), "corrupt or truncated"),
    "corrupt": (corrupt_png, "corrupt or truncated"),
    "empty": (lambda: b"", "empty file"),
    "text": (lambda: b"Hello, I am a text file.\n", "a text file, not an image"),
    "garbage": (lambda: bytes(range(256)), "not an image of a known format"),
    "huge": (huge_png, "80 million"),
}
Writer = Callable[[Path, list[bytes]], Path]


def as_folder(place: Path, data: list[bytes]) -> Path:
    for i, content in enumerate(data):
        folder = place / "cat" if i % 2 else place / "dog"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.jpg").write_bytes(content)
    return place


def as_flat(place: Path, data: list[bytes]) -> Path:
    place.mkdir()
    for i, content in enumerate(data):
        (place / f"{i}.jpg").write_bytes(content)
    return place


def as_manifest(place: Path, data: list[bytes]) -> Path:
    as_flat(place, data)
    (place / "m.csv").write_text("file_name,label\n" + "".join(f"{i}.jpg,{i % 2}\n" for i in range(len(data))))
    return place / "m.csv"


def as_parquet(place: Path, data: list[bytes]) -> Path:
    place.mkdir()
    images = [{"bytes": content, "path": f"{i}.jpg"} for i, content in enumerate(data)]
    pq.write_table(pa.table({"image": images, "label": [i % 2 for i in range(len(data))]}), place / "a.parquet")
    return place / "a.parquet"


WRITERS: tuple[Writer, ...] = (as_folder, as_flat, as_manifest, as_parquet)


@pytest.mark.parametrize("writer", WRITERS, ids=lambda w: w.__name__)
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_named_or_left_out(tmp_path: Path, writer: Writer, kind: str) -> None:
    make, message = BAD[kind]
    place = writer(tmp_path / "in", [*(encoded(picture(i), "JPEG") for i in range(4)), make()])
    with pytest.raises(InputError, match=message) as error:
        load(place)
    text = str(error.value)
    assert "4.jpg" in text and "augmint check" in text and "\n" not in text
    table = load(place, DataSettings(on_bad="skip"))
    assert len(table) == 4 and not any("4.jpg" in path for path in table.paths)
    assert [int(i.partition(":")[2]) for i in table.ids] == [0, 1, 2, 3]
    with pytest.raises(InputError, match=message):  # also after the cache knows the source
        load(place)


GOOD: dict[str, Callable[[], bytes]] = {
    "one-pixel": lambda: encoded(picture(1, 1, 1)),
    "cmyk": lambda: encoded(picture(1, mode="CMYK"), "JPEG"),
    "16-bit": lambda: encoded(picture(1, mode="I").convert("I;16")),
    "palette": lambda: encoded(picture(1, mode="P")),
    "transparent": lambda: encoded(picture(1, mode="RGBA")),
    "grey-transparent": lambda: encoded(picture(1, mode="LA")),
    "one-bit": lambda: encoded(picture(1, mode="1")),
    "animated": lambda: encoded(picture(1), "GIF", save_all=True, append_images=[picture(2), picture(3)]),
    "webp": lambda: encoded(picture(1), "WEBP"),
    "tiff": lambda: encoded(picture(1), "TIFF"),
    "long": lambda: encoded(picture(1, 3000, 2)),
}


@pytest.mark.parametrize("writer", WRITERS, ids=lambda w: w.__name__)
@pytest.mark.parametrize("kind", GOOD)
def test_an_unusual_image_becomes_one_of_the_table(tmp_path: Path, writer: Writer, kind: str) -> None:
    place = writer(tmp_path / "in", [*(encoded(picture(i), "JPEG") for i in range(3)), GOOD[kind]()])
    table = load(place, DataSettings(size=16))
    assert table.images.shape == (4, 3, 16, 16) and len(set(table.ids)) == 4


@pytest.mark.parametrize("writer", WRITERS, ids=lambda w: w.__name__)
def test_nothing_but_bad_files(tmp_path: Path, writer: Writer) -> None:
    place = writer(tmp_path / "in", [b"", b"text"])
    with pytest.raises(InputError, match="none of 2 files is a readable image"):
        load(place, DataSettings(on_bad="skip"))


def test_parquet_without_bytes(tmp_path: Path) -> None:
    images = [{"bytes": encoded(picture(0)), "path": "0.png"}, {"bytes": None, "path": "/etc/passwd"}]
    pq.write_table(pa.table({"image": images}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="no image data"):
        load(tmp_path / "a.parquet")


def test_a_device_or_folder_named_jpg_is_no_image(tmp_path: Path) -> None:
    as_folder(tmp_path / "in", [encoded(picture(i), "JPEG") for i in range(3)])
    (tmp_path / "in" / "cat" / "folder.jpg").mkdir()
    (tmp_path / "in" / "cat" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    assert len(load(tmp_path / "in")) == 3


# --- the cache ------------------------------------------------------------------------------------


def same(a: ImageTable, b: ImageTable) -> bool:
    every = torch.arange(len(a))
    return torch.equal(a.gather(every), b.gather(every)) and a.ids.tolist() == b.ids.tolist()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return as_folder(tmp_path / "in", [encoded(picture(i), "JPEG") for i in range(5)])


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("augmint.data.decoding.decode_all", lambda *_: pytest.fail("decoded again"))


def test_the_second_time_nothing_is_decoded(place: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(place)
    assert sorted(p.name for p in next(own_cache.iterdir()).iterdir()) == ["facts.json", "images.u8"]
    forbid_decoding(monkeypatch)
    assert same(first, load(place))


def test_changed_content_and_settings_are_decoded_again(place: Path) -> None:
    first = load(place)
    picture(77).save(place / "dog" / "0.jpg")
    assert not same(first, load(place))
    assert load(place, DataSettings(size=9)).shape == (3, 9, 9)
    assert load(place, DataSettings(mode="grey")).shape == (1, 24, 24)


def test_no_cache_where_none_is_wanted_or_possible(
    place: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = load(place, DataSettings(cache=False))
    assert list(own_cache.iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("AUGMINT_CACHE", str(tmp_path / "file" / "below"))
    assert same(first, load(place))
    monkeypatch.setattr("augmint.data.cache.SPARE", 1 << 60)  # a disk that is full
    monkeypatch.setenv("AUGMINT_CACHE", str(tmp_path / "full"))
    assert same(first, load(place)) and list((tmp_path / "full").iterdir()) == []


@pytest.mark.parametrize("name", ["facts.json", "images.u8"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"damaged"])
def test_a_damaged_cache_is_made_again(place: Path, own_cache: Path, name: str, content: bytes | None) -> None:
    first = load(place)
    file = next(own_cache.iterdir()) / name
    file.unlink() if content is None else file.write_bytes(content)
    assert same(first, load(place))
    assert len(list(own_cache.iterdir())) == 1 and cache.cache_folder() == own_cache


def test_what_a_killed_process_left_is_cleared(place: Path, own_cache: Path) -> None:
    for name, age in ((".part-old", 8), (".part-new", 2)):
        (own_cache / name).mkdir()
        os.utime(own_cache / name, (time.time() - age * 86_400,) * 2)
    load(place)
    assert [p.name for p in own_cache.glob(".part-*")] == [".part-new"]


def test_a_failed_decoding_leaves_no_half_entry(place: Path, own_cache: Path) -> None:
    (place / "cat" / "bad.jpg").write_bytes(cut("JPEG"))
    with pytest.raises(InputError):
        load(place)
    assert list(own_cache.iterdir()) == []
