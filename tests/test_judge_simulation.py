"""The verdict keeps its word: thousands of simulated experiments whose truth is known.

2,000 experiments, three standard errors: 1.5 points around 5 % (or 95 %). Each goes through the rule that the
product uses; `family_verdicts` is that rule for many at once, and the first test holds them together.
"""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from augmint.judge.decision import DEFAULTS, decide, family_verdicts, needed, settle
from augmint.judge.verdict import CONTRASTS, verdicts
from augmint.measure.intervals import crossed_test_variance, t_interval
from augmint.seeding import generator
from test_judge_verdict import run, trial

COUNT = 2000
BAND = 3 * math.sqrt(0.05 * 0.95 / COUNT)
SPREAD = 0.02
CLAIMS = ("helped", "hurt")


def claims(differences: NDArray[np.float64]) -> float:
    """Share of the experiments [E, n] or [E, C, n] with any claim."""
    d = differences[:, None] if differences.ndim == 2 else differences
    return float(np.isin(family_verdicts(d), CLAIMS).any(1).mean())


def test_the_fast_rule_is_the_rule_of_the_product() -> None:
    seen = set()
    for i, gain in enumerate([0.0, 0.01, 0.03, -0.03, 0.0]):
        trials = run(10, gain, 0.01 if i < 4 else 0.0005, "same rule", i)
        slow = verdicts(trials)
        fast = family_verdicts(np.array([o.differences for o in slow]))
        assert fast.tolist() == [o.verdict for o in slow]
        seen |= set(fast.tolist())
    assert seen == {"helped", "hurt", "equivalent", "undecided"}


@pytest.mark.parametrize("n", [8, 10, 20])
@pytest.mark.parametrize("law", ["normal", "skewed"])
def test_identical_arms_are_claimed_to_differ_in_5_percent(n: int, law: str) -> None:
    rng = generator("identical", n, law)
    pair = rng.normal(size=(2, COUNT, n)) if law == "normal" else rng.gamma(1.5, size=(2, COUNT, n))
    assert abs(claims(SPREAD * (pair[0] - pair[1])) - 0.05) < BAND


@pytest.mark.parametrize("n", [8, 10, 20])
def test_the_declared_family_of_identical_arms_is_claimed_to_differ_in_5_percent(n: int) -> None:
    """The three contrasts as they are: two share the minted arm, the third is on the encoder; Holm over all. The larger
    of two p makes it a little fewer at 8 draws."""
    rng, five = generator("family", n), {"minted": 0, "policy": 1, "pseudo": 2, "head": 3, "head-minted": 4}
    luck = rng.normal(size=(COUNT, 1, n))  # of the draw, the same for all arms: pairing takes it out
    accuracy = 3 * luck + rng.normal(size=(COUNT, len(five), n))
    pairs = [("minted", "policy"), ("minted", "pseudo"), ("head-minted", "head")]
    d = np.stack([accuracy[:, five[a]] - accuracy[:, five[b]] for a, b in pairs], 1)
    assert 0.03 < claims(SPREAD * d) < 0.05 + BAND


@pytest.mark.parametrize("n", [8, 10])
def test_without_holm_the_family_would_be_claimed_more_often(n: int) -> None:
    d = SPREAD * generator("no holm", n).normal(size=(COUNT, 3, n))
    alone = np.isin(family_verdicts(d[:, :, None]), CLAIMS)[..., 0]
    assert alone.any(1).mean() > 0.05 + BAND > claims(d)


@pytest.mark.parametrize("n", [8, 10, 20])
def test_the_interval_covers_the_truth_in_95_percent(n: int) -> None:
    _, low, high = t_interval(generator("cover", n).normal(0.013, SPREAD, size=(COUNT, n)))
    assert abs(np.mean((low <= 0.013) & (high >= 0.013)) - 0.95) < BAND


