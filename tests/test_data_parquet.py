"""Parquet with image bytes becomes the same table."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from augmint.data import load
from augmint.errors import InputError
from conftest import picture
from test_data_pixels import encoded

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


@pytest.mark.parametrize("inner", [str, int])
def test_what_is_no_bytes_is_never_opened_as_a_file(tmp_path: Path, inner: type) -> None:
    picture(1).save(tmp_path / "secret.png")
    images = [{"bytes": inner(tmp_path / "secret.png") if inner is str else i, "path": "x"} for i in (1, 2)]
    pq.write_table(pa.table({"image": images, "label": [0, 1]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="no images that augmint can read"):
        load(tmp_path / "a.parquet")


ODD = {
    "nanoseconds": pa.array([1, 2], pa.timestamp("ns")),
    "durations": pa.array([1, 2], pa.duration("ns")),
    "far future": pa.array([2**58, 1], pa.timestamp("us")),
    "lists": pa.array([[1], [2]]),
    "structs": pa.array([{"a": 1}, {"a": 2}]),
}


@pytest.mark.parametrize("labels", ODD.values(), ids=ODD)
@pytest.mark.parametrize("manifest", [False, True])
def test_labels_that_are_none_are_refused(tmp_path: Path, labels: pa.Array, manifest: bool) -> None:
    data = [encoded(picture(i)) for i in range(2)]
    first = {"file_name": ["0.png", "1.png"]} if manifest else {"image": [{"bytes": d, "path": "x.png"} for d in data]}
    pq.write_table(pa.table({**first, "label": labels}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="a"):
        load(tmp_path / "a.parquet")
