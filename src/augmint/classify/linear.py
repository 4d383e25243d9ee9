"""Least squares from features to class decisions for many rows: a linear head in closed form.

    squares = Squares.of(hidden)                         # once for a table
    head = squares.fit(decisions, classes=10)            # int64 [N] → LogisticHead

Where a graph has decided for tens of thousands of rows, this is a second's work and errs less than the decisions do: a
linear function of the features cannot follow single mistakes.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from augmint.classify.logistic import LogisticHead, standardised

SHARPNESS = 10.0  # logits per unit of the target, before calibration
CHUNK = 8192  # rows at a time in double precision


@dataclass(frozen=True, eq=False)
class Squares:
    """features [N, D] (not copied), mean and scale [D] that standardise them, and the Cholesky factor float64 [D, D] of
    their covariance after that + penalty."""

    features: Tensor
    mean: Tensor
    scale: Tensor
    factor: Tensor

    @staticmethod
    def of(features: Tensor, penalty: float = 0.1) -> "Squares":
        """From features [N, D] of all rows; `penalty` (ridge) is in units of their variance, 1 after standardising."""
        mean, scale = features.mean(0), features.std(0).clamp_min(1e-6)
        gram = penalty * torch.eye(features.shape[1], dtype=torch.float64)
        for x in standardised(features, mean, scale):
            gram += (x.T @ x).double() / len(features)
        return Squares(features, mean, scale, torch.linalg.cholesky(gram))

    def fit(self, decisions: Tensor, classes: int) -> LogisticHead:
        """The ridge regression of one-hot decisions (int64 [N], -1: says nothing), scaled to be logits."""
        decided = decisions >= 0
        target = F.one_hot(decisions.clamp_min(0), classes).double()
        share = target[decided].mean(0)
        target = torch.where(decided[:, None], target - share, 0.0)  # sums to zero, so the mean of x drops out
        parts = zip(torch.split(self.features, CHUNK), torch.split(target, CHUNK), strict=True)
        moment = sum((x.double().T @ t for x, t in parts), torch.zeros(len(self.mean), classes).double())
        weight = torch.cholesky_solve(moment / self.scale[:, None] / len(self.features), self.factor)
        bias, slope = SHARPNESS * share, SHARPNESS * weight.T
        return LogisticHead(slope.float().contiguous(), bias.float(), self.mean, self.scale)
