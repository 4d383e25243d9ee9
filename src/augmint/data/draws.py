"""Which labels are used, and who is tested on what: nested stratified draws, repeated stratified folds.

rows = nested_draw(table.labels[train], per_class=10, seed=0, draw=3)   # contains those of per_class=4
for fit, test in folds(labels, groups, folds=5, repeats=2, seed=0): ...
"""

import warnings

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from torch import Tensor

from augmint.errors import InputError
from augmint.seeding import key, permutation


def nested_draw(labels: Tensor, per_class: int, seed: int, draw: int, classes: tuple[str, ...] | None = None) -> Tensor:
    """int64, sorted: `per_class` rows of every class in `labels` (int64 [N], -1 = unlabelled, never drawn).

    One random order of each class, fixed by (seed, draw), is read from its start, so that the draw of
    1 label per class is part of the draw of 4, of 10, of 40. InputError if a class has too few.
    """
    chosen = []
    for label in torch.unique(labels[labels >= 0]).tolist():
        rows = torch.nonzero(labels == label)[:, 0]
        if len(rows) < per_class:
            name = classes[label] if classes else f"number {label}"
            raise InputError(
                f"class {name} has {len(rows)} labelled images, fewer than the {per_class} asked for; "
                f"lower --labels-per-class to {len(rows)} or label more"
            )
        chosen.append(rows[permutation(len(rows), seed, "labels", draw, label)[:per_class]])
    if not chosen:
        raise InputError("there are no labelled images to draw from; label a few of each class")
    return torch.cat(chosen).sort().values


def numbered(groups: Tensor) -> Tensor:
    """int64 [N]: a number per group; an image without one (-1) is a group of its own."""
    alone = torch.arange(len(groups)) + int(groups.max()) + 1 if len(groups) else groups
    return torch.where(groups < 0, alone, groups)


def _possible(labels: Tensor, units: Tensor, folds: int, classes: tuple[str, ...] | None) -> int:
    """How many folds the rarest class allows. InputError if it cannot be on both sides."""
    for label in torch.unique(labels).tolist():
        count = len(torch.unique(units[labels == label]))
        if count < 2:
            name = classes[label] if classes else f"number {label}"
            raise InputError(
                f"class {name} has only one labelled image (or group of images); "
                "cross-validation needs at least two of each class"
            )
        folds = min(folds, count)
    return folds


def _split(labels: Tensor, units: Tensor, folds: int, state: int) -> list[tuple[Tensor, Tensor]]:
    grouped = len(torch.unique(units)) < len(units)
    kind = StratifiedGroupKFold if grouped else StratifiedKFold
    splitter = kind(n_splits=folds, shuffle=True, random_state=state % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rare classes are dealt with in _possible
        pairs = list(splitter.split(np.zeros(len(labels)), labels.numpy(), units.numpy() if grouped else None))
    return [(torch.from_numpy(train), torch.from_numpy(test)) for train, test in pairs]


def folds(
    labels: Tensor, groups: Tensor, folds: int, repeats: int, seed: int, classes: tuple[str, ...] | None = None
) -> list[tuple[Tensor, Tensor]]:
    """Repeated stratified cross-validation: (train, test) indices into `labels`, folds × repeats pairs.

    labels   int64 [N], all >= 0
    groups   int64 [N]; images of one group stay on one side; -1 = a group of its own
    classes  their names, for errors

    There are fewer folds if a class has fewer images (or groups) than `folds`. InputError if a class has
    only one, or if no division leaves every class in every training part.
    """
    units = numbered(groups)
    count, kinds = _possible(labels, units, folds, classes), len(torch.unique(labels))
    pairs: list[tuple[Tensor, Tensor]] = []
    for repeat in range(repeats):
        for attempt in range(20):  # grouped folds are greedy and may leave a class out of a training part
            found = _split(labels, units, count, key(seed, "folds", repeat, attempt))
            if all(len(torch.unique(labels[train])) == kinds and len(test) for train, test in found):
                break
        else:
            raise InputError(
                "the groups of the labelled images cannot be divided so that every class is in every training part; "
                "label images of more groups"
            )
        pairs += found
    return pairs
