"""What a run would take: a few steps of every stage are timed on this machine, then multiplied.

print(estimate(settings, Path("runs/fashion")).table())     # what `augmint run … --dry-run` shows
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Group
from rich.table import Table

from augmint.augment import policy
from augmint.augment.corruptions import KINDS, STRENGTHS
from augmint.classify import candidates, fit_finetuned, fit_scratch, fit_student
from augmint.classify.graph import DECIDING, propagated_scores
from augmint.classify.linear import Squares
from augmint.classify.student import LESSON, STEPS, enough
from augmint.config import Settings
from augmint.data import load
from augmint.data.table import ImageTable
from augmint.generate.feature import train_feature_generator
from augmint.generate.image import train_image_generator
from augmint.judge import protocol
from augmint.judge.arms import chosen
from augmint.judge.protocol import Split
from augmint.measure.knn import nearest
from augmint.represent import train_encoder
from augmint.represent.candidates import CANDIDATES, USUAL
from augmint.represent.encoder import Encoder, build
from augmint.represent.map import principal, tsne
from augmint.represent.search import AUTO
from augmint.represent.train import form_of
from augmint.represent.whitening import MOST, Whitening
from augmint.train import QUIET, Compute, ProgressOut
from augmint.train.compute import cores, peak_memory
from augmint.train.rundir import free_bytes

SAMPLE = 2000  # images that the timed steps run on
MiB = 2**20


@dataclass(frozen=True)
class Line:
    """One stage: what it does and how long."""

    stage: str
    what: str
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """Seconds by stage, bytes of memory and disk."""

    data: str
    lines: list[Line]
    memory: int
    disk: int
    disk_free: int

    @property
    def seconds(self) -> float:
        return sum(line.seconds for line in self.lines)

    def to_dict(self) -> dict[str, Any]:
        """The same facts for --json."""
        return {**asdict(self), "seconds": self.seconds}

    def table(self) -> Group:
        """For people."""
        grid = Table("stage", "what", "about", title=self.data, title_justify="left", show_footer=True)
        grid.columns[1].footer, grid.columns[2].footer = "everything", _duration(self.seconds)
        for line in self.lines:
            grid.add_row(line.stage, line.what, _duration(line.seconds))
        memory = f"memory: about {self.memory / MiB:,.0f} MiB"
        disk = f"disk: about {self.disk / MiB:,.0f} MiB ({self.disk_free / MiB:,.0f} MiB free). Nothing was written."
        return Group(grid, memory, disk)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def per_image(train: Callable[[int], object], batch: int) -> float:
    """Seconds an image of a training: the slope between two and six steps, so that set-up does not count."""
    train(batch)
    times = []
    for steps in (2, 6):
        start = time.perf_counter()
        train(steps * batch)
        times.append(time.perf_counter() - start)
    return max(times[1] - times[0], 1e-9) / (4 * batch)


def _represent(s: Settings, sample: ImageTable, compute: Compute) -> Line:
    r = s.represent
    if r.views == AUTO:
        r = CANDIDATES[USUAL].apply(r)  # its search is part of the same images
    rate = per_image(lambda n: train_encoder(sample, r.model_copy(update={"images": n}), compute, s.seed), r.batch)
    return Line("represent", f"{r.method}, {r.backbone}, {r.images:,} images", rate * r.images)


def _untrained(s: Settings, sample: ImageTable, compute: Compute) -> Encoder:
    """An encoder of the settings' size with random weights, as fast as a trained one."""
    form = form_of(sample, s.represent)
    network, decoder = build(form)
    return Encoder(form, compute.place(network), decoder, compute, Whitening.none(network.features))


def _look(s: Settings, sample: ImageTable, compute: Compute, count: int) -> Line:
    """Features of all images, the nearest of each among all, and a map of some of them."""
    encoder = _untrained(s, sample, compute)
    start = time.perf_counter()
    hidden = encoder.hidden(sample)
    forward = time.perf_counter() - start
    features = hidden[:, :MOST]
    start = time.perf_counter()
    nearest(features, features, min(10, len(features) - 1), exclude_self=True)
    search = time.perf_counter() - start
    start = time.perf_counter()
    tsne(features, principal(features)[0], seed=0)
    drawing = time.perf_counter() - start
    times = count / len(sample)
    what = f"features of {count:,} images, the nearest of each, a map"
    return Line("explain", what, forward * times + search * times**2 + drawing)


