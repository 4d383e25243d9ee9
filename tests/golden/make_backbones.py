"""Golden outputs of torchvision's residual networks: python tests/golden/make_backbones.py

Needs requirements/peers.txt. Weights come from `fill`, so none are stored.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


def fill(module: nn.Module) -> None:
    """Random weights, a function of the parameter's name alone; BatchNorm stays as it starts."""
    for name, p in module.named_parameters():
        if p.ndim > 1:
            values = np.random.RandomState(sum(map(ord, name))).standard_normal(tuple(p.shape))
            with torch.no_grad():
                p.copy_(torch.from_numpy(values * (2 / p[0].numel()) ** 0.5).to(p.dtype))


def images() -> Tensor:
    """float 0 … 1 [2, 3, 128, 128], large enough that every stage halves the maps."""
    return torch.sin(torch.arange(2 * 3 * 128 * 128, dtype=torch.float64) * 0.01).view(2, 3, 128, 128).float() / 2 + 0.5


def main() -> None:
    from torchvision import models

    found = {}
    for name in ("resnet18", "resnet50"):
        network = models.get_model(name, weights=None)
        network.fc = nn.Identity()
        fill(network)
        with torch.no_grad():  # BatchNorm in training mode; double, as rounding grows through fifty of them
            found[name] = network.double().train()((images().double() - 0.5) / 0.5).numpy()
    np.savez_compressed(Path(__file__).with_name("backbones.npz"), **found)


if __name__ == "__main__":
    main()
