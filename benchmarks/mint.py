"""Minted images a second, generation and filters, at 32 × 32 in colour beside a pool of 50,000 images.

    python benchmarks/mint.py [--count 20000] [--workers 2] [--rounds 3]

Networks have the sizes of the presets and hardly any training: speed does not depend on their weights. The pool is
smooth random pictures. Everything counts but reading the pool once: D's look at the parents, drawing, all scores
(nearest of 50,000 real images, D, classifier), near-duplicates, caps. Writes benchmarks/results/mint.json, with the
share of each part on one core.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from augmint.classify.scratch import ScratchClassifier, build
from augmint.config import ImageGeneratorSettings, MintSettings, RepresentSettings
from augmint.data.table import ImageTable
from augmint.generate.image import train_image_generator
from augmint.judge.workers import over_cores
from augmint.mint import Thresholds, Wish, Work, filters, many, mint_many
from augmint.mint.distances import nearest_images, to_parents
from augmint.mint.draw import judge, look
from augmint.represent import train_encoder
from augmint.seeding import torch_generator
from augmint.train import Compute

SHAPE, CLASSES, PARENTS = (3, 32, 32), 10, 3000


def smooth(count: int) -> torch.Tensor:
    """uint8 [count, 3, 32, 32]: 5 × 5 random colours, enlarged."""
    small = torch.rand(count, 3, 5, 5, generator=torch_generator("benchmark"))
    parts = [torch.nn.functional.interpolate(p, SHAPE[1:], mode="bicubic") for p in torch.split(small, 5000)]
    return (torch.cat(parts).clamp(0, 1) * 255).byte()


def pool_of(count: int) -> ImageTable:
    names, row = np.array([str(i) for i in range(count)]), torch.arange(count)
    labels = row % CLASSES
    split = torch.zeros(count, dtype=torch.int8)
    return ImageTable(smooth(count), labels, names, split, row, torch.ones(count), tuple("0123456789"), names)


def work_of(pool: ImageTable, compute: Compute) -> Work:
    some = pool.take(torch.arange(2000))
    encoder = train_encoder(some, RepresentSettings(images=256, latent=0), compute, seed=0)
    learn = ImageGeneratorSettings(images=640, zoom=True)  # as presets have it
    generator = train_image_generator(some, encoder.features(some), learn, compute, seed=0, encoder=encoder)
    facts = {"network": "cnn", "shape": list(SHAPE), "width": 32, "classes": CLASSES}
    network = compute.place(build("cnn", SHAPE, 32, CLASSES)).eval()
    model = ScratchClassifier(network, facts, compute)
    thresholds = Thresholds(-1e9, 1e9, 0.0, 0.0, {})  # hardly anything is rejected: the most work for what follows
    parents = torch.arange(PARENTS)
    settings = MintSettings(agreement=0.0, per_parent=1000)
    return Work(
        generator, pool, parents, pool.labels[parents], lambda x: model.logits(x).softmax(1), settings, thresholds
    )


def parts(work: Work) -> dict[str, float]:
    """Microseconds an image of each part, one core; each parent is looked at once, however many children it has."""
    mint = many._Mint(work, Wish(10, False, 0), Path("unused"))
    steps, places = mint.place(range(1))
    rows, labels, count = work.parents[places], work.labels[places], len(places)
    images, looked = mint.draw(rows, steps), look(work.generator, work.pool, rows)
    pieces: dict[str, Callable[[], object]] = {
        "draw": lambda: mint.draw(rows, steps),
        "nearest real image": lambda: nearest_images(images, work.pool, small=mint.small),
        "look at parents": lambda: look(work.generator, work.pool, rows),
        "realness": lambda: judge(work.generator, images, looked, torch.arange(count)),
        "classifier": lambda: filters.agreement(work.classifier(images), labels),
        "contrast": lambda: filters.contrast(images),
        "to parents": lambda: to_parents(images, work.pool, rows),
    }
    found = {}
    for name, piece in pieces.items():
        piece()
        start = time.process_time()
        piece()
        found[name] = (time.process_time() - start) / count * 1e6
    return found


def main() -> None:
    ask = argparse.ArgumentParser()
    ask.add_argument("--count", type=int, default=20_000)
    ask.add_argument("--pool", type=int, default=50_000)
    ask.add_argument("--workers", type=int, default=2)
    ask.add_argument("--rounds", type=int, default=3)
    a = ask.parse_args()
    torch.set_num_threads(1)
    compute = Compute.choose("cpu", "auto")
    work = work_of(pool_of(a.pool), compute)
    micro = parts(work)
    for name, value in micro.items():
        print(f"{name:20} {value:8.1f} µs an image", flush=True)
    torch.set_num_threads(a.workers)  # of this process, which looks for near-duplicates; workers have one each
    rates, processor = [], []
    for number in range(a.rounds):
        with tempfile.TemporaryDirectory() as folder:
            wall, cpu = time.perf_counter(), os.times()
            minted = mint_many(
                work,
                Wish(a.count, False, number),
                Path(folder),
                lambda make, pieces: over_cores(make, pieces, a.workers, lambda: None),
            )
            wall, now = time.perf_counter() - wall, os.times()
        used = sum(now[:4]) - sum(cpu[:4])
        drawn = len(minted.reason)
        rates.append(drawn / wall)
        processor.append(drawn / used)
        print(f"{drawn:,} drawn, {int(minted.kept.sum()):,} kept: {wall:.1f} s, {used:.1f} CPU s")
    found = {
        "machine": platform.processor() or platform.machine(),
        "precision": "bf16" if compute.bf16 else "fp32",
        "pool": a.pool,
        "workers": a.workers,
        "drawn_per_second": statistics.median(rates),
        "drawn_per_cpu_second": statistics.median(processor),
        "microseconds": micro,
    }
    print(f"{found['drawn_per_second']:,.0f} images/s by the clock, {found['drawn_per_cpu_second']:,.0f} a CPU second")
    target = Path(__file__).parent / "results" / "mint.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
