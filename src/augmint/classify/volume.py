"""Label decisions whose class volumes match a prior, and diffusion that keeps to it.

    offsets = volume_offsets(scores, prior)                    # (scores + offsets).argmax(1) has those volumes
    scores = poisson_mbo(graph, labels, prior, start)          # float64 [N, K]

With few labels a graph gives some classes far too much. To know how frequent the classes are helps (Calder, Cook,
Thorpe & Slepčev, ICML 2020, section 3).
"""

import numpy as np
from scipy import sparse
from scipy.special import log_softmax, logsumexp
from torch import Tensor

from augmint.classify.graph import TINY, Array, Graph, degrees, sources

COOLING = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)  # softness of the decision, in spreads of the scores
STEPS = 40  # at each


def volume_offsets(scores: Array, prior: Array) -> Array:
    """Offsets b [K] with which the decision argmax_k(s_ik + b_k) gives class k about prior_k of the rows.

    scores [N, K]; prior [K], positive, sums to 1. b solves the dual of the assignment of most total score under these
    volumes; it is found by Sinkhorn's iteration on a softmax that is cooled down to the argmax. b has mean zero.
    """
    spread = max(float(scores.std()), TINY)
    offsets, target = np.zeros(scores.shape[1]), np.log(prior)
    for softness in COOLING:
        width = softness * spread
        for _ in range(STEPS):
            soft = log_softmax((scores + offsets) / width, axis=1)
            change = width * (target - (logsumexp(soft, axis=0) - np.log(len(scores))))
            offsets = offsets + change
            if np.abs(change).max() < 0.01 * width:
                break
    return np.asarray(offsets - offsets.mean())


def poisson_mbo(
    graph: Graph,
    labels: Tensor,
    prior: Array,
    start: Array,
    *,
    weights: Tensor | None = None,
    fidelity: float = 1.0,
    inner: int = 40,
    steps: int = 20,
) -> Array:
    """Volume-constrained Poisson learning (PoissonMBO, Calder et al., algorithm 2): scores float64 [N, K].

    labels int64 [N], -1 = unlabelled; prior [K]; start [N, K]: scores to begin with. In turn: `inner` steps of the heat
    equation from the labels of all rows, with the sources of Poisson learning (weighed by `fidelity`), and a decision
    with the volumes of the prior. Ends after `steps`, or once no row changes. The scores are those after the last
    diffusion, with the offsets of the decision: their argmax is the decision.
    """
    degree = degrees(graph)
    pace = 1 / degree.max()
    heat = (sparse.identity(len(degree)) - pace * (sparse.diags(degree) - graph)).tocsr()
    push = fidelity * pace * sources(labels, len(prior), weights)
    scores = start + volume_offsets(start, prior)
    for _ in range(steps):
        before = scores.argmax(1)
        scores = np.eye(len(prior))[before]
        for _ in range(inner):
            scores = heat @ scores + push
        scores = scores + volume_offsets(scores, prior)
        if (scores.argmax(1) == before).all():
            break
    return np.asarray(scores)


def estimated_prior(scores: Array, start: Array, steps: int = 100) -> Array:
    """Class frequencies [K] of the rows from their scores [N, K], by expectation maximisation (Saerens, Latinne &
    Decaestecker, Neural Computation 2002); `start` [K] are the frequencies that the scores take for granted."""
    log_start = np.log(start)
    prior = start
    for _ in range(steps):
        prior = np.exp(logsumexp(log_softmax(scores + np.log(prior) - log_start, axis=1), axis=0)) / len(scores)
        prior = np.maximum(prior, 1e-6)
    return np.asarray(prior / prior.sum())
