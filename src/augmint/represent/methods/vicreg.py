"""VICReg: projections agree, spread over the batch, and share little between dimensions (Bardes et al., ICLR 2022).

represent.method: vicreg        represent.options: {size: 512, invariance: 25, variance: 25, covariance: 1}
"""

import torch
from pydantic import Field
from torch import Tensor

from augmint.config import RepresentSettings, Strict
from augmint.networks.backbones import Backbone
from augmint.networks.projectors import mlp
from augmint.represent.losses import vicreg
from augmint.represent.methods import Method
from augmint.train.parallel import gather


class Options(Strict):
    """VICReg's own settings: projector and weights of the three terms."""

    hidden: int = Field(512, ge=1)
    size: int = Field(512, ge=2)
    invariance: float = Field(25.0, ge=0)
    variance: float = Field(25.0, ge=0)
    covariance: float = Field(1.0, ge=0)


class VICReg(Method):
    """Both views pass the network in one batch."""

    def __init__(self, network: Backbone, options: Options) -> None:
        super().__init__(network)
        self.projector = mlp(network.features, options.hidden, options.size)
        self.weights = (options.invariance, options.variance, options.covariance)

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        features = self.network(torch.cat(views))
        first, second = (gather(part) for part in self.projector(features).chunk(2))
        return {"loss": vicreg(first, second, *self.weights), "features": features[: len(views[0])], "projected": first}


def build(network: Backbone, settings: RepresentSettings) -> Method:
    """VICReg with its own, wide projector."""
    return VICReg(network, Options.model_validate(settings.options))
