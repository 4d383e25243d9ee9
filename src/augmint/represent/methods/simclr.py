"""SimCLR: two views of an image attract each other, all other images repel (Chen et al., ICML 2020).

represent.method: simclr        represent.options: {temperature: 0.1}
"""

import torch
from pydantic import Field
from torch import Tensor, nn

from augmint.config import RepresentSettings, Strict
from augmint.networks.backbones import Backbone
from augmint.networks.projectors import projector
from augmint.represent.losses import nt_xent
from augmint.represent.methods import Method
from augmint.train.parallel import gather


class Options(Strict):
    """SimCLR's own settings."""

    temperature: float = Field(0.1, gt=0)


class SimCLR(Method):
    """Both views pass the network in one batch, so BatchNorm sees them together."""

    def __init__(self, network: Backbone, head: nn.Module, options: Options) -> None:
        super().__init__(network)
        self.projector = head
        self.options = options

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        features = self.network(torch.cat(views))
        first, second = (gather(part) for part in self.projector(features).chunk(2))
        loss = nt_xent(first, second, self.options.temperature)
        return {"loss": loss, "features": features[: len(views[0])], "projected": first}


def build(network: Backbone, settings: RepresentSettings) -> Method:
    """SimCLR with the projector of the settings."""
    head = projector(network.features, settings.projector)
    return SimCLR(network, head, Options.model_validate(settings.options))
