"""The GPU benchmark at small scale on the CPU: all steps, stopped after each piece of work, resumed from its pieces."""

import io
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from augmint.config import assignments, resolve
from augmint.data import load
from augmint.data.table import Batch
from augmint.errors import InputError
from augmint.represent.train import prepare
from augmint.seeding import Draws
from augmint.train import Compute, checkpoint
from test_represent_device import step_on_meta

ROOT = Path(__file__).parents[1] / "benchmarks" / "gpu"
sys.path.insert(0, str(ROOT))

import evaluate  # noqa: E402
import floor  # noqa: E402
import peer  # noqa: E402
import pieces  # noqa: E402
import represent  # noqa: E402
import table as printed  # noqa: E402


def parquet(path: Path, count: int, seed: int) -> None:
    """CIFAR-10's layout: JPEGs of coloured noise, one colour a class."""
    rng, labels, images = np.random.default_rng(seed), [], []
    for row in range(count):
        labels.append(row % 4)
        pixels = rng.integers(0, 100, (32, 32, 3)) + np.eye(4, 3, dtype=int)[row % 4] * 120
        stream = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(stream, "JPEG", quality=75)
        images.append({"bytes": stream.getvalue(), "path": f"{row}.jpg"})
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(images, kind), "label": labels}), path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cifar")
    parquet(folder / "cifar10-train.parquet", 96, 0)
    parquet(folder / "cifar10-test.parquet", 32, 1)
    return folder


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    return [*more, "--small", "--data", str(data), "--out", str(out), "--results", str(out / "never")]


def weights(out: Path, into: Path) -> dict[str, torch.Tensor]:
    pieces.unpack(out / "development" / "state", into)
    return checkpoint.load(into / "train20.safetensors")["network"]


