"""Mint as many as are asked for: in pieces over processes, stopped and resumed at any piece, always the same result.

    minted = mint_many(work, Wish(count=10_000, per_class=False, seed=1), folder, over)
    export(minted, pool, folder)

Candidates stand in one endless order: every parent's first child, every parent's second, … A piece is 2,048 of them in
a row; it is drawn and scored for itself and stored as one file. So neither the number of processes nor a stop in
between can change a number. What looks at other candidates (near-duplicates, caps) follows in the order of the
candidates, once the pieces are there. All candidates are held in memory: 3 KB each at 32 × 32 in colour.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from augmint.config import MintSettings
from augmint.data.table import ImageTable
from augmint.errors import UsageError
from augmint.mint.caps import Wish
from augmint.mint.distances import ReducedPool
from augmint.mint.draw import BATCH, Generator, draw_each, look
from augmint.mint.images import Classifier, Minted, check_parents, reasons, score, table_of
from augmint.mint.thresholds import Thresholds
from augmint.train import checkpoint

PIECE = 2048  # candidates
MOST_DRAWN = 30  # candidates for each image asked for, then it is given up
IN_VAIN = 4  # pieces without one image to keep, then too
VAIN_OF_CLASS = 2048  # candidates of a class since the last that was kept, of parents with room: then it is given up

Over = Callable[[Callable[[int], None], Sequence[int]], None]  # calls work on every item, in this process or in others


@dataclass(frozen=True, eq=False)
class Work:
    """What minting needs: see mint_images."""

    generator: Generator
    pool: ImageTable
    parents: Tensor
    labels: Tensor
    classifier: Classifier
    settings: MintSettings
    thresholds: Thresholds
    small: ReducedPool | None = None  # of the pool, where it is at hand


class _Mint:
    """One wish: where its pieces lie, and how to make one."""

    def __init__(self, work: Work, wish: Wish, folder: Path) -> None:
        check_parents(work.pool, work.parents, work.labels)
        if len(work.parents) == 0:
            raise UsageError("there is no parent to mint from; give labels, or raise mint.parents_per_class")
        self.work, self.wish, self.folder = work, wish, folder
        self.small = work.small or ReducedPool.of(work.pool)
        self.images, self.scores = torch.empty((0, *work.pool.shape), dtype=torch.uint8), dict[str, Tensor]()
        self.looked = look(work.generator, work.pool, work.parents[:0])
        self.nearest = self.steps = self.places = torch.empty(0, dtype=torch.int64)
        classes = len(set(work.labels.tolist()))
        self.of_each, self.target = wish.of_each(classes), wish.target(classes)
        self.settings = work.settings.model_copy(update={"per_class": self.of_each})

    def path(self, piece: int) -> Path:
        return self.folder / f"{piece:06d}.safetensors"

    def place(self, pieces: range) -> tuple[Tensor, Tensor]:
        """Number of the child and place of the parent of every candidate of these pieces, int64 [N] each."""
        candidates = torch.arange(pieces.start * PIECE, pieces.stop * PIECE)
        return candidates // len(self.work.parents), candidates % len(self.work.parents)

    def look(self, pieces: range) -> None:
        """Show D the parents of these pieces, once for all processes and all children."""
        new = self.work.parents[len(self.looked) : pieces.stop * PIECE]
        if len(new):
            seen = look(self.work.generator, self.work.pool, new)
            self.looked = torch.cat([self.looked, seen]) if len(self.looked) else seen

    def make(self, piece: int) -> None:
        """Draw and score a piece; whole on the disk or not there."""
        if self.path(piece).exists():
            return
        work, (steps, places) = self.work, self.place(range(piece, piece + 1))
        rows, labels = work.parents[places], work.labels[places]
        images = self.draw(rows, steps)
        given = (work.generator, work.pool, images, rows, labels, work.classifier)
        scores, nearest = score(*given, self.small, (self.looked, places))
        checkpoint.save(self.path(piece), {"images": images, "nearest": nearest, "scores": scores})

    def draw(self, rows: Tensor, steps: Tensor) -> Tensor:
        """The children uint8 [N, C, H, W] of these rows with these numbers."""
        batch = min(BATCH, 64 * math.ceil(len(self.work.parents) / 64))
        return draw_each(self.work.generator, self.work.pool, rows, steps, self.wish.seed, self.settings.post, batch)

    def read(self, pieces: range) -> None:
        """Take in the next pieces."""
        parts = [checkpoint.load(self.path(piece)) for piece in pieces]
        steps, places = self.place(pieces)
        self.steps, self.places = torch.cat([self.steps, steps]), torch.cat([self.places, places])
        self.images = torch.cat([self.images, *(part["images"] for part in parts)])
        self.nearest = torch.cat([self.nearest, *(part["nearest"] for part in parts)])
        for name in parts[0]["scores"]:
            self.scores[name] = torch.cat([self.scores.get(name, torch.zeros(0)), *(p["scores"][name] for p in parts)])

    @property
    def rows(self) -> Tensor:
        """Row of the pool of every candidate's parent."""
        return self.work.parents[self.places]

    @property
    def labels(self) -> Tensor:
        """Class of every candidate."""
        return self.work.labels[self.places]

    def reasons(self) -> list[str]:
        """Against each of the candidates so far, "" for none. No more are kept than were asked for: the last of them
        are too many."""
        reason = reasons(self.images, self.labels, self.rows, self.scores, self.settings, self.work.thresholds)
        kept = [i for i, why in enumerate(reason) if not why]
        for i in kept[self.target :]:
            reason[i] = "more than asked for"
        return reason

    def hopeless(self, kept: Tensor) -> bool:
        """No further child can fill what is missing (`kept` bool [N], of the candidates so far): enough were drawn, or
        in every class that misses some the parents' caps are reached or the judges have long let none pass."""
        if len(kept) >= (MOST_DRAWN * self.target + PIECE if bool(kept.any()) else IN_VAIN * PIECE):
            return True
        work, rows, labels, classes = self.work, self.rows, self.labels, len(self.work.pool.classes)
        room = (self.settings.per_parent - torch.bincount(rows[kept], minlength=len(work.pool))).clamp(min=0)
        of_class = torch.zeros(classes, dtype=torch.int64)
        parents_left = of_class.index_add(0, work.labels, room[work.parents]) > 0
        missing = of_class.index_add(0, labels, kept.long()) < self.of_each
        last = (of_class - 1).scatter_reduce(0, labels[kept], torch.nonzero(kept)[:, 0], "amax")
        tried = (torch.arange(len(kept)) > last[labels]) & (room[rows] > 0)
        vain = of_class.index_add(0, labels, tried.long())
        return not bool((missing & parents_left & (vain < VAIN_OF_CLASS)).any())

    def minted(self, reason: list[str], kept: Tensor) -> Minted:
        """All candidates, judged."""
        w, labels, rows = self.work, self.labels, self.rows
        told = (table_of(self.images, w.pool, rows, labels), kept, reason, self.scores, rows, self.nearest, self.steps)
        return Minted(*told, self.wish.seed, w.thresholds, self.settings)


def mint_many(work: Work, wish: Wish, folder: Path, over: Over) -> Minted:
    """Candidates until the wish is fulfilled or cannot be; pieces lie in `folder`, those already there are used.

    At most `settings.per_parent` of a parent are kept, `settings.per_class` gives way to the wish. `over` spreads the
    pieces of a round over processes. UsageError if there is no parent.
    """
    mint, pieces = _Mint(work, wish, folder), 0
    wanted = min(math.ceil(2 * mint.target / PIECE), IN_VAIN)
    while True:
        mint.look(range(pieces, wanted))
        over(mint.make, range(pieces, wanted))
        mint.read(range(pieces, wanted))
        pieces, reason = wanted, mint.reasons()
        kept = torch.tensor([not why for why in reason])
        count = int(kept.sum())
        if count >= mint.target or mint.hopeless(kept):
            return mint.minted(reason, kept)
        share = max(count, 1) / len(reason)
        wanted = pieces + min(pieces, math.ceil(1.2 * (mint.target - count) / share / PIECE))
