"""Intervals and tests against scipy, statistics by hand, enumeration and simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from augmint.measure.intervals import (
    accuracy_interval,
    corrected_t_p,
    crossed_test_variance,
    holm,
    sign_flip_p,
    t_interval,
)
from augmint.seeding import generator


def test_t_interval_as_scipy() -> None:
    d = generator("t").normal(0.3, 1, size=11)
    found = stats.ttest_1samp(d, 0)
    assert t_interval(d, 0.9)[1:] == pytest.approx(tuple(found.confidence_interval(0.9)))
    assert corrected_t_p(d) == pytest.approx(found.pvalue)


def test_the_correction_widens_by_nadeau_and_bengio() -> None:
    d = generator("nb").normal(size=10)
    mean, low, high = t_interval(d, 0.95, correction=0.25)
    half = stats.t.ppf(0.975, 9) * math.sqrt(d.var(ddof=1) * (1 / 10 + 1 / 4))
    assert (mean, low, high) == pytest.approx((d.mean(), d.mean() - half, d.mean() + half))
    error = math.sqrt(d.var(ddof=1) * 0.35)
    assert corrected_t_p(d, 0.25) == pytest.approx(2 * stats.t.sf(abs(d.mean()) / error, 9))


def test_one_difference_says_nothing() -> None:
    assert t_interval([0.2]) == (0.2, -math.inf, math.inf)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=10))
def test_sign_flips_by_enumeration(values: list[int]) -> None:
    patterns = list(itertools.product((-1, 1), repeat=len(values)))
    sums = [abs(sum(s * v for s, v in zip(p, values, strict=True))) for p in patterns]
    expected = sum(s >= abs(sum(values)) for s in sums) / len(patterns)
    assert sign_flip_p([v / 10 for v in values]) == pytest.approx(expected)


def test_sign_flips_as_scipy() -> None:
    d = generator("flip").normal(0.5, 1, size=12)
    found = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(d) == pytest.approx(found.pvalue)


def test_the_smallest_p_is_a_power_of_two() -> None:
    assert sign_flip_p([0.01] * 8) == 2**-7
    assert sign_flip_p([0.01] * 20) == 2**-19


def test_many_differences_are_sampled() -> None:
    d = generator("many").normal(0.2, 1, size=60)
    assert sign_flip_p(d) == pytest.approx(stats.ttest_1samp(d, 0).pvalue, rel=0.1, abs=0.003)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_as_its_step_down_rule(ps: list[float]) -> None:
    order = sorted(ps)
    rejected = next((i for i, p in enumerate(order) if (len(ps) - i) * p > 0.05), len(ps))
    assert sum(p <= 0.05 for p in holm(ps)) == rejected


def test_the_test_images_part_of_the_variance_by_simulation() -> None:
    """Truth: draws vary by 0.01, images by 0.2, hits by chance by 0.5; 12 draws, 400 images."""
    rng, draws, images = generator("crossed"), 12, 400
    means, estimates = [], []
    for _ in range(400):
        by_image, by_draw = rng.normal(0, 0.2, images), rng.normal(0, 0.01, (draws, 1))
        d = by_image + by_draw + rng.normal(0, 0.5, (draws, images))
        means.append(d.mean())
        estimates.append(crossed_test_variance(d) + d.mean(1).var(ddof=1) / draws)
    assert np.mean(estimates) == pytest.approx(np.var(means), rel=0.2)


def test_the_test_images_add_nothing_where_arms_differ_by_chance_alone() -> None:
    d = generator("chance").choice([-1, 0, 1], size=(10, 2000))
    assert crossed_test_variance(d) < 0.2 * (d.mean(1).var(ddof=1) / 10)


def test_wilson_interval_by_its_formula() -> None:
    z, n, share = stats.norm.ppf(0.975), 40, 31 / 40
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    assert accuracy_interval(31, 40) == pytest.approx((centre - half, centre + half))
    assert accuracy_interval(0, 0) == (0.0, 1.0)
