"""What feature generators are made of: the two forms of network, the space they work in, moments of real pairs.

scale = Scale(features, components=64)
moments = Moments.of(scale(features[rows]), scale(features[ends]))     # of real pairs
network = Residual(scale.size, hidden=512, noise=128, linear=True)
network.start(moments, noise=128)                                       # children have the moments of real pairs
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

TANH_RANGE = 4.0  # standard deviations that the article's tanh can reach
MEASURED = 20_000  # features that principal components are found of


class Residual(nn.Module):
    """x, z → A x + S z + MLP([x, z]), float [N, D]. A and S are fitted first (`start`); the MLP, whose last layer is
    zero then, learns what a linear map and Gaussian rests leave out. Without `linear` A x + S z is x."""

    def __init__(self, features: int, hidden: int, noise: int, linear: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features + noise, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, features),
        )
        self.linear = nn.Linear(features + noise, features, bias=False) if linear else None

    def start(self, moments: "Moments", noise: int) -> None:
        """From the best linear map of real pairs, and from their rests' covariance: its main axes, one for each of the
        `noise` numbers of z that are random."""
        assert self.linear is not None
        size = len(moments.map)
        values, vectors = torch.linalg.eigh(moments.rests.double())
        some = min(size, noise)
        spread = (vectors * values.clamp_min(0).sqrt()).flip(1)[:, :some]
        weight = torch.zeros_like(self.linear.weight)
        weight[:, :size], weight[:, size : size + some] = moments.map.T, spread.to(weight)
        last = cast(nn.Linear, self.layers[-1])
        with torch.no_grad():
            self.linear.weight.copy_(weight)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, parents: Tensor, noise: Tensor) -> Tensor:
        both = torch.cat([parents, noise], 1)
        base = parents if self.linear is None else self.linear(both)
        return base + cast(Tensor, self.layers(both)).float()


@dataclass(frozen=True)
class Moments:
    """Of real pairs (x, y), standardised: `map` [D, D], for which y ≈ x map, and covariance [D, D] of the `rests`."""

    map: Tensor
    rests: Tensor

    @staticmethod
    def of(parents: Tensor, others: Tensor) -> "Moments":
        """Least squares, a thousandth of the identity added."""
        small = 1e-3 * torch.eye(parents.shape[1], device=parents.device)
        found = torch.linalg.solve(parents.T @ parents / len(parents) + small, parents.T @ others / len(parents))
        rests = others - parents @ found
        return Moments(found, rests.T @ rests / len(rests))

    def loss(self, parents: Tensor, children: Tensor) -> Tensor:
        """Scalar: squared distance of covariance and mean of the rests of children to those of real pairs.

        As the product of what two halves of the batch say: unbiased, where the square of one estimate would be smallest
        for children of too little spread (by a fifth in 64 dimensions and 256 rows).
        """
        covariance = mean = torch.ones((), device=children.device)
        for rests in (children.float() - parents @ self.map).chunk(2):
            covariance = covariance * (rests.T @ rests / len(rests) - self.rests)
            mean = mean * rests.mean(0)
        return covariance.sum() / len(self.map) + mean.sum()


class Noise(nn.Module):
    """z → 512 → BatchNorm → LeakyReLU(0.2) → feature size, tanh: the article's; parents are not looked at."""

    def __init__(self, features: int, hidden: int, noise: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(noise, hidden, bias=False), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, features)
        )

    def forward(self, parents: Tensor, noise: Tensor) -> Tensor:
        return TANH_RANGE * cast(Tensor, self.layers(noise)).float().tanh()


class Scale(nn.Module):
    """Features ↔ what G and D work on: their first principal components, each of unit variance.

    Features are standardised before (a classifier sees them so, too). On the way back what the other components say
    is left at its mean, and unit length is kept where the training features have it. `components` 0: all, unturned.
    """

    mean: Tensor
    deviation: Tensor
    unit: Tensor
    basis: Tensor  # [D, k]; [D, 0] = unturned
    spread: Tensor  # [k]

    def __init__(self, features: Tensor, components: int = 0) -> None:
        super().__init__()
        norms = features.norm(dim=1)
        self.register_buffer("mean", features.mean(0))
        self.register_buffer("deviation", features.std(0, correction=0).clamp(min=1e-6))
        self.register_buffer("unit", ((norms - 1).abs().max() < 1e-3).float())
        size = features.shape[1]
        basis, spread = torch.zeros(size, 0), torch.zeros(0)
        if 0 < components < size:
            some = features[:: -(-len(features) // MEASURED)]
            values, vectors = torch.linalg.eigh(torch.cov(((some - self.mean) / self.deviation).T.double()))
            basis, spread = vectors.flip(1)[:, :components].float(), values.flip(0)[:components].clamp_min(1e-12).sqrt()
        self.register_buffer("basis", basis.to(features.device))
        self.register_buffer("spread", spread.float().to(features.device))

    @property
    def size(self) -> int:
        """How many numbers G and D see of a feature vector."""
        return len(self.spread) or len(self.mean)

    def forward(self, features: Tensor) -> Tensor:
        standard = (features - self.mean) / self.deviation
        return standard @ self.basis / self.spread if len(self.spread) else standard

    def undo(self, seen: Tensor) -> Tensor:
        """Back to the encoder's scale, h̃ normalised if the encoder's features are."""
        standard = (seen * self.spread) @ self.basis.T if len(self.spread) else seen
        raw = standard * self.deviation + self.mean
        return torch.where(self.unit > 0, nn.functional.normalize(raw, dim=1), raw)
