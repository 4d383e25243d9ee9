"""Unlabelled images → encoder: any method, with a decoder beside it or a reconstruction term through it.

    encoder = train_encoder(pool, settings.represent, compute, seed=0, stage=stage)

Labels are not looked at; whoever has some can `watch` (represent/watch.py). A collapse of the features is said
aloud, with its measure.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augmint import seeding
from augmint.augment import Augment, options_of, policy
from augmint.augment.batches import Numbered, Size
from augmint.config import RepresentSettings
from augmint.data.table import Batch, ImageTable
from augmint.errors import InputError
from augmint.represent import health, optimise, weights
from augmint.represent.encoder import Encoder, FeatureDecoder, Form, build
from augmint.represent.health import Part
from augmint.represent.methods import Method
from augmint.represent.methods import build as build_method
from augmint.represent.watch import Watch, moments
from augmint.represent.whitening import Whitening
from augmint.seeding import Draws
from augmint.train import Compute, Plan, StageDir, fit, parallel, set_rate
from augmint.train.compiler import begin_step, compiler
from augmint.train.loop import Stateful

STREAM = "represent"
ENOUGH = 20_000  # images to find the whitening from
QUARTER = 4  # of the images one in so many teaches a decoder that teaches the encoder nothing
LOG_EVERY_GPU = 500  # steps; the rank of the features alone costs a step or two there
SHRUNK, LEAST_SIDE = 0.7, 16  # of a view at the beginning, with `small`


class Joint(nn.Module):
    """A method, and the decoder that shares its encoder (None: no decoder). With weight 0 the decoder learns from the
    features without changing them."""

    def __init__(self, method: Method, decoder: FeatureDecoder | None, weight: float) -> None:
        super().__init__()
        self.method = method
        self.decoder = decoder
        self.weight = weight

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        """The method's losses; with a decoder also 'reconstruction', weighted into 'loss'."""
        out = self.method.loss(*views)
        if self.decoder is not None:
            read, seen = out["features"], views[0]
            if not self.weight:  # it learns well enough from a part, and takes a tenth of the time from all
                read, seen = read[::QUARTER].detach(), seen[::QUARTER]  # the same rows in one process and in two
            made = resized(self.decoder(read), seen.shape[2:])
            errors = F.mse_loss(made, seen, reduction="none").flatten(1).mean(1)
            error = parallel.gather(errors).mean()
            out = {**out, "reconstruction": error, "loss": out["loss"] + (self.weight or 1.0) * error}
        return out


def smaller(size: Sequence[int]) -> Size:
    """The size [H, W] of the views that a training begins with: 0.7 of either side, half the area. Images that are
    small already stay as they are."""
    height, width = (round(side * SHRUNK) for side in size)
    return (height, width) if min(height, width) >= LEAST_SIDE else (size[0], size[1])


def resized(images: Tensor, size: Sequence[int]) -> Tensor:
    """float [N, C, H, W] at another size [h, w], smoothed where it shrinks; the same tensor where it has that size."""
    if images.shape[2:] == tuple(size):
        return images
    return F.interpolate(images, tuple(size), mode="bilinear", antialias=True)


