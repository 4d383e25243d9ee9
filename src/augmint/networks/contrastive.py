"""Discriminators that stand on a representation: one that learns it contrastively, one that borrows the encoder's.

    judge = ContrastiveDiscriminator(shape=(3, 32, 32), width=32)
    features = judge.features(images)                       # float 0 … 1 [N, C, H, W] → [N, 128]
    logits = judge.read(features.detach())                  # what D learns real / generated from
    real, fake = judge.real(features), judge.fake(features)  # two projections [N, 128] for the contrastive losses

ContraD (Jeong & Shin, "Training GANs with stronger augmentations via contrastive discriminator", ICLR 2021): the
convolutions learn from contrastive losses alone, a small head on top says real or generated. G's gradient passes
through all of it. The losses are in generate/contrast.py.
"""

import copy
import math
from typing import cast

import torch
from torch import Tensor, nn

from augmint.networks.backbones import Backbone
from augmint.networks.codec import Shape
from augmint.networks.discriminators import Discriminator, article_head, convolutions
from augmint.networks.projectors import Projector, article


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
    """A copy of a trained encoder whose weights stay: images float 0 … 1 → whitened features [N, d], of length √d.

    Gradients pass to the images. It stays in evaluation mode, so an image's features do not depend on its batch.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, backbone: Backbone, mean: Tensor, matrix: Tensor) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(backbone).eval().requires_grad_(False)
        self.outputs = matrix.shape[1]
        self.register_buffer("mean", mean.clone())
        self.register_buffer("matrix", matrix.clone())

    def train(self, mode: bool = True) -> "FrozenTrunk":
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        hidden: Tensor = self.backbone(images).float()
        with torch.autocast(images.device.type, enabled=False):
            hidden = (nn.functional.normalize(hidden, dim=1) - self.mean) @ self.matrix
            unit: Tensor = nn.functional.normalize(hidden, dim=1)
        return unit * math.sqrt(self.outputs)


class EncoderDiscriminator(Discriminator):
    """The article's projection (→ 512 → 128) and head (→ 512 → 1) on a trained encoder's features: `trunk`, put in
    after the layers above it were initialised and spectrally normalised; it is neither.

    After Sauer et al., "Projected GANs converge faster", NeurIPS 2021. BatchNorm inside.
    """

    pairs = False

    def __init__(self, features: int) -> None:
        super().__init__()
        self.trunk: nn.Module = nn.Identity()
        self.projection: Projector = article(features)
        self.head = article_head(self.projection.features)

    def score(self, candidates: Tensor, anchors: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.projection(self.trunk(candidates))))[:, 0]
