"""Minting by the thousand: the same for any number of processes, resumed after a kill, capped, in three formats."""

import io
import json
import os
import signal
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from augmint.config import ImageGeneratorSettings, MintSettings
from augmint.errors import UsageError
from augmint.generate.groups import groups_of
from augmint.generate.image import ImageGenerator, train_image_generator
from augmint.judge.workers import over_cores
from augmint.mint import Minted, Wish, Work, export, many, mint_many
from augmint.mint.distances import rms_to_each, to_earlier
from augmint.mint.draw import draw
from augmint.mint.folder import FORMATS
from augmint.seeding import Draws
from augmint.train import Compute, checkpoint
from fake_mint import LOOSE, Fake, digits, measured, sure

CPU = Compute(torch.device("cpu"), bf16=False)
POOL = digits(400)
PARENTS = torch.arange(150)
WIDE = LOOSE.model_copy(update={"per_parent": 20})


def work(settings: MintSettings = WIDE) -> Work:
    return Work(Fake(), POOL, PARENTS, POOL.labels[PARENTS], sure, settings, measured(POOL, settings))


def over(workers: int) -> many.Over:
    return lambda make, pieces: over_cores(make, pieces, workers, lambda: None)


def alone(make: Callable[[int], None], pieces: Sequence[int]) -> None:
    for piece in pieces:
        make(piece)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "PIECE", 128)


@pytest.fixture(scope="module")
def minted(tmp_path_factory: pytest.TempPathFactory) -> Minted:
    many.PIECE, before = 128, many.PIECE
    found = mint_many(work(), Wish(60, False, 5), tmp_path_factory.mktemp("pieces"), alone)
    many.PIECE = before
    return found


def assert_same(one: Minted, two: Minted) -> None:
    assert torch.equal(one.kept, two.kept) and one.reason == two.reason
    images = [m.table.gather(torch.arange(len(m.table))) for m in (one, two)]
    assert torch.equal(*images)
    for name, scores in one.scores.items():
        assert torch.equal(scores, two.scores[name]), name


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_number_of_processes_changes_nothing(minted: Minted, workers: int, tmp_path: Path) -> None:
    assert_same(minted, mint_many(work(), Wish(60, False, 5), tmp_path, over(workers)))


def test_candidates_are_those_of_draw(minted: Minted) -> None:
    children = len(minted.reason) // len(PARENTS)
    wanted = draw(Fake(), POOL, PARENTS, children, seed=5)
    assert torch.equal(minted.table.gather(torch.arange(len(wanted))), wanted)
    assert minted.steps[: len(wanted)].tolist() == torch.arange(children).repeat_interleave(len(PARENTS)).tolist()


def test_a_conditioned_generator_is_told_the_parents_cluster(tmp_path: Path) -> None:
    """In a run and by the thousand, also after loading: not the cluster that it guesses from the picture."""
    settings = ImageGeneratorSettings(
        trunk="own", width=4, d_width=4, noise=8, latent=16, images=32, batch=16, clusters=5
    )
    settings = settings.model_copy(update={"condition": "cluster"})
    features = POOL.images.flatten(1).float()
    train_image_generator(POOL, features, settings, CPU, seed=0).save(tmp_path / "g.safetensors")
    generator = ImageGenerator.load(tmp_path / "g.safetensors", CPU)
    clusters = groups_of("cluster", features, None, 5, seed=0)
    assert clusters is not None
    draws = Draws(5, "mint", 0, PARENTS)
    wanted = generator.generate(POOL.images[PARENTS], draws, groups=clusters[PARENTS])
    guessed = generator.generate(POOL.images[PARENTS], draws)
    assert (wanted.int() - guessed.int()).abs().max() > 1
    found = draw(generator, POOL, PARENTS, 1, seed=5)
    assert (found.int() - wanted.int()).abs().max() <= 1  # batches of another size: rounding alone
    many_of_them = mint_many(replace(work(), generator=generator), Wish(20, False, 5), tmp_path, alone)
    assert (many_of_them.table.images[: len(PARENTS)].int() - wanted.int()).abs().max() <= 1


