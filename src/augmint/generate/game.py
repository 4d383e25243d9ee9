"""The game of D against G, one optimiser step of each, for images and for features alike.

    game = Game(settings, judges, compute)
    metrics = game.d_step(real=(near, anchors), fake=(children.detach(), anchors), mismatched=None, step=step)
    loss = game.g_loss(fake=(children, anchors), real=(near, anchors))

A pair is (candidates, anchors). Real and generated candidates pass each discriminator in one call, so that a
BatchNorm inside it sees both.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from augmint.config import OptimiserSettings
from augmint.generate.losses import d_loss, g_loss, gradient_penalty, log_score
from augmint.networks.discriminators import Discriminator
from augmint.train import Compute

Pair = tuple[Tensor, Tensor]
LAZY = 4  # the gradient penalty is taken every so many steps, and weighs as much more (Karras et al., CVPR 2020)


class Rules(Protocol):
    """The settings of the game that both forms of generator share."""

    @property
    def loss(self) -> str: ...
    @property
    def lambda_(self) -> float: ...
    @property
    def beta(self) -> float: ...
    @property
    def constraint(self) -> str: ...
    @property
    def delta(self) -> float: ...
    @property
    def d_optimiser(self) -> OptimiserSettings: ...


def optimiser(parameters: Iterator[nn.Parameter], settings: OptimiserSettings) -> torch.optim.Optimizer:
    """SGD, Adam, AdamW or RMSprop. SGD's momentum is betas[0], RMSprop's smoothing betas[1]."""
    rate, decay, (first, second) = settings.lr, settings.weight_decay, settings.betas
    if settings.name == "sgd":
        return torch.optim.SGD(parameters, rate, momentum=first, weight_decay=decay)
    if settings.name == "rmsprop":
        return torch.optim.RMSprop(parameters, rate, alpha=second, weight_decay=decay)
    kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
    return kind(parameters, rate, betas=(first, second), weight_decay=decay, foreach=True)


def gradient_norm(module: nn.Module) -> Tensor:
    """Scalar: the Euclidean norm of all gradients of a module."""
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    return cast(Tensor, torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients))))


def update(module: nn.Module, loss: Tensor, optimiser: torch.optim.Optimizer) -> Tensor:
    """One optimiser step; returns the norm of the gradients."""
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    norm = gradient_norm(module)
    optimiser.step()
    return norm


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Without gradients for the module's own parameters while the block runs."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)


class Game:
    """The discriminators with their optimiser, and what both sides minimise."""

    def __init__(self, rules: Rules, judges: Sequence[Discriminator], compute: Compute) -> None:
        self.rules, self.compute = rules, compute
        self.judges = nn.ModuleList(judges)
        self.optimiser = optimiser(self.judges.parameters(), rules.d_optimiser)

    def logits(self, pair: Pair) -> Tensor:
        """float [N]: the mean of all discriminators."""
        with self.compute.autocast():
            return torch.stack([judge(*pair).float() for judge in self.judges]).mean(0)

    def d_step(self, real: Pair, fake: Pair, mismatched: Pair | None, step: int) -> dict[str, Tensor]:
        """Better discriminators; `mismatched` counts only for those that look at the anchor."""
        loss = torch.zeros((), device=real[0].device)
        seen: dict[str, list[Tensor]] = {"d_real": [], "d_fake": [], "d_mismatched": []}
        penalised = self.rules.beta > 0 and self.rules.constraint == "gradient_penalty" and step % LAZY == 0
        for judge in self.judges:
            parts = [real, fake] + ([mismatched] if mismatched is not None and judge.pairs else [])
            candidates = torch.cat([p[0] for p in parts]).requires_grad_(penalised)
            with self.compute.autocast():
                logits = judge(candidates, torch.cat([p[1] for p in parts])).float()
            on_real, on_fake, *rest = logits.split([len(p[0]) for p in parts])
            loss = loss + d_loss(self.rules.loss, on_real, on_fake, rest[0] if rest else None, self.rules.delta)
            if penalised:  # R1 and R2 in one: the mean over both halves is half of each
                both = len(real[0]) + len(fake[0])
                loss = loss + 2 * LAZY * self.rules.beta * gradient_penalty(logits[:both], candidates)
            if self.rules.constraint == "log_score":
                loss = loss + self.rules.beta * log_score(on_fake)
            for name, part in zip(seen, (on_real, on_fake, *rest), strict=False):
                seen[name].append(part.detach().mean())
        norm = update(self.judges, loss, self.optimiser)
        metrics = {name: torch.stack(parts).mean() for name, parts in seen.items() if parts}
        return {"d_loss": loss.detach(), **metrics, "d_gradient": norm}

    def g_loss(self, fake: Pair, real: Pair) -> Tensor:
        """λ × the adversarial term of G's objective, and its constraint; gradients reach `fake` alone."""
        loss = torch.zeros((), device=fake[0].device)
        with frozen(self.judges):
            for judge in self.judges:
                parts = (real, fake)
                with self.compute.autocast():
                    if self.rules.loss in ("relativistic", "margin"):
                        logits = judge(torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])).float()
                        on_real, on_fake = logits.split([len(p[0]) for p in parts])
                    else:
                        on_fake = judge(*fake).float()
                        on_real = on_fake.detach()
                loss = loss + self.rules.lambda_ * g_loss(self.rules.loss, on_fake, on_real.detach(), self.rules.delta)
                if self.rules.constraint == "log_score":
                    loss = loss + self.rules.beta * log_score(on_fake)
        return loss / len(self.judges)
