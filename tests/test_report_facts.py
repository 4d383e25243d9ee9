"""The facts of a run: right where they can be counted otherwise, and tolerant of what is missing."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file
from scipy.stats import norm

from augmint.errors import InputError
from augmint.judge.verdict import verdicts
from augmint.measure.intervals import share_interval
from augmint.report import collect, recompute, write
from augmint.report.figures import front
from augmint.report.limits import limits
from fake_run import CLASSES, LEVELS, make_run


@pytest.fixture(scope="module")
def draws(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "draws")


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "folds", "folds")


@pytest.mark.parametrize("kind", ["draws", "folds"])
def test_the_table_is_recomputed_from_logits_and_manifest(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    rows, arms = recompute(folder), collect(folder)["arms"]
    assert [r["arm"] for r in rows] == list(LEVELS)
    for row, arm in zip(rows, arms, strict=True):
        assert row == pytest.approx({name: arm[name] for name in row})


def test_the_table_by_hand(draws: Path) -> None:
    trials = [t for t in pq.read_table(draws / "trials.parquet").to_pylist() if t["role"] == "draw"]
    labels = pq.read_table(draws / "manifest.parquet")["label"].to_pylist()
    found = {row["arm"]: row for row in recompute(draws)}
    for arm in LEVELS:
        shares = []
        for trial in (t for t in trials if t["arm"] == arm):
            stored = load_file(draws / trial["logits"])
            pairs = zip(stored["logits"].tolist(), stored["rows"].tolist(), strict=True)
            shares.append(np.mean([logits.index(max(logits)) == labels[row] for logits, row in pairs]))
        assert found[arm]["mean"] == pytest.approx(np.mean(shares))
        assert found[arm]["std"] == pytest.approx(np.std(shares, ddof=1))


def test_a_table_that_does_not_fit_its_logits_is_found_out(draws: Path, tmp_path: Path) -> None:
    folder = tmp_path / "forged"
    shutil.copytree(draws, folder)
    trial = pq.read_table(folder / "trials.parquet").to_pylist()[0]
    stored = load_file(folder / trial["logits"])
    save_file({**stored, "logits": -stored["logits"]}, folder / trial["logits"])
    assert recompute(folder)[0]["mean"] != pytest.approx(collect(folder)["arms"][0]["mean"])


def test_the_verdict_is_the_judges_with_the_test_sets_own_error(draws: Path) -> None:
    facts = collect(draws)
    plain = verdicts(pq.read_table(draws / "trials.parquet").to_pylist())
    for told, outcome in zip(facts["verdict"], plain, strict=True):
        assert told["mean"] == pytest.approx(outcome.mean)
        assert told["high"] - told["low"] >= outcome.high - outcome.low - 1e-12
    assert any(told["test_error"] > 0 for told in facts["verdict"])


def test_accuracy_per_class_by_hand(draws: Path) -> None:
    facts = collect(draws)
    assert facts["per_class"]["classes"] == list(CLASSES)
    labels = np.array(pq.read_table(draws / "manifest.parquet")["label"].to_pylist())
    trials = [t for t in pq.read_table(draws / "trials.parquet").to_pylist() if t["role"] == "draw"]
    hits, count, by_draw = 0, 0, []
    for trial in (t for t in trials if t["arm"] == "scratch-weak"):
        stored = load_file(draws / trial["logits"])
        mine = labels[stored["rows"]] == 3
        hits += int((stored["logits"].argmax(1)[mine] == 3).sum())
        count += int(mine.sum())
        by_draw.append((stored["logits"].argmax(1)[mine] == 3).astype(float))
    cell = facts["per_class"]["arms"]["scratch-weak"][3]
    assert cell["accuracy"] == pytest.approx(hits / count)
    assert cell["images"] == count / 10  # ten draws, the same test images
    assert (cell["low"], cell["high"]) == pytest.approx(share_interval(by_draw, cell["images"]))
    assert cell["low"] < cell["accuracy"] < cell["high"]


def test_counts_costs_and_curves(draws: Path) -> None:
    facts = collect(draws)
    assert list(facts["data"]["splits"]) == ["train", "test"]
    assert sum(c["test"] for c in facts["data"]["classes"]) == facts["data"]["splits"]["test"]["labelled"] == 360
    stages = {s["stage"]: s for s in facts["stages"]}
    assert stages["trials"]["count"] == 10
    assert stages["trials"]["seconds"] == pytest.approx(40)
    assert stages["represent"]["peak_memory"] == 700 * 2**20
    arms = {a["arm"]: a for a in facts["arms"]}
    assert arms["scratch-weak"]["shared_seconds"] == 0
    assert arms["scratch-minted"]["shared_seconds"] == pytest.approx(61.3 + 44.9)
    assert arms["encoder-minted"]["shared_seconds"] == pytest.approx(61.3 + 9.8)
    assert len(facts["curves"]["stages"]["represent"]["loss"]) == 29
    assert [p[2] for p in facts["curves"]["arms"]["scratch-none"]] == [10] * 10


def test_a_resumed_stage_counts_its_later_lines(draws: Path, tmp_path: Path) -> None:
    folder = tmp_path / "resumed"
    shutil.copytree(draws, folder)
    with open(folder / "metrics.jsonl", "a") as file:
        file.write("\n" + json.dumps({"stage": "represent", "images": 12800, "loss": 99.0}) + "\n")
    loss = collect(folder)["curves"]["stages"]["represent"]["loss"]
    assert len(loss) == 29
    assert loss[0] == [12800, 99.0]


def test_minted_counts(draws: Path) -> None:
    minted = collect(draws)["minted"]
    assert minted["kept"] + sum(minted["reasons"].values()) == minted["drawn"] == 900
    assert sum(sum(c.values()) for c in minted["classes"].values()) == 900


def test_folds_say_what_they_cannot_show(folds: Path) -> None:
    facts = collect(folds)
    assert facts["evaluation"]["kind"] == "folds"
    assert all(o["unit"] == "folds" for o in facts["verdict"])
    text = " ".join(facts["limits"])
    assert "seen, without their labels, by the encoder and the generators" in text
    assert "Folds share most of their training images" in text


def test_draws_say_what_they_cannot_show(draws: Path) -> None:
    facts = collect(draws)
    text = " ".join(facts["limits"])
    widths = [100 * (o["high"] - o["low"]) / 2 for o in facts["verdict"]]
    small, large = (3.236 / 1.96 * f(widths) for f in (min, max))  # Holm's first step over three contrasts
    assert f"With 10 draws, differences smaller than about {small:.1f} to {large:.1f} points" in text
    assert "1 seed" in text
    assert "chosen, and the learning curves were drawn, on labelled images that no arm trains on" in text


def test_a_policy_chosen_by_what_it_is_compared_on_is_told(draws: Path) -> None:
    facts = collect(draws)
    (width,) = [o["high"] - o["low"] for o in facts["verdict"][:1]]
    facts["verdict"] = [{**facts["verdict"][0], "rivals": 3}]
    text = " ".join(limits(facts))
    assert "over the very draws and test images that it is compared on" in text and "no arm trains on" not in text
    level = norm.isf(0.025 / 3)
    effect = 100 * width / 2 * (1 + norm.ppf(0.8) / level)
    assert f"differences smaller than about {effect:.1f} points" in text


def test_without_minting_the_contrasts_are_left_out(tmp_path: Path) -> None:
    facts = collect(make_run(tmp_path / "plain", minted=False))
    assert facts["minted"] is None
    assert {o["verdict"] for o in facts["verdict"]} == {"left out"}
    assert len(facts["arms"]) == 6


def test_a_run_without_trials_has_facts_too(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "bare", "bare")
    facts = collect(folder)
    assert facts["evaluation"]["kind"] == "none"
    assert facts["arms"] == recompute(folder) == []


@pytest.mark.parametrize(
    "lost",
    ["environment.json", "minted", "final", "stages", "minted/gallery.safetensors", "minted/metadata.parquet"],
)
def test_lost_parts_are_left_out(draws: Path, tmp_path: Path, lost: str) -> None:
    folder = tmp_path / "run"
    shutil.copytree(draws, folder)
    path = folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / "metrics.jsonl").unlink()
    assert write(folder).exists()


@pytest.mark.parametrize("broken", ["environment.json", "final/final.json", "minted/gallery.safetensors"])
def test_broken_parts_are_left_out(draws: Path, tmp_path: Path, broken: str) -> None:
    folder = tmp_path / "run"
    shutil.copytree(draws, folder)
    (folder / broken).write_text("{]")
    (folder / "metrics.jsonl").unlink()
    assert write(folder).exists()


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run"):
        collect(tmp_path)


def test_lost_logits_are_named(draws: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(draws, folder)
    shutil.rmtree(folder / "trials")
    with pytest.raises(InputError, match=r"trials/draws-00"):
        collect(folder)


def test_three_encoder_seeds_are_said_to_be_in_the_interval(draws: Path) -> None:
    facts = collect(draws)
    assert "Another seed can come out" in " ".join(facts["limits"])
    facts["evaluation"]["encoder_seeds"] = [0, 1, 2]
    facts["verdict"] = [{**outcome, "seeds": 3} for outcome in facts["verdict"]]
    said = " ".join(limits(facts))
    assert "contain the draw of the labels, the seed of the encoder and" in said and "Another seed" not in said


def test_the_front_has_the_best_accuracy_for_every_minute() -> None:
    arms = [
        {"arm": name, "total_seconds": s, "mean": m}
        for name, s, m in (("c", 30, 0.7), ("a", 10, 0.5), ("dear", 40, 0.7), ("b", 20, 0.6), ("worse", 20, 0.55))
    ]
    assert [a["arm"] for a in front(arms)] == ["a", "b", "c"]
    assert front([]) == []
