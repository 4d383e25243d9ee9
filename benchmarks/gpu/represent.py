"""Speed and accuracy of the encoder on one GPU, in commands that end in time and go on where they were.

    bash benchmarks/gpu/represent.sh all --data DIR --out DIR [--final] [--small] [--seconds 480]

speed    seconds of an epoch of 50,000 images, two views each, under every way to compile; the device's own rate of
         bf16 products; which part of the time they alone would take (fraction of the floor); what waits in a step
train5   an encoder in 5 minutes, then kNN;  train20: in 20;  linear: a linear layer on the latter, within 25
lightly  lightly's own loop, for 5 and for 20 minutes

Accuracies are of a slice of 5,000 training images that nothing was trained on. With --final everything is trained on
all training images and judged once, with the last weights, on the test split: when nothing is left to choose.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import evaluate
import floor
import peer
import torch
from pieces import pack, unpack
from table import show
from training import Pause, Paused, train

from augmint.config import RepresentSettings, Settings, assignments, merge, resolve
from augmint.data import load
from augmint.data.table import ImageTable
from augmint.errors import AugmintError, InputError, UsageError
from augmint.judge.protocol import parts
from augmint.represent import Encoder
from augmint.represent.train import prepare
from augmint.train import Compute, ProgressOut, RunDir
from augmint.train.checkpoint import atomic_write, read_json
from augmint.train.rundir import digest

HERE = Path(__file__).parent
EPOCH = 50_000  # images
HELD_OUT = 5_000
AGAIN = 75  # exit code: not finished
VARIANTS = ("off", "on", "graphs")  # of represent.compile
MARGIN = 0.98  # of the minutes, for what is not a step


@dataclass
class Size:
    """What --small makes small."""

    settings: list[str] = field(default_factory=list)
    most: int | None = None  # images
    epoch: int = EPOCH
    epochs: int = 5  # timed
    matrix: int = 8192
    linear_epochs: int = 60
    peer_batch: int = 512
    images: dict[int, int] | None = None  # by minutes, instead of what fits into them
    every: float = 60.0  # seconds between checkpoints
    variants: tuple[str, ...] = VARIANTS
    workers: int | None = None


def small() -> Size:
    """For a CPU, in seconds: shows that everything runs, its numbers mean nothing."""
    form = ["represent.backbone=cnn", "represent.width=8", "represent.batch=16"]
    return Size(form, 96, 64, 2, 64, 2, 16, {5: 160, 20: 240}, 0.0, ("off",), 0)


@dataclass
class Bench:
    """One command."""

    options: argparse.Namespace
    size: Size
    out: Path
    work: Path
    compute: Compute
    deadline: float
    facts: dict[str, Any]
    settings: RepresentSettings
    pool: ImageTable
    judged: ImageTable

    def once(self, name: str, unit: Callable[[], Any]) -> Any:
        """The result of a unit of work, which is done and stored unless it was; then the clock is looked at."""
        if name not in self.facts:
            self.facts[name] = unit()
            self.save()
            if time.monotonic() > self.deadline:
                raise Paused
        return self.facts[name]

    def save(self) -> None:
        """All there is, in pieces."""
        pack(self.work, self.out / "state")
        atomic_write(self.out / "facts.json", json.dumps(self.facts, indent=1))

    def pause(self) -> Pause:
        return Pause(self.deadline, self.save, self.size.every)

    def judge(self, network: torch.nn.Module) -> dict[str, float]:
        """Nearest neighbours among the pool for the judged images."""
        bank, queries = (evaluate.embed(network, table.images, self.compute) for table in (self.pool, self.judged))
        return evaluate.neighbours(bank, self.pool.labels, queries, self.judged.labels)


def speed(bench: Bench) -> None:
    """The floor, then every way to compile."""
    device, size = bench.compute.device, bench.size
    bench.once("matrix_rate", lambda: floor.matrix_rate(device, size.matrix))
    bench.once("floor", lambda: _floor(bench))
    for variant in size.variants:
        bench.once(f"speed-{variant}", lambda variant=variant: _variant(bench, variant))  # type: ignore[misc]


def _trainer(bench: Bench, variant: str) -> Any:
    settings = bench.settings.model_copy(update={"compile": variant})
    return prepare(bench.pool, settings, bench.compute, seed=0, say=lambda line: print(line, file=sys.stderr))


def _floor(bench: Bench) -> dict[str, float]:
    trainer, steps = _trainer(bench, "off"), bench.size.epoch / bench.settings.batch
    images = bench.pool.images[: min(2 * bench.settings.batch, len(bench.pool))].to(bench.compute.device).float() / 255
    operations = floor.operations(trainer) * steps
    seconds = floor.convolution_seconds(trainer.joint.method.network, images) * 2 * bench.settings.batch / len(images)
    return {
        "operations": operations,
        "floor_seconds": operations / bench.facts["matrix_rate"],
        "convolution_seconds": seconds * steps,
    }


def _variant(bench: Bench, variant: str) -> dict[str, Any]:
    """Seconds an epoch; a way that fails here is named with its error, and the others go on."""
    torch._dynamo.reset()
    try:
        return floor.measure(_trainer(bench, variant), bench.size.epoch, bench.size.epochs)
    except Exception as error:  # compilers fail in ways of their own
        return {"error": f"{type(error).__name__}: {str(error).splitlines()[:1]}"}


def fastest(facts: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The way to compile with the shortest epoch. InputError if none worked."""
    found = {name[6:]: fact for name, fact in facts.items() if name.startswith("speed-") and "error" not in fact}
    if not found:
        raise InputError("no way to train worked, see facts.json; give `speed` again")
    return min(found.items(), key=lambda item: item[1]["epoch_seconds"])


