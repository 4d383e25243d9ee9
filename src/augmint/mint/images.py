"""Mint images: draw children, let every judge score every one, keep what no judge rejects.

minted = mint_images(generator, pool, parents, labels, classifier, settings.mint, seed, thresholds)
minted.accepted()                                  # ImageTable of the kept, labels inherited
minted.reason, minted.scores["agreement"]          # of all candidates
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from augmint.config import MintSettings
from augmint.data.table import ImageTable
from augmint.errors import InputError
from augmint.mint import filters
from augmint.mint.distances import ReducedPool, nearest_images, to_earlier, to_parents
from augmint.mint.draw import Generator, draw, judge, look, numbered
from augmint.mint.thresholds import Thresholds

Classifier = Callable[[Tensor], Tensor]
BATCH = 1024  # images that the classifier sees at a time


@dataclass(frozen=True, eq=False)
class Minted:
    """N candidates: first every parent's first child, then every parent's second, and so on.

    table         ImageTable of all N: labels and groups inherited, `parent` the id of the real parent
    kept          bool [N]
    reason        the first filter that rejected it, "" if kept
    scores        float32 [N] each: contrast, parent_distance, real_distance, realness, agreement,
                  minted_distance (to the nearest earlier candidate that passed the filters before; inf if none)
    parent_rows, nearest_rows    int64 [N]: rows of the pool, the parent's and the nearest real image's
    steps         int64 [N]: number of the child
    """

    table: ImageTable
    kept: Tensor
    reason: list[str]
    scores: dict[str, Tensor]
    parent_rows: Tensor
    nearest_rows: Tensor
    steps: Tensor
    seed: int
    thresholds: Thresholds
    settings: MintSettings = field(default_factory=MintSettings)

    def accepted(self) -> ImageTable:
        """The kept ones."""
        return self.table.take(torch.nonzero(self.kept)[:, 0])

    def counts(self) -> dict[str, dict[str, int]]:
        """Class name → reason ("kept" for the kept) → number."""
        found: dict[str, dict[str, int]] = {}
        for label, reason in zip(self.table.labels.tolist(), self.reason, strict=True):
            of_class = found.setdefault(self.table.classes[label], {})
            of_class[reason or "kept"] = of_class.get(reason or "kept", 0) + 1
        return found


def check_parents(pool: ImageTable, parents: Tensor, labels: Tensor) -> None:
    """InputError if labels or rows do not fit."""
    if len(parents) != len(labels):
        raise InputError(f"{len(parents)} parents with {len(labels)} labels; give one label for each")
    if len(parents) and not 0 <= int(parents.min()) <= int(parents.max()) < len(pool):
        raise InputError(f"parents are rows of the pool, 0 to {len(pool) - 1}; found {int(parents.max())}")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(pool.classes):
        raise InputError(
            f"a minted image inherits its parent's label, 0 to {len(pool.classes) - 1}; give parents that have one"
        )


def table_of(images: Tensor, pool: ImageTable, rows: Tensor, labels: Tensor) -> ImageTable:
    """The candidates as a table; ids as in data: content and row."""
    hashes = [hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()[:16] for image in images.numpy()]
    count = len(images)
    return ImageTable(
        images=images,
        labels=labels,
        ids=np.array([f"{content}:{row}" for row, content in enumerate(hashes)], dtype=str),
        split=torch.zeros(count, dtype=torch.int8),
        group=pool.group[rows],
        weight=torch.ones(count),
        classes=pool.classes,
        paths=np.full(count, "", dtype="U1"),
        parent=pool.ids[rows.numpy()],
        name=f"{pool.name}, minted",
    )


def _probabilities(classifier: Classifier, images: Tensor, classes: int) -> Tensor:
    """float32 [N, classes] on the CPU."""
    parts = [classifier(part).float().cpu() for part in torch.split(images, BATCH) if len(part)]
    return torch.cat(parts) if parts else torch.zeros(0, classes)


def score(
    generator: Generator,
    pool: ImageTable,
    images: Tensor,
    parents: Tensor,
    labels: Tensor,
    classifier: Classifier,
    small: ReducedPool | None = None,
    looked: tuple[Tensor, Tensor] | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """What the judges say of candidates uint8 [N, C, H, W], each for itself: float32 [N] by name, and the row of the
    nearest real image. Where they are at hand: `small`, `ReducedPool.of(pool)`, and what D saw when it `looked` at the
    parents, with the place of each candidate's parent there."""
    if looked is None:  # at each parent once
        distinct, places = torch.unique(parents, return_inverse=True)
        looked = look(generator, pool, distinct), places
    real_distance, nearest_rows = nearest_images(images, pool, small=small)
    scores = {
        "contrast": filters.contrast(images),
        "parent_distance": to_parents(images, pool, parents),
        "real_distance": real_distance,
        "realness": judge(generator, images, *looked),
        "agreement": filters.agreement(_probabilities(classifier, images, len(pool.classes)), labels),
    }
    return scores, nearest_rows


