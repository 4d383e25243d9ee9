"""NumPy's .npz (and .npy): arrays of images with labels. Object arrays, which would be unpickled, are refused.

images, labels · x, y · data, target                        no split
x_train, y_train, x_test, y_test · train_images, …          splits (also x_val, val_images)
classes (names), groups                                     optional
"""

import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from augmint.data.pixels import BadImage, check_pixels
from augmint.data.source import Source, source, split_of
from augmint.errors import InputError

NAMES: tuple[str, ...] = ()
IMAGES = ("images", "image", "x", "data", "imgs")
LABELS = ("labels", "label", "y", "target", "targets")
GROUPS = ("groups", "group")
Array = np.ndarray[Any, Any]
BROKEN = (
    *(OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, struct.error),
    *(OverflowError, SyntaxError, TokenError, RuntimeError),  # false headers; encrypted, compressed in unknown ways
)


def claims(path: Path) -> int:
    """*.npz and *.npy."""
    return 5 if path.suffix.lower() in (".npz", ".npy") and path.is_file() else 0


def _check_header(file: Any, name: str) -> None:
    """Look at the shape before any memory is reserved for it."""
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    reader: Callable[[Any], Any] | None = read.get(version)
    if reader is None:
        raise BadImage(f"{name} is stored in version {version} of NumPy's format; write it again with np.savez")
    shape, _, kind = reader(file)
    if kind.hasobject:
        raise BadImage(f"{name} holds Python objects, which are never unpickled; store plain numbers")
    if len(shape) >= 3:
        height, width = shape[2:] if len(shape) == 4 and shape[1] in (1, 3, 4) else shape[1:3]
        check_pixels(int(width), int(height))


def _arrays(path: Path) -> dict[str, Array]:
    try:
        if path.suffix.lower() == ".npy":
            with open(path, "rb") as file:
                _check_header(file, path.name)
            return {"images": np.load(path, allow_pickle=False)}
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".npy"):
                    with archive.open(name) as member:
                        _check_header(member, name.removesuffix(".npy"))
        with np.load(path, allow_pickle=False) as stored:
            found = {name: stored[name] for name in stored.files}
        return {name: array for name, array in found.items() if isinstance(array, np.ndarray)}  # else other files
    except BadImage as bad:
        raise InputError(f"{path}: {bad}") from bad
    except MemoryError as error:
        raise InputError(f"{path}: larger than the memory; store the images as files or Parquet") from error
    except BROKEN as error:
        raise InputError(f"{path}: not a readable .npz file ({str(error).splitlines()[0]}); write it again") from error


def _role(name: str) -> tuple[str, int] | None:
    """What an array is and of which split: 'x_train' → ('images', 0)."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    splits = [split_of(word) for word in words if split_of(word) is not None]
    rest = [word for word in words if split_of(word) is None]
    if len(rest) != 1 or len(splits) > 1:
        return None
    for role, known in (("images", IMAGES), ("labels", LABELS), ("groups", GROUPS)):
        if rest[0] in known:
            return role, splits[0] or 0 if splits else 0
    return None


def _flat(labels: Array, count: int, where: str) -> Array:
    """[N], [N, 1] or one-hot [N, K] → [N]."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    elif labels.ndim == 2 and labels.dtype.kind in "biuf" and ((labels == 0) | (labels == 1)).all():
        labels = np.where(labels.sum(1) == 1, labels.argmax(1), -1)
    if labels.shape != (count,):
        raise InputError(f"{where}: {count} images but labels of shape {labels.shape}; give one label per image")
    return labels


def read(path: Path) -> Source:
    """All splits in the file, as one source."""
    arrays = _arrays(path)
    roles = {_role(name): array for name, array in arrays.items() if _role(name)}
    splits = [split for split in range(3) if ("images", split) in roles]
    if not splits:
        raise InputError(
            f"{path}: no images in it (found: {', '.join(arrays)}); name them images, or x_train and x_test"
        )
    images = [roles["images", split] for split in splits]
    if any(array.ndim < 3 or array.shape[1:] != images[0].shape[1:] for array in images):
        shapes = ", ".join(str(array.shape) for array in images)
        raise InputError(f"{path}: images of shape {shapes}; expected [N, H, W] or [N, H, W, C], equal in all splits")
    labels: list[Any] = []
    groups: list[Any] = []
    for split, array in zip(splits, images, strict=True):
        given = roles.get(("labels", split))
        count = len(array)
        labels += [None] * count if given is None else _flat(given, count, str(path)).tolist()
        groups += np.ravel(roles.get(("groups", split), np.full(count, ""))).tolist()
    names = arrays.get("classes", arrays.get("label_names"))
    return source(
        path.stem,
        np.concatenate(images),
        labels,
        None if names is None else [str(name) for name in np.ravel(names).tolist()],
        np.repeat(splits, [len(array) for array in images]),
        groups if len(groups) == len(labels) else None,
    )
