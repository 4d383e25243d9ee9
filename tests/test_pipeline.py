"""The main job at its smallest, as a user meets it: command in, table, report, classifier and files out."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits

import augmint as am
from augmint import api
from augmint.config import Settings, resolve
from augmint.errors import UsageError
from augmint.estimate import estimate
from augmint.pipeline import Pipeline
from augmint.report import recompute
from augmint.represent import Encoder
from augmint.train import RunDir
from conftest import augmint

CLI = [sys.executable, "-m", "augmint"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> am.Run:
    folder = tmp_path_factory.mktemp("runs") / "digits"
    return am.run("digits", folder, labels_per_class=5, preset="tiny", quiet=True)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's case: a few labelled images per class, many unlabelled, mixed sizes and formats, no test split."""
    folder = tmp_path_factory.mktemp("photos")
    images, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    names = {0: "zero", 1: "one", 2: "two"}
    seen = dict.fromkeys(names, 0)
    for number, (pixels, label) in enumerate(zip(images[:260], labels[:260], strict=True)):
        if label not in names:
            continue
        seen[label] += 1
        place = folder / (names[label] if seen[label] <= 6 else "_unlabeled")
        place.mkdir(exist_ok=True)
        image = Image.fromarray((pixels.reshape(8, 8) * 15.9).astype(np.uint8))
        image = image.resize((int(rng.integers(12, 30)), int(rng.integers(12, 30))))
        image.convert("RGB" if number % 3 else "L").save(place / f"{number}.{'png' if number % 2 else 'jpg'}")
    return folder


def test_a_run_leaves_what_it_promises(run: am.Run) -> None:
    names = "config.yaml environment.json manifest.parquet metrics.jsonl run.log trials.parquet report/index.html"
    for name in (
        names + " report/report.json represent/map.png encoder.safetensors final/final.json final/model.safetensors"
        " leaks.json minted/metadata.parquet value.json"
    ).split():
        assert (run.folder / name).stat().st_size > 0, name
    trials = pq.read_table(run.folder / "trials.parquet").to_pylist()
    roles = [t["role"] for t in trials]
    assert (roles.count("draw"), roles.count("select"), roles.count("final")) == (18, 18, 1)
    assert all(0 <= t["accuracy"] <= 1 and t["n_train"] in (50, 25) for t in trials)
    assert {t["arm"] for t in trials if t["role"] == "draw"} == {row["arm"] for row in run.facts["arms"]}


def test_the_report_is_what_the_trials_say(run: am.Run) -> None:
    stored = {row["arm"]: row for row in run.facts["arms"]}
    for row in recompute(run.folder):
        assert stored[row["arm"]]["mean"] == pytest.approx(row["mean"], abs=1e-12)
    none = run.facts["evaluation"]["unminted"].get("scratch-minted", 0) == 2  # so short a training: none may pass
    images = "left out" if none else "undecided"
    assert [v["verdict"] for v in run.verdict] == [images, images, "undecided"]  # two draws decide nothing


def test_a_run_compared_with_itself_is_equal_and_with_other_labels_refused(run: am.Run, tmp_path: Path) -> None:
    facts = json.loads(augmint("compare", run.folder, run.folder, "--json").stdout)
    assert [row["arm"] for row in facts["arms"]] == [row["arm"] for row in run.facts["arms"]]
    assert all(row["mean"] == 0 and row["draws"] == 2 for row in facts["arms"]) and run.facts["leaks"] == []
    other = tmp_path / "other"
    shutil.copytree(run.folder, other)
    path = next(other.glob("stages/trials/draw-01-encoder/*/identity.json"))
    path.write_text(path.read_text().replace('"labels"', '"labels_"'))
    done = augmint("compare", run.folder, other, "--arm", "encoder", code=None)
    assert done.returncode == 3 and "nobody knows which labels draw-01-encoder" in done.stderr


def test_the_encoder_knows_more_than_nothing(run: am.Run) -> None:
    arms = {row["arm"]: row["mean"] for row in run.facts["arms"]}
    assert arms["encoder"] > 0.4


def test_arms_share_draws_and_are_tested_on_the_same_images(run: am.Run) -> None:
    trials = [t for t in pq.read_table(run.folder / "trials.parquet").to_pylist() if t["role"] == "draw"]
    rows = {t["arm"] + str(t["draw"]): load_file(run.folder / t["logits"])["rows"] for t in trials}
    first = next(iter(rows.values()))
    assert all(torch.equal(first, other) for other in rows.values())


