"""What an encoder's features are worth to somebody with few labels, by nearest neighbours.

probe(features[rows], labels[rows], features_of(val), labels[val])  # {"knn": 0.71, "judged": 2000}

Without images to judge on, the labelled ones judge each other (leave one out).
"""

import torch
from torch import Tensor

from augmint.measure.knn import knn_accuracy, nearest


def leave_one_out(features: Tensor, labels: Tensor, k: int) -> float:
    """Share (0 … 1) of features [N, D] whose label the majority of their k nearest others has; ties go to the lower."""
    _, rows = nearest(features, features, min(k, len(features) - 1), exclude_self=True)
    votes = torch.zeros(len(features), int(labels.max()) + 1)
    votes.scatter_add_(1, labels[rows], torch.ones_like(rows, dtype=votes.dtype))
    return float((votes.argmax(1) == labels).float().mean())


def probe(
    bank: Tensor, bank_labels: Tensor, queries: Tensor | None = None, labels: Tensor | None = None, k: int = 5
) -> dict[str, float]:
    """Accuracy of k nearest neighbours ('knn') from a labelled bank [N, D] on queries [Q, D], and on how many images
    ('judged'); without queries the bank judges itself, leaving one out."""
    if queries is None or labels is None or len(queries) == 0:
        return {"knn": leave_one_out(bank, bank_labels, k), "judged": len(bank)}
    return {"knn": knn_accuracy(bank, bank_labels, queries, labels, k), "judged": len(queries)}
