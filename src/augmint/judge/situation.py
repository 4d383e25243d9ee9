"""What an arm finds when it starts: one split, and what follows from it, computed when first asked for.

situation = Situation(material, split)
situation.pseudo          # rows and labels of unlabelled images that propagation labels under this split's labels
situation.minted          # their children, judged
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from augmint.augment import Augment, policy
from augmint.classify import (
    Extra,
    LogisticHead,
    ScratchClassifier,
    Student,
    agreeing,
    fit_logistic,
    fit_scratch,
    fit_student,
    two_lessons,
)
from augmint.classify.frequencies import Guess, estimate
from augmint.classify.graph import DECIDING, Graph, propagated_scores
from augmint.classify.student import STEPS
from augmint.classify.volume import frequencies, volume_offsets
from augmint.config import ClassifySettings
from augmint.data.table import UNLABELLED
from augmint.errors import UsageError
from augmint.judge.ledger import Ledger, shared
from augmint.judge.material import Material
from augmint.judge.protocol import Split
from augmint.mint import Minted, MintedFeatures, mint_features, mint_images
from augmint.mint.filters import ranks
from augmint.seeding import permutation


def first_of_each(rows: Tensor, labels: Tensor, per_class: int) -> tuple[Tensor, Tensor]:
    """The first so many rows of each class, and their labels."""
    chosen = ranks(labels) < per_class
    return rows[chosen], labels[chosen]


@dataclass(eq=False)
class Situation:
    """One split of the material. Rows below are places in the pool."""

    material: Material
    split: Split
    curve: Callable[[str, int, ScratchClassifier], None] | None = None
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def classes(self) -> int:
        return len(self.material.table.classes)

    @cached_property
    def rows(self) -> Tensor:
        """The labelled rows."""
        return self.material.place[self.split.train]

    @cached_property
    def labels(self) -> Tensor:
        """Their labels: the only ones that this class reads."""
        return self.material.table.labels[self.split.train]

    @property
    def known(self) -> Tensor:
        """int64 [P]: the labels, -1 = unlabelled."""
        known = torch.full((len(self.material.pool),), UNLABELLED)
        known[self.rows] = self.labels
        return known

    @shared
    def head(self) -> LogisticHead:
        """Logistic regression on the hidden vectors of the labels."""
        m = self.material
        own, c = (m.hidden[self.rows], self.labels), m.settings.classify.logistic_c
        return fit_logistic(*own, classes=self.classes, c=c, mean=m.mean, scale=m.scale)

    @shared
    def graph(self) -> Graph:
        """Of the pool, between neighbours whose class classifiers taught by propagation agree on."""
        m, present = self.material, torch.unique(self.labels)
        return agreeing(m.near, self._decide, two_lessons(self.head, m.squares, self._taught, m.hidden, present))

    @shared
    def student(self) -> Student:
        """What propagation decides for the pool, as a function of hidden vectors."""
        return self._taught(self.decisions)

    def _taught(self, decisions: Tensor, steps: int = STEPS) -> Student:
        m, own = self.material, {"classes": self.classes, "seed": self.split.seed, "steps": steps}
        return fit_student(m.hidden, decisions, mean=m.mean, scale=m.scale, **own)

    @shared
    def guess(self) -> Guess | None:
        """How frequent the classes with labels are in the pool. None where it cannot be asked: with few labels a class,
        and with a target, whose images look otherwise than those that the labels are of."""
        m, codes = self.material, torch.unique(self.labels, return_inverse=True)[1]
        if m.pool_table.of_target.any():
            return None
        return estimate(m.hidden, self.rows, codes, c=m.settings.classify.logistic_c, mean=m.mean, scale=m.scale)

    @shared
    def decisions(self) -> Tensor:
        """int64 [P]: the class of every row by propagation, as frequent as `classify.prior` says. Labelled rows keep
        theirs, held-out rows have none (-1)."""
        return self._decide(self.graph)

    def _decide(self, graph: Graph) -> Tensor:
        present = torch.unique(self.labels)  # a class without labels gets no rows
        scores = propagated_scores(graph, self.known, self.classes, DECIDING)[:, present.numpy()]
        prior = self.material.settings.classify.prior
        if prior != "none" and len(present) > 1:
            counts = torch.bincount(self.labels)[present].double().numpy()
            given = prior if isinstance(prior, str) else [prior[k] for k in present.tolist()]
            shares = frequencies(given, scores, counts, self.guess if prior == "estimated" else None)
            scores = scores if shares is None else scores + volume_offsets(scores, shares)
        decided = torch.where(self.unlabelled, present[torch.from_numpy(scores.argmax(1))], UNLABELLED)
        decided[self.rows] = self.labels
        return decided

    @shared
    def pseudo(self) -> tuple[Tensor, Tensor]:
        """Unlabelled rows of the source with propagated labels, some of each class; held-out rows stay out."""
        return self._some(self._source)

    @shared
    def pseudo_learnt(self) -> tuple[Tensor, Tensor]:
        """The same to learn from: with a target its images, as these look as those that the classifier has to tell."""
        target = self.material.pool_table.of_target
        return self._some(self.unlabelled & target) if target.any() else self.pseudo

    @property
    def possible_parents(self) -> tuple[Tensor, Tensor]:
        """All unlabelled rows of the source with propagated labels, in random order."""
        return self._drawn(self._source)

    @property
    def _source(self) -> Tensor:
        return self.unlabelled & ~self.material.pool_table.of_target

    def _some(self, allowed: Tensor) -> tuple[Tensor, Tensor]:
        return first_of_each(*self._drawn(allowed), self.material.settings.mint.parents_per_class)

    def _drawn(self, allowed: Tensor) -> tuple[Tensor, Tensor]:
        """In random order, not the surest first: those look like each other, and what is learnt from them alone knows
        nothing of the others (docs/log.md, *Any parents*)."""
        rows = torch.nonzero(allowed)[:, 0]
        rows = rows[permutation(len(rows), self.split.seed, "parents")]
        return rows, self.decisions[rows]

    @property
    def unlabelled(self) -> Tensor:
        """bool [P]: rows that may be given a label, those that have none and are not held out."""
        held_out = self.material.place[self.split.test]
        allowed = torch.ones(len(self.material.pool), dtype=torch.bool)
        allowed[self.rows] = False
        allowed[held_out[held_out >= 0]] = False
        return allowed

    @cached_property
    def parents(self) -> tuple[Tensor, Tensor]:
        """Labelled and pseudo-labelled rows with their labels, but for the classes of `mint.drop`: whose children are
        minted."""
        rows, labels = self.pseudo
        rows, labels = torch.cat([self.rows, rows]), torch.cat([self.labels, labels])
        keep = self.material.minting[labels]
        return rows[keep], labels[keep]

    @property
    def extra_policy(self) -> Augment:
        """What all samples of an arm with extra ones undergo: the same for pseudo-labelled and minted."""
        return policy(self.material.settings.classify.extra_policy)

    @shared
    def judge(self) -> ScratchClassifier:
        """The independent classifier that minted images must convince: pixels only, weights of its own."""
        return self.fit("scratch-pseudo", self.extra_policy, self.pseudo_extra)

    @property
    def pseudo_extra(self) -> Extra:
        rows, labels = self.pseudo_learnt
        return self._extra(self.material.pool_table.gather(rows), labels)

    @shared
    def minted(self) -> Minted:
        """Children of the parents, all of them, each judged."""
        m = self.material
        if m.image_generator is None or m.thresholds is None:
            raise UsageError("minted images need the image generator; set generate.image.enabled=true")
        rows, labels = self.parents

        def classifier(images: Tensor) -> Tensor:
            return self.judge.logits(images).softmax(1)

        given = (m.pool_table, rows, labels, classifier, m.settings.mint, self.split.seed, m.thresholds)
        return mint_images(m.image_generator, *given, m.small)

    @property
    def minted_extra(self) -> Extra:
        kept = self.minted.accepted()
        return self._extra(kept.gather(torch.arange(len(kept))), kept.labels)

    @shared
    def minted_features(self) -> MintedFeatures:
        """Children of the labelled rows' hidden vectors, each judged. Where G looks at no parent, the head of the
        labels says what they are."""
        m = self.material
        if m.feature_generator is None:
            raise UsageError("minted features need the feature generator; set generate.feature.enabled=true")
        return mint_features(
            m.feature_generator,
            m.hidden,
            self.rows,
            self.labels,
            m.settings.mint,
            self.split.seed,
            lambda made: self.head.logits(made).softmax(1),
            m.feature_thresholds,
            inherits=m.feature_generator.has_parents,
        )

    def _extra(self, images: Tensor, labels: Tensor) -> Extra:
        targets = torch.nn.functional.one_hot(labels, self.classes).float()
        return Extra(images, targets, torch.ones(len(labels)))

    def mixing(self, share: float | None) -> ClassifySettings:
        """The settings that classifiers are trained with, where another `share` of a batch is to be extra."""
        settings = self.material.settings.classify
        return settings if share is None else settings.model_copy(update={"minted_share": share})

    def fit(
        self, arm: str, augment: Augment, extra: Extra | None = None, share: float | None = None
    ) -> ScratchClassifier:
        """A network from scratch under this split's labels, seed and number of steps; `share` of a batch is extra."""
        m, curve = self.material, self.curve
        return fit_scratch(
            m.pool_table,
            self.rows,
            self.labels,
            augment,
            self.mixing(share),
            m.compute,
            classes=self.classes,
            seed=self.split.seed,
            extra=extra,
            curve=(lambda seen, model: curve(arm, seen, model)) if curve else None,
        )