def test_trials_note_how_much_minted_they_had_to_learn_from(run: am.Run) -> None:
    notes = [json.loads(p.read_text()) for p in (run.folder / "stages" / "trials").glob("*/*/done.json")]
    assert {note["arm"] for note in notes if note.get("minted", -1) >= 0} == {"scratch-minted", "encoder-minted"}
    assert all(note.get("minted", 0) >= 0 for note in notes)


def test_minted_images_have_their_trail(run: am.Run) -> None:
    kept = pq.read_table(run.folder / "minted" / "metadata.parquet").to_pylist()
    files = {str(p.relative_to(run.folder / "minted")) for p in (run.folder / "minted").rglob("*.png")}
    assert {row["file_name"] for row in kept if row["kept"]} == files
    ids = set(pq.read_table(run.folder / "manifest.parquet")["id"].to_pylist())
    assert {row["parent"] for row in kept} <= ids


def test_the_same_call_again_computes_nothing_and_changes_nothing(run: am.Run) -> None:
    before = {p: p.stat().st_mtime_ns for p in run.folder.rglob("model.safetensors") if "final" not in p.parts}
    facts = run.facts
    again = am.run("digits", run.folder, labels_per_class=5, preset="tiny", quiet=True)
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert again.facts["arms"] == facts["arms"] and again.verdict == facts["verdict"]


