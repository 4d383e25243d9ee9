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
from augmint.mint.draw import BATCH, STREAM, Generator, children_of, finishing, full_batches
from augmint.mint.images import Classifier, Minted, check_parents, reasons, score, table_of
from augmint.mint.thresholds import Thresholds
from augmint.seeding import Draws
from augmint.train import checkpoint

PIECE = 2048  # candidates
MOST_DRAWN = 30  # candidates for each image asked for, then it is given up
IN_VAIN = 4  # pieces without one image to keep, then too

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
        self.finish = finishing(work.settings.post)
        classes = len(set(work.labels.tolist()))
        self.of_each, self.target = wish.of_each(classes), wish.target(classes)
        self.settings = work.settings.model_copy(update={"per_class": self.of_each})

    def path(self, piece: int) -> Path:
        return self.folder / f"{piece:06d}.safetensors"

    def place(self, piece: int) -> tuple[Tensor, Tensor]:
        """Number of the child and place of the parent of every candidate of a piece, int64 [2048] each."""
        candidates = torch.arange(piece * PIECE, (piece + 1) * PIECE)
        return candidates // len(self.work.parents), candidates % len(self.work.parents)

    def draw(self, steps: Tensor, rows: Tensor) -> Tensor:
        """The children uint8 [N, C, H, W] with these numbers of these rows, as `draw` makes them."""
        pool, images = self.work.pool, []
        batch = min(BATCH, 64 * math.ceil(len(self.work.parents) / 64))
        for child in range(int(steps[0]), int(steps[-1]) + 1):
            for part, count in full_batches(rows[steps == child], batch):
                draws = Draws(self.wish.seed, STREAM, child, part)
                made = children_of(self.work.generator, pool, part, draws)
                images.append(self.finish(made, draws)[:count])
        return torch.cat(images)

    def make(self, piece: int) -> None:
        """Draw and score a piece; whole on the disk or not there."""
        if self.path(piece).exists():
            return
        work, (steps, places) = self.work, self.place(piece)
        rows, labels = work.parents[places], work.labels[places]
        images = self.draw(steps, rows)
        scores, nearest = score(work.generator, work.pool, images, rows, labels, work.classifier, self.small)
        checkpoint.save(self.path(piece), {"images": images, "nearest": nearest, "scores": scores})

    def gather(self, pieces: int, known: Tensor | None) -> Minted:
        """The first pieces, judged together."""
        work = self.work
        parts = [checkpoint.load(self.path(piece)) for piece in range(pieces)]
        steps, places = (torch.cat(column) for column in zip(*map(self.place, range(pieces)), strict=True))
        rows, labels = work.parents[places], work.labels[places]
        images = torch.cat([part["images"] for part in parts])
        scores = {name: torch.cat([part["scores"][name] for part in parts]) for name in parts[0]["scores"]}
        if known is not None:
            scores["minted_distance"] = known
        reason = self.trimmed(reasons(images, labels, rows, scores, self.settings, work.thresholds))
        kept = torch.tensor([not r for r in reason], dtype=torch.bool)
        nearest = torch.cat([part["nearest"] for part in parts])
        table = table_of(images, work.pool, rows, labels)
        return Minted(table, kept, reason, scores, rows, nearest, steps, self.wish.seed, work.thresholds, self.settings)

    def trimmed(self, reason: list[str]) -> list[str]:
        """No more than were asked for: the last of the kept are one too many."""
        left = self.target
        for i, why in enumerate(reason):
            if not why:
                reason[i] = "" if left > 0 else "more than asked for"
                left -= 1
        return reason

    def hopeless(self, minted: Minted) -> bool:
        """No further child can fill what is missing: enough were drawn, or the parents' caps are reached."""
        if len(minted.reason) >= (MOST_DRAWN * self.target + PIECE if bool(minted.kept.any()) else IN_VAIN * PIECE):
            return True
        work, kept = self.work, minted.parent_rows[minted.kept]
        used = torch.zeros(len(work.pool), dtype=torch.int64).index_add_(0, kept, torch.ones_like(kept))[work.parents]
        room = (self.settings.per_parent - used).clamp(min=0)
        per_class = torch.zeros(len(work.pool.classes), dtype=torch.int64).index_add_(0, work.labels, room)
        have = torch.bincount(minted.table.labels[minted.kept], minlength=len(per_class))
        return not bool(((have < self.of_each) & (per_class > 0)).any())


def mint_many(work: Work, wish: Wish, folder: Path, over: Over) -> Minted:
    """Candidates until the wish is fulfilled or cannot be; pieces lie in `folder`, those already there are used.

    At most `settings.per_parent` of a parent are kept, `settings.per_class` gives way to the wish. `over` spreads the
    pieces of a round over processes. UsageError if there is no parent.
    """
    mint, pieces, known = _Mint(work, wish, folder), 0, None
    wanted = min(math.ceil(2 * mint.target / PIECE), IN_VAIN)
    while True:
        over(mint.make, range(pieces, wanted))
        pieces = wanted
        minted = mint.gather(pieces, known)
        kept = int(minted.kept.sum())
        if kept >= mint.target or mint.hopeless(minted):
            return minted
        known = minted.scores["minted_distance"]
        share = max(kept, 1) / len(minted.reason)
        wanted = pieces + min(pieces, math.ceil(1.2 * (mint.target - kept) / share / PIECE))
