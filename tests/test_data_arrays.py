"""IDX and .npz: every layout, and everything that can be wrong with one."""

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from augmint.config import DataSettings
from augmint.data import load
from augmint.errors import InputError


def write_idx(path: Path, array: np.ndarray) -> None:
    data = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def images(count: int, size: int = 10, channels: int = 0) -> np.ndarray:
    shape = (count, size, size, channels) if channels else (count, size, size)
    return np.random.default_rng(count).integers(0, 256, shape, dtype=np.uint8)


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


def npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header.encode() + b"\n"


@pytest.mark.parametrize("shape", ["(18446744073709551617, 8, 8)", "(" * 500])
def test_npz_with_a_false_header(tmp_path: Path, shape: str) -> None:
    content = npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", content)
    (tmp_path / "a.npy").write_bytes(content)
    for name in ("a.npz", "a.npy"):
        with pytest.raises(InputError, match=r"not a readable \.npz"):
            load(tmp_path / name)


@pytest.mark.parametrize(("first", "central", "value"), [(6, 8, 1), (8, 10, 99)], ids=["encrypted", "compression"])
def test_npz_that_zipfile_cannot_open(tmp_path: Path, first: int, central: int, value: int) -> None:
    np.savez(tmp_path / "a.npz", images=images(3))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[first] = data[data.find(b"PK\x01\x02") + central] = value
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        load(tmp_path / "a.npz")


def test_npz_with_other_files_in_it_and_one_class_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images", b"cos\nsystem\n")
    with pytest.raises(InputError, match="no images in it"):
        load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", images=images(3), labels=np.zeros(3, int), classes=np.array("cat"))
    assert load(tmp_path / "b.npz").classes == ("cat",)
