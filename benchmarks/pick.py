"""Which images to label: `augmint pick` (typical and diverse) beside random choice, on Fashion-MNIST.

    python benchmarks/pick.py [--images 200000] [--work runs/pick]

One short encoder learns from 20,000 training images without labels. Among them 10 or 40 are chosen to be labelled, as
many as 1 or 4 a class, ten times over: at random; at random with as many of each class, which nobody can do who has
not seen the labels; by `pick`. Other 5,000 training images judge: logistic regression on the features, and labels
propagated over the graph of both. The test split is not read. An encoder that was finished is
kept, so a killed benchmark need not learn it again.
Prints a table and writes benchmarks/results/pick.json.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from augmint.classify import candidates, fit_logistic, propagate
from augmint.config import resolve
from augmint.data import load
from augmint.data.draws import nested_draw
from augmint.represent import Encoder, train_encoder
from augmint.represent.typical import pick
from augmint.seeding import permutation
from augmint.train import Compute
from augmint.train.checkpoint import atomic_write

POOL, JUDGED, REPEATS, BUDGETS = 20_000, 5_000, 10, (10, 40)
Choice = Callable[[int, int], Tensor]  # budget, repeat → rows of the pool


def learnt(images: int, work: Path) -> tuple[Tensor, Tensor, float]:
    """Features [25,000, D] and labels of pool and judged images, and the CPU seconds of the encoder."""
    table = load("fashion-mnist")
    rows = table.rows("train")
    rows = rows[permutation(len(rows), "pick benchmark")[: POOL + JUDGED]]
    table, path = table.take(rows), work / f"encoder-{images}.safetensors"
    compute = Compute.choose("cpu")
    if not path.exists():
        settings = resolve("fast", overrides={"represent": {"images": images}}).represent
        start = time.process_time()
        train_encoder(table.take(torch.arange(POOL)), settings, compute, seed=0).save(path)
        atomic_write(path.with_suffix(".json"), json.dumps(time.process_time() - start))
    features = Encoder.load(path, compute).features(table)
    return features, table.labels, float(json.loads(path.with_suffix(".json").read_text()))


def choices(features: Tensor, labels: Tensor) -> dict[str, Choice]:
    pool, none = features[:POOL], torch.empty(0, dtype=torch.int64)
    return {
        "random": lambda budget, i: permutation(POOL, "random choice", i)[:budget],
        "random, balanced": lambda budget, i: nested_draw(labels[:POOL], budget // 10, 0, i),
        "pick": lambda budget, i: pick(pool, budget, none, i).rows,
    }


def judge(features: Tensor, labels: Tensor, graph: object, rows: Tensor) -> dict[str, float]:
    """Accuracies on the judged images from the labels of these rows, and how many classes they have."""
    pool, judged = features[:POOL], labels[POOL:]
    settings = resolve().classify
    head = fit_logistic(
        pool[rows], labels[rows], classes=10, c=settings.logistic_c, mean=pool.mean(0), scale=pool.std(0)
    )
    known = torch.full((len(features),), -1)
    known[rows] = labels[rows]
    guesses = {"logistic": head.logits(features[POOL:]), "propagated": propagate(graph, known, 10)[POOL:]}
    found = {name: float((guess.argmax(1) == judged).float().mean()) for name, guess in guesses.items()}
    return {**found, "classes": len(torch.unique(labels[rows]))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200_000, help="length of the encoder's training")
    parser.add_argument("--work", type=Path, default=Path("runs/pick"), help="where the encoder is kept")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "pick.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    features, labels, seconds = learnt(options.images, options.work)
    graph = candidates(features).graph()
    facts = {"images": options.images, "encoder_cpu_seconds": seconds, "repeats": REPEATS, "rows": []}
    print(f"{'labels':>6}  {'choice':18}{'logistic %':>14}{'propagated %':>16}{'classes':>10}")
    for budget in BUDGETS:
        for name, choose in choices(features, labels).items():
            found = [judge(features, labels, graph, choose(budget, i)) for i in range(REPEATS)]
            row = {"labels": budget, "choice": name, "all": found}
            for score in found[0]:
                values = np.array([f[score] for f in found])
                row |= {score: float(values.mean()), f"{score}_std": float(values.std(ddof=1))}
            facts["rows"].append(row)
            cells = [f"{100 * row[s]:.1f} ± {100 * row[s + '_std']:.1f}" for s in ("logistic", "propagated")]
            print(f"{budget:6}  {name:18}{cells[0]:>14}{cells[1]:>16}{row['classes']:10.1f}")
    facts |= {"load_average": os.getloadavg()[0]}
    atomic_write(options.out, json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
