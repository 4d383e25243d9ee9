"""Decoded images on disk, outside any run, so that a folder of photographs is decoded once.

    with making(fingerprint, progress) as part:               # None: nothing is kept
        pixels = part.pixels((count, 3, 32, 32), in_memory)    # an array to fill
        part.note(DONE, {"rows": 4096})                        # part.recall(DONE) after a kill
        pixels = part.keep(pixels, facts)

Entries live in $AUGMINT_CACHE or the user's cache folder: <key>/images.u8 (raw uint8, mapped read-only)
and <key>/facts.json. The key is a hash of every file's name, size and times. An entry is made beside, under a
lock, and renamed: a second process that wants the same waits for the first. A cache that cannot be written, is full
or damaged is as good as none; images that are too many for memory then go to a file that ends with the process.
"""

import fcntl
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from augmint.errors import InputError
from augmint.train import memory
from augmint.train.checkpoint import atomic_write
from augmint.train.progress import QUIET, ProgressOut

Pixels = np.ndarray[Any, Any]
Shape = tuple[int, ...]
Facts = dict[str, Any]
SCHEMA = 1
SPARE = 1 << 30  # bytes that must stay free on the disk
ABANDONED = 7 * 86_400.0  # seconds after which a part that nobody goes on with is removed
IMAGES, FACTS, LOCK = "images.u8", "facts.json", "lock"
DONE = "done.json"  # how far the pixels of a part are: void without them


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


def lookup(fingerprint: str | None) -> tuple[Pixels, Facts] | None:
    """The stored images (read-only memory map, uint8 [N, C, H, W]) and facts, or None."""
    if fingerprint is None:
        return None
    folder = entry(fingerprint)
    try:
        facts = json.loads((folder / FACTS).read_text())
        shape = tuple(facts["shape"])
        if (folder / IMAGES).stat().st_size != math.prod(shape):
            return None
        return np.memmap(folder / IMAGES, np.uint8, "r", shape=shape), facts
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _tidy(folder: Path) -> None:
    """Remove what killed processes left behind long ago and nobody went on with."""
    for part in folder.glob(".part-*"):
        with suppress(OSError):  # its maker may finish it at this moment
            if time.time() - part.stat().st_mtime > ABANDONED:
                shutil.rmtree(part)


def _has_room(folder: Path, size: int) -> bool:
    return shutil.disk_usage(folder).free >= size + SPARE


def _reserve(file: IO[bytes], size: int) -> None:
    """Blocks of its own for a file: writing to a map must not meet a full disk (that kills the process)."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)


def _nameless(shape: Shape) -> Pixels | None:
    """An array in a file without a name, gone with the process; None if no disk has room for it."""
    for folder in (cache_folder(), Path(tempfile.gettempdir())):
        with suppress(OSError):
            if _has_room(folder, math.prod(shape)):
                with tempfile.TemporaryFile(dir=folder) as file:
                    _reserve(file, math.prod(shape))
                    return np.memmap(file, np.uint8, "r+", shape=shape)
    return None


@dataclass(eq=False)
class Part:
    """An entry in the making. Without a folder nothing is kept, recalled or noted."""

    folder: Path | None = None
    place: Path = Path()

    def recall(self, name: str) -> Facts:
        """What an earlier process, stopped before the end, has noted under this name; {} for nothing."""
        try:
            found = json.loads((self.folder / name).read_text()) if self.folder else {}
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def note(self, name: str, facts: Facts) -> None:
        """Store facts, whole or not at all."""
        if self.folder:
            with suppress(InputError):  # a full disk: the next process begins again
                atomic_write(self.folder / name, json.dumps(facts))

    def pixels(self, shape: Shape, in_memory: int) -> Pixels:
        """uint8 array to fill: that of the stopped process, a new one on disk, or, where no cache is to be had,
        one in memory if it has at most `in_memory` bytes. InputError if there is no room anywhere."""
        size = math.prod(shape)
        found = self._on_disk(shape)
        if found is None and size > in_memory:
            found = _nameless(shape)
        if found is None and size > memory.available():
            raise InputError(
                f"{shape[0]:,} decoded images take {size / 2**30:.1f} GiB, more than memory and disk have; "
                f"free space in {cache_folder()}, or name another disk in AUGMINT_CACHE"
            )
        return np.empty(shape, np.uint8) if found is None else found

    def _on_disk(self, shape: Shape) -> Pixels | None:
        if self.folder is None:
            return None
        path, size = self.folder / IMAGES, math.prod(shape)
        try:
            if not path.exists() or path.stat().st_size != size:
                if not _has_room(self.folder, size):
                    raise OSError("disk full")
                (self.folder / DONE).unlink(missing_ok=True)
                with open(path, "wb") as file:
                    _reserve(file, size)
            return np.memmap(path, np.uint8, "r+", shape=shape)
        except OSError:
            self.discard()
            return None

    def keep(self, pixels: Pixels, facts: Facts) -> Pixels:
        """Finish: the entry appears whole, with its facts. Returns the pixels, read-only where mapped."""
        if isinstance(pixels, np.memmap):
            pixels.flush()
        if self.folder is None:
            return pixels
        try:
            (self.folder / FACTS).write_text(json.dumps({**facts, "shape": list(pixels.shape)}))
            if self.place.exists():  # damaged
                shutil.rmtree(self.place, ignore_errors=True)
            self.folder.rename(self.place)
            self.folder = None
            for name in {path.name for path in self.place.iterdir()} - {IMAGES, FACTS}:
                (self.place / name).unlink()  # the lock only now: who waits for it finds that the part has gone
            return np.memmap(self.place / IMAGES, np.uint8, "r", shape=pixels.shape)
        except OSError:
            return pixels

    def discard(self) -> None:
        """Remove what has not been kept, out of the way first: nobody shall begin in a folder that is being removed."""
        if self.folder is None:
            return
        with suppress(OSError):
            gone = Path(tempfile.mkdtemp(prefix=".part-", dir=self.folder.parent))
            shutil.rmtree(self.folder.rename(gone), ignore_errors=True)
        self.folder = None


def _lock(folder: Path, out: ProgressOut) -> IO[str]:
    """The lock of a part, once no other process has it. OSError if the disk refuses."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file = open(folder / LOCK, "a+")
        except FileNotFoundError:  # finished or discarded at this very moment
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            out.say("another augmint is decoding these images; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        if (folder / LOCK).exists() and os.path.samestat(os.fstat(file.fileno()), (folder / LOCK).stat()):
            return file
        file.close()


def _claim(fingerprint: str | None, out: ProgressOut) -> tuple[Part, AbstractContextManager[Any]]:
    """The part of an entry and its lock; neither, where there is no cache."""
    if fingerprint is None:
        return Part(), nullcontext()
    place = entry(fingerprint)
    folder = place.with_name(f".part-{place.name}")
    try:
        _tidy(place.parent)
        return Part(folder, place), _lock(folder, out)
    except OSError:
        return Part(), nullcontext()


@contextmanager
def making(fingerprint: str | None, out: ProgressOut = QUIET) -> Iterator[Part]:
    """The entry of this content, to be made by this process alone. Look it up again inside: while this process waited,
    another may have made it.

    What was noted stays if the process is stopped or killed, and goes if an error ends the block.
    """
    part, lock = _claim(fingerprint, out)
    with lock:
        try:
            yield part
        except Exception:
            part.discard()
            raise
        part.discard()
