"""The verdict: its rules and its choice of rivals. That it keeps its word is in test_judge_simulation."""

import json
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from augmint.config import JudgeSettings
from augmint.judge.verdict import Outcome, decide, missing, points, verdicts
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


def test_p_knows_the_error_of_the_test_images_as_the_interval_does() -> None:
    """Flipping signs takes the test set for fixed: p is the t test's where that is larger."""
    d = 0.01 + 0.003 * np.resize([1.0, -1.0], 10)
    alone, shared = decide(d), decide(d, test_variance=0.006**2, test_images=300)
    assert alone.p == 2 / 2**10 and shared.p > 0.05
    assert shared.low < 0 < shared.high
    spread = np.sqrt(d.var(ddof=1) / 10 + 0.006**2)
    freedom = spread**4 / ((d.var(ddof=1) / 10) ** 2 / 9 + 0.006**4 / 299)
    assert shared.p == pytest.approx(2 * stats.t.sf(0.01 / spread, freedom))
    seeds = d[:, None] + 0.001 * np.array([1.0, 0.0, -1.0])
    assert decide(seeds).p < 0.001 and decide(seeds, test_variance=0.006**2, test_images=300).p > 0.05


def test_more_draws_cannot_decide_what_the_test_set_blurs() -> None:
    d = [0.02, -0.01] * 5
    assert decide(d, test_variance=0.02**2, test_images=100).needed_draws is None
    assert decide(d, 0.25).needed_draws is None


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


def test_any_policy_at_any_strength_can_be_the_best_rival_and_nothing_else() -> None:
    trials = run(10, 0.03, 0.008)
    weak = [t for t in trials if t["arm"] == "scratch-weak"]
    for arm, val in {"scratch-cutmix@0.5": 0.76, "scratch-both": 0.9, "scratch-pseudo@0.25": 0.9}.items():
        trials += [{**t, "arm": arm, "val_accuracy": val} for t in weak]
    first = verdicts(trials)[0]
    assert first.rival == "scratch-cutmix@0.5" and " over cutmix@0.5, the best traditional policy" in first.sentence


def test_where_no_augmentation_is_the_best_policy_it_is_not_called_none() -> None:
    trials = [{**t, "val_accuracy": 0.9} if t["arm"] == "scratch-none" else t for t in run(10, 0.03, 0.008)]
    assert " over no augmentation, the best traditional policy, in 10 paired draws" in verdicts(trials)[0].sentence


def test_undecided_says_what_would_decide() -> None:
    texts = [o.sentence for o in verdicts(run(10, 0.004, 0.02, "doubt"))]
    assert all(re.search("about [0-9]+ more draws would decide it|more than 1,000 further draws", t) for t in texts)
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
    assert second.sentence.endswith("Left out: no trials of pseudo-labelled real images.")
    assert third.sentence.endswith("Left out: no trials of encoder-minted.")
    assert first.p_adjusted == first.p  # those left out do not weigh
    assert all(o.verdict == "left out" for o in verdicts([]))


def test_the_best_policy_is_chosen_by_validation_not_by_test() -> None:
    trials = run(10, 0.03, 0.005)
    for t in trials:
        if t["arm"] == "scratch-none":
            t["val_accuracy"] = 0.99  # a lucky slice: it is then the rival, though the test says otherwise
    assert verdicts(trials)[0].rival == "scratch-none"


def test_without_a_validation_slice_the_best_over_all_draws_is_taken_and_paid_for() -> None:
    trials = [{**t, "val_accuracy": math.nan} for t in run(10, 0.03, 0.005)]
    first, second, _ = verdicts(trials)
    alone = verdicts([t for t in trials if t["arm"] not in ("scratch-none", "scratch-randaugment")])[0]
    assert (first.rival, first.rivals, second.rivals, alone.rivals) == ("scratch-weak", 3, 1, 1)
    assert first.differences == alone.differences and first.p == pytest.approx(3 * alone.p)
    d = np.array(first.differences)
    half = stats.t.ppf(1 - 0.025 / 3, 9) * d.std(ddof=1) / math.sqrt(10)
    assert (first.low, first.high) == pytest.approx((d.mean() - half, d.mean() + half))
    assert "over weak (chosen among 3 on these same draws, for which interval and p allow), the best" in first.sentence


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


def seeds(trials: list[Trial], shifts: list[float]) -> list[Trial]:
    """The same trials under more encoder seeds, which shift `encoder-minted`."""
    return [
        {**t, "encoder_seed": s, "accuracy": t["accuracy"] + shift * (t["arm"] == "encoder-minted")}
        for s, shift in enumerate(shifts)
        for t in trials
    ]


def test_two_encoder_seeds_are_averaged_within_a_draw() -> None:
    trials = run(10, 0.03, 0.005)
    one, both = verdicts(trials)[2], verdicts(seeds(trials, [0.0, 0.01]))[2]
    assert (both.draws, both.seeds, one.draws) == (10, 1, 10)
    assert both.mean == pytest.approx(one.mean + 0.005)
    assert both.high - both.low == pytest.approx(one.high - one.low)


def test_three_encoder_seeds_are_a_random_effect_of_their_own() -> None:
    """Seeds that disagree: the draws alone would claim, draws × seeds do not."""
    trials = run(10, 0.01, 0.004)
    first, _, third = verdicts(seeds(trials, [-0.03, 0.0, 0.03]))
    assert verdicts(trials)[2].verdict == "helped"
    assert (third.verdict, third.draws, third.seeds, len(third.differences)) == ("undecided", 10, 3, 10)
    assert "10 paired draws × 3 encoder seeds; more draws alone would not decide it, only more encoder seeds" in (
        third.sentence
    )
    assert first.seeds == 3 and first.verdict == verdicts(trials)[0].verdict  # where they agree nothing is lost
    partial = [t for t in seeds(trials, [-0.03, 0.0, 0.03]) if t["encoder_seed"] < 2 or t["draw"] < 5]
    assert verdicts(partial)[2].seeds == 1  # not every draw has the third one


def test_an_interval_clear_of_zero_that_many_comparisons_leave_undecided_says_so() -> None:
    o = replace(decide([-0.01, -0.002, 0.001, -0.009, -0.008, -0.001, -0.012, -0.006]), needed_draws=None)
    assert o.high < 0
    assert "more draws alone would not" in missing(replace(o, low=-0.01, high=0.002))
    text = missing(replace(o, p_adjusted=0.0741))
    assert text == (
        "the interval is clear of zero, but p = 0.074, allowing for all comparisons, is not below 0.05: "
        "a few more draws may decide it"
    )


def test_better_is_a_share_of_draws_with_an_interval() -> None:
    d = [0.01, 0.02, 0.0, -0.01] * 3
    outcome = decide(d)
    assert outcome.won == pytest.approx((6 + 1.5) / 12)
    low, high = stats.binomtest(7, 12).proportion_ci(method="wilson")
    assert low < outcome.won_low < outcome.won < outcome.won_high and high < outcome.won_high
    assert math.isnan(decide(d, 0.25).won_low)  # folds overlap


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
