"""Few labels: augmint beside what people would use instead, on the same label draws and test images.

    augmint run fashion-mnist --labels-per-class 10 --seed 1 --preset fast --out runs/fashion
    python benchmarks/few_labels_vs_peers.py runs/fashion [--cells poisson …] [--draws 10]

The run gives the encoder, the images to learn from and the seed of the draws. At 1, 4, 10 and 40 labels a class:

- augmint: the arms `encoder` and `encoder-propagate`, as every run fits them, and the latter told how frequent the
  classes truly are (`classify.prior`), as PoissonMBO is;
- scikit-learn: LabelSpreading (its kNN kernel, neighbours found exactly beforehand) and SelfTrainingClassifier over
  logistic regression (20,000 of the unlabelled images; on the first 100 principal components of our vectors);
- graphlearning: Poisson learning, whose graph holds the test images, too (it knows no new ones), and PoissonMBO,
  which besides is told how frequent the classes truly are;
- these each on pixels (50 principal components) and on our features;
- lightly: SimCLR as its CIFAR-10 benchmark has it, the same network, for as many seconds as our encoder took, then
  logistic regression on its features.

alpha of LabelSpreading and C of the logistic regressions are chosen for each peer and number of labels on the run's
validation images, under two other draws; ours have no such choice. The test labels score everything once. Finished
cells are kept in benchmarks/results/few_labels_vs_peers.json. Needs the environment of requirements/peers.txt.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from represent_quality import lightly as lightly_training
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from torch import Tensor

from augmint.api import stored_settings
from augmint.classify import Candidates, fit_logistic
from augmint.judge import arms
from augmint.judge.material import Material
from augmint.judge.protocol import Split, labelled_rows
from augmint.judge.situation import Situation
from augmint.measure.intervals import t_interval
from augmint.measure.knn import nearest
from augmint.pipeline import Pipeline
from augmint.train import RunDir
from augmint.train.checkpoint import atomic_write

OUT = Path(__file__).parent / "results" / "few_labels_vs_peers.json"
EACH, NEIGHBOURS, SELF_TRAINED = (1, 4, 10, 40), 10, 20_000
ALPHAS, PENALTIES = (0.2, 0.8, 0.99), (0.01, 0.1, 1.0)
Array = np.ndarray[Any, Any]
Fit = Callable[[Array, float], Array]  # labels of the pool (-1: none), the choice → classes of all rows asked for


class World:
    """Vectors of pool, validation and test images, in this order, as every peer sees them."""

    def __init__(self, pipeline: Pipeline) -> None:
        p = self.pipeline = pipeline
        where, table = p.parts, p.table
        self.table, self.where = table, where
        self.rows = torch.cat([where.pool, where.val, where.test])
        self.ends = len(where.pool), len(where.pool) + len(where.val)
        self.truth = table.labels[self.rows].numpy()
        near = Candidates(*p.near)
        self.material = Material(
            table, where.pool, p.pool_table, p.hidden, p.features, near, where.val, p.settings, p.compute
        )

    @cached_property
    def hidden(self) -> Tensor:
        rest = self.pipeline.encoder.hidden(self.table.take(self.rows[self.ends[0] :]))
        return torch.cat([self.pipeline.hidden, rest])

    @cached_property
    def seen(self) -> dict[str, Tensor]:
        """What graphs are made of."""
        flat = self.table.gather(self.rows).flatten(1).float() / 255
        pixels = PCA(50, random_state=0).fit(flat[: self.ends[0]].numpy()).transform(flat.numpy())
        return {"pixels": torch.from_numpy(pixels).float(), "features": self.pipeline.encoder.whitening(self.hidden)}

    @cached_property
    def components(self) -> dict[str, Array]:
        """What self-training learns from."""
        pca = PCA(100, random_state=0).fit(self.pipeline.hidden.numpy())
        return {"pixels": self.seen["pixels"].numpy(), "features": pca.transform(self.hidden.numpy())}

    @cached_property
    def found(self) -> dict[str, tuple[Array, Array]]:
        """The nearest pool images of every row, and distances: neighbours of new images, too."""
        kept = {}
        for where, x in self.seen.items():
            bank = x[: self.ends[0]]
            own, new = nearest(bank, bank, NEIGHBOURS, exclude_self=True), nearest(x[self.ends[0] :], bank, NEIGHBOURS)
            kept[where] = tuple(torch.cat(pair).numpy() for pair in zip(own, new, strict=True))
        return kept

    @cached_property
    def graphs(self) -> dict[str, Any]:
        """Of all rows, weighed as graphlearning weighs them."""
        import graphlearning as gl

        made = {}
        for where, x in self.seen.items():
            distances, rows = nearest(x, x, NEIGHBOURS, exclude_self=True)
            own = torch.arange(len(x))[:, None]  # it expects every row to be its own first neighbour
            data = torch.cat([own, rows], 1).numpy(), torch.cat([torch.zeros(len(x), 1), distances], 1).numpy()
            made[where] = gl.weightmatrix.knn(None, NEIGHBOURS, knn_data=data)
        return made

    def drawn(self, each: int, draw: int) -> Array:
        """Labels of the pool, -1 for all but `each` of a class."""
        settings = self.pipeline.settings.model_copy(update={"labels_per_class": each})
        rows = labelled_rows(self.table, self.where, settings, draw)
        y = np.full(self.ends[0], -1)
        y[self.material.place[rows].numpy()] = self.table.labels[rows].numpy()
        return y


def arm(world: World, name: str, told: bool = False) -> Fit:
    """One of ours, told the frequencies of the classes or not."""
    material, shares = world.material, np.bincount(world.truth) / len(world.truth)
    if told:
        classify = material.settings.classify.model_copy(update={"prior": tuple(shares)})
        material = replace(material, settings=material.settings.model_copy(update={"classify": classify}))

    def fit(y: Array, _: float) -> Array:
        rows = world.where.pool[np.flatnonzero(y >= 0)]
        head: Any = arms.find(name)(Situation(material, Split("draw", 0, rows, world.where.test, 0)))
        return head.logits(world.hidden).argmax(1).numpy()

    return fit


def spreading(world: World, where: str) -> Fit:
    neighbours, pool = world.found[where][1], world.ends[0]

    def kernel(known: Array, asked: Array) -> Any:
        """1 for each of the nearest rows of the pool, as scikit-learn's own kernel; rows are known by their number."""
        asked = asked[:, 0].astype(int)
        places = np.repeat(np.arange(len(asked)), NEIGHBOURS), neighbours[asked].ravel()
        graph = sparse.csr_matrix((np.ones(len(places[0])), places), (len(asked), pool))
        return graph if len(asked) == pool else graph.T

    def fit(y: Array, alpha: float) -> Array:
        model = LabelSpreading(kernel=kernel, alpha=alpha, max_iter=100).fit(np.arange(pool)[:, None], y)
        return model.predict(np.arange(len(neighbours))[:, None])

    return fit


