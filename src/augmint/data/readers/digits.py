"""scikit-learn's 1,797 handwritten digits, 8×8 grey: `augmint run digits`. Nothing is downloaded."""

from pathlib import Path

import numpy as np
import torch

from augmint.data.source import Source, source
from augmint.seeding import permutation

NAMES = ("digits",)
TEST_SHARE = 5  # every fifth image of a class is for testing


def claims(path: Path) -> int:
    """Only by name."""
    return 0


def read(path: Path) -> Source:
    """The digits with a fixed, stratified test split of a fifth."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    labels = torch.from_numpy(bunch.target).long()
    split = torch.zeros(len(labels), dtype=torch.int8)
    for digit in range(10):
        rows = torch.nonzero(labels == digit)[:, 0]
        split[rows[permutation(len(rows), "digits", digit)[: len(rows) // TEST_SHARE]]] = 2
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    names = [str(digit) for digit in range(10)]
    return source("digits", images, labels.numpy(), names, split=split.numpy())
