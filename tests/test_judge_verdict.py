"""The verdict: its rules, its choice of rivals, and by simulation that it keeps its word."""

import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from augmint.config import JudgeSettings
from augmint.judge.verdict import CONTRASTS, Outcome, decide, points, verdicts
from augmint.seeding import generator

Trial = dict[str, Any]


def trial(arm: str, unit: int, accuracy: float, role: str = "draw", **more: Any) -> Trial:
    fold = role != "draw"
    return {
        "arm": arm,
        "family": arm.split("-")[0],
        "labels_per_class": 10,
        "draw": -1 if fold else unit,
        "fold": unit if fold else -1,
        "role": role,
        "encoder_seed": 0,
        "n_train": 80,
        "n_test": 20,
        "accuracy": accuracy,
        "val_accuracy": math.nan,
        **more,
    }


def run(n: int, gain: float, spread: float, *key: object, **more: Any) -> list[Trial]:
    """Trials of all arms on n draws; minted arms gain `gain` over the rest."""
    rng = generator("verdict", *key)
    level = {"scratch-none": 0.70, "scratch-weak": 0.75, "scratch-randaugment": 0.73, "scratch-pseudo": 0.75}
    level |= {"scratch-minted": 0.75 + gain, "encoder": 0.8, "encoder-gaussian": 0.8, "encoder-minted": 0.8 + gain}
    base = rng.normal(0, 0.03, n)
    return [
        trial(arm, u, mean + base[u] + rng.normal(0, spread), val_accuracy=mean, **more)
        for arm, mean in level.items()
        for u in range(n)
    ]


@pytest.mark.parametrize(
    ("mean", "spread", "n", "verdict"),
    [
        (0.03, 0.01, 10, "helped"),
        (-0.03, 0.01, 10, "hurt"),
        (0.0005, 0.002, 10, "equivalent"),
        (0.004, 0.0005, 10, "equivalent"),  # clear of zero, but not worth the name
        (0.01, 0.03, 10, "undecided"),
        (0.03, 0.001, 7, "undecided"),  # too few draws for any claim
        (0.0, 0.001, 7, "undecided"),
    ],
)
def test_the_four_verdicts(mean: float, spread: float, n: int, verdict: str) -> None:
    d = np.resize([1.0, -1.0], n)
    d = mean + spread * (d - d.mean())
    assert decide(d).verdict == verdict


def test_needed_draws_reach_the_planned_power() -> None:
    """So many draws decide four times in five."""
    d = generator("power").normal(0, 1, size=12)
    d = 0.02 + 0.04 * (d - d.mean()) / d.std(ddof=1)
    needed = decide(d).needed_draws
    assert needed == math.ceil((2.8 * 0.04 / 0.02) ** 2)
    fresh = generator("power", "fresh").normal(0.02, 0.04, size=(400, needed))
    decided = np.mean([decide(row).verdict == "helped" for row in fresh])
    assert abs(decided - 0.8) < 0.07


def test_more_draws_cannot_decide_what_the_test_set_blurs() -> None:
    d = [0.02, -0.01] * 5
    assert decide(d, test_variance=0.02**2, test_images=100).needed_draws is None
    assert decide(d, 0.25).needed_draws is None


# --- it keeps its word: simulated experiments -------------------------------------------------------


def claims(differences: NDArray[np.float64], **more: Any) -> float:
    return float(np.mean([decide(d, **more).verdict in ("helped", "hurt") for d in differences]))


@pytest.mark.parametrize("n", [8, 10, 20])
@pytest.mark.parametrize("law", ["normal", "skewed"])
def test_identical_arms_are_claimed_to_differ_in_at_most_5_percent(n: int, law: str) -> None:
    """2,000 experiments; three standard errors are 1.5 points."""
    rng = generator("identical", n, law)
    pair = rng.normal(size=(2, 2000, n)) if law == "normal" else rng.gamma(1.5, size=(2, 2000, n))
    rate = claims(0.02 * (pair[0] - pair[1]))
    assert rate < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)
    assert rate > 0.025  # and it is not deaf


