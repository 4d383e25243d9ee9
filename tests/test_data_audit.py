"""`augmint check` finds what was planted, and cries no wolf."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from augmint.config import DataSettings
from augmint.data import duplicates, leaks, load
from augmint.data.audit import audit, audit_table
from augmint.data.build import Facts
from augmint.data.leaks import names_that_tell, quick
from augmint.data.table import ImageTable
from conftest import Maker, picture


def table_of(images: torch.Tensor, **more: object) -> ImageTable:
    count = len(images)
    content = [str(hash(image.numpy().tobytes())) for image in images]
    values: dict = {
        "labels": torch.zeros(count, dtype=torch.int64),
        "ids": np.array([f"{c}:{i}" for i, c in enumerate(content)]),
        "split": torch.zeros(count, dtype=torch.int8),
        "group": torch.full((count,), -1),
        "weight": torch.ones(count),
        "classes": ("a", "b"),
        "paths": np.array([""] * count),
    }
    return ImageTable(images=images, **{**values, **more})


def pictures(count: int, size: int = 32) -> torch.Tensor:
    return torch.stack([torch.from_numpy(np.array(picture(i, size, size)).transpose(2, 0, 1)) for i in range(count)])


def near_copies(images: torch.Tensor) -> dict[str, torch.Tensor]:
    real = images.float()
    small = F.interpolate(real, scale_factor=0.7, mode="bilinear", antialias=True)
    changed = {
        "brighter": real * 0.8 + 40,
        "noisy": real + torch.randn(real.shape, generator=torch.Generator().manual_seed(0)) * 5,
        "resized": F.interpolate(small, size=real.shape[-2:], mode="bilinear"),
    }
    return {name: image.round().clamp(0, 255).byte() for name, image in changed.items()}


@pytest.mark.parametrize("kind", ["brighter", "noisy", "resized"])
def test_planted_near_duplicates_are_found_and_nothing_else(kind: str) -> None:
    images = pictures(120)
    both = torch.cat([images, near_copies(images[:10])[kind]])
    pairs, likeness = duplicates.near(table_of(both))
    assert pairs.tolist() == [[i, 120 + i] for i in range(10)]
    assert (likeness > 0.95).all()


def test_exact_duplicates_are_no_near_ones() -> None:
    images = pictures(30)
    table = table_of(torch.cat([images, images[:3], images[:1]]))
    assert duplicates.exact(table) == [[0, 30, 33], [1, 31], [2, 32]]
    assert len(duplicates.near(table)[0]) == 0


def test_more_copies_than_one() -> None:
    images = pictures(60)
    copies = near_copies(images[:1])
    pairs, _ = duplicates.near(table_of(torch.cat([images, *copies.values()])))
    assert pairs.tolist() == [[a, b] for a in (0, 60, 61, 62) for b in (60, 61, 62) if a < b]


def test_blank_and_tiny_tables() -> None:
    blank = torch.arange(6, dtype=torch.uint8)[:, None, None, None].expand(6, 1, 8, 8) * 40
    assert len(duplicates.near(table_of(blank))[0]) == 0
    assert len(duplicates.near(table_of(pictures(1)))[0]) == 0
    two = pictures(1)
    assert duplicates.near(table_of(torch.cat([two, near_copies(two)["brighter"]])))[0].tolist() == [[0, 1]]
    assert len(duplicates.near(table_of(pictures(2)))[0]) == 0


def test_neighbours_are_those_of_brute_force() -> None:
    features = F.normalize(torch.randn(1100, 16, generator=torch.Generator().manual_seed(1)), dim=1)
    distance, rows = duplicates._neighbours(features, 5)
    whole = torch.cdist(features.double(), features.double()).fill_diagonal_(9)
    expected = whole.topk(5, largest=False)
    assert torch.equal(rows, expected.indices)
    assert torch.allclose(distance.double(), expected.values, atol=1e-3)


def test_digits_have_no_duplicates() -> None:
    found = audit("digits")
    assert found.exact.groups == 0 and found.near is not None and found.near.groups == 0 and found.warnings == []
    assert "nothing to worry about" in found.lines()[-1]


def test_leaks_between_splits_and_torn_labels_are_found(split_folder: Path) -> None:
    train, test = split_folder / "train", split_folder / "test"
    (test / "cat" / "copy.jpg").write_bytes((train / "cat" / "0.jpg").read_bytes())
    (train / "dog" / "torn.png").write_bytes((train / "cat" / "1.png").read_bytes())
    bright = Image.fromarray((np.asarray(Image.open(train / "dog" / "3.png")) * 0.8 + 30).astype(np.uint8))
    bright.save(test / "dog" / "again.png")
    found = audit(split_folder)
    assert (found.exact.groups, found.exact.across, found.exact.conflicting) == (2, 1, 1)
    assert found.near is not None and (found.near.groups, found.near.across) == (1, 1)
    text = "\n".join(found.lines())
    assert "1 exact duplicates lie in different splits" in text and "1 near duplicates lie" in text
    assert "1 exact duplicates have different labels" in text
    assert found.table is not None
    torn = [str(found.table.paths[row]) for row in found.exact.listed[0]]
    assert [line for line in found.warnings if "duplicates" in line] == quick(found.table)
    assert "(e.g. train/cat/0.jpg and test/cat/copy.jpg): test results may be too good, by up to" in text
    assert "(e.g. train/dog/3.png and test/dog/again.png): test results may be too good, by up to" in text
    assert sorted(torn) == ["train/cat/1.png", "train/dog/torn.png"]


def test_near_duplicates_between_splits_are_those_of_the_long_search() -> None:
    images = pictures(90)
    copies = near_copies(images[:12])
    everything = torch.cat([images, copies["brighter"], copies["noisy"][:6]])
    split = torch.zeros(len(everything), dtype=torch.int8)
    split[[3, 4, 40, 91, 95, 96, *range(102, 108)]] = 2
    split[[5, 92]] = 1
    table = table_of(everything, split=split)
    pairs, likeness = duplicates.near(table)
    apart = split[pairs[:, 0]] != split[pairs[:, 1]]
    found, found_likeness = duplicates.near_across(table)
    assert found.tolist() == pairs[apart].tolist() and len(found) >= 8
    assert torch.allclose(found_likeness, likeness[apart], atol=1e-5)
    assert len(duplicates.near_across(table_of(images))[0]) == 0
    assert len(duplicates.near_across(table_of(images[:1], split=torch.tensor([2], dtype=torch.int8)))[0]) == 0


def test_minted_copies_of_test_images_are_found_and_their_relatives_are_not(tmp_path: Path) -> None:
    images = pictures(80)
    split = torch.zeros(80, dtype=torch.int8)
    split[40:] = 2
    table = table_of(images, split=split, paths=np.array([f"{i}.png" for i in range(80)]))
    innocent = torch.cat([near_copies(images[:10])["noisy"], near_copies(images[:10])["brighter"]])
    minted = torch.cat([innocent, near_copies(images[50:53])["noisy"], images[60:61]])
    rows, likeness = duplicates.copied(table.take(table.rows("test")), minted)
    assert rows.tolist() == [-1] * 20 + [10, 11, 12, 20] and float(likeness[-1]) == pytest.approx(1, abs=1e-4)
    assert leaks.minted_copies(table, tmp_path) == []
    for i, image in enumerate(minted):
        place = tmp_path / "minted" / f"kind{i % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(place / f"{i:06d}.png")
    (line,) = leaks.minted_copies(table, tmp_path / "minted")
    assert line.startswith("4 minted images are near copies of test images (e.g. kind0/000020.png of 50.png)")
    for i in (20, 21, 22):
        (tmp_path / "minted" / f"kind{i % 2}" / f"{i:06d}.png").unlink()
    (line,) = leaks.minted_copies(table, tmp_path / "minted")
    assert line == "a minted image is a near copy of a test image (kind1/000023.png of 60.png): its arms look too good"
    assert leaks.minted_copies(table.take(table.rows("train")), tmp_path / "minted") == []


def test_a_run_of_too_many_images_leaves_the_comparison_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(60)
    split = torch.zeros(61, dtype=torch.int8)
    split[60] = 2
    table = table_of(torch.cat([images, near_copies(images[:1])["noisy"]]), split=split)
    assert quick(table) == [
        "1 near duplicates lie in different splits (e.g. image 0 (train) and image 60 (test)): "
        "test results may be too good, by up to 100.0 points"
    ]
    monkeypatch.setattr(leaks, "CELLS", 60)
    assert quick(table) == [leaks.NOT_SEARCHED]


def test_near_duplicates_among_the_labels_are_something_to_know(user_folder: Path) -> None:
    """No test split: they would make cross-validation too good if it did not keep them together."""
    for i in range(12):
        for n, place in enumerate(("cat", "dog", "_unlabeled")):
            picture(1000 + 100 * n + i).save(user_folder / place / f"more{i}.png")
    again = Image.fromarray((np.asarray(Image.open(user_folder / "cat" / "more3.png")) * 0.8 + 30).astype(np.uint8))
    again.save(user_folder / "cat" / "again.png")
    last = audit(user_folder).lines()[-1]
    assert last.startswith("! 1 near duplicates among the labelled images (e.g. cat/again.png and cat/more3.png)")
    assert last.endswith("cross-validation keeps them in the same fold")


def test_groups_across_splits_are_found(make_folder: Maker) -> None:
    folder = make_folder({"img": 6})
    rows = ["0.jpg,a,train,p", "1.png,b,test,p", "2.jpg,a,train,q", "3.png,b,train,q", "4.jpg,a,test,", "5.png,b,,"]
    (folder / "m.csv").write_text("file_name,label,split,group\n" + "\n".join(f"img/{row}" for row in rows))
    found = audit(folder / "m.csv")
    assert found.groups_across == 1 and any("1 groups lie in more than one split" in w for w in found.warnings)


def test_bad_files_are_all_listed(user_folder: Path) -> None:
    (user_folder / "cat" / "x.jpg").write_text("text")
    (user_folder / "dog" / "y.png").write_bytes(b"")
    found = audit(user_folder, DataSettings(on_bad="error"))
    assert dict(found.bad) == {"cat/x.jpg": "a text file, not an image", "dog/y.png": "empty file"}
    assert found.images == 18 and any("2 files cannot be read" in w for w in found.warnings)
    assert audit(user_folder).bad == found.bad  # from the cache


def test_counts_sizes_modes_and_balance(make_folder: Maker) -> None:
    folder = make_folder({"train/a": 12, "train/b": 1, "train/_unlabeled": 3, "test/a": 1, "test/c": 1})
    picture(99, 50, 40, "L").save(folder / "train" / "a" / "grey.png")
    found = audit(folder)
    assert found.splits == {"train": {"a": 13, "b": 1, "unlabelled": 3}, "test": {"a": 1, "c": 1, "unlabelled": 0}}
    assert found.sizes == {"24×24": 18, "50×40": 1} and found.modes == {"RGB": 18, "L": 1}
    text = "\n".join(found.warnings)
    assert "1 classes have no training image, e.g. c" in text and "single labelled training image, e.g. b" in text
    assert "largest class has 13 training images, the smallest 1" in text
    assert "b 1" in text or "1 … 13 each" in "\n".join(found.lines())


@pytest.mark.parametrize(("folders", "said"), [({"a": 3}, "of one class"), ({".": 3}, "no labelled training images")])
def test_one_class_and_no_labels_are_said(make_folder: Maker, folders: dict[str, int], said: str) -> None:
    assert said in "\n".join(audit(make_folder(folders)).warnings)


@pytest.mark.parametrize(
    ("paths", "classes", "telling"),
    [
        (["_unlabeled/cat_1.jpg", "_unlabeled/img2.jpg"], ("cat", "dog"), ["_unlabeled/cat_1.jpg"]),
        (["_unlabeled/cat-and-dog.jpg", "_unlabeled/catalog.jpg"], ("cat", "dog"), []),
        (["train/_unlabeled/ankle boot/7.jpg"], ("Ankle boot", "Bag"), ["train/_unlabeled/ankle boot/7.jpg"]),
        (["cat.1.jpg", "cat.2.jpg", "dog.1.jpg", "dog.2.jpg"] * 2, (), ["cat.1.jpg"] * 2),
        (["img_1.jpg", "img_2.jpg", "img_3.jpg", "img_4.jpg"], (), []),
        (["1.jpg", "2.jpg", "3.jpg", "4.jpg"], ("1", "2"), []),
        (["_unlabeled/7/0012.png", "_unlabeled/0013.png"], ("3", "7"), ["_unlabeled/7/0012.png"]),
        (["label_7_x.png", "class-3.png", "label_12.png"], ("3", "7"), ["label_7_x.png", "class-3.png"]),
        (["_unlabeled/7.png", "img_7.png", "batch 3/0007.png", "7_3.png"], ("3", "7"), []),
        (["_unlabeled/a/1.png", "plan a.png"], ("a", "b"), ["_unlabeled/a/1.png"]),
        (["猫_0012.jpg", "КОШКА-3.jpg", "犬.jpg"], ("猫", "кошка"), ["猫_0012.jpg", "КОШКА-3.jpg"]),
        (["cafe\u0301_1.jpg", "cafeteria.jpg"], ("caf\u00e9", "bar"), ["cafe\u0301_1.jpg"]),
        (["AnkleBoot_1.png", "ankleboot2.png"], ("Ankle boot", "Bag"), ["AnkleBoot_1.png", "ankleboot2.png"]),
        (["trouser_1.png", "dresses-2.png", "press.png"], ("Trousers", "Dress"), ["trouser_1.png", "dresses-2.png"]),
        (["cat_1.png", "cats/2.png", "cast.png", "scat.png"], ("cat", "dog"), ["cat_1.png", "cats/2.png"]),
        (["a320_1.png", "a 330.png", "b747.png"], ("A320", "A330"), ["a320_1.png", "a 330.png"]),
    ],
)
def test_labels_in_file_names(paths: list[str], classes: tuple[str, ...], telling: list[str]) -> None:
    count = len(paths)
    table = table_of(
        torch.zeros(count, 1, 8, 8, dtype=torch.uint8),
        labels=torch.full((count,), -1),
        paths=np.array(paths),
        classes=classes,
    )
    assert names_that_tell(table) == (telling if classes else paths if telling else [])


def test_json_and_contact_sheet(split_folder: Path) -> None:
    found = audit(split_folder)
    stored = json.loads(json.dumps(found.to_dict()))
    assert stored["images"] == 18 and stored["exact"]["groups"] == 0 and stored["schema"] == 1
    assert "table" not in stored and stored["splits"]["train"]["unlabelled"] == 6
    page = found.sheet(columns=6)
    assert page.mode == "RGB" and page.width > 6 * 60 and page.height > 3 * 60


def test_without_the_long_search(user_folder: Path) -> None:
    table = load(user_folder)
    found = audit_table(table, Facts([(24, 24)] * len(table), ["RGB"] * len(table)), near=False)
    assert found.near is None and found.to_dict()["near"] is None and "near: not searched" in "\n".join(found.lines())
    assert found.lines()[-1] == f"! {leaks.NOT_SEARCHED}"
