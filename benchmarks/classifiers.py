"""Classifiers for few labels on one encoder, on Fashion-MNIST: which is best with 1, 4, 10, 40 labels a class?

    python benchmarks/classifiers.py [--images 120000] [--work runs/classifiers] [--draws 10]

One encoder learns from 55,000 training images without labels. Of those 20,000 are what classifiers may see; labels are
drawn among them, ten times over. The other 5,000 training images judge: among the rows, without labels (transductive),
or as new rows (inductive). Once more with a pool in which some classes are ten times as frequent as others (then the
judged count by these frequencies): what is a wrong prior worth? The test split is not read. A finished encoder is kept.
Prints a table and writes --out, by default benchmarks/results/classifiers.json (not in the
repository yet; the numbers in docs/log.md are of an earlier state).
"""

import argparse
import json
import os
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augmint.classify import classifier, graph_of
from augmint.classify.graph import DECIDING, neighbour_weights, propagated_scores
from augmint.classify.linear import Squares
from augmint.classify.volume import estimated_prior, poisson_mbo, volume_offsets
from augmint.config import resolve
from augmint.data import load
from augmint.data.draws import nested_draw
from augmint.measure.calibration import expected_calibration_error
from augmint.measure.knn import nearest
from augmint.represent import Encoder, train_encoder
from augmint.seeding import permutation
from augmint.train import Compute
from augmint.train.checkpoint import atomic_write

JUDGED, POOL, MOST = 5_000, 20_000, 30
EACH = (1, 4, 10, 40)
UNIFORM = np.full(10, 0.1)
SKEWED = np.arange(1, 11) / 55  # frequencies of the classes in a pool that is not balanced
PUBLISHED = {1: 62.0, 4: 72.1, 10: 76.1, 40: 79.5}  # PoissonMBO on VAE features, transductive
Array = np.ndarray[Any, Any]


def learnt(images: int, work: Path) -> tuple[Tensor, Tensor, Tensor, float]:
    """Hidden vectors and features of judged and pool, their labels, and the CPU seconds of the encoder."""
    table = load("fashion-mnist")
    rows = table.rows("train")
    rows = rows[permutation(len(rows), "classifiers benchmark")]
    path, compute = work / f"encoder-{images}.safetensors", Compute.choose("cpu")
    if not path.exists():
        settings, start = resolve("fast", overrides={"represent": {"images": images}}).represent, time.process_time()
        train_encoder(table.take(rows[JUDGED:]), settings, compute, seed=0).save(path)
        atomic_write(path.with_suffix(".json"), json.dumps(time.process_time() - start))
    some, encoder = table.take(rows[: JUDGED + POOL]), Encoder.load(path, compute)
    hidden = encoder.hidden(some)
    return hidden, encoder.whitening(hidden), some.labels, float(json.loads(path.with_suffix(".json").read_text()))


class Graphs:
    """The graph of all rows (transductive), that of the pool, and the neighbours in it of the judged."""

    def __init__(self, features: Tensor) -> None:
        pool = features[JUDGED:]
        self.all = nearest(features, features, MOST, exclude_self=True)
        self.pool = nearest(pool, pool, MOST, exclude_self=True)
        self.new = nearest(features[:JUDGED], pool, MOST)

    def of(self, transductive: bool, k: int) -> Any:
        distances, rows = self.all if transductive else self.pool
        return graph_of(distances[:, :k], rows[:, :k])

    def judged(self, transductive: bool, scores: Array, k: int) -> Array:
        """Scores of the judged rows from those of the graph's."""
        if transductive:
            return scores[:JUDGED]
        weights, rows = neighbour_weights(self.new[0][:, :k]), self.new[1][:, :k]
        mean = (weights[:, :, None] * torch.from_numpy(scores)[rows]).sum(1) / weights.sum(1, keepdim=True)
        return mean.numpy()


