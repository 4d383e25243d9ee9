"""The image generator of a situation: examined beside unseen real images, and put to work by the thousand.

    found = measure_generator(situation, val, encoder)          # see mint/assess.py
    minted = mint_wish(situation, Wish(10_000, per_class=False, seed=1), folder, progress)  # see mint/many.py

Unseen real images are the validation slice. Where there is none (cross-validation on the labels), they are pool images
that are nobody's parent: the generator learnt from them, but none is compared with itself, and measures that need
their labels are left out.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from augmint.augment import policy
from augmint.classify import fit_scratch
from augmint.data.table import ImageTable
from augmint.judge.situation import Situation
from augmint.judge.workers import over_cores
from augmint.mint import Minted, Wish, Work, mint_many
from augmint.mint.assess import LEAST, MOST, Assessment, Examiner, Real, Sample, assess
from augmint.mint.many import PIECE
from augmint.represent import Encoder
from augmint.seeding import permutation
from augmint.train.progress import ProgressOut


def measure_generator(situation: Situation, val: Tensor, encoder: Encoder) -> Assessment:
    """Samples "drawn" and "kept" of this situation's minted images; `val`: rows of the table nothing learnt from."""
    material, minted = situation.material, situation.minted
    held_out, labels, train = _unseen(situation, val)
    place = torch.full((len(material.pool),), -1)
    place[train] = torch.arange(len(train))
    candidates = Sample(
        minted.table.gather(torch.arange(len(minted.table))), minted.table.labels, place[minted.parent_rows]
    )
    samples = {"drawn": candidates}
    if int(minted.kept.sum()) >= LEAST:
        samples["kept"] = candidates.take(minted.kept)
    real = Real(material.pool_table.gather(train, "cpu"), held_out, labels)
    return assess(samples, real, _examiner(situation, encoder), situation.split.seed)


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


def _unseen(situation: Situation, val: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Unseen images, their labels, and the rows of the pool that count as training images."""
    material, pool = situation.material, situation.material.pool_table
    if len(val) >= LEAST:
        return material.table.gather(val), material.table.labels[val], torch.arange(len(pool))
    free = torch.ones(len(pool), dtype=torch.bool)
    free[situation.parents[0]] = False
    rows = torch.nonzero(free)[:, 0]
    rows = rows[permutation(len(rows), situation.split.seed, "measure/held-out")[: min(MOST, len(rows) // 2)]]
    free[:] = True
    free[rows] = False
    return pool.gather(rows, "cpu"), torch.full((len(rows),), -1), torch.nonzero(free)[:, 0]


def _examiner(situation: Situation, encoder: Encoder) -> Examiner:
    """The measuring encoder, the independent classifier, and networks from scratch for the accuracy score."""
    m = situation.material

    def classify(images: Tensor) -> Tensor:
        return situation.judge.logits(images).argmax(1)

    def train(images: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
        table = ImageTable.of(images, labels, m.table.classes)
        model = fit_scratch(
            table,
            torch.arange(len(labels)),
            labels,
            policy("weak"),
            m.settings.classify,
            m.compute,
            classes=situation.classes,
            seed=situation.split.seed,
        )
        return lambda x: model.logits(x).argmax(1)

    return Examiner(f"simclr-{encoder.form.backbone}", encoder.features, classify, train)
