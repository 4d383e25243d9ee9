"""Intervals and tests for paired differences.

mean, low, high = t_interval(differences, 0.95)             # over label draws
mean, low, high = t_interval(differences, 0.95, n_test / n_train)  # over folds, which share images
p = sign_flip_p(differences)
adjusted = holm([0.01, 0.04, 0.3])
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from augmint.seeding import generator

EXACT = 32  # up to here all 2^n sign patterns are counted
ROUNDS = 100_000  # above, so many are drawn

Floats = NDArray[np.float64]


def standard_error(
    differences: ArrayLike, correction: float = 0.0, test_variance: float = 0.0, test_images: int = 0
) -> tuple[float, float]:
    """Standard error of the mean difference, and its degrees of freedom.

    The variance is s² (1/J + correction) + test_variance. `correction` is n_test / n_train where
    trials are folds that share training images (Nadeau & Bengio, "Inference for the generalization
    error", Machine Learning 2003, eq. 3.12), else 0. `test_variance` is `crossed_test_variance` over
    `test_images`; the degrees of freedom are then Satterthwaite's.
    """
    d = np.asarray(differences, dtype=np.float64)
    if len(d) < 2:
        return math.inf, 1.0
    own = float(d.var(ddof=1)) * (1 / len(d) + correction)
    total = own + test_variance
    if test_variance == 0:
        return math.sqrt(total), len(d) - 1.0
    freedom = total**2 / (own**2 / (len(d) - 1) + test_variance**2 / max(test_images - 1, 1))
    return math.sqrt(total), freedom


def t_interval(
    differences: ArrayLike,
    confidence: float = 0.95,
    correction: float = 0.0,
    test_variance: float = 0.0,
    test_images: int = 0,
) -> tuple[float, float, float]:
    """Mean, lower and upper end of Student's interval; see `standard_error` for the arguments.

    One difference alone gives an infinite interval.
    """
    d = np.asarray(differences, dtype=np.float64)
    error, freedom = standard_error(d, correction, test_variance, test_images)
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    mean = float(d.mean())
    return mean, mean - half, mean + half


def corrected_t_p(differences: ArrayLike, correction: float = 0.0) -> float:
    """Two-sided p of Student's t test that the mean is 0, variance corrected as in `standard_error`."""
    d = np.asarray(differences, dtype=np.float64)
    error, freedom = standard_error(d, correction)
    if error == 0:
        return 1.0 if d.mean() == 0 else 0.0
    return float(2 * stats.t.sf(abs(d.mean()) / error, freedom))


def _signed_sums(values: Floats) -> Floats:
    """All 2^n sums of ±values."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums - value, sums + value])
    return sums


def sign_flip_p(differences: ArrayLike) -> float:
    """Two-sided p of the permutation test that flips signs: the share of all sign patterns whose sum is
    at least as far from 0 as the one seen.

    Exact up to 32 differences (the patterns of both halves, combined by searching); above that from
    100,000 drawn patterns. The smallest value at n differences is 2^(1 - n).
    """
    d = np.asarray(differences, dtype=np.float64)
    seen = abs(d.sum()) - 1e-9 * np.abs(d).sum()  # equal sums differ by rounding
    if len(d) > EXACT:
        signs = generator("sign-flip", len(d)).integers(0, 2, size=(ROUNDS, len(d)), dtype=np.int8)
        sums = signs.astype(np.float32) @ (2 * d).astype(np.float32) - d.sum()
        return float((1 + (np.abs(sums) >= seen).sum()) / (1 + ROUNDS))
    left, right = _signed_sums(d[: len(d) // 2]), np.sort(_signed_sums(d[len(d) // 2 :]))
    above = len(right) - np.searchsorted(right, seen - left, side="left")
    below = np.searchsorted(right, -seen - left, side="right")
    return min(1.0, float((above + below).sum()) / 2.0 ** len(d))


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given: below α means rejected with family-wise error α."""
    adjusted, highest = [0.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = highest
    return adjusted


def crossed_test_variance(differences: ArrayLike) -> float:
    """What the choice of test images adds to the variance of the mean difference.

    `differences` [J, I]: for draw j and test image i, hit of one arm minus hit of the other (-1, 0, 1).
    All draws are tested on the same I images, so their spread does not show this part. Two-way random
    effects without replication: (MS_images - MS_residual) / (J I), at least 0.
    """
    d = np.asarray(differences, dtype=np.float64)
    draws, images = int(d.shape[0]), int(d.shape[1])
    if draws < 2 or images < 2:
        return 0.0
    by_image, by_draw = d.mean(0), d.mean(1)
    residual = d - by_image - by_draw[:, None] + d.mean()
    noise = float((residual**2).sum()) / ((draws - 1) * (images - 1))
    between = float(by_image.var(ddof=1))
    return max(0.0, (draws * between - noise) / (draws * images))


def accuracy_interval(hits: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share `hits` / `count`, 0 … 1; (0, 1) where nothing was counted."""
    if count == 0:
        return 0.0, 1.0
    found = stats.binomtest(hits, count).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)
