"""What export writes is whole, readable by others, and says where every image came from."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open

from augmint.config import ImageGeneratorSettings, MintSettings
from augmint.data import load
from augmint.errors import InputError
from augmint.generate.image import train_image_generator
from augmint.mint import export, mint_images
from augmint.mint.draw import STREAM
from augmint.mint.gallery import gallery, spread
from augmint.mint.names import folder_names
from augmint.seeding import Draws
from augmint.train import Compute
from fake_mint import LOOSE, Collapsed, Fake, digits, measured, mint, sure

CPU = Compute(torch.device("cpu"), bf16=False)
POOL = digits(400)
SOME = MintSettings(realness=(0.2, 0.8), children=3, per_parent=2)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Kept and rejected rows with the full path of their PNG, in the order of the candidates."""
    rows = []
    for name in ("minted", "minted-rejected"):
        table = pq.read_table(folder / name / "metadata.parquet")
        assert table.schema.metadata[b"schema"] == b"1"
        for row in table.to_pylist():
            assert row["kept"] == (name == "minted")
            rows.append(row | {"png": row["file_name"] and folder / name / row["file_name"]})
    return sorted(rows, key=lambda row: int(row["candidate"]))


@pytest.mark.parametrize("channels", [1, 3])
def test_round_trip(tmp_path: Path, channels: int) -> None:
    pool = digits(400, channels)
    minted = mint(Fake(), pool, settings=SOME)
    export(minted, pool, tmp_path)
    rows = rows_of(tmp_path)
    assert [row["candidate"] for row in rows] == list(range(180))
    for place, row in enumerate(rows):
        parent = int(minted.parent_rows[place])
        assert row["label"] == int(pool.labels[parent])
        assert row["class"] == pool.classes[row["label"]]
        assert (row["parent"], row["parent_row"]) == (pool.ids[parent], parent)
        assert row["parent_path"] == f"digits/{parent}.png"
        assert row["nearest"] == pool.ids[int(minted.nearest_rows[place])]
        assert (row["seed"], row["step"]) == (0, place // 60)
        assert (row["kept"], row["reason"]) == (bool(minted.kept[place]), minted.reason[place])
        for name, score in minted.scores.items():
            assert row[name] == float(score[place])
        pixels = np.array(Image.open(row["png"])).reshape(8, 8, channels)
        assert np.array_equal(pixels, minted.table.images[place].permute(1, 2, 0).numpy())


def test_an_image_can_be_made_again_from_its_trail(tmp_path: Path) -> None:
    """Pool, generator and one row of metadata.parquet are enough: no order, batch or neighbour of that minting."""
    rows = torch.arange(60) * 3
    minted = mint_images(Fake(), POOL, rows, POOL.labels[rows], sure, SOME, 7, measured(POOL, SOME))
    export(minted, POOL, tmp_path)
    kept = [row for row in rows_of(tmp_path) if row["kept"]]
    assert {row["step"] for row in kept} == {0, 1, 2}
    for row in kept:
        parent = torch.tensor([POOL.ids.tolist().index(row["parent"])])
        made = Fake().generate(POOL.gather(parent), Draws(row["seed"], STREAM, row["step"], parent))
        assert np.array_equal(np.array(Image.open(row["png"])), made[0, 0].numpy())


def test_our_own_reader_takes_it_as_data(tmp_path: Path) -> None:
    minted = mint(Fake(), POOL, settings=SOME)
    table = load(export(minted, POOL, tmp_path))
    kept = minted.accepted()
    assert sorted(table.images.numpy().tobytes()) == sorted(kept.gather(torch.arange(len(kept))).numpy().tobytes())
    assert torch.equal(table.labels, kept.labels)


def test_the_folder_loads_as_classes(tmp_path: Path) -> None:
    minted = mint(Fake(), POOL, settings=SOME)
    folder = export(minted, POOL, tmp_path)
    found = {path.name: len(list(path.glob("*.png"))) for path in folder.iterdir() if path.is_dir()}
    assert sum(found.values()) == int(minted.kept.sum())
    assert found == {c: n["kept"] for c, n in minted.counts().items() if n.get("kept")}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_rejected_pictures_are_limited_and_varied(tmp_path: Path) -> None:
    minted = mint(Collapsed(), POOL, count=300, settings=LOOSE)
    export(minted, POOL, tmp_path)
    assert len(list((tmp_path / "minted-rejected" / "near-duplicate").glob("*.png"))) == 200
    assert sum(row["png"] is None for row in rows_of(tmp_path)) == 399


def test_gallery_as_the_report_reads_it(tmp_path: Path) -> None:
    minted = mint(Fake(), POOL, settings=SOME)
    with safe_open(export(minted, POOL, tmp_path) / "gallery.safetensors", framework="pt") as file:
        facts = json.loads(file.metadata()["facts"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    families, children = tensors["children"].shape[:2]
    assert tensors["parents"].shape == (families, 1, 8, 8)
    assert len(facts["parent_classes"]) == families
    assert set(facts["parent_classes"]) == set(POOL.classes)
    assert 1 <= children <= 2
    distances = tensors["copies_distance"]
    assert torch.equal(distances, distances.sort().values)
    assert len(tensors["copies_minted"]) == len(tensors["copies_real"]) == len(distances) == 24
    assert float(distances[0]) == float(minted.scores["real_distance"][minted.kept].min())
    assert len(tensors["rejected"]) == len(facts["rejected_reasons"])
    assert len(set(facts["rejected_reasons"])) >= 2
    assert facts["counts"] == minted.counts()
    assert set(facts["real_distances"]) == set(facts["minted_distances"])
    kept = {minted.table.images[i].numpy().tobytes() for i in torch.nonzero(minted.kept)[:, 0]}
    assert all(child.numpy().tobytes() in kept for child in tensors["children"].flatten(0, 1))


def test_the_gallery_has_kept_ones_of_each_class(tmp_path: Path) -> None:
    minted = mint(Fake(), POOL, settings=SOME.model_copy(update={"per_parent": 4, "children": 6}))
    tensors, facts = gallery(minted, POOL)
    pictures = [image.numpy().tobytes() for image in minted.table.images]
    places = [pictures.index(image.numpy().tobytes()) for image in tensors["by_class"]]
    assert minted.kept[places].all() and len(set(places)) == len(places)
    assert facts["class_names"] == [POOL.classes[k] for k in minted.table.labels[places].tolist()]
    kept = {name: of.get("kept", 0) for name, of in minted.counts().items()}
    assert Counter(facts["class_names"]) == {name: min(n, 10) for name, n in kept.items() if n}
    assert facts["class_names"] == sorted(facts["class_names"])


def test_the_gallery_has_what_the_judges_believe_most_and_least() -> None:
    minted = mint(Fake(), POOL, settings=SOME)
    agreement = torch.linspace(0, 1, 180)[torch.randperm(180, generator=torch.Generator().manual_seed(0))]
    agreement[:3] = torch.nan
    tensors, facts = gallery(replace(minted, scores={**minted.scores, "agreement": agreement}), POOL)
    for name, scores in (("realness", minted.scores["realness"]), ("agreement", agreement)):
        for end, descending in (("most", True), ("least", False)):
            order = torch.argsort(scores.nan_to_num(-9 if descending else 9), descending=descending)[:10]
            told = facts["believed"][f"{name}_{end}"]
            assert [score for score, _ in told] == scores[order].tolist()
            assert [fate for _, fate in told] == [minted.reason[i] or "kept" for i in order.tolist()]
            assert torch.equal(tensors[f"{name}_{end}"], minted.table.images[order])


def test_the_gallery_has_ways_between_parents_of_one_class() -> None:
    settings = ImageGeneratorSettings(trunk="own", width=4, d_width=4, noise=8, latent=16, images=32, batch=16)
    generator = train_image_generator(POOL, POOL.images.flatten(1).float(), settings, CPU, seed=0)
    minted = mint(Fake(), POOL, settings=SOME)
    tensors, facts = gallery(minted, POOL, generator)
    assert len(facts["way_classes"]) == 6 and tensors["noise_ways"].shape == (6, 9, 1, 8, 8)
    rows = torch.tensor(
        [[int((POOL.images == one).flatten(1).all(1).nonzero()[0]) for one in ends] for ends in tensors["way_parents"]]
    )
    assert (rows[:, 0] != rows[:, 1]).all()
    assert [[POOL.classes[k] for k in pair] for pair in POOL.labels[rows].tolist()] == [
        [c, c] for c in facts["way_classes"]
    ]
    assert torch.isin(rows, minted.parent_rows[minted.kept]).all()
    draws = [Draws(minted.seed, "mint/ways", step, rows[:, 0]) for step in range(2)]
    ends = {
        "noise_ways": [(rows[:, 0], draws[0]), (rows[:, 0], draws[1])],
        "parent_ways": [(rows[:, 0], draws[0]), (rows[:, 1], draws[0])],
    }
    for name, both in ends.items():
        for place, (parents, noise) in zip((0, -1), both, strict=True):
            wanted = generator.generate(POOL.gather(parents), noise)
            assert (tensors[name][:, place].int() - wanted.int()).abs().max() <= 1
    assert "noise_ways" not in gallery(minted, POOL)[0]


def test_nothing_kept_and_nothing_drawn_can_be_exported(tmp_path: Path) -> None:
    for count, generator in ((20, Fake(level=0)), (0, Fake())):
        minted = mint(generator, POOL, count=count)
        folder = export(minted, POOL, tmp_path)
        assert pq.read_table(folder / "metadata.parquet").num_rows == 0
        assert len(rows_of(tmp_path)) == 2 * count
        tensors, facts = gallery(minted, POOL)
        assert len(tensors["parents"]) == len(tensors["children"]) == 0
        assert facts["minted_distances"] == {}


def test_spread_takes_turns() -> None:
    assert spread(torch.tensor([7, 7, 7, 2, 2, 9]), 4).tolist() == [0, 3, 5, 1]


def test_export_again_replaces(tmp_path: Path) -> None:
    export(mint(Fake(), POOL, count=60), POOL, tmp_path)
    minted = mint(Fake(), POOL, count=10)
    (tmp_path / ".minted.part").mkdir()
    (tmp_path / ".minted.part" / "left behind").write_text("")
    folder = export(minted, POOL, tmp_path)
    assert len(list(folder.rglob("*.png"))) == int(minted.kept.sum())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["minted", "minted-rejected"]


def test_an_interrupted_export_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = export(mint(Fake(), POOL, count=20), POOL, tmp_path)
    before = sorted(folder.rglob("*"))

    def stop(*args: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pq, "write_table", stop)
    with pytest.raises(KeyboardInterrupt):
        export(mint(Fake(), POOL, count=40), POOL, tmp_path)
    assert sorted(folder.rglob("*")) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["minted", "minted-rejected"]


@pytest.mark.parametrize("where", ["mkdir", "png", "gallery", "parquet"])
def test_a_full_or_locked_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def full(*args: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    places = {
        "mkdir": "pathlib.Path.mkdir",
        "png": "PIL.Image.Image.save",
        "gallery": "augmint.mint.folder.save_file",
        "parquet": "pyarrow.parquet.write_table",
    }
    monkeypatch.setattr(places[where], full)
    with pytest.raises(InputError, match="No space left on device; free space or choose"):
        export(mint(Fake(), POOL, count=20), POOL, tmp_path)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_and_a_folder_of_others(tmp_path: Path) -> None:
    minted = mint(Fake(), POOL, count=5)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        export(minted, POOL, tmp_path / "file")
    (tmp_path / "minted").mkdir()
    (tmp_path / "minted" / "holiday.png").write_text("")
    with pytest.raises(InputError, match="holds other files"):
        export(minted, POOL, tmp_path)
    assert (tmp_path / "minted" / "holiday.png").exists()


EVIL = ("../x", "a/b", "", "CON", "chaise längué 椅子", "..", "A/B", "/etc/passwd", "metadata.parquet", "nul.txt")


def test_evil_class_names_stay_inside(tmp_path: Path) -> None:
    pool = digits(400, classes=EVIL)
    minted = mint(Fake(), pool, settings=SOME)
    folder = export(minted, pool, tmp_path / "run")
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["minted", "minted-rejected"]
    rows = rows_of(tmp_path / "run")
    assert {row["class"] for row in rows} == set(EVIL)
    for row in rows:
        assert row["png"].resolve().is_relative_to(tmp_path / "run")
        assert row["png"].is_file()
    assert len([p for p in folder.iterdir() if p.is_dir()]) == 10


def test_folder_names_by_example() -> None:
    names = ["../x", "a/b", "", "CON", "x", "X", "T-shirt/top", "_unlabeled", "con.png", "ein Stuhl. "]
    expected = ["x", "a_b", "class", "CON_", "x-2", "X-3", "T-shirt_top", "unlabeled", "con.png_", "ein Stuhl"]
    assert folder_names(names) == expected


@given(st.lists(st.text(max_size=300), max_size=12))
def test_folder_names_are_safe_and_distinct(names: list[str]) -> None:
    found = folder_names(names)
    assert len({name.casefold() for name in found}) == len(names)
    for name in found:
        assert name == name.strip()
        assert name not in (".", "..", "")
        assert len(name.encode()) <= 110
        assert not set(name) & set('/\\:*?"<>|\0\n\t')
        assert not name.startswith((".", "_"))
