"""Pick, fill in, run: labels from a file go over the source, and the run knows which."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import augmint as am
from augmint import api
from augmint.config import resolve, vary
from augmint.data import load
from augmint.errors import InputError, UsageError
from augmint.represent import to_label
from augmint.train import ProgressOut, reuse
from augmint.train.rundir import RunDir, file_digest
from conftest import Maker, augmint


def laid(source: Path | str, *files: Path) -> dict[str, str]:
    """Class by file name of all images that then have one."""
    table = load(source, labels={str(file): file_digest(file) for file in files})
    names = zip(table.paths.tolist(), table.ids.tolist(), strict=True)
    return {path or id: table.classes[k] for (path, id), k in zip(names, table.labels.tolist(), strict=True) if k >= 0}


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_labels_go_over_those_of_the_source(user_folder: Path, tmp_path: Path) -> None:
    before = load(user_folder)
    own = {str(p): before.classes[k] for p, k in zip(before.paths, before.labels.tolist(), strict=True) if k >= 0}
    text = "file_name,label,source\nimages/1.png,dog,_unlabeled/1.png\nimages/2.jpg, ,_unlabeled/2.jpg\n"
    picked = written(tmp_path / "picked.csv", text + "images/3.jpg,cat,dog/0.jpg\n")
    assert laid(user_folder, picked) == own | {"_unlabeled/1.png": "dog", "dog/0.jpg": "cat"}
    mine = tmp_path / "mine.parquet"  # without a column source: by the name in the source
    pq.write_table(pa.table({"file_name": ["_unlabeled/4.jpg", "_unlabeled/5.png"], "label": ["cat", None]}), mine)
    assert laid(user_folder, picked, mine) == laid(user_folder, picked) | {"_unlabeled/4.jpg": "cat"}
    after = load(user_folder, labels={str(picked): file_digest(picked)})
    assert after.ids.tolist() == before.ids.tolist() and torch.equal(after.images, before.images)


def test_only_classes_that_the_files_label_are_named(
    user_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [written(tmp_path / f"{n}.csv", f"file_name,label\n_unlabeled/{n}.jpg,cat\n") for n in (2, 4)]
    for count in (1, 2):
        given = {str(file): file_digest(file) for file in files[:count]}
        load(user_folder, progress=ProgressOut(), labels=given)
        assert f"{count} label{'s' * (count > 1)} of cat from" in capsys.readouterr().err


def test_a_source_without_labels_takes_the_classes_of_the_file(make_folder: Maker, tmp_path: Path) -> None:
    folder = make_folder({".": 6})
    filled = written(tmp_path / "l.csv", "file_name,label\n0.jpg,class10\n1.png,class2\n")
    table = load(folder, labels={str(filled): file_digest(filled)})
    assert table.classes == ("class2", "class10") and laid(folder, filled) == {"0.jpg": "class10", "1.png": "class2"}


def test_images_without_a_name_go_by_their_identity(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", images=np.random.default_rng(0).integers(0, 255, (20, 8, 8), np.uint8))
    names = load(tmp_path / "d.npz").ids.tolist()
    filled = written(tmp_path / "l.csv", f"file_name,label,source\nimages/001.png,a,{names[3]}\n")
    assert laid(tmp_path / "d.npz", filled) == {names[3]: "a"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file_name,label\ncat/9.png,cat\n", "row 2 labels cat/9.png, which is none of the 18 images of photos"),
        ("file_name,label\ncat/1.png,cat\ncat/1.png,dog\n", "row 3 labels cat/1.png dog, but it is cat already"),
        (
            "file_name,label\ncat/1.png,dgo\n",
            r"label dgo is unknown \(did you mean dog\?\); there are 2 classes \(cat, dog\); correct it",
        ),
        ("file_name,label\ncat/1.png,\n", "no label is filled in"),
        ("file_name,class\ncat/1.png,cat\n", "need the columns label and source or file_name"),
        ("", "need the columns label and source or file_name"),
        ("file_name|label\ncat/1.png|cat\n", "need the columns label and source or file_name"),
    ],
)
def test_labels_that_do_not_fit_are_refused(text: str, message: str, user_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as error:
        laid(user_folder, written(tmp_path / "l.csv", text))
    assert "\n" not in str(error.value)


def test_settings_take_one_file_or_several() -> None:
    assert resolve(overrides={"labels": "a.csv"}).labels == {"a.csv": ""}
    assert resolve(overrides={"labels": [Path("a.csv"), "b.csv"]}).labels == {"a.csv": "", "b.csv": ""}
    assert resolve(overrides={"labels": []}).labels is None


# --- from pick to run -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def truth() -> dict[str, str]:
    """The class of every image of `photos`, for whoever fills in labels."""
    return {f"{i}.png": ("zero", "one", "two")[k] for i, k in enumerate(load_digits().target[:260].tolist()) if k < 3}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, truth: dict[str, str]) -> Path:
    """81 images without labels, but for two zeros and two ones and one two."""
    folder, images = tmp_path_factory.mktemp("data") / "photos", load_digits().images
    labelled = dict.fromkeys(["0.png", "10.png"], "zero") | dict.fromkeys(["1.png", "11.png"], "one") | {"2.png": "two"}
    for name in truth:
        place = folder / labelled.get(name, "_unlabeled") / name
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((images[int(place.stem)] * 15.9).astype(np.uint8)).save(place)
    return folder


def fill(manifest: Path, truth: dict[str, str], leave: int = 0) -> None:
    """Label all but the last `leave` rows, as a person would."""
    with open(manifest, newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows[: len(rows) - leave]:
        row["label"] = truth[Path(row["source"]).name]
    with open(manifest, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def picked(photos: Path, truth: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder after `augmint pick` and an afternoon of labelling."""
    folder = tmp_path_factory.mktemp("runs") / "photos"
    said = augmint("pick", photos, "--budget", 20, "--preset", "tiny", "--out", folder).stderr
    assert said.splitlines()[-1] == f"augmint run {folder} --labels {folder}/pick/manifest.csv"
    fill(folder / "pick" / "manifest.csv", truth, leave=2)
    return folder


