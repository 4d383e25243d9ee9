"""Do predicted probabilities mean what they say?

error = expected_calibration_error(probs, labels)
"""

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
