"""Every format becomes the same table: labels, splits, groups, classes, order."""

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from augmint.config import DataSettings
from augmint.data import decode, load, readers
from augmint.data.source import encode_groups, encode_labels, natural, split_in
from augmint.data.table import ImageTable
from augmint.errors import InputError
from conftest import Maker, picture
from test_data_pixels import encoded


def counts(table: ImageTable, split: str) -> list[int]:
    """Unlabelled first, then each class."""
    return torch.bincount(table.labels[table.rows(split)] + 1, minlength=len(table.classes) + 1).tolist()


def write_idx(path: Path, array: np.ndarray) -> None:
    data = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def images(count: int, size: int = 10, channels: int = 0) -> np.ndarray:
    shape = (count, size, size, channels) if channels else (count, size, size)
    return np.random.default_rng(count).integers(0, 256, shape, dtype=np.uint8)


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


@pytest.mark.parametrize("name", ["metadata.csv", "my.csv", "manifest.tsv"])
def test_manifest_in_csv(make_folder: Maker, name: str) -> None:
    folder = make_folder({"img": 4})
    mark = "\t" if name.endswith("tsv") else ","
    lines = [mark.join(row) for row in [("file_name", "label", "split", "group"), *ROWS]]
    (folder / name).write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
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


# --- Parquet --------------------------------------------------------------------------------------


def write_parquet(
    path: Path, labels: list, names: list[str] | None = None, column: str = "struct", **more: list
) -> None:
    data = [encoded(picture(i), "JPEG" if i % 2 else "PNG") for i in range(len(labels))]
    column_of = data if column == "binary" else [{"bytes": d, "path": f"{i}.jpg"} for i, d in enumerate(data)]
    table = pa.table({"image": column_of, "label": labels, **more})
    if names:
        info = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=2)


@pytest.mark.parametrize("column", ["struct", "binary"])
def test_parquet_of_hugging_face(tmp_path: Path, column: str) -> None:
    write_parquet(tmp_path / "a.parquet", [1, 0, -1, 1, None], ["cat", "dog"], column)
    table = load(tmp_path / "a.parquet")
    assert table.classes == ("cat", "dog") and table.labels.tolist() == [1, 0, -1, 1, -1]
    assert table.shape == (3, 24, 24) and (table.split == 0).all()
    assert np.array_equal(table.images[2].numpy(), np.asarray(picture(2)).transpose(2, 0, 1))


def test_parquet_siblings_bring_their_splits(tmp_path: Path) -> None:
    write_parquet(tmp_path / "c-train.parquet", [0, 1, 1])
    assert load(tmp_path / "c-train.parquet").split.tolist() == [0, 0, 0]
    write_parquet(tmp_path / "c-test.parquet", [1, 0])
    write_parquet(tmp_path / "other-test.parquet", [1, 0])
    both = load(tmp_path / "c-train.parquet")
    assert both.split.tolist() == [0, 0, 0, 2, 2] and both.labels.tolist() == [0, 1, 1, 1, 0]
    assert load(tmp_path / "c-test.parquet").split.tolist() == [0, 0]


def test_parquet_folder_and_columns(tmp_path: Path) -> None:
    write_parquet(tmp_path / "hub" / "data" / "train-00000-of-00002.parquet", ["b", "a"], group=["x", "y"])
    write_parquet(tmp_path / "hub" / "data" / "train-00001-of-00002.parquet", ["a", "a"], group=["x", None])
    write_parquet(tmp_path / "hub" / "data" / "test-00000-of-00001.parquet", ["b"], group=["z"])
    table = load(tmp_path / "hub")
    assert table.split.tolist() == [0, 0, 0, 0, 2] and table.group.tolist() == [0, 1, 0, -1, 2]
    assert table.labels.tolist() == [1, 0, 0, 0, 1]
    write_parquet(tmp_path / "one.parquet", ["b", "a", "a"], split=["train", "test", None])
    assert load(tmp_path / "one.parquet").split.tolist() == [0, 2, 0]


def test_parquet_labels_out_of_range(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [0, 5], ["cat", "dog"])
    with pytest.raises(InputError, match="label 5 is out of range; there are 2 classes"):
        load(tmp_path / "a.parquet")
    write_parquet(tmp_path / "b.parquet", [0, -7])
    with pytest.raises(InputError, match="label -7 is out of range"):
        load(tmp_path / "b.parquet")


