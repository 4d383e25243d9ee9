"""Plain rivals of the feature generator.

more, labels = gaussian_features(features, labels, per_class=20, seed=0, classes=10)
"""

import numpy as np
import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from augmint import seeding
from augmint.errors import InputError


def gaussian_features(
    features: Tensor, labels: Tensor, per_class: int, seed: int, classes: int
) -> tuple[Tensor, Tensor]:
    """`per_class` draws from one Gaussian per class: float32 [M, D] and int64 [M].

    Means are those of the labelled rows of `features` [N, D]; the covariance is shared, shrunk (Ledoit & Wolf,
    2004), and taken over all rows about their class's mean; an unlabelled row (label -1) belongs to the nearest
    mean. After "distribution calibration" (Yang et al., ICLR 2021), which borrows its covariance from classes
    with many images. Classes without a label get none. InputError if nothing is labelled.
    """
    rows = features.double().cpu().numpy()
    known = labels.cpu().numpy()
    present = np.flatnonzero(np.bincount(known[known >= 0], minlength=classes))
    if len(present) == 0:
        raise InputError("no label among the features; Gaussian features need at least one")
    means = np.stack([rows[known == c].mean(0) for c in present])
    nearest = ((rows**2).sum(1)[:, None] - 2 * rows @ means.T + (means**2).sum(1)).argmin(1)
    belongs = np.where(known >= 0, np.searchsorted(present, known), nearest)
    covariance, _ = ledoit_wolf(rows - means[belongs], assume_centered=True)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(values.clip(min=0))
    noise = seeding.generator(seed, "gaussian-features").standard_normal((len(present), per_class, rows.shape[1]))
    made = means[:, None] + noise @ root.T
    return (
        torch.from_numpy(made.reshape(-1, rows.shape[1])).float(),
        torch.from_numpy(np.repeat(present, per_class)),
    )
