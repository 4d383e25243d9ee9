"""Which views fit these images? `represent.views: auto`: short trainings, judged without labels.

    choice = choose(pool, settings, train)              # train(name, settings) → Encoder, kept or made
    settings = choice.settings(settings)                # its views, and what is left of the budget

Every candidate is trained shortly from the same initial weights on the same images in the same order; then the one is
taken whose features tell best how an image was turned (rotation.py). The usual views, those that suit most images, stay
unless the lead is clear. No label is looked at, so the comparison of arms later stays what it is. What the search has
cost is taken from `represent.images`.

Not the default: short trainings of digits, garments and CIFAR-10 (one seed) all left it with the usual views, at the
cost of the images that it saw. They differ little in what they tell, and what leads a little is not what is better:
views that turn images led on CIFAR-10 by one and a half points, which another seed changes by one, and were five worse.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from augmint.config import RepresentSettings
from augmint.data.table import ImageTable
from augmint.errors import Diverged
from augmint.represent.candidates import CANDIDATES, USUAL
from augmint.represent.encoder import Encoder
from augmint.represent.rotation import chance, turns_told
from augmint.train import parallel

AUTO = "auto"
BATCH = 64  # many small steps: a short training learns more from them
LEAST_STEPS = 8  # shorter trainings say nothing
LEAST_IMAGES = 200  # among fewer, neighbours say little
MOST_IMAGES = 5_000  # of one candidate's training
JUDGED = 2000  # images that the candidates are judged on
CLEAR = 3.0  # standard errors of a lead that counts; the best of five candidates is looked at
LUCK = 0.006  # standard deviation of a score over seeds of so short a training (CIFAR-10: 0.2 to 0.8 points)
SILENT = 0.05  # no better than this above chance, turns cannot be told in these images
Train = Callable[[str, RepresentSettings], Encoder]


@dataclass(frozen=True)
class Choice:
    """The views that were chosen, and why: score of each candidate (0 … 1), its lead over the usual views and the
    lead's standard error, over images judged and seeds of the training; `images` is what the search has cost."""

    chosen: str
    usual: str
    scores: dict[str, float]
    leads: dict[str, float]
    errors: dict[str, float]
    images: int
    reason: str

    def settings(self, settings: RepresentSettings) -> RepresentSettings:
        """For the training that follows: the chosen views, on what the search has left of the images."""
        left = max(settings.images - self.images, 1)
        return CANDIDATES[self.chosen].apply(settings).model_copy(update={"images": left})

    def to_dict(self) -> dict[str, Any]:
        """For done.json and the report."""
        return asdict(self)

    def describe(self) -> str:
        """A line for people."""
        scores = ", ".join(f"{n} {100 * s:.1f}" for n, s in sorted(self.scores.items(), key=lambda item: -item[1]))
        shown = f" (turns told: {scores} %; {self.images:,} images seen)" if scores else ""
        return f"views: {self.chosen} chosen, {self.reason}{shown}"


def short(settings: RepresentSettings) -> RepresentSettings:
    """What one candidate is trained with, but for its views."""
    world = parallel.world()
    batch = min(settings.batch, world * -(-BATCH // world))
    wanted = min(int(settings.search * settings.images) // len(CANDIDATES), MOST_IMAGES)
    # compiling would take longer than such a training
    return settings.model_copy(
        update={"batch": batch, "images": wanted // batch * batch, "compile": "off", "latent": 0}
    )


def choose(pool: ImageTable, settings: RepresentSettings, train: Train) -> Choice:
    """Train every candidate through `train` and choose; the same in all processes of a `torchrun`.

    Candidates that diverge are out. With too few images, or too few to see, the usual views stay, at no cost.
    """
    brief, stay = short(settings), USUAL
    if len(pool) < LEAST_IMAGES or brief.images < LEAST_STEPS * brief.batch:
        return Choice(stay, stay, {}, {}, {}, 0, "the usual ones, as there is too little to choose by")
    rows = torch.linspace(0, len(pool) - 1, min(len(pool), JUDGED)).long()
    images = pool.gather(rows)
    scores = {}
    for name, candidate in CANDIDATES.items():
        try:
            scores[name] = turns_told(train(name, candidate.apply(brief)), images)
        except Diverged:
            continue
    return decide(scores, stay, brief.images * len(CANDIDATES), chance(images))


def decide(scores: dict[str, Tensor], stay: str, images: int, chance: float) -> Choice:
    """The choice from scores per image, float [N] by name: the best, if its lead over the usual views is clear and if
    it is above the score that says nothing."""
    means = {name: float(score.double().mean()) for name, score in scores.items()}
    best = max(means, key=means.__getitem__, default=stay)
    if means.get(best, 0.0) < chance + SILENT:
        reason = "the usual ones, as these images have no way up to judge by"
        return _agreed(Choice(stay, stay, means, {}, {}, images, reason))
    if stay not in scores:
        return _agreed(Choice(best, stay, means, {}, {}, images, "as the usual ones diverged"))
    differences = {name: score.double() - scores[stay].double() for name, score in scores.items() if name != stay}
    leads = {name: float(d.mean()) for name, d in differences.items()}
    errors = {name: float((d.var() / len(d) + 2 * LUCK**2) ** 0.5) for name, d in differences.items()}
    clear = best != stay and leads[best] > CLEAR * errors[best]
    reason = "clearly ahead of the usual views" if clear else "the usual ones, as no other is clearly ahead"
    return _agreed(Choice(best if clear else stay, stay, means, leads, errors, images, reason))


def _agreed(choice: Choice) -> Choice:
    """The first process's choice, should rounding have led to another one here."""
    names = list(CANDIDATES)
    chosen = names[parallel.from_first(names.index(choice.chosen))]
    return choice if chosen == choice.chosen else Choice(**{**asdict(choice), "chosen": chosen})