def test_a_killed_minting_goes_on(tmp_path: Path) -> None:
    """A child process is killed -9 while it makes the third piece; the rest is made afterwards."""
    made, wish = Fake.generate, Wish(200, False, 5)
    child = os.fork()
    if child == 0:  # pragma: no cover
        count = [0]

        def deadly(self: Fake, images: torch.Tensor, draws: object) -> torch.Tensor:
            count[0] += 1
            if count[0] == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            return made(self, images, draws)  # type: ignore[arg-type]

        Fake.generate = deadly  # type: ignore[assignment,method-assign]
        mint_many(work(), wish, tmp_path / "killed", alone)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    there = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("*.safetensors")}
    assert there
    whole = mint_many(work(), wish, tmp_path / "whole", alone)
    assert_same(whole, mint_many(work(), wish, tmp_path / "killed", alone))
    assert there == {name: (tmp_path / "killed" / name).stat().st_mtime_ns for name in there}


@pytest.mark.parametrize(("count", "per_class"), [(47, False), (9, True)])
def test_the_wish_is_fulfilled_exactly(count: int, per_class: bool, tmp_path: Path) -> None:
    found = mint_many(work(), Wish(count, per_class, 0), tmp_path, alone)
    kept = [of.get("kept", 0) for of in found.counts().values()]
    assert sum(kept) == (90 if per_class else 47)
    assert max(kept) <= (9 if per_class else 5) and min(kept) >= (9 if per_class else 1)
    parents = torch.bincount(found.parent_rows[found.kept])
    assert parents.max() <= WIDE.per_parent


def test_what_cannot_be_had_ends(tmp_path: Path) -> None:
    """One child of each of 150 parents: 1,000 cannot be had."""
    found = mint_many(work(WIDE.model_copy(update={"per_parent": 1})), Wish(1000, False, 0), tmp_path, alone)
    assert 100 < int(found.kept.sum()) <= 150
    assert torch.bincount(found.parent_rows[found.kept]).max() == 1
    with pytest.raises(UsageError, match="no parent"):
        nobody = replace(work(), parents=PARENTS[:0], labels=PARENTS[:0])
        mint_many(nobody, Wish(5, False, 0), tmp_path / "none", alone)


def test_a_generator_that_nobody_believes_is_given_up_early(tmp_path: Path) -> None:
    doubted = replace(work(), classifier=lambda images: torch.full((len(images), 10), 0.1))
    found = mint_many(doubted, Wish(1000, False, 0), tmp_path, alone)
    assert not found.kept.any() and len(found.reason) == many.IN_VAIN * many.PIECE


def reluctant(images: torch.Tensor) -> torch.Tensor:
    """Sure of every class but the third, of which it believes one child in about twenty."""
    found = sure(images)
    found[images.flatten(1).long().sum(1) % 20 > 0, 3] = 0
    return found


def unwilling(images: torch.Tensor) -> torch.Tensor:
    found = sure(images)
    found[:, 3] = 0
    return found


