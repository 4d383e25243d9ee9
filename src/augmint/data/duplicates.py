"""Images that are in a table twice: exactly, or re-encoded, resized, brightened.

    groups = exact(table)                      # list of rows that hold the same pixels
    pairs, likeness = near(table)              # int64 [P, 2], float32 [P]
    pairs, likeness = near_across(table)       # those between splits alone: seconds instead of minutes
    pairs = near_among(table, rows)            # those among a few rows
    rows, likeness = copied(table, images)     # what other images (minted ones) copy of a table

Two images are near duplicates if they are *much* closer to each other than each is to its other
neighbours: a fixed threshold would find thousands of "duplicates" among trousers and none among noisy
photographs. (The ratio test of Lowe, IJCV 2004, for whole images.) The distance is that of 8 × 8
thumbnails with mean and contrast taken out. Measured: planted JPEG copies (quality 75), brightness, noise
and resizing at 28 pixels and above are found in 82 to 100 %; in digits nothing is reported, in
Fashion-MNIST 94 pairs, in CIFAR-10 249, all of one class and, looked at, the same picture.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from augmint.data.table import ImageTable

THUMB = 8
NEIGHBOURS = 20  # up to this many copies of one image are found
RATIO = 0.25
FLAT = 2.0  # grey levels; an image with less contrast than this resembles nothing
CELLS = 2**24  # numbers held at once: 64 MiB in float32
LIMIT = 200_000  # all pairs of more images take too long on a CPU


def content(ids: np.ndarray[Any, Any]) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    """The content hash of each image, which is the first part of its id."""
    return np.array([str(name).partition(":")[0] for name in ids])


def exact(table: ImageTable) -> list[list[int]]:
    """Groups of two and more rows with equal pixels, each sorted."""
    _, inverse, counts = np.unique(content(table.ids), return_inverse=True, return_counts=True)
    order = np.argsort(inverse, kind="stable")
    ends = np.cumsum(counts)
    return sorted(order[end - count : end].tolist() for end, count in zip(ends, counts, strict=True) if count > 1)


def thumbnails(table: ImageTable, rows: Tensor, side: int = THUMB) -> Tensor:
    """float32 [len(rows), D], unit length: the images as 8 × 8 (`side`²) grey without mean and contrast."""
    parts = []
    for chunk in torch.split(rows, max(1, CELLS // math.prod(table.shape))):
        grey = table.gather(chunk).cpu().float().mean(1, keepdim=True)
        size = (min(side, grey.shape[2]), min(side, grey.shape[3]))
        flat = F.adaptive_avg_pool2d(grey, size).flatten(1)
        flat = flat - flat.mean(1, keepdim=True)
        flat[flat.square().mean(1).sqrt() < FLAT] = 0
        parts.append(F.normalize(flat, dim=1))
    return torch.cat(parts)


def _step(features: Tensor) -> int:
    """How many rows are compared with all of `features` at a time."""
    return max(16, CELLS // len(features))


def _neighbours(features: Tensor, count: int, queries: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The `count` nearest others of each row (or of the rows `queries`): distances (ascending) and rows, both
    [Q, count]. Exact."""
    queries = torch.arange(len(features)) if queries is None else queries
    values, rows = [torch.empty(0, count)], [torch.empty(0, count, dtype=torch.int64)]
    for own in torch.split(queries, _step(features)):
        likeness = features[own] @ features.T
        likeness[torch.arange(len(own)), own] = -2
        best = likeness.topk(count, dim=1)
        values.append(best.values)
        rows.append(best.indices)
    return (2 - 2 * torch.cat(values)).clamp_(min=0).sqrt(), torch.cat(rows)


def _firsts(table: ImageTable) -> Tensor:
    """The rows that are no exact copy of one before."""
    return torch.from_numpy(np.sort(np.unique(content(table.ids), return_index=True)[1]))


def _usual(distance: Tensor) -> Tensor:
    """How far the last neighbour is: the scale that a copy has to be much closer than."""
    return distance[:, -1] if distance.shape[1] > 1 else torch.full((len(distance),), math.sqrt(2))


def near(table: ImageTable) -> tuple[Tensor, Tensor]:
    """Pairs of rows (int64 [P, 2], first < second) that show the same picture, and their correlation (float32 [P]).

    Exact duplicates count once. All pairs are looked at: 70,000 images take about 550 GFLOP.
    """
    return _near(table, torch.ones(len(table), dtype=torch.bool), lambda a, b: a != b)


def near_across(table: ImageTable) -> tuple[Tensor, Tensor]:
    """The pairs of `near` whose rows lie in different splits: only what is held out is compared with everything."""
    split = table.split
    return _near(table, split != 0, lambda a, b: split[a] != split[b])


def near_among(table: ImageTable, rows: Tensor) -> Tensor:
    """The pairs of `near` that show what these rows show: only these are compared with everything."""
    names = content(table.ids)
    shown = torch.from_numpy(np.isin(names, names[rows.numpy()]))
    return _near(table, shown, lambda a, b: shown[a] & shown[b])[0]


def _near(table: ImageTable, asked: Tensor, fits: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """The pairs of `near` with one row that is `asked` (bool [N]) about, and that fit."""
    rows = _firsts(table)
    held = torch.nonzero(asked[rows])[:, 0]
    if len(rows) < 2 or len(held) == 0:
        return torch.empty(0, 2, dtype=torch.int64), torch.empty(0)
    features, count = thumbnails(table, rows), min(NEIGHBOURS, len(rows) - 1)
    distance, other = _neighbours(features, count, held)
    usual = torch.full((len(rows),), math.nan)
    usual[held] = _usual(distance)
    close = (distance < RATIO * usual[held, None]) & fits(rows[held][:, None], rows[other])
    place, slot = torch.nonzero(close, as_tuple=True)
    left, right, gap = held[place], other[place, slot], distance[place, slot]
    missing = torch.unique(right[usual[right].isnan()])
    usual[missing] = _usual(_neighbours(features, count, missing)[0])
    keep = gap < RATIO * usual[right]
    ends = torch.stack([rows[left[keep]], rows[right[keep]]], 1).sort(1).values
    pairs, index = torch.unique(ends, dim=0, return_inverse=True)  # where both are asked about, it is seen twice
    likeness = torch.empty(len(pairs))
    likeness[index] = 1 - gap[keep].square() / 2
    return pairs, likeness


def copied(table: ImageTable, images: Tensor) -> tuple[Tensor, Tensor]:
    """Which row of `table` each of `images` (uint8 [M, C, H, W], none of the table) is a copy of: int64 [M], -1 for
    none, and their correlation float32 [M]. The scale is how far images and rows are from their usual neighbours in
    the table, not among `images`: children of one parent resemble each other."""
    others = replace(table, images=images)
    ours, theirs = thumbnails(table, torch.arange(len(table))), thumbnails(others, torch.arange(len(images)))
    count = min(NEIGHBOURS, len(table) - 1)
    if count < 1 or len(images) == 0:
        return torch.full((len(images),), -1), torch.zeros(len(images))
    found = [part @ ours.T for part in torch.split(theirs, _step(ours))]
    best = [likeness.topk(count, dim=1) for likeness in found]
    distance = (2 - 2 * torch.cat([b.values for b in best])).clamp(min=0).sqrt()
    row, gap = torch.cat([b.indices[:, 0] for b in best]), distance[:, 0]
    own = _usual(_neighbours(ours, count, row)[0])
    copy = (gap < RATIO * own) & (gap < RATIO * _usual(distance))
    return torch.where(copy, row, -1), 1 - gap.square() / 2
