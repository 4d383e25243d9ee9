"""Does the game of D and G stay stable? Which losses and constraints keep it so, and is the default one of them?

    python benchmarks/stability.py [--sizes 16 28] [--seeds 5] [--cells default …] [--work runs/stability]

Fashion-MNIST's training images, no labels. At 16 × 16 every loss, with and without spectral normalisation of D, with
and without R1 and R2 (β 1), as a plain game: λ 1, no reconstruction, no diversity term, the default's networks and
rates. At 28 × 28, full length: the default, whose D stands on the encoder that finds neighbours and sees windows; D
with convolutions of its own and less to say, the default before; and the article's form: adversarial loss with the slip
corrected, D on the projection with its BatchNorm head, N(0, 0.02), no spectral normalisation, no constraint, no change
to what D sees, no average of weights (its tanh is our sigmoid on another scale).

FD-cnn: Fréchet distance between the features of 5,000 children and 5,000 real images, in an encoder that shares
nothing with G, D and the neighbours, measured at ten moments; the least is the best. *real*: the same of 5,000 other
real images. *Gaussian in pixel PCA*: the rival, a Gaussian on the first principal components of the pixels, whose
number and scale are chosen by this very distance. A run whose loss or weights are no longer finite has diverged.
Gradient norms: medians of the first and the last tenth of the game, and the largest.

Cell by cell, so that it goes on where it was stopped. Prints the table and writes benchmarks/results/stability.json;
`--picture docs/stability.png` draws the cells at full size that are there and trains nothing.
"""

import argparse
import json
import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from augmint.config import DataSettings, ImageGeneratorSettings, OptimiserSettings, RepresentSettings
from augmint.data import load
from augmint.data.table import UNLABELLED, ImageTable
from augmint.errors import Diverged
from augmint.generate.image import ImageGenerator
from augmint.generate.image_training import STREAM, ImageTrainer
from augmint.generate.pairs import neighbours
from augmint.measure.distances import frechet_distance
from augmint.represent import Encoder, train_encoder
from augmint.seeding import Draws, permutation, torch_generator
from augmint.train import Compute, Plan, fit

RESULTS = Path(__file__).parent / "results" / "stability.json"
MEASURED, MOMENTS = 5000, 10
POOL = {16: 20_000, 28: 50_000}  # training images that the game learns from; 10,000 others are kept for measuring
IMAGES = {16: 40_000, 28: 160_000}
COMPONENTS, SCALES = (8, 16, 32, 64, 128), (0.6, 0.7, 0.8, 0.9, 1.0)
SMALL = 0.9  # of the training of the encoder at full size
COLOURS = {"default": "#0072B2", "own": "#009E73", "article": "#D55E00"}
BATCH = ImageGeneratorSettings().batch
Seen = dict[str, Any]


def cells(size: int) -> dict[str, ImageGeneratorSettings]:
    """The settings to try at this size, by name."""
    whole = ImageGeneratorSettings(images=IMAGES[size])
    if size == 28:
        article: dict[str, Any] = {
            "trunk": "own",
            "discriminators": ("projection",),
            "loss": "adversarial",
            "lambda_": 1.0,
            "reconstruction": 0.0,
            "diversity": 0.0,
            "augment": 0.0,
            "spectral_norm": False,
            "init": "normal002",
            "ema": 0.0,
            "d_optimiser": OptimiserSettings(),
            "g_optimiser": OptimiserSettings(),
        }
        own = whole.model_copy(update={"trunk": "own", "lambda_": 0.02})
        default = whole.model_copy(update={"zoom": True})  # as presets have it
        return {"default": default, "own": own, "article": whole.model_copy(update=article)}
    plain = whole.model_copy(update={"trunk": "own", "lambda_": 1.0, "reconstruction": 0.0, "diversity": 0.0})
    found = {}
    for loss, spectral, beta in product(("adversarial", "margin", "hinge", "relativistic"), (True, False), (0.0, 1.0)):
        name = f"{loss}{' + spectral' * spectral}{' + R1 R2' * (beta > 0)}"
        found[name] = plain.model_copy(update={"loss": loss, "spectral_norm": spectral, "beta": beta})
    return found


@dataclass(frozen=True, eq=False)
class Room:
    """What all cells of one size share: images, an encoder, who is near whom by it, and another one that measures."""

    pool: ImageTable
    encoder: Encoder
    features: Tensor
    near: Tensor
    measure: Callable[[Tensor], float]  # uint8 images → FD-cnn to real ones
    real: float
    rival: dict[str, float]


