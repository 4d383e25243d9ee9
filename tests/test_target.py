"""Two domains: the target joins the table, G takes its look and keeps the class, the arms are judged there."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

import augmint as am
from augmint.classify import graph_of
from augmint.classify.graph import propagate
from augmint.config import DataSettings, ImageGeneratorSettings, resolve
from augmint.data import load
from augmint.data.table import ImageTable
from augmint.errors import InputError, UsageError
from augmint.generate import losses
from augmint.generate.across import Across, alike, in_negative
from augmint.generate.image import ImageGenerator, train_image_generator
from augmint.judge import protocol
from augmint.measure.knn import nearest
from augmint.seeding import Draws
from augmint.train import Compute
from conftest import augmint

CPU = Compute(torch.device("cpu"), bf16=False)
NO_CACHE = DataSettings(cache=False)


def pixels(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    digits = load_digits()
    return np.rint(digits.images[:count] * 255 / 16).astype(np.uint8), digits.target[:count]


def darker_negative(images: np.ndarray) -> np.ndarray:
    return (200 - images * 0.7).astype(np.uint8)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    images, labels = pixels()
    np.savez(tmp_path / "source.npz", images=images[:200], labels=labels[:200])
    other = darker_negative(images[200:])
    np.savez(tmp_path / "target.npz", x_train=other[:140], x_test=other[140:], y_test=labels[340:])
    return tmp_path / "source.npz", tmp_path / "target.npz"


# --- data -----------------------------------------------------------------------------------------


def test_target_follows_the_source_without_labels(places: tuple[Path, Path]) -> None:
    alone, both = load(places[0], NO_CACHE), load(places[0], NO_CACHE, target=places[1])
    assert both.domain is not None and both.domain.tolist() == [0] * 200 + [1] * 200
    assert (both.ids[:200] == alone.ids).all() and len(set(both.ids.tolist())) == 400
    learnt = both.take(torch.nonzero(both.of_target & (both.split == 0))[:, 0])  # a subset knows its domain
    assert len(learnt) == 140 and bool((learnt.labels == -1).all()) and bool(learnt.of_target.all())
    images, labels = pixels()
    tests = both.take(torch.nonzero(both.of_target & (both.split == 2))[:, 0])
    assert tests.labels.tolist() == labels[340:].tolist()
    assert (tests.gather(torch.arange(60))[:, 0].numpy() == darker_negative(images[340:])).all()
    assert not alone.of_target.any()


def test_labels_of_target_images_to_learn_from_are_dropped(tmp_path: Path, places: tuple[Path, Path]) -> None:
    images, labels = pixels()
    np.savez(tmp_path / "t.npz", images=darker_negative(images[200:]), labels=labels[200:])
    table = load(places[0], NO_CACHE, target=tmp_path / "t.npz")
    assert bool((table.labels[table.of_target] == -1).all()) and bool((table.labels[~table.of_target] >= 0).all())


def test_target_on_disk_equals_target_in_memory(places: tuple[Path, Path], monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AUGMINT_CACHE", str(tmp_path / "cache"))
    resident = load(places[0], NO_CACHE, target=places[1])
    mapped = load(places[0], DataSettings(cache=False, resident=0.0), target=places[1])
    assert isinstance(resident.images, torch.Tensor) and not isinstance(mapped.images, torch.Tensor)
    rows = torch.tensor([3, 250, 399])
    assert torch.equal(resident.gather(rows), mapped.gather(rows)) and (resident.ids == mapped.ids).all()


def test_other_sizes_and_modes_become_those_of_the_source(places: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for number in range(12):
        (folder / "test" / "3").mkdir(parents=True, exist_ok=True)
        (folder / "train").mkdir(exist_ok=True)
        draw = np.random.default_rng(number)
        image = Image.fromarray(draw.integers(0, 255, (20 + number, 17, 3), np.uint8))
        image.convert(["RGB", "L", "RGBA"][number % 3]).save(folder / "train" / f"{number}.png")
        image.save(folder / "test" / "3" / f"{number}.jpg")
    table = load(places[0], NO_CACHE, target=folder)
    assert table.shape == (1, 8, 8) and int(table.of_target.sum()) == 24
    tests = table.of_target & (table.split == 2)
    assert {table.classes[label] for label in table.labels[tests].tolist()} == {"3"}


def test_groups_of_the_two_domains_are_apart(tmp_path: Path) -> None:
    images, labels = pixels(60)
    np.savez(tmp_path / "s.npz", images=images[:30], labels=labels[:30], groups=np.arange(30) // 2)
    np.savez(tmp_path / "t.npz", images=darker_negative(images[30:]), groups=np.arange(30) // 3)
    table = load(tmp_path / "s.npz", NO_CACHE, target=tmp_path / "t.npz")
    ours, theirs = table.group[~table.of_target], table.group[table.of_target]
    assert not set(ours.tolist()) & set(theirs.tolist()) and len(set(theirs.tolist())) == 10


def bad_target(kind: str, source: Path, folder: Path) -> Path:
    images, labels = pixels(60)
    other, where = darker_negative(images), folder / f"{kind}.npz"
    if kind == "empty":
        (folder / "empty").mkdir()
        return folder / "empty"
    if kind == "same":
        return source
    if kind == "copied":
        np.savez(where, images=np.load(source)["images"][:50])
    if kind == "one":
        np.savez(where, images=other[:1])
    if kind == "only-test":
        np.savez(where, x_test=other, y_test=labels)
    if kind == "strange":
        np.savez(where, x_train=other, x_test=other[:9], y_test=[f"class{i}" for i in labels[:9]])
    return where


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", "no image files in this folder"),
        ("missing", "no such file or folder"),
        ("same", "in the source as well"),
        ("copied", "in the source as well"),
        ("one", "1 images to learn from; give at least 10"),
        ("only-test", "0 images to learn from"),
        ("strange", "is none of the source's"),
    ],
)
def test_bad_targets_are_refused(kind: str, message: str, places: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load(places[0], NO_CACHE, target=bad_target(kind, places[0], tmp_path))
    assert "\n" not in str(caught.value) and caught.value.exit_code == 3


def test_a_bad_target_ends_the_command_with_one_line(places: tuple[Path, Path], tmp_path: Path) -> None:
    done = augmint("run", places[0], "--target", places[0], "--preset", "tiny", "--out", tmp_path / "r", code=None)
    assert done.returncode == 3 and "Traceback" not in done.stderr
    assert "in the source as well" in done.stderr.strip().splitlines()[-1]


# --- who judges -----------------------------------------------------------------------------------


def test_test_images_of_the_target_are_the_only_judges(tmp_path: Path, places: tuple[Path, Path]) -> None:
    images, labels = pixels()
    splits = {"x_train": images[:100], "y_train": labels[:100], "x_test": images[100:200], "y_test": labels[100:200]}
    np.savez(tmp_path / "split.npz", **splits)
    settings = resolve("tiny", overrides={"labels_per_class": 3})
    table = load(tmp_path / "split.npz", NO_CACHE, target=places[1])
    where = protocol.parts(table, settings)
    assert len(where.test) == 60 and bool(table.of_target[where.test].all()) and len(where.val) == 0
    assert len(where.pool) == 240 and not table.of_target[where.given].any()
    assert "60 of the target to test on" in protocol.describe(table, where, settings)
    with pytest.raises(UsageError, match="--labels-per-class"):
        protocol.comparison(table, where, resolve("tiny"))


def test_without_labels_the_ordinary_protocol_holds(tmp_path: Path, places: tuple[Path, Path]) -> None:
    images, _ = pixels()
    np.savez(tmp_path / "bare.npz", images=darker_negative(images[200:]))
    table = load(places[0], NO_CACHE, target=tmp_path / "bare.npz")
    settings = resolve("tiny")
    where = protocol.parts(table, settings)
    assert {split.role for split in protocol.comparison(table, where, settings)} == {"fold"}
    assert {split.role for split in protocol.selection(table, where, settings)} == {"select"}


# --- class kept -----------------------------------------------------------------------------------


def unit(images: np.ndarray) -> torch.Tensor:
    flat = torch.from_numpy(images.reshape(len(images), -1).astype(np.float32))
    return torch.nn.functional.normalize(flat - flat.mean(1, keepdim=True), dim=1)


def test_structure_is_one_minus_the_signed_correlation() -> None:
    draw = np.random.default_rng(0)
    children, parents, near = (draw.random((6, 3, 5, 5)) for _ in range(3))
    expected = []
    for child, parent, other in zip(children, parents, near, strict=True):
        c, p, o = (x.mean(0).ravel() for x in (child, parent, other))
        expected.append(1 - np.sign(np.corrcoef(o, p)[0, 1]) * np.corrcoef(c, p)[0, 1])
    found = losses.structure(*(torch.from_numpy(x).float() for x in (children, parents, near)))
    assert float(found) == pytest.approx(np.mean(expected), abs=1e-5)
    parent = torch.from_numpy(parents).float()
    assert float(losses.structure(0.8 - 0.5 * parent, parent, 1 - parent)) == pytest.approx(0, abs=1e-5)
    assert float(losses.structure(torch.full_like(parent, 0.5), parent, parent)) == pytest.approx(1, abs=1e-5)


def test_negatives_are_told_and_the_nearest_across_are_those_of_numpy() -> None:
    images, _ = pixels(120)
    ours, plain, negative = unit(images[:50]), unit(images[50:]), unit(darker_negative(images[50:]))
    assert in_negative(ours, negative) and not in_negative(ours, plain)
    scores = ours.numpy() @ plain.numpy().T
    assert (alike(ours, plain, 3).numpy() == np.argsort(-scores, 1)[:, :3]).all()


def two_domains(count: int = 700) -> tuple[ImageTable, torch.Tensor]:
    images, labels = pixels(count)
    half = count // 2
    both = torch.from_numpy(np.concatenate([images[:half], darker_negative(images[half:])]))[:, None]
    table = ImageTable.of(both, torch.full((count,), -1), tuple("0123456789"))
    domain = (torch.arange(count) >= half).to(torch.int8)
    return replace(table, domain=domain), torch.from_numpy(labels)


def test_labels_reach_the_target_over_bridges_alone() -> None:
    table, labels = two_domains()
    across = Across.of(table, 10)
    features = torch.nn.functional.normalize(table.gather(torch.arange(len(table))).flatten(1).float() - 120, dim=1)
    found = nearest(features, features, 10, exclude_self=True)
    known = torch.where(table.of_target, -1, labels)
    plain, bridged = (propagate(graph_of(*pair), known, 10) for pair in (found, across.bridged(*found)))
    right = [float((torch.as_tensor(p).argmax(1) == labels)[table.of_target].float().mean()) for p in (plain, bridged)]
    assert right[1] > 0.85 > 0.5 > right[0]
    distances, rows = across.bridged(*found)
    assert bool((distances.diff(dim=1)[~table.of_target] >= 0).all()) and rows.shape == found[1].shape
    assert torch.equal(rows[across.sources], found[1][across.sources])


def test_children_take_the_look_of_the_target_and_keep_their_class() -> None:
    table, labels = two_domains()
    across = Across.of(table, 10)
    settings = ImageGeneratorSettings(trunk="own", width=16, d_width=8, images=16_000, batch=32)
    features = unit(table.gather(torch.arange(len(table))).numpy())
    made = train_image_generator(table, features, settings, CPU, 0, near=across.near, sources=across.sources)
    parents = table.gather(across.sources)
    children = made.generate(parents, Draws(0, "test", 0, across.sources))
    targets = table.gather(across.targets)
    assert abs(float(children.float().mean()) - float(targets.float().mean())) < 25  # parents: 130 away
    assert abs(float(parents.float().mean()) - float(targets.float().mean())) > 60
    judge = KNeighborsClassifier(5).fit(targets.flatten(1).numpy(), labels[across.targets].numpy())
    assert judge.score(children.flatten(1).numpy(), labels[across.sources].numpy()) > 0.8


def test_a_group_cannot_be_told_where_there_is_a_target() -> None:
    table, _ = two_domains(60)
    across = Across.of(table, 3)
    settings = ImageGeneratorSettings(trunk="own", condition="cluster", images=64, width=4, d_width=4)
    with pytest.raises(UsageError, match="leave it out with a target"):
        train_image_generator(table, torch.randn(60, 4), settings, CPU, 0, near=across.near, sources=across.sources)


def test_grain_becomes_as_strong_as_the_noise_of_the_target(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    images, _ = pixels(700)
    noisy = (60 + images[350:] * 0.5 + 25 * draw.standard_normal((350, 8, 8))).clip(0, 255).astype(np.uint8)
    both = torch.from_numpy(np.concatenate([images[:350], noisy]))[:, None]
    table = ImageTable.of(both, torch.full((700,), -1), tuple("0123456789"))
    table = replace(table, domain=(torch.arange(700) >= 350).to(torch.int8))
    across = Across.of(table, 10)
    settings = ImageGeneratorSettings(trunk="own", width=16, d_width=16, images=20_000, batch=32, lambda_=0.1)
    pairs = {"near": across.near, "sources": across.sources}
    made = train_image_generator(table, unit(both.numpy()), settings, CPU, 0, **pairs)
    assert made.network.grain is not None
    assert 0.06 < float(made.network.grain.abs()) < 0.14  # 25 / 255 = 0.098; it began at 0.02
    parents = table.gather(across.sources)
    once, twice = (made.generate(parents, Draws(0, "test", 0, across.sources), batch=size) for size in (512, 64))
    assert (once.int() - twice.int()).abs().max() <= 1  # the grain of an image hangs on its row alone
    made.save(tmp_path / "g.safetensors")
    again = ImageGenerator.load(tmp_path / "g.safetensors", CPU)
    assert torch.equal(again.generate(parents, Draws(0, "test", 0, across.sources)), once)


def test_with_a_target_d_sees_for_itself_unless_it_is_told() -> None:
    assert resolve("tiny", overrides={"target": "x"}).generate.image.trunk == "own"
    told = {"target": "x", "generate": {"image": {"trunk": "encoder"}}}
    assert resolve("tiny", overrides=told).generate.image.trunk == "encoder"
    assert resolve("tiny").generate.image.trunk == ImageGeneratorSettings().trunk == "encoder"


# --- a whole run ----------------------------------------------------------------------------------


def test_a_run_with_a_target(places: tuple[Path, Path], tmp_path: Path) -> None:
    words = ("run", places[0], "--preset", "tiny", "--labels-per-class", 5, "--out", tmp_path / "r")
    done = augmint(*words, "--target", places[1], "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["data"]["target"] == {"images": 200, "judged": 60} and facts["evaluation"]["test_images"] == [60]
    assert any("cross-validation on labelled source images as the generator shows them" in s for s in facts["limits"])
    manifest = pq.read_table(tmp_path / "r" / "manifest.parquet").to_pydict()
    domain = dict(zip(manifest["id"], manifest["domain"], strict=True))
    trails = [tmp_path / "r" / name / "metadata.parquet" for name in ("minted", "minted-rejected")]
    parents = [domain[name] for path in trails for name in pq.read_table(path)["parent"].to_pylist()]
    assert set(parents) == {"source"}  # minted: only children of source parents
    assert "Minted features keep the look of the source" in (tmp_path / "r" / "report" / "index.html").read_text()
    again = augmint(*words, "--target", places[1], "--json")
    assert again.returncode == 0 and json.loads(again.stdout)["arms"] == facts["arms"]
    other = augmint(*words, code=None)
    assert other.returncode == 3 and "target" in other.stderr.strip().splitlines()[-1]
    measured = augmint("measure", tmp_path / "r", code=None)
    assert measured.returncode == 2 and "with a target" in measured.stderr


def test_a_run_whose_target_has_no_labels_says_so(places: tuple[Path, Path], tmp_path: Path) -> None:
    images, _ = pixels()
    np.savez(tmp_path / "bare.npz", images=darker_negative(images[200:]))
    arms = {"judge": {"arms": ["scratch-weak", "encoder"]}, "generate": {"feature": {"enabled": False}}}
    where = {"target": tmp_path / "bare.npz", "preset": "tiny", "quiet": True}
    run = am.run(places[0], tmp_path / "r", settings=arms, **where)
    assert run.facts["data"]["target"] == {"images": 200, "judged": 0}
    assert "no labelled test images to judge on" in run.report.read_text()
    roles = {t["role"] for t in pq.read_table(run.folder / "trials.parquet").to_pylist()}
    assert roles == {"fold", "select"}