def _images(bench: Bench, minutes: int) -> int:
    """How many fit into the minutes, compilation included."""
    if bench.size.images:
        return bench.size.images[minutes]
    fact = fastest(bench.facts)[1]
    steps_only = minutes * 60 * MARGIN - fact["first_steps_seconds"]
    return int(steps_only / fact["epoch_seconds"] * bench.size.epoch)


def training(bench: Bench, minutes: int) -> None:
    """An encoder in so many minutes, and its neighbours."""
    speed(bench)
    name = f"train{minutes}"
    plan = bench.once(f"{name}-plan", lambda: {"compile": fastest(bench.facts)[0], "images": _images(bench, minutes)})
    settings = bench.settings.model_copy(update=plan)
    bench.once(name, lambda: _train(bench, name, settings))


def _train(bench: Bench, name: str, settings: RepresentSettings) -> dict[str, Any]:
    with RunDir.open(bench.work / "run", {"benchmark": "represent"}, progress=ProgressOut()) as run:
        stage = run.stage(name, settings.model_dump(mode="json"), 0)
        encoder, seconds = train(bench.pool, settings, bench.compute, stage, bench.pause())
        encoder.save(bench.work / f"{name}.safetensors")
        stage.checkpoint.unlink()
    return {"seconds": seconds, "epochs": settings.images / bench.size.epoch, **bench.judge(encoder.network)}


def linear(bench: Bench) -> None:
    """A linear layer on the encoder of 20 minutes."""
    training(bench, 20)
    bench.once("linear", lambda: _linear(bench))


def _linear(bench: Bench) -> dict[str, float]:
    network, start = Encoder.load(bench.work / "train20.safetensors", bench.compute).network, time.monotonic()
    pool, judged = bench.pool, bench.judged
    sizes = (bench.size.linear_epochs, min(evaluate.BATCH, 2 * bench.settings.batch))
    score = evaluate.linear(
        network,
        pool.images,
        pool.labels,
        judged.images,
        judged.labels,
        bench.compute,
        *sizes,  # type: ignore[arg-type]
    )
    return {"linear": score, "seconds": time.monotonic() - start}


def lightly(bench: Bench) -> None:
    """lightly's loop, if it is here."""
    why = peer.missing()
    if why:
        print(f"{why}; not compared (README.md says what to carry here)", file=sys.stderr)
        bench.facts["lightly"] = {"missing": why}
        bench.save()
        return
    bench.facts.pop("lightly", None)
    loop = peer.Training(bench.pool.images, bench.compute, bench.size.peer_batch, bench.size.workers)
    share = bench.size.epoch / (len(loop.loader) * bench.size.peer_batch)
    seconds = bench.once("lightly-epoch", lambda: share * peer.speed(loop, 2))
    for minutes in (5, 20):
        epochs = max(2, int(minutes * 60 * share / seconds)) if not bench.size.images else 2
        bench.once(f"lightly{minutes}", lambda e=epochs, m=minutes: _peer(bench, e, m))  # type: ignore[misc]


def _peer(bench: Bench, epochs: int, minutes: int) -> dict[str, float]:
    loop = peer.Training(bench.pool.images, bench.compute, bench.size.peer_batch, bench.size.workers)
    path = bench.work / f"lightly{minutes}.safetensors"
    network, seconds = peer.train(loop, epochs, path, bench.pause())
    path.unlink()
    return {"seconds": seconds, "epochs": epochs, **bench.judge(network)}


