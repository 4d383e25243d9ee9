"""MoCo v3: a view's query finds the slow network's key of the other view among all keys (Chen, Xie & He, ICCV 2021).

represent.method: mocov3        represent.options: {temperature: 0.2, momentum: 0.99, hidden: 512}
"""

import torch
from pydantic import Field
from torch import Tensor, nn

from augmint.config import RepresentSettings, Strict
from augmint.networks.backbones import Backbone
from augmint.networks.projectors import Projector, mlp, projector
from augmint.represent.losses import info_nce
from augmint.represent.methods import Method
from augmint.represent.target import Target
from augmint.train.parallel import gather


class Options(Strict):
    """MoCo v3's own settings."""

    temperature: float = Field(0.2, gt=0)
    momentum: float = Field(0.99, ge=0, le=1)  # of the target at the start; 1 at the end
    hidden: int = Field(512, ge=1)  # of the predictor


class MoCoV3(Method):
    """The loss is the sum of both directions."""

    def __init__(self, network: Backbone, head: Projector, options: Options) -> None:
        super().__init__(network)
        self.projector = head
        self.predictor = mlp(head.features, options.hidden, head.features)
        self.target = Target(nn.Sequential(network, head), options.momentum)
        self.temperature = options.temperature

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        both = torch.cat(views)
        features = self.network(both)
        q1, q2 = (gather(part) for part in self.predictor(self.projector(features)).chunk(2))
        k1, k2 = (gather(part) for part in self.target(both).chunk(2))
        loss = info_nce(q1, k2, self.temperature) + info_nce(q2, k1, self.temperature)
        return {"loss": loss, "features": features[: len(views[0])], "projected": q1}

    def after_step(self, progress: float) -> None:
        self.target.follow(nn.Sequential(self.network, self.projector), progress)


def build(network: Backbone, settings: RepresentSettings) -> Method:
    """MoCo v3 with the projector of the settings."""
    head = projector(network.features, settings.projector)
    return MoCoV3(network, head, Options.model_validate(settings.options))
