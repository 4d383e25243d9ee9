"""BYOL: predict what a slow copy of the network says of the other view (Grill et al., NeurIPS 2020).

represent.method: byol        represent.options: {momentum: 0.996, hidden: 512}
"""

import torch
from pydantic import Field
from torch import Tensor, nn

from augmint.config import RepresentSettings, Strict
from augmint.networks.backbones import Backbone
from augmint.networks.projectors import Projector, mlp, projector
from augmint.represent.losses import regression
from augmint.represent.methods import Method
from augmint.represent.target import Target
from augmint.train.parallel import gather


class Options(Strict):
    """BYOL's own settings."""

    momentum: float = Field(0.996, ge=0, le=1)  # of the target at the start; 1 at the end
    hidden: int = Field(512, ge=1)  # of the predictor


class BYOL(Method):
    """The loss is the sum of both directions; the target moves after real optimiser steps only."""

    def __init__(self, network: Backbone, head: Projector, options: Options) -> None:
        super().__init__(network)
        self.projector = head
        self.predictor = mlp(head.features, options.hidden, head.features)
        self.target = Target(nn.Sequential(network, head), options.momentum)

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        both = torch.cat(views)
        features = self.network(both)
        p1, p2 = (gather(part) for part in self.predictor(self.projector(features)).chunk(2))
        z1, z2 = (gather(part) for part in self.target(both).chunk(2))
        return {"loss": regression(p1, z2) + regression(p2, z1), "features": features[: len(views[0])], "projected": p1}

    def after_step(self, progress: float) -> None:
        self.target.follow(nn.Sequential(self.network, self.projector), progress)


def build(network: Backbone, settings: RepresentSettings) -> Method:
    """BYOL with the projector of the settings."""
    head = projector(network.features, settings.projector)
    return BYOL(network, head, Options.model_validate(settings.options))