def test_stopped_after_every_piece_of_work_it_ends_the_same(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(peer, "missing", lambda: "lightly is not here")
    (tmp_path / "tmp").mkdir()
    assert represent.main(arguments(data, tmp_path / "whole", "--seconds", "600")) == 0
    commands = 1
    while represent.main(arguments(data, tmp_path / "parts", "--seconds", "0")) == represent.AGAIN:
        commands += 1
        shutil.rmtree(tmp_path / "tmp")  # nothing but the pieces stays
        (tmp_path / "tmp").mkdir()
        assert commands < 60
    assert commands > 15  # both trainings were stopped on the way
    whole, parts = (json.loads((tmp_path / o / "development" / "facts.json").read_text()) for o in ("whole", "parts"))
    for name in ("train5", "train20", "linear"):
        timeless = [{k: v for k, v in facts[name].items() if k != "seconds"} for facts in (whole, parts)]
        assert timeless[0] == timeless[1]
    first, second = (weights(tmp_path / out, tmp_path / f"un-{out}") for out in ("whole", "parts"))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert whole["train20"]["knn5"] > 0.5 and whole["linear"]["linear"] > 0.5  # four colours
    assert whole["lightly"]["missing"] == "lightly is not here"
    printed_text = capsys.readouterr().out
    assert "kNN (200) after 20 min" in printed_text and "fraction of the floor" in printed_text
    assert (
        list((tmp_path / "whole").glob("represent-*-development.json")) and not (tmp_path / "whole" / "never").exists()
    )
    for file in (tmp_path / "parts").rglob("*"):
        assert file.stat().st_size <= 16 << 20


def test_final_trains_on_all_and_judges_on_test(data, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    options = represent.parser().parse_args(arguments(data, tmp_path / "out", "--final"))
    bench = represent.start(options, 0.0)
    assert (len(bench.pool), len(bench.judged)) == (96, 32)
    options = represent.parser().parse_args(arguments(data, tmp_path / "out"))
    bench = represent.start(options, 0.0)
    assert (len(bench.pool), len(bench.judged)) == (88, 8)
    assert not set(bench.pool.ids) & set(bench.judged.ids)
    assert all(table.split.eq(0).all() for table in (bench.pool, bench.judged))


def test_the_script_says_when_to_go_on_and_what_does_not_fit(data, tmp_path):
    def run(*more: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(ROOT / "represent.sh"), *arguments(data, tmp_path / "out", *more)]
        environment = {
            "PYTHON": sys.executable,
            "PATH": "/usr/bin:/bin",
            "TMPDIR": str(tmp_path),
            "HOME": str(tmp_path),
        }
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    wheels = tmp_path / "wheels"
    wheels.mkdir()
    empty = run("speed", "--wheels", str(wheels))
    assert empty.returncode == 3 and "no *.whl" in empty.stderr
    with zipfile.ZipFile(wheels / "carried-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("sitecustomize.py", "import sys; print('carried along', file=sys.stderr)")
    first = run("speed", "--seconds", "0", "--wheels", str(wheels))
    assert first.returncode == 75 and "carried along" in first.stderr, first.stderr
    assert "give the same command again" in first.stderr
    other = run("speed", "--set", "represent.lr=0.5")
    assert other.returncode == 3 and "other settings" in other.stderr


def test_without_a_gpu_only_small_runs(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert represent.main(["speed", "--data", str(data), "--out", str(tmp_path)]) == 2
    assert "no GPU" in capsys.readouterr().err


def test_pieces_are_small_checked_and_survive_a_stop(tmp_path):
    work, store = tmp_path / "work", tmp_path / "store"
    (work / "a").mkdir(parents=True)
    (work / "a" / "big").write_bytes(bytes(range(256)) * 10)
    (work / "empty").write_bytes(b"")
    (work / "lock").write_bytes(b"x")
    pieces.pack(work, store, size=1000)
    assert sorted(p.stat().st_size for p in store.glob("*.piece")) == [560, 1000, 1000]
    pieces.unpack(store, tmp_path / "back")
    assert (tmp_path / "back" / "a" / "big").read_bytes() == bytes(range(256)) * 10
    assert (tmp_path / "back" / "empty").exists() and not (tmp_path / "back" / "lock").exists()
    (work / "a" / "big").write_bytes(b"new")
    pieces.pack(work, store, size=1000)
    assert [p.read_bytes() for p in store.glob("*.piece")] == [b"new"]
    next(store.glob("*.piece")).write_bytes(b"bad")
    with pytest.raises(InputError, match="damaged"):
        pieces.unpack(store, tmp_path / "back")


def test_votes_are_weighed_as_written_out_by_hand():
    generator = torch.Generator().manual_seed(0)
    bank, queries = (torch.nn.functional.normalize(torch.randn(n, 6, generator=generator)) for n in (50, 30))
    labels, wanted = torch.arange(50) % 3, torch.arange(30) % 3
    right = 0
    for query, label in zip(queries.numpy(), wanted.tolist(), strict=True):
        cosines = bank.numpy() @ query
        nearest = np.argsort(-cosines)[:7]
        votes = [sum(np.exp(cosines[i] / 0.1) for i in nearest if labels[i] == c) for c in range(3)]
        right += int(np.argmax(votes) == label)
    assert evaluate.weighted_vote(bank, labels, queries, wanted, 7) == pytest.approx(right / 30)
    oracle = KNeighborsClassifier(5).fit(bank.numpy(), labels.numpy()).score(queries.numpy(), wanted.numpy())
    assert evaluate.neighbours(bank, labels, queries, wanted)["knn5"] == pytest.approx(oracle)


def test_operations_are_those_counted_by_hand():
    conv = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
    found = floor.convolutions(torch.nn.Sequential(conv, torch.nn.ReLU()), torch.zeros(2, 3, 8, 8))
    assert found == [(conv, torch.Size([2, 3, 8, 8]))]
    with floor.FlopCounterMode(display=False) as counter:
        conv(torch.zeros(2, 3, 8, 8)).sum().backward()
    ahead = 2 * 2 * 4 * 4 * 8 * 3 * 9
    assert counter.get_total_flops() == 2 * ahead  # forward and the weights' gradient; the images need none
    assert floor.matrix_rate(torch.device("cpu"), 16, 1) > 0


@pytest.mark.parametrize("method", ["simclr", "mocov3"])
def test_the_recipe_at_full_size_waits_for_nothing(monkeypatch, method):
    settings = resolve("fast", ROOT / "cifar10.yaml", assignments([f"represent.method={method}"])).represent
    assert (settings.backbone, settings.batch, settings.latent) == ("resnet18", 512, 0)
    assert (settings.small, settings.levels, settings.grid) == (0.0, 1, 1)
    eager = settings.model_copy(update={"compile": "off"})
    assert step_on_meta(monkeypatch, eager) == []


def test_the_recipe_shows_whole_views_from_the_first_step_on(data):
    settings = resolve("fast", ROOT / "cifar10.yaml", assignments(["represent.batch=8"])).represent
    trainer = prepare(load(data / "cifar10-train.parquet"), settings, Compute(torch.device("cpu"), bf16=False), seed=0)
    rows = torch.arange(8)
    images = trainer.table.gather(rows).float() / 255
    for progress in (0.0, 0.5, 1.0):
        views = trainer.views(Batch(images), Draws(0, "test", 0, rows), progress)
        assert [view.shape for view in views] == [(8, 3, 32, 32)] * 2
    assert trainer.joint.method.network.features == 512


def test_a_way_to_compile_that_failed_is_tried_again_until_a_training_has_chosen(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    tried, measure = [], floor.measure

    def fails(*given):
        tried.append(given)
        raise RuntimeError("no compiler")

    monkeypatch.setattr(floor, "measure", fails)
    command = arguments(data, tmp_path / "out", "train5", "--seconds", "600")
    assert represent.main(command) == 3 and len(tried) == 1
    assert represent.main(command) == 3 and len(tried) == 2
    assert "no way to train worked" in capsys.readouterr().err
    monkeypatch.setattr(floor, "measure", measure)
    assert represent.main(command) == 0
    facts = json.loads((tmp_path / "out" / "development" / "facts.json").read_text())
    assert facts["train5-plan"] == {"compile": "off", "images": 160}
    broken = {"speed-on": {"error": "no"}, "speed-off": {"epoch_seconds": 1.0}}
    stored = {"identity": {}, "device": "x", **broken}
    (tmp_path / "f.json").write_text(json.dumps(stored | {"train5-plan": {}}))
    assert "speed-on" in represent._facts(tmp_path / "f.json", {}, "x", "all")
    assert "speed-on" not in represent._facts(tmp_path / "f.json", {}, "x", "speed")


def test_targets_are_met_or_not():
    facts = {
        "speed-on": {"epoch_seconds": 2.0},
        "speed-off": {"epoch_seconds": 3.0},
        "speed-graphs": {"error": "no"},
        "floor": {"floor_seconds": 1.0},
        "train5": {"knn5": 0.86, "knn200": 0.84},
        "lightly5": {"knn5": 0.5},
    }
    found = {row[0]: row[1:] for row in printed.rows(facts)}
    assert found["epoch of two views"] == ("2.00 s", "≤ 2.50 s", "yes", "–")
    assert found["kNN (5) after 5 min"] == ("86.00 %", "≥ 85.00 %", "yes", "50.00 %")
    assert found["kNN (200) after 5 min"][2] == "no"
    assert found["linear after 25 min"] == ("–", "≥ 92.00 %", "", "–")
    assert printed.fraction(facts) == 0.5
    assert represent.fastest(facts)[0] == "on"
