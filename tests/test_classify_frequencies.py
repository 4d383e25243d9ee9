"""How frequent classes are: expectation maximisation against a direct maximum, the jackknife by hand, whole guesses."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.datasets import make_blobs

from augmint.classify import classifier
from augmint.classify.frequencies import DOUBT, SMALLEST, Guess, estimate, shifted
from augmint.classify.logistic import fit_logistic
from augmint.classify.volume import frequencies
from augmint.measure.calibration import best_temperature


def overlapping(counts: tuple[int, ...], each: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features of overlapping classes of these sizes, their classes, and the rows of `each` labels of each class."""
    centres = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])[: len(counts)]
    x, y = make_blobs(counts, centers=centres, cluster_std=1.0, random_state=seed)
    x, y = torch.tensor(x).float(), torch.tensor(y)
    rows = torch.cat([torch.nonzero(y == k)[:each, 0] for k in range(len(counts))])
    return x, y, rows


@pytest.mark.parametrize("before", [(1 / 3, 1 / 3, 1 / 3), (0.5, 0.3, 0.2)])
def test_expectation_maximisation_finds_the_likeliest_frequencies(before: tuple[float, ...]) -> None:
    probabilities = np.random.default_rng(0).dirichlet((0.4, 0.7, 0.5), 400)
    ratios = probabilities / np.array(before)

    def unlikely(z: np.ndarray) -> float:
        shares = np.exp(z) / np.exp(z).sum()
        return float(-np.log(ratios @ shares).mean())

    z = minimize(unlikely, np.zeros(3), tol=1e-12).x
    np.testing.assert_allclose(shifted(probabilities, np.array(before)), np.exp(z) / np.exp(z).sum(), atol=1e-4)


def test_a_guess_counts_as_far_as_its_error_does_not_explain_where_it_is() -> None:
    logs = np.log([0.6, 0.3, 0.1])
    volumes, logs = np.array([0.2, 0.3, 0.5]), logs - logs.mean()
    np.testing.assert_allclose(Guess(logs, 0.0).beside(volumes), (0.6, 0.3, 0.1))
    np.testing.assert_allclose(Guess(logs, 100.0).beside(volumes), volumes)
    start = np.log(volumes) - np.log(volumes).mean()
    way = logs - start
    half = Guess(logs, 0.5 * float(way @ way) / DOUBT).beside(volumes)
    between = np.sqrt(np.array([0.6, 0.3, 0.1]) * volumes)
    np.testing.assert_allclose(half, between / between.sum())
    assert Guess(logs, 0.1).beside(np.array([0.0, 0.5, 0.5])).min() > 0  # a class that nothing was decided for


def test_the_error_is_that_of_the_jackknife_over_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("augmint.classify.frequencies.ENOUGH", 2)
    x, y, rows = overlapping((300, 200, 100), 2)
    got = estimate(x, rows, y[rows], c=1.0)
    assert got is not None
    first = torch.tensor([True, False] * 3)  # rows are ordered by class: of each class one in each fold
    mean, scale = x.mean(0), x.std(0)
    heads = [fit_logistic(x[rows][k], y[rows][k], classes=3, c=1.0, mean=mean, scale=scale) for k in (~first, first)]
    held_out = torch.where(first[:, None], heads[0].logits(x[rows]), heads[1].logits(x[rows]))
    heat = best_temperature(held_out, y[rows], smooth=True)
    third = np.full(3, 1 / 3)
    shares = np.stack([shifted((h.logits(x).double() / heat).softmax(1).numpy(), third) for h in heads])
    logs = np.log(np.maximum(shares, SMALLEST / 3))
    logs -= logs.mean(1, keepdims=True)
    assert got.error == pytest.approx(0.5 * ((logs - logs.mean(0)) ** 2).sum(), rel=1e-3)


@pytest.mark.parametrize("counts", [(800, 150, 50), (100, 800, 100), (333, 333, 334)])
def test_many_labels_tell_the_frequencies_and_few_know_that_they_cannot(counts: tuple[int, ...]) -> None:
    truth = np.array(counts) / sum(counts)
    x, y, rows = overlapping(counts, 40)
    many, (_, _, five) = estimate(x, rows, y[rows], c=1.0), overlapping(counts, 5)
    few = estimate(x, five, y[five], c=1.0)
    assert many is not None and few is not None
    found = np.exp(many.logs) / np.exp(many.logs).sum()
    assert np.abs(found - truth).sum() < 0.2
    assert few.error > 3 * many.error


@pytest.mark.parametrize(("each", "asked"), [((1, 40, 40), False), ((4, 4, 4), False), ((2, 3, 10), True)])
def test_too_few_labels_are_not_asked(each: tuple[int, ...], asked: bool) -> None:
    x, y, _ = overlapping((333, 333, 334), 1)
    rows = torch.cat([torch.nonzero(y == k)[:count, 0] for k, count in enumerate(each)])
    assert (estimate(x, rows, y[rows], c=1.0) is not None) == asked


def test_labels_that_are_as_frequent_as_their_classes_are_not_taken_for_a_shift() -> None:
    x, y, _ = overlapping((600, 300, 100), 1)
    rows = torch.randperm(1000, generator=torch.Generator().manual_seed(0))[:200]
    got = estimate(x, rows, y[rows], c=1.0)
    assert got is not None
    np.testing.assert_allclose(np.exp(got.logs) / np.exp(got.logs).sum(), (0.6, 0.3, 0.1), atol=0.06)


def test_estimated_frequencies_need_a_guess() -> None:
    scores, counts = np.eye(3)[[0, 0, 0, 1]], np.array([1, 3, 4])
    assert frequencies("estimated", scores, counts, None) is None
    logs = np.log([0.6, 0.3, 0.1])
    given = frequencies("estimated", scores, counts, Guess(logs - logs.mean(), 0.0))
    assert given is not None
    np.testing.assert_allclose(given, (0.6, 0.3, 0.1))


def test_where_classes_are_of_unequal_size_the_estimate_is_worth_points() -> None:
    x, y, rows = overlapping((1500, 100, 400), 30, seed=1)
    known = torch.full_like(y, -1)
    known[rows] = y[rows]
    fitted = [
        classifier("propagate", prior=prior, folds=0).fit(x.numpy(), known.numpy()) for prior in (None, "estimated")
    ]
    plain, estimated = (float((model.predict(x) == y.numpy()).mean()) for model in fitted)
    assert estimated > plain + 0.01
