"""Optimisers and schedule of the encoders. Norms and biases are never decayed, and LARS does not scale them.

optimiser = make(module, settings)                       # settings.optimiser: adamw, sgd, lars
set_rate(optimiser, settings.lr * warm_cosine(progress, settings.warm_up))
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from augmint.config import RepresentSettings

MOMENTUM = 0.9  # of SGD and LARS


def warm_cosine(progress: float, warm_up: float) -> float:
    """Factor of the learning rate at `progress` (0 … 1): linear from 0 to 1, then half a cosine to 0."""
    if progress < warm_up:
        return progress / warm_up
    return 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))


def make(module: nn.Module, settings: RepresentSettings) -> torch.optim.Optimizer:
    """The optimiser of the settings for all parameters that are trained; no weight decay on those of one dimension."""
    trained = [p for p in module.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0, "adapt": False},
    ]
    if settings.optimiser == "lars":
        return LARS(groups, settings.lr, MOMENTUM)
    groups[1].pop("adapt")
    fused = True if all(p.device.type in ("cpu", "cuda") for p in trained) else None  # one kernel for all parameters
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, settings.lr, MOMENTUM, fused=fused)
    return torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.99), fused=fused)


class LARS(torch.optim.Optimizer):
    """SGD with momentum whose steps are scaled to the length of each weight (You, Gitman & Ginsburg 2017).

    u = g + decay · w;  v ← momentum · v + η ‖w‖ / ‖u‖ · u;  w ← w − lr · v. Groups with `adapt` False take u itself.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = MOMENTUM,
        weight_decay: float = 0.0,
        trust: float = 1e-3,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust, "adapt": True}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; parameters without a gradient stay."""
        assert closure is None
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if moved:
                self._move(moved, group)

    def _move(self, params: list[Tensor], group: dict[str, Any]) -> None:
        """All parameters of a group at once: few kernels, and nothing that the host has to wait for."""
        updates = torch._foreach_add(
            [p.grad for p in params if p.grad is not None], params, alpha=group["weight_decay"]
        )
        if group["adapt"]:
            lengths, sizes = (torch.stack(torch._foreach_norm(of)) for of in (params, updates))
            scaled = group["trust"] * lengths / sizes.clamp_min(1e-12)
            ratios = torch.where((lengths > 0) & (sizes > 0), scaled, 1.0)
            torch._foreach_mul_(updates, ratios.unbind())
        momenta = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in params]
        torch._foreach_mul_(momenta, group["momentum"])
        torch._foreach_add_(momenta, updates)
        torch._foreach_add_(params, momenta, alpha=-group["lr"])
