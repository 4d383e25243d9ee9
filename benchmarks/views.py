"""Do automatic views fit the data? kNN accuracy of every candidate, and of `represent.views: auto`, at equal budgets.

    python benchmarks/views.py [--data digits …] [--views gentle-upright auto …] [--seeds 0 …] [--keep FOLDER]

The budget counts images seen; `auto` pays for its search out of the same budget. Trained without labels on training
images; judged by 5 nearest neighbours on other training images (no test image is looked at). Networks of half the
preset's width and a fifth of its images, without the decoder, so that one core does it in an hour; cell by cell, so
that it goes on where it was stopped. Prints the table, with what the usual views of such images and `auto` stay behind
the best candidate, and writes benchmarks/results/views.json. CIFAR-10 is looked for where augmint looks for it
($AUGMINT_DATA).
"""

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from augmint.config import RepresentSettings, resolve
from augmint.data import load
from augmint.data.table import UNLABELLED, ImageTable
from augmint.measure.knn import knn_accuracy
from augmint.represent import Encoder, train_encoder
from augmint.represent.candidates import CANDIDATES
from augmint.represent.search import AUTO, choose
from augmint.seeding import permutation
from augmint.train import Compute

RESULTS = Path(__file__).parent / "results" / "views.json"
Cells = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Trial:
    """One data set of the benchmark."""

    images: int  # the budget
    pool: int  # training images that it learns from
    held: int  # other training images, which only judge
    width: int = 32
    batch: int = 128


TRIALS = {
    "digits": Trial(20_000, 1_000, 437),
    "fashion-mnist": Trial(100_000, 20_000, 10_000),
    "cifar10": Trial(100_000, 20_000, 10_000),
}


def divide(name: str, trial: Trial) -> tuple[ImageTable, ImageTable]:
    """Training images to learn from, and others to judge on."""
    table = load(name)
    rows = table.rows("train")
    rows = rows[permutation(len(rows), 0, "views benchmark")]
    return table.take(rows[trial.held :][: trial.pool]), table.take(rows[: trial.held])


def settings_of(trial: Trial) -> RepresentSettings:
    sizes = {"width": trial.width, "images": trial.images, "batch": trial.batch, "latent": 0}
    return resolve("fast", None, {"represent": sizes}).represent


def accuracy(encoder: Encoder, pool: ImageTable, held: ImageTable) -> float:
    return knn_accuracy(encoder.features(pool), pool.labels, encoder.features(held), held.labels)


def cell(trial: Trial, views: str, seed: int, pool: ImageTable, held: ImageTable, keep: Path | None) -> dict[str, Any]:
    """Train under these views and judge; `auto` searches first, and trains on what that leaves of the budget."""
    compute = Compute.choose()
    unlabelled = pool.with_labels(torch.full_like(pool.labels, UNLABELLED))
    settings, start, found = settings_of(trial), time.process_time(), {}
    if views == AUTO:
        choice = choose(unlabelled, settings, lambda name, brief: train_encoder(unlabelled, brief, compute, seed))
        settings, found = choice.settings(settings), {"choice": choice.to_dict()}
    else:
        settings = CANDIDATES[views].apply(settings)
    encoder = train_encoder(unlabelled, settings, compute, seed)
    seconds = time.process_time() - start
    if keep is not None:
        encoder.save(keep / f"{pool.name}-{views}-{seed}.safetensors")
    return {"knn": accuracy(encoder, pool, held), "cpu_seconds": round(seconds, 1), **found}


def table(cells: Cells) -> str:
    """kNN accuracy in percent, mean over seeds; what usual views and auto stay behind the best, on the seeds that both
    have; auto's choice."""
    names = (*CANDIDATES, AUTO)
    lines = ["kNN accuracy %".ljust(16) + "".join(name.rjust(17) for name in names) + "   behind the best"]
    for data, found in cells.items():
        of: dict[str, dict[str, float]] = {name: {} for name in names}
        for key, one in found.items():
            name, seed = key.split("/")
            of[name][seed] = 100 * one["knn"]
        means = {name: statistics.mean(v.values()) for name, v in of.items() if v}
        line = data.ljust(16) + "".join((f"{means[n]:.1f}" if n in means else "–").rjust(17) for n in names)
        choices = [c["choice"] for key, c in found.items() if key.startswith(f"{AUTO}/")]
        if choices and len(means) > 1:
            best = max(means.keys() - {AUTO}, key=means.__getitem__)
            for name, chosen in ((choices[0]["usual"], {"usual"}), (AUTO, {c["chosen"] for c in choices})):
                both = of[name].keys() & of[best].keys()
                if both:
                    gap = statistics.mean(of[best][seed] - of[name][seed] for seed in both)
                    line += f"   {name} ({', '.join(sorted(chosen))}) {gap:.1f} on seeds {' '.join(sorted(both))}"
        lines.append(line)
    return "\n".join(lines)


def read(path: Path, names: list[str]) -> Cells:
    stored = json.loads(path.read_text()) if path.exists() else {}
    return {name: stored.get("cells", {}).get(name, {}) for name in {*names, *stored.get("cells", {})}}


def write(path: Path, cells: Cells) -> None:
    trials = {name: vars(trial) for name, trial in TRIALS.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"trials": trials, "cells": cells}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=TRIALS, default=list(TRIALS))
    parser.add_argument("--views", nargs="+", choices=(*CANDIDATES, AUTO), default=(*CANDIDATES, AUTO))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--keep", type=Path, help="folder for the encoders")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cells = read(options.out, options.data)
    for name in options.data:
        trial = TRIALS[name]
        pool, held = divide(name, trial)
        for seed in options.seeds:
            for views in options.views:
                key = f"{views}/{seed}"
                if key not in cells[name]:
                    cells[name][key] = cell(trial, views, seed, pool, held, options.keep)
                    write(options.out, cells)
                    print(f"{name} {key}: {100 * cells[name][key]['knn']:.2f} %", file=sys.stderr, flush=True)
    print(table(cells))


if __name__ == "__main__":
    main()