def _judge(s: Settings, sample: ImageTable, compute: Compute, splits: list[Split], val: int) -> Line:
    """Every trial's answers on its held-out images and the validation slice, and on those made worse."""
    encoder = _untrained(s, sample, compute)
    model = fit_scratch(
        sample,
        torch.arange(min(2, len(sample))),
        torch.zeros(min(2, len(sample)), dtype=torch.long),
        policy("none"),
        s.classify.model_copy(update={"images": s.classify.batch}),
        compute,
        classes=2,
        seed=0,
    )
    forward = []
    for answer in (encoder.hidden, model.logits):
        start = time.perf_counter()
        answer(sample)
        forward.append((time.perf_counter() - start) / len(sample))
    scratch = sum(a.startswith("scratch") for a in s.judge.arms)
    tested = max((len(split.test) for split in splits), default=0)
    worse = min(s.judge.robust_images, tested) * len(KINDS) * STRENGTHS
    asked = sum(len(split.test) + val for split in splits) + worse * min(s.judge.robust_draws, len(splits))
    seconds = forward[0] * (tested + val + worse) + forward[1] * scratch * asked
    what = f"{len(splits) * len(s.judge.arms)} trials" + f", on {worse:,} images made worse too" * bool(worse)
    return Line("judge", what, seconds)


def _generate(s: Settings, sample: ImageTable, compute: Compute) -> list[Line]:
    encoder = _untrained(s, sample, compute)
    features = torch.randn(len(sample), encoder.network.features, generator=torch.Generator().manual_seed(0))
    lines, i, f = [], s.generate.image, s.generate.feature
    if i.enabled:
        rate = per_image(
            lambda n: train_image_generator(
                sample, features, i.model_copy(update={"images": n}), compute, s.seed, encoder=encoder
            ),
            i.batch,
        )
        lines.append(Line("generate-image", f"{i.loss}, {i.images:,} images", rate * i.images))
    if f.enabled:
        seen = features[:, : f.components or None] if f.form == "residual" else features  # what G and D work on
        rate = per_image(
            lambda n: train_feature_generator(seen, f.model_copy(update={"images": n}), compute, s.seed), f.batch
        )
        lines.append(Line("generate-feature", f"{f.loss}, {f.images:,} features", rate * f.images))
    return lines


def _trials(s: Settings, sample: ImageTable, compute: Compute, splits: int, images: int) -> Line:
    """Trials run one a core, with one thread each (see judge.workers), so that is how they are timed. Minting for
    export and the final classifier take about as long as one split more."""
    arms = [a for a in s.judge.arms if a.startswith("scratch")]
    rows = torch.arange(min(100, len(sample)))
    labels = torch.zeros(len(rows), dtype=torch.long)

    def train(images: int) -> object:
        short = s.classify.model_copy(update={"images": images})
        return fit_scratch(sample, rows, labels, policy("weak"), short, compute, classes=2, seed=0)

    f = s.classify.finetune
    tuned = sum(name.startswith("encoder-finetune") for name in s.judge.arms)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        each = per_image(train, s.classify.batch) * s.classify.images * len(arms)
        each += per_image(_finetuning(s, sample, compute), f.batch) * f.images * tuned if tuned else 0.0
        each += _propagation(s, sample, compute, images) if any(_uses_graph(name) for name in s.judge.arms) else 0.0
    finally:
        torch.set_num_threads(threads)
    workers = min(cores(), splits + 1) if compute.device.type == "cpu" else 1
    what = f"{len(s.judge.arms) * splits} trials, {len(arms) * splits} of them networks from scratch"
    return Line("trials", what + ", fine-tuned encoders too" * bool(tuned), each * (splits + 1) / workers)


def _uses_graph(arm: str) -> bool:
    """Whether it learns from propagated labels, or from children of images that have them."""
    return arm.startswith(("scratch-pseudo", "scratch-minted", "scratch-both", "encoder-propagate", "encoder-finetune"))