def test_images_to_score_on_are_encoded_once_for_all_trials(run: am.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.model_validate(yaml.safe_load((run.folder / "config.yaml").read_text()))
    with RunDir.open(run.folder, settings.model_dump(mode="json")) as folder:
        pipeline = Pipeline(folder, settings)
        asked = [pipeline.splits[0].test, pipeline.parts.val]
        wanted = [pipeline.encoder.hidden(pipeline.table.take(rows)) for rows in asked]
        hidden, calls = Encoder.hidden, []
        monkeypatch.setattr(Encoder, "hidden", lambda *given: calls.append(len(given[1])) or hidden(*given))
        for _ in range(3):
            assert all(torch.equal(pipeline.hidden_of(rows), w) for rows, w in zip(asked, wanted, strict=True))
    assert sorted(n for n in calls if n != len(pipeline.parts.pool)) == sorted(map(len, asked))


def test_several_encoders_share_draws_and_what_learns_from_labels_alone(tmp_path: Path) -> None:
    chosen = ["scratch-none", "scratch-randaugment", "scratch-minted", "encoder", "encoder-minted"]
    settings = {"judge": {"encoder_seeds": 2, "robust_images": 0, "draws": 2, "arms": chosen}}
    run = am.run("digits", tmp_path / "r", labels_per_class=5, preset="tiny", settings=settings, quiet=True)
    rows = [t for t in pq.read_table(run.folder / "trials.parquet").to_pylist() if t["role"] == "draw"]
    for arm in {t["arm"] for t in rows}:
        mine = {(t["encoder_seed"], t["draw"]): t for t in rows if t["arm"] == arm}
        assert set(mine) == {(seed, draw) for seed in (0, 1) for draw in (0, 1)}
        same = arm in ("scratch-none", "scratch-randaugment")
        for draw in (0, 1):
            assert (mine[0, draw]["logits"] == mine[1, draw]["logits"]) == same
            found = [load_file(run.folder / mine[seed, draw]["logits"]) for seed in (0, 1)]
            assert torch.equal(found[0]["rows"], found[1]["rows"])
            if same or arm.startswith(
                "encoder"
            ):  # at this size no minted image may be kept: then the labels alone count
                assert torch.equal(found[0]["logits"], found[1]["logits"]) == same
    assert len(list((run.folder / "stages" / "represent").iterdir())) == 2
    arms = {row["arm"]: row for row in run.facts["arms"]}
    assert arms["encoder"]["n"] == 4 and run.facts["evaluation"]["encoder_seeds"] == [0, 1]
    assert recompute(run.folder) == [{k: row[k] for k in ("arm", "n", "mean", "std", "worst")} for row in arms.values()]
    assert "2 × 2" in run.report.read_text() and "2 label draws with each of 2 encoders" in run.report.read_text()


def test_a_run_at_several_numbers_of_labels_says_what_arms_are_worth(tmp_path: Path) -> None:
    settings = {"judge": {"curve": [2, 8], "robust_images": 0, "draws": 8, "arms": ["scratch-none", "encoder"]}}
    settings["classify"] = {"images": 64}
    settings["generate"] = {"image": {"enabled": False}, "feature": {"enabled": False}}
    run = am.run("digits", tmp_path / "r", labels_per_class=5, preset="tiny", settings=settings, quiet=True)
    trials = [t for t in pq.read_table(run.folder / "trials.parquet").to_pylist() if t["role"] in ("draw", "curve")]
    assert {(t["labels_per_class"], t["n_train"]) for t in trials} == {(2, 20), (5, 50), (8, 80)}
    assert len(trials) == 2 * 3 * 8 and {t["labels_per_class"] for t in trials if t["role"] == "draw"} == {5}
    curve = run.facts["worth"]["arms"]["encoder"]
    assert [point["labels"] for point in curve] == [2, 5, 8]
    for point in curve:
        values = [t["accuracy"] for t in trials if t["arm"] == "encoder" and t["labels_per_class"] == point["labels"]]
        assert point["mean"] == pytest.approx(np.mean(values)) and point["draws"] == 8
    (row,) = run.facts["worth"]["worth"]
    assert (row["arm"], row["baseline"], row["at"]) == ("encoder", "scratch-none", 5)
    text = run.report.read_text()
    assert 'id="worth"' in text and row["sentence"].split(":")[0] in text
    assert run.facts["arms"][0]["n"] == 8  # the table is of the run's own number of labels


def test_a_verdict_can_be_a_condition(run: am.Run) -> None:
    """Two draws decide nothing, so the finished run fails the gate: table and verdict first, then one line."""
    done = augmint("run", run.folder, "--fail-unless", "helped:features-over-encoder", "--quiet", code=None)
    assert done.returncode == 4 and "encoder-minted" in done.stdout
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(
        "augmint: --fail-unless helped:features-over-encoder is not met: Undecided whether minted features"
    )


def test_other_settings_are_refused_with_the_difference(run: am.Run) -> None:
    with pytest.raises(am.InputError, match=r"labels_per_class: 5 -> 6"):
        am.run("digits", run.folder, labels_per_class=6, preset="tiny", quiet=True)


def test_predict_gives_classes_and_probabilities(run: am.Run, tmp_path: Path) -> None:
    images, labels = load_digits(return_X_y=True)
    for i in range(40):
        Image.fromarray((images[i].reshape(8, 8) * 255 / 16).astype(np.uint8)).save(tmp_path / f"{i:02d}.png")
    found = run.predict(tmp_path)
    assert len(found) == 40 and all(abs(sum(p.probabilities.values()) - 1) < 1e-6 for p in found)
    right = np.mean([p.label == str(labels[int(Path(p.file).stem)]) for p in found])
    assert right > 0.35  # chance is 0.1
    out = augmint("predict", run.folder, tmp_path)
    rows = list(csv.DictReader(io.StringIO(out.stdout)))
    assert [r["label"] for r in rows] == [p.label for p in found]


def test_all_files_are_predicted_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Classifier and encoder are loaded once, not for every file."""
    asked: list[list[Path]] = []
    monkeypatch.setattr(am.Run, "predict", lambda run, files, device: asked.append(files) or [])
    augmint("predict", tmp_path, "1.png", tmp_path, "2.png")
    assert asked == [[Path("1.png"), tmp_path, Path("2.png")]]


def test_a_finetuned_encoder_is_scored_chosen_and_predicts(tmp_path: Path) -> None:
    """The only arm, so it is the final one: `predict` needs no encoder file, and says what the trial's network says.
    (Without an image generator there are no minted images to fine-tune with.)"""
    without = {"image": {"enabled": False}, "feature": {"enabled": False}}
    tree = {"generate": without, "judge": {"arms": ["encoder-finetune", "encoder-finetune-minted"]}}
    found = am.run("digits", tmp_path / "r", labels_per_class=5, preset="tiny", quiet=True, settings=tree)
    trials = pq.read_table(found.folder / "trials.parquet").to_pylist()
    assert {t["arm"] for t in trials} == {"encoder-finetune"}
    assert all(t["accuracy"] > 0.3 for t in trials if t["role"] in ("draw", "final"))  # chance is 0.1
    final = json.loads((found.folder / "final" / "final.json").read_text())
    assert final["arm"] == "encoder-finetune" and not (found.folder / "final" / "encoder.safetensors").exists()
    images, labels = load_digits(return_X_y=True)
    for i in range(40):
        Image.fromarray((images[i].reshape(8, 8) * 255 / 16).astype(np.uint8)).save(tmp_path / f"{i:02d}.png")
    files = sorted(tmp_path.glob("*.png"))
    right = np.mean([p.label == str(labels[i]) for i, p in enumerate(found.predict(files))])
    assert right > 0.3


def test_a_folder_without_test_split_is_cross_validated(photos: Path, tmp_path: Path) -> None:
    on_disk = ("--set", "data.resident=0")  # no stage may need the images in memory
    out = augmint("run", photos, "--preset", "tiny", "--out", tmp_path / "r", "--json", *on_disk)
    facts = json.loads(out.stdout)
    trials = pq.read_table(tmp_path / "r" / "trials.parquet").to_pylist()
    assert {t["role"] for t in trials} == {"fold"} and len(trials) == 18
    assert all(t["n_train"] + t["n_test"] == 18 for t in trials)
    assert {row["name"] for row in facts["data"]["classes"]} == {"zero", "one", "two"}
    final = json.loads((tmp_path / "r" / "final" / "final.json").read_text())
    assert final["labels"] == 18  # refitted on all labels
    assert len(am.Run(tmp_path / "r").predict(photos / "_unlabeled")) > 20


def test_killed_and_started_again_ends_with_the_same_result(run: am.Run, tmp_path: Path) -> None:
    command = [*CLI, "run", "digits", "--labels-per-class", "5", "--preset", "tiny", "--out", str(tmp_path / "r")]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    child = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, **quiet)
    deadline = time.monotonic() + 200
    while not list((tmp_path / "r").glob("stages/trials/draw-00-scratch-weak/*/done.json")):
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    again = [*CLI, "run", str(tmp_path / "r")]  # a run folder alone is enough to go on
    subprocess.run(again, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, **quiet)
    for path in sorted((run.folder / "trials").glob("*.safetensors")):
        ours = load_file(tmp_path / "r" / "trials" / path.name)["logits"]
        torch.testing.assert_close(ours, load_file(path)["logits"], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "nowhere/"], 3, "nowhere"),
        (["run", "digits", "--preset", "quick"], 2, "choose one of"),
        (["run", "digits", "--set", "represent.widht=3"], 2, "represent.widht"),
        (["run", "digits", "--set", "judge.arms=[scratch-magic]"], 2, "scratch-magic"),
        (["run", "digits", "--set", "judge.arms=[]"], 2, "names no arm to train; add one of "),
        (
            ["run", "digits", "--set", "judge.arms=[encoder-minted]", "--set", "generate.feature.enabled=false"],
            2,
            "no arm to train: encoder-minted need a generator that is switched off",
        ),
        (["run", "digits", "--set", "classify.prior=[1, 2]"], 2, "2 numbers for 10 classes"),
        (["run", "digits", "--set", "mint.drop=['3', ten]"], 2, "mint.drop: there is no class 'ten'"),
        (["mint", "digits", "--set", "mint.drop=['0','1','2','3','4','5','6','7','8','9']"], 2, "of all classes none"),
        (["run", "digits", "--set", "classify.prior=even"], 2, "classify.prior"),
        (["run", "digits", "--set", "generate.image.condition=class"], 2, "use condition=cluster"),
        (["run", "digits", "--labels-per-class", "5000", "--preset", "tiny"], 3, "5,?000"),
        (["run", "digits", "--device", "cuda:99"], 2, "cuda"),
        (["run", "digits", "--fail-unless", "better"], 2, "choose one of helped, equivalent, not-hurt"),
        (["classify", "digits", "--fail-unless", "helped"], 2, "use `augmint run`"),
        (["mint", "digits", "--fail-unless", "helped"], 2, "No such option"),
        (["preview", "digits", "--policy", "magic"], 2, "magic"),
        (["report", "."], 3, "not a run"),
        (["predict", ".", "x.png"], 3, "no final classifier"),
        (["walk"], 2, "walk"),
    ],
)
def test_mistakes_get_one_line_and_their_exit_code(words: list[str], code: int, message: str, tmp_path: Path) -> None:
    out = ["--out", tmp_path / "r"] if words[0] in ("run", "mint") else []
    done = augmint(*words, *out, code=None)
    assert done.returncode == code, done.stderr
    assert re.search(message, done.stderr) and "Traceback" not in done.stderr


def test_every_stage_runs_alone_on_a_run_folder(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    learnt = json.loads(augmint("represent", photos, "--preset", "tiny", "--out", folder, "--json").stdout)
    assert 0 < learnt["knn"] <= 1 and learnt["judged"] == 18
    assert len(list(folder.glob("stages/represent/*/done.json"))) == 1
    augmint("generate", folder)
    assert list(folder.glob("stages/generate-image/*/fakes_*.png"))
    minted = json.loads(augmint("mint", folder, "--json").stdout)
    assert minted["drawn"] > 0 and (folder / "minted" / "metadata.parquet").exists()
    features = pq.read_table(folder / "features.parquet").to_pylist()
    assert all(row["class"] in ("zero", "one", "two") and len(row["feature"]) == 128 for row in features)
    final = json.loads(augmint("classify", folder, "--json").stdout)
    assert final["arm"].startswith(("scratch", "encoder"))
    assert "undecided" in augmint("run", folder).stdout.lower()
    assert len(list(folder.glob("stages/represent/*/done.json"))) == 1  # nothing was trained twice
    before = json.loads(augmint("report", folder, "--json").stdout)
    assert before["final"]["arm"] == final["arm"]


def test_the_representation_explains_itself(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    command = ["represent", "digits", "--preset", "tiny", "--labels-per-class", 3, "--out", folder]
    said = augmint(*command)
    assert re.search(r"encoder: learnt from 1,\d\d\d images, 2,000 seen in .*, [\d,]+ images/s", said.stdout)
    assert re.search(r"worth: kNN \d+\.\d%, linear .* from 30 labels, judged on 14\d validation images", said.stdout)
    assert " knn 0." in said.stderr and "Traceback" not in said.stderr
    logged = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "spread", "rank", "knn"} <= set(next(line for line in logged if line["stage"] == "represent"))
    stored = pq.read_table(folder / "represent" / "embeddings.parquet")
    manifest = pq.read_table(folder / "manifest.parquet").to_pydict()
    split = dict(zip(manifest["id"], manifest["split"], strict=True))
    label = dict(zip(manifest["id"], manifest["label"], strict=True))
    known = [row for row in stored.to_pylist() if row["label"] is not None]
    assert all(split[name] != "test" for name in stored["id"].to_pylist())
    assert all(label[row["id"]] == row["label"] for row in known)
    assert sum(row["split"] == "train" for row in known) == 30  # the labels of draw 0 and no others
    for name in ("map.png", "neighbours.png", "curve.png"):
        with Image.open(folder / "represent" / name) as image:
            assert image.size[0] > 700 and len(np.unique(np.asarray(image.convert("L")))) > 20
    before = {path: path.stat().st_mtime_ns for path in (folder / "represent").iterdir()}
    facts = json.loads(augmint("represent", folder, "--json").stdout)
    assert {path: path.stat().st_mtime_ns for path in before} == before  # nothing is done twice
    assert facts["labels"] == 30 and facts["judge"] == "val" and facts["collapsed"] is False
    assert all(Path(name).stat().st_size > 0 for name in facts["files"]) and len(facts["files"]) == 6


@pytest.mark.parametrize("classes", [1, 30])
def test_representation_with_one_class_and_with_many(tmp_path: Path, classes: int) -> None:
    images, _ = load_digits(return_X_y=True)
    for number in range(2 * classes):
        place = tmp_path / "photos" / f"class {number % classes}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((images[number].reshape(8, 8) * 15).astype(np.uint8)).save(place / f"{number}.png")
    brief = ("--set", "represent.images=400", "--json")  # of two images: 200 steps
    facts = json.loads(
        augmint("represent", tmp_path / "photos", "--preset", "tiny", "--out", tmp_path / "r", *brief).stdout
    )
    assert ("knn" in facts) == (classes > 1) and facts["labels"] == 2 * classes
    kept = pq.read_table(tmp_path / "r" / "represent" / "embeddings.parquet")["class"].to_pylist()
    assert len(set(kept)) == classes and "" not in kept


def test_representation_needs_no_labels(tmp_path: Path, photos: Path) -> None:
    said = augmint("represent", photos / "_unlabeled", "--preset", "tiny", "--out", tmp_path / "r").stdout
    assert "worth: no labels" in said and set(
        pq.read_table(tmp_path / "r" / "represent" / "map.parquet")["class"].to_pylist()
    ) == {""}
    done = augmint("run", tmp_path / "r", code=None)
    assert done.returncode == 3 and "no labelled training image" in done.stderr


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    out = augmint(
        "run", "digits", "--labels-per-class", "5", "--preset", "tiny", "--out", tmp_path / "r", "--dry-run", "--json"
    )
    tuned = augmint(
        "run", "digits", "--labels-per-class", "5", "--preset", "tiny", "--out", tmp_path / "r", "--dry-run",
        "--set", "judge.arms=[encoder-finetune-minted]"
    )  # fmt: skip
    facts = json.loads(out.stdout)
    assert "fine-tuned" in tuned.stdout and "fine-tuned" not in out.stdout
    stages = "load represent explain generate-image generate-feature trials judge".split()
    assert stages == [line["stage"] for line in facts["lines"]]
    assert facts["seconds"] > 0 and facts["memory"] > 10**8 and not (tmp_path / "r").exists()
    said = {line["stage"]: line["what"].split()[0] for line in facts["lines"]}
    assert said["trials"] == said["judge"] == "36"  # of 9 arms, on 2 draws and 2 folds of the first


def test_looking_at_the_data(tmp_path: Path, photos: Path) -> None:
    facts = json.loads(augmint("check", photos, "--json", "--sheet", tmp_path / "s.png").stdout)
    with Image.open(tmp_path / "s.png") as image:
        assert facts and image.size[0] > 50
    augmint("preview", "digits", "--policy", "augmix", "--out", tmp_path / "p.png", "--count", 3, "--views", 4)
    with Image.open(tmp_path / "p.png") as image:
        assert image.size[0] > image.size[1] > 20


def test_measure_puts_the_generator_beside_real_images(run: am.Run) -> None:
    done = augmint("measure", run.folder, "--json")
    found = json.loads(done.stdout)
    assert found["encoder"] == "simclr-cnn" and set(found["table"]) >= {"drawn", "real"}
    assert 0.3 < found["table"]["real"]["nearer"] < 0.7
    assert (run.folder / "measures" / "nearest.png").stat().st_size > 0
    assert "FD-simclr-cnn" in augmint("measure", run.folder).stdout
    augmint("report", run.folder)
    assert 'id="generator"' in run.report.read_text()


def test_mint_as_many_as_you_like(run: am.Run, tmp_path: Path) -> None:
    words = ("mint", run.folder, "--count", 2, "--per-class", "--seed", 7, "--format", "parquet", "--to", tmp_path)
    facts = json.loads(augmint(*words, "--json").stdout)
    assert facts["kept"] == sum(facts["classes"].values()) <= 20
    rows = pq.read_table(tmp_path / "minted" / "data").to_pylist()
    assert len(rows) == facts["kept"] and all(row["seed"] == 7 for row in rows)
    written = (tmp_path / "minted" / "metadata.parquet").stat().st_mtime_ns
    assert json.loads(augmint(*words, "--json").stdout) == facts
    assert (tmp_path / "minted" / "metadata.parquet").stat().st_mtime_ns == written
    assert augmint("mint", run.folder, "--per-class", code=None).returncode == 2
    assert augmint("mint", "digits", "--count", 5, code=None).returncode == 2
    assert augmint("mint", run.folder, "--count", 5, "--format", "zip", code=None).returncode == 2


def test_a_mistyped_name_is_found_before_overwrite_clears_the_folder(tmp_path: Path) -> None:
    settings = resolve("tiny", overrides={"data_source": "digits"})
    with RunDir.open(tmp_path / "run", settings.model_dump(mode="json")):
        (tmp_path / "run" / "kept.txt").write_text("a day's work")
    wrong = settings.model_copy(update={"classify": settings.classify.model_copy(update={"network": "nonsense"})})
    with pytest.raises(UsageError, match="nonsense"):
        api.execute("represent", wrong, tmp_path / "run", overwrite=True)
    assert (tmp_path / "run" / "kept.txt").exists()


@pytest.mark.parametrize("arms", [("scratch-nonsense",), ()])
def test_an_estimate_refuses_the_arms_that_the_run_would(arms: tuple[str, ...], tmp_path: Path) -> None:
    settings = resolve("tiny", overrides={"data_source": "digits", "judge": {"arms": arms}})
    with pytest.raises(UsageError, match="arm"):
        estimate(settings, tmp_path)
