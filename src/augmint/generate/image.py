"""Unlabelled images → a generator that turns one image into many of its kind.

    generator = train_image_generator(pool, features, settings.generate.image, compute, seed=0, stage=stage)
    children = generator.generate(pool.gather(rows), Draws(seed=0, stream="mint", step=0, rows=rows))

Real pairs are an image and one of its nearest in the encoder's features; generated pairs are an image and its
child. D tells them apart, and mismatched real pairs from matching ones, so a child has to look real *and* belong.
Labels are not looked at.
"""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from augmint import seeding
from augmint.config import ImageGeneratorSettings
from augmint.data.table import ImageTable
from augmint.errors import InputError
from augmint.generate import losses
from augmint.generate.game import Game, optimiser, update
from augmint.generate.network import ImageGeneratorNetwork
from augmint.generate.pairs import choose, neighbours, opposite
from augmint.generate.snapshots import Snapshots
from augmint.generate.views import together
from augmint.networks.average import Average
from augmint.networks.codec import Shape
from augmint.networks.discriminators import Discriminator, image_discriminator
from augmint.networks.initialise import initialise
from augmint.seeding import Draws
from augmint.train import Compute, Plan, StageDir, checkpoint, fit, set_rate

STREAM = "generate-image"


def _build(shape: Shape, settings: ImageGeneratorSettings, seed: int) -> tuple[ImageGeneratorNetwork, nn.ModuleList]:
    """G and the discriminators with the weights that `seed` stands for."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeding.key(seed, STREAM, "init"))
        network = ImageGeneratorNetwork(shape, settings.width, settings.latent, settings.noise)
        initialise(network, settings.init)
        judges = [
            image_discriminator(name, shape, settings.d_width, settings.spectral_norm, settings.init)
            for name in settings.discriminators
        ]
    return network, nn.ModuleList(judges)


def to_float(images: Tensor, compute: Compute) -> Tensor:
    """uint8 [N, C, H, W] → float32 0 … 1 on the device, channels_last."""
    return images.to(compute.device).float().div_(255).contiguous(memory_format=torch.channels_last)


@dataclass
class ImageGenerator:
    """A trained generator with its discriminators; `seconds` of training."""

    network: ImageGeneratorNetwork
    judges: nn.ModuleList
    shape: Shape
    settings: ImageGeneratorSettings
    compute: Compute
    seconds: float = field(default=0.0)

    @torch.inference_mode()
    def generate(self, images: Tensor, draws: Draws, batch: int = 512) -> Tensor:
        """uint8 parents [N, C, H, W] → uint8 children [N, C, H, W]; `draws` (N rows) hold the noise."""
        self._check(images)
        noise = draws.normal("noise", self.settings.noise)
        parts = []
        for parents, z in zip(torch.split(images, batch), torch.split(noise, batch), strict=True):
            with self.compute.autocast():
                made = self.network(to_float(parents, self.compute), z.to(self.compute.device))
            parts.append(made.mul_(255).round_().to(torch.uint8).contiguous().cpu())
        return torch.cat(parts) if parts else images.clone()

    @torch.inference_mode()
    def realness(self, images: Tensor, parents: Tensor, batch: int = 1024) -> Tensor:
        """uint8 [N, C, H, W] twice → float32 [N] on the CPU: D's logits, the mean over discriminators."""
        self._check(images)
        self.judges.eval()
        parts = [torch.zeros(0)]
        for some, of in zip(torch.split(images, batch), torch.split(parents, batch), strict=True):
            pair = to_float(some, self.compute), to_float(of, self.compute)
            with self.compute.autocast():
                parts.append(torch.stack([judge(*pair).float() for judge in self.judges]).mean(0).cpu())
        return torch.cat(parts)

    def _check(self, images: Tensor) -> None:
        if images.ndim != 4 or tuple(images.shape[1:]) != tuple(self.shape) or images.dtype != torch.uint8:
            raise InputError(
                f"the generator works on uint8 images [N, {', '.join(map(str, self.shape))}], "
                f"not {str(images.dtype).removeprefix('torch.')} {list(images.shape)}; load them at its size and mode"
            )

    def save(self, path: Path) -> None:
        """One safetensors file."""
        facts = {
            "kind": "image-generator",
            "shape": list(self.shape),
            "settings": self.settings.model_dump(mode="json"),
            "seconds": self.seconds,
        }
        weights = {"network": self.network.state_dict(), "judges": self.judges.state_dict()}
        checkpoint.save(path, {**facts, **weights})

    @staticmethod
    def load(path: Path, compute: Compute) -> "ImageGenerator":
        """What `save` wrote. InputError if it is something else."""
        state: dict[str, Any] = checkpoint.load(path)
        if state.get("kind") != "image-generator":
            raise InputError(f"{path} holds no image generator; delete it to compute it again")
        settings = ImageGeneratorSettings.model_validate(state["settings"])
        shape = cast(Shape, tuple(state["shape"]))
        network, judges = _build(shape, settings, 0)
        network.load_state_dict(state["network"])
        judges.load_state_dict(state["judges"])
        return ImageGenerator(
            compute.place(network).eval(), compute.place(judges).eval(), shape, settings, compute, state["seconds"]
        )


def _fall(progress: float) -> float:
    """Factor of G's learning rate: half a cosine from 1 down to a tenth."""
    return 0.55 + 0.45 * math.cos(math.pi * progress)


