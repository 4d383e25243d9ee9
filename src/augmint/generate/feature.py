"""Features → a generator of more features: adversarial augmentation on top of an encoder.

    generator = train_feature_generator(features, settings.generate.feature, compute, seed=0, stage=stage)
    made = generator.generate(features[rows], Draws(seed=0, stream="mint", step=0, rows=rows))

Forms by name (SYSTEM 4): "residual", h̃ = normalise(A h + S z + MLP([h, z])), keeps of its parent what real neighbours
share (A; without `components` A is 1 and S is 0); "noise" is the article's, z → 512 → BatchNorm → LeakyReLU(0.2) →
feature size, tanh, and takes no parent. The first works on the leading principal components of the training features.
What its children are to be like is a real feature several neighbours away from the parent: so children of a few labels
reach as far as walks over the graph of the real ones.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from augmint import seeding
from augmint.config import FeatureGeneratorSettings, OptimiserSettings
from augmint.errors import InputError
from augmint.generate import losses
from augmint.generate.feature_parts import Moments, Noise, Residual, Scale
from augmint.generate.game import Game, optimiser, update
from augmint.generate.groups import centres_of, groups_of, one_hot
from augmint.generate.pairs import neighbours, opposite, wander
from augmint.networks.average import Average
from augmint.networks.discriminators import Discriminator
from augmint.networks.initialise import initialise
from augmint.networks.judges import feature_discriminator
from augmint.seeding import Draws
from augmint.train import Compute, Plan, StageDir, checkpoint, fit

STREAM = "generate-feature"


def _build(
    features: int, settings: FeatureGeneratorSettings, seed: int, groups: int
) -> tuple[nn.Module, nn.ModuleList]:
    """G and its discriminator with the weights that `seed` stands for."""
    judge = "feature-pair" if settings.form == "residual" or groups else "feature"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeding.key(seed, STREAM, "init"))
        sizes = features, settings.hidden, settings.noise + groups  # told as one more part of the noise
        residual = settings.form == "residual"
        network = Residual(*sizes, linear=settings.components > 0) if residual else Noise(*sizes)
        initialise(network, settings.init)
        made = feature_discriminator(judge, features, settings.hidden, settings.spectral_norm, settings.init)
    return network, nn.ModuleList([made])


@dataclass
class FeatureGenerator:
    """A trained generator with its discriminator; `seconds` of training."""

    network: nn.Module
    judges: nn.ModuleList
    scale: Scale
    settings: FeatureGeneratorSettings
    compute: Compute
    seconds: float = field(default=0.0)
    centres: Tensor = field(default_factory=lambda: torch.zeros(0, 0))  # [K, D]: mean of each group that G is told

    @property
    def has_parents(self) -> bool:
        """Whether a child has anything of its parent: the article's form looks at none, unless it is told a group."""
        return self.settings.form == "residual" or len(self.centres) > 0

    @torch.inference_mode()
    def generate(self, features: Tensor, draws: Draws, groups: Tensor | None = None) -> Tensor:
        """float32 parents [N, D] → float32 [N, D] on the CPU, `draws` (N rows) hold the noise.

        `groups` int64 [N]: of which class or cluster they are to be, if G learnt with `condition`; default the
        parents', by the nearest mean.
        """
        parents = self.scale(self._check(features))
        noise = draws.normal("noise", self.settings.noise)
        if len(self.centres):
            groups = self.groups_of(features) if groups is None else groups
            noise = torch.cat([noise, one_hot(groups.cpu(), len(self.centres))], 1)
        noise = noise.to(self.compute.device)
        return self.scale.undo(self.network(parents, noise)).cpu()

    @torch.inference_mode()
    def realness(self, features: Tensor, parents: Tensor) -> Tensor:
        """float32 [N, D] twice → float32 [N] on the CPU: D's logits."""
        self.judges.eval()
        anchors = self._check(parents)
        if len(self.centres) and self.settings.form == "noise":
            anchors = self.centres[self.groups_of(parents)].to(self.compute.device)
        pair = self.scale(self._check(features)), self.scale(anchors)
        return torch.stack([judge(*pair).float() for judge in self.judges]).mean(0).cpu()

    def groups_of(self, features: Tensor) -> Tensor:
        """int64 [N]: the group, of those that G is told, whose mean is nearest to each of `features` [N, D]."""
        far = torch.cdist(features.float().cpu(), self.centres)
        return far.nan_to_num(nan=torch.inf).argmin(1)  # many rows at once are nan from the mean of an empty group

    def _check(self, features: Tensor) -> Tensor:
        size = len(self.scale.mean)
        if features.ndim != 2 or features.shape[1] != size:
            raise InputError(
                f"the generator works on features [N, {size}], not {list(features.shape)}; use its own encoder"
            )
        return features.to(self.compute.device).float()

    def save(self, path: Path) -> None:
        """One safetensors file."""
        facts = {
            "kind": "feature-generator",
            "settings": self.settings.model_dump(mode="json"),
            "seconds": self.seconds,
            "centres": self.centres,
        }
        parts = {"network": self.network, "judges": self.judges, "scale": self.scale}
        checkpoint.save(path, {**facts, **{name: part.state_dict() for name, part in parts.items()}})

    @staticmethod
    def load(path: Path, compute: Compute) -> "FeatureGenerator":
        """What `save` wrote. InputError if it is something else."""
        state: dict[str, Any] = checkpoint.load(path)
        if state.get("kind") != "feature-generator":
            raise InputError(f"{path} holds no feature generator; delete it to compute it again")
        settings = FeatureGeneratorSettings.model_validate(state["settings"])
        size = len(state["scale"]["mean"])
        scale = Scale(torch.zeros(2, size))
        scale.basis, scale.spread = state["scale"]["basis"], state["scale"]["spread"]
        network, judges = _build(scale.size, settings, 0, len(state["centres"]))
        network.load_state_dict(state["network"])
        judges.load_state_dict(state["judges"])
        scale.load_state_dict(state["scale"])
        placed = compute.place(network).eval(), compute.place(judges).eval(), compute.place(scale)
        return FeatureGenerator(*placed, settings, compute, state["seconds"], state["centres"])


