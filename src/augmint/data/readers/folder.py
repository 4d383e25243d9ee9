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


def _shown(name: str) -> str:
    """A file name that can be printed and stored, whatever its bytes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _has_splits(path: Path, places: list[tuple[str, ...]]) -> bool:
    """Whether the top folders are splits. InputError if they are splits and classes at once.

    A class may be called "train": then it lies among other classes and has its images in itself.
    """
    top = {parts[0] for parts in places if len(parts) > 1}
    named = {name for name in top if split_of(name) is not None}
    others = sorted(name for name in top - named if not UNLABELLED_FOLDER.fullmatch(name))
    divided = any(parts[0] in named and len(parts) > 2 for parts in places)
    if named and others and divided:
        raise InputError(
            f"{path}: {min(named)}/ is a split but {others[0]}/ is none; have only train/, val/, test/ here, "
            "or only classes"
        )
    return bool(named) and not others


def _label(parts: tuple[str, ...]) -> str | None:
    """The class of a file by its path below the split: its first folder."""
    return None if len(parts) < 2 or UNLABELLED_FOLDER.fullmatch(parts[0]) else parts[0]


def read(path: Path) -> Source:
    """The images of a folder with the labels and splits that its sub-folders give them."""
    files = find_images(path)
    if not files:
        raise InputError(f"{path}: no image files in this folder; put some into {path}/<class>/ and {path}/_unlabeled/")
    places = [tuple(_shown(part) for part in file.relative_to(path).parts) for file in files]
    splits = _has_splits(path, places)
    rows = []
    for file, parts in zip(files, places, strict=True):
        where = split_of(parts[0]) if splits and len(parts) > 1 else None
        label = _label(parts if where is None else parts[1:])
        rows.append((where or 0, natural("/".join(parts)), "/".join(parts), label, file))
    rows.sort(key=lambda row: row[:2])
    split, _, names, labels, paths = (list(column) for column in zip(*rows, strict=True))
    return source(path.resolve().name, Files(paths), labels, split=split, paths=names)