def reasons(
    images: Tensor,
    labels: Tensor,
    parents: Tensor,
    scores: dict[str, Tensor],
    settings: MintSettings,
    thresholds: Thresholds,
) -> list[str]:
    """The first reason against each candidate, "" for none; `minted_distance` joins the scores on the way (what is
    there of it already, for the first candidates, is not computed again)."""
    t, least = thresholds, thresholds.copy_distance
    rejected = [
        (filters.BROKEN, filters.is_flat(scores["contrast"], t.contrast)),
        (filters.PARENT, filters.is_near(scores["parent_distance"], least)),
        (filters.COPY, filters.is_near(scores["real_distance"], least)),
        (filters.UNREAL, filters.looks_unreal(scores["realness"], t.realness_low)),
        (filters.TOO_REAL, filters.too_real(scores["realness"], t.realness_high)),
        (filters.DISAGREES, filters.is_unlikely(scores["agreement"], settings.agreement)),
    ]
    passing = ~torch.stack([mask for _, mask in rejected]).any(0)
    scores["minted_distance"] = to_earlier(images, passing, scores.get("minted_distance"))
    rejected.append((filters.DUPLICATE, filters.is_near(scores["minted_distance"], least)))
    passing &= ~rejected[-1][1]
    rejected.append((filters.PER_PARENT, filters.over_cap(passing, parents, settings.per_parent)))
    passing &= ~rejected[-1][1]
    rejected.append((filters.PER_CLASS, filters.over_cap(passing, labels, settings.per_class)))
    return filters.first_reason(rejected)


def mint_images(
    generator: Generator,
    pool: ImageTable,
    parents: Tensor,
    labels: Tensor,
    classifier: Classifier,
    settings: MintSettings,
    seed: int,
    thresholds: Thresholds,
    small: ReducedPool | None = None,
) -> Minted:
    """`settings.children` children of each of `parents` (int64 [P], rows of `pool`), judged.

    `labels` int64 [P] are inherited; `classifier` (uint8 images → probabilities [N, classes]) must share
    nothing with the generator; `small` as of `score`. Where no candidate passes, `accepted()` is empty. InputError if
    parents and labels do not fit the pool.
    """
    parents, labels = parents.cpu(), labels.cpu()
    check_parents(pool, parents, labels)
    images = draw(generator, pool, parents, settings.children, seed, settings.post)
    rows, steps = numbered(parents, settings.children)
    labels = labels.repeat(settings.children)
    scores, nearest_rows = score(generator, pool, images, rows, labels, classifier, small)
    reason = reasons(images, labels, rows, scores, settings, thresholds)
    kept = torch.tensor([not r for r in reason], dtype=torch.bool)
    table = table_of(images, pool, rows, labels)
    return Minted(table, kept, reason, scores, rows, nearest_rows, steps, seed, thresholds, settings)
