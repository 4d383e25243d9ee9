"""A network from random weights on few labels, with or without extra samples (minted, pseudo-labelled).

    model = fit_scratch(table, rows, labels, policy("weak"), settings, compute, seed=0, extra=minted)
    logits = model.logits(images)             # uint8 [N, C, H, W] → float32 [N, K]

The same loop, initial weights, row order and number of optimiser steps whatever the arm: only the
augmentation and the extra samples differ.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from augmint.augment import Augment, policy
from augmint.config import ClassifySettings
from augmint.data.table import Batch, ImageTable
from augmint.networks.backbones import backbone
from augmint.seeding import Draws, key
from augmint.train import Compute, Plan, checkpoint, fit, set_rate


@dataclass(frozen=True, eq=False)
class Extra:
    """Samples beside the labelled ones: images uint8 [M, C, H, W], targets [M, K] soft, weights [M]."""

    images: Tensor
    targets: Tensor
    weights: Tensor

    def __add__(self, other: "Extra") -> "Extra":
        """Those of both."""
        return Extra(*(torch.cat([getattr(self, n), getattr(other, n)]) for n in ("images", "targets", "weights")))


class ScratchClassifier:
    """A backbone with a linear head; `logits` takes uint8 images."""

    def __init__(self, network: nn.Module, facts: dict[str, object], compute: Compute) -> None:
        self.network, self.facts, self.compute = network, facts, compute

    @torch.inference_mode()
    def logits(self, images: Tensor | ImageTable, batch: int = 256) -> Tensor:
        """uint8 [N, C, H, W] (or a table) → float32 [N, K] on the CPU."""
        self.network.eval()
        parts = []
        for rows in torch.split(torch.arange(len(images)), batch) if len(images) else ():
            chunk = images.gather(rows) if isinstance(images, ImageTable) else images[rows]
            with self.compute.autocast():
                x = chunk.to(self.compute.device).float().div_(255).contiguous(memory_format=torch.channels_last)
                parts.append(self.network(x).float().cpu())
        return torch.cat(parts) if parts else torch.zeros(0, self.classes)

    @property
    def classes(self) -> int:
        """K."""
        return int(str(self.facts["classes"]))

    def save(self, path: Path) -> None:
        """One safetensors file."""
        checkpoint.save(path, {"kind": "scratch", "facts": self.facts, "weights": self.network.state_dict()})

    @staticmethod
    def load(path: Path, compute: Compute) -> "ScratchClassifier":
        """What `save` wrote."""
        return ScratchClassifier.of(checkpoint.load(path), compute)

    @staticmethod
    def of(state: dict[str, Any], compute: Compute) -> "ScratchClassifier":
        """From the "facts" and "weights" that `save` stores."""
        network = build(**state["facts"])
        network.load_state_dict(state["weights"])
        return ScratchClassifier(compute.place(network), state["facts"], compute)


def build(network: str, shape: tuple[int, int, int], width: int, classes: int, seed: int = 0) -> nn.Module:
    """The network of random weights that `seed` stands for: images 0 … 1 → logits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(seed, "scratch"))
        body = backbone(network, (shape[0], shape[1], shape[2]), width)
        return nn.Sequential(body, nn.Linear(body.features, classes))


def training_policy(name: str, strength: float = 1.0) -> Augment:
    """The policy of that name. Those that mix images come on top of weak augmentation, as in their papers."""
    first, second = policy("weak"), policy(name, strength)

    def both(batch: Batch, draws: Draws) -> Batch:
        return second(first(batch, draws.fork("first")), draws)

    return both if name in ("mixup", "cutmix") else second


def extra_share(progress: float, settings: ClassifySettings) -> float:
    """Share of a batch that is extra: constant, then linearly to zero at the end."""
    if progress < settings.fade or settings.fade >= 1:
        return settings.minted_share
    return settings.minted_share * (1 - progress) / (1 - settings.fade)


def rising_then_falling(progress: float) -> float:
    """Learning rate: a tenth of the training up, then down to zero in a straight line."""
    return min(progress / 0.1 + 0.01, 1.0, (1 - progress) / 0.9)


def _optimiser(network: nn.Module, settings: ClassifySettings) -> torch.optim.Optimizer:
    """AdamW without weight decay on norms and biases."""
    decay = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.lr, fused=True)


