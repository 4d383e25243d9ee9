"""What the trials say about the contrasts declared beforehand, in numbers and plain words.

    for outcome in verdicts(trials, settings.judge):
        print(outcome.sentence)

`decide` (in judge.decision) turns paired differences into helped, hurt, equivalent or undecided; here
they are paired, the best rival is chosen without looking at what it is compared on (or, where there is nothing
else to choose by, interval and p pay for having looked), and p is adjusted over the contrasts (Holm).
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augmint.config import JudgeSettings
from augmint.judge.arms import traditional
from augmint.judge.decision import DEFAULTS, LEAST_DRAWS, Outcome, decide, settle
from augmint.measure.intervals import crossed_test_variance, holm

__all__ = ["CONTRASTS", "Contrast", "Outcome", "decide", "missing", "points", "verdicts"]

LEAST_SEEDS = 3  # encoder seeds that make an effect of their own: of two the spread cannot be told
Trial = dict[str, Any]
Unit = tuple[int, int]  # (draw, fold)
Hits = Callable[[Trial], NDArray[np.bool_]]


@dataclass(frozen=True)
class Contrast:
    """A comparison declared before any result was seen. Of several rivals the best is taken, see `_Cell.best`."""

    name: str
    arm: str
    rivals: Callable[[str], bool]  # whether an arm is one of them
    sentence: str  # the question, for people
    subject: str  # "Minted images"
    rival: str  # for people: "{best}, the best traditional policy"


CONTRASTS = (
    Contrast(
        "minted-over-traditional",
        "scratch-minted",
        traditional,
        "Are minted images better than the best traditional augmentation?",
        "Minted images",
        "{best}, the best traditional policy",
    ),
    Contrast(
        "minted-over-pseudo",
        "scratch-minted",
        "scratch-pseudo".__eq__,
        "Are minted images better than the real images they come from, pseudo-labelled?",
        "Minted images",
        "pseudo-labelled real images",
    ),
    Contrast(
        "features-over-encoder",
        "encoder-minted",
        "encoder".__eq__,
        "Do minted features improve the classifier on the encoder?",
        "Minted features",
        "the encoder alone",
    ),
)


class _Cell:
    """The trials of one number of labels by arm and unit (draw or fold), of one or several encoder seeds."""

    def __init__(self, trials: list[Trial], settings: JudgeSettings) -> None:
        self.settings = settings
        self.by: dict[str, dict[Unit, list[Trial]]] = {}
        for trial in trials:
            self.by.setdefault(trial["arm"], {}).setdefault((trial["draw"], trial["fold"]), []).append(trial)
        # Rare classes allow fewer folds than asked for, so a repeat is as long as there are folds for it.
        most = 1 + max((trial["fold"] for trial in trials), default=-1)
        self.folds = max(1, min(settings.folds, math.ceil(most / settings.repeats)))

    def mean(self, arm: str, units: Sequence[Unit], field: str) -> float:
        return float(np.mean([t[field] for u in units for t in self.by[arm][u]])) if units else math.nan

    def differences(self, arm: str, rivals: dict[Unit, str]) -> NDArray[np.float64]:
        """Paired differences of accuracy: [units, seeds] where all were run with the same `LEAST_SEEDS` or more
        encoder seeds, else [units], averaged over whatever seeds there are."""
        pairs = [(self.by[arm][unit], self.by[rival][unit]) for unit, rival in rivals.items()]
        seeds = set.intersection(*({t["encoder_seed"] for t in side} for pair in pairs for side in pair))
        if len(seeds) < LEAST_SEEDS:
            return np.array([_accuracy(own) - _accuracy(rival) for own, rival in pairs])
        return np.array([[_accuracy(own, s) - _accuracy(rival, s) for s in sorted(seeds)] for own, rival in pairs])

    def _others(self, unit: Unit, units: Sequence[Unit]) -> list[Unit]:
        """The other folds of the same repeat, which share no test image with this one."""
        draw, fold = unit
        repeat = fold // self.folds
        return [u for u in units if u != unit and u[0] == draw and u[1] // self.folds == repeat]

    def best(self, rivals: Sequence[str], units: Sequence[Unit]) -> tuple[dict[Unit, str], int]:
        """The best rival for every unit, and among how many it was chosen by what it is then compared on: 1 where the
        validation slice or the other folds chose, all of them where draws have no validation slice. (Were each draw to
        choose by the others, its differences would no longer be independent.)"""
        if len(rivals) == 1:
            return dict.fromkeys(units, rivals[0]), 1
        val = {arm: self.mean(arm, units, "val_accuracy") for arm in rivals}
        if all(math.isfinite(v) for v in val.values()):
            return dict.fromkeys(units, max(rivals, key=lambda arm: val[arm])), 1
        if all(fold < 0 for _, fold in units):
            return dict.fromkeys(units, max(rivals, key=lambda arm: self.mean(arm, units, "accuracy"))), len(rivals)
        chosen = {}
        for unit in units:
            others = self._others(unit, units) or list(units)
            chosen[unit] = max(rivals, key=lambda arm: self.mean(arm, others, "accuracy"))
        return chosen, 1

    def ratio(self, arm: str, units: Sequence[Unit]) -> float:
        """n_test / n_train of folds, 0 of draws."""
        folds = [t for u in units for t in self.by[arm][u] if t["role"] == "fold"]
        return float(np.mean([t["n_test"] / max(t["n_train"], 1) for t in folds])) if folds else 0.0


def _accuracy(trials: list[Trial], seed: int | None = None) -> float:
    return float(np.mean([t["accuracy"] for t in trials if seed in (None, t["encoder_seed"])]))


def _test_variance(cell: _Cell, arm: str, rivals: dict[Unit, str], hits: Hits) -> tuple[float, int]:
    """Variance from the choice of test images, and how many there are."""

    def rate(name: str, unit: Unit) -> NDArray[np.float64]:
        return np.mean([hits(t) for t in cell.by[name][unit]], axis=0, dtype=np.float64)  # type: ignore[no-any-return]

    table = [rate(arm, unit) - rate(rival, unit) for unit, rival in rivals.items()]
    if len({len(row) for row in table}) != 1:
        return 0.0, 0
    return float(crossed_test_variance(table)), len(table[0])


def _short(arm: str) -> str:
    return "no augmentation" if arm == "scratch-none" else arm.split("-", 1)[-1]


def _compare(contrast: Contrast, cell: _Cell, hits: Hits | None, unminted: Collection[str]) -> Outcome:
    """One contrast in one cell, before the adjustment."""
    if contrast.arm in unminted:
        return _left_out(contrast, f"in no trial of {contrast.arm} did the judges let anything minted pass")
    rivals = [arm for arm in cell.by if contrast.rivals(arm)]
    if contrast.arm not in cell.by or not rivals:
        lost = contrast.arm if contrast.arm not in cell.by else contrast.rival.format(best="any traditional policy")
        return _left_out(contrast, f"no trials of {lost}")
    everywhere = [set(cell.by[a]) for a in (contrast.arm, *rivals)]
    units = sorted(set.intersection(*everywhere))
    if not units:
        return _left_out(contrast, f"{contrast.arm} and {' or '.join(rivals)} share no draw")
    best, among = cell.best(rivals, units)
    ratio = cell.ratio(contrast.arm, units)
    variance, images = _test_variance(cell, contrast.arm, best, hits) if hits and not ratio else (0.0, 0)
    names = "/".join(name for name, _ in Counter(best.values()).most_common())
    outcome = decide(cell.differences(contrast.arm, best), ratio, cell.settings, variance, images, among)
    return replace(outcome, contrast=contrast.name, question=contrast.sentence, arm=contrast.arm, rival=names)


def _left_out(contrast: Contrast, reason: str) -> Outcome:
    nan = math.nan
    return Outcome(
        *(nan, nan, nan, nan, nan),
        "left out",
        0,
        contrast=contrast.name,
        question=contrast.sentence,
        arm=contrast.arm,
        sentence=f"{contrast.sentence} Left out: {reason}.",
    )


def verdicts(
    trials: list[Trial],
    settings: JudgeSettings = DEFAULTS,
    hits: Hits | None = None,
    contrasts: Sequence[Contrast] = CONTRASTS,
    unminted: Collection[str] = (),
) -> list[Outcome]:
    """The outcomes of the declared contrasts, each with its sentence, for every number of labels.

    trials   rows of trials.parquet; roles other than "draw" and "fold" do not count
    hits     trial → bool [n_test], whether each test image was classified rightly, in the same order for
             all trials; adds the test set's own sampling error to the interval over draws
    unminted arms that had nothing minted to learn from in any trial: nothing is said of them
    """
    counted = [t for t in trials if t["role"] in ("draw", "fold")]
    found = []
    for labels in sorted({t["labels_per_class"] for t in counted}) or [-1]:
        cell = _Cell([t for t in counted if t["labels_per_class"] == labels], settings)
        found += [replace(_compare(c, cell, hits, unminted), labels_per_class=labels) for c in contrasts]
    compared = [o for o in found if o.verdict != "left out"]
    adjusted = dict(zip(map(id, compared), holm([o.p for o in compared]).tolist(), strict=True))
    several = len({o.labels_per_class for o in found}) > 1
    by_name = {c.name: c for c in contrasts}
    found = [replace(o, p_adjusted=adjusted[id(o)]) if id(o) in adjusted else o for o in found]
    count = len(compared)
    return [_tell(settle(o, settings, count), by_name[o.contrast], settings, several) if o.draws else o for o in found]


def points(value: float, sign: bool = True) -> str:
    """0.0234 → '+2.3': percentage points with a proper minus."""
    rounded = round(100 * value, 1) or 0.0  # no "-0.0"
    return f"{rounded:{'+' if sign and rounded else ''}.1f}".replace("-", "−").replace("inf", "∞")


def _tell(o: Outcome, contrast: Contrast, settings: JudgeSettings, several: bool) -> Outcome:
    """The outcome with its sentence in plain words."""
    names = [_short(name) for name in o.rival.split("/")]
    best = names[0] if len(names) == 1 else f"{' or '.join(names)} (chosen {o.unit[:-1]} by {o.unit[:-1]})"
    if o.rivals > 1:
        best += f" (chosen among {o.rivals} on these same draws, for which interval and p allow)"
    rival = contrast.rival.format(best=best)
    size = f"{points(o.mean)} points [{points(o.low, False)}, {points(o.high, False)}]"
    where = f" at {o.labels_per_class} labels per class" if several else ""
    seeds = f" × {o.seeds} encoder seeds" if o.seeds > 1 else ""
    evidence = f"in {o.draws} paired {o.unit if o.draws > 1 else o.unit[:-1]}{seeds}{where}"
    if o.verdict in ("helped", "hurt"):
        text = f"{contrast.subject} {o.verdict}: {size} over {rival}, {evidence}."
    elif o.verdict == "equivalent":
        limit = points(settings.equivalence, False)
        text = f"{contrast.subject} and {rival} are equivalent (within ±{limit} points): {size}, {evidence}."
    else:
        lack = missing(o, settings.confidence)
        text = f"Undecided whether {_lower(contrast.subject)} help: {size} over {rival}, {evidence}; {lack}."
    return replace(o, sentence=text)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def missing(o: Outcome, confidence: float = 0.95) -> str:
    """What would decide an undecided outcome, in words."""
    if o.draws < LEAST_DRAWS:
        return f"no claim is made from fewer than {LEAST_DRAWS} {o.unit}"
    if (o.low > 0 or o.high < 0) and not o.seeds > 1 and o.unit == "draws":
        return (
            f"the interval is clear of zero, but p = {o.p_adjusted:.2g}, allowing for all comparisons, is not below "
            f"{1 - confidence:.2g}: a few more draws may decide it"
        )
    if o.needed_draws is None:
        images = f"more {'labelled' if o.unit == 'folds' else 'test'} images"
        seeds = "more encoder seeds or " if o.seeds > 1 else ""
        return f"more {o.unit} alone would not decide it, only {seeds}{images}"
    more = o.needed_draws - o.draws
    if more > 1000:
        return f"it would take more than 1,000 further {o.unit} to decide"
    return f"about {more} more {o.unit if more > 1 else o.unit[:-1]} would decide it"
