"""Training images per second of SimCLR: augmint's step beside lightly's, same network, data and batch, in one run.

    python benchmarks/represent_vs_lightly.py --threads 2 [--rounds 3] [--cells 3x32x32/resnet8/defaults …] [--fresh]

Each cell is an image size, a network and a mode. Both sides train the same network: augmint's backbone at the width
named in NETWORKS, its last stage averaged over the whole map, and a two-layer head. That is the fair comparison; it is
not what augmint trains unasked (width 64, three stages on a grid of 2, the article's head, a decoder beside it).
"defaults" is about the loops: augmint's as `--preset fast` has it (bf16 where the processor has it, AdamW, nine tenths
of the training on views of 0.7 of the side: the rate over the whole training), lightly's as in its SimCLR example
(SimCLRTransform as it comes, DataLoader, NTXentLoss, SGD, float32). "equal": both float32, SGD, channels_last, the same
policy and temperature, all views at full size. "bare" is augmint's step
on views that are already there: what augmentation and gathering leave of the network's own speed is `share`.

Wall time, because lightly's DataLoader works in processes of its own (--workers, as many as threads): in every round
each side trains some batches, in turning order, median over rounds. augmint's clock starts after the first batch, when
caches are warm again after another network, lightly's once its workers have no more in hand than they keep up with.
Only a quiet machine gives numbers worth reading, as two threads wait for each other at every operation; elsewhere
`--clock cpu --workers 0 --threads 1` takes the time of the process itself. Finished cells are kept in
benchmarks/results/represent_vs_lightly.json and not repeated unless --fresh.

It needs an environment with augmint's requirements and lightly (requirements/peers.txt):

    python -m venv peers && peers/bin/pip install -r requirements/core.txt -r requirements/peers.txt
    PYTHONPATH=src peers/bin/python benchmarks/represent_vs_lightly.py --threads 2
"""

import argparse
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms import SimCLRTransform
from PIL import Image
from torch import Tensor, nn

from augmint.config import RepresentSettings, resolve
from augmint.data.table import Batch, ImageTable
from augmint.networks.backbones import backbone
from augmint.represent.train import Trainer, prepare
from augmint.seeding import Draws
from augmint.train import Compute

clock = time.perf_counter
OUT = Path(__file__).parent / "results" / "represent_vs_lightly.json"
SIZES = ("1x28x28", "3x32x32", "3x96x96")
NETWORKS = {  # name → backbone, width, stem, least ratio to lightly's defaults
    "cnn": ("cnn", 32, "small", 6.0),
    "resnet8": ("resnet8", 32, "small", 6.0),
    "resnet18-3x3": ("resnet18", 64, "small", 3.0),
    "resnet18-7x7": ("resnet18", 64, "imagenet", 0.0),
}
MODES = ("defaults", "equal")
SHARE = 0.95  # of the bare step's rate
# images a batch and batches a block, so that a block takes about a second on two cores
BLOCKS = {
    ("cnn", 28): (256, 4),
    ("cnn", 32): (256, 4),
    ("cnn", 96): (64, 2),
    ("resnet8", 28): (256, 3),
    ("resnet8", 32): (256, 3),
    ("resnet8", 96): (64, 2),
    ("resnet18-3x3", 28): (32, 2),
    ("resnet18-3x3", 32): (32, 2),
    ("resnet18-3x3", 96): (8, 1),
    ("resnet18-7x7", 28): (128, 2),
    ("resnet18-7x7", 32): (128, 2),
    ("resnet18-7x7", 96): (32, 2),
}


@dataclass(frozen=True)
class Cell:
    """One line of the table."""

    size: str
    network: str
    mode: str

    @property
    def shape(self) -> tuple[int, int, int]:
        channels, height, width = map(int, self.size.split("x"))
        return channels, height, width

    @property
    def equal(self) -> bool:
        return self.mode == "equal"

    def __str__(self) -> str:
        return f"{self.size}/{self.network}/{self.mode}"


def table_of(shape: tuple[int, int, int], count: int) -> ImageTable:
    """Random images: no library's speed depends on what they show."""
    images = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    names = np.array([str(i) for i in range(count)])
    none, zeros = torch.full((count,), -1), torch.zeros(count, dtype=torch.int8)
    return ImageTable(images, none, names, zeros, none, torch.ones(count), (), names)


