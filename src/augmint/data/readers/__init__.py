"""Readers: anything → Source. One file a format, found by itself.

    source = read("photos/")        # a folder, a manifest, a Parquet, IDX or .npz file, or a known name

A reader is a module of this package with

    NAMES = ("digits",)                           # known names, if any
    def claims(path: Path) -> int                 # how surely this path is mine: 0 = not at all; the highest reads it
    def read(path: Path) -> Source                # `path` is the name itself for NAMES
"""

import pkgutil
from importlib import import_module
from pathlib import Path
from types import ModuleType

from augmint.data.source import Source
from augmint.errors import InputError


def modules() -> list[ModuleType]:
    """All readers, in the order of their file names."""
    return [import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]


def names() -> list[str]:
    """The names that can be given in place of a path."""
    return sorted(name for module in modules() for name in getattr(module, "NAMES", ()))


def read(place: str | Path) -> Source:
    """The source at a path, or by a known name (write ./digits for a folder of that name).

    InputError if nothing is there or no reader knows what is.
    """
    for module in modules():
        if str(place) in getattr(module, "NAMES", ()):
            found: Source = module.read(Path(place))
            return found
    path = Path(place).expanduser()
    if not path.exists():
        raise InputError(f"{place}: no such file or folder; give a path or one of the names {', '.join(names())}")
    best = max(modules(), key=lambda module: module.claims(path))
    if not best.claims(path):
        raise InputError(
            f"{place}: no images that augmint can read; give a folder of images, a manifest (CSV or Parquet with a "
            "column file_name), Parquet with image bytes, IDX or .npz"
        )
    chosen: Source = best.read(path)
    return chosen