@pytest.mark.parametrize("classifier", [reluctant, unwilling])
def test_a_class_of_which_nothing_passes_is_given_up_alone(
    classifier: Callable[[torch.Tensor], torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "VAIN_OF_CLASS", 100)
    found = mint_many(replace(work(), classifier=classifier), Wish(20, True, 0), tmp_path, alone)
    kept = torch.bincount(found.table.labels[found.kept], minlength=10).tolist()
    assert kept == [20 if c != 3 or classifier is reluctant else 0 for c in range(10)]
    assert int((found.table.labels == 3).sum()) < 310  # of 600 that 30 for each image asked for would be


def test_pieces_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, load = [], checkpoint.load
    monkeypatch.setattr(checkpoint, "load", lambda path: (read.append(path), load(path))[1])
    found = mint_many(work(), Wish(900, False, 5), tmp_path, alone)
    assert len(read) == len(set(read)) == len(found.reason) // 128 > many.IN_VAIN


def test_other_seeds_give_other_images(minted: Minted, tmp_path: Path) -> None:
    other = mint_many(work(), Wish(60, False, 6), tmp_path, alone)
    assert not torch.equal(other.table.gather(torch.arange(50)), minted.table.gather(torch.arange(50)))


def test_earlier_distances_go_on_from_what_is_known() -> None:
    images = POOL.images.repeat(4, 1, 1, 1)[torch.randperm(1600, generator=torch.Generator().manual_seed(0))]
    counts = torch.arange(1600) % 3 > 0
    whole = to_earlier(images, counts)
    torch.testing.assert_close(to_earlier(images, counts, to_earlier(images[:1100], counts[:1100])), whole)


def test_distances_to_each_are_those_of_pairs() -> None:
    g = torch.Generator().manual_seed(0)
    images, others = (torch.randint(0, 256, (n, 3, 7, 5), generator=g, dtype=torch.uint8) for n in (150, 40))
    rows = torch.randint(0, 40, (150, 4), generator=g)
    wanted = np.array(
        [[np.sqrt(np.mean((a - others[r].numpy().astype(float)) ** 2)) / 255 for r in row]
         for a, row in zip(images.numpy().astype(float), rows, strict=True)]
    )  # fmt: skip
    np.testing.assert_allclose(rms_to_each(images, others, rows).numpy(), wanted, rtol=1e-5)
    assert (rms_to_each(others, others, torch.arange(40)[:, None]) == 0).all()


# --- formats, looked at by hand ----------------------------------------------------------------------


def kept_of(minted: Minted) -> list[tuple[bytes, int]]:
    rows = torch.nonzero(minted.kept)[:, 0]
    return [(minted.table.gather(row[None]).numpy().tobytes(), int(minted.table.labels[row])) for row in rows]


def pixels(content: bytes) -> bytes:
    image = Image.open(io.BytesIO(content))
    assert image.format == "PNG"
    return np.asarray(image).tobytes()


def test_parquet_as_datasets_reads_it(minted: Minted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("augmint.mint.formats.SHARD", 25)
    folder = export(minted, POOL, tmp_path, "parquet")
    files = sorted((folder / "data").iterdir())
    assert [f.name for f in files] == [f"train-{i:05d}-of-00003.parquet" for i in range(3)]
    found = []
    for file in files:
        table = pq.read_table(file)
        features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
        assert features["image"] == {"_type": "Image"}
        assert features["label"] == {"names": list(POOL.classes), "_type": "ClassLabel"}
        assert set(features) == set(table.column_names)
        assert {f["_type"] for f in features.values()} == {"Image", "ClassLabel", "Value"}
        found += [(pixels(row["image"]["bytes"]), row["label"]) for row in table.to_pylist()]
        assert all(row["parent"] and row["seed"] == 5 for row in table.to_pylist())
    assert found == kept_of(minted)
    assert pq.read_table(folder / "metadata.parquet").num_rows == 60


def test_tars_as_webdataset_reads_them(minted: Minted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("augmint.mint.formats.SHARD", 25)
    folder = export(minted, POOL, tmp_path, "webdataset")
    tars = sorted(folder.glob("*.tar"))
    assert [t.name for t in tars] == [f"minted-{i:06d}.tar" for i in range(3)]
    found = []
    for path in tars:
        with tarfile.open(path) as tar:
            names = tar.getnames()
            assert [name.split(".")[1] for name in names] == ["png", "cls", "json"] * (len(names) // 3)
            content = [tar.extractfile(name).read() for name in names]  # type: ignore[union-attr]
        for i in range(0, len(names), 3):
            assert len({name.split(".")[0] for name in names[i : i + 3]}) == 1
            trail = json.loads(content[i + 2])
            assert trail["label"] == int(content[i + 1]) and trail["parent"]
            found.append((pixels(content[i]), int(content[i + 1])))
    assert found == kept_of(minted)
    again = export(minted, POOL, tmp_path / "again", "webdataset")
    assert [t.read_bytes() for t in tars] == [t.read_bytes() for t in sorted(again.glob("*.tar"))]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_can_be_empty_and_is_replaced(minted: Minted, form: str, tmp_path: Path) -> None:
    nothing = replace(minted, kept=torch.zeros_like(minted.kept), reason=["broken"] * len(minted.reason))
    for each in (minted, nothing):
        folder = export(each, POOL, tmp_path, form)
        assert pq.read_table(folder / "metadata.parquet").num_rows == int(each.kept.sum())
    with pytest.raises(UsageError, match="folders, parquet, webdataset"):
        export(minted, POOL, tmp_path, "zip")
