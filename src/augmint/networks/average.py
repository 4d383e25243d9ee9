"""A slow copy of a network: the exponential moving average of its weights, buffers included.

    average = Average(generator, momentum=0.998)
    ...                                   # after each optimiser step
    average.update(generator)
    images = average.module(parents, noise)

Buffers (BatchNorm's running statistics) must move along, or the copy answers with statistics of other
weights. Early on the momentum is lower, (1 + n) / (10 + n) after n updates, so that the random
initial weights are forgotten.
"""

import copy
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class Average(Generic[M]):
    """`module` is the average, without gradients and in evaluation mode."""

    def __init__(self, module: M, momentum: float) -> None:
        self.momentum, self.updates = momentum, 0
        self.module = copy.deepcopy(module).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move a step of 1 - momentum towards `module`; integer buffers are copied."""
        momentum = min(self.momentum, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        pairs = list(zip(_tensors(self.module), _tensors(module), strict=True))
        real = [(a, b.detach()) for a, b in pairs if a.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in real], [b for _, b in real], 1 - momentum)
        for a, b in pairs:
            if not a.is_floating_point():
                a.copy_(b)

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "module": self.module.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates = int(state["updates"])
        self.module.load_state_dict(state["module"])


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
