"""The image generator of a run: examined beside unseen real images, and put to work by the thousand.

    found = measure_generator(Exam(work, table, pool, val, spare, encoder, settings.classify, compute, seed))
    minted = mint_wish(work, Wish(10_000, per_class=False, seed=1), folder, workers, progress)  # see mint/many.py

Unseen real images are the validation slice. Where there is none (cross-validation on the labels), they are pool images
that are nobody's parent: the generator learnt from them, but none is compared with itself, and measures that need
their labels are left out.

Whether minted images show the class that they inherit cannot be asked of the classifier that filtered them. Another
network, of another seed, learns it from labels that the run was not given, or from half of the validation slice; where
there are neither, the table says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from augmint.augment import policy
from augmint.classify import fit_scratch
from augmint.config import ClassifySettings
from augmint.data.table import ImageTable
from augmint.judge.workers import over_cores
from augmint.mint import Minted, Wish, Work, mint_images, mint_many
from augmint.mint.assess import LEAST, MOST, Assessment, Examiner, Real, Sample, assess
from augmint.mint.many import PIECE
from augmint.represent import Encoder
from augmint.seeding import key, permutation
from augmint.train import Compute
from augmint.train.progress import ProgressOut

MOST_LESSONS = 100_000  # labels that it learns from: their images are held in memory
LEAST_OF_CLASS = 5  # labels of each class that parents have, from which an independent network can learn
FILTERING = "the filtering classifier (not independent)"


@dataclass(frozen=True, eq=False)
class Exam:
    """What is examined and by what; rows are of the table, int64.

    work   the run's own minting, whose pool are the rows `pool`
    val    labelled, nothing learnt from them
    spare  of the pool, with labels that the run was not given
    """

    work: Work
    table: ImageTable
    pool: Tensor
    val: Tensor
    spare: Tensor
    encoder: Encoder
    settings: ClassifySettings
    compute: Compute
    seed: int

    @cached_property
    def lessons(self) -> Tensor:
        """Rows whose labels the independent network learns from: no parents, never those that are measured."""
        spare = self.spare[~torch.isin(self.spare, self.pool[self.work.parents])]
        if len(spare) > MOST_LESSONS:
            spare = spare[permutation(len(spare), self.seed, "measure/lessons")[:MOST_LESSONS]]
        half = self.val[permutation(len(self.val), self.seed, "measure/judge")][: len(self.val) // 2]
        return next((rows for rows in (spare, half) if self._enough(rows)), self.val[:0])

    def _enough(self, rows: Tensor) -> bool:
        counts = torch.bincount(self.table.labels[rows], minlength=len(self.table.classes))
        return bool((counts[torch.unique(self.work.labels)] >= LEAST_OF_CLASS).all())

    def train(self, images: Tensor, labels: Tensor, seed: int) -> Callable[[Tensor], Tensor]:
        """A network from scratch, as a function uint8 [N, C, H, W] → int64 [N]."""
        model = fit_scratch(
            ImageTable.of(images, labels, self.table.classes),
            torch.arange(len(labels)),
            labels,
            policy("weak"),
            self.settings,
            self.compute,
            classes=len(self.table.classes),
            seed=seed,
        )
        return lambda x: model.logits(x).argmax(1)

    def examiner(self) -> Examiner:
        """The measuring encoder, the independent network, and networks from scratch for the accuracy score."""
        rows, name = self.lessons, f"simclr-{self.encoder.form.backbone}"
        classify, judge = (lambda x: self.work.classifier(x).argmax(1)), FILTERING
        if len(rows):
            lesson = self.table.gather(rows), self.table.labels[rows]
            classify = self.train(*lesson, key(self.seed, "measure/judge"))
            judge = f"an independent classifier (learnt from {len(rows):,} other labels)"
        return Examiner(name, self.encoder.features, classify, lambda x, y: self.train(x, y, self.seed), judge)

    def unseen(self) -> tuple[Tensor, Tensor, Tensor]:
        """Unseen images, their labels, and the rows of `work.pool` that count as training images."""
        table, pool = self.table, self.work.pool
        val = self.val[~torch.isin(self.val, self.lessons)]
        if len(val) >= LEAST:
            return table.gather(val), table.labels[val], torch.arange(len(pool))
        free = torch.ones(len(pool), dtype=torch.bool)
        free[self.work.parents] = False
        rows = torch.nonzero(free)[:, 0]
        rows = rows[permutation(len(rows), self.seed, "measure/held-out")[: min(MOST, len(rows) // 2)]]
        free[:] = True
        free[rows] = False
        return pool.gather(rows, "cpu"), torch.full((len(rows),), -1), torch.nonzero(free)[:, 0]


def measure_generator(exam: Exam) -> Assessment:
    """Samples "drawn" and "kept" of the images that the run mints."""
    w = exam.work
    given = (w.pool, w.parents, w.labels, w.classifier, w.settings, exam.seed, w.thresholds)
    minted = mint_images(w.generator, *given, w.small)
    held_out, labels, train = exam.unseen()
    place = torch.full((len(w.pool),), -1)
    place[train] = torch.arange(len(train))
    candidates = Sample(
        minted.table.gather(torch.arange(len(minted.table))), minted.table.labels, place[minted.parent_rows]
    )
    samples = {"drawn": candidates}
    if int(minted.kept.sum()) >= LEAST:
        samples["kept"] = candidates.take(minted.kept)
    real = Real(w.pool if len(train) == len(w.pool) else w.pool.take(train), held_out, labels)
    return assess(samples, real, exam.examiner(), exam.seed)


def mint_wish(work: Work, wish: Wish, folder: Path, workers: int, progress: ProgressOut) -> Minted:
    """As many images as are wished for, by so many processes; pieces are kept in `folder` and used again."""

    def over(make: Callable[[int], None], pieces: Sequence[int]) -> None:
        with progress.task("minting", len(pieces) * PIECE) as task:
            there = _stored(folder)
            over_cores(make, pieces, workers, lambda: task.update(PIECE * (_stored(folder) - there)))

    folder.mkdir(parents=True, exist_ok=True)
    return mint_many(work, wish, folder, over)


def _stored(folder: Path) -> int:
    return len(list(folder.glob("*.safetensors")))
