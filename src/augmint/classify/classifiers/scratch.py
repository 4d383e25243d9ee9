"""A network from random weights on the labelled images: what needs no encoder.

    model = classifier("scratch", policy="randaugment").fit(images, y)     # images uint8 [N, C, H, W]
    model.fit(images, y, extra=(minted, labels, 1.0))                      # up to half of each batch is minted

Unlabelled images are left aside. Training is that of the arms from scratch (classify/scratch.py).
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.utils.validation import check_consistent_length, column_or_1d
from torch import Tensor

from augmint.augment import policy as policy_named
from augmint.classify.base import Array, FewLabels, FitError, Task
from augmint.classify.scratch import Extra, fit_scratch
from augmint.config import ClassifySettings
from augmint.data.table import ImageTable
from augmint.train import Compute


class Scratch(FewLabels):
    """policy    augmentation of all samples
    settings  network, length, rates and minted share of a batch; None: the defaults of `classify`
    folds     of the cross-validation that calibrates; each is a training of its own, so the default is none

    The weight of minted samples is that of each in the loss; None: 1.
    """

    def __init__(
        self,
        policy: str = "weak",
        settings: ClassifySettings | None = None,
        seed: int = 0,
        device: str = "auto",
        folds: int = 0,
    ) -> None:
        self.policy = policy
        self.settings = settings
        self.seed = seed
        self.device = device
        self.folds = folds

    def _pairs(self, X: Any, y: Any) -> tuple[Tensor, Array]:
        images, labels = _images(X), column_or_1d(y)
        check_consistent_length(images, labels)
        self.n_features_in_ = images[0].numel()
        self._shape = tuple(images.shape[1:])
        return images, labels

    def _rows(self, X: Any) -> Tensor:
        images = _images(X)
        if tuple(images.shape[1:]) != self._shape:
            raise FitError(
                f"images of {tuple(images.shape[1:])} for a classifier of {self._shape}; load them at that size"
            )
        return images

    def _weight(self, task: Task, count: int) -> float:
        return 1.0

    def _learn(self, task: Task) -> None:
        chosen = self.settings or ClassifySettings()
        names = tuple(map(str, self.classes_))
        table = ImageTable.of(task.x[: task.real], task.codes[: task.real], names)
        made = task.x[task.real :], F.one_hot(task.codes[task.real :], task.classes).float(), task.weights[task.real :]
        self._model = fit_scratch(
            table,
            task.own,
            task.codes[task.own],
            policy_named(self.policy),
            chosen,
            Compute.choose(self.device),
            classes=task.classes,
            seed=self.seed,
            extra=Extra(*made[:2], made[2].float()) if len(made[0]) else None,
        )

    def _scores(self, x: Tensor) -> Tensor:
        return self._model.logits(x)


def _images(X: Any) -> Tensor:
    """uint8 [N, C, H, W]. FitError for anything else."""
    images = torch.as_tensor(np.asarray(X))
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3) or len(images) == 0:
        raise FitError(
            f"X is {images.dtype} {list(images.shape)}; the classifier 'scratch' reads images, "
            "uint8 [N, C, H, W] with C = 1 or 3"
        )
    return images


build = Scratch
