"""Features with all directions made comparable: centred and whitened, as far as the data bears.

    whitening = Whitening.fit(hidden, shrink=0.1)      # hidden: float [N, D], no labels
    features = whitening(hidden)                        # [N, d], each of length 1; d is D, at most N / 10

A contrastive encoder puts most variance into a few directions and much of what tells classes apart into the rest;
neighbours in direction then see the few alone. `shrink` is added to every variance, in units of their mean: 0 whitens
fully, large values only centre. Directions that few images tell of are noise once they are whitened, so of more than
N / 10 those of the least variance are left out, and of more than 512 in any case: a search takes longer with each.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

TINY = 1e-12
MOST, FEWEST = 512, 16  # directions
EACH = 10  # images for a direction
ROWS = 8192  # centred at a time, so that no copy of all vectors is made


@dataclass(frozen=True, eq=False)
class Whitening:
    """mean [D] and matrix [D, d], float32 on the CPU."""

    mean: Tensor
    matrix: Tensor

    @staticmethod
    def fit(hidden: Tensor, shrink: float) -> "Whitening":
        """From hidden [N, D]: principal directions over √(their variance + shrink · the mean variance), in float64."""
        mean = hidden.mean(0, dtype=torch.float64)
        parts = (part.double() - mean for part in torch.split(hidden, ROWS))
        covariance = sum((x.T @ x for x in parts), torch.zeros(len(mean), len(mean), dtype=torch.float64)) / len(hidden)
        values, vectors = torch.linalg.eigh(covariance)
        values, vectors = values.clamp(min=0), vectors * vectors.sum(0).sign()  # of two signs the same everywhere
        scale = (values + shrink * values.mean() + TINY + 1e-6 * values.max()).rsqrt()
        kept = min(MOST, max(len(hidden) // EACH, FEWEST))
        return Whitening(mean.float(), (vectors * scale).flip(1)[:, :kept].float())

    @staticmethod
    def none(size: int) -> "Whitening":
        """Leaves features of this size as they are, but of length 1."""
        return Whitening(torch.zeros(size), torch.eye(size))

    def __call__(self, hidden: Tensor) -> Tensor:
        """float [N, D] → float32 [N, d] on the CPU, each of length 1."""
        parts = torch.split(hidden, ROWS)
        return torch.cat([F.normalize((part.float().cpu() - self.mean) @ self.matrix, dim=1) for part in parts])
