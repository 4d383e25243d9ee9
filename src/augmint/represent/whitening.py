"""Features with all directions made comparable: centred and whitened, as far as the data bears.

    whitening = Whitening.fit(hidden, shrink=1.0)      # hidden: float [N, D], no labels
    features = whitening(hidden)                        # [N, D], each of length 1

A contrastive encoder puts most variance into a few directions and much of what tells classes apart into the rest;
neighbours in direction then see the few alone. `shrink` is added to every variance, in units of their mean: 0 whitens
fully, large values only centre. The basis is kept (ZCA), so a coordinate means what it meant before.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Whitening:
    """mean [D], symmetric matrix [D, D] and the usual length of a whitened vector, float32 on the CPU."""

    mean: Tensor
    matrix: Tensor
    length: float

    @staticmethod
    def fit(hidden: Tensor, shrink: float) -> "Whitening":
        """From hidden [N, D]: (Σ + shrink · tr Σ / D · I)^(−1/2), Σ their covariance, in float64."""
        x = hidden.double()
        mean = x.mean(0)
        covariance = (x - mean).T @ (x - mean) / len(x)
        values, vectors = torch.linalg.eigh(covariance)
        values = values.clamp(min=0)
        scale = (values + shrink * values.mean() + TINY + 1e-6 * values.max()).rsqrt()
        matrix = (vectors * scale) @ vectors.T
        length = ((x - mean) @ matrix).norm(dim=1).mean()
        return Whitening(mean.float(), matrix.float(), float(length))

    @staticmethod
    def none(size: int) -> "Whitening":
        """Leaves features of this size as they are, but of length 1."""
        return Whitening(torch.zeros(size), torch.eye(size), 1.0)

    def __call__(self, hidden: Tensor) -> Tensor:
        """float [N, D] → float32 [N, D] on the CPU, each of length 1."""
        return F.normalize((hidden.float().cpu() - self.mean) @ self.matrix, dim=1)

    def undo(self, features: Tensor) -> Tensor:
        """Hidden vectors [N, D] that have these features; of [N, D] only the direction is read."""
        unit = F.normalize(features.float().cpu(), dim=1)
        moved: Tensor = torch.linalg.solve(self.matrix, (unit * self.length).T)
        return self.mean + moved.T
