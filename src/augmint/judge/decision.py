"""From paired differences to helped, hurt, equivalent or undecided.

    outcome = decide(differences)                 # of accuracy, one per label draw
    outcome.verdict, outcome.low, outcome.high, outcome.needed_draws

A claim needs three things: the interval of the mean paired difference is clear of zero, the p value
(adjusted over the declared contrasts, see judge.verdict) is below 1 - confidence, and there are at
least 8 draws. *Equivalent* if the interval lies within ±`equivalence`. Everything else is undecided,
and says what would decide it.

Draws share one test set: their spread says nothing of how another test set would come out; that part
is added as `test_variance`. Folds share training images: their variance is corrected (Nadeau &
Bengio), and p is that of the corrected t test, as overlapping folds must not be permuted.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augmint.config import JudgeSettings
from augmint.measure.intervals import corrected_t_p, sign_flip_p, t_interval

LEAST_DRAWS = 8  # Holm over two contrasts needs p < 0.025; the sign-flip test of 6 draws ends at 0.031
POWER = 2.8  # normal quantiles of 97.5 % and 80 %: four in five such experiments would decide
DEFAULTS = JudgeSettings()


@dataclass(frozen=True)
class Outcome:
    """The answer to one contrast. Accuracies and differences are shares, 0.01 = one point."""

    mean: float
    low: float
    high: float
    p: float
    p_adjusted: float
    verdict: str  # helped, hurt, equivalent, undecided; "left out" where an arm is missing
    draws: int
    needed_draws: int | None = None  # of an undecided one: draws in all that would decide it; None: no number would
    won: float = math.nan  # share of the draws in which the arm was better, ties half
    test_error: float = 0.0  # standard error from the choice of test images, contained in the interval
    differences: tuple[float, ...] = ()
    contrast: str = ""
    question: str = ""
    arm: str = ""
    rival: str = ""  # the arm compared with; several joined by "/" where each fold chose its own
    unit: str = "draws"  # or folds
    labels_per_class: int = -1  # -1: all that were given
    sentence: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For JSON: numbers that are not finite become None."""
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(self).items()}


def _verdict(o: Outcome, settings: JudgeSettings) -> str:
    if o.draws < LEAST_DRAWS:
        return "undecided"
    if -settings.equivalence <= o.low and o.high <= settings.equivalence:
        return "equivalent"
    if o.p_adjusted >= 1 - settings.confidence or o.low <= 0 <= o.high:
        return "undecided"
    return "helped" if o.mean > 0 else "hurt"


def _needed(d: NDArray[np.float64], correction: float, test_variance: float, settings: JudgeSettings) -> int | None:
    """Draws in all that would decide: (2.8 s / d)², d the distance to zero or, if that is farther, into
    the zone of equivalence. What more draws cannot reduce is taken off first; None if nothing is left."""
    gap = max(abs(float(d.mean())), settings.equivalence - abs(float(d.mean())))
    variance = float(d.var(ddof=1)) if len(d) > 1 else math.inf
    left = (gap / POWER) ** 2 - test_variance - (variance * correction if correction else 0.0)
    if left <= 0 or math.isinf(variance):
        return None
    return max(math.ceil(variance / left), len(d) + 1, LEAST_DRAWS)


def decide(
    differences: Sequence[float] | NDArray[np.float64],
    n_test_over_n_train: float = 0.0,
    settings: JudgeSettings = DEFAULTS,
    test_variance: float = 0.0,
    test_images: int = 0,
) -> Outcome:
    """The outcome for paired differences of accuracy, one per draw or fold, before Holm's adjustment.

    n_test_over_n_train   for folds, which overlap: switches on the correction; 0 for draws
    test_variance         variance of the mean difference from the choice of the `test_images`
    """
    d = np.asarray(differences, dtype=np.float64)
    mean, low, high = t_interval(d, settings.confidence, n_test_over_n_train, test_variance, test_images)
    p = corrected_t_p(d, n_test_over_n_train) if n_test_over_n_train else sign_flip_p(d)
    outcome = Outcome(
        mean,
        low,
        high,
        p,
        p,
        "undecided",
        len(d),
        won=float(((d > 0) + 0.5 * (d == 0)).mean()),
        test_error=math.sqrt(test_variance),
        differences=tuple(d.tolist()),
        unit="folds" if n_test_over_n_train else "draws",
        needed_draws=_needed(d, n_test_over_n_train, test_variance, settings),
    )
    return settle(outcome, settings)


def settle(o: Outcome, settings: JudgeSettings = DEFAULTS) -> Outcome:
    """The outcome with the verdict that its numbers allow."""
    verdict = _verdict(o, settings)
    return replace(o, verdict=verdict, needed_draws=o.needed_draws if verdict == "undecided" else None)
