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
from scipy import optimize, stats

from augmint.config import JudgeSettings
from augmint.measure.intervals import better, corrected_t_p, crossed_variance, holm, sign_flip_p, t_interval

LEAST_DRAWS = 8  # Holm over three contrasts needs p < 0.017; the sign-flip test of 6 draws ends at 0.031
POWER = 0.8  # four in five experiments of as many draws as are said to be needed decide
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
    fixed: float = 0.0  # the part of the mean's variance that more draws would leave
    rivals: int = 1  # of how many the best was chosen on these very draws; interval and p allow for it
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


def power_quantiles(settings: JudgeSettings, contrasts: int = 1, rivals: int = 1) -> tuple[float, float]:
    """How many standard errors the truth must lie from zero to be claimed in four of five experiments, and the normal
    quantile that a claim takes in Holm's first step over `contrasts`; 3.24 and 2.39 for three."""
    claim = float(stats.norm.isf((1 - settings.confidence) / (2 * contrasts * rivals)))
    return claim + float(stats.norm.ppf(POWER)), claim


def _equivalence_quantile(inside: float, across: float, level: float) -> float:
    """1 / the standard error at which four of five intervals, `level` errors each way, lie within the zone that ends
    `inside` of the truth on one side and `across` on the other."""

    def lack(x: float) -> float:
        return float(stats.norm.sf(inside * x - level) + stats.norm.sf(across * x - level)) - (1 - POWER)

    return float(optimize.brentq(lack, level / inside, (level + 2) / inside))


def needed(o: Outcome, settings: JudgeSettings, contrasts: int = 1) -> int | None:
    """Draws in all that would decide in four of five experiments, were the truth the mean found: for a claim
    s² / ((d / q)² - fixed), d the distance to zero and q as in `power_quantiles`, or for equivalence as many as let the
    interval fit into the zone, if those are fewer. z² / 2 more because s is estimated (Guenther, "Sample size formulas
    for normal theory t tests", The American Statistician 1981). None if no number would.
    """
    d, mean = np.asarray(o.differences), abs(o.mean)
    if len(d) < 2:
        return None
    reach, claim = power_quantiles(settings, contrasts, o.rivals)
    ways = [(mean / reach, claim)]
    if mean < settings.equivalence:
        level = power_quantiles(settings, 1, o.rivals)[1]
        inside, across = settings.equivalence - mean, settings.equivalence + mean
        ways.append((1 / _equivalence_quantile(inside, across, level), level))
    found = [
        math.ceil(float(d.var(ddof=1)) / (error**2 - o.fixed) + z**2 / 2) for error, z in ways if error**2 > o.fixed
    ]
    # below this the sign-flip test cannot give a p small enough
    least = math.ceil(1 + math.log2(contrasts * o.rivals / (1 - settings.confidence)))
    return max(min(found), len(d) + 1, LEAST_DRAWS, least) if found else None


def decide(
    differences: ArrayLike,
    n_test_over_n_train: float = 0.0,
    settings: JudgeSettings = DEFAULTS,
    test_variance: float = 0.0,
    test_images: int = 0,
    rivals: int = 1,
) -> Outcome:
    """The outcome for paired differences of accuracy, one per draw or fold, before Holm's adjustment.

    differences           [J], or [J, S] where every draw was run with the same S encoder seeds
    n_test_over_n_train   for folds, which overlap: switches on the correction; 0 for draws
    test_variance         variance of the mean difference from the choice of the `test_images`
    rivals                of how many the one compared with did best on these same draws: interval and p are at the
                          level divided by them (Bonferroni)
    """
    table, folds = np.asarray(differences, dtype=np.float64), n_test_over_n_train > 0
    crossed = table.ndim == 2
    d = table.mean(1) if crossed else table
    error = (n_test_over_n_train, test_variance, test_images, crossed)
    confidence = 1 - (1 - settings.confidence) / rivals
    mean, low, high = map(float, t_interval(table, confidence, *error))
    p = float(corrected_t_p(table, *error))
    if not (folds or crossed):
        p = max(p, float(sign_flip_p(d)))
    p = min(1.0, rivals * p)
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
        fixed=test_variance + _unmoved(table, n_test_over_n_train),
        rivals=rivals,
        differences=tuple(d.tolist()),
        unit="folds" if folds else "draws",
    )
    return settle(outcome, settings)


def _unmoved(table: NDArray[np.float64], correction: float) -> float:
    """The part of the mean's variance that more draws would leave: shared images of folds, encoder seeds."""
    if len(table) < 2:
        return 0.0
    if table.ndim == 1:
        return float(table.var(ddof=1)) * correction
    return max(0.0, float(crossed_variance(table, correction)[0]) - float(table.mean(1).var(ddof=1)) / len(table))


def settle(o: Outcome, settings: JudgeSettings = DEFAULTS, contrasts: int = 1) -> Outcome:
    """The outcome with the verdict that its numbers allow, one of a family of `contrasts`."""
    verdict = str(words(o.mean, o.low, o.high, o.p_adjusted, o.draws, settings))
    return replace(o, verdict=verdict, needed_draws=needed(o, settings, contrasts) if verdict == "undecided" else None)
