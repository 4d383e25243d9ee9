"""How good the encoder is while it learns: nearest neighbours on the few labels, at ten moments of the training.

    watch = watcher(table, few, val, settings.represent, seed=0)    # rows of the table; None without labels
    train_encoder(pool_table, settings.represent, compute, seed=0, stage=stage, watch=watch)

Labels stay here: the training hands its encoder over and gets numbers to log. It goes on bit for bit as without.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from augmint.config import RepresentSettings
from augmint.data.table import ImageTable
from augmint.represent.encoder import Encoder
from augmint.represent.probing import probe
from augmint.seeding import permutation

Watch = Callable[[Encoder], dict[str, float]]

MOMENTS = 10
SHARE = 150  # a moment looks at one image for so many seen in training: together below a hundredth of its time
FEWEST, MOST = 256, 8000


def moments(steps: int, every: int) -> frozenset[int]:
    """The steps (counted from 1) after which to look: up to ten, evenly spread, multiples of `every` and the last."""
    wanted = (-(-steps * i // MOMENTS) for i in range(1, MOMENTS + 1))
    return frozenset(min(-(-step // every) * every, steps) for step in wanted)


def stratified(labels: Tensor, limit: int, *parts: object) -> Tensor:
    """int64, sorted: up to `limit` places of `labels` (int64 [N]); every class in turn, within it at random."""
    order = permutation(len(labels), *parts)
    by_class = order[torch.sort(labels[order], stable=True).indices]
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), torch.unique(labels, return_counts=True)[1].cumsum(0)])
    turn = torch.cat([torch.arange(b - a) for a, b in pairwise(starts.tolist())] or [starts[:0]])
    return by_class[torch.sort(turn, stable=True).indices[:limit]].sort().values


def watcher(table: ImageTable, few: Tensor, val: Tensor, settings: RepresentSettings, seed: int) -> Watch | None:
    """What answers {"knn": share of right classes, 0 … 1} for an encoder. None if `few` are not of two classes.

    `few` (labelled rows of the pool) vote; `val` (labelled rows outside it) are judged, without any the few judge each
    other. Neighbours by plain vectors: whitened ones need many labels.
    """
    if len(torch.unique(table.labels[few])) < 2:
        return None
    budget = min(max(settings.images // SHARE, FEWEST), MOST)
    few = few[stratified(table.labels[few], budget // 4, seed, "watch/few")]
    val = val[stratified(table.labels[val], budget // 2, seed, "watch/val")]
    images, parts = table.gather(torch.cat([few, val])), [len(few), len(val)]

    def watch(encoder: Encoder) -> dict[str, float]:
        hidden = encoder.hidden(images)
        if not bool(torch.isfinite(hidden).all()):
            return {}  # the training itself finds out, and says why
        bank, queries = torch.split(hidden, parts)
        return {"knn": probe(bank, table.labels[few], queries, table.labels[val])["knn"]}

    return watch