def self_training(world: World, where: str) -> Fit:
    x = world.components[where]
    x = (x - x[: world.ends[0]].mean(0)) / x[: world.ends[0]].std(0)

    def fit(y: Array, c: float) -> Array:
        some = np.union1d(np.flatnonzero(y >= 0), np.arange(0, world.ends[0], -(-world.ends[0] // SELF_TRAINED)))
        return SelfTrainingClassifier(LogisticRegression(C=c, max_iter=200)).fit(x[some], y[some]).predict(x)

    return fit


def poisson(world: World, where: str, mbo: bool) -> Fit:
    import graphlearning as gl

    graph = world.graphs[where]
    shares = np.bincount(world.truth) / len(world.truth)

    def fit(y: Array, _: float) -> Array:
        model = gl.ssl.poisson_mbo(graph, shares) if mbo else gl.ssl.poisson(graph)
        rows = np.flatnonzero(y >= 0)
        return np.asarray(model.fit_predict(rows, y[rows]))

    return fit


def lightly(world: World, threads: int) -> Fit:
    """Its encoder is trained first."""
    torch.set_num_threads(threads)

    class Pool:
        table, pool = world.table, world.where.pool

    minutes = (world.pipeline.encoder.seconds or 0) / 60
    for seconds, images, latest in lightly_training(Pool(), minutes):  # type: ignore[arg-type]
        print(f"  lightly {seconds:.0f} s, {images:,} images", flush=True)
        embed = latest
    x = embed(world.table.gather(world.rows))
    mean, scale = x[: world.ends[0]].mean(0), x[: world.ends[0]].std(0).clamp_min(1e-6)

    def fit(y: Array, c: float) -> Array:
        rows = np.flatnonzero(y >= 0)
        head = fit_logistic(
            x[rows], torch.from_numpy(y[rows]), classes=len(world.table.classes), c=c, mean=mean, scale=scale
        )
        return head.logits(x).argmax(1).numpy()

    return fit


def peers(world: World, threads: int) -> dict[str, tuple[Callable[[], Fit], tuple[float, ...]]]:
    """Name → how to make it ready, and its choices."""
    none = (0.0,)
    listed: dict[str, tuple[Callable[[], Fit], tuple[float, ...]]] = {
        "augmint encoder-propagate": (lambda: arm(world, "encoder-propagate"), none),
        "augmint encoder-propagate, told": (lambda: arm(world, "encoder-propagate", True), none),
        "augmint encoder": (lambda: arm(world, "encoder"), none),
    }
    for where in ("pixels", "features"):
        listed |= {
            f"LabelSpreading, {where}": (lambda where=where: spreading(world, where), ALPHAS),
            f"SelfTraining, {where}": (lambda where=where: self_training(world, where), PENALTIES),
            f"poisson, {where}": (lambda where=where: poisson(world, where, False), none),
            f"poisson_mbo, {where}": (lambda where=where: poisson(world, where, True), none),
        }
    return listed | {"lightly SimCLR + logistic": (lambda: lightly(world, threads), PENALTIES)}


def cell(world: World, fit: Fit, choices: tuple[float, ...], each: int, draws: int) -> dict[str, Any]:
    """Accuracy on the test images, draw by draw, under the choice that does best on the validation images."""
    pool, end = world.ends
    val = slice(pool, end)

    def tried(choice: float) -> float:
        return sum(float((fit(world.drawn(each, 1000 + d), choice)[val] == world.truth[val]).mean()) for d in range(2))

    best = max(choices, key=tried) if len(choices) > 1 else choices[0]
    start, accuracy = time.monotonic(), []
    for draw in range(draws):
        accuracy.append(float((fit(world.drawn(each, draw), best)[end:] == world.truth[end:]).mean()))
    return {"accuracy": accuracy, "choice": best, "seconds": (time.monotonic() - start) / draws}


def show(cells: dict[str, Any], names: list[str]) -> None:
    """Mean ± std, and below it ours minus the peer's with its interval."""
    print(f"{'':34}" + "".join(f"{each:>22}" for each in EACH) + "   labels a class")
    ours = "augmint encoder-propagate"
    for name in names:
        there = [cells.get(f"{name}/{each}") for each in EACH]
        if not all(there):
            continue
        values = [100 * np.array(c["accuracy"]) for c in there if c]
        print(f"{name:34}" + "".join(f"{v.mean():15.1f} ± {v.std(ddof=1):4.1f}" for v in values))
        if name != ours and all(f"{ours}/{each}" in cells for each in EACH):
            best = [100 * np.array(cells[f"{ours}/{each}"]["accuracy"]) for each in EACH]
            ends = [t_interval(a[: len(b)] - b[: len(a)]) for a, b in zip(best, values, strict=True)]
            print(f"{'  ours is ahead by':34}" + "".join(f"{m:8.1f} [{low:5.1f},{high:5.1f}]" for m, low, high in ends))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a finished run on data with a test split")
    parser.add_argument("--cells", nargs="+", default=[], help="parts of names of peers")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OUT)
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    settings = stored_settings(o.run)
    kept = json.loads(o.out.read_text()) if o.out.exists() else {"source": settings.data_source, "cells": {}}
    with RunDir.open(o.run, settings.model_dump(mode="json")) as run:
        world = World(Pipeline(run, settings))
        listed = peers(world, o.threads)
        for name, (ready, choices) in listed.items():
            todo = [each for each in EACH if f"{name}/{each}" not in kept["cells"]]
            if not todo or (o.cells and not any(part in name for part in o.cells)):
                continue
            fit = ready()
            for each in todo:
                kept["cells"][f"{name}/{each}"] = cell(world, fit, choices, each, o.draws)
                atomic_write(o.out, json.dumps(kept, indent=1) + "\n")
            print(f"{name}: done", flush=True)
    show(kept["cells"], list(listed))


if __name__ == "__main__":
    main()
