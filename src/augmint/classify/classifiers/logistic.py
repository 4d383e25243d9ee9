"""Logistic regression on features: the strongest plain head once there are some ten labels a class.

model = classifier("logistic", c=0.1).fit(hidden, y)      # plain hidden vectors, not whitened ones
"""

from torch import Tensor

from augmint.classify.base import FewLabels, Task
from augmint.classify.logistic import LogisticHead, fit_logistic


def weighted_head(task: Task, c: float) -> LogisticHead:
    """The head of the labelled rows; features standardised by all real ones, weights scaled to sum to the labels."""
    rows, real = task.labelled, task.x[: task.real]
    weights = task.weights[rows] * (len(task.own) / task.weights[rows].sum())
    mean, scale = real.mean(0), real.std(0).clamp_min(1e-6)
    return fit_logistic(task.x[rows], task.codes[rows], weights, classes=task.classes, c=c, mean=mean, scale=scale)


class Logistic(FewLabels):
    """Multinomial, L2 penalty 1 / c, solved to convergence; features are standardised by all real rows.

    With minted samples all weights are scaled to sum to the number of labels, so that they do not weaken the penalty.
    """

    def __init__(self, c: float = 0.1, folds: int = 3) -> None:
        self.c = c
        self.folds = folds

    def _learn(self, task: Task) -> None:
        self._head = weighted_head(task, self.c)

    def _scores(self, x: Tensor) -> Tensor:
        return self._head.logits(x)


build = Logistic
