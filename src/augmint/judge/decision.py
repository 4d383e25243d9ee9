"""From paired differences to helped, hurt, equivalent or undecided.

    outcome = decide(differences)                 # of accuracy, one per label draw
    outcome.verdict, outcome.low, outcome.high, outcome.needed_draws

A claim needs three things: the interval of the mean paired difference is clear of zero, the p value
(adjusted over the declared contrasts, see judge.verdict) is below 1 - confidence, and there are at
least 8 draws. *Equivalent* if the interval lies within ±`equivalence`. Everything else is undecided,
and says what would decide it.

Draws share one test set: their spread says nothing of how another test set would come out; that part
is added as `test_variance`, to the interval and to the t test. Flipping the signs of draws takes the test
images for fixed, so p is the larger of that test's and of the t test's. Folds share training images: their
variance is corrected (Nadeau & Bengio), and p is that of the corrected t test alone, as overlapping folds
must not be permuted. Where every draw was run with several encoder seeds, draws and seeds are crossed
random effects, and p is that of their t test: flipping signs would take the seeds for fixed.

`family_verdicts` is the same rule for many simulated experiments at once, to prove its error rates.
"""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from augmint.config import JudgeSettings
from augmint.measure.intervals import better, corrected_t_p, crossed_variance, holm, sign_flip_p, t_interval

LEAST_DRAWS = 8  # Holm over three contrasts needs p < 0.017; the sign-flip test of 6 draws ends at 0.031
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
    won: float = math.nan  # P(A > B): share of the draws in which the arm was better, ties half
    won_low: float = math.nan  # its interval; none for folds, which overlap
    won_high: float = math.nan
    seeds: int = 1  # encoder seeds crossed with the draws; 1: the interval does not contain them
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


def words(
    mean: ArrayLike, low: ArrayLike, high: ArrayLike, p_adjusted: ArrayLike, draws: int, settings: JudgeSettings
) -> NDArray[np.str_]:
    """The verdicts that these numbers allow, any shape."""
    mean, low, high, p = (np.asarray(v, dtype=np.float64) for v in (mean, low, high, p_adjusted))
    same = (low >= -settings.equivalence) & (high <= settings.equivalence)
    clear = (p < 1 - settings.confidence) & ((low > 0) | (high < 0))
    cases = [np.full(mean.shape, draws < LEAST_DRAWS), same, ~clear, mean > 0]
    return np.asarray(np.select(cases, ["undecided", "equivalent", "undecided", "helped"], "hurt"))


def family_verdicts(
    differences: ArrayLike,
    settings: JudgeSettings = DEFAULTS,
    test_variance: ArrayLike = 0.0,
    test_images: int = 0,
) -> NDArray[np.str_]:
    """Verdicts [..., C] of families of C contrasts on J draws each, differences [..., C, J], after Holm.
    `test_variance` [..., C]."""
    d = np.asarray(differences, dtype=np.float64)
    interval = t_interval(d, settings.confidence, 0.0, test_variance, test_images)
    p = np.maximum(sign_flip_p(d), corrected_t_p(d, 0.0, test_variance, test_images))
    return words(*interval, holm(p), d.shape[-1], settings)


def _needed(d: NDArray[np.float64], fixed: float, settings: JudgeSettings) -> int | None:
    """Draws in all that would decide: (2.8 s / d)², d the distance to zero or, if that is farther, into
    the zone of equivalence. `fixed`, the variance that more draws cannot reduce, is taken off first; None if
    nothing is left."""
    gap = max(abs(float(d.mean())), settings.equivalence - abs(float(d.mean())))
    left = (gap / POWER) ** 2 - fixed
    if len(d) < 2 or left <= 0:
        return None
    return max(math.ceil(float(d.var(ddof=1)) / left), len(d) + 1, LEAST_DRAWS)


def decide(
    differences: ArrayLike,
    n_test_over_n_train: float = 0.0,
    settings: JudgeSettings = DEFAULTS,
    test_variance: float = 0.0,
    test_images: int = 0,
) -> Outcome:
    """The outcome for paired differences of accuracy, one per draw or fold, before Holm's adjustment.

    differences           [J], or [J, S] where every draw was run with the same S encoder seeds
    n_test_over_n_train   for folds, which overlap: switches on the correction; 0 for draws
    test_variance         variance of the mean difference from the choice of the `test_images`
    """
    table, folds = np.asarray(differences, dtype=np.float64), n_test_over_n_train > 0
    crossed = table.ndim == 2
    d = table.mean(1) if crossed else table
    error = (n_test_over_n_train, test_variance, test_images, crossed)
    mean, low, high = map(float, t_interval(table, settings.confidence, *error))
    p = float(corrected_t_p(table, *error))
    if not (folds or crossed):
        p = max(p, float(sign_flip_p(d)))
    won, *won_interval = better(table, settings.confidence)
    outcome = Outcome(
        mean,
        low,
        high,
        p,
        p,
        "undecided",
        len(d),
        won=won,
        won_low=math.nan if folds else won_interval[0],
        won_high=math.nan if folds else won_interval[1],
        seeds=table.shape[1] if crossed else 1,
        test_error=math.sqrt(test_variance),
        differences=tuple(d.tolist()),
        unit="folds" if folds else "draws",
        needed_draws=_needed(d, test_variance + _unmoved(table, n_test_over_n_train), settings),
    )
    return settle(outcome, settings)


def _unmoved(table: NDArray[np.float64], correction: float) -> float:
    """The part of the mean's variance that more draws would leave: shared images of folds, encoder seeds."""
    if len(table) < 2:
        return 0.0
    if table.ndim == 1:
        return float(table.var(ddof=1)) * correction
    return max(0.0, float(crossed_variance(table, correction)[0]) - float(table.mean(1).var(ddof=1)) / len(table))


def settle(o: Outcome, settings: JudgeSettings = DEFAULTS) -> Outcome:
    """The outcome with the verdict that its numbers allow."""
    verdict = str(words(o.mean, o.low, o.high, o.p_adjusted, o.draws, settings))
    return replace(o, verdict=verdict, needed_draws=o.needed_draws if verdict == "undecided" else None)
