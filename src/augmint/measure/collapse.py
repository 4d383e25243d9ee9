"""Has a representation collapsed? Two numbers for the log of an encoder's training.

feature_std(features)      # about 1: spread over the sphere; 0: every image has the same feature
effective_rank(features)   # how many directions the features use, 0 … D
"""

import torch
from torch import Tensor


def feature_std(features: Tensor) -> float:
    """Mean standard deviation of the coordinates of normalised features [N, D], times √D.

    1 if directions are spread evenly over the sphere, 0 if all agree (Chen & He, "Exploring simple
    Siamese representation learning", CVPR 2021, section 4.1).
    """
    unit = torch.nn.functional.normalize(features.double(), dim=1)
    return float(unit.std(0, correction=0).mean() * unit.shape[1] ** 0.5)


def effective_rank(features: Tensor) -> float:
    """exp of the entropy of the normalised singular values of the centred features [N, D].

    0 if the features do not vary, at most min(N - 1, D) (Roy & Vetterli, "The effective rank",
    EUSIPCO 2007, definition 1).
    """
    values = features.double()
    centred = values - values.mean(0)
    products = centred.T @ centred if centred.shape[1] <= len(centred) else centred @ centred.T  # the smaller has all
    eigen = torch.linalg.eigvalsh(products).clamp(min=0)
    floor = values.square().sum() * torch.finfo(torch.float64).eps * max(values.shape)
    singular = eigen[eigen > floor].sqrt()
    share = singular / singular.sum()
    return float(torch.exp(-(share * share.log()).sum())) if len(share) else 0.0
