"""The answer in one sentence: it names the best arm and its gain, and claims no more of minting than the verdict."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augmint.config import JudgeSettings
from augmint.judge.verdict import verdicts
from augmint.report import collect
from augmint.report.answer import answer
from augmint.report.page import html
from fake_run import make_run
from test_judge_verdict import run, trial
from test_report_text import printed

JUDGE = JudgeSettings()


def told(trials: list[dict[str, Any]]) -> dict[str, Any]:
    return answer(trials, JUDGE, None, [o.to_dict() for o in verdicts(trials)])


@pytest.mark.parametrize(
    ("gain", "spread", "word", "best"),
    [(0.03, 0.004, "helped against", "encoder-minted"), (-0.03, 0.004, "hurt against", "encoder")],
)
def test_helped_and_hurt(gain: float, spread: float, word: str, best: str) -> None:
    trials = run(10, gain, spread, "answer")
    found, declared = told(trials), verdicts(trials)
    assert {o.verdict for o in declared} == {word.split()[0]}
    assert f"minted images {word} traditional augmentation and pseudo-labelled real images;" in found["sentence"]
    assert f"minted features {word} the encoder alone." in found["sentence"]
    means = {t["arm"]: np.mean([u["accuracy"] for u in trials if u["arm"] == t["arm"]]) for t in trials}
    assert found["arm"].startswith(best) and found["accuracy"] == max(means.values())
    pairs = zip(
        *([t["accuracy"] for t in trials if t["arm"] == a] for a in (found["arm"], "scratch-weak")), strict=True
    )
    assert found["gain"]["mean"] == pytest.approx(np.mean([a - b for a, b in pairs]))
    assert found["gain"]["low"] > 0 and "chance" not in found["sentence"]
    assert (
        "best traditional policy, weak augmentation (the arm was chosen by these numbers: no declared contrast)"
        in found["sentence"]
    )


def test_undecided_claims_nothing() -> None:
    rng = np.random.default_rng(0)
    trials = [
        trial(arm, u, 0.7 + 0.01 * arm.endswith("minted") + rng.normal(0, 0.1), val_accuracy=0.7)
        for arm in ("scratch-weak", "scratch-pseudo", "scratch-minted", "encoder", "encoder-minted")
        for u in range(10)
    ]
    sentence = told(trials)["sentence"]
    assert "; that may be chance" in sentence
    assert "whether minted images help against traditional augmentation" in sentence
    assert "helped" not in sentence and "hurt" not in sentence


def test_minted_images_as_the_best_arm_are_the_declared_contrast() -> None:
    trials = [t for t in run(10, 0.03, 0.004, "answer") if not t["arm"].startswith("encoder")]
    found, declared = told(trials), verdicts(trials)[0]
    assert (found["arm"], found["gain"]["declared"]) == ("scratch-minted", True)
    assert (found["gain"]["low"], found["gain"]["high"]) == (declared.low, declared.high)
    assert "no declared contrast" not in found["sentence"]


def test_a_traditional_policy_may_be_the_best() -> None:
    found = told([t for t in run(10, -0.05, 0.001, "answer") if t["arm"] in ("scratch-weak", "scratch-minted")])
    assert found["gain"] is None
    assert found["sentence"].startswith("Most accurate is a network from scratch with weak augmentation (scratch-weak)")
    assert "no arm does better than traditional augmentation; minted images hurt against trad" in found["sentence"]


@pytest.mark.parametrize(("count", "words"), [(1, "in 1 draw; no claim"), (7, "in 7 draws; no claim")])
def test_few_draws_make_no_claim(count: int, words: str) -> None:
    sentence = told(run(count, 0.05, 0.001, "answer"))["sentence"]
    assert words in sentence and not any(word in sentence for word in ("points", "helped", "over", "chance"))


def test_no_trials_no_answer(tmp_path: Path) -> None:
    facts = collect(make_run(tmp_path / "bare", "bare"))
    assert facts["answer"] == {} and 'class="lead"' not in html(facts)


def test_page_terminal_and_json_lead_with_it(tmp_path: Path) -> None:
    facts = collect(make_run(tmp_path / "run"))
    page, sentence = html(facts), facts["answer"]["sentence"]
    flat = " ".join(printed(tmp_path / "run").split())
    assert sentence in flat and flat.index(sentence) < flat.index(facts["verdict"][0]["sentence"])
    assert page.index(f'<p class="lead">{sentence}</p>') < page.index('aria-label="Verdict"')
    single = collect(make_run(tmp_path / "one", count=1))
    assert "in 1 draw; no claim" in html(single)
