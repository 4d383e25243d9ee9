"""Encoded pictures → headers and pixels, by a few threads, in order, with progress; decoding goes on where it stopped.

    seen = look(source, pictures, settings, progress)                     # sizes, modes, bad
    bad = decode(source, pictures, pixels, part, settings, progress)      # fills uint8 [N, C, H, W]

Threads, as Pillow decodes and scales outside the interpreter's lock: 0.9 of the time of a photograph of 500 pixels,
half of that of one of 64. So eight cores are used fully by photographs and twofold by tiny images, of which one core
decodes 6,000 a second.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from augmint.config import DataSettings
from augmint.data.cache import DONE, Part
from augmint.data.pixels import Header, decode_all, headers
from augmint.data.source import Pictures, Raw, Source
from augmint.errors import InputError
from augmint.train.compute import cores
from augmint.train.progress import ProgressOut

NOTE_SECONDS = 5.0  # between two notes of what is done: what a kill costs at most
Pixels = np.ndarray[Any, Any]
Chunk = tuple[int, Sequence[Raw]]  # number of the first picture, and the pictures
T = TypeVar("T")


def in_order(work: Callable[[Chunk], T], chunks: Iterable[Chunk]) -> Iterator[T]:
    """`work` on every chunk by a few threads; results in order; only a few chunks in memory at a time."""
    threads = min(8, cores())
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for chunk in chunks:
                waiting.append(pool.submit(work, chunk))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _numbered(pictures: Pictures, start: int = 0) -> Iterator[Chunk]:
    for raws in pictures.chunks(start):
        yield start, raws
        start += len(raws)


def refuse(source: Source, row: int, why: str) -> InputError:
    """The error about a picture that is none."""
    name = source.paths[row] or f"image {row}"
    return InputError(
        f"{source.name}: {name}: {why}; `augmint check` lists all such files, --set data.on_bad=skip leaves them out"
    )


def look(source: Source, pictures: Pictures, settings: DataSettings, out: ProgressOut) -> list[Header | str]:
    """The header of every picture, or what is wrong with it. InputError at the first bad one, unless skipped."""
    found: list[Header | str] = []
    with out.task("looking at images", len(pictures)) as task:
        for part in in_order(lambda chunk: headers(chunk[1]), _numbered(pictures)):
            for head in part:
                if isinstance(head, str) and settings.on_bad == "error":
                    raise refuse(source, len(found), head)
                found.append(head)
            task.update(len(found))
    return found


def _into(pixels: Pixels, chunk: Chunk) -> tuple[int, dict[int, str]]:
    """Decode a chunk into its place; how many pictures it had, and what is wrong with which."""
    first, raws = chunk
    bad: dict[int, str] = {}
    for row, image in enumerate(decode_all(raws, pixels.shape[2:], pixels.shape[1]), first):
        if isinstance(image, str):
            bad[row], pixels[row] = image, 0
        else:
            pixels[row] = image
    return len(raws), bad


def decode(
    source: Source, pictures: Pictures, pixels: Pixels, part: Part, settings: DataSettings, out: ProgressOut
) -> dict[str, str]:
    """Fill `pixels` [N, C, H, W] from where a process before this one was stopped; what is wrong with which row.

    InputError at the first bad picture, unless they are skipped.
    """
    before = part.recall(DONE)
    done, bad, noted = int(before.get("rows", 0)), dict(before.get("bad", {})), time.monotonic()
    with out.task("decoding images", len(pictures)) as task:
        task.restored(done)
        for count, wrong in in_order(lambda chunk: _into(pixels, chunk), _numbered(pictures, done)):
            for row, why in wrong.items():
                if settings.on_bad == "error":
                    raise refuse(source, row, why)
                bad[str(row)] = why
            done += count
            task.update(done)
            if time.monotonic() - noted > NOTE_SECONDS and isinstance(pixels, np.memmap):
                pixels.flush()  # first the pixels, then the word that they are there
                part.note(DONE, {"rows": done, "bad": bad})
                noted = time.monotonic()
    return bad
