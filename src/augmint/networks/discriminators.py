"""Discriminators: is a candidate real, and does it belong to its anchor? Logits, above 0 for real.

    judge = PairDiscriminator(shape=(1, 28, 28), width=24)      # by name: networks/judges.py
    logits = judge(images, parents)          # float 0 … 1 [N, C, H, W] twice → float [N]

All are called with candidates and anchors; those with `pairs = False` do not look at the anchors. None of
them but the article's head has BatchNorm: its logits would depend on what else is in the batch.
"""

from typing import cast

import torch
from torch import Tensor, nn

from augmint.networks.codec import ImageEncoder, Shape, pyramid


class Discriminator(nn.Module):
    """candidates [N, …], anchors [N, …] → logits float [N]. `pairs`: it looks at the anchors."""

    pairs: bool
    gain = 1.0

    @property
    def mixes(self) -> bool:
        """An image's logit depends on its batch: BatchNorm learns its statistics here."""
        return any(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and layer.training for layer in self.modules())

    def score(self, candidates: Tensor, anchors: Tensor) -> Tensor:
        """float [N], before the gain."""
        raise NotImplementedError

    def forward(self, candidates: Tensor, anchors: Tensor) -> Tensor:
        return self.gain * self.score(candidates, anchors)


def convolutions(inner: int, shape: Shape, width: int) -> tuple[list[nn.Module], int]:
    """Convolutions that halve the image until its side is under 8, then one more, flattened; and their output size."""
    sizes = pyramid(shape[1:])
    layers: list[nn.Module] = []
    for level in range(len(sizes) - 1):
        outer = width * 2 ** min(level, 2)
        layers += [nn.Conv2d(inner, outer, 4 if level else 3, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        inner = outer
        if level:  # a 4 × 4 kernel rounds odd sizes down
            layers.insert(-2, _Even())
    # Flattened first: the gradient of a flattened tensor has another order in memory than the maps, which is slow.
    layers += [nn.Conv2d(inner, 2 * inner, 3, 1, 1), nn.Flatten(), nn.LeakyReLU(0.2, inplace=True)]
    return layers, 2 * inner * sizes[-1][0] * sizes[-1][1]


class _Even(nn.Module):
    """Odd sides padded by one, so that halving rounds up as in `pyramid`."""

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        return nn.functional.pad(x, (0, width % 2, 0, height % 2)) if height % 2 or width % 2 else x


class ImageDiscriminator(Discriminator):
    """Convolutions, then a fully connected layer: real or generated (SYSTEM 4)."""

    pairs = False

    def __init__(self, shape: Shape, width: int) -> None:
        super().__init__()
        layers, size = convolutions(shape[0], shape, width)
        self.layers = nn.Sequential(*layers, nn.Linear(size, 1))

    def score(self, candidates: Tensor, anchors: Tensor) -> Tensor:
        return cast(Tensor, self.layers(candidates * 2 - 1))[:, 0]


class PairDiscriminator(Discriminator):
    """The same on candidate and anchor stacked as channels: are both real and of one class?

    Not symmetric: the anchor is always real, the candidate is what is judged.
    """

    pairs = True

    def __init__(self, shape: Shape, width: int) -> None:
        super().__init__()
        layers, size = convolutions(2 * shape[0], shape, width)
        self.layers = nn.Sequential(*layers, nn.Linear(size, 1))

    def score(self, candidates: Tensor, anchors: Tensor) -> Tensor:
        return cast(Tensor, self.layers(torch.cat([candidates, anchors], 1) * 2 - 1))[:, 0]


class SiameseDiscriminator(Discriminator):
    """One trunk for both images; logit = w·φ(x) + φ(x)·V φ(x′), after the projection discriminator
    (Miyato & Koyama, "cGANs with projection discriminator", ICLR 2018) with an image as the condition."""

    pairs = True

    def __init__(self, shape: Shape, width: int, features: int = 128) -> None:
        super().__init__()
        layers, size = convolutions(shape[0], shape, width)
        self.trunk = nn.Sequential(*layers, nn.Linear(size, features), nn.LeakyReLU(0.2))
        self.own = nn.Linear(features, 1)
        self.match = nn.Linear(features, features, bias=False)

    def score(self, candidates: Tensor, anchors: Tensor) -> Tensor:
        both = self.trunk(torch.cat([candidates, anchors]) * 2 - 1)
        x, condition = both.chunk(2)
        matched: Tensor = x * self.match(condition)
        return cast(Tensor, self.own(x))[:, 0] + matched.sum(1)


def article_head(features: int = 128) -> nn.Sequential:
    """128 → 512 → BatchNorm → LeakyReLU(0.2) → 1, the article's (SYSTEM 4)."""
    return nn.Sequential(
        nn.Linear(features, 512, bias=False), nn.BatchNorm1d(512), nn.LeakyReLU(0.2), nn.Linear(512, 1)
    )


class ProjectionDiscriminator(Discriminator):
    """The article's head on a projection of 128 numbers, which a convolutional network of its own makes.
    BatchNorm inside: give it real and generated images in one call."""

    pairs = False

    def __init__(self, shape: Shape, width: int, features: int = 128) -> None:
        super().__init__()
        self.projection = ImageEncoder(shape, width, features)
        self.head = article_head(features)

    def score(self, candidates: Tensor, anchors: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.projection(candidates)))[:, 0]


class FeatureDiscriminator(Discriminator):
    """Three layers on a feature vector: real or generated."""

    pairs = False

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.layers = _mlp(features, hidden)

    def score(self, candidates: Tensor, anchors: Tensor) -> Tensor:
        return cast(Tensor, self.layers(candidates))[:, 0]


class FeaturePairDiscriminator(Discriminator):
    """Three layers on candidate, anchor and their difference: both real and of one class?"""

    pairs = True

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.layers = _mlp(3 * features, hidden)

    def score(self, candidates: Tensor, anchors: Tensor) -> Tensor:
        return cast(Tensor, self.layers(torch.cat([candidates, anchors, candidates - anchors], 1)))[:, 0]


def _mlp(inner: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inner, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1)
    )
