"""The game of D against G, one optimiser step of each, for images and for features alike.

    game = Game(settings, judges, compute)
    metrics = game.d_step(real=(near, anchors), fake=(children.detach(), anchors), mismatched=None, draws=draws)
    loss = game.g_loss(fake=(children, anchors), real=(near, anchors), draws=draws)

A pair is (candidates, anchors). Real and generated candidates pass each discriminator in one call, so that a
BatchNorm inside it sees both.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from augmint.config import ContrastSettings, OptimiserSettings
from augmint.generate.contrast import Heard, listen, view
from augmint.generate.losses import d_loss, g_loss, log_score, steepness
from augmint.networks.contrastive import ContrastiveDiscriminator
from augmint.networks.discriminators import Discriminator
from augmint.seeding import Draws
from augmint.train import Compute

Pair = tuple[Tensor, Tensor]
RELATIVE = ("relativistic", "margin")  # losses of differences between real and generated
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
    return kind(parameters, rate, betas=(first, second), weight_decay=decay, fused=True)


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
    learning = [p for p in module.parameters() if p.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


class Game:
    """The discriminators with their optimiser, and what both sides minimise."""

    def __init__(
        self,
        rules: Rules,
        judges: Sequence[Discriminator],
        compute: Compute,
        contrast: ContrastSettings | None = None,
    ) -> None:
        self.rules, self.compute, self.contrast = rules, compute, contrast or ContrastSettings()
        self.judges = nn.ModuleList(judges)
        self.optimiser = optimiser(self.judges.parameters(), rules.d_optimiser)

    def logits(self, pair: Pair) -> Tensor:
        """float [N]: the mean of all discriminators."""
        with self.compute.autocast():
            return torch.stack([judge(*pair).float() for judge in self.judges]).mean(0)

    def d_step(self, real: Pair, fake: Pair, mismatched: Pair | None, draws: Draws) -> dict[str, Tensor]:
        """Better discriminators; `mismatched` counts only for those that look at the anchor.

        The metric `d_sign` is the mean sign of the logits of real images: near 1, D knows them by heart. Where the loss
        knows differences alone, and so no zero, the sign is that of the distance to the mean of the generated ones.
        """
        rules, loss = self.rules, torch.zeros((), device=real[0].device)
        seen: dict[str, list[Tensor]] = {"d_real": [], "d_fake": [], "d_mismatched": []}
        signs = []
        penalised = rules.beta > 0 and rules.constraint == "gradient_penalty" and draws.step % LAZY == 0
        for judge in self.judges:
            heard = self._listen(judge, real, fake, mismatched if judge.pairs else None, draws, penalised)
            loss = loss + d_loss(rules.loss, heard.real, heard.fake, heard.mismatched, rules.delta) + heard.extra
            if penalised:
                loss = loss + LAZY * rules.beta * slopes(heard)
            if rules.constraint == "log_score":
                loss = loss + rules.beta * log_score(heard.fake)
            for name, part in zip(seen, (heard.real, heard.fake, heard.mismatched), strict=True):
                if part is not None:
                    seen[name].append(part.detach().mean())
            zero = heard.fake.detach().mean() if rules.loss in RELATIVE else 0.0
            signs.append((heard.real.detach() - zero).sign().mean())
        norm = update(self.judges, loss, self.optimiser)
        metrics = {name: torch.stack(parts).mean() for name, parts in seen.items() if parts}
        return {"d_loss": loss.detach(), **metrics, "d_sign": torch.stack(signs).mean(), "d_gradient": norm}

    def _listen(
        self, judge: nn.Module, real: Pair, fake: Pair, mismatched: Pair | None, draws: Draws, slope: bool
    ) -> Heard:
        """The logits of one discriminator in its own step; its inputs require gradients if `slope`."""
        if isinstance(judge, ContrastiveDiscriminator):
            return listen(judge, real[0], fake[0], draws, self.contrast, self.compute, slope)
        parts = [real, fake] + ([] if mismatched is None else [mismatched])
        candidates = torch.cat([p[0] for p in parts]).requires_grad_(slope)
        with self.compute.autocast():
            logits = judge(candidates, torch.cat([p[1] for p in parts])).float()
        on_real, on_fake, *rest = logits.split([len(p[0]) for p in parts])
        return Heard(
            on_real, on_fake, rest[0] if rest else None, torch.zeros((), device=logits.device), candidates, logits
        )

    def g_loss(self, fake: Pair, real: Pair, draws: Draws) -> Tensor:
        """λ × the adversarial term of G's objective, and its constraint; gradients reach `fake` alone."""
        loss = torch.zeros((), device=fake[0].device)
        with frozen(self.judges):
            for judge in self.judges:
                on_real, on_fake = self._appeal(judge, real, fake, draws)
                loss = loss + self.rules.lambda_ * g_loss(self.rules.loss, on_fake, on_real.detach(), self.rules.delta)
                if self.rules.constraint == "log_score":
                    loss = loss + self.rules.beta * log_score(on_fake)
        return loss / len(self.judges)

    def _appeal(self, judge: nn.Module, real: Pair, fake: Pair, draws: Draws) -> tuple[Tensor, Tensor]:
        """Logits of real and generated candidates in G's step; real ones only where they matter."""
        if isinstance(judge, ContrastiveDiscriminator):
            shown = [view(p[0], draws.fork(f"contrast/{i}"), self.contrast.views) for i, p in enumerate((real, fake))]
            real, fake = (shown[0], real[1]), (shown[1], fake[1])
        both = self.rules.loss in RELATIVE or cast(Discriminator, judge).mixes
        with self.compute.autocast():
            if not both:
                logits = judge(*fake).float()
                return logits.detach(), logits
            logits = judge(torch.cat([real[0], fake[0]]), torch.cat([real[1], fake[1]])).float()
        return logits[: len(real[0])], logits[len(real[0]) :]


def slopes(heard: Heard) -> Tensor:
    """R1 + R2: the gradient penalty of the real inputs and that of the generated ones, each a mean over its own."""
    real, fake = len(heard.real), len(heard.fake)
    (slope,) = torch.autograd.grad(heard.through[: real + fake].sum(), heard.inputs, create_graph=True)
    return steepness(slope[:real]) + steepness(slope[real : real + fake])
