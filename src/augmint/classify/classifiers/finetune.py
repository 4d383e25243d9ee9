"""An encoder trained further for the labels, unlabelled images included: slow, and seldom better than `pseudo`.

    model = classifier("finetune", encoder="runs/photos/encoder.safetensors").fit(images, y)   # uint8 [N, C, H, W]
    model.predict_proba(new)

What `pseudo` knows on the frozen encoder is where it starts (classify/finetune.py). It takes some two minutes of one
core at the default length and has been no better than that start on Fashion-MNIST (docs/log.md): measure before you
use it.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from augmint.classify.base import FitError, Task
from augmint.classify.classifiers.propagate import Prior
from augmint.classify.classifiers.pseudo import Pseudo
from augmint.classify.finetune import fit_finetuned
from augmint.classify.images import ImageClassifier
from augmint.config import FinetuneSettings
from augmint.data.table import UNLABELLED, ImageTable
from augmint.represent.encoder import Encoder
from augmint.represent.weights import load
from augmint.train import Compute


class Finetune(ImageClassifier):
    """encoder   an Encoder, or the file of one; it is left as it is
    settings  length, rates and augmentation; None: the defaults of `classify.finetune`
    prior     how frequent the classes are, for the start (see `propagate`)
    folds     of the cross-validation that calibrates; each is a training of its own, so the default is none

    Minted samples take part in the start alone, by weight.
    """

    name = "finetune"

    def __init__(
        self,
        encoder: Encoder | str | Path | None = None,
        settings: FinetuneSettings | None = None,
        seed: int = 0,
        device: str = "auto",
        folds: int = 0,
        prior: Prior = None,
    ) -> None:
        self.encoder = encoder
        self.settings = settings
        self.seed = seed
        self.device = device
        self.folds = folds
        self.prior = prior

    def _learn(self, task: Task) -> None:
        encoder = self._encoder()
        hidden = encoder.hidden(task.x)
        start = Pseudo(prior=self.prior, folds=0)
        start._learn(replace(task, x=hidden))
        codes = task.codes[: task.real]
        table = ImageTable.of(
            task.x[: task.real], torch.full_like(codes, UNLABELLED), tuple(str(c) for c in self.classes_)
        )
        self._model = fit_finetuned(
            encoder,
            start._student,
            table,
            hidden[: task.real],
            codes,
            self.settings or FinetuneSettings(),
            encoder.compute,
            seed=self.seed,
        )

    def _encoder(self) -> Encoder:
        if isinstance(self.encoder, Encoder):
            return self.encoder
        if self.encoder is None:
            raise FitError("the classifier 'finetune' needs an encoder; give one, or its file, as encoder=")
        return load(Path(self.encoder), Compute.choose(self.device))

    def _scores(self, x: Tensor) -> Tensor:
        return self._model.logits(x)


build = Finetune
