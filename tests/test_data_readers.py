"""Known names, new images, and the small parts that all readers share."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from augmint.data import decode, load, readers
from augmint.data.source import encode_groups, encode_labels, natural, split_in
from augmint.errors import InputError
from test_data_arrays import images, write_idx
from test_data_parquet import write_parquet

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
    assert len(table.rows("test")) == 10


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
        blank = value in (None, -1) or str(value).strip() in ("", "-1")
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


@pytest.mark.parametrize("labels", [[["a", "b"], ["a"]], [{"x": 1}, 2], [object(), 1]])
def test_labels_of_another_kind_are_refused(labels: list) -> None:
    with pytest.raises(InputError, match="one name or whole number per image"):
        encode_labels(labels, None, "here")
