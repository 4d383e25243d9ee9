"""Labels spread along a graph of nearest neighbours among all rows, labelled or not.

    model = classifier("propagate", prior="uniform").fit(features, y)      # whitened features; y: -1 = unlabelled
    model.transduction_                                                    # labels of all rows of `features`
    model.predict_proba(new)                                               # by their neighbours among those rows

Poisson learning; with a prior, volume-constrained (Calder, Cook, Thorpe & Slepčev, ICML 2020).
"""

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from augmint.classify.base import Array, Extra, FewLabels, FitError, Task
from augmint.classify.frequencies import Guess, estimate
from augmint.classify.graph import Graph, graph_of, neighbour_weights, propagated_scores
from augmint.classify.volume import frequencies, poisson_mbo, volume_offsets
from augmint.measure.knn import nearest

Prior = Literal["uniform", "labels", "estimated"] | Sequence[float] | None


class Propagate(FewLabels):
    """k          neighbours of each row, cosine
    damping    ends the random walk of Poisson learning after about 1 / damping steps
    prior      how frequent the classes are among the rows of X: None (not used), "uniform", "labels" (as among the
               labelled ones), "estimated" (by what the labels can tell, see classify/frequencies.py), or a number for
               each of classes_
    steps      of alternate diffusion and volume-constrained decision (PoissonMBO); 0: one decision, on the potential
    folds      of the cross-validation that calibrates

    Minted samples are rows of the graph like others, sources by weight. Fitted also: transduction_ [N], the labels of
    the rows of X (labelled ones keep theirs), label_distributions_ [N, K], calibrated, and prior_ [K] or None.
    """

    def __init__(self, k: int = 10, damping: float = 1e-3, prior: Prior = None, steps: int = 0, folds: int = 3) -> None:
        self.k = k
        self.damping = damping
        self.prior = prior
        self.steps = steps
        self.folds = folds

    def fit(self, X: Any, y: Any, extra: Extra | None = None) -> Self:
        """As all classifiers; then the labels of all rows of X are there, too."""
        super().fit(X, y, extra)
        known = self._codes
        probabilities = (self._nodes[: len(known)] / self.temperature_).softmax(1)
        probabilities[known >= 0] = F.one_hot(known[known >= 0], len(self.classes_)).double()
        self.label_distributions_ = probabilities.numpy()
        self.transduction_ = self.classes_[self.label_distributions_.argmax(1)]
        return self

    def _learn(self, task: Task) -> None:
        self._bank = F.normalize(task.x, dim=1)
        k = min(self.k, len(self._bank) - 1)
        self._graph = graph_of(*nearest(self._bank, self._bank, k, exclude_self=True))
        self._codes = task.codes[: task.real]
        self._guess = self.guess(task)
        self._nodes, self.prior_ = self.spread(self._graph, task, self._guess)

    def guess(self, task: Task, c: float = 0.1) -> Guess | None:
        """What the labels tell of the frequencies of the classes, if `prior` asks for it and rows are unlabelled; c: of
        the logistic head."""
        asked = isinstance(self.prior, str) and self.prior == "estimated"
        if not asked or task.classes < 2 or len(task.own) == task.real:
            return None
        return estimate(task.x[: task.real].flatten(1).float(), task.own, task.codes[task.own], c=c)

    def spread(self, graph: Graph, task: Task, guess: Guess | None = None) -> tuple[Tensor, Array | None]:
        """Scores float64 [N, K] of all rows of a graph, and the prior that they keep to."""
        scores = propagated_scores(graph, task.codes, task.classes, self.damping, task.weights)
        real = slice(task.real)  # a prior speaks of these rows: how many were minted of a class says nothing about it
        prior = self._frequencies(task, scores[real], guess)
        if prior is not None and task.classes > 1:
            if self.steps:
                told = (graph, task.codes, prior, scores)
                scores = poisson_mbo(*told, weights=task.weights, steps=self.steps, counted=real)
                scores = scores / max(scores.std(), 1e-12)
            else:
                scores = scores + volume_offsets(scores[real], prior)
        return torch.from_numpy(scores), prior

    def _frequencies(self, task: Task, scores: Array, guess: Guess | None) -> Array | None:
        """Class frequencies [K] that sum to 1, as `prior` asks for, or None. FitError if it fits nothing."""
        counts = torch.bincount(task.codes[task.own], minlength=task.classes).double().numpy()
        if self.prior is None:
            return None
        if not isinstance(self.prior, str):
            given = np.asarray(self.prior, np.float64)
        elif self.prior in ("uniform", "labels", "estimated"):
            return frequencies(self.prior, scores, counts, guess)
        else:
            raise FitError(f"there is no prior {self.prior!r}; choose uniform, labels, estimated or give numbers")
        if given.shape != counts.shape or not (given > 0).all():
            raise FitError(f"prior must be a positive number for each of the {task.classes} classes, not {self.prior}")
        return np.asarray(given / given.sum())

    def _held_out(self, task: Task, rows: Tensor) -> Tensor:
        return self.spread(self._graph, task.without(rows), self._guess)[0][rows]

    def _scores(self, x: Tensor) -> Tensor:
        """Means of the scores of the k nearest fitted rows, weighed as the graph's edges are."""
        distances, rows = nearest(F.normalize(x, dim=1), self._bank, min(self.k, len(self._bank)))
        weights = neighbour_weights(distances)
        return (weights[:, :, None] * self._nodes[rows]).sum(1) / weights.sum(1, keepdim=True)


build = Propagate