def test_parquet_that_is_broken(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        load(tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match="no images that augmint can read"):
        load(tmp_path / "b.parquet")
    write_parquet(tmp_path / "c.parquet", [0, 1, 0, 1])
    data = bytearray((tmp_path / "c.parquet").read_bytes())
    data[4:400] = bytes(396)
    (tmp_path / "c.parquet").write_bytes(data)
    with pytest.raises(InputError, match=r"c\.parquet"):
        load(tmp_path / "c.parquet")


# --- IDX ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_folder_and_file(tmp_path: Path, suffix: str) -> None:
    write_idx(tmp_path / f"train-images-idx3-ubyte{suffix}", images(6))
    write_idx(tmp_path / f"train-labels-idx1-ubyte{suffix}", np.array([0, 1, 2, 0, 1, 2]))
    write_idx(tmp_path / f"t10k-images-idx3-ubyte{suffix}", images(3))
    write_idx(tmp_path / f"t10k-labels-idx1-ubyte{suffix}", np.array([2, 1, 0]))
    table = load(tmp_path)
    assert table.shape == (1, 10, 10) and table.classes == ("0", "1", "2")
    assert table.split.tolist() == [0] * 6 + [2] * 3 and table.labels.tolist() == [0, 1, 2, 0, 1, 2, 2, 1, 0]
    assert np.array_equal(table.images[:6, 0].numpy(), images(6))
    one = load(tmp_path / f"t10k-images-idx3-ubyte{suffix}")
    assert one.labels.tolist() == [2, 1, 0] and (one.split == 0).all()


def test_idx_without_labels_is_unlabelled(tmp_path: Path) -> None:
    write_idx(tmp_path / "some-images-idx3-ubyte", images(4))
    assert load(tmp_path).labels.tolist() == [-1] * 4


def idx_bytes(*shape: int, kind: int = 8, data: bytes = b"") -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, kind, len(shape), *shape) + data


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends too early"),
        (b"just some text, no numbers", "not an IDX file"),
        (idx_bytes(2, 10, 10, data=bytes(150)), "ends too early"),
        (idx_bytes(2, 10, 10, data=bytes(201)), "longer than its header"),
        (idx_bytes(4_000_000_000, 28, 28), "ends too early"),
        (idx_bytes(1, 20_000, 20_000), "more than the 80 million allowed"),
        (idx_bytes(3, data=bytes(3)), "not images"),
        (idx_bytes(0, 10, 10), "no images"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_that_is_wrong(tmp_path: Path, content: bytes, message: str, suffix: str) -> None:
    path = tmp_path / f"train-images-idx3-ubyte{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    with pytest.raises(InputError, match=message):
        load(path)


def test_idx_gz_that_is_cut_or_no_gz(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    write_idx(path, images(20))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="cannot be read as IDX"):
        load(path)
    path.write_bytes(b"this was never compressed")
    with pytest.raises(InputError, match="cannot be read as IDX"):
        load(path)


def test_idx_with_another_number_of_labels(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte", images(4))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.array([0, 1]))
    with pytest.raises(InputError, match="4 images but labels of shape"):
        load(tmp_path)


# --- .npz -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "split"),
    [
        (("images", "labels"), None),
        (("x", "y"), None),
        (("data", "target"), None),
        (("x_train", "y_train"), ("x_test", "y_test")),
        (("train_images", "train_labels"), ("test_images", "test_labels")),
    ],
)
def test_npz_names(tmp_path: Path, names: tuple[str, str], split: tuple[str, str] | None) -> None:
    arrays = {names[0]: images(4), names[1]: np.array([[0], [1], [-1], [1]])}
    arrays |= {split[0]: images(2), split[1]: np.array([1, 0])} if split else {}
    np.savez(tmp_path / "a.npz", **arrays)
    table = load(tmp_path / "a.npz")
    assert table.labels.tolist() == [0, 1, -1, 1] + [1, 0] * bool(split)
    assert table.split.tolist() == [0] * 4 + [2, 2] * bool(split)
    assert np.array_equal(table.images[:4, 0].numpy(), images(4))


@pytest.mark.parametrize(
    "array",
    [
        images(3, channels=3),
        images(3, channels=3).transpose(0, 3, 1, 2),
        (images(3, channels=3) / 255).astype(np.float32),
        images(3, channels=3).astype(np.float64),
        images(3, channels=3).astype(np.int64),
        images(3, channels=3).astype(np.uint16) * 257,
        np.concatenate([images(3, channels=3), np.full((3, 10, 10, 1), 255, np.uint8)], 3),
    ],
    ids=["last", "first", "unit", "float", "int64", "uint16", "alpha"],
)
def test_npz_number_types_and_layouts(tmp_path: Path, array: np.ndarray) -> None:
    np.savez_compressed(tmp_path / "a.npz", images=array)
    table = load(tmp_path / "a.npz")
    assert np.array_equal(table.images.numpy(), images(3, channels=3).transpose(0, 3, 1, 2))


def test_npz_options_groups_and_class_names(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz",
        images=images(4, 100, 3),
        labels=np.eye(3)[[0, 2, 2, 1]],
        groups=np.array(["a", "b", "a", "c"]),
        classes=np.array(["x", "y", "z"]),
    )
    table = load(tmp_path / "a.npz", DataSettings(mode="grey"))
    assert table.shape == (1, 32, 32) and table.classes == ("x", "y", "z")
    assert table.labels.tolist() == [0, 2, 2, 1] and table.group.tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.array([{"a": 1}] * 2, dtype=object)}, "never unpickled"),
        ({"images": images(3), "labels": np.array([0, 1])}, "3 images but labels"),
        ({"images": images(3), "labels": np.array([0, 1, 9]), "classes": np.array(["a", "b"])}, "label 9 is out of"),
        ({"images": images(3), "labels": np.array([0.5, 1, 1])}, "0.5 is not a label"),
        ({"images": np.full((2, 8, 8), np.nan)}, "pixels run from"),
        ({"images": np.full((2, 8, 8), -1)}, "pixels run from"),
        ({"images": np.zeros((2, 8, 8, 2, 2))}, "expected .N, H, W."),
        ({"images": np.zeros((2, 8, 8, 7), np.uint8)}, "expected 1"),
        ({"images": np.zeros((0, 8, 8), np.uint8)}, "no images"),
        ({"images": np.zeros((2, 0, 8), np.uint8)}, "dimension is zero"),
        ({"images": np.array(["a", "b"])}, "expected .N, H, W."),
        ({"weights": images(3)}, "no images in it"),
        ({"x_train": images(3), "x_test": images(3, 11)}, "equal in all splits"),
    ],
)
def test_npz_that_is_wrong(tmp_path: Path, arrays: dict, message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=message):
        load(tmp_path / "a.npz")


