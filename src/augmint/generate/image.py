"""Unlabelled images → a generator that turns one image into many of its kind.

    generator = train_image_generator(pool, features, settings.generate.image, compute, seed=0, stage=stage)
    children = generator.generate(pool.gather(rows), Draws(seed=0, stream="mint", step=0, rows=rows))

Real pairs are an image and one of its nearest in the encoder's features; generated pairs are an image and its
child. D tells them apart, and mismatched real pairs from matching ones, so a child has to look real *and* belong.
Labels are not looked at.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from augmint.config import ImageGeneratorSettings
from augmint.data.table import ImageTable
from augmint.errors import InputError, UsageError
from augmint.generate.image_training import STREAM, ImageTrainer, build_game, empty_trunk, to_float
from augmint.generate.network import ImageGeneratorNetwork
from augmint.generate.pairs import neighbours
from augmint.generate.snapshots import Snapshots
from augmint.networks.codec import Shape
from augmint.networks.contrastive import FrozenTrunk
from augmint.represent.encoder import Encoder, Form, form_from
from augmint.seeding import Draws
from augmint.train import Compute, Plan, StageDir, checkpoint, fit


@dataclass
class ImageGenerator:
    """A trained generator with its discriminators; `seconds` of training."""

    network: ImageGeneratorNetwork
    judges: nn.ModuleList
    shape: Shape
    settings: ImageGeneratorSettings
    compute: Compute
    seconds: float = field(default=0.0)
    trunk: FrozenTrunk | None = None  # that D stands on
    form: Form | None = None  # of the trunk's encoder
    told: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))  # [N]: groups of its images

    @torch.inference_mode()
    def generate(self, images: Tensor, draws: Draws, batch: int = 512, groups: Tensor | None = None) -> Tensor:
        """uint8 parents [N, C, H, W] → uint8 children [N, C, H, W]; `draws` (N rows) hold the noise.

        `groups` int64 [N]: of which class or cluster the children are to be, if G learnt with `condition`; default
        the parents', as G sees them.
        """
        self._check(images)
        noise = draws.normal("noise", self.settings.noise)
        told = [None] * len(images) if groups is None else torch.split(groups.to(self.compute.device), batch)
        parts, rows = [], torch.split(torch.arange(len(images)), batch)
        for some, group in zip(rows, told, strict=False):
            with self.compute.autocast():
                z = noise[some].to(self.compute.device)
                made = self.network(to_float(images[some], self.compute), z, group)
            made = self.network.grained(made, draws.select(some))
            parts.append(made.mul_(255).round_().to(torch.uint8).contiguous().cpu())
        return torch.cat(parts) if parts else images.clone()

    @torch.inference_mode()
    def look(self, parents: Tensor) -> Tensor:
        """uint8 parents [N, C, H, W] → what D compares their children with, on the CPU: features float32 [N, d] where D
        stands on an encoder, else the images themselves."""
        self._check(parents)
        if self.trunk is None:
            return parents
        with self.compute.autocast():
            return self.trunk.features(to_float(parents, self.compute)).cpu()

    @torch.inference_mode()
    def realness(self, images: Tensor, parents: Tensor, batch: int = 256) -> Tensor:
        """uint8 [N, C, H, W] and their parents, as such or as `look` saw them → float32 [N] on the CPU: D's logits, the
        mean over discriminators."""
        self._check(images)
        self.judges.eval()
        parts = [torch.zeros(0)]
        for some, of in zip(torch.split(images, batch), torch.split(parents, batch), strict=True):
            with self.compute.autocast():
                pair = self._seen(some, of)
                parts.append(torch.stack([judge(*pair).float() for judge in self.judges]).mean(0).cpu())
        return torch.cat(parts)

    def _seen(self, images: Tensor, parents: Tensor) -> tuple[Tensor, Tensor]:
        """What D is given of images and their parents."""
        shown = to_float(images, self.compute)
        if self.trunk is None:
            return shown, to_float(parents, self.compute)
        anchors = self.look(parents) if parents.dtype == torch.uint8 else parents
        return self.trunk(self.trunk.whole(shown)), anchors.to(shown.device)

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
            "groups": self.network.groups,
            "told": self.told,
            "grain": self.network.grain is not None,
            "form": None if self.form is None else asdict(self.form),
            "outputs": None if self.trunk is None else self.trunk.outputs,
        }
        weights = {"network": self.network.state_dict(), "judges": self.judges.state_dict()}
        eyes = {} if self.trunk is None else {"trunk": self.trunk.state_dict()}
        checkpoint.save(path, {**facts, **weights, **eyes})

    @staticmethod
    def load(path: Path, compute: Compute) -> "ImageGenerator":
        """What `save` wrote. InputError if it is something else."""
        state: dict[str, Any] = checkpoint.load(path)
        if state.get("kind") != "image-generator":
            raise InputError(f"{path} holds no image generator; delete it to compute it again")
        if "form" not in state:
            raise InputError(f"{path} is a generator of an earlier augmint; delete it to compute it again")
        settings = ImageGeneratorSettings.model_validate(state["settings"])
        shape = cast(Shape, tuple(state["shape"]))
        form = None if state["form"] is None else form_from(state["form"])
        trunk = None if form is None else compute.place(empty_trunk(form, state["outputs"], settings))
        network, judges = build_game(shape, settings, 0, state["groups"], trunk, state.get("grain", False))
        network.load_state_dict(state["network"])
        judges.load_state_dict(state["judges"])
        if trunk is not None:
            trunk.load_state_dict(state["trunk"])
        placed = compute.place(network).eval(), compute.place(judges).eval()
        told = state.get("told", torch.zeros(0, dtype=torch.int64))
        return ImageGenerator(*placed, shape, settings, compute, state["seconds"], trunk, form, told)


def _encoder_for(settings: ImageGeneratorSettings, encoder: Encoder | None) -> Encoder | None:
    """The encoder, where discriminators stand on it."""
    if settings.trunk == "own":
        return None
    if encoder is None:
        raise UsageError(
            "trunk=encoder: give train_image_generator the encoder that D is to stand on, or set trunk=own"
        )
    return encoder


def train_image_generator(
    table: ImageTable,
    features: Tensor,
    settings: ImageGeneratorSettings,
    compute: Compute,
    seed: int,
    stage: StageDir | None = None,
    encoder: Encoder | None = None,
    near: Tensor | None = None,
    sources: Tensor | None = None,
) -> ImageGenerator:
    """Train on all images of `table`, whose `features` (float [N, D]) say which are near each other: real pairs are
    rows and their `near` int64 [N, k] (default: nearest neighbours in the features). With a target `sources` int64 [S]
    are the rows of all parents, and `near` [S, k] the rows of the target images that show much the same (across.py).

    Labels are read with condition=class alone. With trunk=encoder D sees by `encoder`, whose the features are then.
    A stage checkpoints, resumes and keeps snapshots: reals.png, fakes_<images>.png. InputError if features and images
    do not fit, Diverged if a loss or weight is no longer finite.
    """
    if len(features) != len(table):
        raise InputError(f"{len(features)} features for {len(table)} images; compute them from the same table")
    table = table.on(compute.device)
    encoder = _encoder_for(settings, encoder)
    if encoder is not None and features.shape[1] != encoder.whitening.matrix.shape[1]:
        raise InputError(f"{features.shape[1]} features an image are not of this encoder; compute them with it")
    near = neighbours(features.float(), settings.neighbours) if near is None else near
    trainer = ImageTrainer(table, features.float(), near, settings, compute, seed, encoder, sources)
    count = len(table) if sources is None else len(sources)
    plan = Plan(settings.images, min(settings.batch, count), seed, STREAM, compute.device)
    shape = table.shape

    def finished(seconds: float = 0.0) -> ImageGenerator:
        form, trunk, told = None if encoder is None else encoder.form, trainer.trunk, trainer.told
        judges = trainer.game.judges
        return ImageGenerator(trainer.average.module, judges, shape, settings, compute, seconds, trunk, form, told)

    snapshots = Snapshots(stage, table, seed, plan, lambda images, draws: finished().generate(images, draws), sources)
    seconds = fit(trainer.step, count, plan, trainer.state(), stage, on_look=snapshots.look)
    trainer.game.judges.eval()
    return finished(seconds)
