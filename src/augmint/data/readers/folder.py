"""Folders of image files.

    train|val|test/<class>/…  and  train/_unlabeled/…       splits
    <class>/…                 and  _unlabeled/…             no splits
    *.jpg, *.png, …                                         no labels

Hidden files and whatever is not named like an image are left alone.
"""

import os
from pathlib import Path

from augmint.data.pixels import SUFFIXES
from augmint.data.source import UNLABELLED_FOLDER, Files, Source, natural, source, split_of
from augmint.errors import InputError

NAMES: tuple[str, ...] = ()


def claims(path: Path) -> int:
    """Every folder, unless another reader is surer."""
    return 1 if path.is_dir() else 0


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def find_images(folder: Path) -> list[Path]:
    """All image files below `folder`, in order of names; a loop of links is walked once."""
    found, seen = [], set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not _hidden(name))
        found += [
            Path(place, name) for name in sorted(files) if not _hidden(name) and Path(name).suffix.lower() in SUFFIXES
        ]
    return [path for path in found if path.is_file()]


def _label(parts: tuple[str, ...]) -> str | None:
    """The class of a file by its path below the split: its first folder."""
    return None if len(parts) < 2 or UNLABELLED_FOLDER.fullmatch(parts[0]) else parts[0]


def read(path: Path) -> Source:
    """The images of a folder with the labels and splits that its sub-folders give them."""
    folders = [p.name for p in path.iterdir() if p.is_dir() and not _hidden(p.name)]
    files = find_images(path)
    if not files:
        raise InputError(f"{path}: no image files in this folder; put some into {path}/<class>/ and {path}/_unlabeled/")
    splits = any(split_of(name) == 0 for name in folders)
    rows = []
    for file in files:
        parts = file.relative_to(path).parts
        where = split_of(parts[0]) if splits and len(parts) > 1 else None
        label = _label(parts if where is None else parts[1:]) if where is not None or not splits else None
        rows.append((where or 0, natural("/".join(parts)), "/".join(parts), label, file))
    rows.sort(key=lambda row: row[:2])
    split, _, names, labels, paths = (list(column) for column in zip(*rows, strict=True))
    return source(path.resolve().name, Files(paths), labels, split=split, paths=names)
