"""`augmint compare`: pairs by hand, and a refusal with its reason for everything that cannot be paired."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.numpy import load_file, save_file
from scipy import stats
from typer.testing import CliRunner

from augmint.cli import app
from augmint.errors import InputError, UsageError
from augmint.report.compare import compare
from fake_run import LEVELS, make_run


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "before")


@pytest.fixture(scope="module")
def after(before: Path) -> Path:
    folder = make_run(before.parent / "after", gain=0.15)
    _settings(folder, represent={"width": 64})
    return folder


@pytest.fixture
def copy(before: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(before, tmp_path / "copy"))


def _settings(folder: Path, **changed: Any) -> None:
    tree = yaml.safe_load((folder / "config.yaml").read_text())
    for name, value in changed.items():
        tree[name] = {**tree[name], **value} if isinstance(value, dict) else value
    (folder / "config.yaml").write_text(yaml.safe_dump(tree))


def _manifest(folder: Path, column: str, change: Callable[[list[Any]], list[Any]]) -> None:
    table = pq.read_table(folder / "manifest.parquet")
    values = pa.array(change(table[column].to_pylist()))
    pq.write_table(table.set_column(table.column_names.index(column), column, values), folder / "manifest.parquet")


def test_every_arm_is_paired_draw_by_draw(before: Path, after: Path) -> None:
    found = compare(before, after)
    assert [row["contrast"] for row in found["arms"]] == list(LEVELS)
    trials = [
        {
            (t["arm"], t["draw"]): t["accuracy"]
            for t in pq.read_table(f / "trials.parquet").to_pylist()
            if t["role"] == "draw"
        }
        for f in (before, after)
    ]
    for row in found["arms"]:
        d = [trials[1][row["arm"], u] - trials[0][row["arm"], u] for u in range(10)]
        assert row["differences"] == pytest.approx(d) and row["mean"] == pytest.approx(np.mean(d))
        plain = stats.ttest_1samp(d, 0).confidence_interval()
        assert (
            row["low"] <= plain.low + 1e-9 and row["high"] >= plain.high - 1e-9
        )  # the test images' error comes on top
        assert row["second"] - row["first"] == pytest.approx(row["mean"])
        assert row["p_adjusted"] >= row["p"]
    weak = found["arms"][1]
    assert weak["verdict"] == "helped" and weak["sentence"].startswith(
        "scratch-weak: better in after than in before: +"
    )
    assert compare(after, before)["arms"][1]["sentence"].startswith("scratch-weak: worse in before than in after: −")
    assert found["settings"] == ["represent.width: 24 -> 64"]


def test_a_run_equals_itself(before: Path) -> None:
    rows = compare(before, before)["arms"]
    assert {row["verdict"] for row in rows} == {"equivalent"} and {row["mean"] for row in rows} == {0.0}


def test_one_arm_and_two_arms(before: Path, after: Path) -> None:
    (row,) = compare(before, after, ["encoder"])["arms"]
    assert (row["arm"], row["rival"], row["p"]) == ("encoder", "encoder", row["p_adjusted"])
    (row,) = compare(before, before, ["scratch-none", "scratch-weak"])["arms"]
    assert (row["arm"], row["rival"], row["contrast"]) == (
        "scratch-weak",
        "scratch-none",
        "scratch-none → scratch-weak",
    )
    table = {a["arm"]: a["mean"] for a in _table(before)}
    assert row["mean"] == pytest.approx(table["scratch-weak"] - table["scratch-none"])
    with pytest.raises(UsageError, match="no trials of it; it has scratch-none, "):
        compare(before, after, ["scratch-magic"])
    with pytest.raises(UsageError, match="give one arm for both runs, or two"):
        compare(before, after, ["encoder"] * 3)


def _table(folder: Path) -> list[dict[str, Any]]:
    from augmint.report import recompute

    return recompute(folder)


def test_only_draws_that_both_have_are_paired(before: Path, tmp_path: Path) -> None:
    short = make_run(tmp_path / "short", count=8)
    assert {row["draws"] for row in compare(before, short)["arms"]} == {8}


def test_folds_are_paired_with_their_correction(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", "folds"), make_run(tmp_path / "b", "folds", gain=0.2)
    row = compare(a, b)["arms"][0]
    d = np.array(row["differences"])
    half = stats.t.ppf(0.975, 9) * np.sqrt(d.var(ddof=1) * (1 / 10 + 40 / 160))
    assert row["unit"] == "folds" and row["high"] - row["low"] == pytest.approx(2 * half)


def test_other_images_labels_and_numbers_are_refused(before: Path, copy: Path) -> None:
    _settings(copy, labels_per_class=4)
    with pytest.raises(InputError, match="they had 10 labels per class and 4 labels per class"):
        compare(before, copy)
    _manifest(copy, "class", lambda names: ["other", *names[1:]])
    with pytest.raises(InputError, match="the labels of 1 images differ"):
        compare(before, copy)
    _manifest(copy, "id", lambda ids: [f"x{name}" for name in ids[:100]] + ids[100:])
    with pytest.raises(InputError, match=r"of other images \(1,697 in common of 1,797 and 1,797\)"):
        compare(before, copy)


def test_other_draws_are_refused_with_the_reason(before: Path, copy: Path) -> None:
    path = next(copy.glob("stages/trials/draw-03-encoder/*/identity.json"))
    identity = json.loads(path.read_text())
    path.write_text(json.dumps({"labels": identity["labels"][1:]}))
    with pytest.raises(InputError, match=r"draw 3 drew other labels \(other splits of the data\)"):
        compare(before, copy)
    _settings(copy, seed=1)
    with pytest.raises(InputError, match=r"draw 3 drew other labels \(other seeds: 0 and 1\); run both with the same"):
        compare(before, copy)
    compare(before, copy, ["scratch-none"])  # of which nothing was changed
    path.unlink()
    with pytest.raises(InputError, match="nobody knows which labels draw-03-encoder"):
        compare(before, copy)


def test_other_test_images_are_refused(before: Path, copy: Path) -> None:
    path = copy / "trials" / "draws-02-encoder.safetensors"
    stored = load_file(path)
    save_file({name: value[1:].copy() for name, value in stored.items()}, path)
    with pytest.raises(InputError, match="draw 2 was tested on other images"):
        compare(before, copy)


def test_what_is_not_a_finished_run_is_refused(before: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a run \(it has no config.yaml\)"):
        compare(before, tmp_path)
    with pytest.raises(InputError, match="no scored trials yet; finish it with"):
        compare(make_run(tmp_path / "bare", "bare"), before)
    other = make_run(tmp_path / "folds", "folds")
    _manifest(other, "class", lambda _: pq.read_table(before / "manifest.parquet")["class"].to_pylist())
    _manifest(other, "split", lambda _: pq.read_table(before / "manifest.parquet")["split"].to_pylist())
    _settings(other, labels_per_class=10)
    with pytest.raises(InputError, match="one was judged on label draws, the other by cross-validation"):
        compare(before, other)


def test_one_encoder_each_is_said_where_arms_build_on_one(before: Path, after: Path) -> None:
    assert compare(before, after, ["scratch-weak"])["caution"] == ""
    assert "another seed may come out differently" in compare(before, after, ["scratch-weak", "encoder"])["caution"]
    said = " ".join(CliRunner().invoke(app, ["compare", str(before), str(after)]).stdout.split())
    assert "One encoder each is compared (of several seeds the first): another seed may come out differently" in said
    alone = CliRunner().invoke(app, ["compare", str(before), str(after), "--arm", "scratch-weak"]).stdout
    assert "One encoder" not in alone


def test_the_command(before: Path, after: Path) -> None:
    said = CliRunner().invoke(app, ["compare", str(before), str(after)])
    assert said.exit_code == 0 and "settings that differ: represent.width: 24 -> 64" in said.stdout
    assert "▲ scratch-weak: better in after than in before: +" in said.stdout
    found = json.loads(
        CliRunner().invoke(app, ["compare", str(before), str(after), "--arm", "encoder", "--json"]).stdout
    )
    assert [row["arm"] for row in found["arms"]] == ["encoder"] and found["schema"] == 1
