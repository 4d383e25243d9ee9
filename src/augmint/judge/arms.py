"""The arms of a comparison: one function each, found by its name (`scratch-minted` → `scratch_minted`).

    model = find("scratch-minted")(situation)
    model = find("scratch-cutmix@0.5")(situation)     # every augmentation policy is an arm, at any strength

An arm gets a Situation and returns a classifier of images (ScratchClassifier, FinetunedEncoder) or of the encoder's
features (LogisticHead, Student). To add an arm, write a function here and name it in `judge.arms`.
"""

import inspect
import math
import sys
from collections.abc import Callable
from functools import partial

import torch

from augmint.augment import POLICIES
from augmint.classify import FinetunedEncoder, LogisticHead, ScratchClassifier, Student, fit_finetuned, fit_logistic
from augmint.classify.scratch import training_policy
from augmint.config import Settings
from augmint.data.table import UNLABELLED
from augmint.errors import UsageError
from augmint.generate.rivals import gaussian_features, mixup_features, real_neighbours, real_walks, smote_features
from augmint.judge.situation import Situation
from augmint.mint.features import each_draws
from augmint.seeding import permutation

Head = LogisticHead | Student  # of hidden vectors; the others of images
Model = ScratchClassifier | FinetunedEncoder | Head
Arm = Callable[[Situation], Model]
MOST = 0.5  # of a batch that extra samples may have
CALIBRATING = 5_000  # unlabelled features that the Gaussian arm takes its covariance from


def find(name: str) -> Arm:
    """The arm of that name. `@` and a number say how much of it, where that is not the usual: the strength of a policy
    (`scratch-weak@0.5`), the share of a batch that extra samples have (`scratch-minted@0.25`). UsageError says what
    does not fit."""
    stem, sign, text = name.partition("@")
    amount = _amount(name, text) if sign else None
    if traditional(name):
        return partial(_traditional, name=name, strength=1.0 if amount is None else amount)
    functions = _functions()
    if stem not in functions:
        raise UsageError(f"there is no arm {stem!r}; choose from {', '.join(arms())}")
    if amount is None:
        return functions[stem]
    if "share" not in inspect.signature(functions[stem]).parameters:
        raise UsageError(f"arm {name}: there is no more or less of it; call it {stem}")
    if amount > MOST:
        raise UsageError(f"arm {name}: extra samples may have at most {MOST} of a batch")
    return partial(functions[stem], share=amount)


