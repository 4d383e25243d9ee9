"""What all classifiers share: scikit-learn's way of calling them, -1 for unlabelled, minted samples, calibration.

    model.fit(X, y)                                # y: -1 = unlabelled
    model.fit(X, y, extra=(made, labels, 0.5))     # minted samples, each counting as much as half a labelled row
    model.predict_proba(X)                         # columns in the order of model.classes_

Minted samples come beside X and not in it: the scale of the features, the transduction and the calibration are those of
real rows. The temperature is that of the classifier without minted samples: children of a held-out row would tell its
label, and probabilities would come out too sharp.
"""

import copy
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d, validate_data
from torch import Tensor

from augmint.data.draws import folds
from augmint.data.table import UNLABELLED
from augmint.errors import InputError
from augmint.measure.calibration import best_temperature

Array = np.ndarray[Any, Any]
Extra = tuple[Any, Any, Any]  # X, y, weight


@dataclass(frozen=True, eq=False)
class Task:
    """What is learnt from: `x` [N, …], codes int64 [N] (index into classes_, -1 = unlabelled), weights float64 [N] of
    the labelled ones. The first `real` rows are those given as X, the others are minted."""

    x: Tensor
    codes: Tensor
    weights: Tensor
    classes: int
    real: int

    @property
    def labelled(self) -> Tensor:
        """Labelled rows, minted ones among them."""
        return torch.nonzero(self.codes >= 0)[:, 0]

    @property
    def own(self) -> Tensor:
        """Labelled rows of X."""
        return torch.nonzero(self.codes[: self.real] >= 0)[:, 0]

    def without(self, rows: Tensor) -> "Task":
        """The same with these rows unlabelled."""
        codes = self.codes.clone()
        codes[rows] = UNLABELLED
        return replace(self, codes=codes)


class FitError(InputError, ValueError):
    """An InputError that is also a ValueError, as callers of `fit` expect."""


def _known(y: Array) -> Array:
    """bool [N]: the labelled rows. FitError if there are none, or labels that cannot be told from others."""
    names = y.dtype.kind in "USO" and np.asarray(y == str(UNLABELLED))
    if np.any(names):
        raise FitError("y has the string '-1'; among strings write the number -1 for unlabelled: y of dtype object")
    known = np.ones(len(y), bool) if y.dtype.kind in "US" else np.asarray(y != UNLABELLED, bool)
    if not known.any():
        raise FitError("y has no labels, every row is -1; label at least one row of each class")
    kinds = sorted({type(label).__name__ for label in y[known]}) if y.dtype.kind == "O" else []
    if "str" in kinds and len(kinds) > 1:
        raise FitError(f"y has labels of several types ({', '.join(kinds)}); make all of them strings, -1 = unlabelled")
    return known


class FewLabels(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier for few labels among many rows. A subclass gives `_learn` and `_scores`, and has `folds`, the folds
    of the cross-validation on the labelled rows that calibrates (0: uncalibrated).

    Fitted: classes_ [K], n_features_in_, temperature_ (1.0 where a class has too few labels to hold one out).
    """

    folds: int

    def fit(self, X: Any, y: Any, extra: Extra | None = None) -> Self:
        """X [N, D]; y [N], -1 = unlabelled; extra = (X [M, D], y [M], weight): minted samples of classes that y has.

        Strings with the number -1 among them make a y of dtype object, as in scikit-learn's SelfTrainingClassifier.

        weight: a number or [M], in labelled rows; None: all minted ones together count as much as all labelled rows.
        InputError (and ValueError) if nothing is labelled, labels are of several types or the shapes do not fit.
        """
        rows, y = self._pairs(X, y)
        known = _known(y)
        check_classification_targets(y[known])
        self.classes_, codes = np.unique(y[known], return_inverse=True)
        place = np.full(len(y), UNLABELLED)
        place[known] = codes
        task = Task(rows, torch.from_numpy(place), torch.ones(len(y)).double(), len(self.classes_), len(y))
        whole = task if extra is None else self._join(task, extra)
        self._learn(task if self.folds else whole)
        self.temperature_ = self._calibrate(task)
        if self.folds and extra is not None:
            self._learn(whole)
        return self

    def predict_proba(self, X: Any) -> Array:
        """Calibrated probabilities float64 [N, K], rows sum to 1."""
        check_is_fitted(self)
        scores = self._scores(self._rows(X)).double() / self.temperature_
        return np.asarray(scores.softmax(1).numpy())

    def predict(self, X: Any) -> Array:
        """The most probable class of each row [N]."""
        best = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[best])

    def _pairs(self, X: Any, y: Any) -> tuple[Tensor, Array]:
        """X and y as `fit` was given them, checked."""
        X, y = validate_data(self, X, y, dtype=np.float32, ensure_min_samples=2)
        return torch.from_numpy(np.array(X)), y

    def _rows(self, X: Any) -> Tensor:
        """X as `predict_proba` was given it, checked: it must be like the one that was fitted."""
        return torch.from_numpy(np.array(validate_data(self, X, dtype=np.float32, reset=False)))

    def _join(self, task: Task, extra: Extra) -> Task:
        """The task with minted samples behind its rows."""
        x, labels = self._rows(extra[0]), column_or_1d(extra[1])
        check_consistent_length(x, labels)
        place = {name: code for code, name in enumerate(self.classes_.tolist())}
        codes = [place.get(label, UNLABELLED) for label in labels.tolist()]
        if UNLABELLED in codes:
            names = ", ".join(map(str, self.classes_))
            raise FitError(f"extra y has classes that no row of y has; those are {names}")
        weight = self._weight(task, len(x)) if extra[2] is None else extra[2]
        weights = torch.from_numpy(np.broadcast_to(np.asarray(weight, np.float64), (len(x),)).copy())
        return replace(
            task,
            x=torch.cat([task.x, x]),
            codes=torch.cat([task.codes, torch.tensor(codes, dtype=torch.int64)]),
            weights=torch.cat([task.weights, weights]),
        )

    def _weight(self, task: Task, count: int) -> float:
        """The weight of each of `count` minted samples if none is given."""
        return len(task.own) / count

    def _calibrate(self, task: Task) -> float:
        """The temperature that fits scores of held-out labelled rows; 1 if a class has only one."""
        labels = task.codes[task.own]
        count = min(self.folds, int(torch.bincount(labels).min()))
        if count < 2 or task.classes < 2:
            return 1.0
        splits = folds(labels, torch.full_like(labels, -1), count, repeats=1, seed=0)
        scores = [self._held_out(task, task.own[test]) for _, test in splits]
        return best_temperature(torch.cat(scores), torch.cat([labels[test] for _, test in splits]), smooth=True)

    def _held_out(self, task: Task, rows: Tensor) -> Tensor:
        """Scores [n, K] of these labelled rows when their labels are not known. This task was the last to be learnt."""
        other = copy.copy(self)
        other._learn(task.without(rows))
        return other._scores(task.x[rows])

    def _learn(self, task: Task) -> None:
        """Set what `_scores` needs."""
        raise NotImplementedError

    def _scores(self, x: Tensor) -> Tensor:
        """Logits [N, K] of rows, before calibration."""
        raise NotImplementedError