def trained(folder: Path) -> int:
    return len(list(folder.glob("stages/represent/*/done.json")))


def logs(folder: Path, stage: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["stage"] == stage]


def test_from_pick_to_run(picked: Path, photos: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(picked, tmp_path / "photos")
    manifest = folder / "pick" / "manifest.csv"
    done = augmint("run", folder, "--labels", manifest)
    assert "18 labels of one, two, zero from" in done.stderr and "23 labels used at a time" in done.stderr
    assert "81 images to learn from" in done.stderr  # with the pool, and not 20 images alone
    assert trained(folder) == 1  # the encoder that picked
    assert json.loads((folder / "final" / "final.json").read_text())["labels"] == 23
    before = (folder / "report" / "report.json").read_text()
    again = augmint("run", photos, "--preset", "tiny", "--out", folder, "--labels", manifest)
    assert (folder / "report" / "report.json").read_text() == before and "trials of" not in again.stderr
    assert am.run(photos, folder, labels=manifest, preset="tiny", quiet=True).facts["final"]["labels"] == 23
    refused = augmint("run", photos, "--preset", "tiny", "--out", folder, code=3).stderr
    assert "was made with other settings (labels: {" in refused
    manifest.write_text(manifest.read_text().replace(",two,", ",one,"))
    for words in (["run", photos, "--preset", "tiny", "--out", folder, "--labels", manifest], ["run", folder]):
        refused = augmint(*words, code=3).stderr
        assert "other settings (labels." in refused or "has changed; give it again with --labels" in refused


def test_other_stages_take_labels_too(picked: Path, tmp_path: Path) -> None:
    folder, manifest = shutil.copytree(picked, tmp_path / "photos"), picked / "pick" / "manifest.csv"
    learnt = json.loads(augmint("represent", folder, "--labels", manifest, "--json").stdout)
    assert learnt["judged"] == 23 and trained(folder) == 1
    final = json.loads(augmint("classify", folder, "--json").stdout)  # what was said once is known
    assert final["labels"] == 23
    assert json.loads(augmint("mint", folder, "--labels", manifest, "--json").stdout)["drawn"] > 0


def test_labelling_goes_in_rounds_on_one_encoder(picked: Path, truth: dict[str, str], tmp_path: Path) -> None:
    folder = shutil.copytree(picked, tmp_path / "photos")
    first, second = folder / "pick" / "manifest.csv", folder / "pick-2" / "manifest.csv"
    before = first.read_bytes()
    refused = augmint("pick", folder, "--budget", 3, code=3).stderr
    assert f"has labels in it; pick more with --labels {first}" in refused
    more = augmint("pick", folder, "--budget", 3, "--labels", first, "--json")
    found = json.loads(more.stdout)
    with open(first, newline="") as file:
        known = {row["source"] for row in csv.DictReader(file) if row["label"]}
    names = {row["file"] for row in found["picks"]}
    assert len(names) == 3 and not known & names and found["manifest"] == str(second)
    assert first.read_bytes() == before and trained(folder) == 1
    again = augmint("pick", folder, "--budget", 4).stderr  # of picks that nobody has labelled yet nothing is lost
    assert again.splitlines()[-1] == f"augmint run {folder} --labels {second}"
    fill(second, truth)
    learnt = json.loads(augmint("represent", folder, "--labels", second, "--json").stdout)
    assert learnt["judged"] == 23 + 4 and trained(folder) == 1
    assert "--overwrite would delete" in augmint("classify", folder, "--overwrite", code=3).stderr
    third = Path(json.loads(augmint("pick", folder, "--budget", 1, "--json").stdout)["manifest"])
    saved = Path(shutil.copy(third, third.with_name("mine.csv")))  # while the manifest stays as it was
    fill(saved, truth)
    fourth = json.loads(augmint("pick", folder, "--budget", 1, "--labels", saved, "--json").stdout)["manifest"]
    assert third.parent == folder / "pick-3" and third.exists() and Path(fourth).parent == folder / "pick-4"


def test_a_run_keeps_copies_of_its_labels(picked: Path, tmp_path: Path) -> None:
    folder, file = shutil.copytree(picked, tmp_path / "photos"), tmp_path / "mine.csv"
    shutil.move(folder / "pick" / "manifest.csv", file)
    augmint("represent", folder, "--labels", file)
    file.rename(tmp_path / "elsewhere.csv")
    assert json.loads(augmint("represent", folder, "--json").stdout)["judged"] == 23
    new = tmp_path / "new"
    assert json.loads(augmint("represent", folder, "--out", new, "--json").stdout)["judged"] == 23
    shutil.rmtree(folder)
    assert json.loads(augmint("represent", new, "--json").stdout)["judged"] == 23
    assert (
        "is a folder; give the file of labels in it" in augmint("represent", new, "--labels", tmp_path, code=3).stderr
    )
    (tmp_path / "plain").touch()
    assert "is a file, not a folder" in augmint("run", new, "--out", tmp_path / "plain", "--dry-run", code=3).stderr


def test_a_label_may_be_mended_until_the_arms_are_compared(picked: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(picked, tmp_path / "photos")
    manifest = folder / "pick" / "manifest.csv"
    good = manifest.read_text()

    def minted(text: str) -> bytes:
        manifest.write_text(text)
        augmint("mint", folder, "--labels", manifest)
        return b"".join((folder / f"features{more}.parquet").read_bytes() for more in ("", "-rejected"))

    first, wrong = minted(good), minted(good.replace(",one,", ",two,", 1))
    assert first != wrong and minted(good) == first  # and not what the wrong labels left there
    assert trained(folder) == 1


def test_labels_that_could_not_be_read_are_not_kept(picked: Path, photos: Path, tmp_path: Path) -> None:
    folder, right = shutil.copytree(picked, tmp_path / "photos"), picked / "pick" / "manifest.csv"
    wrong = written(tmp_path / "wrong.csv", "file_name,label\nnobody.png,one\n")
    for run in (folder, tmp_path / "new"):
        words = () if run == folder else ("--preset", "tiny", "--out", run)
        source = folder if run == folder else photos
        assert "none of the 81 images" in augmint("represent", source, *words, "--labels", wrong, code=3).stderr
        assert api.stored_settings(run).labels is None
    assert json.loads(augmint("represent", folder, "--labels", right, "--json").stdout)["judged"] == 23
    assert json.loads(augmint("represent", folder, "--json").stdout)["judged"] == 23  # those are


@pytest.mark.parametrize(
    "saved",
    [
        b"file_name;label;source\r\na;x;b\r\n",
        "file_name\tlabel\tsource\r\na\tx\tb\r\n".encode("utf-16"),
        b"file_name,Label,source\r\na,,b\r\n",
        b"a,b\r\n",
        "file_name,label,source\na,n\xe9,b\n".encode("cp1252"),
    ],
)
def test_a_manifest_in_another_form_is_not_taken_for_blank(saved: bytes, tmp_path: Path) -> None:
    (tmp_path / "pick").mkdir()
    (tmp_path / "pick" / "manifest.csv").write_bytes(saved)
    assert to_label.filled(tmp_path) == [tmp_path / "pick" / "manifest.csv"]
    with pytest.raises(InputError, match="has labels in it"):
        to_label.place(tmp_path, {})


def test_blank_manifests_may_be_written_anew(tmp_path: Path) -> None:
    (tmp_path / "pick").mkdir()
    for saved in ("file_name,label,source\na,,b\n", "file_name;label;source\r\na; ;b\r\n"):
        (tmp_path / "pick" / "manifest.csv").write_text(saved)
        assert to_label.place(tmp_path, {}) == tmp_path / "pick" and to_label.filled(tmp_path) == []
    own = written(tmp_path / "pick" / "mine.csv", "file_name,label\n")
    assert to_label.filled(tmp_path) == [own]  # which --overwrite spares


def test_settings_of_a_run_are_varied(picked: Path, tmp_path: Path) -> None:
    plain, file = api.stored_settings(picked), tmp_path / "c.yaml"
    assert vary(plain) == plain
    file.write_text("data_source: elsewhere\nseed: 4\n")
    varied = api.settings_for(picked, config=file, overrides={"represent": {"images": 1_000}})
    assert (varied.data_source, varied.seed, varied.represent.images) == (plain.data_source, 4, 1_000)
    own = {"optimiser": "sgd", "lr": 2e-3, "weight_decay": 5e-4}
    sgd = vary(plain, None, {"represent": own})
    assert vary(sgd) == sgd and sgd.represent.lr == 2e-3
    with pytest.raises(UsageError, match="setting represent"):
        vary(plain, None, {"represent": 3})
    with pytest.raises(UsageError, match="optimiser lars needs lr"):
        vary(sgd, None, {"represent": {"optimiser": "lars"}})
    assert vary(sgd, None, {"represent": {"optimiser": "adamw"}}).represent.weight_decay == 0.05
    d_betas = {"generate": {"image": {"d_optimiser": {"betas": [0.0, 0.9]}}}}
    assert vary(plain, None, d_betas).generate.image.d_optimiser.lr == plain.generate.image.d_optimiser.lr
    there = vary(plain, None, {"target": "ward"})
    assert there.generate.image.trunk == "own"
    eyes = vary(there, None, {"generate": {"image": {"trunk": "encoder"}}})
    assert vary(eyes, None, {"target": "ward"}).generate.image.trunk == "encoder"


def test_a_run_from_a_finished_one_takes_over_what_it_learnt(picked: Path, photos: Path, tmp_path: Path) -> None:
    folder, manifest, second = tmp_path / "photos", picked / "pick" / "manifest.csv", tmp_path / "second"
    shutil.copytree(picked, folder)
    augmint("generate", folder)
    (folder / "trials.parquet").touch()  # as if its arms had been compared
    refused = augmint("run", folder, "--labels", manifest, code=3).stderr
    assert f"`augmint run {folder} --out …` starts from it" in refused
    assert "--out a new run starts from it" in augmint("run", folder, "--seed", 3, code=2).stderr
    other_data = augmint("run", folder, "--out", second, "--set", "data_source=x", code=2).stderr
    assert f"is a run of {photos}; for other data start a new one" in other_data
    assert "is a run and has its settings" in augmint("run", folder, "--preset", "demo", "--out", second, code=2).stderr
    done = augmint("generate", folder, "--labels", manifest, "--out", second, "--set", "mint.per_parent=2")
    learnt = augmint("represent", second)
    assert "18 labels of one, two, zero from" in learnt.stderr
    for stage in ("represent", "generate-image", "generate-feature"):
        assert f"{stage}: taken from {folder}" in done.stderr + learnt.stderr.replace(
            str(folder.resolve()), str(folder)
        )
        (one,), (other,) = ((run / "stages" / stage).iterdir() for run in (folder, second))
        assert one.name == other.name
        assert {path.name: path.read_bytes() for path in one.iterdir()} == {
            p.name: p.read_bytes() for p in other.iterdir()
        }
    assert "taken from" not in augmint("represent", second).stderr  # it has all of its own
    fresh = api.settings_for(folder, overrides={"represent": {"images": 1_000}})
    assert (fresh.represent.images, fresh.represent.width, fresh.preset) == (1_000, 8, "tiny")
    other = augmint("represent", folder, "--out", tmp_path / "other", "--set", "represent.images=1000")
    assert "taken from" not in other.stderr and trained(tmp_path / "other") == 1
    assert f"represent: not as in {folder} (represent.images: 2000 -> 1000), so it is learnt anew" in other.stderr
    picks = augmint("pick", folder, "--out", tmp_path / "third", "--budget", 2).stderr
    assert "represent: taken from" in picks and "generate-image" not in picks
    assert logs(tmp_path / "third", "represent") == logs(folder, "represent")
    later = augmint("generate", tmp_path / "third").stderr  # which knows where it came from
    assert f"generate-image: taken from {folder.resolve()}" in later
    shutil.rmtree(folder)
    assert "learnt anew" not in augmint("generate", tmp_path / "third").stderr


def test_a_stage_that_is_half_copied_is_copied_again(tmp_path: Path) -> None:
    with RunDir.open(tmp_path / "a", {}) as run:
        stage = run.stage("represent", {"x": 1}, 0)
        (stage.folder / "result.safetensors").write_text("all of it")
        stage.finish(1.0)
        run.stage("generate-image", {"x": 1}, 0)  # begun only
    with RunDir.open(tmp_path / "b", {}, reuse=tmp_path / "a") as run:
        half = tmp_path / "b" / "stages" / "represent" / stage.folder.name
        half.mkdir(parents=True)
        (half / "result.safetensors").write_text("half of")
        assert run.stage("represent", {"x": 1}, 0).done
        assert (half / "result.safetensors").read_text() == "all of it"
        assert not run.stage("represent", {"x": 2}, 0).done
        assert not run.stage("generate-image", {"x": 1}, 0).done
    assert reuse.origin(tmp_path / "b") == tmp_path / "a" and reuse.origin(tmp_path / "a") is None
    helper = RunDir(tmp_path / "c", writes=False, reuse=tmp_path / "a").stage("represent", {"x": 1}, 0)
    assert helper.done and helper.folder == stage.folder


def test_a_finished_run_takes_no_further_labels(picked: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(picked, tmp_path / "photos")
    (folder / "trials.parquet").touch()
    refused = augmint("run", folder, "--labels", folder / "pick" / "manifest.csv", code=3).stderr
    assert "was made with other settings (labels: None -> {" in refused


def test_labels_that_somebody_filled_in_are_not_deleted(picked: Path, photos: Path) -> None:
    words = ("run", photos, "--preset", "tiny", "--out", picked, "--overwrite")
    for labels in ([], ["--labels", picked / "pick" / "manifest.csv"]):
        assert "--overwrite would delete" in augmint(*words, *labels, code=3).stderr
    assert (picked / "pick" / "manifest.csv").exists()


def test_a_file_of_labels_that_is_not_there_gets_one_line(photos: Path, tmp_path: Path) -> None:
    refused = augmint("run", photos, "--labels", tmp_path / "l.csv", "--out", tmp_path / "r", code=3).stderr
    assert f"cannot read {tmp_path / 'l.csv'}" in refused and not (tmp_path / "r").exists()
