"""What self-training decides by: targets, which of them count, how frequent the classes are.

    state = Confidence.of(start, momentum=0.98)               # start: float [N, K], class probabilities of all rows
    state.follow(probabilities)                               # of a batch [B, K], by the network itself
    q = align(probabilities, state.shares, prior, power=0.5)
    q = q.lerp(…)                                             # towards other soft targets
    loss = soft_cross_entropy(logits, q, state.counts(q))

All are functions of tensors alone. FreeMatch: Wang et al., ICLR 2023. Distribution alignment: Berthelot et al.
(ReMixMatch), ICLR 2020.
"""

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

TINY = 1e-12


def align(probabilities: Tensor, shares: Tensor, prior: Tensor, power: float) -> Tensor:
    """Probabilities [B, K] · (prior / shares)^power, rows scaled to sum to 1.

    shares [K]: how frequent the network finds the classes on average; prior [K]: how frequent they are believed to be.
    power 0 changes nothing, 1 is ReMixMatch's alignment (section 3.1), between is a belief held half-way.
    """
    moved = probabilities * (prior / shares.clamp_min(TINY)) ** power
    return moved / moved.sum(1, keepdim=True).clamp_min(TINY)


def soft_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """−(1 / B) Σ_i w_i Σ_k t_ik log softmax(logits_i)_k; the rows that count for nothing (w = 0) are in B."""
    return -(weights * (targets * F.log_softmax(logits.float(), 1)).sum(1)).sum() / len(logits)


@dataclass
class Confidence:
    """How sure the network is on average, `level` (a scalar), and how frequent it finds the classes, `shares` [K]: both
    moving averages over batches. With them the threshold adapts by itself (FreeMatch, equations 5 to 8)."""

    level: Tensor
    shares: Tensor
    momentum: float

    @staticmethod
    def of(probabilities: Tensor, momentum: float) -> "Confidence":
        """Of probabilities [N, K] of all rows: where the averages start."""
        return Confidence(probabilities.max(1).values.mean(), probabilities.mean(0), momentum)

    def follow(self, probabilities: Tensor) -> None:
        """Move a step of 1 − momentum towards a batch of probabilities [B, K]."""
        step = 1 - self.momentum
        self.level = self.level.lerp(probabilities.max(1).values.mean(), step)
        self.shares = self.shares.lerp(probabilities.mean(0), step)

    @property
    def thresholds(self) -> Tensor:
        """[K]: shares / the largest share · level. A class that the network seldom names is let through sooner."""
        return self.shares / self.shares.max().clamp_min(TINY) * self.level

    def counts(self, targets: Tensor) -> Tensor:
        """float [B], 1 where the largest of a row's targets [B, K] reaches the threshold of its class, else 0."""
        sure, best = targets.max(1)
        return (sure >= self.thresholds[best]).to(targets.dtype)

    def state_dict(self) -> dict[str, Any]:
        return {"level": self.level, "shares": self.shares}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.level, self.shares = (state[name].to(self.level.device) for name in ("level", "shares"))


def spread_out(logits: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Start targets [N, K]: softmax(logits / temperature), one-hot where labels (int64 [N], -1 = none) are known."""
    soft = (logits / temperature).softmax(1)
    known = labels >= 0
    soft[known] = F.one_hot(labels[known], logits.shape[1]).to(soft.dtype)
    return soft
