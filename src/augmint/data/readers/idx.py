"""IDX files, the format of MNIST, plain or .gz: a folder of them, or one file of images.

train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz

The labels of X-images-idx3-… are looked for in X-labels-idx1-… beside it. Two zero bytes, a type, the
number of dimensions, their sizes (big-endian), then the values (LeCun, Cortes & Burges, MNIST).
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from augmint.data.pixels import BadImage, check_pixels
from augmint.data.source import Source, source, split_in
from augmint.errors import InputError

TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
NAMES: tuple[str, ...] = ()
BLOCK = 1 << 24


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else open(path, "rb")


def _is_idx(path: Path) -> bool:
    stem = path.name.removesuffix(".gz")
    return ("idx" in stem or stem.endswith("ubyte")) and not path.is_dir()


def _image_files(folder: Path) -> list[Path]:
    found = {
        p.name.removesuffix(".gz"): p for p in sorted(folder.iterdir()) if _is_idx(p) and "images" in p.name
    }  # the plain file comes first in the order and .gz replaces it; both hold the same
    return sorted(found.values(), key=lambda p: (split_in(p.name) or 0, p.name))


def claims(path: Path) -> int:
    """Files with 'idx' or 'ubyte' in their name, folders that hold some with images."""
    if path.is_dir():
        return 5 if _image_files(path) else 0
    return 5 if _is_idx(path) else 0


def _read_exactly(file: IO[bytes], count: int) -> bytes:
    """`count` bytes and not more, block by block: a false header must not make us reserve memory."""
    parts = []
    while count > 0 and (block := file.read(min(count, BLOCK))):
        parts.append(block)
        count -= len(block)
    if count > 0:
        raise EOFError("it ends too early")
    return b"".join(parts)


def read_array(path: Path) -> np.ndarray[Any, Any]:
    """The array in an IDX file. InputError if it is truncated, longer than it says, or no IDX file."""
    try:
        with _open(path) as file:
            zeros, kind, dims = struct.unpack(">HBB", _read_exactly(file, 4))
            if zeros or kind not in TYPES or not 1 <= dims <= 4:
                raise InputError(f"{path}: not an IDX file (wrong first bytes); is it the right file?")
            shape = struct.unpack(f">{dims}I", _read_exactly(file, 4 * dims))
            if dims >= 3:
                check_pixels(shape[1], shape[2])
            kind_of = np.dtype(TYPES[kind])
            data = _read_exactly(file, math.prod(shape) * kind_of.itemsize)
            if file.read(1):
                raise InputError(f"{path}: longer than its header says ({shape}); get the file again")
    except (OSError, EOFError, zlib.error, struct.error, BadImage) as error:
        raise InputError(f"{path}: cannot be read as IDX ({error}); get the file again") from error
    return np.frombuffer(data, kind_of).reshape(shape).astype(kind_of.newbyteorder("="), copy=False)


def _labels_of(images: Path) -> np.ndarray[Any, Any] | None:
    name = images.name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    plain = name.removesuffix(".gz")
    beside = [images.with_name(n) for n in (name, plain, f"{plain}.gz") if n != images.name]
    found = next((path for path in beside if path.exists()), None)
    return None if found is None else read_array(found)


def read_files(files: list[Path], name: str, classes: list[str] | None = None) -> Source:
    """Image files with their labels as one source; the split is read off the file names."""
    images, labels, split = [], [], []
    for path in files:
        images.append(read_array(path))
        if images[-1].ndim < 3:
            raise InputError(f"{path}: holds numbers of shape {images[-1].shape}, not images; give the file of images")
        if images[-1].shape[1:] != images[0].shape[1:]:
            raise InputError(f"{path}: images of another size than in {files[0].name}; load them one by one")
        given = _labels_of(path)
        labels.append(np.full(len(images[-1]), -1) if given is None else given.astype(np.int64))
        if labels[-1].shape != (len(images[-1]),):
            raise InputError(f"{path}: {len(images[-1])} images but labels of shape {labels[-1].shape}")
        where = (split_in(path.name) or 0) if len(files) > 1 else 0
        split.append(np.full(len(images[-1]), where, np.int8))
    return source(name, np.concatenate(images), np.concatenate(labels), classes, np.concatenate(split))


def read(path: Path) -> Source:
    """A folder of IDX files with its splits, or one file as training images."""
    return read_files(_image_files(path) if path.is_dir() else [path], path.name.removesuffix(".gz"))
