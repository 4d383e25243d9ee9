"""Logistic regression on features: the head for few labels on a good encoder.

head = fit_logistic(features[rows], labels[rows], classes=10)
probabilities = head.logits(features).softmax(1)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from augmint.train import checkpoint

ROWS = 8192  # standardised at a time, so that no copy of all features is made


def standardised(features: Tensor, mean: Tensor, scale: Tensor) -> Iterator[Tensor]:
    """(features − mean) / scale of features [N, D], part by part."""
    for part in torch.split(features, ROWS):
        yield (part - mean).div_(scale)


@dataclass(frozen=True, eq=False)
class LogisticHead:
    """Linear logits of standardised features: weight [K, D], bias [K], mean and scale [D]."""

    weight: Tensor
    bias: Tensor
    mean: Tensor
    scale: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """float32 [N, D] → float32 [N, K]."""
        parts = standardised(features, self.mean, self.scale)
        return torch.cat([F.linear(part, self.weight, self.bias) for part in parts])

    def __add__(self, other: "LogisticHead") -> "LogisticHead":
        """The head whose logits are the sums of both; they must standardise features in the same way."""
        assert torch.equal(self.mean, other.mean) and torch.equal(self.scale, other.scale)
        return LogisticHead(self.weight + other.weight, self.bias + other.bias, self.mean, self.scale)

    def module(self) -> nn.Linear:
        """The same as a module on standardised features, to be trained further."""
        linear = nn.Linear(self.weight.shape[1], self.weight.shape[0])
        linear.load_state_dict({"weight": self.weight, "bias": self.bias})
        return linear

    def save(self, path: Path) -> None:
        """One safetensors file."""
        checkpoint.save(path, {"kind": "logistic", **vars(self)})

    @staticmethod
    def load(path: Path) -> "LogisticHead":
        """What `save` wrote."""
        state = checkpoint.load(path)
        return LogisticHead(*(state[name] for name in ("weight", "bias", "mean", "scale")))


def _expand(targets: Tensor, weights: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Soft targets [N, K] as (row, class, weight) triples, which is what a weighted hard fit needs. Small targets go,
    small weights stay: there may be very many of them."""
    rows, classes = torch.nonzero((targets > 1e-4) & (weights[:, None] > 0), as_tuple=True)
    return rows.numpy(), classes.numpy(), (targets[rows, classes] * weights[rows]).double().numpy()


def fit_logistic(
    features: Tensor,
    targets: Tensor,
    weights: Tensor | None = None,
    *,
    classes: int,
    c: float = 1.0,
    mean: Tensor | None = None,
    scale: Tensor | None = None,
) -> LogisticHead:
    """Multinomial logistic regression with an L2 penalty, solved to convergence (L-BFGS).

    features [N, D] float32; targets int64 [N] or soft float32 [N, K]; weights [N]. `mean` and `scale` [D]
    standardise the features; give those of the pool, which are better known than those of a few labels.
    A class without examples gets a logit that is never the largest.
    """
    soft = targets if targets.ndim == 2 else F.one_hot(targets, classes).float()
    rows, y, w = _expand(soft, torch.ones(len(soft)) if weights is None else weights)
    mean = features.mean(0) if mean is None else mean
    scale = features.std(0).clamp_min(1e-6) if scale is None else scale
    x = ((features - mean) / scale).double().numpy()[rows]
    weight = torch.zeros(classes, features.shape[1])
    bias = torch.full((classes,), -1e4)
    present = np.unique(y)
    if len(present) == 1:
        bias[int(present[0])] = 0.0
        return LogisticHead(weight, bias, mean, scale)
    model = LogisticRegression(C=c, max_iter=1000, tol=1e-4).fit(x, y, sample_weight=w)
    coefficients, intercepts = model.coef_, model.intercept_
    if len(present) == 2:  # scikit-learn keeps one row for two classes
        coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
        intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
    weight[present] = torch.from_numpy(coefficients).float()
    bias[present] = torch.from_numpy(intercepts).float()
    return LogisticHead(weight, bias, mean, scale)
