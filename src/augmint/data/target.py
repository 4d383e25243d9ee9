"""Two domains: a labelled source, and the unlabelled images of the place of use (`--target`) joined to it.

    table = with_target(load("scans/"), "ward/", settings.data, progress)
    table.domain                    # int8 [N]: 0 source, 1 target

Target images get the source's size and mode. Those to learn from lose their labels, if they had any: only labels of a
test or validation split are kept, to judge by. They follow the source's rows, whose identities do not change.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augmint.config import DataSettings
from augmint.data import cache
from augmint.data.build import images_of, make_table
from augmint.data.duplicates import content
from augmint.data.mapped import Mapped, blocks
from augmint.data.readers import read
from augmint.data.table import SPLITS, UNLABELLED, ImageTable
from augmint.errors import InputError
from augmint.train import memory
from augmint.train.progress import ProgressOut

Names = np.ndarray[Any, Any]
LEAST = 10  # images that say what the place of use looks like


def with_target(table: ImageTable, place: str | Path, settings: DataSettings, progress: ProgressOut) -> ImageTable:
    """`table` [N, …] and after it the target's images [M, …], `domain` 1.

    InputError if the target has fewer than 10 images to learn from, shows the source's own, or has a class that the
    source lacks.
    """
    channels, height, _ = table.shape
    alike = settings.model_copy(update={"size": height, "mode": "grey" if channels == 1 else "rgb"})
    target, _ = make_table(read(place), alike, progress)
    _refuse(table, target)
    count = len(table)
    return ImageTable(
        images=_joined(table, target, settings),
        labels=torch.cat([table.labels, _labels(table, target)]),
        ids=np.concatenate([table.ids, _numbered(target.ids, count)]),
        split=torch.cat([table.split, target.split]),
        group=torch.cat([table.group, _apart(target.group, table.group)]),
        weight=torch.cat([table.weight, target.weight]),
        classes=table.classes,
        paths=np.concatenate([table.paths, target.paths]),
        name=f"{table.name} → {target.name}",
        domain=torch.cat([torch.zeros(count, dtype=torch.int8), torch.ones(len(target), dtype=torch.int8)]),
    )


def _refuse(table: ImageTable, target: ImageTable) -> None:
    learnt = target.rows("train")
    if len(learnt) < LEAST:
        raise InputError(
            f"target {target.name}: {len(learnt)} images to learn from; give at least {LEAST} outside test/"
        )
    known = np.isin(content(target.ids[learnt.numpy()]), content(table.ids))
    if known.all():
        raise InputError(
            f"target {target.name}: all {len(learnt)} images to learn from are in the source as well; leave --target "
            "out, or give images of the place of use"
        )


def _labels(table: ImageTable, target: ImageTable) -> Tensor:
    """The target's labels in the source's numbering, those of its train split left out."""
    held = target.split != SPLITS.index("train")
    code = {name: i for i, name in enumerate(table.classes)}
    used = torch.unique(target.labels[held & (target.labels >= 0)]).tolist()
    strange = [target.classes[label] for label in used if target.classes[label] not in code]
    if strange:
        raise InputError(
            f"target {target.name}: class {strange[0]!r} is none of the source's ({', '.join(table.classes[:3])}, …); "
            "rename it or leave it out"
        )
    found = torch.full_like(target.labels, UNLABELLED)
    for label in used:
        found[held & (target.labels == label)] = code[target.classes[label]]
    return found


def _numbered(ids: Names, first: int) -> Names:
    """The identities with rows counted from `first`."""
    return np.array([f"{name}:{first + row}" for row, name in enumerate(content(ids))])


def _apart(group: Tensor, others: Tensor) -> Tensor:
    """Groups by numbers that none of `others` has."""
    return torch.where(group >= 0, group + int(others.max()) + 1, group)


def _joined(table: ImageTable, target: ImageTable, settings: DataSettings) -> Tensor | Mapped:
    """All images as one array, in memory or, where they are many, on disk (as in build.py)."""
    shape = (len(table) + len(target), *table.shape)
    with cache.making(None) as part:
        pixels = part.pixels(shape, round(settings.resident * memory.available()))
        row = 0
        for block in (b for images in (table.images, target.images) for b in blocks(images)):
            pixels[row : row + len(block)] = block.numpy()
            row += len(block)
        return images_of(pixels, np.ones(len(pixels), bool), settings)