def _amount(name: str, text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not 0 <= amount < math.inf:
        raise UsageError(f"arm {name}: {text!r} is no number from 0 on; write it like scratch-weak@0.5")
    return amount


def arms() -> tuple[str, ...]:
    """The names of all arms."""
    return *(f"scratch-{name}" for name in POLICIES), *_functions()


def chosen(settings: Settings) -> tuple[str, ...]:
    """The arms that the settings allow, each once: without a generator its arms are left out. UsageError for a name
    that does not exist, or if none is left."""
    image, feature = settings.generate.image.enabled, settings.generate.feature.enabled
    there = dict.fromkeys(("scratch-minted", "scratch-both", "encoder-finetune-minted"), image)
    there["encoder-minted"] = feature
    named = list(dict.fromkeys(settings.judge.arms))
    for name in named:
        find(name)
    found = tuple(name for name in named if there.get(name.partition("@")[0], True))
    if not found:
        without = f": {', '.join(named)} need a generator that is switched off" if named else ""
        raise UsageError(f"judge.arms names no arm to train{without}; add one of {', '.join(arms())}")
    return found


def _functions() -> dict[str, Callable[..., Model]]:
    here = sys.modules[__name__]
    found = inspect.getmembers(here, lambda f: inspect.isfunction(f) and f.__module__ == __name__)
    return {n.replace("_", "-"): f for n, f in found if n.startswith(("scratch_", "encoder"))}


def traditional(name: str) -> bool:
    """Whether the arm is an augmentation policy on the labels alone. It uses nothing that was learnt without labels, so
    it is the same under any encoder."""
    return family(name) == "scratch" and name.partition("@")[0].removeprefix("scratch-") in POLICIES


def usual(names: tuple[str, ...]) -> str:
    """The final arm where no labels can be held out to choose it: the one that has been best with so few."""
    ahead = ("encoder-propagate", *(name for name in names if family(name) == "encoder"), *names)
    return next(name for name in ahead if name in names)


def family(name: str) -> str:
    """'scratch' or 'encoder'."""
    return name.split("-")[0]


def _traditional(situation: Situation, name: str, strength: float) -> Model:
    """Labels only, under a policy."""
    return situation.fit(name, training_policy(name.partition("@")[0].removeprefix("scratch-"), strength))


def scratch_pseudo(situation: Situation, share: float | None = None) -> Model:
    """Labels and pseudo-labelled real images: the unlabelled parents of the minted ones themselves."""
    if share is None:
        return situation.judge
    return situation.fit(_name("scratch-pseudo", share), situation.extra_policy, situation.pseudo_extra, share)


def scratch_minted(situation: Situation, share: float | None = None) -> Model:
    """Labels and minted images."""
    return situation.fit(_name("scratch-minted", share), situation.extra_policy, situation.minted_extra, share)


def scratch_both(situation: Situation, share: float | None = None) -> Model:
    """Labels, minted images and their pseudo-labelled parents, each as likely as any other of its class."""
    extra = situation.minted_extra + situation.pseudo_extra
    return situation.fit(_name("scratch-both", share), situation.extra_policy, extra, share)


def _name(stem: str, share: float | None) -> str:
    return stem if share is None else f"{stem}@{share:g}"


def encoder(situation: Situation) -> Model:
    """Logistic regression on the encoder's features of the labels."""
    return situation.head


def encoder_propagate(situation: Situation) -> Model:
    """A student of what propagation decides for the whole pool, on a graph whose neighbours agree."""
    return situation.student


def encoder_finetune(situation: Situation) -> Model:
    """Encoder and head trained further: the student of `encoder-propagate` to begin with, then self-training."""
    return _finetuned(situation)


def encoder_finetune_minted(situation: Situation, share: float | None = None) -> Model:
    """The same with minted images among the labelled ones."""
    return _finetuned(situation, share, minted=True)


def _finetuned(situation: Situation, share: float | None = None, minted: bool = False) -> FinetunedEncoder:
    m, mixing = situation.material, situation.mixing(share)
    if m.encoder is None:
        raise UsageError("the arm encoder-finetune needs an encoder; train one with `augmint represent`")
    return fit_finetuned(
        m.encoder,
        situation.student,
        m.pool_table,
        m.hidden,
        situation.known,
        mixing.finetune,
        m.compute,
        seed=situation.split.seed,
        allowed=situation.unlabelled,
        extra=situation.minted_extra if minted else None,
        mixing=mixing,
    )


def encoder_gaussian(situation: Situation) -> Model:
    """The same with features drawn from one Gaussian a class, with the covariance of unlabelled features about the
    means of the labelled ones."""
    free = torch.nonzero(situation.unlabelled)[:, 0]
    free = free[permutation(len(free), situation.split.seed, "gaussian")[:CALIBRATING]]
    features = situation.material.hidden[torch.cat([situation.rows, free])]
    labels = torch.cat([situation.labels, torch.full_like(free, UNLABELLED)])
    some = gaussian_features(features, labels, _per_class(situation), situation.split.seed, situation.classes)
    return _head(situation, some)


def encoder_smote(situation: Situation) -> Model:
    """The same with features on the lines between labelled ones of a class."""
    own = situation.material.hidden[situation.rows], situation.labels
    return _head(situation, smote_features(*own, _per_class(situation), situation.split.seed, situation.classes))


def encoder_mixup(situation: Situation) -> Model:
    """The same with mixtures of labelled features and of their labels."""
    own = situation.material.hidden[situation.rows], situation.labels
    count = _per_class(situation) * situation.classes
    return _head(situation, mixup_features(*own, count, situation.split.seed, situation.classes))


def encoder_neighbours(situation: Situation) -> Model:
    """The same with real unlabelled features that inherit the label of the nearest labelled one."""
    m = situation.material
    rows, labels = real_neighbours(m.features, situation.rows, situation.labels, _each(situation), situation.unlabelled)
    return _head(situation, (m.hidden[rows], labels))


def encoder_walks(situation: Situation) -> Model:
    """The same with real unlabelled features that inherit the label which a walk over the graph began at: what the
    feature generator is shown as children."""
    m, learnt = situation.material, situation.material.settings.generate.feature
    near, own = m.near.rows[:, : learnt.neighbours], (situation.rows, situation.labels)
    walks = real_walks(near, *own, _each(situation), learnt.hops, situation.split.seed, situation.unlabelled)
    return _head(situation, (m.hidden[walks[0]], walks[1]))


def _each(situation: Situation) -> int:
    """As many features a label as minting draws."""
    return each_draws(len(situation.rows), len(torch.unique(situation.labels)), situation.material.settings.mint)


def _per_class(situation: Situation) -> int:
    """As many a class."""
    return _each(situation) * max(1, len(situation.rows) // situation.classes)


def encoder_minted(situation: Situation) -> Model:
    """The same with minted features."""
    return _head(situation, situation.minted_features.accepted())


def _head(situation: Situation, extra: tuple[torch.Tensor, torch.Tensor]) -> LogisticHead:
    """Logistic head on the labelled features; a class's extra features together weigh as much as its labels, none more
    than one of them.

    All weights together are the number of labels whatever the arm: the penalty must not be weaker where there are
    extra features, or the contrast would measure that, too.
    """
    if len(extra[1]) == 0:
        return situation.head
    m, own = situation.material, situation.labels
    one_hot = torch.nn.functional.one_hot(own, situation.classes).float()
    soft = extra[1] if extra[1].ndim == 2 else torch.nn.functional.one_hot(extra[1], situation.classes).float()
    share = (one_hot.sum(0) / soft.sum(0).clamp_min(1)).clamp_max(1)
    weights = torch.cat([torch.ones(len(own)), m.settings.classify.minted_weight * (soft @ share)])
    return fit_logistic(
        torch.cat([m.hidden[situation.rows], extra[0]]),
        torch.cat([one_hot, soft] if extra[1].ndim == 2 else [own, extra[1]]),
        weights * (len(own) / weights.sum()),
        classes=situation.classes,
        c=m.settings.classify.logistic_c,
        mean=m.mean,
        scale=m.scale,
    )