def test_npz_that_is_no_npz_cut_or_huge(tmp_path: Path) -> None:
    for content in (b"", b"text", b"PK\x03\x04 broken"):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"not a readable \.npz"):
            load(tmp_path / "a.npz")
    np.savez_compressed(tmp_path / "b.npz", images=np.zeros((1, 20_000, 20_000), bool))
    with pytest.raises(InputError, match="more than the 80 million allowed"):
        load(tmp_path / "b.npz")


# --- names ----------------------------------------------------------------------------------------


def test_digits_have_a_fixed_stratified_test_split() -> None:
    table, again = load("digits"), load("digits")
    assert len(table) == 1797 and table.shape == (1, 8, 8) and int(table.images.max()) == 255
    test = torch.bincount(table.labels[table.rows("test")])
    assert ((test >= 33) & (test <= 36)).all() and torch.equal(table.split, again.split)
    assert torch.equal(table.images, again.images) and table.ids.tolist() == again.ids.tolist()


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no data set but what is put into the returned folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AUGMINT_DATA", str(tmp_path / "sets"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sets").mkdir()
    return tmp_path / "sets"


def test_fashion_mnist_is_found_where_it_lies(bare: Path) -> None:
    raw = bare / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for stem, count in (("train", 20), ("t10k", 10)):
        write_idx(raw / f"{stem}-images-idx3-ubyte", images(count, 28))
        write_idx(raw / f"{stem}-labels-idx1-ubyte", np.arange(count) % 10)
    table = load("fashion-mnist")
    assert table.classes[9] == "Ankle boot" and not any("/" in name for name in table.classes)
    assert len(table.rows("test")) in (10, 10_000)