@pytest.mark.parametrize("n", [8, 10, 20])
def test_the_interval_covers_the_truth_in_95_percent(n: int) -> None:
    outcomes = [decide(d) for d in generator("cover", n).normal(0.013, 0.02, size=(2000, n))]
    covered = np.mean([o.low <= 0.013 <= o.high for o in outcomes])
    assert abs(covered - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 2000)


@pytest.mark.parametrize("n", [8, 10, 20])
def test_power_as_predicted_by_the_noncentral_t(n: int) -> None:
    effect = 1.2  # standard deviations
    critical, shift = stats.t.ppf(0.975, n - 1), effect * math.sqrt(n)
    predicted = stats.nct.sf(critical, n - 1, shift) + stats.nct.cdf(-critical, n - 1, shift)
    found = claims(generator("effect", n).normal(0.02 * effect, 0.02, size=(2000, n)))
    assert found == pytest.approx(predicted, abs=0.06)
    assert found <= predicted + 0.03


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
    corrected = claims(np.array(experiments), n_test_over_n_train=12 / 48)
    assert corrected < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)
    assert naive > 0.08 > corrected


@pytest.mark.parametrize("shared", [0.0, 0.3])
def test_the_test_sets_own_error_is_in_the_interval(shared: float) -> None:
    """Arms differ on single images, better on some, worse on others, by chance of the test set alone."""
    rng, draws, images, covered = generator("test set", shared), 10, 300, []
    for _ in range(500):
        bias = rng.choice([-shared, shared], size=images)
        hits = rng.random((2, draws, images)) < np.stack([0.6 + bias, 0.6 - bias])[:, None]
        trials, kept = [], {}
        for a, arm in enumerate(("scratch-minted", "scratch-pseudo")):
            for u in range(draws):
                trials.append(trial(arm, u, float(hits[a, u].mean())))
                kept[arm, u] = hits[a, u]
        outcome = verdicts(trials, hits=lambda t, kept=kept: kept[t["arm"], t["draw"]], contrasts=CONTRASTS[1:2])[0]
        covered.append(outcome.low <= 0 <= outcome.high)
    assert abs(np.mean(covered) - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 500) + 0.01


def test_holm_keeps_the_family_of_contrasts_at_5_percent() -> None:
    rates = [
        any(o.verdict in ("helped", "hurt") for o in verdicts(run(10, 0.0, 0.02, "family", i))) for i in range(300)
    ]
    assert np.mean(rates) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


# --- contrasts --------------------------------------------------------------------------------------


def test_the_declared_contrasts_and_their_sentences() -> None:
    first, second, third = verdicts(run(10, 0.03, 0.008))
    assert [o.verdict for o in (first, second, third)] == ["helped"] * 3
    assert first.rival == "scratch-weak"
    low, high = f"{100 * first.low:.1f}", f"{100 * first.high:.1f}"
    assert first.sentence == (
        f"Minted images helped: +{100 * first.mean:.1f} points [{low}, {high}] over weak, "
        "the best traditional policy, in 10 paired draws."
    )
    assert second.sentence.startswith("Minted images helped: ")
    assert "the encoder alone" in third.sentence
    assert [o.p_adjusted >= o.p for o in (first, second, third)] == [True] * 3


def test_undecided_says_what_would_decide() -> None:
    texts = [o.sentence for o in verdicts(run(10, 0.004, 0.02, "doubt"))]
    assert all("more draws would decide it" in t or "equivalent" in t for t in texts)
    few = verdicts(run(5, 0.03, 0.001))[0]
    assert few.verdict == "undecided"
    assert few.sentence.endswith("no claim is made from fewer than 8 draws.")
    assert verdicts(run(1, 0.03, 0.001))[0].sentence.count("∞") == 2


def test_hurt_and_equivalent_in_words() -> None:
    assert "Minted images hurt: −" in verdicts(run(10, -0.04, 0.005))[0].sentence
    assert "are equivalent (within ±0.5 points)" in verdicts(run(20, 0.0, 0.002))[0].sentence


def test_missing_arms_leave_a_contrast_out_with_the_reason() -> None:
    trials = [t for t in run(10, 0.03, 0.005) if t["arm"] not in ("scratch-pseudo", "encoder-minted")]
    first, second, third = verdicts(trials)
    assert first.verdict == "helped"
    assert (second.verdict, third.verdict) == ("left out", "left out")
    assert second.sentence.endswith("Left out: no trials of scratch-pseudo.")
    assert third.sentence.endswith("Left out: no trials of encoder-minted.")
    assert first.p_adjusted == first.p  # those left out do not weigh
    assert all(o.verdict == "left out" for o in verdicts([]))


