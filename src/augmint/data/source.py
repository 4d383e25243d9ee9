"""What a reader hands over: pictures that are not decoded yet, and what is known about each.

    source = readers.read("photos/")          # a Source
    table, facts = make_table(source, settings)    # see build.py

A reader never decodes, resizes or chooses a size; it finds images, labels, splits and groups.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from augmint.errors import InputError

Raw = bytes | Path | np.ndarray[Any, Any] | None
UNLABELLED_FOLDER = re.compile(r"_?unlabell?ed", re.IGNORECASE)
_SPLIT_WORDS = {
    "train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "dev": 1, "test": 2, "testing": 2, "t10k": 2,
}  # fmt: skip


class Pictures(Protocol):
    """Encoded images: files or bytes. `chunks` yields them in order from number `start`, a few at a time."""

    def __len__(self) -> int: ...
    def chunks(self, start: int = 0) -> Iterator[Sequence[Raw]]: ...
    def fingerprint(self) -> str:
        """Changes whenever the content may have changed."""
        ...


@dataclass(frozen=True, eq=False)
class Files:
    """Image files on disk."""

    paths: list[Path]

    def __len__(self) -> int:
        return len(self.paths)

    def chunks(self, start: int = 0) -> Iterator[Sequence[Raw]]:
        for first in range(start, len(self.paths), 128):
            yield self.paths[first : first + 128]

    def fingerprint(self) -> str:
        return "\n".join(stamp(path) for path in self.paths)


def stamp(path: Path) -> str:
    """Name, size and times of a file: differs once its content does."""
    try:
        stat = path.stat()
    except OSError:
        return f"{path.absolute()} missing"
    return f"{path.absolute()} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"


@dataclass(frozen=True, eq=False)
class Source:
    """N pictures and what is known about each.

    pictures   Pictures, or an array [N, H, W] or [N, H, W, C] of any number type
    labels     int64 [N], -1 = unlabelled; index into `classes`
    split      int8 [N]; 0 train, 1 val, 2 test
    group      int64 [N]; -1 = none
    paths      one name per picture, to show to people
    """

    name: str
    pictures: Pictures | np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    classes: tuple[str, ...]
    split: np.ndarray[Any, Any]
    group: np.ndarray[Any, Any]
    paths: list[str]


def source(
    name: str,
    pictures: Pictures | np.ndarray[Any, Any],
    labels: Sequence[Any] | np.ndarray[Any, Any] | None = None,
    classes: Sequence[str] | None = None,
    split: Sequence[int] | np.ndarray[Any, Any] | None = None,
    group: Sequence[Any] | None = None,
    paths: list[str] | None = None,
) -> Source:
    """A Source with the gaps filled in. Labels are class names or numbers; None, "" and -1 = unlabelled."""
    count = len(pictures)
    numbers, names = encode_labels([None] * count if labels is None else labels, classes, name)
    if len(numbers) != count:
        raise InputError(f"{name}: {count} images but {len(numbers)} labels; give one label per image")
    return Source(
        name,
        pictures,
        numbers,
        names,
        np.zeros(count, np.int8) if split is None else np.asarray(split, np.int8),
        encode_groups(group, count),
        [""] * count if paths is None else paths,
    )


def split_of(word: str) -> int | None:
    """0, 1 or 2 for 'train', 'Validation', 'TEST', …; None if the word names no split."""
    return _SPLIT_WORDS.get(word.strip().lower())


def encode_splits(values: Sequence[Any], where: str) -> list[int]:
    """0, 1 or 2 for each word; blank = train. InputError for a word that names no split."""
    texts = ["" if v is None or v != v else str(v) for v in values]
    code = {text: split_of(text) if text.strip() else 0 for text in set(texts)}
    unknown = sorted(text for text, split in code.items() if split is None)
    if unknown:
        raise InputError(f"{where}: split {unknown[0]!r} is none of train, val, test; correct it, or leave it blank")
    return [code[text] or 0 for text in texts]


def split_in(name: str) -> int | None:
    """The split that a file name such as 'cifar10-train.parquet' or 'test-00000-of-00002' speaks of."""
    words = [split_of(word) for word in re.split(r"[^a-z0-9]+", name.lower())]
    return next((split for split in reversed(words) if split is not None), None)


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key: 'class2' before 'class10'."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(p), "") if p.isdigit() and p.isascii() else (1, 0, p.casefold()) for p in parts] + [(2, 0, name)]


def label_name(value: Any, where: str) -> str | None:
    """The name of a class as text; None = unlabelled. InputError for a number that is no label."""
    if value is None or value != value:  # None, NaN
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value.strip() if value.strip() not in ("", "-1") else None
    if isinstance(value, float | np.floating) and not float(value).is_integer():
        raise InputError(f"{where}: {value} is not a label; labels are names or whole numbers")
    if int(value) < -1:
        raise InputError(f"{where}: label {int(value)} is out of range; labels are 0, 1, … (-1 or blank = unlabelled)")
    return None if int(value) == -1 else str(int(value))


def encode_labels(
    values: Sequence[Any] | np.ndarray[Any, Any], classes: Sequence[str] | None, where: str
) -> tuple[np.ndarray[Any, Any], tuple[str, ...]]:
    """int64 [N] and the class names, naturally sorted; with `classes` given, numbers index into them.

    InputError for a number out of the range of `classes` or a label that is neither name nor number.
    """
    plain = values.tolist() if isinstance(values, np.ndarray) else list(values)
    try:
        lookup = {value: label_name(value, where) for value in set(plain)}
    except TypeError as error:  # a list of labels, a date, …
        raise InputError(f"{where}: labels have to be one name or whole number per image ({error})") from error
    if classes is None:
        classes = sorted({name for name in lookup.values() if name is not None}, key=natural)
        index = {name: i for i, name in enumerate(classes)}
    else:
        index = {str(i): i for i in range(len(classes))} | {name: i for i, name in enumerate(classes)}
    outside = sorted({name for name in lookup.values() if name is not None and name not in index}, key=natural)
    if outside:
        number = outside[0].isdigit()
        why = "out of range" if number else "unknown"
        names = ", ".join(list(classes)[:3]) + ", …" * (len(classes) > 3) + ", numbered from 0" * number
        near = get_close_matches(outside[0].lower(), [name.lower() for name in classes], 1)
        meant = "".join(f" (did you mean {name}?)" for name in classes if near and name.lower() == near[0])
        raise InputError(
            f"{where}: label {outside[0]} is {why}{meant}; there are {len(classes)} classes ({names}); "
            "correct it, or put an image of a new class into the source"
        )
    code = {value: -1 if name is None else index[name] for value, name in lookup.items()}
    return np.fromiter((code[value] for value in plain), np.int64, len(plain)), tuple(classes)


def encode_groups(values: Sequence[Any] | None, count: int) -> np.ndarray[Any, Any]:
    """int64 [N]: equal names get equal numbers; blank = -1."""
    if values is None:
        return np.full(count, -1, np.int64)
    texts = ["" if v is None or v != v else str(v).strip() for v in values]
    index = {text: i for i, text in enumerate(sorted({t for t in texts if t}, key=natural))}
    return np.array([index.get(text, -1) for text in texts], np.int64)
