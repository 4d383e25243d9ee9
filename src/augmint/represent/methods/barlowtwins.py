"""Barlow Twins: projections of two views agree in every dimension and share none (Zbontar et al., ICML 2021).

represent.method: barlowtwins        represent.options: {size: 512, redundancy: 0.005}
"""

import torch
from pydantic import Field
from torch import Tensor

from augmint.config import RepresentSettings, Strict
from augmint.networks.backbones import Backbone
from augmint.networks.projectors import mlp
from augmint.represent.losses import barlow_twins
from augmint.represent.methods import Method
from augmint.train.parallel import gather


class Options(Strict):
    """Barlow Twins' own settings."""

    hidden: int = Field(512, ge=1)  # of the projector
    size: int = Field(512, ge=2)  # of the projections; more is better (figure 4 of the paper)
    redundancy: float = Field(5e-3, ge=0)  # weight of what dimensions share


class BarlowTwins(Method):
    """Both views pass the network in one batch."""

    def __init__(self, network: Backbone, options: Options) -> None:
        super().__init__(network)
        self.projector = mlp(network.features, options.hidden, options.size)
        self.redundancy = options.redundancy

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        features = self.network(torch.cat(views))
        first, second = (gather(part) for part in self.projector(features).chunk(2))
        loss = barlow_twins(first, second, self.redundancy)
        return {"loss": loss, "features": features[: len(views[0])], "projected": first}


def build(network: Backbone, settings: RepresentSettings) -> Method:
    """Barlow Twins with its own, wide projector."""
    return BarlowTwins(network, Options.model_validate(settings.options))
