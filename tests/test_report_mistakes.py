"""Confusions and calibration: counted by hand, against scikit-learn, and without a look at the test labels."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import load_file, save_file
from scipy import optimize
from sklearn.metrics import confusion_matrix

from augmint.judge.trials import temperature
from augmint.measure.calibration import best_temperature, equal_mass_calibration_error
from augmint.report import figures
from augmint.report.evidence import Evidence
from augmint.report.facts import collect
from augmint.report.mistakes import calibration, confusion
from augmint.seeding import generator
from fake_run import CLASSES, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draws, with a trial of cross-validation on the labels for `encoder`, over-confident by three."""
    folder = make_run(tmp_path_factory.mktemp("runs") / "draws")
    rows = pq.read_table(folder / "trials.parquet").to_pylist()
    mine = next(t for t in rows if t["arm"] == "encoder" and t["role"] == "draw")
    stored = load_file(folder / mine["logits"])
    save_file({**stored, "logits": stored["logits"] * 3}, folder / "trials" / "select.safetensors")
    rows.append({**mine, "role": "select", "fold": 0, "draw": -1, "logits": "trials/select.safetensors"})
    pq.write_table(pa.Table.from_pylist([t for t in rows if t["accuracy"] > 0]), folder / "trials.parquet")
    return folder


def test_confusions_as_scikit_learn(run: Path) -> None:
    labels = np.array(pq.read_table(run / "manifest.parquet")["label"].to_pylist())
    true, guess = [], []
    for trial in pq.read_table(run / "trials.parquet").to_pylist():
        if trial["arm"] == "scratch-weak" and trial["role"] == "draw":
            stored = load_file(run / trial["logits"])
            true += labels[stored["rows"]].tolist()
            guess += stored["logits"].argmax(1).tolist()
    expected = confusion_matrix(true, guess)
    found = confusion(Evidence(run))
    assert found["arms"]["scratch-weak"] == expected.tolist()
    worst = found["pairs"]["scratch-weak"][0]
    off = expected - np.diag(np.diag(expected))
    t, p = np.unravel_index(off.argmax(), off.shape)
    assert (worst["true"], worst["taken_for"]) == (CLASSES[t], CLASSES[p])
    assert worst["share"] == pytest.approx(off.max() / expected[t].sum())


def test_the_temperature_comes_from_cross_validation_not_from_the_test_images(run: Path) -> None:
    found = calibration(Evidence(run))
    assert found["scratch-none"]["temperature"] is None and found["scratch-none"]["calibrated"] is None
    ours = found["encoder"]
    stored = load_file(run / "trials" / "select.safetensors")
    labels = np.array(pq.read_table(run / "manifest.parquet")["label"].to_pylist())[stored["rows"]]
    expected = best_temperature(torch.from_numpy(stored["logits"]), torch.from_numpy(labels), smooth=True)
    assert ours["temperature"] == pytest.approx(expected)
    errors = {"raw": [], "calibrated": []}
    for trial in pq.read_table(run / "trials.parquet").to_pylist():
        if trial["arm"] == "encoder" and trial["role"] == "draw":
            logits, y = Evidence(run).logits(trial)
            truth = torch.from_numpy(Evidence(run).labels[y])
            for name, t in (("raw", 1.0), ("calibrated", ours["temperature"])):
                probs = (torch.from_numpy(logits).double() / t).softmax(1)
                errors[name].append(equal_mass_calibration_error(probs, truth, 3))  # 360 images
    assert ours["raw"] == pytest.approx(np.mean(errors["raw"]))
    assert ours["calibrated"] == pytest.approx(np.mean(errors["calibrated"]))


def test_folds_are_calibrated_on_the_other_folds(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "folds", "folds", count=5)
    before = calibration(Evidence(folder))["encoder"]
    for path in folder.glob("trials/*encoder.safetensors"):
        stored = load_file(path)
        save_file({**stored, "logits": stored["logits"] * 4}, path)
    after = calibration(Evidence(folder))["encoder"]
    assert after["temperature"] == pytest.approx(4 * before["temperature"], rel=0.06)  # the grid's step
    assert after["calibrated"] == pytest.approx(before["calibrated"], abs=0.01) and after["raw"] != before["raw"]


