"""Collapse measures and the linear probe against hand-written and scipy oracles."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp

from augmint.measure.collapse import effective_rank, feature_std
from augmint.measure.probes import linear_probe
from augmint.seeding import torch_generator


def test_std_of_directions_by_hand() -> None:
    features = torch.randn(40, 6, generator=torch_generator("std")) + 1
    unit = [[v / math.sqrt(sum(w * w for w in row)) for v in row] for row in features.double().tolist()]
    columns = list(zip(*unit, strict=True))
    stds = [math.sqrt(sum((v - sum(c) / len(c)) ** 2 for v in c) / len(c)) for c in columns]
    assert feature_std(features) == pytest.approx(sum(stds) / 6 * math.sqrt(6))


def test_std_tells_spread_from_collapse() -> None:
    spread = torch.randn(5000, 32, generator=torch_generator("spread"))
    assert feature_std(spread) == pytest.approx(1, abs=0.02)
    assert feature_std(torch.ones(100, 32)) == pytest.approx(0, abs=1e-9)
    assert feature_std(spread[:, :1] * torch.ones(32) * 0.001 + 1) < 0.01


def test_rank_by_singular_values() -> None:
    features = torch.randn(60, 10, generator=torch_generator("rank")) * torch.arange(1, 11) + 5
    values = np.linalg.svd(features.double().numpy() - features.double().numpy().mean(0), compute_uv=False)
    share = values / values.sum()
    assert effective_rank(features) == pytest.approx(math.exp(-(share * np.log(share)).sum()))


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_rank_counts_directions(rank: int) -> None:
    basis = torch.linalg.qr(torch.randn(16, rank, generator=torch_generator("basis"), dtype=torch.float64)).Q
    scores = torch.randn(4000, rank, generator=torch_generator("scores"), dtype=torch.float64)
    scores = torch.linalg.qr(scores - scores.mean(0)).Q * 100
    assert effective_rank((scores @ basis.T).float() + 3) == pytest.approx(rank, abs=0.01)


def test_rank_of_constant_features_is_zero() -> None:
    assert effective_rank(torch.full((50, 8), 0.37)) == 0


def test_probe_as_the_minimum_of_its_objective() -> None:
    """scipy minimises the penalised cross-entropy that the probe is said to fit."""
    g = torch_generator("probe")
    x, y = torch.randn(90, 4, generator=g), torch.randint(3, (90,), generator=g)
    x += torch.nn.functional.one_hot(y, 4) * 1.5
    mean, std = x.mean(0), x.std(0, correction=0)
    z = ((x - mean) / std).double().numpy()

    def objective(w: np.ndarray) -> float:
        weights, bias = w[:12].reshape(4, 3), w[12:]
        logits = z @ weights + bias
        return float((logsumexp(logits, 1) - logits[np.arange(90), y.numpy()]).sum() + (weights**2).sum() / 2)

    w = minimize(objective, np.zeros(15), options={"gtol": 1e-6}).x
    fresh = torch.randn(200, 4, generator=g)
    truth = ((fresh - mean) / std).double().numpy() @ w[:12].reshape(4, 3) + w[12:]
    assert linear_probe(x, y, fresh, torch.from_numpy(truth.argmax(1))) > 0.99
