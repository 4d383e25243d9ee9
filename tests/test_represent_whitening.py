import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from augmint.represent.whitening import Whitening


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
    values, vectors = np.linalg.eigh(covariance + shrink * np.trace(covariance) / 6 * np.eye(6))
    wanted = (vectors / np.sqrt(values)) @ vectors.T
    np.testing.assert_allclose(Whitening.fit(x, shrink).matrix.numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_features_have_length_one_and_can_be_undone() -> None:
    x = hidden()
    made = Whitening.fit(x, 1.0)
    features = made(x)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(len(x)))
    torch.testing.assert_close(made(made.undo(features)), features, rtol=1e-3, atol=1e-4)


def test_a_dead_direction_and_few_images_are_no_trouble() -> None:
    x = hidden()
    x[:, 2] = 7.0
    assert torch.isfinite(Whitening.fit(x, 0.0)(x)).all()
    assert torch.isfinite(Whitening.fit(x[:2], 1.0)(x)).all()


def test_none_only_normalises() -> None:
    x = hidden()
    torch.testing.assert_close(Whitening.none(6)(x), torch.nn.functional.normalize(x, dim=1))