def test_thirty_images_that_are_all_right_do_not_promise_certainty(tmp_path: Path) -> None:
    labels = torch.arange(30) % 3
    save_file({"logits": 2 * np.eye(3)[labels], "rows": np.arange(30)}, tmp_path / "held-out.safetensors")
    held_out = [{"arm": "encoder", "role": "select", "logits": "held-out.safetensors"}]
    found = temperature(held_out, tmp_path, labels, "encoder")
    surest = float(torch.softmax(torch.tensor([2.0, 0.0, 0.0]) / found, 0)[0])
    assert found > 0.3 and 0.9 < surest < 0.99


@pytest.mark.parametrize("images", [10, 40])
def test_an_arm_that_knows_how_sure_it_may_be_has_a_small_error_on_small_folds(images: int, tmp_path: Path) -> None:
    """2 × 5 folds, probabilities that are true: averaged over folds, 15 bins each would show 14 to 25 points."""
    folder = make_run(tmp_path / "folds", "folds")
    rng, rows = generator("calibrated", images), np.arange(200)
    names = sorted(folder.glob("trials/*encoder.safetensors"))
    assert len(names) == 10
    for number, path in enumerate(names):
        mine = rows[number % 5 :: 5][:images].copy()
        truth, logits = Evidence(folder).labels[mine], rng.normal(0, 1.5, (images, 10))
        drawn = (logits + rng.gumbel(size=logits.shape)).argmax(1)  # a class by its probability
        for row, (is_now, should) in enumerate(zip(drawn, truth, strict=True)):
            logits[row, [is_now, should]] = logits[row, [should, is_now]]
        save_file({"logits": logits.astype(np.float32), "rows": mine}, path)
    assert calibration(Evidence(folder))["encoder"]["raw"] < 0.1


def test_bins_of_equal_mass_by_hand() -> None:
    probs = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]], dtype=torch.float64)
    labels = torch.tensor([0, 1, 1, 0])
    assert equal_mass_calibration_error(probs, labels, 2) == pytest.approx((0.15 + 0.15) / 2)
    assert equal_mass_calibration_error(probs, labels, 1) == pytest.approx(0.0)


def test_best_temperature_as_a_continuous_search() -> None:
    rng = generator("temperature")
    y = rng.integers(0, 5, 4000)
    logits = torch.from_numpy(2.5 * (np.eye(5)[y] * 1.2 + rng.normal(0, 1, (4000, 5))))
    labels = torch.from_numpy(y)

    def loss(t: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits / t, labels))

    assert best_temperature(logits, labels) == pytest.approx(
        optimize.minimize_scalar(loss, bounds=(0.05, 20), method="bounded").x, rel=0.03
    )


def test_the_worst_draw_and_the_whole_cost(run: Path) -> None:
    arms = {row["arm"]: row for row in collect(run)["arms"]}
    for row in arms.values():
        assert row["accuracies"][row["worst_unit"]] == row["worst"] == min(row["accuracies"])
    minted = arms["scratch-minted"]
    assert minted["total_seconds"] == pytest.approx(10.0 + 61.3 + 44.9)  # own, encoder, generator
    assert arms["scratch-weak"]["total_seconds"] == arms["scratch-weak"]["seconds"]


def test_a_run_without_manifest_has_neither(run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "bare"))
    (folder / "manifest.parquet").unlink()
    assert confusion(Evidence(folder)) == {"arms": {}, "pairs": {}} and calibration(Evidence(folder)) == {}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seconds", [(1000.0, 1001.0), (1000.0, 1000.0), (6.0, 9000.0), (0.0, 3.0)])
def test_the_picture_of_costs_has_room_however_near_the_arms_are(seconds: tuple[float, float]) -> None:
    arms = [{"arm": f"encoder-{i}", "family": "encoder", "mean": 0.7 + i / 10, "std": 0.02, "total_seconds": s}
            for i, s in enumerate(seconds)]  # fmt: skip
    picture = figures.cost({"arms": arms})
    assert "encoder-0" in picture and "encoder-1" in picture
    assert "mathdefault" not in picture
