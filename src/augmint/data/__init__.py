"""Images from anywhere → one ImageTable.

table = load("photos/")                       # a folder, manifest, Parquet, IDX, .npz, or "digits"
names, images = decode(["a.jpg"], (3, 32, 32))  # new images, prepared like those of a table
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from augmint.config import DataSettings
from augmint.data.build import make_table
from augmint.data.labels import with_labels
from augmint.data.pixels import BadImage, decode_one
from augmint.data.readers import read
from augmint.data.readers.folder import find_images
from augmint.data.table import Batch, ImageTable
from augmint.data.target import with_target
from augmint.errors import InputError
from augmint.train.progress import QUIET, ProgressOut

DEFAULTS = DataSettings()

__all__ = ["Batch", "ImageTable", "decode", "load"]


def load(
    source: str | Path,
    settings: DataSettings = DEFAULTS,
    progress: ProgressOut = QUIET,
    target: str | Path | None = None,
    labels: Mapping[str, str] | None = None,
) -> ImageTable:
    """All images of `source` at one size and mode, with labels, splits and groups where it has them.

    source   a folder of images, a manifest (CSV or Parquet), Parquet with image bytes, IDX, .npz, or a
             known name: digits, fashion-mnist, cifar10
    target   the same for unlabelled images of the place of use, which follow (see target.py)
    labels   files of labels, and the digest of each, that go over the source's own (see labels.py)

    InputError names the file that cannot be read, and what to do. Decoded files are cached (see cache.py).
    """
    table, _ = make_table(read(source), settings, progress)
    table = with_labels(table, labels, progress) if labels else table
    return table if target is None else with_target(table, target, settings, progress)


def decode(files: Sequence[str | Path] | str | Path, shape: tuple[int, int, int]) -> tuple[list[str], Tensor]:
    """Image files, or all of a folder → (names, uint8 [N, C, H, W]) as a table of that shape has them."""
    given = [Path(files)] if isinstance(files, str | Path) else [Path(file) for file in files]
    paths = [path for place in given for path in (find_images(place) if place.is_dir() else [place])]
    if not paths:
        raise InputError(f"no image files in {', '.join(map(str, given)) or 'an empty list'}; give some")
    images = torch.empty((len(paths), *shape), dtype=torch.uint8)
    for row, path in enumerate(paths):
        try:
            images[row] = torch.from_numpy(decode_one(path, shape[1:], shape[0]).copy())
        except BadImage as bad:
            raise InputError(f"{path}: {bad}; leave it out or replace it") from bad
    return [str(path) for path in paths], images
