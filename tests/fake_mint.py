"""Generators of known character and a pool of digits, to test minting."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from augmint.config import MintSettings
from augmint.data.table import ImageTable
from augmint.mint import Minted, Thresholds, mint_images, thresholds_from
from augmint.seeding import Draws


def digits(count: int = 600, channels: int = 1, classes: tuple[str, ...] | None = None) -> ImageTable:
    data = load_digits()
    images = torch.from_numpy(data.images[:count] / 16 * 255).round().byte()[:, None].repeat(1, channels, 1, 1)
    return ImageTable(
        images=images,
        labels=torch.from_numpy(data.target[:count].astype(np.int64)),
        ids=np.array([f"{row:016x}:{row}" for row in range(count)]),
        split=torch.zeros(count, dtype=torch.int8),
        group=torch.arange(count) // 3,
        weight=torch.ones(count),
        classes=classes or tuple(str(i) for i in range(10)),
        paths=np.array([f"digits/{row}.png" for row in range(count)]),
    )


@dataclass
class Fake:
    """child = parent + level * noise + shift; D's logit = mean brightness of the child / 10."""

    level: float = 60.0
    shift: float = 0.0

    def generate(self, images: Tensor, draws: Draws) -> Tensor:
        noise = draws.normal("noise", *images.shape[1:])
        return (images.float() + self.level * noise + self.shift).clamp(0, 255).round().byte()

    def look(self, parents: Tensor) -> Tensor:
        return parents

    def realness(self, images: Tensor, parents: Tensor) -> Tensor:
        return images.float().mean((1, 2, 3)) / 10


class Constant(Fake):
    def generate(self, images: Tensor, draws: Draws) -> Tensor:
        return torch.full_like(images, 100)


class Collapsed(Fake):
    """One and the same image, unlike any real one."""

    def generate(self, images: Tensor, draws: Draws) -> Tensor:
        one = Draws(0, "collapsed", 0, torch.zeros(1, dtype=torch.int64)).uniform("x", *images.shape[1:])
        return (one * 150).round().byte().repeat(len(images), 1, 1, 1)


class Sickly(Fake):
    def realness(self, images: Tensor, parents: Tensor) -> Tensor:
        return torch.full((len(images),), torch.nan)


def sure(images: Tensor) -> Tensor:
    """A classifier that agrees with everything."""
    return torch.full((len(images), 10), 0.9)


LOOSE = MintSettings(realness=(0.0, 1.0), copy_quantile=0.01)


def measured(pool: ImageTable, settings: MintSettings = LOOSE) -> Thresholds:
    return thresholds_from(Fake(), pool, pool.images.flatten(1).float(), settings, 0)


def mint(generator: Fake, pool: ImageTable, count: int = 60, settings: MintSettings = LOOSE, seed: int = 0) -> Minted:
    rows = torch.arange(count)
    return mint_images(generator, pool, rows, pool.labels[rows], sure, settings, seed, measured(pool, settings))
