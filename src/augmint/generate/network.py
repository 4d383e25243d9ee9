"""The image generator's network: convolutional encoder → bottleneck ⊕ noise → convolutional decoder (SYSTEM 4).

    network = ImageGeneratorNetwork(shape=(1, 28, 28), width=32, latent=128, noise=64)
    children = network(parents, z)           # float 0 … 1 [N, C, H, W], float [N, 64]

While it trains, a second encoder reads a code off a real neighbour; decoding the parent with that code has to give
the neighbour (Zhu et al., "Toward multimodal image-to-image translation", NeurIPS 2017). So the noise means "which
neighbour" from the start, long before D could teach it.
"""

from typing import cast

import torch
from torch import Tensor, nn

from augmint.networks.codec import Decoder, ImageEncoder, Shape


class ImageGeneratorNetwork(nn.Module):
    """parents float 0 … 1 [N, C, H, W], noise [N, noise] → children float 0 … 1 [N, C, H, W]."""

    def __init__(self, shape: Shape, width: int, latent: int, noise: int) -> None:
        super().__init__()
        self.encoder = ImageEncoder(shape, width, latent)
        self.coder = ImageEncoder(shape, width, 2 * noise)
        self.join = nn.Sequential(
            nn.Linear(latent + noise, 2 * latent), nn.LeakyReLU(0.2), nn.Linear(2 * latent, latent)
        )
        self.decoder = Decoder(shape, width, latent)

    def code(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, float [N, noise] each, of the codes that stand for these images."""
        mean, log_variance = self.coder(images).float().chunk(2, 1)
        return mean, log_variance.clamp(-8, 4)

    def decode(self, hidden: Tensor, noise: Tensor) -> Tensor:
        """Bottleneck [N, latent] and noise [N, noise] → images."""
        return cast(Tensor, self.decoder(self.join(torch.cat([hidden, noise.to(hidden.dtype)], 1))))

    def forward(self, parents: Tensor, noise: Tensor) -> Tensor:
        return self.decode(self.encoder(parents), noise)