@pytest.mark.parametrize("n", [8, 10, 20])
def test_power_as_predicted_by_the_noncentral_t(n: int) -> None:
    effect = 1.2  # standard deviations
    critical, shift = stats.t.ppf(0.975, n - 1), effect * math.sqrt(n)
    predicted = stats.nct.sf(critical, n - 1, shift) + stats.nct.cdf(-critical, n - 1, shift)
    found = claims(generator("effect", n).normal(SPREAD * effect, SPREAD, size=(COUNT, n)))
    assert found == pytest.approx(predicted, abs=0.06)
    assert found <= predicted + 0.03


def standardised(n: int) -> NDArray[np.float64]:
    d = generator("power").normal(0, 1, size=n)
    return (d - d.mean()) / d.std(ddof=1)


@pytest.mark.parametrize(("contrasts", "expected"), [(1, 15), (3, 20)])
def test_needed_draws_claim_four_times_in_five(contrasts: int, expected: int) -> None:
    """One true difference among contrasts without any, so that Holm's first step decides."""
    effect = 0.8  # standard deviations
    outcome = decide(SPREAD * (effect + standardised(8)))
    count = settle(outcome, contrasts=contrasts).needed_draws
    assert count == needed(outcome, DEFAULTS, contrasts) == expected
    fresh = generator("claims", contrasts).normal(0, SPREAD, size=(1000, contrasts, expected))
    fresh[:, 0] += SPREAD * effect
    assert 0.77 < np.isin(family_verdicts(fresh)[:, 0], CLAIMS).mean() < 0.86


@pytest.mark.parametrize(("mean", "expected"), [(0.0, 18), (0.001, 21)])
def test_needed_draws_find_equivalence_four_times_in_five(mean: float, expected: int) -> None:
    assert needed(decide(mean + 0.006 * standardised(8)), DEFAULTS, 3) == expected
    fresh = generator("same", mean).normal(mean, 0.006, size=(1000, 1, expected))
    assert 0.77 < (family_verdicts(fresh) == "equivalent").mean() < 0.86


def test_the_policy_that_looks_best_on_the_draws_is_paid_for() -> None:
    """Without a validation slice the best of six equal policies is taken by the draws that it is compared on: minted
    images, as good as they, are seldom called worse and never by luck better."""
    rng, count, found = generator("policies"), 400, []
    level = rng.normal(0.8, SPREAD, size=(count, 7, 20))
    for accuracy in level:
        arms = ["scratch-minted", *(f"scratch-weak@{i}" for i in range(1, 7))]
        trials = [trial(arm, u, accuracy[a, u]) for a, arm in enumerate(arms) for u in range(20)]
        found.append(verdicts(trials, contrasts=CONTRASTS[:1])[0].verdict)
    band = 3 * math.sqrt(0.025 * 0.975 / count)
    assert found.count("helped") / count < 0.025 and found.count("hurt") / count < 0.025 + band


def folds_experiment(rng: np.random.Generator, effect: float) -> NDArray[np.float64]:
    """2 × 5 folds of 60 images: two nearest-mean classifiers on equally good, independent features."""
    y = rng.integers(0, 2, 60)
    x = rng.normal(size=(60, 2)) + np.stack([y * (1 + effect), y * 1.0], 1)
    differences = []
    for _ in range(2):
        order = rng.permutation(60)
        for part in np.split(order, 5):
            train = np.setdiff1d(order, part)
            middle = (x[train][y[train] == 0].mean(0) + x[train][y[train] == 1].mean(0)) / 2
            hits = (x[part] > middle) == y[part][:, None]
            differences.append(hits[:, 0].mean() - hits[:, 1].mean())
    return np.array(differences)


def test_overlapping_folds_are_not_taken_for_independent_ones() -> None:
    rng = generator("folds")
    experiments = [folds_experiment(rng, 0.0) for _ in range(1000)]
    naive = claims(np.array(experiments))
    corrected = np.mean([decide(d, n_test_over_n_train=12 / 48).verdict in CLAIMS for d in experiments])
    assert corrected < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)
    assert naive > 0.08 > corrected


