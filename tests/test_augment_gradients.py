"""Gradients pass the policies that a discriminator may see through: against central differences."""

import pytest
import torch

from augmint.augment import policy
from augmint.data.table import Batch
from augmint.seeding import Draws

DRAWS = Draws(0, "gradients", 0, torch.arange(24))


@pytest.mark.parametrize("name", ["none", "weak", "gentle", "simclr"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 9)])
def test_gradients_as_central_differences(name: str, shape: tuple[int, int, int]) -> None:
    g = torch.Generator().manual_seed(0)
    images = torch.rand(24, *shape, generator=g) * 0.6 + 0.2
    weights, way = (torch.randn(24, *shape, generator=g) for _ in range(2))
    augment = policy(name)

    def value(x: torch.Tensor) -> torch.Tensor:
        return (augment(Batch(x), DRAWS).images.double() * weights).flatten(1).sum(1)

    leaf = images.clone().requires_grad_()
    value(leaf).sum().backward()
    assert leaf.grad is not None
    found = (leaf.grad * way).flatten(1).sum(1).double()
    step = 1e-3
    wanted = (value(images + step * way) - value(images - step * way)) / (2 * step)
    error = (found - wanted).abs() / (1 + wanted.abs())
    assert error.median() < 0.02 and (error < 0.1).float().mean() > 0.9  # a clamp or the hue's corners bend a few


@pytest.mark.parametrize("name", ["weak", "gentle", "simclr"])
def test_the_same_views_with_and_without_gradients(name: str) -> None:
    images = torch.rand(24, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    plain = policy(name)(Batch(images), DRAWS).images
    torch.testing.assert_close(policy(name)(Batch(images.clone().requires_grad_()), DRAWS).images.detach(), plain)
