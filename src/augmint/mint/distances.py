"""How far images are from each other: root mean square difference of the pixels, 0 … 1.

    distances, rows = nearest_images(minted, pool)             # to the nearest real image
    own = to_parents(minted, pool, parent_rows)
    earlier = to_earlier(minted, counts)                       # among themselves

0.08 says: pixels differ by 8 % of the range. Candidates are found on images reduced to a few numbers (exact
neighbours there), then measured at full size: means over squares, at most 256, and of these the 64 directions in which
the pool varies most. Reduced distances never exceed full ones, so what is missed can only lie beyond the candidates:
never a copy, sometimes a tie in the crowd (2 in 100 on CIFAR-10). Over ten times faster than full size, and no copy of
the pool in float32.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from augmint.data.table import ImageTable
from augmint.measure.knn import nearest
from augmint.train.compute import one_thread

NUMBERS, DIRECTIONS = 256, 64  # that a reduced image has at most, and as one of a pool
CANDIDATES = 16
BLOCK = 512
FLOATS = 1 << 24  # numbers compared at a time: 64 MiB in float32
CACHED = 32  # images compared at a time with one other each


def _parts(count: int, shape: Sequence[int], each: int = 1) -> tuple[Tensor, ...]:
    """0 … count - 1 in parts so small that `each` images of this shape for every number have at most FLOATS pixels."""
    return torch.split(torch.arange(count), max(1, FLOATS // (each * math.prod(shape)))) if count else ()


def reduced(images: Tensor) -> Tensor:
    """uint8 [N, C, H, W] → float32 [N, at most 256] in 0 … 1: means over squares of the smallest size that does."""
    count, channels, height, width = images.shape
    side = 1
    while side < max(height, width) and channels * -(-height // side) * -(-width // side) > NUMBERS:
        side += 1
    parts = [
        F.avg_pool2d(F.pad(part.float(), (0, -width % side, 0, -height % side)), side).flatten(1).div_(255)
        for part in (images[rows] for rows in _parts(count, images.shape[1:]))
    ]
    return torch.cat(parts) if parts else torch.zeros((count, NUMBERS))


@dataclass(frozen=True, eq=False)
class ReducedPool:
    """The images of a pool along the `axes` float32 [n, d] (orthonormal) of their means over squares, from their `mean`
    [n]: rows [P, d]. 256 bytes an image, 1 KB while it is made."""

    axes: Tensor
    mean: Tensor
    rows: Tensor

    @staticmethod
    def of(pool: ImageTable) -> "ReducedPool":
        """All images of a table, read part by part. On one thread: how many there are shows in the last bits."""
        with one_thread():
            return ReducedPool._of(pool)

    @staticmethod
    def _of(pool: ImageTable) -> "ReducedPool":
        means = torch.empty(len(pool), reduced(torch.zeros((1, *pool.shape), dtype=torch.uint8)).shape[1])
        for rows in _parts(len(pool), pool.shape):
            means[rows] = reduced(pool.gather(rows, "cpu"))
        mean = means.mean(0)
        means -= mean
        axes = torch.linalg.eigh((means.T @ means).double()).eigenvectors[:, -DIRECTIONS:].float().contiguous()
        return ReducedPool(axes, mean, means @ axes)

    def reduce(self, images: Tensor) -> Tensor:
        """Other images uint8 [N, C, H, W] along the same axes: float32 [N, d]."""
        return (reduced(images) - self.mean) @ self.axes


def rms(a: Tensor, b: Tensor) -> Tensor:
    """float32 [N] of uint8 [N, C, H, W] twice: root mean square difference, 0 … 1."""
    return (a.float() - b.float()).flatten(1).square().mean(1).sqrt() / 255


def rms_to_each(images: Tensor, others: Tensor, rows: Tensor) -> Tensor:
    """float32 [N, K]: `rms` of each of `images` uint8 [N, C, H, W] and the rows [N, K] of `others` uint8 [M, C, H, W].

    Few images at a time, so that their pixels as floats stay in the processor's cache: ten times as fast as at once.
    """
    flat, found = others.flatten(1), torch.empty(rows.shape)
    for start in range(0, len(images), CACHED):
        own = images[start : start + CACHED].flatten(1).float()
        for column in range(rows.shape[1]):
            part = flat.index_select(0, rows[start : start + CACHED, column]).float().sub_(own)
            found[start : start + CACHED, column] = torch.linalg.vector_norm(part, dim=1)
    return found.div_(255 * flat.shape[1] ** 0.5)


def to_parents(images: Tensor, pool: ImageTable, parent_rows: Tensor) -> Tensor:
    """float32 [N]: distance of each image to its own parent."""
    parts = [rms(images[i], pool.gather(parent_rows[i], "cpu")) for i in _parts(len(images), pool.shape)]
    return torch.cat([torch.zeros(0), *parts])


def _to_each(images: Tensor, rows: Tensor, read: Callable[[Tensor], Tensor]) -> Tensor:
    """float32 [N, K]: distance of each image to those that `read` gives for its rows [N, K]."""
    count, found = rows.shape[1], [torch.zeros((0, rows.shape[1]))]
    for i in _parts(len(images), images.shape[1:], each=count) if count else ():
        distinct, place = torch.unique(rows[i], return_inverse=True)
        found.append(rms_to_each(images[i], read(distinct), place))
    return torch.cat(found) if count else torch.zeros(rows.shape)


def nearest_images(
    images: Tensor, pool: ImageTable, own: Tensor | None = None, small: ReducedPool | None = None
) -> tuple[Tensor, Tensor]:
    """float32 [N] distance and int64 [N] row of the nearest image of `pool` to each of `images` uint8.

    `small`: `ReducedPool.of(pool)`, where it is at hand already.

    `own` (rows of `images` in the pool): an image is not its own neighbour, and neither is an exact copy of
    it in the pool; inf where nothing else is left.
    """
    if len(images) == 0:
        return torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    count = min(CANDIDATES, len(pool))
    small = ReducedPool.of(pool) if small is None else small
    _, rows = nearest(small.reduce(images), small.rows, count)
    distances = _to_each(images, rows, lambda wanted: pool.gather(wanted, "cpu"))
    if own is not None:
        distances[(rows == own[:, None]) | (distances == 0)] = torch.inf
    best = distances.min(1)
    return best.values, rows.gather(1, best.indices[:, None])[:, 0]


def _before(small: Tensor, start: int, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of the likely nearest counted images before each image of the block at `start`, and which are valid."""
    block, counted = small[start : start + BLOCK], counts[start : start + BLOCK]
    index = torch.arange(len(block))
    inside = torch.cdist(block, block).masked_fill((index[:, None] <= index) | ~counted, torch.inf)
    closest = inside.topk(min(CANDIDATES, len(block)), largest=False)
    rows, valid = closest.indices + start, closest.values.isfinite()
    before = torch.nonzero(counts[:start])[:, 0]
    if len(before) == 0:
        return rows, valid
    distances, found = nearest(block, small[before], min(CANDIDATES, len(before)))
    both = torch.cat([closest.values, distances], 1)
    best = both.topk(min(CANDIDATES, both.shape[1]), largest=False)
    return torch.cat([rows, before[found]], 1).gather(1, best.indices), best.values.isfinite()


def to_earlier(images: Tensor, counts: Tensor, known: Tensor | None = None) -> Tensor:
    """float32 [N]: distance of each image to the nearest one before it for which `counts` (bool [N]) is true.

    inf where there is none. `known`: the answer for the first images, which others after them cannot change.
    """
    known = torch.zeros(0) if known is None else known[: len(known) // BLOCK * BLOCK]
    small, found = reduced(images), [known]
    for start in range(len(known), len(images), BLOCK):
        rows, valid = _before(small, start, counts)
        distances = rms_to_each(images[start : start + BLOCK], images, rows)
        found.append(distances.masked_fill(~valid, torch.inf).amin(1))
    return torch.cat(found)
