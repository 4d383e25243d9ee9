"""Fashion-MNIST (Xiao, Rasul & Vollgraf 2017) from wherever it lies on this machine: `augmint run fashion-mnist`."""

import os
from pathlib import Path

from augmint.data.readers import idx
from augmint.data.source import Source
from augmint.errors import InputError

NAMES = ("fashion-mnist",)
CLASSES = [
    "T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip
FILES = ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte")


def places(*names: str) -> list[Path]:
    """Folders in which known data sets are looked for: $AUGMINT_DATA, the system's, torchvision's, the cache."""
    named = os.environ.get("AUGMINT_DATA")
    roots = [Path(named)] if named else []
    roots += [Path("/usr/share/datasets"), Path("data"), Path.home() / "data", Path.home() / ".cache"]
    roots += [Path.home() / ".cache" / "torchvision", Path.home() / ".cache" / "augmint-data"]
    return [root / name for root in roots for name in names]


def claims(path: Path) -> int:
    """Only by name."""
    return 0


def _pair(folder: Path) -> list[Path] | None:
    found = [next((p for p in (folder / f"{n}.gz", folder / n) if p.is_file()), None) for n in FILES]
    return [p for p in found if p] if all(found) else None


def read(path: Path) -> Source:
    """60,000 training and 10,000 test images, 28×28 grey. InputError says how to get them."""
    for folder in places("fashion-mnist", "FashionMNIST/raw", "FashionMNIST", "fashion_mnist"):
        files = _pair(folder)
        if files:
            return idx.read_files(files, "fashion-mnist", CLASSES)
    raise InputError(
        "fashion-mnist is not on this machine; `apt-get install dataset-fashion-mnist`, or put its four .gz files "
        "into a folder fashion-mnist/ and set AUGMINT_DATA to the folder around it"
    )
