"""Do predicted probabilities mean what they say?

error = expected_calibration_error(probs, labels)
error = equal_mass_calibration_error(probs, labels, bins=3)   # for few images
temperature = best_temperature(logits, labels)          # probs = softmax(logits / temperature)
"""

import math

import torch
from torch import Tensor


def expected_calibration_error(probs: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Mean gap (0 … 1) between confidence and accuracy over bins of equal width, weighted by their images.

    probs float [N, K], rows sum to 1; labels int64 [N]. Bins are (a, b] (Naeini et al. 2015; Guo et
    al., "On calibration of modern neural networks", ICML 2017, eq. 3).
    """
    confidence, predicted = probs.double().max(1)
    hits = (predicted == labels).double()
    number = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gaps = torch.zeros(bins, dtype=torch.float64, device=probs.device).index_add_(0, number, hits - confidence)
    return float(gaps.abs().sum() / max(len(labels), 1))


def equal_mass_calibration_error(probs: Tensor, labels: Tensor, bins: int) -> float:
    """The same over bins of equally many images, sorted by confidence: with few images most bins of equal width hold
    one or two, and their gaps are chance (Nixon et al., "Measuring calibration in deep learning", 2019)."""
    confidence, predicted = probs.double().max(1)
    order = confidence.argsort(stable=True)
    gaps = ((predicted == labels).double() - confidence)[order]
    return float(sum(part.sum().abs() for part in gaps.tensor_split(bins))) / max(len(labels), 1)


def best_temperature(logits: Tensor, labels: Tensor, smooth: bool = False) -> float:
    """The temperature that calibrates (Guo et al., ICML 2017): the least negative log-likelihood of held-out logits
    [N, K] under labels int64 [N], searched on a grid from 0.05 to 20.

    `smooth`: as if every label were wrong once in N + 2, as Platt (1999) does, so that a handful of rows that are all
    right do not promise certainty.
    """
    grid = torch.logspace(math.log10(0.05), math.log10(20), 121, dtype=torch.float64)
    x, doubt = logits.double(), 1 / (len(labels) + 2) if smooth else 0.0
    losses = torch.stack([torch.nn.functional.cross_entropy(x / t, labels, label_smoothing=doubt) for t in grid])
    return float(grid[losses.argmin()])
