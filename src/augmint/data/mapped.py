"""Images that stay on disk: a read-only memory map, and which of its rows are meant.

    images = Mapped(np.memmap(path, np.uint8, "r", shape=(200_000, 3, 64, 64)), np.arange(200_000))
    few = images.take(rows)             # composes row numbers, reads nothing
    few.read(batch)                     # uint8 [B, 3, 64, 64], a tensor

Only ImageTable and those that build one know of it; everybody else calls `gather` and `take` of the table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

BLOCK = 1 << 24  # bytes that `blocks` reads at a time


@dataclass(frozen=True, eq=False)
class Mapped:
    """pixels uint8 [M, C, H, W], a memory map or a part of one; rows int64 [N] of it, the images meant."""

    pixels: np.ndarray[Any, Any]
    rows: np.ndarray[Any, Any]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        channels, height, width = self.pixels.shape[1:]
        return len(self.rows), int(channels), int(height), int(width)

    def take(self, rows: Tensor) -> "Mapped":
        """These images, in this order: 8 bytes each."""
        return Mapped(self.pixels, self.rows[rows.cpu().numpy()])

    def read(self, rows: Tensor) -> Tensor:
        """uint8 [len(rows), C, H, W] on the CPU, read in the order of the disk."""
        wanted = self.rows[rows.cpu().numpy()]
        images = np.empty((len(wanted), *self.pixels.shape[1:]), np.uint8)
        pixels = self.pixels.view(np.ndarray)
        for place in np.argsort(wanted, kind="stable"):
            images[place] = pixels[wanted[place]]
        return torch.from_numpy(images)


def blocks(images: Tensor | Mapped) -> Iterator[Tensor]:
    """All images in order, uint8 [at most 16 MiB of them, C, H, W] at a time, on the CPU."""
    count, *form = images.shape
    for rows in torch.split(torch.arange(count), max(1, BLOCK // int(np.prod(form)))):
        yield images.read(rows) if isinstance(images, Mapped) else images[rows[0] : rows[-1] + 1].cpu()
