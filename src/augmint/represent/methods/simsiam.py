"""SimSiam: predict the projection of the other view, which gets no gradient (Chen & He, CVPR 2021).

represent.method: simsiam        represent.options: {hidden: 512, size: 512, bottleneck: 128}
"""

import torch
from pydantic import Field
from torch import Tensor

from augmint.config import RepresentSettings, Strict
from augmint.networks.backbones import Backbone
from augmint.networks.projectors import mlp
from augmint.represent.losses import regression
from augmint.represent.methods import Method
from augmint.train.parallel import gather


class Options(Strict):
    """SimSiam's own settings: sizes of its projector and of its predictor."""

    hidden: int = Field(512, ge=1)
    size: int = Field(512, ge=1)
    bottleneck: int = Field(128, ge=1)


class SimSiam(Method):
    """The loss is −½ (cos(p₁, sg z₂) + cos(p₂, sg z₁)) + 1, which is 0 at its best."""

    def __init__(self, network: Backbone, options: Options) -> None:
        super().__init__(network)
        self.projector = mlp(network.features, options.hidden, options.size, last_norm=True)
        self.predictor = mlp(options.size, options.bottleneck, options.size)

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        features = self.network(torch.cat(views))
        projected = self.projector(features)
        p1, p2 = (gather(part) for part in self.predictor(projected).chunk(2))
        z1, z2 = (gather(part) for part in self.wanted(projected).chunk(2))
        loss = (regression(p1, z2) + regression(p2, z1)) / 4
        return {"loss": loss, "features": features[: len(views[0])], "projected": z1}

    def wanted(self, projected: Tensor) -> Tensor:
        """What is to be predicted: without a gradient, else everything collapses."""
        return projected.detach()


def build(network: Backbone, settings: RepresentSettings) -> Method:
    """SimSiam with its own projector, whose last BatchNorm has no parameters."""
    return SimSiam(network, Options.model_validate(settings.options))
