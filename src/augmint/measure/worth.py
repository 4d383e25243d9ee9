"""How many labels something is worth: the point on a label-efficiency curve that does as well.

    found = labels_worth([1, 4, 10, 40], curve, reached)
    found.labels, found.low, found.high      # None: beyond the curve

Between two counts the curve is a straight line over the logarithm of the count; beyond its ends nothing is said.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.optimize import isotonic_regression

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Worth:
    """`labels` that do as well, with a confidence interval. `beyond` is −1 below the curve's first count, 1 above its
    last, else 0 (labels is None unless 0). An end of the interval is None where it lies beyond the curve."""

    labels: float | None
    low: float | None
    high: float | None
    beyond: int


def needed(counts: Sequence[float], accuracy: Floats, value: float) -> float:
    """log of the count at which the curve (accuracy [C] at `counts`, made monotone by isotonic regression) first
    reaches `value`; -inf below its first point, inf above its last."""
    rising, places = isotonic_regression(accuracy).x, np.log(counts)
    if value < rising[0]:
        return -math.inf
    if value > rising[-1]:
        return math.inf
    after = int(np.searchsorted(rising, value))
    if after == 0 or rising[after] == rising[after - 1]:
        return float(places[after])
    share = (value - rising[after - 1]) / (rising[after] - rising[after - 1])
    return float(places[after - 1] + share * (places[after] - places[after - 1]))


def labels_worth(counts: Sequence[float], curve: ArrayLike, reached: ArrayLike, confidence: float = 0.95) -> Worth:
    """Where the curve of one arm does as well as another arm does with its own labels.

    counts   [C], rising: labels a class at which the first arm was run
    curve    [C, J]: its accuracy at each, draw by draw
    reached  [J]: the other arm's accuracy on the same draws

    The interval is Student's over the jackknife's pseudo-values of log labels (Efron & Tibshirani, "An introduction to
    the bootstrap", 1993, eq. 11.5), leaving out one draw of both at a time. ValueError if shapes do not fit.
    """
    table, other = np.asarray(curve, dtype=np.float64), np.asarray(reached, dtype=np.float64)
    if table.shape != (len(counts), len(other)) or len(counts) < 2 or np.any(np.diff(counts) <= 0):
        raise ValueError(f"curve {table.shape} and reached {other.shape} must be [C, J] and [J] for C rising counts")
    centre = needed(counts, table.mean(1), float(other.mean()))
    if math.isinf(centre):
        return Worth(None, None, None, int(math.copysign(1, centre)))
    draws, ends = len(other), (math.log(counts[0]), math.log(counts[-1]))
    without = [np.delete(table, j, 1).mean(1) for j in range(draws)]
    left = np.array([needed(counts, mean, float(np.delete(other, j).mean())) for j, mean in enumerate(without)])
    left = np.clip(left, *ends)  # one draw less may end beyond the curve
    error = math.sqrt((draws - 1) / draws * float(((left - left.mean()) ** 2).sum())) if draws > 1 else math.inf
    reach = float(stats.t.ppf(0.5 + confidence / 2, max(draws - 1, 1))) * error
    low, high = centre - reach, centre + reach
    return Worth(
        math.exp(centre),
        math.exp(low) if low > ends[0] else None,
        math.exp(high) if high < ends[1] else None,
        0,
    )
