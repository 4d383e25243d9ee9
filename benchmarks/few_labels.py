"""How accurate with 1, 4, 10, 40 labels a class? Fashion-MNIST, the two heads on a frozen encoder and fine-tuning it.

    python benchmarks/few_labels.py [--images 120000] [--work runs/classifiers] [--draws 10] [--labels 1 4 10 40]

One encoder learns from 55,000 training images without labels. Of those 20,000 are what classifiers may see; labels are
drawn among them. The other 5,000 training images judge. The test split is not read. A finished encoder is kept (it is
that of benchmarks/classifiers.py), and so is every finished trial: the same command goes on.
Prints a table and writes benchmarks/results/few_labels.json.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from classifiers import EACH, JUDGED, POOL, learnt

from augmint.classify import candidates
from augmint.config import Settings, resolve
from augmint.data import load
from augmint.data.draws import nested_draw
from augmint.data.table import ImageTable
from augmint.judge import arms
from augmint.judge.protocol import Split
from augmint.judge.situation import Material, Situation
from augmint.report.words import label
from augmint.represent import Encoder
from augmint.seeding import permutation
from augmint.train import Compute
from augmint.train.checkpoint import atomic_write

ARMS = ("encoder", "encoder-propagate", "encoder-finetune")
WANTED = {1: 70, 4: 79, 10: 83, 40: 87}  # of fine-tuning, on the test split, over ten draws


def material(images: int, work: Path, settings: Settings) -> tuple[Material, ImageTable, torch.Tensor]:
    """The pool with everything that arms look at; the judged images and their hidden vectors."""
    hidden, features, _, _ = learnt(images, work)
    table, compute = load("fashion-mnist"), Compute.choose("cpu")
    rows = table.rows("train")
    rows = rows[permutation(len(rows), "classifiers benchmark")][: JUDGED + POOL]
    judged, pool = table.take(rows[:JUDGED]), table.take(rows[JUDGED:])
    shown = pool.with_labels(torch.full((POOL,), -1))
    encoder = Encoder.load(work / f"encoder-{images}.safetensors", compute)
    near = candidates(features[JUDGED:])
    every, none = torch.arange(POOL), torch.arange(0)
    found = Material(
        pool, every, shown, hidden[JUDGED:], features[JUDGED:], near, none, settings, compute, encoder=encoder
    )
    return found, judged, hidden[:JUDGED]


def one(m: Material, judged: ImageTable, hidden: torch.Tensor, arm: str, each: int, draw: int) -> dict[str, Any]:
    """Accuracy of one arm under one draw, the recall of every class, and its CPU seconds."""
    rows = nested_draw(m.table.labels, each, 0, draw)
    start = time.process_time()
    model = arms.find(arm)(Situation(m, Split("draw", draw, rows, torch.arange(0), draw)))
    seconds = time.process_time() - start
    right = model.logits(hidden if arm != ARMS[-1] else judged).argmax(1) == judged.labels  # type: ignore[arg-type]
    recall = [float(right[judged.labels == c].double().mean()) for c in range(10)]
    return {"arm": arm, "each": each, "draw": draw, "accuracy": float(right.double().mean()), "recall": recall,
            "cpu_seconds": seconds}  # fmt: skip


def rows_of(trials: list[dict[str, Any]], labels: list[int]) -> list[str]:
    """The table: mean ± standard deviation over draws; last the gain of fine-tuning with its standard error."""
    lines = [f"{'':36}" + "".join(f"{each:>16}" for each in labels)]
    by = {(t["arm"], t["each"], t["draw"]): 100 * t["accuracy"] for t in trials}

    def row(name: str, cell: Any) -> str:
        return f"{name:36}" + "".join(f"{cell(each):>16}" for each in labels)

    def of(arm: str, each: int) -> np.ndarray[Any, Any]:
        draws = sorted({d for (_, e, d) in by if e == each and all((a, e, d) in by for a in ARMS)})
        return np.array([by[arm, each, d] for d in draws])

    def spread(values: np.ndarray[Any, Any], root: bool = False) -> str:
        if len(values) < 2:
            return f"{values.mean():.1f}" if len(values) else "–"
        wide = values.std(ddof=1) / (len(values) ** 0.5 if root else 1)
        return f"{values.mean():.1f} ± {wide:.1f}"

    for arm in ARMS:
        lines.append(row(f"{arm} ({label(arm)})", lambda each, arm=arm: spread(of(arm, each))))
    lines.append(
        row("gain of fine-tuning ± its error", lambda each: spread(of(ARMS[2], each) - of(ARMS[1], each), True))
    )
    lines.append(row("wanted (test split, ten draws)", lambda each: str(WANTED.get(each, "–"))))
    lines.append(row("draws", lambda each: str(len(of(ARMS[0], each)))))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=120_000, help="length of the encoder's training")
    parser.add_argument("--work", type=Path, default=Path("runs/classifiers"), help="where the encoder is kept")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--labels", type=int, nargs="+", default=list(EACH), help="labels a class")
    parser.add_argument("--finetune", type=int, help="length of the fine-tuning; default that of the settings")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "few_labels.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    length = {} if options.finetune is None else {"classify": {"finetune": {"images": options.finetune}}}
    settings = resolve("fast", overrides=length)
    m, judged, hidden = material(options.images, options.work, settings)
    facts = {"encoder_images": options.images, "finetune": settings.classify.finetune.model_dump(), "wanted": WANTED}
    kept = json.loads(options.out.read_text()) if options.out.exists() else {}
    same = all(kept.get(k) == json.loads(json.dumps(facts[k])) for k in facts)
    trials: list[dict[str, Any]] = kept.get("trials", []) if same else []
    done = {(t["arm"], t["each"], t["draw"]) for t in trials}
    for draw in range(options.draws):
        for each in options.labels:
            for arm in ARMS:
                if (arm, each, draw) not in done:
                    trials.append(one(m, judged, hidden, arm, each, draw))
                    atomic_write(options.out, json.dumps({**facts, "trials": trials}, indent=1) + "\n")
            print(*rows_of(trials, [each])[1:4], sep="\n", flush=True)
    print(*rows_of(trials, options.labels), sep="\n")


if __name__ == "__main__":
    main()