def _encoder(path: Path, table: ImageTable, seed: int, compute: Compute, small: float = 0.0) -> Encoder:
    if not path.exists():
        settings = RepresentSettings(backbone="cnn", width=32, images=100_000, latent=0, small=small)
        path.parent.mkdir(parents=True, exist_ok=True)
        train_encoder(table, settings, compute, seed).save(path)
    return Encoder.load(path, compute)


def gaussians(train: Tensor, count: int) -> Iterator[tuple[int, float, Tensor]]:
    """Components, scale and `count` uint8 images of a Gaussian in the pixels' principal components."""
    x = train.flatten(1).double() / 255
    mean, noise = x.mean(0), torch.randn(count, max(COMPONENTS), generator=torch_generator("stability"))
    values, vectors = torch.linalg.eigh(torch.cov(x.T))
    for k, scale in product(COMPONENTS, SCALES):
        steps = noise[:, :k].double() * values[-k:].clamp(min=0).sqrt() * scale
        made = (mean + steps @ vectors[:, -k:].T).clamp(0, 1)
        yield k, scale, (made * 255).round().to(torch.uint8).view(count, *train.shape[1:])


def room(size: int, work: Path, compute: Compute) -> Room:
    """Everything before the first cell."""
    table = load("fashion-mnist", DataSettings(size=size))
    table = table.with_labels(torch.full_like(table.labels, UNLABELLED))
    train = table.rows("train")
    order = train[permutation(len(train), 0, "stability", size)]
    pool, kept = table.take(order[: POOL[size]]), table.gather(order[-2 * MEASURED :], "cpu")
    examiner = _encoder(work / f"examiner-{size}.safetensors", pool, 1, compute)
    reference = examiner.hidden(kept[:MEASURED])

    def measure(images: Tensor) -> float:
        return frechet_distance(reference, examiner.hidden(images))

    tried = [
        (measure(images), k, scale) for k, scale, images in gaussians(pool.gather(torch.arange(len(pool))), MEASURED)
    ]
    least, k, scale = min(tried)
    # As presets train it: at first on small views, which are what D sees of an image then.
    encoder = _encoder(work / f"neighbours-{size}.safetensors", pool, 0, compute, small=SMALL if size == 28 else 0.0)
    features, rival = encoder.features(pool), {"fd": least, "components": k, "scale": scale}
    return Room(pool, encoder, features, neighbours(features, 10), measure, measure(kept[MEASURED:]), rival)