def augmint_trainer(cell: Cell, table: ImageTable, batch: int) -> Trainer:
    """`augmint represent`'s own step on the network that both sides train."""
    name, width, stem, _ = NETWORKS[cell.network]
    common = {"backbone": name, "width": width, "stem": stem, "batch": batch, "images": 1_000_000}
    common |= {"views": "simclr", "view_options": {"simclr": {"flip": True, "area": 0.2}}, "latent": 0}
    common |= {"projector": "standard", "grid": 1, "levels": 1, "small": resolve("fast").represent.small}
    if cell.equal:
        common |= {"small": 0.0, "optimiser": "sgd", "lr": 0.06, "weight_decay": 0.0, "options": {"temperature": 0.5}}
    compute = Compute.choose("cpu", "fp32" if cell.equal else "auto")
    return prepare(table, RepresentSettings.model_validate(common), compute, seed=0)


def over_training(part: Callable[[int, float], float], small: float) -> Callable[[int], float]:
    """Seconds for some steps of which the share `small` comes from the beginning of a training, with small views.
    `part`: seconds for as many steps at that progress."""

    def block(number: int) -> float:
        seconds = (1 - small) * part(number, 1.0)
        return seconds + small * part(number, 0.0) if small else seconds

    return block


def augmint_block(trainer: Trainer, batches: int) -> Callable[[int], float]:
    """Seconds for some steps."""
    size, count = trainer.plan.batch, len(trainer.table)

    def part(number: int, progress: float) -> float:
        start = 0.0
        for index in range(batches + 1):
            step = number * (batches + 1) + index
            rows = (torch.arange(size) + step * size) % count
            trainer.step(rows, Draws(0, "benchmark", step, rows), progress)
            start = clock() if index == 0 else start
        return clock() - start

    return over_training(part, trainer.settings.small)


def bare_block(trainer: Trainer, batches: int) -> Callable[[int], float]:
    """Seconds for the same steps on views that are there: forward, loss, backward, optimiser."""
    rows = torch.arange(trainer.plan.batch)
    batch, draws = Batch(trainer.table.gather(rows)), Draws(0, "benchmark", 0, rows)
    by_size = {progress: trainer.views(batch, draws, progress) for progress in (0.0, 1.0)}

    def part(number: int, progress: float) -> float:
        start = 0.0
        for index in range(batches + 1):
            with trainer.compute.autocast():
                loss = trainer.loss(*by_size[progress])["loss"]
            trainer.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            trainer.optimiser.step()
            start = clock() if index == 0 else start
        return clock() - start

    return over_training(part, trainer.settings.small)


class Pictures(torch.utils.data.Dataset[tuple[list[Tensor], int]]):
    """What lightly reads: `count` Pillow images in memory, some of them several times, its transform, a target."""

    def __init__(self, images: Tensor, transform: Callable[[Image.Image], list[Tensor]], count: int) -> None:
        arrays = images.permute(0, 2, 3, 1).numpy()
        self.pictures = [Image.fromarray(a[..., 0] if a.shape[-1] == 1 else np.ascontiguousarray(a)) for a in arrays]
        self.transform, self.count = transform, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> tuple[list[Tensor], int]:
        return self.transform(self.pictures[row % len(self.pictures)]), 0


def lightly_transform(cell: Cell) -> SimCLRTransform:
    """Its own; for grey images without the normalisation by three channels."""
    options: dict[str, Any] = {"input_size": cell.shape[1]}
    if cell.equal:
        options |= {"cj_strength": 0.5, "min_scale": 0.2, "sigmas": (0.1, max(0.5, cell.shape[1] / 112))}
    return SimCLRTransform(**options, **({"normalize": None} if cell.equal or cell.shape[0] == 1 else {}))