@dataclass(eq=False)
class Bench:
    """Everything that all draws share."""

    hidden: Tensor
    features: Tensor
    labels: Tensor
    graphs: Graphs

    def __post_init__(self) -> None:
        self.squares = Squares.of(self.hidden[JUDGED:])

    def heads(self, y: Array) -> dict[str, Array]:
        """Logistic and prototype, on plain and on whitened vectors."""
        found = {}
        for where, rows in (("plain", self.hidden), ("whitened", self.features)):
            for name in ("logistic", "prototype"):
                model = classifier(name, folds=0).fit(rows[JUDGED:].numpy(), y)
                found[f"{name}, {where}"] = np.log(model.predict_proba(rows[:JUDGED].numpy()) + 1e-12)
        return found

    def linear(self, decision: Array) -> Array:
        """Scores of all rows by least squares from the decisions for the pool."""
        return self.squares.fit(torch.from_numpy(decision), 10).logits(self.hidden).double().numpy()

    def spread(self, y: Array, transductive: bool, k: int = 10, damping: float = 1e-3) -> Array:
        known = np.concatenate([np.full(JUDGED, -1), y]) if transductive else y
        return propagated_scores(self.graphs.of(transductive, k), torch.from_numpy(known), 10, damping)

    def propagated(self, y: Array, transductive: bool, mbo: bool) -> dict[str, Array]:
        """Poisson learning, volume-constrained or not, and heads that learn from its decisions."""
        scores, found = self.spread(y, transductive), {}
        constrained = {
            "": scores,
            ", uniform": scores + volume_offsets(scores, UNIFORM),
            ", estimated": scores + volume_offsets(scores, estimated_prior(scores)),
        }
        if mbo:
            known = torch.from_numpy(np.concatenate([np.full(JUDGED, -1), y]) if transductive else y)
            graph = self.graphs.of(transductive, 10)
            constrained["-mbo, uniform"] = poisson_mbo(graph, known, UNIFORM, scores)
        for name, given in constrained.items():
            found[f"propagate{name}"] = self.graphs.judged(transductive, given, 10)
            if not transductive:
                found[f"linear on propagate{name}"] = self.linear(given.argmax(1))[:JUDGED]
        if not transductive:
            damped = self.spread(y, False, damping=DECIDING)
            found["propagate, damped"] = self.graphs.judged(False, damped, 10)
            found["linear on propagate, damped"] = self.linear(damped.argmax(1))[:JUDGED]
            student = classifier("pseudo", folds=0).fit(self.hidden[JUDGED:].numpy(), y)
            found["student of graphs that agree"] = np.log(student.predict_proba(self.hidden[:JUDGED].numpy()) + 1e-12)
        return found

    def variations(self, y: Array) -> dict[str, Array]:
        """Of the graph, transductive."""
        found = {}
        for k, damping in ((20, 1e-3), (30, 1e-3), (10, 1e-4), (10, 1e-2)):
            scores = self.spread(y, True, k, damping)
            found[f"k {k}, damping {damping:g}"] = scores[:JUDGED]
            found[f"k {k}, damping {damping:g}, uniform"] = (scores + volume_offsets(scores, UNIFORM))[:JUDGED]
        return found

    def two_steps(self, y: Array, head: Array, spread: Array, linear: Array) -> dict[str, Array]:
        """Heads on pseudo-labels and means of two classifiers, inductive. The others: logits of three classifiers."""
        found = {f"logistic + {w} propagate": head + w * spread for w in (1, 2, 4)}
        found |= {f"logistic + {w} linear": head + w * linear for w in (0.5, 1, 2)}
        scores = self.spread(y, False)
        scores = scores + volume_offsets(scores, UNIFORM)
        sure, guess = torch.from_numpy(scores).softmax(1).numpy().max(1), scores.argmax(1)
        best = [c[np.argsort(-sure[c])[:300]] for c in (np.flatnonzero(guess == k) for k in range(10))]
        rows = np.setdiff1d(np.concatenate(best), np.flatnonzero(y >= 0))
        pool = self.hidden[JUDGED:].numpy()
        model = classifier("logistic", folds=0).fit(pool, y, extra=(pool[rows], guess[rows], 0.1))
        found["logistic on the surest 300"] = np.log(model.predict_proba(self.hidden[:JUDGED].numpy()) + 1e-12)
        return found


def drawn(bench: Bench, each: int, draw: int) -> Array:
    """The labels of the pool, -1 for all but `each` of a class."""
    labels = bench.labels[JUDGED:]
    rows, y = nested_draw(labels, each, 0, draw), np.full(len(labels), -1)
    y[rows] = labels[rows].numpy()
    return y


def one(bench: Bench, each: int, draw: int, more: bool) -> dict[str, float]:
    """Accuracy of every method on the judged rows."""
    y = drawn(bench, each, draw)
    found = {f"I {name}": scores for name, scores in bench.heads(y).items()}
    found |= {f"T {name}": scores for name, scores in bench.propagated(y, True, more).items()}
    found |= {f"I {name}": scores for name, scores in bench.propagated(y, False, False).items()}
    found |= {f"T {name}": scores for name, scores in bench.variations(y).items()} if more else {}
    names = ("I logistic, plain", "I propagate, uniform", "I linear on propagate, damped")
    logits = [torch.from_numpy(found[name]).log_softmax(1).numpy() for name in names]
    found |= {f"I {name}": scores for name, scores in bench.two_steps(y, *logits).items()}
    truth = bench.labels[:JUDGED].numpy()
    return {name: float((scores.argmax(1) == truth).mean()) for name, scores in found.items()}


