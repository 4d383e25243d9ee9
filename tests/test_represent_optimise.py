"""LARS and SGD against their formulas in numpy; the schedule; who is decayed."""

import numpy as np
import pytest
import torch
from torch import nn

from augmint.config import RepresentSettings
from augmint.represent.optimise import LARS, make, warm_cosine


def test_the_schedule_rises_and_falls() -> None:
    assert warm_cosine(0.0, 0.1) == 0.0
    assert warm_cosine(0.05, 0.1) == pytest.approx(0.5)
    assert warm_cosine(0.1, 0.1) == pytest.approx(1.0)
    assert warm_cosine(0.55, 0.1) == pytest.approx(0.5)
    assert warm_cosine(1.0, 0.1) == pytest.approx(0.0)
    assert warm_cosine(0.0, 0.0) == pytest.approx(1.0)


@pytest.mark.parametrize("adapt", [True, False])
def test_lars_follows_its_formula(adapt: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(4, 3, generator=generator))
    optimiser = LARS([{"params": [weight], "adapt": adapt}], lr=0.3, momentum=0.9, weight_decay=0.01, trust=0.02)
    w, v = weight.detach().double().numpy().copy(), np.zeros((4, 3))
    for _ in range(5):
        gradient = torch.randn(4, 3, generator=generator)
        weight.grad = gradient
        optimiser.step()
        u = gradient.double().numpy() + 0.01 * w
        ratio = 0.02 * np.linalg.norm(w) / np.linalg.norm(u) if adapt else 1.0
        v = 0.9 * v + ratio * u
        w = w - 0.3 * v
        np.testing.assert_allclose(weight.detach().numpy(), w, rtol=1e-5, atol=1e-6)


def test_lars_moves_weights_that_are_zero() -> None:
    weight = nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.ones(2, 2)
    LARS([weight], lr=0.5).step()
    assert torch.equal(weight.detach(), torch.full((2, 2), -0.5))


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_norms_and_biases_are_not_decayed_and_targets_not_trained(name: str) -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2).requires_grad_(False))
    optimiser = make(module, RepresentSettings(optimiser=name, lr=2e-3, weight_decay=0.1))
    heavy, light = optimiser.param_groups
    assert [p.shape for p in heavy["params"]] == [(4, 3)] and heavy["weight_decay"] == 0.1
    assert len(light["params"]) == 3 and light["weight_decay"] == 0.0
    for p in module.parameters():
        p.grad = torch.zeros_like(p)
    before = [p.clone() for p in module.parameters()]
    optimiser.step()
    moved = [not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True)]
    assert moved == [True, False, False, False, False, False]  # zero gradients: only decay moves anything


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_saved_and_restored_goes_on_the_same(name: str) -> None:
    def run(steps: int, module: nn.Module, optimiser: torch.optim.Optimizer, start: int = 0) -> None:
        for step in range(start, steps):
            x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
            optimiser.zero_grad()
            torch.autograd.backward(module(x).square().sum())
            optimiser.step()

    settings = RepresentSettings(optimiser=name, lr=0.01, weight_decay=0.05)
    torch.manual_seed(0)
    whole = nn.Linear(3, 2)
    parts = nn.Linear(3, 2)
    parts.load_state_dict(whole.state_dict())
    run(6, whole, make(whole, settings))
    first = make(parts, settings)
    run(3, parts, first)
    second = make(parts, settings)
    second.load_state_dict(first.state_dict())
    run(6, parts, second, start=3)
    assert torch.equal(whole.weight, parts.weight) and torch.equal(whole.bias, parts.bias)