def _propagation(s: Settings, sample: ImageTable, compute: Compute, images: int) -> float:
    """Seconds of three graphs of so many images, and of two students taught by them (judge/situation.py)."""
    hidden = _untrained(s, sample, compute).hidden(sample)
    near, known = candidates(hidden), torch.full((len(sample),), -1)
    known[: min(100, len(sample) // 2)] = torch.arange(min(100, len(sample) // 2)) % 2
    start = time.perf_counter()
    propagated_scores(near.graph(hidden[:, :2]), known, 2, DECIDING)
    spread = time.perf_counter() - start
    fit_student(hidden, known, classes=2, seed=0)
    width = hidden.shape[1]
    each = (time.perf_counter() - start - spread) / enough(STEPS, int((known >= 0).sum()), width)
    students = each * sum(enough(steps, images, width) for steps in (STEPS, LESSON))
    return 3 * spread * images / len(sample) + students


def _finetuning(s: Settings, sample: ImageTable, compute: Compute) -> Callable[[int], object]:
    """Fine-tuning an encoder of random weights for so many images."""
    encoder = _untrained(s, sample, compute)
    hidden, known = encoder.hidden(sample), torch.full((len(sample),), -1)
    known[: min(100, len(sample) // 2)] = torch.arange(min(100, len(sample) // 2)) % 2
    head = Squares.of(hidden).fit(known, 2)

    def train(images: int) -> object:
        short = s.classify.finetune.model_copy(update={"images": images})
        return fit_finetuned(encoder, head, sample, hidden, known, short, compute, seed=0)

    return train


def _often(times: int, lines: list[Line]) -> list[Line]:
    """What is done once for each encoder seed."""
    if times == 1:
        return lines
    return [replace(line, what=f"{times} × {line.what}", seconds=times * line.seconds) for line in lines]


def estimate(settings: Settings, folder: Path, progress: ProgressOut = QUIET) -> Estimate:
    """Time a few steps of each stage on up to 2,000 of the images; loads the data, writes nothing to `folder`.
    UsageError for arms that there are not."""
    compute = Compute.choose(settings.device, settings.precision)
    judge = settings.judge.model_copy(update={"arms": chosen(settings)})
    settings, start = settings.model_copy(update={"judge": judge}), time.perf_counter()
    table = load(settings.data_source, settings.data, progress, settings.target, settings.labels)
    loading = Line("load", f"{len(table):,} images", time.perf_counter() - start)
    where = protocol.parts(table, settings)
    splits = [s for of in (protocol.comparison, protocol.curve, protocol.selection) for s in of(table, where, settings)]
    sample = table.take(where.pool[:SAMPLE])
    sample = replace(sample, labels=torch.full_like(sample.labels, -1))
    seeds, asked, pool = settings.judge.encoder_seeds, (settings, sample, compute), len(where.pool)
    splits = splits + (seeds - 1) * protocol.comparison(table, where, settings)
    stages: list[Callable[[], list[Line]]] = [
        lambda: _often(seeds, [_represent(*asked)]),
        lambda: [_look(*asked, pool)],
        lambda: _often(seeds, _generate(*asked)),
        lambda: [_trials(*asked, len(splits), pool)],
        lambda: [_judge(*asked, splits, len(where.val))],
    ]
    lines = [loading]
    with progress.task("timing a few steps", len(stages), unit="stages") as task:
        for number, stage in enumerate(stages, 1):
            lines += stage()
            task.update(number)
    channels, height, width = table.shape
    images = len(table) * channels * height * width * isinstance(table.images, torch.Tensor)
    vectors = build(form_of(sample, settings.represent))[0].features
    floats = len(where.pool) * 4 * (vectors + min(vectors, MOST) + channels * height * width)  # pixels: for copy checks
    tests = sum(len(split.test) for split in splits) * len(settings.judge.arms) * len(table.classes) * 4
    networks = len(splits) * len(settings.judge.arms) * MiB
    return Estimate(
        data=f"{table.name}: {len(where.pool):,} images to learn from, {channels}×{height}×{width}",
        lines=lines,
        memory=peak_memory() + images + floats,
        disk=tests + networks,
        disk_free=free_bytes(folder),
    )
