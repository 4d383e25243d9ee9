"""NNCLR: what is nearest to a view among recent images attracts the other view (Dwibedi et al., ICCV 2021).

represent.method: nnclr        represent.options: {temperature: 0.1, queue: 16384, hidden: 512, own: 0.5}
"""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from augmint.config import RepresentSettings, Strict
from augmint.networks.backbones import Backbone
from augmint.networks.projectors import Projector, mlp, projector
from augmint.represent.losses import info_nce, nt_xent
from augmint.represent.methods import Method
from augmint.train.parallel import gather


class Options(Strict):
    """NNCLR's own settings."""

    temperature: float = Field(0.1, gt=0)
    queue: int = Field(16_384, ge=1)  # projections of recent images among which the nearest is looked for
    hidden: int = Field(512, ge=1)  # of the predictor
    own: float = Field(0.5, ge=0, le=1)  # share of SimCLR's loss, in which a view's own other view attracts it


class NNCLR(Method):
    """`queue` holds unit vectors; random ones at first, so that the first steps attract at random."""

    queue: Tensor
    latest: Tensor

    def __init__(self, network: Backbone, head: Projector, options: Options) -> None:
        super().__init__(network)
        self.projector = head
        self.predictor = mlp(head.features, options.hidden, head.features)
        self.options = options
        self.register_buffer("queue", F.normalize(torch.randn(options.queue, head.features), dim=1))
        self.register_buffer("latest", torch.zeros(0, head.features), persistent=False)

    def nearest(self, projected: Tensor) -> Tensor:
        """Of each row of [N, D] the nearest in the queue."""
        with torch.no_grad(), torch.autocast(projected.device.type, enabled=False):
            unit = F.normalize(projected.float(), dim=1)
            return self.queue[(unit @ self.queue.T).argmax(1)]

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        features = self.network(torch.cat(views))
        projected = self.projector(features)
        p1, p2 = (gather(part) for part in self.predictor(projected).chunk(2))
        z1, z2 = (gather(part) for part in projected.chunk(2))
        o = self.options
        both = info_nce(self.nearest(z1), p2, o.temperature) + info_nce(self.nearest(z2), p1, o.temperature)
        theirs = both / (4 * o.temperature)  # info_nce's own factor, and the mean of the two directions
        self.latest = F.normalize(z1.detach().float(), dim=1)
        loss = o.own * nt_xent(z1, z2, o.temperature) + (1 - o.own) * theirs
        return {"loss": loss, "features": features[: len(views[0])], "projected": z1}

    def after_step(self, progress: float) -> None:
        """The newest projections enter the queue, the oldest leave it."""
        self.queue = torch.cat([self.latest, self.queue])[: len(self.queue)]


def build(network: Backbone, settings: RepresentSettings) -> Method:
    """NNCLR with the projector of the settings."""
    head = projector(network.features, settings.projector)
    return NNCLR(network, head, Options.model_validate(settings.options))
