"""What the encoder finds alike: images with their nearest neighbours, and how alone each is.

    found = nearest_in(read(path), queries, own)             # cosine [Q, 8] and places [Q, 8]
    rows = choose(labels, found, own, seed=0)                 # which queries to show, and why

The bank is read in parts, so its size does not matter for memory.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from augmint.represent.watch import stratified

COUNT = 8  # neighbours of each
ROWS = 12  # queries shown; with more classes one of each, up to MOST
MOST = 30
EXTREME = 3  # of the loneliest, and of those with the nearest twin


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Of Q queries, nearest first: `cosine` float32 [Q, k] in −1 … 1 and `places` int64 [Q, k] in the bank."""

    cosine: Tensor
    places: Tensor


def nearest_in(parts: Iterable[Tensor], queries: Tensor, own: Tensor, count: int = COUNT) -> Neighbours:
    """The `count` nearest of a bank of unit vectors, given as `parts` [n, D], to unit queries [Q, D].

    `own` int64 [Q]: the place of each query in the bank, which is not its own neighbour. Equal ones by place.
    """
    cosine, places = torch.empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.int64)
    start = 0
    for part in parts:
        near = queries @ part.T
        mine = torch.nonzero((own >= start) & (own < start + len(part)))[:, 0]
        near[mine, own[mine] - start] = -torch.inf
        best = near.topk(min(count, len(part)), 1)
        cosine = torch.cat([cosine, best.values], 1)
        places = torch.cat([places, best.indices + start], 1)
        order = places.argsort(dim=1, stable=True)
        order = order.gather(1, cosine.gather(1, order).argsort(dim=1, descending=True, stable=True))[:, :count]
        cosine, places = cosine.gather(1, order), places.gather(1, order)
        start += len(part)
    there = min(count, start - 1)  # the last is the query itself where the bank holds no more
    return Neighbours(cosine[:, :there].clamp(-1, 1), places[:, :there])


def choose(labels: Tensor, found: Neighbours, own: Tensor, seed: int) -> list[tuple[int, str]]:
    """(query, why) for the rows of a sheet: of every class in turn, or at random where there are no labels; then the
    loneliest and those with the nearest twin. `labels` and `own` int64 [Q], -1 = unlabelled, places in the bank.
    """
    known = torch.nonzero(labels >= 0)[:, 0]
    kinds = len(torch.unique(labels[known]))
    source, limit = (known, min(max(ROWS, kinds), MOST)) if len(known) else (torch.arange(len(labels)), ROWS)
    chosen = source[stratified(labels[source], limit, seed, "neighbours")]
    chosen = chosen[torch.sort(labels[chosen], stable=True).indices]
    alone, extremes = found.cosine[:, 0].argsort(stable=True), min(EXTREME, len(labels) // 4)
    twins = _twins(alone.flip(0).tolist(), found.places[:, 0].tolist(), own.tolist())
    return [
        *((i, "") for i in chosen.tolist()),
        *((i, "most alone") for i in alone[:extremes].tolist()),
        *((i, "nearest twin") for i in twins[:extremes]),
    ]


def _twins(order: list[int], nearest: list[int], own: list[int]) -> list[int]:
    """The queries in this order, each pair that is nearest to each other once."""
    seen: set[int] = set()
    kept = []
    for i in order:
        if nearest[i] not in seen:
            kept.append(i)
        seen.add(own[i])
    return kept
