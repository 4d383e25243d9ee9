"""What the minting of a finished run stands on: who may be a parent, and the classifier that judges the children.

    ground = stage.keep(lambda stage: Ground.of(situation), partial(Ground.load, compute=compute))
    rows, labels = ground.parents(per_class=300)
    ground.hand(situation)                    # which then neither trains a judge nor builds a graph

Learnt once, on one thread as trials are, and stored: however often and on however many cores a run mints, it is by the
same judge.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from augmint.classify import ScratchClassifier
from augmint.judge.situation import Situation, first_of_each
from augmint.mint import Stock
from augmint.train import Compute, checkpoint
from augmint.train.compute import one_thread


@dataclass(frozen=True, eq=False)
class Ground:
    """Rows of the pool, int64: `rows` with their given `labels`; `others`, all that could be given one in random
    order, with `other_labels` by propagation. `minting` bool [classes]: of which images are minted (`mint.drop`)."""

    judge: ScratchClassifier
    rows: Tensor
    labels: Tensor
    others: Tensor
    other_labels: Tensor
    minting: Tensor

    @staticmethod
    def of(situation: Situation) -> "Ground":
        """Trains the judge of this situation, unless it has one."""
        with one_thread():
            others, minting = situation.possible_parents, situation.material.minting
            return Ground(situation.judge, situation.rows, situation.labels, *others, minting)

    def pseudo(self, per_class: int) -> tuple[Tensor, Tensor]:
        """So many unlabelled rows of each class, and their labels."""
        return first_of_each(self.others, self.other_labels, per_class)

    def parents(self, per_class: int) -> tuple[Tensor, Tensor]:
        """The labelled rows and so many of each class beside them, with their labels, of the minted classes."""
        rows, labels = self.pseudo(per_class)
        rows, labels = torch.cat([self.rows, rows]), torch.cat([self.labels, labels])
        return rows[self.minting[labels]], labels[self.minting[labels]]

    def stock(self) -> Stock:
        """How many parents of each class there are."""
        counts = (torch.bincount(of, minlength=self.judge.classes) for of in (self.labels, self.other_labels))
        return Stock(*(count * self.minting for count in counts))

    def probabilities(self, images: Tensor) -> Tensor:
        """uint8 [N, C, H, W] → float32 [N, classes]: what the judge says."""
        return self.judge.logits(images).softmax(1)

    def hand(self, situation: Situation) -> None:
        """Give a situation of the same labels what is known already."""
        situation.ledger.give("judge", self.judge)
        situation.ledger.give("pseudo", self.pseudo(situation.material.settings.mint.parents_per_class))

    def save(self, path: Path) -> None:
        """One safetensors file."""
        parts = {name: value for name, value in vars(self).items() if name != "judge"}
        judge = {"facts": self.judge.facts, "weights": self.judge.network.state_dict()}
        checkpoint.save(path, {"kind": "ground", "judge": judge, **parts})

    @staticmethod
    def load(path: Path, compute: Compute) -> "Ground":
        """What `save` wrote."""
        state = checkpoint.load(path)
        judge = ScratchClassifier.of(state["judge"], compute)
        return Ground(judge, *(state[name] for name in ("rows", "labels", "others", "other_labels", "minting")))
