"""Volume-constrained decisions and propagation, against dense solutions, an assignment and graphlearning."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import make_blobs

from augmint.classify import classifier
from augmint.classify.graph import propagated_scores
from augmint.classify.volume import frequencies, poisson_mbo, volume_offsets
from augmint.errors import InputError

GOLDEN = np.load(Path(__file__).parent / "golden" / "volume.npz")


def volumes(scores: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.bincount(scores.argmax(1), minlength=scores.shape[1]) / len(scores)


@pytest.mark.parametrize("prior", [(0.25, 0.25, 0.5), (0.1, 0.6, 0.3)])
def test_offsets_solve_the_assignment_of_most_score(prior: tuple[float, ...]) -> None:
    """The exact solution, by the Hungarian method: every class offers as many places as its volume."""
    scores = np.random.default_rng(0).normal(size=(200, 3)) * (1, 2, 1) + (0.5, 0, -1)
    places = np.repeat(np.arange(3), (np.array(prior) * 200).round().astype(int))
    _, chosen = linear_sum_assignment(-scores[:, places])
    decision = (scores + volume_offsets(scores, np.array(prior))).argmax(1)
    assert np.mean(decision == places[chosen]) >= 0.99
    np.testing.assert_allclose(np.bincount(decision) / 200, prior, atol=0.0101)


def graph_and_labels() -> tuple[Any, torch.Tensor, np.ndarray[Any, Any]]:
    n = len(GOLDEN["y"])
    graph = sparse.csr_matrix((GOLDEN["data"], GOLDEN["indices"], GOLDEN["indptr"]), shape=(n, n))
    labels = torch.full((n,), -1)
    labels[GOLDEN["rows"]] = torch.from_numpy(GOLDEN["y"][GOLDEN["rows"]])
    return graph, labels, np.bincount(GOLDEN["y"]) / n


def test_poisson_mbo_decides_as_graphlearning_does() -> None:
    """Its offsets multiply, ours add: rows at the border may differ, the volumes and nearly all rows do not."""
    graph, labels, prior = graph_and_labels()
    start = propagated_scores(graph, labels, 3)
    scores = poisson_mbo(graph, labels, prior, start)
    np.testing.assert_allclose(volumes(scores), prior, atol=0.006)
    assert np.mean(scores.argmax(1) == GOLDEN["labels"]) > 0.97
    assert np.mean(start.argmax(1) == GOLDEN["labels"]) < 0.9  # without the constraint it is another decision,
    assert np.mean(scores.argmax(1) == GOLDEN["y"]) > np.mean(start.argmax(1) == GOLDEN["y"]) + 0.05  # and a worse one


def test_one_step_of_poisson_mbo_is_the_heat_equation() -> None:
    graph, labels, prior = graph_and_labels()
    start = np.random.default_rng(1).normal(size=(len(labels), 3))
    dense = graph.toarray()
    degree = dense.sum(1)
    u = np.eye(3)[(start + volume_offsets(start, prior)).argmax(1)]
    known = labels.numpy() >= 0
    source = np.zeros_like(u)
    source[known] = np.eye(3)[labels.numpy()[known]] - 1 / 3
    for _ in range(2):
        u = u - (degree[:, None] * u - dense @ u - 0.7 * source) / degree.max()
    got = poisson_mbo(graph, labels, prior, start, fidelity=0.7, inner=2, steps=1)
    np.testing.assert_allclose(got, u + volume_offsets(u, prior), atol=1e-9)


@pytest.mark.parametrize(
    ("prior", "shares"),
    [("uniform", (1 / 3, 1 / 3, 1 / 3)), ("labels", (0.125, 0.375, 0.5)), ((2, 1, 1), (0.5, 0.25, 0.25))],
)
def test_frequencies_by_name_and_by_number(prior: Any, shares: tuple[float, ...]) -> None:
    found = frequencies(prior, np.eye(3)[[0, 0, 0, 1]], np.array([1, 3, 4]), None)
    assert found is not None and tuple(found) == shares


def test_propagate_equals_a_dense_solution_by_hand() -> None:
    """Transduction and the mean over neighbours for a new row, written out with dense matrices on 12 rows."""
    x, y = make_blobs(12, 3, centers=2, cluster_std=4.0, random_state=1)
    labels = np.full(12, -1)
    labels[[0, 1, 2, 3]] = y[[0, 1, 2, 3]]
    assert set(labels[:4]) == {0, 1}
    model = classifier("propagate", k=4, damping=0.01, folds=0).fit(x, labels)
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float64)
    weights = np.zeros((12, 12))
    for i in range(12):
        d = np.linalg.norm(unit - unit[i], axis=1)
        near = np.argsort(d)[1:5]
        weights[i, near] = np.exp(-4 * d[near] ** 2 / d[near[-1]] ** 2)
    weights = (weights + weights.T) / 2
    degree, known = weights.sum(1), labels >= 0
    source = np.zeros((12, 2))
    source[known] = np.eye(2)[labels[known]] - np.eye(2)[labels[known]].mean(0)
    u = np.linalg.solve(1.01 * np.diag(degree) - weights, source)
    u -= (degree[:, None] * u).sum(0) / degree.sum()
    counts = np.bincount(labels[known])
    u = u * counts.mean() / counts
    u /= u.std(0).mean()
    np.testing.assert_array_equal(model.transduction_, np.where(known, labels, u.argmax(1)))
    new = np.array([[1.0, 2.0, -1.0]])
    d = np.linalg.norm(unit - new / np.linalg.norm(new), axis=1)
    near = np.argsort(d)[:4]
    w = np.exp(-4 * d[near] ** 2 / d[near[-1]] ** 2)
    z = (w[:, None] * u[near]).sum(0) / w.sum()
    np.testing.assert_allclose(model.predict_proba(new)[0], np.exp(z) / np.exp(z).sum(), atol=2e-3)


@pytest.mark.parametrize("steps", [0, 20])
def test_propagation_keeps_to_the_prior_it_is_given(steps: int) -> None:
    x, y = make_blobs((40, 80, 160), 6, cluster_std=4.0, random_state=0)
    labels = np.full(280, -1)
    for c in range(3):
        labels[np.flatnonzero(y == c)[:3]] = c
    prior = np.bincount(y) / 280
    held = classifier("propagate", prior=prior, steps=steps).fit(x, labels)
    np.testing.assert_allclose(np.bincount(held.transduction_) / 280, prior, atol=0.03)
    np.testing.assert_allclose(held.prior_, prior)
    uniform = classifier("propagate", prior="uniform", steps=steps).fit(x, labels)
    np.testing.assert_allclose(np.bincount(uniform.transduction_) / 280, 1 / 3, atol=0.03)


def minted_of_one_class(spread: float) -> tuple[Any, Any, tuple[Any, Any, None]]:
    x, y = make_blobs((40, 40, 40), 6, cluster_std=spread, random_state=0)
    labels = np.full(120, -1)
    for c in range(3):
        labels[np.flatnonzero(y == c)[:4]] = c
    made = x[y == 0][np.arange(200) % 40] + np.random.default_rng(0).normal(scale=0.3, size=(200, 6))
    return x, labels, (made, np.zeros(200, int), None)


@pytest.mark.parametrize(
    ("name", "options"),
    [("propagate", {"steps": 0}), ("propagate", {"steps": 20}), ("pseudo", {"folds": 0})],
)
def test_a_prior_speaks_of_the_real_rows_whatever_is_minted(name: str, options: dict[str, Any]) -> None:
    """200 minted rows of one class beside 120 real ones, 40 of each: the real ones keep their volumes."""
    x, labels, extra = minted_of_one_class(2.5)
    model = classifier(name, prior="uniform", **options).fit(x, labels, extra)
    np.testing.assert_allclose(np.bincount(model.predict(x), minlength=3) / 120, 1 / 3, atol=0.04)
    if name == "propagate":
        np.testing.assert_allclose(np.bincount(model.transduction_) / 120, 1 / 3, atol=0.04)


def test_the_estimated_prior_is_that_of_the_real_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("augmint.classify.frequencies.ENOUGH", 2)
    x, labels, extra = minted_of_one_class(0.5)
    model: Any = classifier("propagate", prior="estimated").fit(x, labels, extra)
    np.testing.assert_allclose(model.prior_, 1 / 3, atol=0.02)


def test_a_prior_that_fits_nothing_is_refused() -> None:
    x, y = make_blobs(60, 3, random_state=0)
    for prior in ("no-such", (0.5, 0.5), (0.5, 0.5, 0.0)):
        with pytest.raises(InputError, match="prior"):
            classifier("propagate", prior=prior).fit(x, y)