def unbalanced(bench: Bench, draws: int = 3) -> dict[str, dict[int, list[float]]]:
    """Accuracy of propagation on a skewed pool, judged rows counted by the same frequencies."""
    labels = bench.labels[JUDGED:]
    fewest = np.bincount(labels.numpy()).min()
    places = [torch.nonzero(labels == c)[: round(fewest * SKEWED[c] / SKEWED.max()), 0] for c in range(10)]
    rows = torch.cat([torch.arange(JUDGED), torch.cat(places) + JUDGED])
    some = Bench(bench.hidden[rows], bench.features[rows], bench.labels[rows], Graphs(bench.features[rows]))
    truth = some.labels[:JUDGED].numpy()
    weights, found = SKEWED[truth] / np.bincount(truth)[truth], defaultdict(lambda: defaultdict(list))
    for each in EACH[:3]:
        for draw in range(draws):
            y = drawn(some, each, draw)
            heads = {"logistic, plain": some.heads(y)["logistic, plain"]}
            for name, scores in {**heads, **some.propagated(y, False, False)}.items():
                found[f"I {name}"][each].append(float(weights @ (scores.argmax(1) == truth)))
    return found


def calibration(bench: Bench, draws: int = 2) -> list[dict[str, Any]]:
    """Expected calibration error of predict_proba on the judged rows, with and without the temperature."""
    kinds = {"logistic": bench.hidden, "prototype": bench.hidden, "propagate": bench.features, "pseudo": bench.hidden}
    found = []
    for name, rows in kinds.items():
        for each in EACH:
            errors = defaultdict(list)
            for draw in range(draws):
                model = classifier(name).fit(rows[JUDGED:].numpy(), drawn(bench, each, draw))
                probabilities = torch.from_numpy(model.predict_proba(rows[:JUDGED].numpy()))
                raw = (probabilities.log() * model.temperature_).softmax(1)
                errors["calibrated"].append(expected_calibration_error(probabilities, bench.labels[:JUDGED]))
                errors["raw"].append(expected_calibration_error(raw, bench.labels[:JUDGED]))
            found.append({"name": name, "each": each, **{k: float(np.mean(v)) for k, v in errors.items()}})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=120_000, help="length of the encoder's training")
    parser.add_argument("--work", type=Path, default=Path("runs/classifiers"), help="where the encoder is kept")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--more", type=int, default=3, help="draws that PoissonMBO and other graphs are tried on, too")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "classifiers.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    hidden, features, labels, seconds = learnt(options.images, options.work)
    bench = Bench(hidden, features, labels, Graphs(features))
    table: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    facts: dict[str, Any] = {"images": options.images, "encoder_cpu_seconds": seconds, "published": PUBLISHED}
    for draw in range(options.draws):
        for each in EACH:
            for name, accuracy in one(bench, each, draw, draw < options.more).items():
                table[name][str(each)].append(accuracy)
        facts |= {"accuracy": table, "cpu_seconds": time.process_time(), "load_average": os.getloadavg()[0]}
        atomic_write(options.out, json.dumps(facts, indent=1) + "\n")  # a killed benchmark leaves what it has
        print(f"draw {draw}: {time.process_time():.0f} CPU s", flush=True)
    print(f"{'':36}" + "".join(f"{each:>14}" for each in EACH))
    for name, row in table.items():
        cells = [f"{100 * np.mean(row[n]):.1f} ± {100 * np.std(row[n], ddof=1):.1f}" for n in map(str, EACH)]
        print(f"{name:36}" + "".join(f"{cell:>14}" for cell in cells) + f"{len(row['1']):4} draws")
    facts["unbalanced"] = unbalanced(bench)
    for name, row in facts["unbalanced"].items():
        print(f"unbalanced: {name:36}" + "".join(f"{100 * np.mean(row[n]):14.1f}" for n in EACH[:3]))
    facts["calibration"] = calibration(bench)
    for row in facts["calibration"]:
        print(f"{row['name']:10} {row['each']:3}  ECE {row['raw']:.3f} → {row['calibrated']:.3f}")
    atomic_write(options.out, json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
