"""The one type that every room speaks: images as uint8 with their labels, splits and identities.

table = load("photos/")                  # any source, see data/__init__.py
few = table.take(rows)                   # a subset keeps every image's identity
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augmint.data.mapped import Mapped
from augmint.train.compute import fits

UNLABELLED = -1
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class ImageTable:
    """N images of one size and mode, and what is known about each.

    images   uint8 [N, C, H, W]; C is 1 (grey) or 3 (RGB). Resident, or rows of a memory map on disk
             (data/mapped.py): then `take` copies nothing. Read them by `gather`.
    labels   int64 [N]; index into `classes`, -1 = unlabelled.
    ids      unicode [N]; 16 hex digits of the decoded content + ":" + the row, stable in subsets.
    split    int8 [N]; index into SPLITS.
    group    int64 [N]; images of one group (patient, sequence) stay on one side; -1 = none.
    weight   float32 [N]; weight in a loss.
    parent   unicode [N] or None; id of the real parent of a minted image.
    paths    unicode [N]; where the image came from, to show to people ("" if nowhere).
    domain   int8 [N] or None; 0 source, 1 target (the unlabelled place of use). None: there is no target.
    """

    images: Tensor | Mapped
    labels: Tensor
    ids: np.ndarray[Any, Any]
    split: Tensor
    group: Tensor
    weight: Tensor
    classes: tuple[str, ...]
    paths: np.ndarray[Any, Any]
    parent: np.ndarray[Any, Any] | None = None
    name: str = "images"
    domain: Tensor | None = None

    @staticmethod
    def of(images: Tensor, labels: Tensor, classes: tuple[str, ...]) -> "ImageTable":
        """Images uint8 [N, C, H, W] of which no more is known than labels int64 [N]: training images, numbered."""
        count = len(labels)
        split, group, weight = torch.zeros(count, dtype=torch.int8), torch.full((count,), -1), torch.ones(count)
        ids, paths = np.arange(count).astype(str), np.full(count, "")
        return ImageTable(images, labels, ids, split, group, weight, classes, paths)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        channels, height, width = self.images.shape[1:]
        return int(channels), int(height), int(width)

    def rows(self, split: str) -> Tensor:
        """int64: the rows of 'train', 'val' or 'test'."""
        return torch.nonzero(self.split == SPLITS.index(split))[:, 0]

    @property
    def of_target(self) -> Tensor:
        """bool [N]: the images of the target."""
        return torch.zeros(len(self), dtype=torch.bool) if self.domain is None else self.domain == 1

    def take(self, rows: Tensor | np.ndarray[Any, Any]) -> "ImageTable":
        """The table of these rows, in this order; identities, splits and parents go along."""
        index = torch.as_tensor(rows)
        array = index.cpu().numpy()
        return replace(
            self,
            images=self.gather(index) if isinstance(self.images, Tensor) else self.images.take(index),
            labels=self.labels[index],
            ids=self.ids[array],
            split=self.split[index],
            group=self.group[index],
            weight=self.weight[index],
            paths=self.paths[array],
            parent=None if self.parent is None else self.parent[array],
            domain=None if self.domain is None else self.domain[index],
        )

    def gather(self, rows: Tensor, device: torch.device | str | None = None) -> Tensor:
        """uint8 [len(rows), C, H, W] on `device` (default: where the images are)."""
        stored = self.images
        images = stored.index_select(0, rows.to(stored.device)) if isinstance(stored, Tensor) else stored.read(rows)
        return images if device is None else images.to(device, non_blocking=True)

    def on(self, device: torch.device) -> "ImageTable":
        """The same with its images there, where they leave room for the training; else as it is: `gather` brings
        them batch by batch."""
        if device.type == "cpu" or not isinstance(self.images, Tensor) or not fits(self.images.nbytes, device):
            return self
        return replace(self, images=self.images.to(device))

    def identity(self, rows: Tensor) -> list[list[str]]:
        """[id, class name] of each of these rows, "" for no label: what depends on them depends on this."""
        names = ("", *self.classes)
        labels = (self.labels[rows] + 1).tolist()
        return [[name, names[label]] for name, label in zip(self.ids[rows.numpy()].tolist(), labels, strict=True)]

    def with_labels(self, labels: Tensor) -> "ImageTable":
        """The same images under other labels (int64 [N])."""
        return replace(self, labels=labels)


@dataclass(frozen=True, eq=False)
class Batch:
    """What augmentations and losses work on.

    images   float32 [N, C, H, W] in 0 … 1 (policies also take uint8 and convert it first).
    targets  float32 [N, classes], rows sum to 1 (soft under MixUp, CutMix, propagation), or None.
    weights  float32 [N], or None for equal weights.
    """

    images: Tensor
    targets: Tensor | None = None
    weights: Tensor | None = None
