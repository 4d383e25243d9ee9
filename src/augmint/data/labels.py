"""Labels from files laid over a source: the next step after `augmint pick`.

table = with_labels(load("photos/"), {"runs/photos/pick/manifest.csv": file_digest(…)})

A file is a CSV or Parquet table with a column `label` and the image's name in the source: in a column `source`, as
`augmint pick` writes it, or else `file_name`. Images without a name (arrays) go by their identity. Blank labels are
passed over: those images stay as they are.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from augmint.data.readers.manifest import columns
from augmint.data.source import encode_labels, label_name
from augmint.data.table import ImageTable
from augmint.errors import InputError
from augmint.train.checkpoint import atomic_write
from augmint.train.progress import QUIET, ProgressOut
from augmint.train.rundir import file_digest


def with_labels(table: ImageTable, files: Mapping[str, str], progress: ProgressOut = QUIET) -> ImageTable:
    """`table` with the labels of these files (path → digest of its content) over its own; says how many.

    InputError for a file that has changed since, an image that the table lacks or that is labelled as two things, a
    class that the source lacks (one without any labels takes all classes from the files), or no label at all.
    """
    rows_of, given = _rows(table), dict[int, str]()
    for file, content in files.items():
        for number, name, label in _filled(Path(file), content):
            if name not in rows_of:
                raise InputError(
                    f"{file}: row {number} labels {name}, which is none of the {len(table):,} images of {table.name}; "
                    "correct the name, or give the source that the labels are for"
                )
            for row in rows_of[name]:
                if given.setdefault(row, label) != label:
                    raise InputError(f"{file}: row {number} labels {name} {label}, but it is {given[row]} already")
    where = ", ".join(files)
    if not given:
        raise InputError(f"{where}: no label is filled in; write class names into the column label")
    numbers, classes = encode_labels(list(given.values()), table.classes or None, where)
    rows, labels = torch.tensor(list(given)), table.labels.clone()
    labels[rows] = torch.from_numpy(numbers)
    replaced = int(((table.labels[rows] >= 0) & (table.labels[rows] != labels[rows])).sum())
    others = f", {replaced} of them in place of another" if replaced else ""
    told = [classes[k] for k in torch.unique(labels[rows]).tolist()]
    count = f"{len(given):,} label{'s' * (len(given) > 1)}"
    progress.say(f"{count} of {', '.join(told[:5])}{', …' * (len(told) > 5)} from {where}{others}")
    return replace(table, labels=labels, classes=classes)


def keep(files: Mapping[str, str], folder: Path) -> None:
    """Copy the files into the run in `folder`, each named by its digest: theirs may be moved or deleted."""
    for file, content in files.items():
        copy = _copy(file, content, folder)
        if not copy.exists():
            atomic_write(copy, Path(file).read_bytes())


def at_hand(files: Mapping[str, str], *folders: Path) -> dict[str, str]:
    """The files, or in place of one that is no longer there its copy in the first of these runs that has it."""
    found = {}
    for file, content in files.items():
        copies = (_copy(file, content, folder) for folder in folders if not Path(file).exists())
        found[str(next((copy for copy in copies if copy.exists()), file))] = content
    return found


def _copy(file: str, content: str, folder: Path) -> Path:
    return folder / "labels" / f"{content}{Path(file).suffix}"


def _rows(table: ImageTable) -> dict[str, list[int]]:
    """The rows of every name: the path in the source, or the identity where there is none."""
    found = defaultdict(list)
    for row, (path, name) in enumerate(zip(table.paths.tolist(), table.ids.tolist(), strict=True)):
        found[path or name].append(row)
    return found


def _filled(file: Path, content: str) -> list[tuple[int, str, str]]:
    """(number of the row, name in the source, label) of all rows that have a label."""
    if file_digest(file) != content:
        raise InputError(f"{file} has changed; give it again with --labels (after a finished run with --out, too)")
    found = columns(file)
    names = found.get("file_name", [])
    if "label" not in found or not ({"source", "file_name"} & set(found)):
        raise InputError(
            f"{file}: labels need the columns label and source or file_name (found: {', '.join(found) or 'nothing'})"
        )
    names = [source or name for source, name in zip(found.get("source", names), names or found["source"], strict=True)]
    labels = [label_name(label, str(file)) for label in found["label"]]
    rows = enumerate(zip(names, labels, strict=True), 2)
    return [(number, str(name or "").strip(), label) for number, (name, label) in rows if label is not None]
