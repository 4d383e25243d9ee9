"""The run's manifest.parquet: which image is which row, its split, group and label.

write_manifest(table, run / "manifest.parquet")
manifest = read_manifest(run / "manifest.parquet")      # manifest.labels, manifest.classes, …
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from augmint.data.mapped import Mapped, blocks
from augmint.data.table import SPLITS, ImageTable
from augmint.errors import InputError
from augmint.train.checkpoint import atomic_write

SCHEMA = 1
COLUMNS = ("row", "id", "file_name", "sha256", "split", "group", "label", "class")


@dataclass(frozen=True, eq=False)
class Manifest:
    """What manifest.parquet says; all arrays have one entry per image, in the order of the table."""

    ids: np.ndarray[Any, Any]  # unicode
    file_names: list[str]
    sha256: list[str]  # of the decoded pixels
    split: np.ndarray[Any, Any]  # int8, index into SPLITS
    group: np.ndarray[Any, Any]  # int64
    labels: np.ndarray[Any, Any]  # int64, -1 = unlabelled
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


def hashes(images: Tensor | Mapped) -> list[str]:
    """SHA-256 of the pixels of each image; images: uint8 [N, C, H, W], resident or on disk."""
    arrays = (image for block in blocks(images) for image in block.numpy())
    return [hashlib.sha256(np.ascontiguousarray(image).data).hexdigest() for image in arrays]


def write_manifest(table: ImageTable, path: Path) -> None:
    """Store the manifest of a table, whole or not at all. InputError if the disk refuses."""
    labels = table.labels.tolist()
    columns = {
        "row": pa.array(range(len(table)), pa.int64()),
        "id": pa.array(table.ids.tolist(), pa.string()),
        "file_name": pa.array(table.paths.tolist(), pa.string()),
        "sha256": pa.array(hashes(table.images), pa.string()),
        "split": pa.array([SPLITS[i] for i in table.split.tolist()], pa.string()),
        "group": pa.array(table.group.tolist(), pa.int64()),
        "label": pa.array(labels, pa.int64()),
        "class": pa.array([table.classes[i] if i >= 0 else "" for i in labels], pa.string()),
    }
    if table.domain is not None:
        columns["domain"] = pa.array([("source", "target")[i] for i in table.domain.tolist()], pa.string())
    note = {"schema": str(SCHEMA), "classes": json.dumps(table.classes), "name": table.name}
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table(columns).replace_schema_metadata(note), buffer)
    atomic_write(path, buffer.getvalue().to_pybytes())


def read_manifest(path: Path) -> Manifest:
    """What `write_manifest` stored. InputError if the file is not one of ours."""
    try:
        stored = pq.read_table(path)
        note = stored.schema.metadata or {}
        if note.get(b"schema") != str(SCHEMA).encode():
            raise InputError(f"{path} is not a manifest of this version of augmint; start the run again")
        column = {name: stored.column(name).to_pylist() for name in COLUMNS}
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise InputError(f"cannot read {path}: {str(error).splitlines()[0]}; start the run again") from error
    return Manifest(
        np.array(column["id"], dtype=str),
        column["file_name"],
        column["sha256"],
        np.array([SPLITS.index(name) for name in column["split"]], np.int8),
        np.array(column["group"], np.int64),
        np.array(column["label"], np.int64),
        tuple(json.loads(note[b"classes"])),
    )