@dataclass
class Trainer:
    """One optimiser step of a joint objective, in the form that `fit` calls."""

    joint: Joint
    optimiser: torch.optim.Optimizer
    table: ImageTable
    settings: RepresentSettings
    compute: Compute
    plan: Plan
    augment: tuple[Augment, Augment]  # what makes the views of the beginning, and the others
    loss: Callable[..., dict[str, Tensor]]  # the joint's, or that compiled
    form: Form
    watch: Watch | None = None
    parts: list[Part] = field(default_factory=list)  # as last measured

    def step(self, rows: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        """Train on these rows (with several processes: on this one's part of them); every `plan.log_every` steps
        also measure the features. Between two measurements nothing waits for the device."""
        begin_step(self.settings.compile)
        set_rate(self.optimiser, self.settings.lr * optimise.warm_cosine(progress, self.settings.warm_up))
        mine = parallel.share(rows)
        images = self.table.gather(mine, self.compute.device)
        views = self.views(Batch(images), replace(draws, rows=mine), progress)
        self.optimiser.zero_grad(set_to_none=True)
        with self.compute.autocast():
            out = self.loss(*views)
        torch.autograd.backward(out["loss"])
        parallel.add_gradients(self.joint.parameters())
        self.optimiser.step()
        self.joint.method.after_step(progress)
        metrics = {name: value.detach() for name, value in out.items() if value.ndim == 0}
        if (draws.step + 1) % self.plan.log_every == 0 or draws.step + 1 == self.plan.steps:
            metrics |= self.measure(
                parallel.gather(out["features"].detach().float()), out["projected"].detach().float()
            )
        if self.watch and draws.step + 1 in moments(self.plan.steps, self.plan.log_every):
            metrics |= {name: torch.tensor(value) for name, value in self.watch(self.encoder).items()}
            self.joint.method.network.train()
        return metrics

    def views(self, batch: Batch, draws: Draws, progress: float) -> tuple[Tensor, ...]:
        """What the method is shown of a batch at `progress` (0 … 1): float32 0 … 1 [N, C, H, W] each."""
        early = progress < self.settings.small and self.joint.method.network.spatial
        return self.joint.method.views(self.augment[0 if early else 1], batch, draws)

    @property
    def encoder(self) -> Encoder:
        """The encoder as it is now, not whitened."""
        network = self.joint.method.network
        return Encoder(self.form, network, self.joint.decoder, self.compute, Whitening.none(network.features))

    def measure(self, features: Tensor, projected: Tensor) -> dict[str, Tensor]:
        """Spread and rank of a batch of features, if all are finite; of its parts, for the warning."""
        if not bool(torch.isfinite(features).all() & torch.isfinite(projected).all()):
            return {}  # the loss says so
        self.parts = health.parts(features, self.joint.method.network.last, projected)
        return {"spread": torch.tensor(self.parts[0].spread), "rank": torch.tensor(self.parts[0].rank)}


def form_of(table: ImageTable, settings: RepresentSettings) -> Form:
    """The encoder that these settings ask for on images of this shape."""
    s = settings
    return Form(s.backbone, table.shape, s.width, s.stem, s.latent, s.decoder_width, s.grid, s.levels)


def views_of(settings: RepresentSettings, size: Size | None = None) -> Augment:
    """The policy that makes the views, with its options, at another `size` if one is given. UsageError if a name in
    the settings does not exist."""
    built = {name: policy(name, **options) for name, options in settings.view_options.items()}
    augment = built.get(settings.views) or policy(settings.views)
    if size is None:
        return augment
    if "size" in options_of(settings.views):  # twice as fast as at full size and then smaller
        return policy(settings.views, **settings.view_options.get(settings.views, {}) | {"size": size})

    def shrunk(batch: Batch, draws: Draws) -> Batch:
        out = augment(batch, draws)
        return replace(out, images=resized(out.images, size))

    return shrunk


def _start(form: Form, settings: RepresentSettings, compute: Compute, seed: int) -> Joint:
    """Everything that is trained, with weights from the seed or from `settings.weights`, on the device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeding.key(seed, STREAM, "init"))
        network, decoder = build(form)
        method = build_method(settings.method, network, settings)
    if settings.weights is not None:
        weights.start(network, form, settings.weights, compute)
    return compute.place(parallel.synchronise(Joint(method, decoder, settings.reconstruction)))


def _silent(line: str) -> None:
    """Nobody to tell."""


def batch_of(wanted: int, images: int) -> int:
    """Images a step: as wanted, or all there are if they are fewer, less what does not divide over the processes."""
    each = parallel.world()
    return wanted if wanted <= images else max(each, images // each * each)


def _warn(line: str) -> None:
    """Without a run folder, Python's own way; by one of several processes."""
    if parallel.rank() == 0:
        warnings.warn(line.removeprefix("warning: "), stacklevel=2)


def prepare(
    table: ImageTable, settings: RepresentSettings, compute: Compute, seed: int, say: Callable[[str], None] = _silent
) -> Trainer:
    """Everything before the first step; `say` is told if nothing can be compiled. InputError under 2 images."""
    if len(table) < 2:
        raise InputError(f"{len(table)} images are too few to learn a representation from; give at least 2")
    form = form_of(table, settings)
    joint = _start(form, settings, compute, seed).train()
    quick = compiler(settings.compile, compute.device, say)
    early, late = (
        replace(augment, change=quick(augment.change)) if isinstance(augment, Numbered) else augment
        for augment in (views_of(settings, smaller(table.shape[1:])), views_of(settings))
    )
    plan = Plan(settings.images, batch_of(settings.batch, len(table)), seed, STREAM, compute.device)
    if compute.device.type != "cpu":
        plan = replace(plan, log_every=LOG_EVERY_GPU)
    table = table.on(compute.device)
    loss = quick(joint.loss)
    return Trainer(joint, optimise.make(joint, settings), table, settings, compute, plan, (early, late), loss, form)


def train_encoder(
    table: ImageTable,
    settings: RepresentSettings,
    compute: Compute,
    seed: int,
    stage: StageDir | None = None,
    watch: Watch | None = None,
) -> Encoder:
    """Train on all images of `table` for `settings.images` images; a stage checkpoints and resumes.

    `watch` is asked ten times what the encoder is worth; its numbers are logged and change nothing.

    InputError if there are fewer than 2 images, Diverged if a loss or weight is no longer finite.
    """
    trainer = prepare(table, settings, compute, seed, stage.run.say if stage else _silent)
    trainer.watch = watch
    joint = trainer.joint
    state: dict[str, Stateful] = {"joint": joint, "optimiser": trainer.optimiser}
    say = stage.run.say if stage else _warn
    warned = False

    def look(step: int) -> None:
        nonlocal warned
        sentence = None if warned else health.warning(trainer.parts)
        if sentence:
            say(sentence)
            warned = True

    label = None if stage is None else stage.name
    seconds = fit(trainer.step, len(table), trainer.plan, state, stage, label, on_look=look)
    joint.eval()
    encoder = replace(trainer.encoder, seconds=seconds)
    if settings.whiten is None:
        return encoder
    some = torch.linspace(0, len(table) - 1, min(len(table), ENOUGH)).long()
    return replace(encoder, whitening=Whitening.fit(encoder.hidden(table.take(some)), settings.whiten))
