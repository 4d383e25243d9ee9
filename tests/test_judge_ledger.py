"""What arms cost when they share work."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from augmint.judge import ledger, trials
from augmint.judge.ledger import Ledger, shared
from augmint.judge.protocol import Split
from augmint.train import RunDir


@dataclass(eq=False)
class Shop:
    """Its clock moves by what each piece of work says it takes."""

    ledger: Ledger = field(default_factory=Ledger)
    calls: list[str] = field(default_factory=list)

    @shared
    def wood(self) -> str:
        """Comes first."""
        return self.made("wood", 5)

    @shared
    def board(self) -> str:
        return self.made(f"board of {self.wood}", 7)

    @shared
    def table(self) -> str:
        return self.made(f"table of {self.board} and {self.wood}", 11)

    def made(self, what: str, seconds: int) -> str:
        self.calls.append(what)
        Clock.now += seconds
        return what


class Clock:
    now = 0

    @staticmethod
    def monotonic() -> float:
        return Clock.now


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr(ledger, "time", Clock)
    return Shop()


def test_every_arm_pays_for_all_that_it_uses_once(shop: Shop) -> None:
    assert shop.ledger.charged(lambda: shop.made("saw", 1)) == ("saw", 1)
    assert shop.ledger.charged(lambda: shop.board) == ("board of wood", 12)
    assert shop.ledger.charged(lambda: shop.table)[1] == 23  # wood is in it twice and paid once
    assert shop.ledger.charged(lambda: shop.made(shop.wood, 2)) == ("wood", 7)
    assert shop.ledger.charged(lambda: (shop.wood, shop.table))[1] == 23
    assert [call.split()[0] for call in shop.calls] == ["saw", "wood", "board", "table", "wood"]


def test_the_order_of_arms_changes_no_cost(shop: Shop) -> None:
    arms = {"wood": lambda: shop.wood, "table": lambda: shop.table, "board": lambda: shop.board}
    costs = {name: shop.ledger.charged(arms[name])[1] for name in ("table", "board", "wood")}
    assert costs == {"wood": 5, "board": 12, "table": 23}


def test_a_part_may_come_from_elsewhere(shop: Shop) -> None:
    shop.wood = "drift wood"
    assert shop.ledger.charged(lambda: shop.board) == ("board of drift wood", 7)
    other = Shop()
    other.ledger.give("board", "an old board", 100)
    assert other.ledger.charged(lambda: other.table)[1] == 116 and other.calls[0] == "wood"


def test_work_that_fails_is_not_kept(shop: Shop) -> None:
    with pytest.raises(ZeroDivisionError):
        shop.ledger.charged(lambda: (shop.wood, 1 / 0))
    assert shop.ledger.charged(lambda: shop.board) == ("board of wood", 12)
    assert Shop.wood.__doc__ == "Comes first."


class Model:
    def save(self, path: Path) -> None:
        path.write_text("weights")


@dataclass(eq=False)
class Judged(Shop):
    """A situation whose judge learns from a graph."""

    @shared
    def graph(self) -> str:
        return self.made("graph", 5)

    @shared
    def judge(self) -> Model:
        self.made(f"judge by {self.graph}", 7)
        return Model()


def test_arms_of_a_resumed_run_pay_once_for_what_the_stored_judge_came_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arms = {"scratch-pseudo": lambda s: s.judge, "scratch-minted": lambda s: (s.graph, s.judge)[1]}
    monkeypatch.setattr(ledger, "time", Clock)
    monkeypatch.setattr(trials, "Situation", lambda *_: Judged())
    monkeypatch.setattr(trials.arms, "find", arms.__getitem__)
    monkeypatch.setattr(trials.ScratchClassifier, "load", lambda *_: Model())
    monkeypatch.setattr(trials.Bench, "stage", lambda bench, split, arm: bench.run.stage(f"trials/{arm}", {}, 0))
    material: Any = SimpleNamespace(settings=SimpleNamespace(seed=0), compute=None, val=torch.arange(0))
    bench = trials.Bench(RunDir(tmp_path), material, {})
    split = Split("draw", 0, torch.arange(1), torch.arange(1), 0)
    for name in arms:  # each by a process of its own
        bench._train_split(split, (name,))
    assert [bench.stage(split, name).facts()["seconds"] for name in arms] == [12, 12]
    path = bench.stage(split, "scratch-minted").folder / "model.safetensors"
    path.unlink()  # as an error says of a damaged one
    for again in (True, False):
        bench._train_split(split, tuple(arms))
        assert path.exists() and (path.write_text("kept") if again else path.read_text() == "kept")
