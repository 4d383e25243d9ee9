"""Parquet with image bytes and labels, the layout of Hugging Face's data sets.

    image: struct<bytes, path> (or plain binary), label: int or string, optionally split and group

A file X-train.parquet brings its siblings X-test.parquet and X-val.parquet along; a folder is read with
all its Parquet files, split by their names (train-00000-of-00002.parquet).
"""

import json
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from augmint.data.source import Raw, Source, encode_splits, source, split_in, stamp
from augmint.errors import InputError

NAMES: tuple[str, ...] = ()
LABELS = ("label", "labels", "class", "target", "fine_label", "y")
BUFFER = 1 << 20  # bytes read at a time: a column of images may be larger than memory
IMAGES = ("image", "img", "images", "bytes")
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class ParquetImages:
    """The image column of some files, read a batch at a time."""

    files: list[Path]
    column: str
    counts: list[int]

    def __len__(self) -> int:
        return sum(self.counts)

    def chunks(self, start: int = 0) -> Iterator[Sequence[Raw]]:
        for path, count in zip(self.files, self.counts, strict=True):
            first, start = start, max(0, start - count)
            if first >= count:
                continue
            try:
                with pq.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False) as file:
                    for batch in file.iter_batches(128, columns=[self.column]):
                        values = batch.column(0)[first:]
                        first = max(0, first - len(batch))
                        inner = values.field("bytes") if pa.types.is_struct(values.type) else values
                        if len(inner):
                            yield inner.to_pylist()
            except (OSError, pa.ArrowException) as error:
                raise _broken(path, error) from error

    def fingerprint(self) -> str:
        return "\n".join([self.column, *(stamp(path) for path in self.files)])


def _broken(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]}); get the file again")


def schema_of(path: Path) -> Any:
    """The Arrow schema of a file. InputError if it is no Parquet file."""
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise _broken(path, error) from error


def _is_image(field: Any) -> bool:
    """Bytes, alone or in a struct: text there would be taken for the name of a file, a number for an open one."""
    kind = field.type
    if pa.types.is_struct(kind):
        return any(_is_image(kind.field(i)) for i in range(kind.num_fields) if kind.field(i).name == "bytes")
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def image_column(schema: Any) -> str | None:
    """The name of the column of images, or None."""
    found = [field.name for field in schema if _is_image(field)]
    return next((name for name in IMAGES if name in found), found[0] if found else None)


def _order(path: Path) -> tuple[int, str]:
    """Training files first."""
    return split_in(path.stem) or 0, str(path)


def _files(path: Path) -> list[Path]:
    """All files that belong to `path`."""
    if path.is_dir():
        return sorted((p for p in path.rglob("*.parquet") if not p.name.startswith(".")), key=_order)
    if split_in(path.stem) != 0:
        return [path]
    start = path.stem.lower().rsplit("train", 1)[0]
    beside = [
        p
        for p in sorted(path.parent.glob("*.parquet"), key=_order)
        if p.stem.lower().startswith(start) and split_in(p.stem[len(start) :]) is not None
    ]
    return beside if path in beside else [path]


def claims(path: Path) -> int:
    """*.parquet with a column of images; a folder of such files."""
    files = _files(path) if path.is_dir() else [path] * (path.suffix == ".parquet")
    return 4 if files and image_column(schema_of(files[0])) else 0


def _class_names(schema: Any, column: str | None) -> list[str] | None:
    """The names that Hugging Face stores beside the schema."""
    try:
        stored = json.loads((schema.metadata or {})[b"huggingface"])
        names = stored["info"]["features"][column]["names"]
        return [str(name) for name in names]
    except (KeyError, TypeError, ValueError):
        return None


def _names_from_paths(labels: list[Any], paths: list[str]) -> list[str] | None:
    """Class names, where the images' stored folders tell them without contradiction (…/automobile/1.jpg)."""
    if not all(isinstance(label, Hashable) for label in labels):  # lists, …: refused where labels are read
        return None
    pairs = {(label, Path(path).parent.name) for label, path in zip(labels, paths, strict=True) if label is not None}
    numbers, names = {a for a, _ in pairs}, {b for _, b in pairs}
    clear = len(pairs) == len(numbers) == len(names) and "" not in names
    if not clear or numbers != set(range(len(numbers))):
        return None
    return [name for _, name in sorted(pairs)]


def _columns(file: Path, image: str, wanted: list[str]) -> tuple[int, Row]:
    """The number of rows, the wanted columns that are there, and 'path' for each row."""
    schema = schema_of(file)
    if image_column(schema) != image:
        raise InputError(f"{file}: no column of images called {image}, as in the other files; put it elsewhere")
    kind = schema.field(image).type
    inner = [f"{image}.path"] if pa.types.is_struct(kind) and kind.get_field_index("path") >= 0 else []
    try:
        with pq.ParquetFile(file) as opened:
            table = opened.read(columns=[*(name for name in wanted if name in schema.names), *inner])
            rows = opened.metadata.num_rows
        values: Row = {name: table.column(name).to_pylist() for name in table.column_names if name != image}
    except (OSError, pa.ArrowException, ValueError, OverflowError) as error:  # the last two: times beyond Python's
        raise _broken(file, error) from error
    known: list[Any] = [None] * rows
    if inner:
        known = [p for chunk in table.column(image).chunks for p in chunk.field("path").to_pylist()]
    values["path"] = [str(name) if name else f"{file.name}#{row}" for row, name in enumerate(known)]
    return rows, values


def read(path: Path) -> Source:
    """One file, a file with its siblings, or a folder of files."""
    files = _files(path)
    schema = schema_of(files[0])
    image = image_column(schema)
    if image is None:
        raise InputError(f"{path}: no column of images; expected a struct with 'bytes', or binary, named image")
    label = next((name for name in LABELS if name in schema.names), None)
    split: list[int] = []
    all_of: dict[str, list[Any]] = {"label": [], "group": [], "path": []}
    counts: list[int] = []
    for file in files:
        rows, values = _columns(file, image, [label or "", "split", "group"])
        where = (split_in(file.stem) or 0) if len(files) > 1 else 0
        split += encode_splits(values["split"], file.name) if "split" in values else [where] * rows
        for name, column in (("label", label), ("group", "group"), ("path", "path")):
            all_of[name] += values.get(column or "", [None] * rows)
        counts.append(rows)
    classes = _class_names(schema, label) or _names_from_paths(all_of["label"], all_of["path"])
    name = path.stem if path.is_file() else path.resolve().name
    pictures = ParquetImages(files, image, counts)
    return source(name, pictures, all_of["label"], classes, split, all_of["group"], all_of["path"])