def test_a_missing_set_says_how_to_get_it(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("augmint.data.readers.fashion_mnist.places", lambda *names: [])
    monkeypatch.setattr("augmint.data.readers.cifar10.places", lambda *names: [])
    with pytest.raises(InputError, match="apt-get install dataset-fashion-mnist"):
        load("fashion-mnist")
    with pytest.raises(InputError, match="binary version"):
        load("cifar10")


def test_cifar10_binary_and_parquet_but_never_pickle(bare: Path) -> None:
    folder = bare / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(InputError, match="never unpickled"):
        load("cifar10")
    with pytest.raises(InputError, match="never unpickled"):
        load(folder)
    folder.rename(bare / "away")
    folder = bare / "cifar-10-batches-bin"
    folder.mkdir()
    pixels = images(4, 32, 3)
    rows = np.concatenate([[[3], [0], [9], [1]], pixels.transpose(0, 3, 1, 2).reshape(4, -1)], 1).astype(np.uint8)
    (folder / "data_batch_1.bin").write_bytes(rows[:3].tobytes())
    (folder / "test_batch.bin").write_bytes(rows[3:].tobytes())
    for place in ("cifar10", folder):
        table = load(place)
        assert table.labels.tolist() == [3, 0, 9, 1] and table.split.tolist() == [0, 0, 0, 2]
        assert np.array_equal(table.images.numpy(), pixels.transpose(0, 3, 1, 2)) and table.classes[9] == "truck"
    (folder / "data_batch_1.bin").write_bytes(rows.tobytes()[:-1])
    with pytest.raises(InputError, match="no whole number of images"):
        load(folder)
    write_parquet(bare / "cifar10-train.parquet", [0, 1])
    assert len(load("cifar10")) == 2


def test_nothing_there_and_nothing_known(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder; give a path or one of the names cifar10, digits"):
        load("digitz")
    (tmp_path / "a.docx").write_text("hello")
    with pytest.raises(InputError, match="no images that augmint can read"):
        load(tmp_path / "a.docx")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no image files in this folder"):
        load(tmp_path / "empty")


def test_every_reader_keeps_the_contract() -> None:
    for module in readers.modules():
        assert module.__doc__ and callable(module.claims) and callable(module.read) and isinstance(module.NAMES, tuple)
    assert readers.names() == ["cifar10", "digits", "fashion-mnist"]


# --- new images, and the small parts ----------------------------------------------------------------


def test_decode_prepares_new_images_like_those_of_a_table(user_folder: Path) -> None:
    table = load(user_folder)
    names, found = decode(user_folder / "cat", table.shape)
    assert [Path(name).name for name in names] == ["0.jpg", "1.png", "2.jpg", "3.png"]
    assert torch.equal(found, table.images[torch.nonzero(table.labels == 0)[:, 0]])
    assert torch.equal(decode([names[2]], table.shape)[1], found[2:3])
    with pytest.raises(InputError, match="no such file"):
        decode(["gone.png"], (3, 8, 8))
    with pytest.raises(InputError, match="no image files"):
        decode([], (3, 8, 8))


@given(st.lists(st.one_of(st.none(), st.text(max_size=5), st.integers(-1, 9)), max_size=30))
def test_labels_are_numbered_by_natural_order(values: list) -> None:
    codes, names = encode_labels(values, None, "here")
    assert list(names) == sorted(names, key=natural) and len(set(names)) == len(names)
    for value, code in zip(values, codes, strict=True):
        blank = value is None or value == -1 or (isinstance(value, str) and not value.strip())
        assert (code == -1) == blank and (blank or names[code] == str(value).strip())


@given(st.lists(st.sampled_from(["", "a", "b", None, 3]), max_size=20))
def test_groups_are_equal_where_names_are(values: list) -> None:
    codes = encode_groups(values, len(values))
    for a, x in zip(values, codes, strict=True):
        assert (x == -1) == (a in ("", None))
        assert all((x == y) == (a == b) for b, y in zip(values, codes, strict=True) if a not in ("", None))


@pytest.mark.parametrize(
    ("name", "split"),
    [("cifar10-train", 0), ("test-00000-of-00001", 2), ("my_val", 1), ("t10k-images-idx3", 2), ("photos", None)],
)
def test_splits_in_file_names(name: str, split: int | None) -> None:
    assert split_in(name) == split
