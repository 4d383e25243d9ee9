"""benchmarks/worth.py: what is tuned, and how trials that several candidates share are counted."""

import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from augmint.classify import candidates
from augmint.config import resolve
from augmint.judge import arms
from augmint.judge.material import Material
from augmint.judge.protocol import Split
from augmint.judge.situation import Situation
from augmint.train import Compute
from test_judge_protocol import sides

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import worth  # noqa: E402


def test_every_candidate_has_four_trials_and_one_of_them_adds_nothing() -> None:
    named = worth.candidates(resolve("tiny"), finetune=True)
    assert {len(tried) for tried in named.values()} == {4} and len(named) == 10
    for name in ("pseudo", "minted", "both"):
        assert named[name][0] in named["randaugment"] and not any(arm[-2:] == "@0" for arm in named[name])
    assert named["finetuned-minted"][0] == "encoder-finetune"
    assert "finetuned-minted" not in worth.candidates(resolve("tiny"))
    for arm in (arm for tried in named.values() for arm in tried):
        arms.find(arm)


def test_what_adds_nothing_is_the_policy_alone() -> None:
    """So it need not be trained again: the same network, bit for bit."""
    t, pool = sides(40), torch.arange(40)
    settings = resolve(overrides={"classify": {"images": 96, "batch": 16, "width": 8}})
    hidden = t.images.flatten(1).float()  # type: ignore[union-attr]
    compute = Compute.choose("cpu", "fp32")
    material = Material(t, pool, t, hidden, hidden, candidates(hidden), pool[:0], settings, compute)
    situation = Situation(material, Split("draw", 0, pool[:8], pool[:0], 1))
    situation.minted = SimpleNamespace(accepted=lambda: t.take(pool[8:30]))  # type: ignore[assignment]
    alone, _, _, some = worth.candidates(settings)["minted"]
    none, policy, minted = (
        arms.find(name)(situation).logits(t)  # type: ignore[arg-type]
        for name in ("scratch-minted@0", alone, some)
    )
    assert torch.equal(none, policy) and not torch.equal(minted, policy)


class Bench:
    """What is trained, and what each arm reaches."""

    def __init__(self) -> None:
        self.trained: list[str] = []

    def train(self, some: list[Split], names: Iterable[str]) -> None:
        self.trained += names

    def score(self, some: list[Split], names: Iterable[str], hidden_of: object) -> list[dict[str, Any]]:
        return [{"arm": name, "draw": split.number, "role": "curve"} for split in some for name in names]


def test_an_arm_that_two_candidates_chose_is_trained_once_and_counts_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.arange(2)
    monkeypatch.setattr(worth, "splits", lambda *_: [Split("curve", i, rows, rows, i) for i in range(2)])
    monkeypatch.setattr(worth, "on_validation", lambda *asked: float(len(asked[2])))
    pipeline: Any = SimpleNamespace(bench=Bench(), hidden_of=None)
    best = {"randaugment": "scratch-randaugment@1", "minted": "scratch-randaugment@1", "finetuned-minted": worth.TUNER}
    found = worth.judged(pipeline, 1, 2, best, finetune=True)
    assert len(pipeline.bench.trained) == len(set(pipeline.bench.trained))
    by_arm = {row["arm"]: row["val_accuracy"] for row in found}
    assert len(found) == 2 * len(by_arm) and all(row["role"] == "draw" for row in found)
    assert {*best, worth.TUNER, "encoder", "encoder-minted", "scratch-none"} <= set(by_arm)
    assert by_arm["minted"] == by_arm["randaugment"] == len("scratch-randaugment@1")
    assert worth.FINETUNED.arm in by_arm and any(map(worth.FINETUNED.rivals, by_arm))


def test_features_alone_train_no_image_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.arange(2)
    monkeypatch.setattr(worth, "splits", lambda *_: [Split("curve", 0, rows, rows, 0)])
    monkeypatch.setattr(worth, "on_validation", lambda *_: 0.0)
    pipeline: Any = SimpleNamespace(bench=Bench(), hidden_of=None)
    found = {row["arm"] for row in worth.judged(pipeline, 1, 1, {}, finetune=False)}
    assert found == set(pipeline.bench.trained) and all(name.startswith("encoder") for name in found)
    told = [c for c in worth.CONTRASTS if c.arm in found]
    assert len(told) == 2 and all(any(map(c.rivals, found)) for c in told)
