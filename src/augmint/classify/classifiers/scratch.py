"""A network from random weights on the labelled images: what needs no encoder.

    model = classifier("scratch", policy="randaugment").fit(images, y)     # images uint8 [N, C, H, W]
    model.fit(images, y, extra=(minted, labels, 1.0))                      # up to half of each batch is minted

Unlabelled images are left aside. Training is that of the arms from scratch (classify/scratch.py).
"""

import torch.nn.functional as F
from torch import Tensor

from augmint.classify.base import Task
from augmint.classify.images import ImageClassifier
from augmint.classify.scratch import Extra, fit_scratch, training_policy
from augmint.config import ClassifySettings
from augmint.data.table import ImageTable
from augmint.train import Compute


class Scratch(ImageClassifier):
    """policy    augmentation of all samples, the same as that of the arm from scratch of this name
    settings  network, length, rates and minted share of a batch; None: the defaults of `classify`
    folds     of the cross-validation that calibrates; each is a training of its own, so the default is none
    """

    name = "scratch"

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

    def _learn(self, task: Task) -> None:
        chosen = self.settings or ClassifySettings()
        names = tuple(map(str, self.classes_))
        table = ImageTable.of(task.x[: task.real], task.codes[: task.real], names)
        made = task.x[task.real :], F.one_hot(task.codes[task.real :], task.classes).float(), task.weights[task.real :]
        self._model = fit_scratch(
            table,
            task.own,
            task.codes[task.own],
            training_policy(self.policy),
            chosen,
            Compute.choose(self.device),
            classes=task.classes,
            seed=self.seed,
            extra=Extra(*made[:2], made[2].float()) if len(made[0]) else None,
        )

    def _scores(self, x: Tensor) -> Tensor:
        return self._model.logits(x)


build = Scratch
