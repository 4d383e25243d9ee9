"""Labels for unlabelled images: from the few labelled ones along a graph of nearest neighbours.

    graph = candidates(features).graph()                     # once for a table (agreement.py)
    probabilities = propagate(graph, labels, classes=10)     # labels: int64 [N], -1 = unlabelled

Poisson learning (Calder, Cook, Thorpe & Slepčev, ICML 2020): labels are sources and sinks of a
potential on the graph; it does not flatten when labels are few, as Laplace learning does.
"""

from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

Array = np.ndarray[Any, Any]
TINY = 1e-12
DECIDING = 1e-2  # damping where every row is decided; with less the surest rows are better, the others worse
Graph = Any  # scipy.sparse.csr_matrix, symmetric, non-negative, no diagonal


def neighbour_weights(distances: Tensor) -> Tensor:
    """float64 [N, k]: exp(−4 d² / d_k²) of distances [N, k], nearest first."""
    squared = distances.double().square()
    return torch.exp(-4 * squared / squared[:, -1:].clamp_min(TINY))


def graph_of(distances: Tensor, indices: Tensor) -> Graph:
    """Symmetric weighted graph [N, N] of nearest neighbours, from distances [N, k] of unit vectors and rows [N, k],
    nearest first. weight = exp(−4 d² / d_k²), d_k the distance to the k-th (the scaling of Calder et al.)."""
    count, k = indices.shape
    weights = neighbour_weights(distances)
    rows, shape = np.repeat(np.arange(count), k), (count, count)
    graph = sparse.csr_matrix((weights.flatten().numpy(), (rows, indices.flatten().numpy())), shape=shape)
    return ((graph + graph.T) / 2).tocsr()


def _solve(operator: Graph, right: Array, tolerance: float, most: int = 1000) -> Array:
    """Conjugate gradients for all columns of `right` [N, K] at once: one sparse product a step serves them all."""
    x = np.zeros_like(right)
    residual = right.copy()
    direction = residual.copy()
    power = (residual**2).sum(0)
    target = tolerance**2 * power
    for _ in range(most):
        if (power <= target).all():
            break
        image = operator @ direction
        step = power / np.maximum((direction * image).sum(0), TINY)
        x += step * direction
        residual -= step * image
        before, power = power, (residual**2).sum(0)
        direction = residual + power / np.maximum(before, TINY) * direction
    return x


def degrees(graph: Graph) -> Array:
    """[N]: sum of the weights at each row, above zero."""
    return np.asarray(np.maximum(np.asarray(graph.sum(1)).ravel(), TINY))


def sources(labels: Tensor, classes: int, weights: Tensor | None = None) -> Array:
    """[N, K]: w_j (y_j − ȳ) at labelled rows, zero elsewhere; ȳ is the weighted mean, so that all sum to zero."""
    known = torch.nonzero(labels >= 0)[:, 0].numpy()
    w = np.ones(len(known)) if weights is None else weights.double().numpy()[known]
    one_hot = np.eye(classes)[labels[known].numpy()]
    source = np.zeros((len(labels), classes))
    source[known] = w[:, None] * (one_hot - np.average(one_hot, axis=0, weights=w))
    return source


def poisson_potential(
    graph: Graph, labels: Tensor, classes: int, damping: float = 1e-3, weights: Tensor | None = None
) -> Array:
    """u [N, K] with (L + damping · D) u = Σ_j w_j (y_j − ȳ) δ_j and degree-weighted mean zero (their equation 2.4).

    labels int64 [N], -1 = unlabelled; weights [N] of the labelled rows, default 1.

    The damping ends the underlying random walk after some thousand steps; it keeps parts of the graph that
    hold labels of one class only from a potential without bounds.
    """
    degree, source = degrees(graph), sources(labels, classes, weights)
    root = 1 / np.sqrt(degree)
    normalised = sparse.diags(root) @ graph @ sparse.diags(root)
    operator = (sparse.identity(len(degree)) * (1 + damping) - normalised).tocsr()
    potential = root[:, None] * _solve(operator, root[:, None] * source, tolerance=1e-4)
    return np.asarray(potential - (degree[:, None] * potential).sum(0) / degree.sum())


def propagated_scores(
    graph: Graph, labels: Tensor, classes: int, damping: float = 1e-3, weights: Tensor | None = None
) -> Array:
    """float64 [N, K]: the potential, every class's part divided by how many labels (or weight) it has, in units of its
    own spread: more labels must not mean more votes."""
    potential = poisson_potential(graph, labels, classes, damping, weights)
    known = labels >= 0
    mass = torch.bincount(labels[known], None if weights is None else weights[known], minlength=classes).numpy()
    potential = potential * (mass.mean() / np.maximum(mass, TINY))
    return np.asarray(potential / (potential.std(0).mean() + TINY))


def propagate(graph: Graph, labels: Tensor, classes: int) -> Tensor:
    """Class probabilities float32 [N, K] of every row; labelled rows keep their label.

    A softmax of `propagated_scores`, not calibrated.
    """
    scores = propagated_scores(graph, labels, classes)
    probabilities = torch.from_numpy(scores).float().softmax(1)
    known = torch.nonzero(labels >= 0)[:, 0]
    probabilities[:, torch.bincount(labels[known], minlength=classes) == 0] = 0.0
    probabilities = probabilities / probabilities.sum(1, keepdim=True)
    probabilities[known] = torch.nn.functional.one_hot(labels[known], classes).float()
    return probabilities
