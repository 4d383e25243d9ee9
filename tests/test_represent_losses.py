"""NT-Xent against equation 1 of the SimCLR paper, written out with loops."""

import math

import pytest
import torch

from augmint.represent.losses import nt_xent


def oracle(first, second, temperature):
    z = [row / row.norm() for row in torch.cat([first, second]).double()]
    count = len(first)
    total = 0.0
    for anchor in range(2 * count):
        positive = (anchor + count) % (2 * count)
        above = math.exp(float(z[anchor] @ z[positive]) / temperature)
        below = sum(math.exp(float(z[anchor] @ z[k]) / temperature) for k in range(2 * count) if k != anchor)
        total -= math.log(above / below)
    return total / (2 * count)


@pytest.mark.parametrize("batch", [2, 5, 16])
@pytest.mark.parametrize("dimension", [1, 8, 33])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_nt_xent_is_the_papers(batch, dimension, temperature):
    generator = torch.Generator().manual_seed(batch * 100 + dimension)
    first, second = torch.randn(2, batch, dimension, generator=generator)
    expected = oracle(first, second, temperature)
    assert float(nt_xent(first, second, temperature)) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert float(nt_xent(3 * first, second, temperature)) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_known_values():
    same = torch.ones(4, 3)
    assert float(nt_xent(same, same, 0.2)) == pytest.approx(math.log(7))  # nothing told apart
    apart = torch.eye(4)
    assert float(nt_xent(apart, apart, 0.01)) == pytest.approx(0.0, abs=1e-6)


def test_autocast_does_not_touch_it():
    first, second = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        inside = nt_xent(first, second, 0.1)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, nt_xent(first, second, 0.1))
