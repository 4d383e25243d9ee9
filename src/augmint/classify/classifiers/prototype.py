"""The class whose mean lies nearest in direction: nothing to tune, and hard to beat with one label a class.

model = classifier("prototype").fit(features, y)
"""

import torch.nn.functional as F
from torch import Tensor

from augmint.classify.base import FewLabels, Task

SHARPNESS = 10.0  # logits per cosine, before calibration


class Prototype(FewLabels):
    """Cosine between a row and the mean of each class's unit vectors (Snell, Swersky & Zemel, NeurIPS 2017, with
    cosines), both seen from the mean of all real rows, labelled or not. Minted samples enter the means by weight."""

    def __init__(self, folds: int = 3) -> None:
        self.folds = folds

    def _learn(self, task: Task) -> None:
        self._centre = task.x[: task.real].mean(0)
        rows = task.labelled
        share = F.one_hot(task.codes[rows], task.classes).double() * task.weights[rows, None]
        unit = F.normalize(task.x[rows] - self._centre, dim=1)
        self._means = F.normalize(share.to(unit.dtype).T @ unit, dim=1)

    def _scores(self, x: Tensor) -> Tensor:
        return SHARPNESS * F.normalize(x - self._centre, dim=1) @ self._means.T


build = Prototype
