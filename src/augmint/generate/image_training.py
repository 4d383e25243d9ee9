"""One step of the image generator's training: G's own terms, D's step, then what D says of the children.

    trainer = ImageTrainer(table, features, neighbours(features, 10), settings, compute, seed=0, encoder=None)
    fit(trainer.step, len(table), plan, trainer.state())

image.py trains with it and keeps the result.
"""

import math
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from augmint import seeding
from augmint.config import ImageGeneratorSettings
from augmint.data.table import ImageTable
from augmint.errors import UsageError
from augmint.generate import losses
from augmint.generate.game import Game, optimiser, update
from augmint.generate.groups import groups_of
from augmint.generate.network import ImageGeneratorNetwork
from augmint.generate.pairs import choose, opposite
from augmint.generate.views import Adaptive, together
from augmint.networks.average import Average
from augmint.networks.backbones import Backbone
from augmint.networks.codec import Shape
from augmint.networks.contrastive import FrozenTrunk
from augmint.networks.discriminators import Discriminator
from augmint.networks.initialise import initialise
from augmint.networks.judges import image_discriminator
from augmint.represent.encoder import Encoder, Form, build
from augmint.represent.train import smaller
from augmint.seeding import Draws
from augmint.train import Compute, set_rate

STREAM = "generate-image"
DIRECTIONS = 128  # that discriminators on the encoder compare a child and its parent along


def build_game(
    shape: Shape,
    settings: ImageGeneratorSettings,
    seed: int,
    groups: int,
    trunk: FrozenTrunk | None,
    grain: bool = False,
) -> tuple[ImageGeneratorNetwork, nn.ModuleList]:
    """G and the discriminators with the weights that `seed` stands for."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeding.key(seed, STREAM, "init"))
        network = ImageGeneratorNetwork(shape, settings.width, settings.latent, settings.noise, groups, grain)
        initialise(network, settings.init)
        judges = [
            image_discriminator(name, shape, settings.d_width, settings.spectral_norm, settings.init, trunk)
            for name in settings.discriminators
        ]
    return network, nn.ModuleList(judges)


def to_float(images: Tensor, compute: Compute) -> Tensor:
    """uint8 [N, C, H, W] → float32 0 … 1 on the device, channels_last."""
    return images.to(compute.device).float().div_(255).contiguous(memory_format=torch.channels_last)


def _seen_at(form: Form, network: Backbone, settings: ImageGeneratorSettings) -> Shape:
    """The shape of the images that D sees."""
    channels, *size = form.shape
    height, width = smaller(size) if settings.zoom and network.spatial else size
    return channels, height, width


def trunk_of(encoder: Encoder, settings: ImageGeneratorSettings) -> FrozenTrunk:
    """What discriminators stand on: the encoder's network, and its whitening along the directions of most variance."""
    white, network = encoder.whitening, encoder.network
    return FrozenTrunk(network, white.mean, white.matrix[:, :DIRECTIONS], _seen_at(encoder.form, network, settings))


def empty_trunk(form: Form, outputs: int, settings: ImageGeneratorSettings) -> FrozenTrunk:
    """Room for one of so many whitened features."""
    network, _ = build(form)
    mean, matrix = torch.zeros(network.features), torch.zeros(network.features, outputs)
    return FrozenTrunk(network, mean, matrix, _seen_at(form, network, settings))


def _fall(progress: float) -> float:
    """Factor of G's learning rate: half a cosine from 1 down to a tenth."""
    return 0.55 + 0.45 * math.cos(math.pi * progress)


class Made(NamedTuple):
    """Children [B, …] of fresh noise, and the real neighbours made anew [B, …]: half by a step from the parent, half
    from their own bottleneck; empty without reconstruction."""

    children: Tensor
    near: Tensor


