"""Decoded images on disk, outside any run, so that a folder of photographs is decoded once.

    with Store.open(fingerprint, (count, 3, 32, 32)) as store:    # an array to fill; memory if the disk refuses
        store.pixels[...] = ...
        store.keep(facts)

Entries live in $AUGMINT_CACHE or the user's cache folder: <key>/images.u8 (raw uint8, mapped read-only)
and <key>/facts.json. The key is a hash of every file's name, size and times. An entry is made beside and
renamed; a cache that cannot be written, is full or damaged is as good as none.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Pixels = np.ndarray[Any, Any]
Shape = tuple[int, int, int, int]
SCHEMA = 1
SPARE = 1 << 30  # bytes that must stay free on the disk


def cache_folder() -> Path:
    """$AUGMINT_CACHE, or augmint/ in the user's cache folder."""
    named = os.environ.get("AUGMINT_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "augmint"


def entry(fingerprint: str) -> Path:
    """Where the decoded images of this content live or would live."""
    key = hashlib.sha256(f"{SCHEMA}\n{fingerprint}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return cache_folder() / key


def lookup(fingerprint: str) -> tuple[Pixels, dict[str, Any]] | None:
    """The stored images (read-only memory map, uint8 [N, C, H, W]) and facts, or None."""
    folder = entry(fingerprint)
    try:
        facts = json.loads((folder / "facts.json").read_text())
        shape = tuple(facts["shape"])
        if (folder / "images.u8").stat().st_size != int(np.prod(shape)):
            return None
        return np.memmap(folder / "images.u8", np.uint8, "r", shape=shape), facts
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _tidy(folder: Path) -> None:
    """Remove what killed processes left behind a day ago."""
    for part in folder.glob(".part-*"):
        if time.time() - part.stat().st_mtime > 86_400:
            shutil.rmtree(part, ignore_errors=True)


def _reserve(path: Path, size: int) -> None:
    """A file of this size on blocks of its own: writing to a map must not meet a full disk (that kills the process)."""
    with open(path, "wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)


@dataclass(eq=False)
class Store:
    """Pixels to be filled, on disk if possible."""

    pixels: Pixels
    part: Path | None  # the entry in the making
    place: Path

    @classmethod
    @contextmanager
    def open(cls, fingerprint: str | None, shape: Shape) -> Iterator["Store"]:
        """An array of `shape`; without a fingerprint, or where the disk refuses, in memory."""
        store = cls._on_disk(fingerprint, shape) if fingerprint else None
        store = store or cls(np.empty(shape, np.uint8), None, Path())
        try:
            yield store
        finally:
            if store.part:
                shutil.rmtree(store.part, ignore_errors=True)

    @classmethod
    def _on_disk(cls, fingerprint: str, shape: Shape) -> "Store | None":
        place = entry(fingerprint)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            _tidy(place.parent)
            if shutil.disk_usage(place.parent).free < int(np.prod(shape)) + SPARE:
                return None
            part = Path(tempfile.mkdtemp(prefix=".part-", dir=place.parent))
        except OSError:
            return None
        try:
            _reserve(part / "images.u8", int(np.prod(shape)))
            return cls(np.memmap(part / "images.u8", np.uint8, "r+", shape=shape), part, place)
        except OSError:
            shutil.rmtree(part, ignore_errors=True)
            return None

    def keep(self, facts: dict[str, Any]) -> Pixels:
        """Finish: the entry appears whole, with its facts. Returns the pixels, read-only where mapped."""
        if self.part is None or not isinstance(self.pixels, np.memmap):
            return self.pixels
        try:
            self.pixels.flush()
            facts = {**facts, "shape": list(self.pixels.shape)}
            (self.part / "facts.json").write_text(json.dumps(facts))
            if self.place.exists():  # damaged, or made by another process meanwhile: both are the same content
                shutil.rmtree(self.place, ignore_errors=True)
            self.part.rename(self.place)
            return np.memmap(self.place / "images.u8", np.uint8, "r", shape=self.pixels.shape)
        except OSError:
            return self.pixels
