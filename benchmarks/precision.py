"""Is an encoder worth as much when it is trained in bf16 as in fp32? Same seeds, same images, same number of steps.

    python benchmarks/precision.py [--data digits fashion-mnist] [--images 50000] [--seeds 3]

Everything as `--preset fast` has it, without the decoder. kNN: 5 neighbours by whitened features, on training images
that were kept out (a tenth, at most 5,000), among 20,000 others; the network answers in the precision that it was
trained in. A difference of at most half a point is wanted. Seconds say what this machine makes of bf16: with
instructions for it half the time, without them several times as long.

What is done is kept in benchmarks/results/precision.json, so the same command goes on; delete it to start anew.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from augmint.config import resolve
from augmint.data import load
from augmint.measure.knn import knn_accuracy
from augmint.represent import train_encoder
from augmint.seeding import permutation
from augmint.train import Compute
from augmint.train.checkpoint import atomic_write

OUT = Path(__file__).parent / "results" / "precision.json"
BANK, JUDGED = 20_000, 5_000


def trial(data: str, images: int, precision: str, seed: int) -> dict[str, float]:
    """kNN of one encoder, and the seconds of its training."""
    table = load(data)
    train = table.rows("train")
    order = train[permutation(len(train), 0, "precision")]
    judged, pool = order[: min(JUDGED, len(order) // 10)], order[min(JUDGED, len(order) // 10) :]
    settings = resolve("fast").represent.model_copy(update={"latent": 0, "images": images})
    start = time.perf_counter()
    encoder = train_encoder(table.take(pool), settings, Compute.choose("cpu", precision), seed)
    seconds = time.perf_counter() - start
    bank, queries = (encoder.features(table.take(rows)) for rows in (pool[:BANK], judged))
    knn = knn_accuracy(bank, table.labels[pool[:BANK]], queries, table.labels[judged], 5)
    return {"knn": knn, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["digits", "fashion-mnist"])
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    found = json.loads(options.out.read_text()) if options.out.exists() else {}
    for data in options.data:
        differences = []
        for seed in range(options.seeds):
            pair = []
            for precision in ("fp32", "bf16"):
                cell = f"{data}/{options.images}/{precision}/{seed}"
                if cell not in found:
                    found[cell] = trial(data, options.images, precision, seed) | {"threads": torch.get_num_threads()}
                    atomic_write(options.out, json.dumps(found, indent=1) + "\n")
                pair.append(found[cell])
            differences.append(100 * (pair[1]["knn"] - pair[0]["knn"]))
            cells = "  ".join(
                f"{p}: kNN {100 * c['knn']:.1f}, {c['seconds']:.0f} s"
                for p, c in zip(("fp32", "bf16"), pair, strict=True)
            )
            print(f"{data}, seed {seed}  {cells}", flush=True)
        spread = statistics.stdev(differences) if len(differences) > 1 else float("nan")
        print(
            f"{data}: bf16 - fp32 {statistics.mean(differences):+.2f} ± {spread:.2f} points (± 0.5 wanted)", flush=True
        )


if __name__ == "__main__":
    main()