class _Trainer:
    """One step of D and one of G, in the form that `fit` calls."""

    def __init__(
        self, table: ImageTable, features: Tensor, settings: ImageGeneratorSettings, compute: Compute, seed: int
    ) -> None:
        self.settings, self.compute, self.table = settings, compute, table
        self.near = neighbours(features, settings.neighbours).to(compute.device)
        self.features = features.to(compute.device)
        network, judges = _build(table.shape, settings, seed)
        self.network = compute.place(network)
        self.game = Game(settings, cast("list[Discriminator]", list(compute.place(judges))), compute)
        self.optimiser = optimiser(self.network.parameters(), settings.g_optimiser)
        self.average = Average(self.network, settings.ema)

    def state(self) -> dict[str, Any]:
        """What `fit` checkpoints."""
        return {
            "network": self.network,
            "judges": self.game.judges,
            "average": self.average,
            "g_optimiser": self.optimiser,
            "d_optimiser": self.game.optimiser,
        }

    def _images(self, rows: Tensor) -> Tensor:
        return to_float(self.table.gather(rows), self.compute)

    def step(self, rows: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        """D learns from G's children of these parents, then G from D."""
        s = self.settings
        parents, near = self._images(rows), self._images(choose(self.near[rows], draws))
        children, loss, metrics = self._play(parents, near, draws)
        if progress >= s.warm_up or not s.reconstruction:
            adversarial, more = self._judge(parents, near, children, rows, draws)
            loss, metrics = loss + adversarial, {**metrics, **more, "g_loss": adversarial.detach()}
        set_rate(self.optimiser, s.g_optimiser.lr * _fall(progress))
        metrics["g_gradient"] = update(self.network, loss, self.optimiser)
        self.average.update(self.network)
        return metrics

    def _judge(
        self, parents: Tensor, near: Tensor, children: Tensor, rows: Tensor, draws: Draws
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A step of D, then what it says about the children: the adversarial term and D's metrics."""
        s = self.settings
        far = opposite(s.farthest, self.features[rows], draws)
        others = [] if far is None else [near[far]]
        shown, shown_near, shown_parents, *shown_far = together(
            [children, near, parents, *others], draws.fork("views"), s.augment
        )
        real = (shown_near, shown_parents)
        mismatched = (shown_far[0], shown_parents) if shown_far else None
        metrics = self.game.d_step(real, (shown.detach(), shown_parents), mismatched, draws.step)
        return self.game.g_loss((shown, shown_parents), real), metrics

    def _play(self, parents: Tensor, near: Tensor, draws: Draws) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Children [B, …] of fresh noise, and the terms of G's objective that need no discriminator."""
        s, net, half = self.settings, self.network, (len(parents) + 1) // 2
        noise = draws.normal("noise", s.noise)
        with self.compute.autocast():
            hidden, hidden_near = net.encoder(torch.cat([parents, near])).chunk(2)
            mean, log_variance = net.code(hidden, hidden_near)
            code = mean + (log_variance / 2).exp() * draws.normal("code", s.noise)
            # The first half of the neighbours is reached by a step, the second half decoded as it is.
            goals = [net.step(hidden[:half], code[:half]), hidden_near[half:]] if s.reconstruction else []
            twins = [net.step(hidden[:half], draws.normal("twin", s.noise)[:half])] if s.diversity else []
            made = net.decoder(torch.cat([net.step(hidden, noise), *goals, *twins]))
        children, rest = made[: len(parents)], made[len(parents) :]
        loss = torch.zeros((), device=parents.device)
        metrics: dict[str, Tensor] = {}
        if s.reconstruction:
            error = (rest[: len(near)] - near).abs().flatten(1).mean(1)
            kept = losses.divergence(mean, log_variance)
            loss = loss + s.reconstruction * (error.mean() + s.prior * kept)
            metrics |= {"echo": error[:half].mean().detach(), "again": error[half:].mean().detach()}
            metrics["code"] = kept.detach()
        if twins:
            apart = losses.diversity(children[:half], rest[-half:], wanted=(near - parents).abs().mean())
            loss, metrics["sameness"] = loss + s.diversity * apart, apart.detach()
        if s.consistency:
            with self.compute.autocast():
                found, _ = net.code(hidden, net.encoder(children))
            missed = (found - noise).square().mean()
            loss, metrics["missed"] = loss + s.consistency * missed, missed.detach()
        return children, loss, metrics


def train_image_generator(
    table: ImageTable,
    features: Tensor,
    settings: ImageGeneratorSettings,
    compute: Compute,
    seed: int,
    stage: StageDir | None = None,
) -> ImageGenerator:
    """Train on all images of `table`, whose `features` (float [N, D]) say which are near each other.

    A stage checkpoints, resumes and keeps snapshots: reals.png, fakes_<images>.png. InputError if features and
    images do not fit, Diverged if a loss or weight is no longer finite.
    """
    if len(features) != len(table):
        raise InputError(f"{len(features)} features for {len(table)} images; compute them from the same table")
    if compute.device.type != "cpu" and isinstance(table.images, Tensor):
        table = replace(table, images=table.images.to(compute.device))
    trainer = _Trainer(table, features.float(), settings, compute, seed)
    plan = Plan(settings.images, min(settings.batch, len(table)), seed, STREAM, compute.device)
    shape = table.shape

    def finished(seconds: float = 0.0) -> ImageGenerator:
        return ImageGenerator(trainer.average.module, trainer.game.judges, shape, settings, compute, seconds)

    snapshots = Snapshots(stage, table, seed, plan, lambda images, draws: finished().generate(images, draws))
    seconds = fit(trainer.step, len(table), plan, trainer.state(), stage, on_look=snapshots.look)
    trainer.game.judges.eval()
    return finished(seconds)