class ImageTrainer:
    """One step of D and one of G, in the form that `fit` calls."""

    def __init__(
        self,
        table: ImageTable,
        features: Tensor,
        near: Tensor,
        settings: ImageGeneratorSettings,
        compute: Compute,
        seed: int,
        encoder: Encoder | None,
        sources: Tensor | None = None,
    ) -> None:
        self.settings, self.compute, self.table = settings, compute, table
        if sources is not None and settings.condition != "none":
            raise UsageError("condition tells G a group that images of a target lack; leave it out with a target")
        self.sources = None if sources is None else sources.to(compute.device)
        self.groups = _groups(settings, features, table.labels, seed, compute)
        conditions = int(self.groups.max()) + 1 if self.groups is not None and settings.condition != "none" else 0
        self.near = near[:, : settings.neighbours].to(compute.device)
        self.features = features.to(compute.device)
        self.trunk = None if encoder is None else compute.place(trunk_of(encoder, settings))
        if self.trunk is not None:
            self.anchors = self.trunk.of_whitened(self.features)
        network, judges = build_game(table.shape, settings, seed, conditions, self.trunk, sources is not None)
        self.network = compute.place(network)
        self.game = Game(settings, cast("list[Discriminator]", list(compute.place(judges))), compute, settings.contrast)
        self.adaptive = Adaptive(settings.adaptive, settings.adaptive_images) if settings.adaptive else None
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
            **({} if self.adaptive is None else {"adaptive": self.adaptive}),
        }

    @property
    def told(self) -> Tensor:
        """int64 [N], on the CPU: the group of every image that G learns from; empty if it is told none."""
        told = self.groups if self.network.groups else None
        return torch.zeros(0, dtype=torch.int64) if told is None else told.cpu()

    def _told(self, noise: Tensor, rows: Tensor) -> Tensor:
        """The noise with the groups of these rows, if G is told them."""
        return self.network.told(noise, self.groups[rows] if self.groups is not None and self.network.groups else None)

    def _images(self, rows: Tensor) -> Tensor:
        return to_float(self.table.gather(rows), self.compute)

    def step(self, rows: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        """D learns from G's children of these parents, then G from D."""
        s = self.settings
        near_rows, other_rows = (choose(self.near[rows], d) for d in (draws, draws.fork("other")))
        rows = rows if self.sources is None else self.sources[rows]
        parents, near = self._images(rows), self._images(near_rows)
        like = parents if self.sources is None else self._images(other_rows)  # as far from `near` as real ones are
        made, loss, metrics = self._play(parents, near, like, rows, near_rows, draws)
        if progress >= s.warm_up or not s.reconstruction:
            judged, more = self._judge(parents, near, made, rows, draws)
            loss, metrics = loss + judged, metrics | more
        set_rate(self.optimiser, s.g_optimiser.lr * _fall(progress))
        metrics["g_gradient"] = update(self.network, loss, self.optimiser)
        self.average.update(self.network)
        return metrics

    def _judge(
        self, parents: Tensor, near: Tensor, made: Made, rows: Tensor, draws: Draws
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A step of D, then what it says about the children: the adversarial term, what D's eyes miss in the images
        that were made anew, and D's metrics."""
        s = self.settings
        far = opposite(s.farthest, self.features[rows], draws, None if self.groups is None else self.groups[rows])
        of_source = s.farthest == "other" and self.sources is None  # a neighbour could be of the parent's own group
        chance = 1.0 if self.adaptive is None else self.adaptive.chance

        def shown(*images: Tensor) -> list[Tensor]:
            return together(images, draws.fork("views"), s.augment, chance, self.trunk.size if self.trunk else None)

        metrics: dict[str, Tensor] = {}
        lost = torch.zeros((), device=near.device)
        if self.trunk is None:
            children, real, anchors = shown(made.children, near, parents)
            others = [] if far is None else shown(parents[far] if of_source else near[far])
        else:
            anchors, again = self.anchors[rows], [made.near] if s.perception and s.reconstruction else []
            with torch.no_grad(), self.compute.autocast():
                real = self.trunk(*shown(near))
                others = [] if far is None else [self.trunk(*shown(parents[far])) if of_source else real[far]]
            child, *again = shown(made.children, *again)
            with self.compute.autocast():
                children, *seen_again = self.trunk(torch.cat([child, *(some[::2] for some in again)])).split(len(rows))
            if seen_again:  # every other one: as good, and D's eyes are what takes most time
                lost = losses.perception(self.trunk.maps(seen_again[0]), self.trunk.maps(real[::2]))
                metrics["perception"] = lost.detach()
        mismatched = (others[0], anchors) if others else None
        metrics |= self.game.d_step((real, anchors), (children.detach(), anchors), mismatched, draws)
        if self.adaptive is not None:
            self.adaptive.heed(float(metrics["d_sign"]), len(rows))
            metrics["d_chance"] = torch.tensor(self.adaptive.chance)
        adversarial = self.game.g_loss((children, anchors), (real, anchors), draws)
        return adversarial + s.perception * lost, metrics | {"g_loss": adversarial.detach()}

    def _play(
        self, parents: Tensor, near: Tensor, like: Tensor, rows: Tensor, near_rows: Tensor, draws: Draws
    ) -> tuple[Made, Tensor, dict[str, Tensor]]:
        """What G makes of a batch, and the terms of its objective that need no discriminator."""
        s, net, half = self.settings, self.network, (len(parents) + 1) // 2
        noise = draws.normal("noise", s.noise)
        with self.compute.autocast():
            hidden, hidden_near = net.encoder(torch.cat([parents, near])).chunk(2)
            mean, log_variance = net.code(hidden, hidden_near)
            code = mean + (log_variance / 2).exp() * draws.normal("code", s.noise)
            # The first half of the neighbours is reached by a step, the second half decoded as it is.
            there = self._told(code, near_rows)
            goals = [net.step(hidden[:half], there[:half]), hidden_near[half:]] if s.reconstruction else []
            again = self._told(draws.normal("twin", s.noise), rows)
            twins = [net.step(hidden[:half], again[:half])] if s.diversity else []
            made = net.decoder(torch.cat([net.step(hidden, self._told(noise, rows)), *goals, *twins]))
        children, rest = made[: len(parents)], made[len(parents) :]
        loss = torch.zeros((), device=parents.device)
        metrics: dict[str, Tensor] = {}
        if s.reconstruction:
            error = (rest[: len(near)] - near).abs().flatten(1).mean(1)
            kept = losses.divergence(mean, log_variance)
            loss = loss + s.reconstruction * (error.mean() + s.prior * kept)
            metrics |= {"echo": error[:half].mean().detach(), "code": kept.detach()}
            if half < len(error):  # not in a batch of one
                metrics["again"] = error[half:].mean().detach()
        if twins:
            apart = losses.diversity(children[:half], rest[-half:], wanted=(near - like).abs().mean())
            loss, metrics["sameness"] = loss + s.diversity * apart, apart.detach()
        if self.sources is not None and s.structure:
            lost = losses.structure(children, parents, near)
            loss, metrics["structure"] = loss + s.structure * lost, lost.detach()
        if s.consistency:
            with self.compute.autocast():
                found, _ = net.code(hidden, net.encoder(children))
            missed = (found - noise).square().mean()
            loss, metrics["missed"] = loss + s.consistency * missed, missed.detach()
        if net.groups:
            assert self.groups is not None
            guess = nn.functional.cross_entropy(net.guess(hidden.detach().float()), self.groups[rows])
            loss, metrics["guess"] = loss + guess, guess.detach()
        if net.grain is not None:
            metrics["grain"] = net.grain.detach().abs().mean()
        return Made(net.grained(children, draws), rest[: len(near)] if s.reconstruction else rest[:0]), loss, metrics


def _groups(
    settings: ImageGeneratorSettings, features: Tensor, labels: Tensor, seed: int, compute: Compute
) -> Tensor | None:
    """The groups of all rows where G is told them or mismatched pairs come from another one."""
    name = "cluster" if settings.condition == "none" and settings.farthest == "other" else settings.condition
    groups = groups_of(name, features, labels, settings.clusters, seed)
    return None if groups is None else groups.to(compute.device)
