"""A small network on pseudo-labels of all rows: propagation decides for each, once on the graph of nearest neighbours,
then on graphs whose neighbours agree (classify/agreement.py); the network learns from the last decisions.

    model = classifier("pseudo").fit(hidden, y)      # plain hidden vectors; y: -1 = unlabelled
    model.predict_proba(new)                         # two matrix products, no neighbours

As `propagate` it learns from unlabelled rows; as `logistic` it is small and fast once fitted. The arm
`encoder-propagate` does the same.
"""

from torch import Tensor

from augmint.classify.agreement import EDGES, agreeing, candidates, two_lessons
from augmint.classify.base import FewLabels, Task
from augmint.classify.classifiers.logistic import weighted_head
from augmint.classify.classifiers.propagate import Prior, Propagate
from augmint.classify.graph import DECIDING, Graph
from augmint.classify.linear import Squares
from augmint.classify.student import STEPS, Student, fit_student
from augmint.represent.whitening import Whitening


class Pseudo(FewLabels):
    """penalty  of the least squares (ridge) that is taught first, in units of the variance of the features
    c        of the logistic head beside it (see `logistic`)
    k, damping, prior  of the propagation (see `propagate`), on features whitened with `whiten` (None: as they are)
    folds    of the cross-validation that calibrates

    Minted samples take part in the propagation and in the logistic head.
    """

    def __init__(
        self,
        penalty: float = 0.1,
        c: float = 0.1,
        k: int = EDGES,
        damping: float = DECIDING,
        prior: Prior = "estimated",
        whiten: float | None = 0.1,
        folds: int = 3,
        seed: int = 0,
    ) -> None:
        self.penalty = penalty
        self.c = c
        self.k = k
        self.damping = damping
        self.prior = prior
        self.whiten = whiten
        self.folds = folds
        self.seed = seed

    def _learn(self, task: Task) -> None:
        real = task.x[: task.real]
        features = task.x if self.whiten is None else Whitening.fit(real, self.whiten)(task.x)
        self._near = candidates(features, self.k)
        self._squares = Squares.of(real, self.penalty)
        self._guess = Propagate(prior=self.prior).guess(task, self.c)
        self._student = self._taught(task)

    def _taught(self, task: Task) -> Student:
        head, propagation = weighted_head(task, self.c), Propagate(self.k, self.damping, self.prior)

        def decide(graph: Graph) -> Tensor:
            decisions = propagation.spread(graph, task, self._guess)[0].argmax(1)[: task.real]
            decisions[task.own] = task.codes[task.own]
            return decisions

        def student(decisions: Tensor, steps: int = STEPS) -> Student:
            return fit_student(task.x[: task.real], decisions, classes=task.classes, seed=self.seed, steps=steps)

        taught = two_lessons(head, self._squares, student, task.x)
        return student(decide(agreeing(self._near, decide, taught)))

    def _held_out(self, task: Task, rows: Tensor) -> Tensor:
        return self._taught(task.without(rows)).logits(task.x[rows])

    def _scores(self, x: Tensor) -> Tensor:
        return self._student.logits(x)


build = Pseudo
