"""CIFAR-10 (Krizhevsky 2009): `augmint run cifar10`, or the folder of its binary version.

Looked for as cifar10-train.parquet and cifar10-test.parquet, as a folder cifar10/ of Parquet files, and as
cifar-10-batches-bin/. The "python version" is a pickle and is never opened.
"""

from pathlib import Path
from typing import Any

import numpy as np

from augmint.data.readers import parquet
from augmint.data.readers.fashion_mnist import places
from augmint.data.source import Source, source
from augmint.errors import InputError

NAMES = ("cifar10",)
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
TRAIN = [f"data_batch_{i}.bin" for i in range(1, 6)]
ROW = 1 + 3 * 32 * 32  # label, then the red, green and blue planes
ADVICE = "get the binary version (cifar-10-binary.tar.gz) or Parquet files"


def claims(path: Path) -> int:
    """A folder with data_batch_1.bin, or with the pickled data_batch_1, to say why not."""
    return 7 if path.is_dir() and any((path / name).is_file() for name in (TRAIN[0], "data_batch_1")) else 0


def _batch(path: Path) -> np.ndarray[Any, Any]:
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; get the file again") from error
    if len(data) == 0 or len(data) % ROW:
        raise InputError(f"{path}: {len(data):,} bytes is no whole number of images; get the file again")
    return data.reshape(-1, ROW)


def _from_binary(folder: Path) -> Source:
    if not (folder / TRAIN[0]).is_file():
        raise InputError(f"{folder}: this is the pickled version of CIFAR-10, which is never unpickled; {ADVICE}")
    train = np.concatenate([_batch(folder / name) for name in TRAIN if (folder / name).is_file()])
    test = _batch(folder / "test_batch.bin") if (folder / "test_batch.bin").is_file() else train[:0]
    rows = np.concatenate([train, test])
    split = np.repeat([0, 2], [len(train), len(test)])
    images = rows[:, 1:].reshape(-1, 3, 32, 32)
    return source("cifar10", images, rows[:, 0].astype(np.int64), CLASSES, split)


def read(path: Path) -> Source:
    """50,000 training and 10,000 test images, 32×32 RGB. InputError says how to get them."""
    if path.is_dir() and str(path) not in NAMES:
        return _from_binary(path)
    for place in places("cifar10-train.parquet", "cifar10", "cifar-10-batches-bin", "cifar-10-batches-py"):
        if claims(place):
            return _from_binary(place)
        if place.exists() and parquet.claims(place):
            return parquet.read(place)
    raise InputError(f"cifar10 is not on this machine; {ADVICE}, and set AUGMINT_DATA to the folder around them")
