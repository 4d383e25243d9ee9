"""Discriminators that stand on a representation: one that learns it contrastively, others that borrow the encoder's.

    judge = ContrastiveDiscriminator(shape=(3, 32, 32), width=32)
    features = judge.features(images)                       # float 0 … 1 [N, C, H, W] → [N, 128]
    logits = judge.read(features.detach())                  # what D learns real / generated from
    real, fake = judge.real(features), judge.fake(features)  # two projections [N, 128] for the contrastive losses

ContraD (Jeong & Shin, "Training GANs with stronger augmentations via contrastive discriminator", ICLR 2021): the
convolutions learn from contrastive losses alone, a small head on top says real or generated. G's gradient passes
through all of it. The losses are in generate/contrast.py.

    trunk = FrozenTrunk(encoder.network, mean, matrix, shape)
    seen = trunk(images)                                    # once for all discriminators: float [N, size]
    logits = MapsDiscriminator(trunk, width=32)(seen, anchors)

A trained encoder knows from the first step what a discriminator of a few thousand steps hardly learns: what tells one
thing from another, and which details go with it.
"""

import copy
import math
from typing import cast

import torch
from torch import Tensor, nn

from augmint.networks.backbones import Backbone
from augmint.networks.codec import Shape
from augmint.networks.discriminators import Discriminator, FeaturePairDiscriminator, article_head, convolutions
from augmint.networks.projectors import Projector, article

Levels = tuple[tuple[int, int], ...]  # channels and cells of the maps of each level


def _two_layers(inner: int, hidden: int, outer: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inner, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, outer))


class ContrastiveDiscriminator(Discriminator):
    """Convolutions → 128 features; on them a head 128 → 512 → 1 and two projections. No BatchNorm anywhere."""

    pairs = False

    def __init__(self, shape: Shape, width: int, features: int = 128) -> None:
        super().__init__()
        layers, size = convolutions(shape[0], shape, width)
        self.features = nn.Sequential(*layers, nn.Linear(size, features), nn.LeakyReLU(0.2))
        self.head = _two_layers(features, 512, 1)
        self.real = _two_layers(features, features, features)
        self.fake = _two_layers(features, features, features)

    def read(self, features: Tensor) -> Tensor:
        """Logits float [N] of features [N, 128], gain included."""
        return self.gain * cast(Tensor, self.head(features))[:, 0]

    def score(self, candidates: Tensor, anchors: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.features(candidates)))[:, 0]


class FrozenTrunk(nn.Module):
    """A copy of a trained encoder whose weights stay: what discriminators see of an image where they stand on it.

    images float 0 … 1 [N, C, H, W] → float [N, size]: the maps of every level, cell by cell, then `outputs` whitened
    features, of length √outputs. Gradients pass to the images. It stays in evaluation mode, so what is seen of an image
    does not depend on its batch. H and W are those of `shape`; `whole` brings larger images to this size.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, backbone: Backbone, mean: Tensor, matrix: Tensor, shape: Shape) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(backbone).eval().requires_grad_(False)
        self.outputs = matrix.shape[1]
        self.register_buffer("mean", mean.clone())
        self.register_buffer("matrix", matrix.clone())
        with torch.no_grad():
            maps, _ = self.backbone.see(torch.zeros(1, *shape, device=next(backbone.parameters()).device))
        self.size = shape[1:]
        levels = tuple((level.shape[1], level.shape[2] * level.shape[3]) for level in maps)
        self.levels: Levels = levels or ((self.outputs, 1),)  # without maps the features stand for them

    def train(self, mode: bool = True) -> "FrozenTrunk":
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        maps, hidden = self.backbone.see(images)
        cells = [level.permute(0, 2, 3, 1).flatten(1) for level in maps]  # in memory they lie so already
        return torch.cat([*(level.float() for level in cells), self._whitened(hidden.float())], 1)

    def whole(self, images: Tensor) -> Tensor:
        """Images [N, C, H, W] of any size, made smaller to that of the trunk; as they are if they have it."""
        if tuple(images.shape[2:]) == tuple(self.size):
            return images
        return nn.functional.interpolate(images.float(), self.size, mode="bilinear", antialias=True)

    def features(self, images: Tensor) -> Tensor:
        """Float [N, outputs] of images of any size; of the trunk's own, the last of what `forward` gives."""
        return self._whitened(self.backbone(images).float())

    def _whitened(self, hidden: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            return self.of_whitened((nn.functional.normalize(hidden, dim=1) - self.mean) @ self.matrix)

    def of_whitened(self, features: Tensor) -> Tensor:
        """The same as `features`, of the encoder's whitened ones [N, d], d at least `outputs`, of any length."""
        unit: Tensor = nn.functional.normalize(features[:, : self.outputs].float(), dim=1)
        return unit * math.sqrt(self.outputs)

    def maps(self, seen: Tensor) -> list[Tensor]:
        """[N, cells, channels] of every level of what `forward` gave."""
        return _maps(seen, self.levels)


def _maps(seen: Tensor, levels: Levels) -> list[Tensor]:
    sizes = [channels * cells for channels, cells in levels]
    parts = torch.split(seen[:, : sum(sizes)], sizes, 1)
    return [part.view(len(seen), cells, channels) for part, (channels, cells) in zip(parts, levels, strict=True)]


class MapsDiscriminator(Discriminator):
    """Two layers on every cell of the maps that an encoder sees, the mean over cells and levels: real or generated?
    After Sauer et al., "Projected GANs converge faster", NeurIPS 2021, without their mixing of channels and levels.

    Candidates are what the trunk gives, float [N, size].
    """

    pairs = False

    def __init__(self, trunk: FrozenTrunk, width: int) -> None:
        super().__init__()
        self.levels = trunk.levels
        self.heads = nn.ModuleList(_two_layers(channels, width, 1) for channels, _ in self.levels)

    def score(self, candidates: Tensor, anchors: Tensor) -> Tensor:
        levels = _maps(candidates, self.levels)
        told = [head(level).mean((1, 2)) for head, level in zip(self.heads, levels, strict=True)]
        return torch.stack(told).mean(0)


class MatchDiscriminator(FeaturePairDiscriminator):
    """Three layers on the features of candidate and anchor and their difference: both real and of one class?

    Candidates are what the trunk gives, float [N, size]; anchors its features [N, outputs].
    """

    def score(self, candidates: Tensor, anchors: Tensor) -> Tensor:
        return super().score(candidates[:, -anchors.shape[1] :], anchors)


class EncoderDiscriminator(Discriminator):
    """The article's projection (→ 512 → 128) and head (→ 512 → 1) on a trained encoder's features; BatchNorm inside.

    Candidates are what the trunk gives, float [N, size].
    """

    pairs = False

    def __init__(self, features: int) -> None:
        super().__init__()
        self.projection: Projector = article(features)
        self.head = article_head(self.projection.features)
        self.size = features

    def score(self, candidates: Tensor, anchors: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.projection(candidates[:, -self.size :])))[:, 0]
