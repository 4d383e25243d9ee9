"""Tables larger than memory: 20,000 images as a map, decoded once, also after a kill and by several processes."""

import json
import multiprocessing
import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from augmint.config import DataSettings, RepresentSettings
from augmint.data import cache, decoding, load
from augmint.data.manifest import read_manifest, write_manifest
from augmint.data.mapped import Mapped, blocks
from augmint.data.readers import read
from augmint.data.table import ImageTable
from augmint.errors import InputError
from augmint.represent import train_encoder
from augmint.train import Compute, memory
from augmint.train.compute import fits
from augmint.train.progress import ProgressOut
from conftest import picture
from test_data_pixels import encoded

COUNT = 20_000
ON_DISK, IN_MEMORY = DataSettings(resident=0), DataSettings(resident=1e9)
CPU = Compute(torch.device("cpu"), False)


def write_parquet(place: Path, count: int, files: int = 1) -> Path:
    """`count` pictures of 8 × 8, every one different, in files of equal length."""
    place.mkdir()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    for number, part in enumerate(np.split(pixels, files)):
        images = [{"bytes": b"P6 8 8 255\n" + image.tobytes(), "path": None} for image in part]
        labels = np.arange(len(part)) % 10
        pq.write_table(pa.table({"image": images, "label": labels}), place / f"{number}.parquet", row_group_size=1000)
    return place


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parquet(tmp_path_factory.mktemp("large") / "many", COUNT, files=4)


def equal(a: ImageTable, b: ImageTable) -> bool:
    every = torch.arange(len(a))
    return torch.equal(a.gather(every), b.gather(every)) and a.ids.tolist() == b.ids.tolist()


def killed_at(source: Path, row: int) -> None:
    """In a process of its own: decode until this row, then be killed."""
    whole = decoding._into

    def into(pixels: Any, chunk: decoding.Chunk) -> Any:
        if chunk[0] > row:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(pixels, chunk)

    decoding._into, decoding.NOTE_SECONDS = into, 0.0
    load(source, ON_DISK)


