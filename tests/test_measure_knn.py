"""Neighbours and votes against scikit-learn and plain loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from augmint.errors import InputError
from augmint.measure.knn import knn_accuracy, nearest
from augmint.seeding import torch_generator


def points(count: int, dim: int, *key: object) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch_generator("knn", *key))


@pytest.mark.parametrize(("count", "k", "chunk"), [(50, 1, 7), (2000, 5, None), (3001, 20, 64), (700, 700, 100)])
def test_the_same_as_scikit_learn(count: int, k: int, chunk: int | None) -> None:
    bank, queries = points(count, 12, "bank"), points(150, 12, "queries")
    distances, rows = nearest(queries, bank, k, chunk=chunk)
    d, r = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(bank.double().numpy()).kneighbors(queries.double())
    assert np.allclose(distances, d, atol=1e-5)
    assert (rows.numpy() == r).mean() > 0.999  # equal up to float32 ties


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 400), st.integers(1, 6), st.integers(1, 50), st.integers(0, 99))
def test_no_row_is_its_own_neighbour(count: int, dim: int, chunk: int, seed: int) -> None:
    bank = points(count, dim, seed).round()  # many ties and doubles
    k = min(5, count - 1)
    distances, rows = nearest(bank, bank, k, exclude_self=True, chunk=chunk)
    every = torch.cdist(bank.double(), bank.double(), compute_mode="donot_use_mm_for_euclid_dist")
    every.fill_diagonal_(torch.inf)
    assert torch.allclose(distances.double(), every.sort(1).values[:, :k], atol=1e-5)
    assert not (rows == torch.arange(count)[:, None]).any()
    assert all(len(set(r.tolist())) == k for r in rows)


def test_copies_far_from_the_origin_have_distance_zero() -> None:
    """The expanded square of float32 would say 0.1 here."""
    bank = points(500, 64, "far") + 1000
    distances, rows = nearest(bank[:20], bank, 1)
    assert (distances == 0).all()
    assert (rows[:, 0] == torch.arange(20)).all()


def test_half_precision_and_autocast_do_not_blur() -> None:
    bank = points(300, 16, "half")
    with torch.autocast("cpu", torch.bfloat16):
        distances, _ = nearest(bank[:9], bank, 3)
    assert torch.equal(distances, nearest(bank[:9], bank, 3)[0])
    assert nearest(bank[:9].half(), bank.half(), 3)[0].dtype == torch.float32


def test_no_queries_give_no_neighbours() -> None:
    distances, rows = nearest(torch.empty(0, 4), points(9, 4), 2)
    assert distances.shape == rows.shape == (0, 2)


@pytest.mark.parametrize(
    ("queries", "k", "own"), [((5, 3), 1, False), ((5, 4), 0, False), ((5, 4), 8, False), ((5, 4), 1, True)]
)
def test_what_does_not_fit_is_refused(queries: tuple[int, int], k: int, own: bool) -> None:
    with pytest.raises(InputError):
        nearest(torch.zeros(queries), torch.zeros(7, 4), k, exclude_self=own)


@pytest.mark.parametrize("k", [1, 4, 5])
def test_votes_as_scikit_learn(k: int) -> None:
    bank, queries = points(400, 6, "vote"), points(300, 6, "asked")
    labels = (bank[:, 0] * 2).round().long().clamp(-2, 2) + 2
    asked = (queries[:, 0] * 2).round().long().clamp(-2, 2) + 2
    model = KNeighborsClassifier(n_neighbors=k, algorithm="brute").fit(bank.numpy(), labels.numpy())
    expected = model.score(queries.numpy(), asked.numpy())
    assert knn_accuracy(bank, labels, queries, asked, k=k) == pytest.approx(expected, abs=1e-6)