class FeatureTrainer:
    """One step of D and one of G, in the form that `fit` calls."""

    def __init__(
        self,
        features: Tensor,
        near: Tensor,
        labels: Tensor | None,
        settings: FeatureGeneratorSettings,
        compute: Compute,
        seed: int,
    ) -> None:
        self.settings, self.compute = settings, compute
        name = "cluster" if settings.condition == "none" and settings.farthest == "other" else settings.condition
        groups = groups_of(name, features, labels, settings.clusters, seed)
        told = groups is not None and settings.condition != "none"
        self.centres = centres_of(groups, features.cpu()) if told and groups is not None else torch.zeros(0, 0)
        self.groups = None if groups is None else groups.to(compute.device)
        self.near = near[:, : settings.neighbours].to(compute.device)
        residual = settings.form == "residual"
        self.scale = compute.place(Scale(features, settings.components if residual else 0))
        with torch.no_grad():
            self.features = self.scale(features.to(compute.device))
        self.kinds = self.scale(self.centres.to(compute.device)) if told else self.centres
        network, judges = _build(self.scale.size, settings, seed, len(self.centres))
        self.network = compute.place(network)
        self.moments = None
        if residual and settings.components:
            rows = torch.arange(len(features), device=self.near.device)
            others = wander(self.near, rows, settings.hops, Draws(seed, STREAM, 0, rows).fork("start"))
            self.moments = Moments.of(self.features, self.features[others])
            cast(Residual, self.network).start(self.moments, settings.noise)
        self.game = Game(settings, cast("list[Discriminator]", list(compute.place(judges))), compute)
        usual = OptimiserSettings(lr=1e-3 if self.moments is None else 1e-4)  # faster, children draw together
        self.optimiser = optimiser(self.network.parameters(), settings.g_optimiser or usual)
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

    def step(self, rows: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        """D learns from G's children of these parents, then G from D."""
        s = self.settings
        parents = self.features[rows]
        near = self.features[wander(self.near, rows, s.apart, draws)]
        twins = len(rows) // 2 if s.diversity else 0  # parents that get a second child
        groups = None if self.groups is None else self.groups[rows]
        noise = torch.cat([draws.normal("noise", s.noise), draws.normal("twin", s.noise)[:twins]])
        if groups is not None and len(self.centres):
            noise = torch.cat([noise, one_hot(torch.cat([groups, groups[:twins]]), len(self.centres))], 1)
        with self.compute.autocast():
            made = self.network(torch.cat([parents, parents[:twins]]), noise)
        children, second = made.split([len(parents), twins])
        far = opposite(s.farthest, parents, draws, groups)
        real, anchors = near, parents
        if groups is not None and len(self.centres) and s.form == "noise":  # no parent: the group's mean stands for it
            real, anchors = parents, self.kinds[groups]
        strange = parents if s.farthest == "other" else real  # a neighbour could be of the anchor's own group
        mismatched = None if far is None else (strange[far], anchors)
        metrics = self.game.d_step((real, anchors), (children.detach(), anchors), mismatched, draws)
        loss = adversarial = self.game.g_loss((children, anchors), (real, anchors), draws)
        if twins:
            wanted = (near - parents).abs().mean()
            loss = loss + s.diversity * losses.diversity(children[:twins], second, wanted)
        if self.moments is not None:
            loss = loss + s.moments * self.moments.loss(parents, children)
        norm = update(self.network, loss, self.optimiser)
        self.average.update(self.network)
        return {**metrics, "g_loss": adversarial.detach(), "g_gradient": norm}


def train_feature_generator(
    features: Tensor,
    settings: FeatureGeneratorSettings,
    compute: Compute,
    seed: int,
    stage: StageDir | None = None,
    labels: Tensor | None = None,
    near: Tensor | None = None,
) -> FeatureGenerator:
    """Train on `features` float [N, D]; real pairs are rows and their `near` int64 [N, k] (default: neighbours in the
    features). `labels` [N]: for condition=class alone.

    InputError if there are fewer than 2, Diverged if a loss or weight is no longer finite.
    """
    near = neighbours(features, settings.neighbours) if near is None else near
    trainer = FeatureTrainer(features.float(), near, labels, settings, compute, seed)
    plan = Plan(settings.images, min(settings.batch, len(features)), seed, STREAM, compute.device)
    seconds = fit(trainer.step, len(features), plan, trainer.state(), stage)
    judges = trainer.game.judges.eval()
    return FeatureGenerator(trainer.average.module, judges, trainer.scale, settings, compute, seconds, trainer.centres)