STEPS: dict[str, Callable[[Bench], None]] = {
    "speed": speed,
    "train5": lambda bench: training(bench, 5),
    "train20": lambda bench: training(bench, 20),
    "linear": linear,
    "lightly": lightly,
}


def _tables(options: argparse.Namespace, settings: Settings, most: int | None) -> tuple[ImageTable, ImageTable]:
    """What is trained on, and what is judged: the validation slice that `few_labels.sh` judges on too."""
    found = sorted(options.data.glob("*train*.parquet")) if options.data.is_dir() else [options.data]
    if not found:
        raise InputError(f"{options.data}: no *train*.parquet in it; give the folder of CIFAR-10's Parquet files")
    table = load(found[0], settings.data)
    where = parts(table, settings)
    learnt = table.rows("train") if options.final else where.pool
    return table.take(learnt[:most]), table.take((where.test if options.final else where.val)[:most])


def _settings(options: argparse.Namespace, size: Size) -> Settings:
    over = merge(assignments(size.settings), assignments(options.set))
    slice_of = {"labels_per_class": 1, "judge": {"curve": ()}, "data": {"val_images": HELD_OUT}}
    return resolve("fast", HERE / "cifar10.yaml", merge(over, slice_of))


def _identity(options: argparse.Namespace, settings: RepresentSettings) -> dict[str, Any]:
    return {"settings": settings.model_dump(mode="json"), "small": options.small, "final": options.final}


def _facts(path: Path, identity: dict[str, Any], device: str, step: str) -> dict[str, Any]:
    """What is known so far, without the ways to compile that failed: they are tried again, until a training has chosen
    among them, and whenever `speed` is asked for. InputError if it is of other settings or another device."""
    fresh = {"schema": 1, "identity": identity, "device": device, "torch": torch.__version__}
    facts = read_json(path, "identity", "device") if path.exists() else fresh
    if facts["identity"] != identity or facts["device"] != device:
        raise InputError(f"{path} is of other settings or another device ({facts['device']}); choose another --out")
    if step != "speed" and any(name.startswith("train") for name in facts):
        return facts
    return {name: fact for name, fact in facts.items() if not (isinstance(fact, dict) and "error" in fact)}


def start(options: argparse.Namespace, deadline: float) -> Bench:
    """Everything that a command needs, and what the ones before it left."""
    compute = Compute.choose("auto", "auto")
    if compute.device.type != "cuda" and not options.small:
        raise UsageError("this torch finds no GPU; --small runs every step on a CPU, with numbers that mean nothing")
    size = small() if options.small else Size()
    chosen = _settings(options, size)
    settings = chosen.represent
    identity = _identity(options, settings)
    out = options.out / ("final" if options.final else "development")
    facts = _facts(out / "facts.json", identity, compute.describe(), options.step)
    work = Path(gettempdir()) / f"augmint-gpu-{digest(str(out.resolve()))}"
    unpack(out / "state", work)
    tables = _tables(options, chosen, size.most)
    return Bench(options, size, out, work, compute, deadline, facts, settings, *tables)


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="represent.sh", description=__doc__.splitlines()[0])
    found.add_argument("step", nargs="?", default="all", choices=["all", *STEPS])
    found.add_argument("--data", type=Path, required=True, help="folder of CIFAR-10's Parquet files")
    found.add_argument("--out", type=Path, required=True, help="folder for results and state, in pieces of 16 MiB")
    found.add_argument("--final", action="store_true", help="train on all, judge on test; else on a held-out slice")
    found.add_argument("--small", action="store_true", help="every step in seconds on a CPU")
    found.add_argument("--seconds", type=float, default=480, help="no work is begun later; what runs ends soon")
    found.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="over cifar10.yaml")
    found.add_argument("--results", type=Path, default=HERE.parent / "results" / "gpu")
    return found


def main(arguments: list[str] | None = None) -> int:
    """0: finished; 75: the same command goes on; 2 and 3: what was asked or given does not fit."""
    began = time.monotonic()
    options = parser().parse_args(arguments)
    try:
        bench = start(options, began + options.seconds)
        try:
            for step in STEPS if options.step == "all" else [options.step]:
                STEPS[step](bench)
            code = 0
        except Paused:
            code = AGAIN
        show(bench.facts, options.out if options.small else options.results)
    except AugmintError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if code:
        print("not finished: give the same command again", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
