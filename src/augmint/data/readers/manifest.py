"""A manifest: a CSV or Parquet table that lists image files beside it.

    file_name,label,split,group
    img/001.png,cat,train,patient7
    img/002.png,,,                       blank label = unlabelled, blank split = train

Semicolons or tabs instead of commas, and UTF-16, are read as well: spreadsheets save so. Only file_name is required. A
folder with metadata.csv, manifest.csv (or .parquet) is read by it. Files are relative to the manifest's folder and must
lie in it, links followed.
"""

import csv
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from augmint.data.readers.parquet import image_column
from augmint.data.source import Files, Source, encode_splits, source
from augmint.errors import InputError

NAMES: tuple[str, ...] = ()
COLUMNS = ("file_name", "label", "split", "group", "source")
STEMS = ("metadata", "manifest")
SUFFIXES = (".csv", ".tsv", ".parquet")


def _within(folder: Path) -> Path | None:
    found = (folder / f"{stem}{suffix}" for stem in STEMS for suffix in SUFFIXES)
    return next((path for path in found if path.is_file() and _lists_files(path)), None)


def _lists_files(path: Path) -> bool:
    if path.suffix != ".parquet":
        return True
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException):
        return False
    return "file_name" in schema.names and image_column(schema) is None


def claims(path: Path) -> int:
    """*.csv, *.tsv, Parquet with file_name and no images; a folder that holds such a file."""
    if path.is_dir():
        return 6 if _within(path) else 0
    return 6 if path.suffix.lower() in SUFFIXES and _lists_files(path) else 0


def _from_csv(path: Path) -> dict[str, list[Any]]:
    try:
        with open(path, "rb") as raw:
            encoding = "utf-16" if raw.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        with open(path, newline="", encoding=encoding) as file:
            header = file.readline()
            file.seek(0)
            rows = list(csv.reader(file, delimiter=max(",;\t", key=header.count), strict=True))
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable CSV file ({error}); save it as UTF-8 CSV") from error
    rows = [row for row in rows if row]
    head = [name.strip() for name in rows[0]] if rows else []
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(head):
            raise InputError(f"{path}: row {number} has {len(row)} fields, the header {len(head)}; correct that row")
    return {name: [row[i] for row in rows[1:]] for i, name in enumerate(head)}


def _from_parquet(path: Path) -> dict[str, list[Any]]:
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(columns=[name for name in COLUMNS if name in file.schema_arrow.names])
            return {name: table.column(name).to_pylist() for name in table.column_names}
    except (OSError, pa.ArrowException, ValueError, OverflowError) as error:  # the last two: times beyond Python's
        raise InputError(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})") from error


def columns(path: Path) -> dict[str, list[Any]]:
    """The columns of a CSV or Parquet table by name. InputError if it cannot be read."""
    return _from_parquet(path) if path.suffix == ".parquet" else _from_csv(path)


@lru_cache(maxsize=4096)
def _real(folder: str) -> str:
    return os.path.realpath(folder)


def inside(folder: Path, name: str, manifest: Path) -> Path:
    """The file `name` of a manifest. InputError if it lies outside `folder`, by .., absolutely or by a link."""
    if "\0" in name:
        raise InputError(f"{manifest}: {name!r} is no name of a file; correct it")
    path = folder / name
    linked = os.path.islink(path)  # noqa: PTH114 (Path's raises where a name is too long)
    real = os.path.realpath(path) if linked else str(Path(_real(str(path.parent)), path.name))
    base = _real(str(folder))
    if Path(name).is_absolute() or path.name == ".." or not real.startswith(base.rstrip(os.sep) + os.sep):
        raise InputError(f"{manifest}: {name} lies outside the manifest's folder; move the file into {folder}")
    return path


def read(path: Path) -> Source:
    """The listed files with their labels, splits and groups."""
    _real.cache_clear()
    path = path if path.is_file() else _within(path) or path
    found = columns(path)
    if "file_name" not in found:
        raise InputError(f"{path}: no column file_name (found: {', '.join(found) or 'nothing'}); add it")
    names = [str(name or "").strip() for name in found["file_name"]]
    if "" in names:
        raise InputError(f"{path}: row {names.index('') + 2} has no file_name; fill it in or remove the row")
    files = [inside(path.parent, name, path) for name in names]
    split = encode_splits(found.get("split", [None] * len(names)), str(path))
    where = path.parent.resolve().name if path.stem in STEMS else path.stem
    return source(where, Files(files), found.get("label"), split=split, group=found.get("group"), paths=names)