@pytest.mark.parametrize("shared", [0.0, 0.3])
def test_the_test_sets_own_error_is_in_the_interval(shared: float) -> None:
    """Arms differ on single images, better on some, worse on others, by chance of the test set alone."""
    rng, draws, images, covered = generator("test set", shared), 10, 300, []
    for _ in range(500):
        bias = rng.choice([-shared, shared], size=images)
        hits = rng.random((2, draws, images)) < np.stack([0.6 + bias, 0.6 - bias])[:, None]
        trials: list[dict[str, Any]] = []
        kept = {}
        for a, arm in enumerate(("scratch-minted", "scratch-pseudo")):
            for u in range(draws):
                trials.append(trial(arm, u, float(hits[a, u].mean())))
                kept[arm, u] = hits[a, u]
        outcome = verdicts(trials, hits=lambda t, kept=kept: kept[t["arm"], t["draw"]], contrasts=CONTRASTS[1:2])[0]
        covered.append(outcome.low <= 0 <= outcome.high)
    assert abs(np.mean(covered) - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 500) + 0.01


def test_the_family_on_shared_test_images_is_claimed_to_differ_in_5_percent() -> None:
    """Equally good arms, tested on the same images in all draws: a tenth of them are hard, and each arm has its own
    luck with those. Spread (1.1 points) and test error (0.3) are those of digits at 10 labels a class."""
    rng, draws, images, claimed = generator("shared images"), 10, 355, 0
    for _ in range(COUNT // 100):
        hard, own = rng.random((100, 1, 1, images)) < 0.1, rng.choice([-0.13, 0.13], size=(100, 5, 1, images))
        hits = (rng.random((100, 5, draws, images)) < np.where(hard, 0.5 + own, 1)).astype(np.float32)
        minted, policy, pseudo, head, head_minted = (hits[:, arm] for arm in range(5))
        d = np.stack([minted - policy, minted - pseudo, head_minted - head], 1)
        found = family_verdicts(d.mean(-1), test_variance=crossed_test_variance(d), test_images=images)
        claimed += int(np.isin(found, CLAIMS).any(1).sum())
    assert claimed / COUNT < 0.05 + BAND


# --- draws crossed with encoder seeds ---------------------------------------------------------------

EFFECTS = {  # standard deviations of draws, seeds and the rest
    "draws alone": (1, 0, 1),
    "some of each": (1, 0.3, 1),
    "as much of each": (1, 1, 1),
    "seeds alone": (0, 1, 1),
    "mostly seeds": (0.3, 2, 0.3),
    "neither": (0, 0, 1),
}


def crossed(effects: tuple[float, ...], draws: int, seeds: int, *key: object) -> NDArray[np.float64]:
    rng, (a, b, e) = generator("crossed", draws, seeds, *key), effects
    by_draw, by_seed = rng.normal(0, a, (COUNT, draws, 1)), rng.normal(0, b, (COUNT, 1, seeds))
    return SPREAD * (by_draw + by_seed + rng.normal(0, e, (COUNT, draws, seeds)))


@pytest.mark.parametrize("draws", [8, 10, 20])
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("effects", EFFECTS.values(), ids=EFFECTS)
def test_the_crossed_interval_covers_the_truth(effects: tuple[float, ...], seeds: int, draws: int) -> None:
    """93 to 99 %: a little narrow where draws and 3 seeds both matter, wide where neither does."""
    _, low, high = t_interval(crossed(effects, draws, seeds), crossed=True)
    covered = np.mean((low <= 0) & (high >= 0))
    assert covered > 0.93 - BAND
    assert covered < 0.95 + BAND or effects[1] < 1


def test_seeds_taken_for_fixed_would_claim_what_is_luck() -> None:
    experiments = crossed(EFFECTS["as much of each"], 10, 3)
    averaged = claims(experiments.mean(2))
    proper = np.mean([decide(d).verdict in CLAIMS for d in experiments[:500]])
    assert averaged > 0.25 and proper < 0.1
