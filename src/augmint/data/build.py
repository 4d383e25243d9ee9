"""A Source → an ImageTable at one size and mode, and the facts that `augmint check` shows.

    table, facts = make_table(readers.read("photos/"), DataSettings(), progress)

Headers are read first: they decide size and mode. Then all images are decoded by a few threads, into
the cache where there is one. Whether RGB files are in truth grey is decided on all their pixels.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import PIL
import torch

from augmint.config import DataSettings
from augmint.data import cache
from augmint.data.arrays import from_array
from augmint.data.manifest import hashes
from augmint.data.pixels import BadImage, Header, decode_all, headers
from augmint.data.source import Pictures, Raw, Source
from augmint.data.table import ImageTable
from augmint.errors import InputError
from augmint.train.compute import cores
from augmint.train.progress import ProgressOut

SMALLEST, LARGEST_NATIVE, LARGEST = 8, 64, 32
RESIDENT = 1 << 30  # bytes; a larger table stays a memory map
Pixels = np.ndarray[Any, Any]
T = TypeVar("T")


@dataclass
class Facts:
    """What the source was like before it became a table. Lists have one entry per readable image."""

    sizes: list[tuple[int, int]] = field(default_factory=list)  # width, height
    modes: list[str] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)  # path, what is wrong


def choose_size(sizes: Sequence[tuple[int, int]], settings: DataSettings) -> tuple[int, int]:
    """(height, width), square: as asked; or the images' own if all are equal and small; or the median short side."""
    if settings.size:
        return settings.size, settings.size
    width, height = sizes[0]
    same = width == height and all(size == sizes[0] for size in sizes)
    if same and SMALLEST <= width <= LARGEST_NATIVE:
        return height, width
    side = int(np.median([min(size) for size in sizes]))
    side = min(LARGEST, max(SMALLEST, side))
    return side, side


