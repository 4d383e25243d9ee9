"""How much of the classes a linear classifier can read from frozen features.

accuracy = linear_probe(train_features, train_labels, features, labels)
"""

import warnings

from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor


def linear_probe(
    train_features: Tensor, train_labels: Tensor, features: Tensor, labels: Tensor, c: float = 1.0, steps: int = 300
) -> float:
    """Accuracy (0 … 1) on `features` [M, D] of a logistic regression fitted on `train_features` [N, D].

    Features are standardised by the training ones; `c` is the inverse of the L2 penalty; `steps` of
    L-BFGS at most, because a probe does not need the last digit.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=steps))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(train_features.cpu().numpy(), train_labels.cpu().numpy())
    return float(model.score(features.cpu().numpy(), labels.cpu().numpy()))
