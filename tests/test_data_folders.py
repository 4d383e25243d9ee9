"""Folders and manifests: labels, splits, groups, order; the size and mode of the table."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from augmint.config import DataSettings
from augmint.data import load
from augmint.data.manifest import write_manifest
from augmint.data.table import ImageTable
from augmint.errors import InputError
from conftest import Maker, picture


def counts(table: ImageTable, split: str) -> list[int]:
    """Unlabelled first, then each class."""
    return torch.bincount(table.labels[table.rows(split)] + 1, minlength=len(table.classes) + 1).tolist()


# --- folders --------------------------------------------------------------------------------------


def test_folder_with_splits(split_folder: Path) -> None:
    table = load(split_folder)
    assert table.classes == ("cat", "dog") and table.shape == (3, 24, 24) and table.name == "photos"
    assert counts(table, "train") == [6, 4, 4] and counts(table, "test") == [0, 2, 2] and len(table.rows("val")) == 0
    assert (table.group == -1).all() and (table.weight == 1).all() and table.parent is None
    first = table.paths.tolist().index("test/dog/1.png")
    assert table.labels[first] == 1 and table.split[first] == 2
    expected = np.asarray(picture(18)).transpose(2, 0, 1)
    assert np.array_equal(table.images[first].numpy(), expected)
    assert table.split.tolist() == sorted(table.split.tolist()), "training images come first"


def test_folder_of_the_user(user_folder: Path) -> None:
    table = load(user_folder)
    assert counts(table, "train") == [9, 4, 5] and len(table) == len(table.rows("train"))


@pytest.mark.parametrize("name", ["_unlabeled", "_unlabelled", "unlabeled", "Unlabelled"])
def test_other_spellings_of_unlabelled(make_folder: Maker, name: str) -> None:
    table = load(make_folder({"a": 2, "b": 2, name: 3}))
    assert table.classes == ("a", "b") and counts(table, "train") == [3, 2, 2]


def test_flat_folder_is_unlabelled(make_folder: Maker) -> None:
    table = load(make_folder({".": 5}))
    assert table.classes == () and (table.labels == -1).all() and table.paths.tolist()[:2] == ["0.jpg", "1.png"]


def test_other_names_of_splits_and_nested_classes(make_folder: Maker) -> None:
    table = load(make_folder({"Training/a/deep/er": 2, "Training/b": 1, "validation/a": 2, "testing/b": 3}))
    assert table.classes == ("a", "b")
    assert [counts(table, s) for s in ("train", "val", "test")] == [[0, 2, 1], [0, 2, 0], [0, 0, 3]]


def test_splits_mixed_with_classes_are_refused(make_folder: Maker) -> None:
    with pytest.raises(InputError, match="train/ is a split but extras/ is none"):
        load(make_folder({"train/a": 2, "train/b": 2, "extras": 2}))


def test_unlabelled_images_beside_the_splits_and_a_class_called_train(make_folder: Maker) -> None:
    beside = load(make_folder({"train/a": 2, "train/b": 2, "_unlabeled": 3}, "beside"))
    assert counts(beside, "train") == [3, 2, 2]
    assert load(make_folder({"train": 2, "car": 2, "plane": 2}, "vehicles")).classes == ("car", "plane", "train")


def test_file_names_that_are_no_text_can_be_stored(user_folder: Path, tmp_path: Path) -> None:
    (user_folder / "cat" / "0.jpg").rename(user_folder / "cat" / os.fsdecode(b"caf\xe9.jpg"))
    table = load(user_folder)
    assert "cat/caf\ufffd.jpg" in table.paths.tolist()
    write_manifest(table, tmp_path / "manifest.parquet")


def test_hidden_and_other_files_are_left_alone(user_folder: Path) -> None:
    (user_folder / "notes.txt").write_text("not an image")
    (user_folder / ".hidden").mkdir()
    picture(90).save(user_folder / ".hidden" / "a.png")
    picture(91).save(user_folder / "cat" / "._0.png")
    (user_folder / "cat" / "loop").symlink_to(user_folder)
    table = load(user_folder)
    assert len(table) == 18


def test_one_class_and_fewer_labels_load(make_folder: Maker) -> None:
    table = load(make_folder({"only": 3}))
    assert table.classes == ("only",) and counts(table, "train") == [0, 3]


def test_classes_are_sorted_naturally(make_folder: Maker) -> None:
    assert load(make_folder({"class10": 1, "class9": 1, "Class1": 1})).classes == ("Class1", "class9", "class10")


# --- size and mode --------------------------------------------------------------------------------


def test_sizes_are_chosen_from_the_data(make_folder: Maker) -> None:
    assert load(make_folder({"a": 3}, "small", (64, 64))).shape == (3, 64, 64)
    assert load(make_folder({"a": 3}, "large", (65, 65))).shape == (3, 32, 32)
    assert load(make_folder({"a": 3}, "wide", (40, 20))).shape == (3, 20, 20)
    assert load(make_folder({"a": 3}, "dots", (1, 1))).shape == (3, 8, 8)
    assert load(make_folder({"a": 3}, "asked", (65, 65)), DataSettings(size=48)).shape == (3, 48, 48)
    mixed = make_folder({"a": 3}, "mixed", (16, 16))
    picture(0, 500, 300).save(mixed / "a" / "big.png")
    assert load(mixed).shape == (3, 16, 16)


def test_mode_is_grey_only_if_every_image_is(make_folder: Maker) -> None:
    folder = make_folder({"a": 0})
    for i in range(6):
        picture(i, mode="L").convert("RGB" if i % 2 else "L").save(folder / "a" / f"{i}.png")
    assert load(folder).shape[0] == 1  # some are stored as RGB, all are grey
    assert load(folder, DataSettings(mode="rgb")).shape[0] == 3
    picture(7).save(folder / "a" / "colour.png")
    assert load(folder).shape[0] == 3
    assert load(folder, DataSettings(mode="grey")).shape[0] == 1


def test_ids_are_content_and_row_and_survive_subsets(user_folder: Path) -> None:
    table = load(user_folder)
    assert len(set(table.ids.tolist())) == len(table)
    assert [int(i.partition(":")[2]) for i in table.ids] == list(range(len(table)))
    assert table.take(torch.tensor([5, 2])).ids.tolist() == table.ids[[5, 2]].tolist()


# --- manifests ------------------------------------------------------------------------------------

ROWS = [
    ("img/0.jpg", "dog", "train", "p1"),
    ("img/1.png", "cat", "", "p1"),
    ("img/2.jpg", "", "", ""),
    ("img/3.png", "dog", "test", "p2"),
]


def check_manifest(table: ImageTable) -> None:
    assert table.classes == ("cat", "dog") and table.labels.tolist() == [1, 0, -1, 1]
    assert table.split.tolist() == [0, 0, 0, 2] and table.group.tolist() == [0, 0, -1, 1]
    assert table.paths.tolist() == [row[0] for row in ROWS]


@pytest.mark.parametrize("mark", [",", ";", "\t"])  # as spreadsheets save it
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["metadata.csv", "my.csv", "manifest.tsv"])
def test_manifest_in_csv(make_folder: Maker, name: str, encoding: str, mark: str) -> None:
    folder = make_folder({"img": 4})
    lines = [mark.join(row) for row in [("file_name", "label", "split", "group"), *ROWS]]
    (folder / name).write_bytes(("\r\n".join(lines) + "\r\n").encode(encoding))
    check_manifest(load(folder / name))
    if not name.startswith("my"):
        check_manifest(load(folder))


def test_manifest_in_parquet(make_folder: Maker) -> None:
    folder = make_folder({"img": 4})
    columns = {n: [row[i] or None for row in ROWS] for i, n in enumerate(("file_name", "label", "split", "group"))}
    pq.write_table(pa.table(columns), folder / "manifest.parquet")
    check_manifest(load(folder / "manifest.parquet"))
    check_manifest(load(folder))


def test_manifest_with_numbers_sorts_them_as_numbers(make_folder: Maker) -> None:
    folder = make_folder({"img": 4})
    rows = {"file_name": [r[0] for r in ROWS], "label": [10.0, 9.0, float("nan"), 9.0]}
    pq.write_table(pa.table(rows), folder / "m.parquet")
    table = load(folder / "m.parquet")
    assert table.classes == ("9", "10") and table.labels.tolist() == [1, 0, -1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\nimg/0.jpg,a\n", "no column file_name"),
        ("file_name,label\nimg/0.jpg,a,b\n", "row 2 has 3 fields"),
        ("file_name,split\nimg/0.jpg,holdout\n", "split 'holdout'"),
        ("file_name,label\n,a\n", "row 2 has no file_name"),
        ("file_name,label\nimg/none.jpg,a\n", "img/none.jpg: no such file"),
        ("file_name\n../outside.png\n", "outside the manifest"),
        ("file_name\nimg/../../outside.png\n", "outside the manifest"),
        ("file_name\nlink.png\n", "outside the manifest"),
        ("file_name\nlinked/outside.png\n", "outside the manifest"),
        ("file_name\n/etc/hostname\n", "outside the manifest"),
        ("file_name\n..\n", "outside the manifest"),
        ("file_name\na\0b.png\n", "is no name of a file"),
        ("file_name\n" + "a" * 300 + ".png\n", "file name too long"),
        ("file_name\n" + "a" * 300 + "/b.png\n", "file name too long"),
        ("file_name\n", "no images"),
        ("", "no column file_name"),
    ],
)
def test_manifest_that_is_wrong(make_folder: Maker, text: str, message: str) -> None:
    folder = make_folder({"img": 2})
    picture(0).save(folder.parent / "outside.png")
    (folder / "link.png").symlink_to(folder.parent / "outside.png")
    (folder / "linked").symlink_to(folder.parent)
    (folder / "m.csv").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        load(folder / "m.csv")
    assert "\n" not in str(error.value)


def test_a_link_that_stays_inside_is_fine(make_folder: Maker) -> None:
    folder = make_folder({"img": 2})
    (folder / "link.png").symlink_to(folder / "img" / "1.png")
    (folder / "m.csv").write_text("file_name\nlink.png\nimg/../img/0.jpg\n")
    assert len(load(folder / "m.csv")) == 2
