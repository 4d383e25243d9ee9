"""How frequent are the classes among unlabelled rows? The labels seldom say: they were drawn so many of each class.

    guess = estimate(hidden, rows, labels, c=0.1, mean=mean, scale=scale)      # None: too few labels to ask
    prior = guess.beside(volumes)                                              # [K], between the guess and `volumes`

What a classifier of the labels says of all rows gives the frequencies under which it would be likeliest (expectation
maximisation: Saerens, Latinne & Decaestecker, Neural Computation 2002), once it is calibrated on labels that it did not
learn from (Alexandari, Kundaje & Shrikumar, ICML 2020). With few labels the guess is poor, and to divide the rows by a
wrong guess costs more than to divide them by none. So its error is measured, by the jackknife over folds of the labels,
and it counts only as far as it is further from what the rows are divided into without it (Stein's estimator: James &
Stein, 1961).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from augmint.classify.graph import Array
from augmint.classify.logistic import fit_logistic
from augmint.measure.calibration import best_temperature
from augmint.seeding import permutation

ENOUGH = 5  # labels a class, on average; with fewer the guess was worth nothing (docs/log.md)
FOLDS, ASKED = 5, 20_000  # of the labels; rows that are looked at
DOUBT = 1.5  # times the measured error: the jackknife knows nothing of bias
SMALLEST = 0.02  # of the rows that a class would have if all were equally frequent
ROUNDS, CLOSE = 300, 1e-6  # of expectation maximisation


def _logs(shares: Array) -> Array:
    """log of shares [..., K], with mean 0."""
    logs = np.log(np.maximum(shares, SMALLEST / shares.shape[-1]))
    return np.asarray(logs - logs.mean(-1, keepdims=True))


@dataclass(frozen=True, eq=False)
class Guess:
    """Logarithms of the frequencies [K] up to a constant, and `error`: the variance of these, summed over K."""

    logs: Array
    error: float

    def beside(self, volumes: Array) -> Array:
        """Frequencies [K] that sum to 1, in the logarithm on the way from `volumes` [K] to the guess: the further, the
        less of their distance can be the guess's error."""
        start = _logs(volumes)
        way = self.logs - start
        trust = max(0.0, 1 - DOUBT * self.error / max(float(way @ way), 1e-12))
        given = np.exp(start + trust * way)
        return np.asarray(given / given.sum())


def shifted(probabilities: Array, before: Array) -> Array:
    """Class frequencies [K] under which rows are likeliest, by expectation maximisation. probabilities [N, K] of the
    classes, by a classifier that learnt where they were as frequent as `before` [K]."""
    found, ratios = before, probabilities / before
    for _ in range(ROUNDS):
        last, shares = found, ratios * found
        found = (shares / shares.sum(1, keepdims=True)).mean(0)
        if np.abs(found - last).max() < CLOSE:
            break
    return np.asarray(found)


def estimate(
    hidden: Tensor, rows: Tensor, labels: Tensor, *, c: float, mean: Tensor | None = None, scale: Tensor | None = None
) -> Guess | None:
    """From hidden [N, D] of all rows and the labels int64 [n], 0 … K − 1, each at least once, of `rows` int64 [n] of
    them; c, mean and scale as `fit_logistic` takes them. None where there are too few labels to ask: fewer than
    `ENOUGH` a class, or one of a class, so that nothing can be held out."""
    counts = torch.bincount(labels)
    folds = min(FOLDS, int(counts.min()))
    if folds < 2 or len(labels) < ENOUGH * len(counts):
        return None
    mean = hidden.mean(0) if mean is None else mean
    scale = hidden.std(0).clamp_min(1e-6) if scale is None else scale
    own, classes = hidden[rows], len(counts)
    fold = torch.empty_like(labels)
    fold[labels.argsort(stable=True)] = torch.arange(len(labels)) % folds  # of each class as many in each
    heads = [
        fit_logistic(own[kept], labels[kept], classes=classes, c=c, mean=mean, scale=scale)
        for kept in [torch.ones_like(fold, dtype=torch.bool), *(fold != k for k in range(folds))]
    ]
    held_out = torch.stack([head.logits(own) for head in heads])[1 + fold, torch.arange(len(labels))]
    heat = best_temperature(held_out, labels, smooth=True)
    some = hidden[permutation(len(hidden), 0, "frequencies")[:ASKED]]
    before = (counts / counts.sum()).double().numpy()
    said = [shifted((head.logits(some).double() / heat).softmax(1).numpy(), before) for head in heads]
    logs = _logs(np.stack(said))
    apart = logs[1:] - logs[1:].mean(0)
    return Guess(logs[0], float((folds - 1) / folds * (apart**2).sum()))
