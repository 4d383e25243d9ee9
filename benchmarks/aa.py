"""A/A: one arm against itself, in real trainings. How often does the verdict claim a difference that is not there?

    python benchmarks/aa.py [--draws 40] [--orders 5] [--work runs/aa]

The arm: a small network from scratch on 10 labels of each digit, no augmentation. On every draw of labels it is trained
several times, from the same weights on the same labels in another batch order. All trials are tested on the same 600
training images that no draw touches; the test split is not read. Each experiment takes n draws and, on each, two
different orders as arms "A" and "A", and goes through the rule of `augmint run`, the test images' own error included.
Experiments overlap; those that share no draw are counted beside them. A killed benchmark goes on where it was.
Prints a table and writes benchmarks/results/aa.json.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load, save
from torch import Tensor

from augmint.augment import policy
from augmint.classify import fit_scratch
from augmint.config import resolve
from augmint.data import load as load_images
from augmint.data.draws import nested_draw
from augmint.data.table import ImageTable
from augmint.judge.decision import Outcome, decide
from augmint.measure.intervals import accuracy_interval, crossed_test_variance
from augmint.seeding import generator, key, permutation
from augmint.train import Compute
from augmint.train.checkpoint import atomic_write

LABELS, TESTED, EXPERIMENTS, SIZES = 10, 600, 2000, (8, 10, 20)
ARM = {"network": "cnn", "width": 8, "images": 3200, "batch": 32, "lr": 0.01}


def hits(table: ImageTable, rows: Tensor, tested: Tensor, draw: int, orders: int) -> NDArray[np.bool_]:
    """bool [orders, images]: which images each training of this draw got right."""
    settings, compute = resolve(overrides={"classify": ARM}).classify, Compute.choose("cpu", "fp32")
    chosen, found = rows[nested_draw(table.labels[rows], LABELS, 0, draw)], []
    for order in range(orders):
        shuffled = chosen[permutation(len(chosen), "aa", draw, order)]
        labels = table.labels[shuffled]
        model = fit_scratch(
            table, shuffled, labels, policy("none"), settings, compute, classes=10, seed=key("aa", draw)
        )
        found.append((model.logits(table.gather(tested)).argmax(1) == table.labels[tested]).numpy())
    return np.stack(found)


def trials(draws: int, orders: int, work: Path) -> NDArray[np.bool_]:
    """bool [draws, orders, images], kept draw by draw."""
    table = load_images("digits")
    train = table.rows("train")
    train = train[permutation(len(train), "aa")]
    tested, rows = train[:TESTED], train[TESTED:].sort().values
    found = []
    for draw in range(draws):
        path = work / f"draw-{draw:03d}-of-{orders}-orders.safetensors"
        if not path.exists():
            made = hits(table, rows, tested, draw, orders)
            atomic_write(path, save({"hits": made}))
        found.append(load(path.read_bytes())["hits"].astype(bool))
    return np.stack(found)


def experiment(hit: NDArray[np.bool_], draws: NDArray[np.int64], first: int, second: NDArray[np.int64]) -> Outcome:
    """The verdict on two orders of these draws: `first` against `second` further, round the orders."""
    orders = hit.shape[1]
    a, b = (np.arange(len(draws)) + first) % orders, (np.arange(len(draws)) + first + second) % orders
    d = hit[draws, a].astype(np.float64) - hit[draws, b]
    return decide(d.mean(1), test_variance=float(crossed_test_variance(d)), test_images=d.shape[1])


def disjoint(hit: NDArray[np.bool_], n: int) -> list[Outcome]:
    """Experiments that share no draw."""
    blocks = np.arange(len(hit) // n * n).reshape(-1, n)
    return [experiment(hit, block, 0, np.ones(n, dtype=np.int64)) for block in blocks]


def line(hit: NDArray[np.bool_], n: int) -> dict[str, object]:
    """What 2,000 experiments of n draws say."""
    rng, found = generator("aa", n), []
    for _ in range(EXPERIMENTS):
        draws = rng.choice(len(hit), n, replace=False)
        found.append(experiment(hit, draws, int(rng.integers(10)), rng.integers(1, hit.shape[1], n)))
    alone = disjoint(hit, n)
    words = [o.verdict for o in found]
    claimed = sum(o.verdict in ("helped", "hurt") for o in alone)
    return {
        "draws": n,
        **{word: words.count(word) / EXPERIMENTS for word in ("helped", "hurt", "equivalent", "undecided")},
        "covered": float(np.mean([o.low <= 0 <= o.high for o in found])),
        "half_width": float(np.mean([o.high - o.low for o in found])) / 2,
        "disjoint": len(alone),
        "disjoint_claims": claimed,
        "disjoint_interval": accuracy_interval(claimed, len(alone)),
    }


def correlation(hit: NDArray[np.bool_]) -> float:
    """Of the accuracies of two orders over draws: what pairing takes out."""
    table = hit.mean(2)
    pairs = [(i, j) for i in range(table.shape[1]) for j in range(i)]
    return float(np.mean([np.corrcoef(table[:, i], table[:, j])[0, 1] for i, j in pairs]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--orders", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("runs/aa"), help="where trials are kept")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "aa.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    hit = trials(options.draws, options.orders, options.work)
    rows = [line(hit, n) for n in SIZES if n <= len(hit)]
    accuracy = hit.mean(2)
    facts = {
        "draws": len(hit),
        "orders": hit.shape[1],
        "test_images": hit.shape[2],
        "accuracy": float(accuracy.mean()),
        "std_over_draws": float(accuracy.mean(1).std(ddof=1)),
        "std_over_orders": float(accuracy.std(1, ddof=1).mean()),
        "correlation": correlation(hit),
        "rows": rows,
        "cpu_seconds": time.process_time() - start,
        "load_average": os.getloadavg()[0],
    }
    print(
        f"accuracy {facts['accuracy']:.1%}, ± {facts['std_over_draws']:.1%} over draws, "
        f"± {facts['std_over_orders']:.1%} over batch orders, correlation {facts['correlation']:.2f}"
    )
    names = ("helped", "hurt", "equivalent", "undecided", "covered")
    print(f"{'draws':>5}" + "".join(f"{name:>12}" for name in names) + f"{'± points':>10}{'without overlap':>18}")
    for row in rows:
        shares = "".join(f"{row[name]:12.1%}" for name in names)
        claims = f"{row['disjoint_claims']} of {row['disjoint']}"
        print(f"{row['draws']:5}{shares}{100 * row['half_width']:10.2f}{claims:>18}")
    atomic_write(options.out, json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