def lightly_block(cell: Cell, table: ImageTable, batch: int, batches: int, workers: int) -> Callable[[int], float]:
    """Seconds for some steps of the loop in lightly's examples while its workers are as busy as in a long training.

    They make `ahead` batches in advance: the clock starts when those of the beginning are used up, and stops while
    there are as many to come.
    """
    ahead = 2 * workers  # DataLoader's own prefetch_factor
    name, width, stem, _ = NETWORKS[cell.network]
    network = backbone(name, cell.shape, width, stem)
    model = nn.Sequential(network, SimCLRProjectionHead(network.features, 512, 128)).train()
    if cell.equal:
        model = model.to(memory_format=torch.channels_last)
    criterion, optimiser = NTXentLoss(), torch.optim.SGD(model.parameters(), lr=0.06)
    pictures = Pictures(table.images, lightly_transform(cell), batch * (2 * ahead + batches + 1))
    loader = torch.utils.data.DataLoader(
        pictures, batch, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )

    def block(number: int) -> float:
        start = seconds = 0.0
        for step, ((first, second), _) in enumerate(loader):
            loss = criterion(model(first), model(second))
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            start = clock() if step == ahead else start
            seconds = clock() - start if step == ahead + batches else seconds
        return seconds

    return block


def measure(cell: Cell, rounds: int, workers: int) -> dict[str, float]:
    """Images per second of the three, `share` of the bare step, `ratio` to lightly, medians over rounds."""
    batch, batches = BLOCKS[cell.network, cell.shape[1]]
    table = table_of(cell.shape, batch * (batches + 1))
    trainer = augmint_trainer(cell, table, batch)
    blocks = {"augmint": augmint_block(trainer, batches), "bare": bare_block(trainer, batches)}
    blocks["lightly"] = lightly_block(cell, table, batch, batches, workers)
    names = list(blocks)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):  # the first warms up
        for turn in range(len(names)):  # each comes after each other one
            name = names[(turn + number) % len(names)]
            seconds[name].append(blocks[name](number))
    found = {name: batch * batches / statistics.median(taken[1:]) for name, taken in seconds.items()}
    pairs = {"share": "bare", "ratio": "lightly"}
    for name, other in pairs.items():  # within a round other work on the machine is more alike than between them
        found[name] = statistics.median(b / a for a, b in zip(seconds["augmint"][1:], seconds[other][1:], strict=True))
    return found | {"load_average": os.getloadavg()[0], "batch": batch}


def line(cell: Cell, row: dict[str, float]) -> str:
    """One line of the table, with what is missed."""
    target = NETWORKS[cell.network][3] if not cell.equal else 0.0
    missed = [f"share under {SHARE:.0%}"] * (row["share"] < SHARE) + [f"ratio under {target:g}"] * (
        row["ratio"] < target
    )
    rates = "".join(f"{row[name]:10,.0f}" for name in ("augmint", "bare", "lightly"))
    return f"{cell!s:32}{rates}{row['share']:9.1%}{row['ratio']:8.1f}  {', '.join(missed)}"


def cells(wanted: list[str] | None) -> Iterator[Cell]:
    for cell in (Cell(size, network, mode) for mode in MODES for size in SIZES for network in NETWORKS):
        if not wanted or any(part in str(cell) for part in wanted):
            yield cell


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, help="of lightly's DataLoader; default as many as threads")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: only with --workers 0")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cells", nargs="+", help="parts of the names of cells, e.g. 3x32x32 resnet8/equal")
    parser.add_argument("--fresh", action="store_true", help="forget the cells that are done")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    workers = options.threads if options.workers is None else options.workers
    if options.clock == "cpu":
        if workers:
            parser.error("--clock cpu counts this process alone, so it needs --workers 0")
        global clock
        clock = time.process_time
    facts: dict[str, Any] = {
        "clock": options.clock,
        "threads": options.threads,
        "workers": workers,
        "rounds": options.rounds,
    }
    facts |= {"versions": {name: importlib.metadata.version(name) for name in ("torch", "torchvision", "lightly")}}
    facts |= {"processor": platform.processor() or platform.machine(), "precision": Compute.choose("cpu").describe()}
    kept = json.loads(options.out.read_text()) if options.out.exists() and not options.fresh else {}
    done = kept.pop("cells", {}) if {**kept, "cells": 0} == {**facts, "cells": 0} or "cells" not in kept else {}
    print(f"{'images/s':32}{'augmint':>10}{'bare':>10}{'lightly':>10}{'share':>9}{'ratio':>8}")
    for cell in cells(options.cells):
        if str(cell) not in done:
            done[str(cell)] = measure(cell, options.rounds, workers)
            gc.collect()  # ends the DataLoader's processes
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(facts | {"cells": done}, indent=1) + "\n")
        print(line(cell, done[str(cell)]), flush=True)


if __name__ == "__main__":
    main()