def test_the_best_policy_is_chosen_by_validation_not_by_test() -> None:
    trials = run(10, 0.03, 0.005)
    for t in trials:
        if t["arm"] == "scratch-none":
            t["val_accuracy"] = 0.99  # a lucky slice: it is then the rival, though the test says otherwise
    assert verdicts(trials)[0].rival == "scratch-none"


def test_folds_choose_the_policy_on_the_other_folds_of_their_repeat() -> None:
    none = [0.9, 0.9, 0.9, 0.9, 0.1, 0.2, 0.2, 0.2, 0.2, 0.9]
    trials = [trial("scratch-none", f, a, "fold") for f, a in enumerate(none)]
    trials += [trial("scratch-weak", f, 0.75, "fold") for f in range(10)]
    trials += [trial("scratch-minted", f, 0.8, "fold") for f in range(10)]
    outcome = verdicts(trials, JudgeSettings(folds=5))[0]
    # repeat 0: the last fold sees four good ones of none, the others three and a bad one (mean 0.7 < 0.75)
    expected = [0.05] * 4 + [0.7] + [0.05] * 5
    assert outcome.differences == pytest.approx(expected)
    assert outcome.rival == "scratch-weak/scratch-none"
    assert outcome.unit == "folds"
    assert "10 paired folds" in outcome.sentence


def test_a_repeat_is_as_long_as_there_are_folds() -> None:
    """Rare classes allow 4 folds where 5 were asked for: no fold may choose by one of another repeat."""
    none = [0.7, 0.7, 0.7, 0.7, 1.0, 1.0, 1.0, 1.0]
    trials = [trial("scratch-none", f, a, "fold") for f, a in enumerate(none)]
    trials += [trial("scratch-weak", f, 0.75, "fold") for f in range(8)]
    trials += [trial("scratch-minted", f, 0.8, "fold") for f in range(8)]
    outcome = verdicts(trials, JudgeSettings(folds=5, repeats=2))[0]
    assert outcome.differences == pytest.approx([0.05] * 4 + [-0.2] * 4)


def test_only_draws_and_folds_count_and_pairs_must_be_whole() -> None:
    trials = run(10, 0.03, 0.005)
    trials += [{**t, "role": "select", "accuracy": 0.0} for t in trials]
    trials = [t for t in trials if not (t["arm"] == "scratch-pseudo" and t["draw"] > 7)]
    first, second, _ = verdicts(trials)
    assert (first.draws, second.draws) == (10, 8)
    assert first.mean > 0.02


def test_encoder_seeds_are_averaged_within_a_draw() -> None:
    trials = run(10, 0.03, 0.005)
    more = [{**t, "encoder_seed": 1, "accuracy": t["accuracy"] + 0.01 * (t["arm"] == "encoder-minted")} for t in trials]
    one, both = verdicts(trials)[2], verdicts(trials + more)[2]
    assert both.draws == one.draws == 10
    assert both.mean == pytest.approx(one.mean + 0.005)


def test_every_number_of_labels_gets_its_own_verdict() -> None:
    trials = run(10, 0.03, 0.005) + run(10, 0.0, 0.03, labels_per_class=40)
    outcomes = verdicts(trials)
    assert [o.labels_per_class for o in outcomes] == [10] * 3 + [40] * 3
    assert "at 10 labels per class" in outcomes[0].sentence


def test_outcomes_go_into_json() -> None:
    outcomes: list[Outcome] = verdicts(run(1, 0.03, 0.005)) + verdicts([])
    text = json.dumps([o.to_dict() for o in outcomes], allow_nan=False)
    assert json.loads(text)[0]["low"] is None


def test_points_in_words() -> None:
    values = (0.0234, -0.0234, -0.0001, math.inf, -math.inf)
    assert [points(v) for v in values] == ["+2.3", "−2.3", "0.0", "+∞", "−∞"]
    assert points(0.0234, sign=False) == "2.3"
