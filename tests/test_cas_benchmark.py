"""benchmarks/cas.py on a small run of digits: what is trained on, what is tested on, and going on where it was."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import augmint as am
from augmint.config import resolve
from augmint.pipeline import Pipeline
from augmint.train import RunDir
from fake_mint import Fake, digits

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import cas  # noqa: E402


def test_both_sides_have_as_many_of_each_class() -> None:
    table = digits(200)
    few = torch.cat([torch.nonzero(table.labels == c)[: c + 2, 0] for c in range(10)])
    both = {"minted": table.take(few), "real": table}
    first, again, other = (cas.matched(both, seed) for seed in (0, 0, 1))
    for t in first.values():
        assert torch.bincount(t.labels).tolist() == [c + 2 for c in range(10)]
    assert first["real"].ids.tolist() == again["real"].ids.tolist() != other["real"].ids.tolist()
    with pytest.raises(am.InputError, match="10 minted images of 4 classes"):
        cas.matched({**both, "minted": table.take(few[:10])}, 0)
    with pytest.raises(am.InputError, match="of 1 classes"):
        cas.matched({**both, "minted": table.take(torch.nonzero(table.labels == 1)[:, 0])}, 0)


def test_a_run_is_scored_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The generator adds noise; everything else is real."""
    tree = {"mint": {"realness": (0.0, 1.0), "agreement": 0.0}, "classify": {"images": 960}}
    settings = resolve("tiny", None, {"data_source": "digits", "labels_per_class": 5, **tree})
    with RunDir.open(tmp_path / "r", settings.model_dump(mode="json")):
        pass  # a folder with its settings: what it lacks is learnt
    monkeypatch.setattr(cas, "Pipeline", type("Noisy", (Pipeline,), {"image_generator": Fake(level=40.0)}))
    seen: list[Any] = []
    hits = cas._hits

    def watched(pipeline: Any, t: Any, seed: int, judged: torch.Tensor) -> torch.Tensor:
        pool = set(pipeline.pool_table.ids.tolist())
        assert not pool & set(pipeline.table.ids[judged.numpy()].tolist())
        real = bool(set(t.ids.tolist()) & pool)
        assert real == set(t.ids.tolist()).issubset(pool)
        seen.append((real, seed, len(t)))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return hits(pipeline, t, seed, judged)

    monkeypatch.setattr(cas, "_hits", watched)
    asked = [str(tmp_path / "r"), "--seeds", "2", "--most", "300", "--out", str(tmp_path / "cas.json")]
    with pytest.raises(KeyboardInterrupt):
        cas.main(asked)
    assert cas.main(asked) == 0 and len(seen) == 9  # two cases, sides and seeds; one was begun twice
    found = json.loads((tmp_path / "cas.json").read_text())["r"]
    for name in ("few", "all"):
        one = found[name]
        assert one["images"] >= 20 and one["seeds"] == 2 and one["judged"] == 355
        assert one["difference"]["mean"] == pytest.approx(one["minted"]["mean"] - one["real"]["mean"])
        assert one["difference"]["low"] <= one["difference"]["mean"] <= one["difference"]["high"]
    assert found["all"]["real"]["mean"] > 0.2  # chance is 0.1
    assert cas.main(asked) == 0 and len(seen) == 9
    assert "undecided, 2 seeds" in capsys.readouterr().out


def test_what_cannot_be_scored_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cas.main([str(tmp_path)]) == 3
    assert "is not a run of this augmint" in capsys.readouterr().err
