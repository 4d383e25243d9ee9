"""The image generator's network: convolutional encoder → bottleneck ⊕ noise → convolutional decoder (SYSTEM 4).

    network = ImageGeneratorNetwork(shape=(1, 28, 28), width=32, latent=128, noise=64)
    children = network(parents, z)           # float 0 … 1 [N, C, H, W], float [N, 64]

A child is a step away from its parent at the bottleneck: decoder(h + step(h, z)). While it trains, a second network
reads off parent and real neighbour the code of the step between them; taking that step has to give the neighbour
(Zhu et al., "Toward multimodal image-to-image translation", NeurIPS 2017; Schwartz et al., "Δ-encoder", NeurIPS
2018). So the noise means "which way to a neighbour" from the start, long before D could teach it. If the code could
carry the whole image, it would, and the parent be ignored: hence a step, and codes that cost something.
"""

from typing import cast

import torch
from torch import Tensor, nn

from augmint.generate.groups import one_hot
from augmint.networks.codec import Decoder, ImageEncoder, Shape
from augmint.seeding import Draws

FIRST_GRAIN = 0.02  # standard deviation; from 0 it could not grow, as the noise has no preferred sign


def _mlp(inner: int, hidden: int, outer: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inner, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, outer))


class ImageGeneratorNetwork(nn.Module):
    """parents float 0 … 1 [N, C, H, W], noise [N, noise] → children float 0 … 1 [N, C, H, W].

    With `grain` fresh noise in every pixel is laid over a child, as strong as D teaches (after Karras et al., "A
    style-based generator architecture", CVPR 2019, section 3.2): no bottleneck can carry the noise of a camera.

    With `groups` it is told the class or cluster of the child, int64 [N]; if not, the parent's, which it guesses from
    the bottleneck.
    """

    def __init__(self, shape: Shape, width: int, latent: int, noise: int, groups: int = 0, grain: bool = False) -> None:
        super().__init__()
        self.groups, self.shape = groups, shape
        self.encoder = ImageEncoder(shape, width, latent)
        self.coder = _mlp(2 * latent, 2 * latent, 2 * noise)
        self.walk = _mlp(latent + noise + groups, 2 * latent, latent)
        self.decoder = Decoder(shape, width, latent, fine=width // 4)
        if groups:
            self.guess = nn.Linear(latent, groups)
        self.grain = nn.Parameter(torch.full((shape[0], 1, 1), FIRST_GRAIN)) if grain else None

    def told(self, noise: Tensor, groups: Tensor | None) -> Tensor:
        """What `step` takes: the noise [N, noise], joined with the group [N] that the child is to belong to."""
        return noise if groups is None else torch.cat([noise, one_hot(groups, self.groups)], 1)

    def code(self, parents: Tensor, children: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, float [N, noise] each, of the step between bottlenecks [N, latent] and [N, latent]."""
        mean, log_variance = self.coder(torch.cat([parents, children - parents], 1)).float().chunk(2, 1)
        return mean, log_variance.clamp(-8, 4)

    def step(self, hidden: Tensor, noise: Tensor) -> Tensor:
        """The bottleneck [N, latent] that the noise [N, noise] leads to from another."""
        return hidden + cast(Tensor, self.walk(torch.cat([hidden, noise.to(hidden.dtype)], 1)))

    def grained(self, images: Tensor, draws: Draws) -> Tensor:
        """Images float 0 … 1 [N, C, H, W] under the grain that `draws` (N rows) hold, if there is any."""
        if self.grain is None:
            return images
        noise = draws.normal("grain", *self.shape).to(images.device)
        return (images + self.grain * noise).clamp(0, 1)

    def child(self, hidden: Tensor, noise: Tensor, groups: Tensor | None = None) -> Tensor:
        """The images that the noise [N, noise] leads to from bottlenecks [N, latent]."""
        if self.groups and groups is None:
            groups = self.guess(hidden).argmax(1)
        return cast(Tensor, self.decoder(self.step(hidden, self.told(noise, groups))))

    def forward(self, parents: Tensor, noise: Tensor, groups: Tensor | None = None) -> Tensor:
        return self.child(self.encoder(parents), noise, groups)
