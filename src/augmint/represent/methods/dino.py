"""DINO: agree with a slow teacher on a soft choice among prototypes (Caron et al., ICCV 2021); two views.

represent.method: dino        represent.options: {prototypes: 1024, temperature: 0.1, teacher_temperature: 0.04}
"""

from typing import cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from augmint.config import RepresentSettings, Strict
from augmint.networks.backbones import Backbone
from augmint.networks.projectors import mlp
from augmint.represent.losses import dino
from augmint.represent.methods import Method
from augmint.represent.target import Target
from augmint.train.parallel import gather


class Options(Strict):
    """DINO's own settings."""

    prototypes: int = Field(1024, ge=2)
    hidden: int = Field(512, ge=1)
    bottleneck: int = Field(128, ge=1)
    temperature: float = Field(0.1, gt=0)
    teacher_temperature: float = Field(0.04, gt=0)
    momentum: float = Field(0.996, ge=0, le=1)  # of the teacher at the start; 1 at the end
    centre_momentum: float = Field(0.9, ge=0, le=1)


class Prototypes(nn.Module):
    """Cosines [N, K] of vectors [N, D] with K learnt directions."""

    def __init__(self, size: int, prototypes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(prototypes, size))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.normalize(x, dim=1), F.normalize(self.weight, dim=1))


class DINO(Method):
    """The teacher's scores are centred by their running mean, which moves after real optimiser steps only."""

    centre: Tensor

    def __init__(self, network: Backbone, options: Options) -> None:
        super().__init__(network)
        self.options = options
        projector = mlp(network.features, options.hidden, options.bottleneck)
        self.head = nn.Sequential(projector, Prototypes(options.bottleneck, options.prototypes))
        self.target = Target(nn.Sequential(network, self.head), options.momentum)
        self.register_buffer("centre", torch.zeros(options.prototypes))
        self.seen: Tensor | None = None  # the teacher's mean scores of the last batch

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        both, o = torch.cat(views), self.options
        features = self.network(both)
        s1, s2 = (gather(part) for part in self.head(features).chunk(2))
        t1, t2 = (gather(part) for part in self.target(both).chunk(2))
        self.seen = torch.cat([t1, t2]).float().mean(0)
        losses = [dino(s, t, self.centre, o.temperature, o.teacher_temperature) for s, t in ((s1, t2), (s2, t1))]
        return {"loss": (losses[0] + losses[1]) / 2, "features": features[: len(views[0])], "projected": s1}

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        self.target.follow(nn.Sequential(self.network, self.head), progress)
        self.centre.lerp_(cast(Tensor, self.seen), 1 - self.options.centre_momentum)


def build(network: Backbone, settings: RepresentSettings) -> Method:
    """DINO with its own head."""
    return DINO(network, Options.model_validate(settings.options))
