"""Heads between an encoder's features and a contrastive loss.

projector = projector(features=128, name="article")    # [N, 128] → [N, projector.features]
"""

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn

from augmint.errors import UsageError


class Projector(nn.Module):
    """Layers with the size of their output beside them; float [N, …] → [N, features]."""

    def __init__(self, features: int, *layers: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.layers(x))


def article(features: int) -> Projector:
    """feature → 512 → BatchNorm → LeakyReLU(0.2) → 128 → BatchNorm → LeakyReLU(0.2) (SYSTEM 3)."""
    return Projector(
        128,
        nn.Linear(features, 512, bias=False),
        nn.BatchNorm1d(512),
        nn.LeakyReLU(0.2),
        nn.Linear(512, 128, bias=False),
        nn.BatchNorm1d(128),
        nn.LeakyReLU(0.2),
    )


def standard(features: int) -> Projector:
    """Two layers, linear at the end (Chen et al., SimCLR, ICML 2020, section 4.2)."""
    return Projector(
        128,
        nn.Linear(features, 512, bias=False),
        nn.BatchNorm1d(512),
        nn.ReLU(),
        nn.Linear(512, 128),
    )


def mlp(features: int, *sizes: int, last_norm: bool = False) -> Projector:
    """Linear layers to these sizes with BatchNorm and ReLU between; `last_norm`: a BatchNorm without parameters at the
    end (Chen & He, SimSiam, CVPR 2021, section 3)."""
    layers: list[nn.Module] = []
    for inner, outer in zip((features, *sizes[:-2]), sizes[:-1], strict=False):
        layers += [nn.Linear(inner, outer, bias=False), nn.BatchNorm1d(outer), nn.ReLU()]
    inner = sizes[-2] if len(sizes) > 1 else features
    layers.append(nn.Linear(inner, sizes[-1], bias=not last_norm))
    if last_norm:
        layers.append(nn.BatchNorm1d(sizes[-1], affine=False))
    return Projector(sizes[-1], *layers)


PROJECTORS: dict[str, Callable[[int], Projector]] = {f.__name__: f for f in (article, standard)}


def projector(features: int, name: str = "article") -> Projector:
    """The projector of this name for features of this size. UsageError lists the names."""
    if name not in PROJECTORS:
        raise UsageError(f"projector {name}: there is no such projector; choose one of {', '.join(PROJECTORS)}")
    return PROJECTORS[name](features)