def _in_order(work: Callable[[Sequence[Raw]], list[T]], pictures: Pictures) -> Iterator[list[T]]:
    """`work` on every chunk by a few threads; results in order; only a few chunks in memory at a time."""
    threads = min(8, cores())
    waiting: deque[Future[list[T]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for chunk in pictures.chunks():
                waiting.append(pool.submit(work, chunk))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _refuse(source: Source, row: int, why: str) -> InputError:
    name = source.paths[row] or f"image {row}"
    return InputError(
        f"{source.name}: {name}: {why}; `augmint check` lists all such files, --set data.on_bad=skip leaves them out"
    )


def _probe(source: Source, pictures: Pictures, settings: DataSettings, out: ProgressOut) -> list[Header | str]:
    found: list[Header | str] = []
    with out.task("looking at images", len(pictures)) as task:
        for part in _in_order(headers, pictures):
            for head in part:
                if isinstance(head, str) and settings.on_bad == "error":
                    raise _refuse(source, len(found), head)
                found.append(head)
            task.update(len(found))
    return found


def _decode(
    source: Source, pictures: Pictures, size: tuple[int, int], pixels: Pixels, settings: DataSettings, out: ProgressOut
) -> dict[int, str]:
    """Fill `pixels` [N, C, H, W]; returns what is wrong with which row."""
    channels, row, bad = pixels.shape[1], 0, dict[int, str]()
    with out.task("decoding images", len(pictures)) as task:
        for part in _in_order(lambda raws: decode_all(raws, size, channels), pictures):
            for image in part:
                if isinstance(image, str):
                    if settings.on_bad == "error":
                        raise _refuse(source, row, image)
                    bad[row], pixels[row] = image, 0
                else:
                    pixels[row] = image
                row += 1
            task.update(row)
    return bad


def _wants_grey(heads: Sequence[Header], settings: DataSettings) -> bool | None:
    """True, False, or None: only the pixels can tell."""
    if settings.mode != "auto":
        return settings.mode == "grey"
    return True if all(head.grey for head in heads) else None


def is_grey(pixels: Pixels) -> bool:
    """Whether uint8 [N, 3, H, W] is grey everywhere; ends at the first coloured thousand."""
    blocks = (pixels[i : i + 1000] for i in range(0, len(pixels), 1000))
    return all((b[:, 0] == b[:, 1]).all() and (b[:, 0] == b[:, 2]).all() for b in blocks)


def _from_pictures(
    source: Source, pictures: Pictures, settings: DataSettings, out: ProgressOut
) -> tuple[Pixels, dict[str, Any]]:
    """uint8 [N, C, H, W] and facts about all N, from the cache or freshly decoded."""
    wish = f"{settings.size} {settings.mode} pillow {PIL.__version__}"
    fingerprint = f"{wish}\n{pictures.fingerprint()}" if settings.cache else None
    stored = cache.lookup(fingerprint) if fingerprint else None
    if stored:
        return stored
    heads = _probe(source, pictures, settings, out)
    good = [head for head in heads if isinstance(head, Header)]
    if not good:
        first = next((h for h in heads if isinstance(h, str)), "no images")
        raise InputError(f"{source.name}: none of {len(heads)} files is a readable image (the first: {first})")
    size = choose_size([(h.width, h.height) for h in good], settings)
    grey = _wants_grey(good, settings)
    facts: dict[str, Any] = {
        "sizes": [[h.width, h.height] if isinstance(h, Header) else [0, 0] for h in heads],
        "modes": [h.mode if isinstance(h, Header) else "" for h in heads],
        "bad": {i: h for i, h in enumerate(heads) if isinstance(h, str)},
    }
    with cache.Store.open(fingerprint, (len(heads), 1 if grey else 3, *size)) as store:
        facts["bad"] = {**_decode(source, pictures, size, store.pixels, settings, out), **facts["bad"]}
        facts["grey"] = bool(grey is None and is_grey(store.pixels))
        facts["bad"] = {str(row): why for row, why in sorted(facts["bad"].items())}
        return store.keep(facts), facts


def _tensor(pixels: Pixels) -> torch.Tensor | Any:
    """Resident where it is small enough, else the memory map itself."""
    if isinstance(pixels, np.memmap) and pixels.nbytes > RESIDENT:
        return pixels
    return torch.from_numpy(np.array(pixels) if not pixels.flags.writeable or pixels.base is not None else pixels)


def _table(source: Source, pixels: Pixels, keep: np.ndarray[Any, Any]) -> ImageTable:
    whole = bool(keep.all())
    images = _tensor(pixels if whole else pixels[keep])
    count = len(images)
    ids = np.array([f"{digest[:16]}:{row}" for row, digest in enumerate(hashes(images))])
    return ImageTable(
        images=images,
        labels=torch.from_numpy(source.labels[keep]),
        ids=ids,
        split=torch.from_numpy(source.split[keep]),
        group=torch.from_numpy(source.group[keep]),
        weight=torch.ones(count),
        classes=source.classes,
        paths=np.array(source.paths, dtype=str)[keep],
        name=source.name,
    )


def make_table(source: Source, settings: DataSettings, out: ProgressOut) -> tuple[ImageTable, Facts]:
    """The table of a source. InputError names the first file that is no image, unless they are skipped."""
    count = len(source.pictures)
    if count == 0:
        raise InputError(
            f"{source.name}: no images; give a folder of images, a manifest, or a Parquet, IDX or .npz file"
        )
    if isinstance(source.pictures, np.ndarray):
        try:
            pixels, originals = from_array(source.pictures, settings, choose_size)
        except BadImage as bad:
            raise InputError(f"{source.name}: {bad}") from bad
        return _table(source, pixels, np.ones(count, bool)), Facts(*originals)
    pixels, found = _from_pictures(source, source.pictures, settings, out)
    if found["grey"]:
        pixels = pixels[:, :1]
    keep = np.ones(count, bool)
    keep[[int(row) for row in found["bad"]]] = False
    if not keep.all() and settings.on_bad == "error":
        row, why = next(iter(found["bad"].items()))
        raise _refuse(source, int(row), why)
    if not keep.any():
        raise InputError(f"{source.name}: none of {count} files is a readable image")
    rows = np.flatnonzero(keep)
    told = Facts(
        [(found["sizes"][i][0], found["sizes"][i][1]) for i in rows],
        [found["modes"][i] for i in rows],
        [(source.paths[int(row)], why) for row, why in found["bad"].items()],
    )
    return _table(source, pixels, keep), told