class Samples:
    """Labelled images with the extra ones behind them: images [N + M, C, H, W], targets [N + M, K], weights [N + M]."""

    def __init__(self, images: Tensor, targets: Tensor, extra: Extra | None, settings: ClassifySettings) -> None:
        device, self.classes = images.device, targets.argmax(1)
        self.images, self.targets, self.weights = images, targets, torch.ones(len(images), device=device)
        self.by_class = self.first = self.count = self.chance = torch.zeros(0)
        if extra is None or len(extra.images) == 0:
            return
        own, others = torch.bincount(self.classes, minlength=targets.shape[1]), extra.targets.argmax(1).to(device)
        self.by_class = others.argsort(stable=True) + len(images)
        self.count = torch.bincount(others, minlength=targets.shape[1])
        self.first = self.count.cumsum(0) - self.count
        self.chance = (self.count / own.clamp_min(1)).clamp_max(1)
        self.images = torch.cat([images, extra.images.to(device)])
        self.targets = torch.cat([targets, extra.targets.to(device)])
        self.weights = torch.cat([self.weights, extra.weights.to(device) * settings.minted_weight])

    def batch(self, chosen: Tensor, draws: Draws, share: float) -> Batch:
        """The chosen labelled images, each of the last `share` of them replaced by a random extra one of its class.

        Where a class has fewer extra than labelled images, so rarely that none is shown more often than a labelled one.
        """
        keep = len(chosen) - round(len(chosen) * share)
        if len(self.by_class) and keep < len(chosen):
            wanted = self.classes[chosen]
            last = self.count[wanted] - 1  # -1, where there is none: then nothing is replaced
            other = self.first[wanted] + (draws.uniform("extra") * (last + 1)).long().minimum(last)
            replaced = draws.uniform("replaced") < self.chance[wanted]
            replaced[:keep] = False
            chosen = torch.where(replaced, self.by_class[other], chosen)
        return Batch(self.images[chosen], self.targets[chosen], self.weights[chosen])


def fit_scratch(
    table: ImageTable,
    rows: Tensor,
    targets: Tensor,
    augment: Augment,
    settings: ClassifySettings,
    compute: Compute,
    *,
    classes: int,
    seed: int,
    extra: Extra | None = None,
    curve: Callable[[int, "ScratchClassifier"], None] | None = None,
) -> ScratchClassifier:
    """Train on `rows` of the table (targets int64 [n] or soft [n, K]) for `settings.images` images.

    With `extra`, up to half of each batch comes from there, weighted, fading out towards the end. Extra samples take
    the place of labelled ones of their class, so that classes stay as frequent as among the labels (those of a class
    without labels are never shown); the labelled rows keep their order. `curve(images_seen, model)` is called a few
    times. Last weights are kept.
    """
    soft = targets if targets.ndim == 2 else F.one_hot(targets, classes).float()
    device = compute.device
    images, soft = table.gather(rows, device), soft.to(device)
    network = compute.place(build(settings.network, table.shape, settings.width, classes, seed))
    shape = list(table.shape)
    facts = {"network": settings.network, "shape": shape, "width": settings.width, "classes": classes}
    model = ScratchClassifier(network, facts, compute)
    optimiser = _optimiser(network, settings)
    samples = Samples(images, soft, extra, settings)

    def step(chosen: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        if not network.training:  # a curve has looked at it
            network.train()
        # Few labels repeat within a batch: address the draws by place in the batch, not by row.
        draws = Draws(draws.seed, draws.stream, draws.step, torch.arange(len(chosen), device=device))
        drawn = augment(samples.batch(chosen, draws, extra_share(progress, settings)), draws)
        assert drawn.targets is not None and drawn.weights is not None
        with compute.autocast():
            logits = network(drawn.images.contiguous(memory_format=torch.channels_last))
        losses = F.cross_entropy(logits.float(), drawn.targets, reduction="none")
        loss = (losses * drawn.weights).sum() / drawn.weights.sum()
        set_rate(optimiser, settings.lr * rising_then_falling(progress))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        return {"loss": loss.detach()}

    steps = max(1, settings.images // settings.batch)
    plan = Plan(settings.images, settings.batch, seed, "classify", device, log_every=max(1, steps // 4))
    look = (lambda number: curve(number * settings.batch, model)) if curve else None
    fit(step, len(rows), plan, {"network": network, "optimiser": optimiser}, on_look=look)
    network.eval()
    return model