def play(here: Room, settings: ImageGeneratorSettings, seed: int, compute: Compute) -> Seen:
    """One training: the distance at ten moments, gradient norms, whether it diverged."""
    encoder = here.encoder if settings.trunk == "encoder" else None
    trainer = ImageTrainer(here.pool, here.features, here.near, settings, compute, seed, encoder)
    plan = Plan(settings.images, settings.batch, seed, STREAM, compute.device)
    parents = permutation(len(here.pool), seed, "parents")[:MEASURED]
    curve: list[list[float]] = []
    norms: dict[str, list[float]] = {"d_gradient": [], "g_gradient": []}
    every = max(1, plan.steps // MOMENTS)

    def step(rows: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        metrics = trainer.step(rows, draws, progress)
        if draws.step % 10 == 0:
            for name in norms.keys() & metrics.keys():
                norms[name].append(float(f"{float(metrics[name]):.3g}"))  # for a file of readable size
        if (draws.step + 1) % every == 0:
            curve.append([(draws.step + 1) * settings.batch, distance()])
        return metrics

    def distance() -> float:
        made = ImageGenerator(trainer.average.module, trainer.game.judges, here.pool.shape, settings, compute)
        training = trainer.average.module.training
        trainer.average.module.eval()
        images = made.generate(here.pool.gather(parents, "cpu"), Draws(seed, "measure", 0, parents))
        trainer.average.module.train(training)
        return here.measure(images)

    diverged = ""
    try:
        fit(step, len(here.pool), plan, trainer.state())
    except Diverged as error:
        diverged = str(error)
    return {"curve": curve, **norms, "diverged": diverged}


def _median(values: list[float]) -> float:
    return statistics.median(values) if values else math.nan


def row(name: str, runs: list[Seen]) -> str:
    """One line of the table: means over the seeds."""
    ended = [run for run in runs if not run["diverged"]]
    best = [min(fd for _, fd in run["curve"]) for run in ended]
    last = [run["curve"][-1][1] for run in ended]

    def norm(key: str) -> str:
        first, final, most = [], [], []
        for run in runs:
            values = run[key]
            tenth = max(1, len(values) // 10)
            first.append(_median(values[:tenth]))
            final.append(_median(values[-tenth:]))
            most.append(max(values, default=math.nan))
        return f"{_median(first):8.2g} → {_median(final):7.2g} ({max(most):.2g})"

    distances = "–".rjust(24)
    if ended:
        ratio = max(b / a for a, b in zip(best, last, strict=True))
        distances = f"{statistics.mean(best):8.4f}{statistics.mean(last):9.4f}{ratio:7.2f}"
    return f"{name:34}{len(runs) - len(ended):>3} of {len(runs)}{distances}  {norm('d_gradient')}  {norm('g_gradient')}"


def show(kept: dict[str, Any]) -> None:
    """The table."""
    for size, of in kept["sizes"].items():
        rival = of["rival"]
        print(f"\n{size} × {size}, {of['images']:,} images a run. FD-cnn of other real images {of['real']:.4f};")
        print(f"Gaussian in pixel PCA {rival['fd']:.4f} ({rival['components']} components, scale {rival['scale']})")
        print(f"{'':34}{'diverged':>8}{'best':>8}{'last':>9}{'worst':>7}  {'gradient of D':26}  gradient of G")
        print(f"{'':51}{'':8}{'last/best':>7}  {'first → last (largest)':26}  the same")
        for name, runs in of["cells"].items():
            if runs:
                print(row(name, list(runs.values())))


def smoothed(values: list[float], images: int) -> tuple[list[float], list[float]]:
    """Thousands of images and the median of every fiftieth of the values, which were taken evenly up to the end (D's
    gradient from where D takes part)."""
    each = max(1, len(values) // 50)
    at = [images - 10 * BATCH * (len(values) - i) for i in range(0, len(values), each)]
    return [x / 1000 for x in at], [statistics.median(values[i : i + each]) for i in range(0, len(values), each)]


def panel(figure: Figure, place: int, title: str) -> Axes:
    """One of three, with a logarithmic scale."""
    axes = figure.add_subplot(1, 3, place)
    axes.set_yscale("log")
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("thousand images seen by G")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def picture(of: dict[str, Any], file: Path) -> None:
    """Distance and gradients over the training: a line for each seed, a colour for each cell."""
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    distance = panel(figure, 1, "FD-cnn to real images")
    gradients = [panel(figure, 2, "gradient norm of D"), panel(figure, 3, "gradient norm of G")]
    for name, colour in COLOURS.items():
        runs = of["cells"].get(name, {})
        for i, run in enumerate(runs.values()):
            label = f"{name} ({len(runs)} seeds)" if i == 0 else None
            images, found = zip(*run["curve"], strict=True)
            distance.plot([x / 1000 for x in images], found, color=colour, lw=1, label=label)
            for axes, key in zip(gradients, ("d_gradient", "g_gradient"), strict=True):
                axes.plot(*smoothed(run[key], images[-1]), color=colour, lw=0.6)
    for value, style, label in (
        (of["rival"]["fd"], "--", "Gaussian, pixel PCA"),
        (of["real"], ":", "other real images"),
    ):
        distance.axhline(value, color="grey", ls=style, lw=1, label=label)
    figure.legend(*distance.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8)
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=[16, 28], choices=(16, 28))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cells", nargs="+", default=[], help="parts of names of cells")
    parser.add_argument("--work", type=Path, default=Path("runs/stability"))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--picture", type=Path, help="draw the cells at full size into this PNG; train nothing")
    o = parser.parse_args()
    if o.picture:
        picture(json.loads(o.out.read_text())["sizes"]["28"], o.picture)
        return
    if o.threads:
        torch.set_num_threads(o.threads)
    compute = Compute.choose()
    kept = json.loads(o.out.read_text()) if o.out.exists() else {"sizes": {}}
    for size in o.sizes:
        wanted = {n: s for n, s in cells(size).items() if not o.cells or any(part in n for part in o.cells)}
        of = kept["sizes"].setdefault(str(size), {"images": IMAGES[size], "cells": {}})
        todo = [(n, k) for k, n in product(range(o.seeds), wanted) if str(k) not in of["cells"].get(n, {})]
        if not todo:
            continue
        here = room(size, o.work, compute)
        of |= {"real": here.real, "rival": here.rival}
        for name, seed in todo:
            of["cells"].setdefault(name, {})[str(seed)] = run = play(here, wanted[name], seed, compute)
            o.out.parent.mkdir(exist_ok=True)
            o.out.write_text(json.dumps(kept) + "\n")
            end = run["diverged"] or f"FD {run['curve'][-1][1]:.4f}, best {min(fd for _, fd in run['curve']):.4f}"
            print(f"{size} {name}, seed {seed}: {end}", flush=True)
    show(kept)


if __name__ == "__main__":
    main()