def kill(source: Path, row: int) -> int:
    """Rows that the killed process has noted as done."""
    process = multiprocessing.get_context("fork").Process(target=killed_at, args=(source, row))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    (part,) = cache.cache_folder().glob(".part-*")
    return int(json.loads((part / cache.DONE).read_text())["rows"])


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images of every chunk that is decoded from here on."""
    counts: list[int] = []
    whole = decoding.decode_all

    def counting(raws: Any, *size: Any) -> Any:
        counts.append(len(raws))
        return whole(raws, *size)

    monkeypatch.setattr(decoding, "decode_all", counting)
    return counts


def test_twenty_thousand_killed_and_gone_on_with_equal_the_resident_form(
    many: Path, decoded: list[int], own_cache: Path, tmp_path: Path
) -> None:
    done = kill(many, row=6_000)
    assert 3_000 < done <= 6_128
    mapped = load(many, ON_DISK)
    assert sum(decoded) == COUNT - done
    assert [sorted(p.name for p in entry.iterdir()) for entry in own_cache.iterdir()] == [["facts.json", "images.u8"]]
    resident = load(many, IN_MEMORY)
    assert sum(decoded) == COUNT - done  # from the cache
    assert isinstance(mapped.images, Mapped) and isinstance(resident.images, torch.Tensor) and equal(mapped, resident)

    rows = torch.randperm(COUNT, generator=torch.Generator().manual_seed(1))[:19_000]
    pool, same = mapped.take(rows), resident.take(rows)
    assert isinstance(pool.images, Mapped) and pool.images.pixels is mapped.images.pixels
    assert equal(pool, same) and equal(pool.take(rows[rows < 9_000]), same.take(rows[rows < 9_000]))
    for name, table in (("mapped", pool), ("resident", same)):
        write_manifest(table, tmp_path / name)
    assert read_manifest(tmp_path / "mapped").sha256 == read_manifest(tmp_path / "resident").sha256

    tiny = RepresentSettings(backbone="resnet8", width=8, batch=32, images=128, latent=8, decoder_width=4)
    some = torch.arange(0, 19_000, 8)
    one, other = (train_encoder(table, tiny, CPU, seed=0).features(table.take(some)) for table in (pool, same))
    assert len(one) == len(some) and torch.equal(one, other)


def test_a_map_is_read_only_and_gives_rows_in_the_order_asked_for(tmp_path: Path) -> None:
    table = load(write_parquet(tmp_path / "some", 600), ON_DISK)
    assert isinstance(table.images, Mapped) and not table.images.pixels.flags.writeable
    every = torch.cat(list(blocks(table.images)))
    rows = torch.tensor([599, 0, 7, 7, 300])
    assert torch.equal(table.gather(rows), every[rows]) and torch.equal(table.take(rows).gather(rows[1:2]), every[599:])
    assert table.gather(rows[:0]).shape == (0, 3, 8, 8) and len(table.take(rows[:0])) == 0
    assert every.shape == (600, 3, 8, 8) and table.images.shape == (600, 3, 8, 8)


def test_grey_pixels_and_bad_files_are_views_too(tmp_path: Path) -> None:
    for i in range(8):
        (tmp_path / f"{i}.png").write_bytes(encoded(picture(i).convert("L").convert("RGB")))
    cut = encoded(picture(9, mode="L"))
    (tmp_path / "5b.png").write_bytes(cut[: len(cut) // 2])
    mapped, resident = (load(tmp_path, s.model_copy(update={"on_bad": "skip"})) for s in (ON_DISK, IN_MEMORY))
    assert isinstance(mapped.images, Mapped) and mapped.shape == (1, 24, 24) and len(mapped) == 8
    assert equal(mapped, resident)


def test_small_tables_are_resident_and_large_ones_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_parquet(tmp_path / "some", 600)
    size = 600 * 192
    for share, free, expected in ((0.25, 4 * size, torch.Tensor), (0.25, 4 * size - 4, Mapped), (0.0, 10**12, Mapped)):
        monkeypatch.setattr(memory, "available", lambda free=free: free)
        assert isinstance(load(source, DataSettings(resident=share)).images, expected)


def test_a_table_goes_to_a_device_that_has_room_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = ImageTable.of(torch.zeros(10, 3, 8, 8, dtype=torch.uint8), torch.zeros(10, dtype=torch.int64), ("a",))
    cuda, size = torch.device("cuda"), 10 * 3 * 8 * 8
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (2 * size - 1, 10 * size))
    assert table.on(cuda) is table and fits(size - 1, cuda)
    assert table.on(torch.device("cpu")) is table
    assert table.on(torch.device("meta")).images.device.type == "meta"
    large = load(write_parquet(tmp_path / "l", 40), ON_DISK)
    assert large.on(torch.device("meta")) is large


def test_without_a_cache_a_large_table_lies_in_a_file_without_a_name(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_parquet(tmp_path / "some", 600)
    whole = load(source, IN_MEMORY.model_copy(update={"cache": False}))
    mapped = load(source, ON_DISK.model_copy(update={"cache": False}))
    assert isinstance(mapped.images, Mapped) and equal(whole, mapped) and list(own_cache.iterdir()) == []
    monkeypatch.setattr(cache, "SPARE", 1 << 60)  # no disk has room
    assert isinstance(load(source, ON_DISK).images, torch.Tensor)  # but memory has
    monkeypatch.setattr(memory, "available", lambda: 1000)
    with pytest.raises(InputError, match="more than memory and disk have"):
        load(source)


def test_pixels_that_are_gone_are_decoded_from_the_start(
    tmp_path: Path, own_cache: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_parquet(tmp_path / "some", 5000)
    assert kill(source, row=3500) > 0
    (images,) = own_cache.glob(".part-*/images.u8")
    images.write_bytes(b"")
    assert equal(load(source, ON_DISK), load(source, IN_MEMORY)) and sum(decoded) == 5000


@pytest.mark.parametrize("start", [0, 1, 128, 130, 499, 500, 501, 1377, 1999, 2000])
def test_pictures_from_any_number_on(tmp_path: Path, start: int, split_folder: Path) -> None:
    pictures = read(write_parquet(tmp_path / "four", 2000, files=4)).pictures
    flat = [raw for chunk in pictures.chunks() for raw in chunk]
    assert [raw for chunk in pictures.chunks(start) for raw in chunk] == flat[start:]
    files = read(split_folder).pictures
    assert [raw for chunk in files.chunks(start) for raw in chunk] == [raw for c in files.chunks() for raw in c][start:]


# --- several processes ----------------------------------------------------------------------------


class Waits(ProgressOut):
    """Tells when somebody has to wait."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.told = threading.Event()

    def say(self, line: str) -> None:
        assert "waiting" in line
        self.told.set()


def second_maker(found: list[Any]) -> tuple[threading.Thread, Waits]:
    """Somebody else who wants the same entry; he puts down what he finds when it is his turn."""
    waits = Waits()

    def make() -> None:
        with cache.making("same", waits) as part:
            found.append((cache.lookup("same"), part.folder, part.recall("seen")))

    thread = threading.Thread(target=make)
    thread.start()
    return thread, waits


def test_who_wants_what_is_being_made_waits_and_finds_it(own_cache: Path) -> None:
    found: list[Any] = []
    with cache.making("same") as part:
        thread, waits = second_maker(found)
        assert waits.told.wait(20) and not found
        pixels = part.pixels((2, 1, 3, 3), in_memory=0)
        pixels[:] = 7
        part.keep(pixels, {"modes": []})
    thread.join(20)
    stored, _, _ = found[0]
    assert (stored[0] == 7).all() and stored[1]["shape"] == [2, 1, 3, 3]
    assert [p.name for p in own_cache.iterdir()] == [cache.entry("same").name]
    assert sorted(p.name for p in cache.entry("same").iterdir()) == ["facts.json", "images.u8"]


@pytest.mark.parametrize("error, left", [(InputError("bad"), {}), (KeyboardInterrupt(), {"rows": 3})])
def test_after_an_error_others_begin_anew_and_after_a_stop_they_go_on(error: BaseException, left: Any) -> None:
    found: list[Any] = []
    with pytest.raises(type(error)), cache.making("same") as part:
        thread, waits = second_maker(found)
        assert waits.told.wait(20)
        part.note("seen", {"rows": 3})
        raise error
    thread.join(20)
    stored, folder, noted = found[0]
    assert stored is None and folder is not None and noted == left
