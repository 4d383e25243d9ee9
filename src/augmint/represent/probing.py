"""What an encoder is worth to somebody with few labels: nearest neighbours and a linear classifier on its features.

probe(features[rows], labels[rows], features_of(val), labels[val])  # {"knn": 0.71, "linear": 0.75, "judged": 2000}

Without images to judge on, the labelled ones judge each other (leave one out, neighbours only).
"""

import torch
from torch import Tensor

from augmint.measure.knn import knn_accuracy, nearest
from augmint.measure.probes import linear_probe


def leave_one_out(features: Tensor, labels: Tensor, k: int) -> float:
    """Share (0 … 1) of features [N, D] whose label the majority of their k nearest others has; ties go to the lower."""
    _, rows = nearest(features, features, min(k, len(features) - 1), exclude_self=True)
    votes = torch.zeros(len(features), int(labels.max()) + 1)
    votes.scatter_add_(1, labels[rows], torch.ones_like(rows, dtype=votes.dtype))
    return float((votes.argmax(1) == labels).float().mean())


def probe(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor | None = None,
    labels: Tensor | None = None,
    k: int = 5,
    linear: bool = True,
) -> dict[str, float]:
    """Accuracies of k nearest neighbours ('knn') and logistic regression ('linear', if asked for) from a labelled bank
    [N, D] on queries [Q, D], and on how many images ('judged'); without queries 'knn' alone, leaving one out."""
    if queries is None or labels is None or len(queries) == 0:
        return {"knn": leave_one_out(bank, bank_labels, k), "judged": len(bank)}
    found = {"knn": knn_accuracy(bank, bank_labels, queries, labels, k)}
    if linear:
        found["linear"] = linear_probe(bank, bank_labels, queries, labels)
    return {**found, "judged": len(queries)}
