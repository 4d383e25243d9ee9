"""--fail-unless: what passes, what does not, and the line that says why."""

from typing import Any

import pytest

from augmint.errors import AugmintError, UsageError
from augmint.judge.gate import GateFailed, Wish
from augmint.judge.verdict import verdicts
from test_judge_verdict import run

ZONE = 0.005


def outcomes(gain: float, spread: float = 0.004, n: int = 10) -> list[dict[str, Any]]:
    return [o.to_dict() for o in verdicts(run(n, gain, spread, "gate"))]


@pytest.mark.parametrize(
    ("gain", "spread", "n", "passes"),
    [
        (0.03, 0.004, 10, {"helped", "not-hurt"}),
        (-0.03, 0.004, 10, set()),
        (0.0, 0.001, 10, {"equivalent", "not-hurt"}),
        (0.0, 0.03, 10, set()),  # undecided: wide to both sides
        (0.03, 0.001, 7, set()),  # no claim from so few
    ],
)
def test_what_passes(gain: float, spread: float, n: int, passes: set[str]) -> None:
    found = outcomes(gain, spread, n)
    for word in ("helped", "equivalent", "not-hurt"):
        if word in passes:
            Wish.read(word).check(found, ZONE)
        else:
            with pytest.raises(GateFailed, match=rf"--fail-unless {word}:minted-over-traditional is not met: \w"):
                Wish.read(word).check(found, ZONE)


def test_undecided_may_still_not_be_hurt() -> None:
    found = outcomes(0.004, 0.004)
    assert found[0]["verdict"] == "undecided" and found[0]["low"] > -ZONE
    Wish.read("not-hurt").check(found, ZONE)


def test_the_contrast_is_chosen_by_name_and_the_reason_is_its_sentence() -> None:
    trials = run(10, 0.03, 0.004)
    shift = {"encoder-minted": -0.06}
    found = [o.to_dict() for o in verdicts([{**t, "accuracy": t["accuracy"] + shift.get(t["arm"], 0)} for t in trials])]
    Wish.read("helped").check(found, ZONE)
    Wish.read("helped:minted-over-pseudo").check(found, ZONE)
    with pytest.raises(GateFailed) as failed:
        Wish.read("helped:features-over-encoder").check(found, ZONE)
    assert "Minted features hurt: −" in str(failed.value) and "\n" not in str(failed.value)
    assert failed.value.exit_code == 4 and isinstance(failed.value, AugmintError)


def test_a_contrast_that_was_left_out_is_not_met() -> None:
    found = [o.to_dict() for o in verdicts([t for t in run(10, 0.03, 0.004) if t["arm"] != "scratch-minted"])]
    for word in ("helped", "not-hurt"):
        with pytest.raises(GateFailed, match=r"Left out: no trials of scratch-minted"):
            Wish.read(word).check(found, ZONE)
    with pytest.raises(GateFailed, match="no such contrast"):
        Wish.read("helped").check([], ZONE)


def test_slips_are_refused_with_what_there_is() -> None:
    with pytest.raises(UsageError, match="choose one of helped, equivalent, not-hurt"):
        Wish.read("better")
    with pytest.raises(UsageError, match="choose from minted-over-traditional, "):
        Wish.read("helped:mint")
