"""Features of many images as one Parquet file, written and read a row group at a time.

write(path, Shown(table, pool, few, val), features)      # features(rows) → float32 [len(rows), D]
for vectors in read(path): ...                           # float32 [n, D] of one row group after another

id, file_name   of the image, as in manifest.parquet
split           train (the pool that the encoder learnt from) or val
label, class    of the labels that the run may use, else null and ""
feature         fixed_size_list<float32>, of length 1
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from augmint.data.table import UNLABELLED, ImageTable
from augmint.errors import InputError

SCHEMA = 1
GROUP = 8192  # rows of a row group: 4 MiB of 128 floats


@dataclass(frozen=True, eq=False)
class Shown:
    """The images to show, as rows of `table`, and whose labels may be shown with them."""

    table: ImageTable
    pool: Tensor  # what the encoder learnt from
    few: Tensor  # rows of the pool whose labels the run may use
    val: Tensor  # labelled rows outside the pool

    @cached_property
    def rows(self) -> Tensor:
        """int64 [N]: the pool, then the validation slice."""
        return torch.cat([self.pool, self.val])

    @cached_property
    def places(self) -> Tensor:
        """int64, by row of the table: the place in `rows`, beyond the last for images that are not shown."""
        found = torch.full((len(self.table),), len(self.rows))
        found[self.rows] = torch.arange(len(self.rows))
        return found

    @cached_property
    def labels(self) -> Tensor:
        """int64 [N] for `rows`; -1 for all that the run may not use."""
        usable = torch.full((len(self.table),), UNLABELLED)
        allowed = torch.cat([self.few, self.val])
        usable[allowed] = self.table.labels[allowed]
        return usable[self.rows]

    def columns(self, places: Tensor) -> dict[str, pa.Array]:
        """id, file_name, split, label and class of these places of `rows`."""
        rows, labels = self.rows[places].numpy(), self.labels[places].tolist()
        names = ("", *self.table.classes)
        return {
            "id": pa.array(self.table.ids[rows].tolist(), pa.string()),
            "file_name": pa.array(self.table.paths[rows].tolist(), pa.string()),
            "split": pa.array(np.where(places.numpy() < len(self.pool), "train", "val").tolist(), pa.string()),
            "label": pa.array([None if label < 0 else label for label in labels], pa.int64()),
            "class": pa.array([names[label + 1] for label in labels], pa.string()),
        }


Vectors = Callable[[Tensor], Tensor]  # rows of the table → float32 [n, D]


def write(path: Path, shown: Shown, features: Vectors) -> None:
    """Store all images of `shown`; `features` answers float32 [n, D] for n rows of the table. Whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    rows, writer = shown.rows, None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for places in torch.split(torch.arange(len(rows)), GROUP):
            group = _group(shown, places, features(rows[places]))
            writer = writer or pq.ParquetWriter(part, group.schema)
            writer.write_table(group)
        if writer is not None:
            writer.close()
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error}; free space or choose another --out") from error


def _group(shown: Shown, places: Tensor, vectors: Tensor) -> pa.Table:
    flat = pa.array(vectors.float().contiguous().numpy().reshape(-1), pa.float32())
    feature = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    return pa.table({**shown.columns(places), "feature": feature}).replace_schema_metadata({"schema": str(SCHEMA)})


def read(path: Path) -> Iterator[Tensor]:
    """The features of a file that `write` stored, float32 [n, D] of one row group after another."""
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(GROUP, columns=["feature"]):
                yield vectors(batch.column("feature"))
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"cannot read {path}: {error}; delete it and give the same command again") from error


def at(path: Path, places: Tensor) -> Tensor:
    """The features at these places (int64, sorted), float32 [len(places), D]."""
    found, start = [], 0
    for part in read(path):
        mine = places[(places >= start) & (places < start + len(part))]
        found.append(part[mine - start])
        start += len(part)
    return torch.cat(found)


def vectors(column: Any) -> Tensor:
    """A column of fixed-size lists as float32 [n, D]."""
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return torch.from_numpy(np.array(flat).reshape(len(column), -1))
