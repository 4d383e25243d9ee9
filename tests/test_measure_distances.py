"""Distances of distributions and calibration against scipy, prdc's golden values and loops."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

from augmint.errors import InputError
from augmint.measure import distances
from augmint.measure.calibration import expected_calibration_error
from augmint.measure.distances import frechet_distance, kid, prdc
from augmint.seeding import torch_generator

GOLDEN = Path(__file__).parent / "golden" / "measure_prdc.npz"


def two(dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch_generator("distances", dim)
    return torch.randn(70, dim, generator=g), torch.randn(90, dim, generator=g) * 1.5 + 0.4


@pytest.mark.parametrize("dim", [1, 5, 20])
def test_frechet_by_the_matrix_root_of_scipy(dim: int) -> None:
    a, b = two(dim)
    x, y = a.double().numpy(), b.double().numpy()
    sx, sy = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(sx + sy - 2 * np.real(sqrtm(sx @ sy)))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-6)


def test_frechet_of_a_set_with_itself_is_zero_also_if_flat() -> None:
    a, _ = two(5)
    flat = torch.cat([a, a[:, :2]], 1)  # singular covariance
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-5)


def test_kid_by_a_double_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "CELLS", 1000)  # several blocks
    a, b = two(3)
    x, y = a.double().tolist(), b.double().tolist()

    def kernel(u: list[float], v: list[float]) -> float:
        return (sum(p * q for p, q in zip(u, v, strict=True)) / 3 + 1) ** 3

    xx = np.mean([kernel(u, v) for i, u in enumerate(x) for j, v in enumerate(x) if i != j])
    yy = np.mean([kernel(u, v) for i, u in enumerate(y) for j, v in enumerate(y) if i != j])
    xy = np.mean([kernel(u, v) for u in x for v in y])
    assert kid(a, b) == pytest.approx(xx + yy - 2 * xy, rel=1e-6)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_prdc_as_the_package(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "CELLS", 4000)
    golden = np.load(GOLDEN)
    found = prdc(torch.from_numpy(golden["real"]), torch.from_numpy(golden["fake"]), k)
    assert found == pytest.approx({name: float(golden[f"{name}_{k}"]) for name in found}, abs=1e-6)


def test_prdc_by_loops() -> None:
    real, fake = two(4)
    rr, ff, fr = cdist(real, real), cdist(fake, fake), cdist(fake, real)
    real_radius = [sorted(row)[5] for row in rr]  # [0] is the image itself
    fake_radius = [sorted(row)[5] for row in ff]
    balls = [sum(fr[i, j] < real_radius[j] for j in range(70)) for i in range(90)]
    recalled = [any(fr[i, j] < fake_radius[i] for i in range(90)) for j in range(70)]
    covered = [min(fr[:, j]) < real_radius[j] for j in range(70)]
    expected = {
        "precision": np.mean([b > 0 for b in balls]),
        "recall": np.mean(recalled),
        "density": np.mean(balls) / 5,
        "coverage": np.mean(covered),
    }
    assert prdc(real, fake, 5) == pytest.approx(expected, abs=1e-6)


def test_a_generator_of_one_image_has_no_recall_and_no_coverage() -> None:
    real, _ = two(4)
    found = prdc(real, real[:1].repeat(50, 1))
    assert found["precision"] == 1
    assert found["recall"] == 0
    assert found["coverage"] < 0.2


@pytest.mark.parametrize("measure", [frechet_distance, kid, prdc])
def test_sets_that_do_not_fit_are_refused(measure: object) -> None:
    with pytest.raises(InputError):
        measure(torch.zeros(5, 3), torch.zeros(5, 4))  # type: ignore[operator]


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration_by_a_loop(bins: int) -> None:
    g = torch_generator("calibration")
    probs = (torch.randn(400, 5, generator=g) * 2).softmax(1)
    probs[0] = torch.tensor([1.0, 0, 0, 0, 0])
    labels = torch.randint(5, (400,), generator=g)
    total = 0.0
    for b in range(bins):
        rows = [i for i in range(400) if b / bins < float(probs[i].max()) <= (b + 1) / bins]
        if rows:
            accuracy = np.mean([int(probs[i].argmax() == labels[i]) for i in rows])
            total += len(rows) / 400 * abs(accuracy - np.mean([float(probs[i].max()) for i in rows]))
    assert expected_calibration_error(probs, labels, bins) == pytest.approx(total, abs=1e-6)
