"""Optimiser and schedule of the encoders.

optimiser = adamw(module, settings)
set_rate(optimiser, settings.lr * warm_cosine(progress))
"""

import math

import torch
from torch import nn

from augmint.config import RepresentSettings

WARM_UP = 0.03  # share of the training


def warm_cosine(progress: float, warm_up: float = WARM_UP) -> float:
    """Factor of the learning rate at `progress` (0 … 1): linear from 0 to 1, then half a cosine to 0."""
    if progress < warm_up:
        return progress / warm_up
    return 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))


def adamw(module: nn.Module, settings: RepresentSettings) -> torch.optim.AdamW:
    """AdamW; no weight decay on norms and biases (everything of one dimension)."""
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.99))
