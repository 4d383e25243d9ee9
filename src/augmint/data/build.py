"""A Source → an ImageTable at one size and mode, and the facts that `augmint check` shows.

    table, facts = make_table(readers.read("photos/"), DataSettings(), progress)

Headers are read first: they decide size and mode. Then all images are decoded by a few threads, into
the cache where there is one. Whether RGB files are in truth grey is decided on all their pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import PIL
import torch

from augmint.config import DataSettings
from augmint.data import cache
from augmint.data.arrays import from_array
from augmint.data.decoding import decode, look, refuse
from augmint.data.manifest import hashes
from augmint.data.mapped import Mapped
from augmint.data.pixels import BadImage, Header
from augmint.data.source import Pictures, Source
from augmint.data.table import ImageTable
from augmint.errors import InputError
from augmint.train import memory
from augmint.train.progress import ProgressOut

SMALLEST, LARGEST_NATIVE, LARGEST = 8, 64, 32
SEEN = "seen.json"
Pixels = np.ndarray[Any, Any]


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


def _wants_grey(heads: Sequence[Header], settings: DataSettings) -> bool | None:
    """True, False, or None: only the pixels can tell."""
    if settings.mode != "auto":
        return settings.mode == "grey"
    return True if all(head.grey for head in heads) else None


def is_grey(pixels: Pixels) -> bool:
    """Whether uint8 [N, 3, H, W] is grey everywhere; ends at the first coloured thousand."""
    blocks = (pixels[i : i + 1000] for i in range(0, len(pixels), 1000))
    return all((b[:, 0] == b[:, 1]).all() and (b[:, 0] == b[:, 2]).all() for b in blocks)


def _look(source: Source, pictures: Pictures, settings: DataSettings, out: ProgressOut) -> dict[str, Any]:
    """What the headers say about all N, and the shape that follows. InputError if there is no image at all."""
    heads = look(source, pictures, settings, out)
    good = [head for head in heads if isinstance(head, Header)]
    if not good:
        first = next((h for h in heads if isinstance(h, str)), "no images")
        raise InputError(f"{source.name}: none of {len(heads)} files is a readable image (the first: {first})")
    size = choose_size([(h.width, h.height) for h in good], settings)
    grey = _wants_grey(good, settings)
    return {
        "sizes": [[h.width, h.height] if isinstance(h, Header) else [0, 0] for h in heads],
        "modes": [h.mode if isinstance(h, Header) else "" for h in heads],
        "bad": {str(i): h for i, h in enumerate(heads) if isinstance(h, str)},
        "grey": grey,
        "shape": [len(heads), 1 if grey else 3, *size],
    }


def _make(
    source: Source, pictures: Pictures, settings: DataSettings, part: cache.Part, out: ProgressOut
) -> tuple[Pixels, dict[str, Any]]:
    """Decode everything that a process before this one, if any, has not."""
    seen = part.recall(SEEN)
    if not seen:
        seen = _look(source, pictures, settings, out)
        part.note(SEEN, seen)
    pixels = part.pixels(tuple(seen["shape"]), round(settings.resident * memory.available()))
    bad = {**decode(source, pictures, pixels, part, settings, out), **seen["bad"]}
    grey = bool(seen["grey"] is None and is_grey(pixels))
    facts = {**seen, "bad": dict(sorted(bad.items(), key=lambda item: int(item[0]))), "grey": grey}
    return part.keep(pixels, facts), facts


def _from_pictures(
    source: Source, pictures: Pictures, settings: DataSettings, out: ProgressOut
) -> tuple[Pixels, dict[str, Any]]:
    """uint8 [N, C, H, W] and facts about all N, from the cache or freshly decoded."""
    wish = f"{settings.size} {settings.mode} pillow {PIL.__version__}"
    fingerprint = f"{wish}\n{pictures.fingerprint()}" if settings.cache else None
    if stored := cache.lookup(fingerprint):
        return stored
    with cache.making(fingerprint, out) as part:
        return cache.lookup(fingerprint) or _make(source, pictures, settings, part, out)


def images_of(pixels: Pixels, keep: np.ndarray[Any, Any], settings: DataSettings) -> torch.Tensor | Mapped:
    """The rows to keep: in memory where they take a small part of it, else where they are, on disk."""
    size = int(keep.sum()) * pixels[0].nbytes
    if isinstance(pixels, np.memmap) and size > settings.resident * memory.available():
        return Mapped(pixels, np.flatnonzero(keep))
    plain = np.asarray(pixels)  # without its own memory where it is a map
    return torch.from_numpy(np.require(plain if keep.all() else plain[keep], requirements=["C", "O", "W"]))


def _table(source: Source, pixels: Pixels, keep: np.ndarray[Any, Any], settings: DataSettings) -> ImageTable:
    images = images_of(pixels, keep, settings)
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
        return _table(source, pixels, np.ones(count, bool), settings), Facts(*originals)
    pixels, found = _from_pictures(source, source.pictures, settings, out)
    if found["grey"]:
        pixels = pixels[:, :1]
    keep = np.ones(count, bool)
    keep[[int(row) for row in found["bad"]]] = False
    if not keep.all() and settings.on_bad == "error":
        row, why = next(iter(found["bad"].items()))
        raise refuse(source, int(row), why)
    if not keep.any():
        raise InputError(f"{source.name}: none of {count} files is a readable image")
    rows = np.flatnonzero(keep)
    told = Facts(
        [(found["sizes"][i][0], found["sizes"][i][1]) for i in rows],
        [found["modes"][i] for i in rows],
        [(source.paths[int(row)], why) for row, why in found["bad"].items()],
    )
    return _table(source, pixels, keep, settings), told
