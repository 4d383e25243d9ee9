"""Label decisions whose class volumes match a prior, and diffusion that keeps to it.

    offsets = volume_offsets(scores, prior)                    # (scores + offsets).argmax(1) has those volumes
    scores = poisson_mbo(graph, labels, prior, start)          # float64 [N, K]

With few labels a graph gives some classes far too much. To know how frequent the classes are helps (Calder, Cook,
Thorpe & Slepčev, ICML 2020, section 3).
"""

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from torch import Tensor

from augmint.classify.frequencies import Guess
from augmint.classify.graph import TINY, Array, Graph, degrees, sources

COOLING = (1.0, 0.3, 0.1, 0.03, 0.01)  # softness of the decision, in spreads of the scores


def _dual(offsets: Array, logits: Array, prior: Array) -> tuple[float, Array]:
    """Value and gradient [K] of mean_i log Σ_k exp(l_ik + b_k) − prior · b: least where the volumes of the softmax are
    the prior."""
    moved = logits + offsets
    top = moved.max(1, keepdims=True)
    soft = np.exp(moved - top)
    total = soft.sum(1, keepdims=True)
    return float((top + np.log(total)).mean() - prior @ offsets), (soft / total).mean(0) - prior


def volume_offsets(scores: Array, prior: Array) -> Array:
    """Offsets b [K] with which the decision argmax_k(s_ik + b_k) gives class k about prior_k of the rows.

    scores [N, K]; prior [K], positive, sums to 1. b solves the dual of the assignment of most total score under these
    volumes, by L-BFGS, for a softmax that is cooled down to the argmax. b has mean zero.
    """
    spread = max(float(scores.std()), TINY)
    offsets = np.zeros(scores.shape[1])
    for softness in COOLING:
        width = softness * spread
        arguments = (scores / width, prior)
        found = minimize(_dual, offsets / width, arguments, "L-BFGS-B", jac=True, options={"maxiter": 50})
        offsets = found.x * width
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
    counted: slice = slice(None),
) -> Array:
    """Volume-constrained Poisson learning (PoissonMBO, Calder et al., algorithm 2): scores float64 [N, K].

    labels int64 [N], -1 = unlabelled; prior [K]; start [N, K]: scores to begin with. In turn: `inner` steps of the heat
    equation from the labels of all rows, with the sources of Poisson learning (weighed by `fidelity`), and a decision
    with the volumes of the prior, among the rows `counted`. Ends after `steps`, or once no row changes. The scores are
    those after the last diffusion, with the offsets of the decision: their argmax is the decision.
    """
    degree = degrees(graph)
    pace = 1 / degree.max()
    heat = (sparse.identity(len(degree)) - pace * (sparse.diags(degree) - graph)).tocsr()
    push = fidelity * pace * sources(labels, len(prior), weights)
    scores = start + volume_offsets(start[counted], prior)
    for _ in range(steps):
        before = scores.argmax(1)
        scores = np.eye(len(prior))[before]
        for _ in range(inner):
            scores = heat @ scores + push
        scores = scores + volume_offsets(scores[counted], prior)
        if (scores.argmax(1) == before).all():
            break
    return np.asarray(scores)


def frequencies(prior: str | Sequence[float], scores: Array, counts: Array, guess: Guess | None) -> Array | None:
    """Class frequencies [K] by name: "uniform"; "labels", as among the labelled rows (counts [K]); "estimated": what
    the scores [N, K] decide for, corrected by the guess; or numbers, in any unit. None where nothing is known."""
    if prior == "estimated":
        decided = np.bincount(scores.argmax(1), minlength=scores.shape[1]) / len(scores)
        return None if guess is None else guess.beside(decided)
    named = {"uniform": np.ones(len(counts)), "labels": counts}
    given = named[prior] if isinstance(prior, str) else np.asarray(prior, np.float64)
    return np.asarray(given / given.sum())
