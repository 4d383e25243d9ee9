"""A target network: the slow copy that BYOL, MoCo v3 and DINO learn from.

target = Target(nn.Sequential(network, projector), start=0.996)
with torch.no_grad():
    wanted = target(views)
target.follow(online, progress)         # after a real optimiser step, progress 0 … 1
"""

import copy
import math
from typing import cast

import torch
from torch import Tensor, nn


class Target(nn.Module):
    """A copy without gradients, in training mode like its source: its BatchNorm takes the statistics of its own batch,
    and leaves the running ones, which `follow` alone moves."""

    def __init__(self, online: nn.Module, start: float) -> None:
        super().__init__()
        self.copy = copy.deepcopy(online).requires_grad_(False)
        for norm in self.copy.modules():
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                norm.track_running_stats = False  # the buffers stay; in evaluation mode they are used
        self.start = start

    def momentum(self, progress: float) -> float:
        """1 − (1 − start) · (cos(π · progress) + 1) / 2: from `start` to 1 (Grill et al., BYOL, section 3.3)."""
        return 1 - (1 - self.start) * (math.cos(math.pi * progress) + 1) / 2

    @torch.no_grad()
    def follow(self, online: nn.Module, progress: float) -> None:
        """Move parameters and BatchNorm's statistics towards the online network; counters are copied."""
        share = 1 - self.momentum(progress)
        mine = [*self.copy.parameters(), *self.copy.buffers()]
        theirs = [*online.parameters(), *online.buffers()]
        pairs = [(a, b.detach()) for a, b in zip(mine, theirs, strict=True) if a.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in pairs], [b for _, b in pairs], share)
        counters = [(a, b) for a, b in zip(mine, theirs, strict=True) if not a.is_floating_point()]
        if counters:
            torch._foreach_copy_([a for a, _ in counters], [b for _, b in counters])

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """What the copy answers; no gradient."""
        return cast(Tensor, self.copy(x))
