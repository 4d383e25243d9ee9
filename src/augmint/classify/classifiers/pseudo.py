"""A linear head on pseudo-labels of all rows: propagation decides for each, least squares learns from the decisions;
added are the logits of a logistic head on the labels themselves.

    model = classifier("pseudo").fit(hidden, y)      # plain hidden vectors; y: -1 = unlabelled
    model.predict_proba(new)                         # a matrix product, no neighbours

As `propagate` it learns from unlabelled rows; as `logistic` it is small and fast once fitted. With few labels the many
decisions say more, with many the labels themselves.
"""

from dataclasses import replace

from torch import Tensor

from augmint.classify.base import FewLabels, Task
from augmint.classify.classifiers.logistic import weighted_head
from augmint.classify.classifiers.propagate import Prior, Propagate
from augmint.classify.graph import DECIDING
from augmint.classify.linear import Squares
from augmint.classify.logistic import LogisticHead
from augmint.represent.whitening import Whitening


class Pseudo(FewLabels):
    """penalty  of the least squares (ridge), in units of the variance of the features
    c        of the logistic head (see `logistic`)
    k, damping, prior  of the propagation (see `propagate`), on features whitened with `whiten` (None: as they are)
    folds    of the cross-validation that calibrates

    Minted samples take part in the propagation and in the logistic head.
    """

    def __init__(
        self,
        penalty: float = 0.1,
        c: float = 0.1,
        k: int = 10,
        damping: float = DECIDING,
        prior: Prior = None,
        whiten: float | None = 0.1,
        folds: int = 3,
    ) -> None:
        self.penalty = penalty
        self.c = c
        self.k = k
        self.damping = damping
        self.prior = prior
        self.whiten = whiten
        self.folds = folds

    def _learn(self, task: Task) -> None:
        real = task.x[: task.real]
        features = task.x if self.whiten is None else Whitening.fit(real, self.whiten)(task.x)
        self._propagation = Propagate(self.k, self.damping, self.prior, folds=0)
        self._propagation._learn(replace(task, x=features))
        self._squares = Squares.of(real, self.penalty)
        self._head = self._taught(task, self._propagation._nodes)

    def _taught(self, task: Task, scores: Tensor) -> LogisticHead:
        decisions = scores[: task.real].argmax(1)
        decisions[task.own] = task.codes[task.own]
        return weighted_head(task, self.c) + self._squares.fit(decisions, task.classes)

    def _held_out(self, task: Task, rows: Tensor) -> Tensor:
        rest = task.without(rows)
        return self._taught(rest, self._propagation._spread(rest)[0]).logits(task.x[rows])

    def _scores(self, x: Tensor) -> Tensor:
        return self._head.logits(x)


build = Pseudo
