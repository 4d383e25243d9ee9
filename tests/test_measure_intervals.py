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
    better,
    corrected_t_p,
    crossed_test_variance,
    crossed_variance,
    holm,
    share_interval,
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


def test_ties_among_many_differences_are_kept() -> None:
    """Differences that are multiples of one image's worth, as accuracies are: equal sums must count as equal."""
    d = np.resize([1 / 355] * 7 + [-1 / 355] * 5, 36)
    exact = stats.binomtest(int((d > 0).sum()), 36).pvalue
    assert sign_flip_p(d) == pytest.approx(exact, abs=3 * math.sqrt(exact / 100_000))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([0.02]) == pytest.approx([0.02])
    assert len(holm([])) == 0
    assert holm([[0.01, 0.04, 0.03], [0.5, 0.1, 0.6]]) == pytest.approx(np.array([[0.03, 0.06, 0.06], [1.0, 0.3, 1.0]]))


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
    for hits, count in ((0, 9), (9, 9), (3, 11)):
        expected = stats.binomtest(hits, count).proportion_ci(method="wilson")
        assert accuracy_interval(hits, count) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(("images", "level"), [(36, 5), (36, 2), (1000, 2)])
def test_the_share_of_one_class_is_covered_over_draws_and_images(images: int, level: float) -> None:
    """Images are harder and easier, draws of labels luckier or not; Wilson's interval of the images alone covers 62 %
    at 1,000 of them."""
    rng, rounds, covered = generator("class", images, level), 400, 0
    truth = stats.logistic.cdf(level + rng.normal(0, math.hypot(2, 0.8), 1_000_000)).mean()
    for _ in range(rounds):
        chance = stats.logistic.cdf(level + rng.normal(0, 2, images) + rng.normal(0, 0.8, (10, 1)))
        low, high = share_interval(list((rng.random((10, images)) < chance).astype(float)), images)
        covered += low <= truth <= high
    assert covered / rounds > 0.95 - 3 * math.sqrt(0.95 * 0.05 / rounds)


def test_the_share_of_one_class_in_folds_and_at_the_ends() -> None:
    rows = [np.array(row, dtype=float) for row in ([1, 0, 1, 1], [1, 1, 1], [0, 1, 1, 0], [1, 1, 1, 0])]
    shares = np.array([0.75, 1.0, 0.5, 0.75])
    half = stats.t.ppf(0.975, 3) * math.sqrt(shares.var(ddof=1) * (1 / 4 + 1 / 4))
    assert share_interval(rows, 15, 0.25) == pytest.approx((0.75 - half, 1.0))
    assert share_interval([np.ones(20)] * 5, 20) == pytest.approx(
        accuracy_interval(20, 20)
    )  # no spread is no certainty
    assert share_interval([], 0) == share_interval([np.ones(20)], 20) == (0.0, 1.0)


def test_many_experiments_at_once_are_each_as_alone() -> None:
    d = generator("batch").normal(0.2, 1, size=(3, 2, 9))
    for found, alone in (
        (np.stack(t_interval(d), -1), np.array([[t_interval(row) for row in family] for family in d])),
        (sign_flip_p(d), np.array([[sign_flip_p(row) for row in family] for family in d])),
        (corrected_t_p(d, 0.25), np.array([[corrected_t_p(row, 0.25) for row in family] for family in d])),
    ):
        assert found == pytest.approx(alone)


def test_draws_crossed_with_seeds_by_the_mean_squares_written_out() -> None:
    d = generator("anova").normal(size=(4, 3)) + np.arange(4)[:, None] + [0, 2, 5]
    mean = sum(d[j, s] for j in range(4) for s in range(3)) / 12
    rows, columns = [sum(d[j]) / 3 for j in range(4)], [sum(d[:, s]) / 4 for s in range(3)]
    of_draws = 3 * sum((r - mean) ** 2 for r in rows) / 3
    of_seeds = 4 * sum((c - mean) ** 2 for c in columns) / 2
    rest = sum((d[j, s] - rows[j] - columns[s] + mean) ** 2 for j in range(4) for s in range(3)) / 6
    variance, freedom = crossed_variance(d)
    assert variance == pytest.approx((of_draws + of_seeds - rest) / 12)
    assert freedom == pytest.approx(
        (of_draws + of_seeds - rest) ** 2 / (of_draws**2 / 3 + of_seeds**2 / 2 + rest**2 / 6)
    )
    half = stats.t.ppf(0.975, freedom) * math.sqrt(variance)
    assert t_interval(d, crossed=True) == pytest.approx((mean, mean - half, mean + half))
    assert crossed_variance(np.zeros((4, 3))) == pytest.approx((0.0, 3.0))


def test_one_seed_more_says_nothing_where_seeds_do_not_matter() -> None:
    """Draws alone vary: the crossed interval is that of the draws."""
    d = generator("draws").normal(size=(9, 1)) + np.zeros((9, 4))
    assert t_interval(d, crossed=True) == pytest.approx(t_interval(d[:, 0]))


def test_p_of_a_better_b() -> None:
    won, low, high = better([0.1, -0.1, 0.2, 0.3, 0.4])
    assert won == pytest.approx(0.8) and (low, high) == pytest.approx(accuracy_interval(4, 5))
    assert better([[0.1, -0.1], [0.0, 0.0]])[0] == pytest.approx(0.5)
