"""A small network on features, taught by decisions about many rows: what a graph knows, for rows that are not in it.

    student = fit_student(features, decisions, classes=10, seed=0)     # int64 [N], -1: says nothing
    logits = student.logits(new)

A linear head cannot follow the graph where classes are not linearly apart, and neighbours would need all rows at hand;
this is a few hundred steps and two matrices. Rows are mixed in pairs, their targets too (mixup: Zhang et al., ICLR
2018), so that single mistakes are not learnt.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augmint.classify.logistic import standardised
from augmint.classify.scratch import rising_then_falling
from augmint.seeding import torch_generator
from augmint.train import checkpoint

WIDTH, STEPS, BATCH, RATE = 256, 500, 256, 3e-3
LESSON = 200  # steps are enough of a student that only says which neighbours agree
FULL, LEAST = 4000, 0.3  # decided rows from which on all steps are taken; with fewer in proportion, so many at least
WIDE = 100  # features; where there are fewer, all steps are taken: they cost little, and curved bounds need them


@dataclass(frozen=True, eq=False)
class Student:
    """Logits of standardised features by one hidden layer: mean and scale [D], weights [H, D] and [K, H], biases
    [H] and [K]."""

    mean: Tensor
    scale: Tensor
    inner: Tensor
    inner_bias: Tensor
    outer: Tensor
    outer_bias: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """float32 [N, D] → float32 [N, K]."""
        parts = standardised(features, self.mean, self.scale)
        inner = (F.linear(part, self.inner, self.inner_bias).relu_() for part in parts)
        return torch.cat([F.linear(part, self.outer, self.outer_bias) for part in inner])

    def module(self) -> nn.Sequential:
        """The same as a module on standardised features, to be trained further."""
        layers = _layers(self.inner.shape[1], self.inner.shape[0], self.outer.shape[0])
        weights = self.inner, self.inner_bias, self.outer, self.outer_bias
        layers.load_state_dict(dict(zip(layers.state_dict(), weights, strict=True)))
        return layers

    def save(self, path: Path) -> None:
        """One safetensors file."""
        checkpoint.save(path, {"kind": "student", **vars(self)})

    @staticmethod
    def load(path: Path) -> "Student":
        """What `save` wrote."""
        state = checkpoint.load(path)
        return Student(*(state[name] for name in Student.__dataclass_fields__))


def _layers(features: int, width: int, classes: int, lots: torch.Generator | None = None) -> nn.Sequential:
    """Weights as PyTorch draws them, but by `lots`; biases zero."""
    inner, outer = nn.Linear(features, width), nn.Linear(width, classes)
    for layer in (inner, outer):
        nn.init.kaiming_uniform_(layer.weight, a=5**0.5, generator=lots)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(inner, nn.ReLU(), outer)


def _batches(
    features: Tensor, decisions: Tensor, classes: int, steps: int, lots: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """`steps` batches of decided rows and their targets, both mixed; of each pair the first has the larger part."""
    decided = torch.nonzero(decisions >= 0)[:, 0]
    for _ in range(steps):
        rows, others = decided[torch.randint(len(decided), (2, BATCH), generator=lots)]
        part = torch.rand(BATCH, 1, generator=lots) / 2
        targets, other_targets = (F.one_hot(decisions[of], classes).float() for of in (rows, others))
        yield features[rows].lerp(features[others], part), targets.lerp(other_targets, part)


def enough(steps: int, rows: int, features: int) -> int:
    """How many of `steps` a student takes that learns from so many rows of so many features."""
    return steps if features < WIDE else max(1, round(steps * min(1.0, max(LEAST, rows / FULL))))


def fit_student(
    features: Tensor,
    decisions: Tensor,
    *,
    classes: int,
    seed: int,
    mean: Tensor | None = None,
    scale: Tensor | None = None,
    steps: int = STEPS,
) -> Student:
    """Train on the decided rows of features float32 [N, D]; decisions int64 [N], -1: none. `mean` and `scale` [D]
    standardise, default: those of the features. `steps` are those of many rows; few are seen often enough in fewer."""
    steps = enough(steps, int((decisions >= 0).sum()), features.shape[1])
    mean = features.mean(0) if mean is None else mean
    scale = features.std(0).clamp_min(1e-6) if scale is None else scale
    lots = torch_generator(seed, "student")
    layers = _layers(features.shape[1], WIDTH, classes, lots)
    optimiser = torch.optim.AdamW(layers.parameters(), lr=RATE, weight_decay=1e-3, fused=True)
    for step, (rows, mixed) in enumerate(_batches(features, decisions, classes, steps, lots)):
        optimiser.param_groups[0]["lr"] = RATE * rising_then_falling(step / steps)
        loss = F.cross_entropy(layers((rows - mean) / scale), mixed)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return Student(mean, scale, *(values.detach() for values in layers.parameters()))
