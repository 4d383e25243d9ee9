import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from augmint.represent import whitening
from augmint.represent.whitening import Whitening


@pytest.fixture(autouse=True)
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whitening, "ROWS", 150)


def hidden(count: int = 400, size: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(count, size, generator=generator)
        @ (torch.eye(size) + torch.rand(size, size, generator=generator) / 2)
        + 3
    )


def test_without_shrinkage_it_is_pca_whitening_but_for_a_turn() -> None:
    x = hidden()
    made = Whitening.fit(x, shrink=0.0)
    white = (x - made.mean) @ made.matrix
    covariance = np.cov(white.numpy().T, bias=True)
    np.testing.assert_allclose(covariance, np.eye(6), atol=1e-3)
    theirs = PCA(whiten=True).fit_transform(x.numpy())
    ours = white.numpy() @ white.numpy().T  # inner products do not see the turn
    np.testing.assert_allclose(ours * (len(x) - 1) / len(x), theirs @ theirs.T, atol=2e-2)


@pytest.mark.parametrize("shrink", [0.1, 1.0, 10.0])
def test_shrinkage_is_added_to_every_variance(shrink: float) -> None:
    x = hidden()
    covariance = np.cov(x.double().numpy().T, bias=True)
    wanted = np.linalg.inv(covariance + shrink * np.trace(covariance) / 6 * np.eye(6))
    matrix = Whitening.fit(x, shrink).matrix.double().numpy()
    np.testing.assert_allclose(matrix @ matrix.T, wanted, rtol=1e-4, atol=1e-5)  # does not see the turn


def test_features_have_length_one() -> None:
    x = hidden()
    torch.testing.assert_close(Whitening.fit(x, 1.0)(x).norm(dim=1), torch.ones(len(x)))


def test_the_directions_of_least_variance_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whitening, "MOST", 2)
    x = hidden()
    kept = Whitening.fit(x, 0.0)
    theirs = PCA(2, whiten=True).fit_transform(x.numpy())
    ours = (x - kept.mean) @ kept.matrix
    assert ours.shape == (400, 2)
    np.testing.assert_allclose(np.abs(ours.T.numpy() @ theirs) / len(x), np.eye(2), atol=2e-2)


def test_a_dead_direction_and_few_images_are_no_trouble() -> None:
    x = hidden()
    x[:, 2] = 7.0
    assert torch.isfinite(Whitening.fit(x, 0.0)(x)).all()
    assert torch.isfinite(Whitening.fit(x[:2], 1.0)(x)).all()


def test_none_only_normalises() -> None:
    x = hidden()
    torch.testing.assert_close(Whitening.none(6)(x), torch.nn.functional.normalize(x, dim=1))
