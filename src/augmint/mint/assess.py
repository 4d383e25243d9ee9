"""What a generator's images are worth, measured beside real ones: one table, and the pictures of its nearest copies.

    found = assess({"drawn": sample}, Real(train, held_out, labels), examiner, seed=0)
    found.table["drawn"]["fd"], found.table["real"]["fd"]      # FD-<found.encoder>, and its floor
    found.sheet().save("worst.png")

The examiner's encoder and classifier share nothing with the generator and its discriminators. "real" holds the same
number for real images that the generator has not seen (for `cas`: for the parents themselves, under the labels that
their children inherit): what a perfect generator would get. A number better than that is no merit but a warning.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from PIL.Image import Image
from torch import Tensor

from augmint.data.sheet import sheet
from augmint.data.table import ImageTable
from augmint.errors import InputError
from augmint.measure.distances import frechet_distance, kid, prdc
from augmint.measure.generators import apart, copying
from augmint.measure.knn import nearest
from augmint.seeding import permutation

MOST = 2000  # images of each kind that are measured
LEAST = 20
WORST = 20  # pairs on the sheet
NEIGHBOURS = 10

# name: what it says, and where it should be
MEASURES = {
    "fd": ("Fréchet distance to the training images", "low"),
    "kid": ("kernel distance (KID) to the training images", "low"),
    "precision": ("share that lies among real images", "high"),
    "recall": ("share of real images that lie among them", "high"),
    "density": ("how densely real images surround them", "high"),
    "coverage": ("share of real images that have one nearby", "high"),
    "cas": ("accuracy on real images of a classifier trained on them alone", "high"),
    "agreement": ("share whose label {judge} confirms", "high"),
    "children_apart": ("distance of two children of one parent (real: of two neighbours)", "like real"),
    "class_apart": ("distance of two images of one class", "like real"),
    "nearest": ("median distance to the nearest training image", "like real"),
    "nearer": ("chance to be nearer to a training image than unseen real ones are", "0.5"),
    "copied": ("share nearer to a training image than all but 5 % of unseen real ones", "0.05"),
}


@dataclass(frozen=True, eq=False)
class Sample:
    """uint8 [N, C, H, W] with int64 [N] labels (−1 unknown) and parents (rows of the training images)."""

    images: Tensor
    labels: Tensor
    parents: Tensor

    def take(self, rows: Tensor) -> "Sample":
        """These rows."""
        return Sample(self.images[rows], self.labels[rows], self.parents[rows])


@dataclass(frozen=True, eq=False)
class Real:
    """Images that the generator learnt from, more than fit into memory perhaps, and others it has not seen (uint8
    [N, C, H, W]) with their labels (−1 unknown)."""

    train: ImageTable
    held_out: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Examiner:
    """Who measures. `features`: uint8 [N, C, H, W] (or a table) → float [N, D]; `classify`: the former → int64 [N];
    `train`: images and labels → such a classifier, from random weights."""

    name: str
    features: Callable[[Tensor | ImageTable], Tensor]
    classify: Callable[[Tensor], Tensor]
    train: Callable[[Tensor, Tensor], Callable[[Tensor], Tensor]]
    judge: str = "an independent classifier"  # what `classify` is, in words


@dataclass(frozen=True, eq=False)
class Assessment:
    """`table[column][measure]`, a number or None where it could not be had; columns: the samples, then "real"."""

    encoder: str
    images: int
    table: dict[str, dict[str, float | None]]
    judge: str
    pairs: dict[str, tuple[Tensor, Tensor, Tensor]]  # column → the nearest pairs: images, training images, distances

    def to_dict(self) -> dict[str, object]:
        """For a file: numbers, and what they mean."""
        meaning = {
            name: {"what": what.format(judge=self.judge), "wanted": wanted} for name, (what, wanted) in MEASURES.items()
        }
        return {"encoder": self.encoder, "images": self.images, "measures": meaning, "table": self.table}

    def sheet(self) -> Image:
        """The nearest pairs of every column beside each other: image, its nearest training image, and so on."""
        columns = list(self.pairs.items())
        rows = min(len(images) for _, (images, _, _) in columns)
        tiles = torch.stack([part[:rows] for _, (images, train, _) in columns for part in (images, train)], 1)
        words = [text for row in range(rows) for name, (_, _, far) in columns for text in (name, f"{far[row]:.3g}")]
        return sheet(tiles.flatten(0, 1), 2 * len(columns), captions=words)


def choose(sample: Sample, count: int, seed: int) -> Sample:
    """Up to `count` of a sample, parent by parent in a random order, so that siblings stay together."""
    order = permutation(int(sample.parents.max()) + 1, seed, "assess") if len(sample.parents) else sample.parents
    return sample.take(order.argsort()[sample.parents].argsort(stable=True)[:count])


def _distribution(features: Tensor, reference: Tensor) -> dict[str, float | None]:
    neighbours = min(5, len(features) - 1, len(reference) - 1)
    return {
        "fd": frechet_distance(reference, features),
        "kid": kid(reference, features),
        **prdc(reference, features, neighbours),
    }


def _accuracy(classify: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> float | None:
    known = labels >= 0
    return float((classify(images[known]) == labels[known]).double().mean()) if int(known.sum()) >= LEAST else None


def _apart(features: Tensor, groups: Tensor, seed: int) -> float | None:
    """Mean distance of two that share a group; −1 is none."""
    found = apart(features[groups >= 0], groups[groups >= 0], seed)
    return None if found != found else found


class _Assessor:
    """Everything that is computed once: features of the real images, their distances."""

    def __init__(self, real: Real, examiner: Examiner, count: int, seed: int) -> None:
        self.real, self.examiner, self.seed = real, examiner, seed
        self.train = examiner.features(real.train)
        self.held_out = examiner.features(real.held_out)
        self.some = permutation(len(self.train), seed, "assess/reference")[:count]
        self.reference = self.train[self.some]
        self.far, self.rows = self._nearest(self.held_out)
        self.count = count

    def _nearest(self, features: Tensor) -> tuple[Tensor, Tensor]:
        distances, rows = nearest(features, self.train, 1)
        return distances[:, 0], rows[:, 0]

    def column(self, sample: Sample) -> tuple[dict[str, float | None], tuple[Tensor, Tensor, Tensor]]:
        """The measures of one sample and its nearest pairs."""
        features = self.examiner.features(sample.images)
        far, rows = self._nearest(features)
        found = {
            **_distribution(features, self.reference),
            "cas": self._cas(sample.images, sample.labels),
            "agreement": _accuracy(self.examiner.classify, sample.images, sample.labels),
            "children_apart": _apart(features, sample.parents, self.seed),
            "class_apart": _apart(features, sample.labels, self.seed),
            "nearest": float(far.median()),
            **copying(far, self.far),
        }
        return found, self._pairs(sample.images, far, rows)

    def floor(self, samples: list[Sample]) -> tuple[dict[str, float | None], tuple[Tensor, Tensor, Tensor]]:
        """The same of unseen real images; `cas`: of the samples' parents."""
        some = permutation(len(self.held_out), self.seed, "assess/held-out")
        first, second = some[::2], some[1::2]
        parents, labels = _parents(samples)
        found = {
            **_distribution(self.held_out[some[: self.count]], self.reference),
            "cas": self._cas(self.real.train.gather(parents, "cpu"), labels),
            "agreement": _accuracy(self.examiner.classify, self.real.held_out, self.real.labels),
            "children_apart": self._neighbours_apart(),
            "class_apart": _apart(self.held_out, self.real.labels, self.seed),
            "nearest": float(self.far.median()),
            **copying(self.far[first], self.far[second]),
        }
        return found, self._pairs(self.real.held_out, self.far, self.rows)

    def _cas(self, images: Tensor, labels: Tensor) -> float | None:
        """Classification accuracy score (Ravuri & Vinyals, "Classification accuracy score for conditional generative
        models", NeurIPS 2019)."""
        known = labels >= 0
        if len(set(labels[known].tolist())) < 2 or int((self.real.labels >= 0).sum()) < LEAST:
            return None
        return _accuracy(self.examiner.train(images[known], labels[known]), self.real.held_out, self.real.labels)

    def _neighbours_apart(self) -> float:
        """Mean distance of a training image and one of its nearest others, of all that there are."""
        count = min(NEIGHBOURS + 1, len(self.train))
        distances, rows = nearest(self.reference, self.train, count)
        return float(distances[rows != self.some[:, None]].mean())

    def _pairs(self, images: Tensor, far: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        worst = far.argsort(stable=True)[:WORST]
        return images[worst], self.real.train.gather(rows[worst], "cpu"), far[worst]


def _parents(samples: list[Sample]) -> tuple[Tensor, Tensor]:
    """Every parent once, with the label that its children inherit."""
    parents = torch.cat([sample.parents for sample in samples])
    labels = torch.cat([sample.labels for sample in samples])
    found, inverse = torch.unique(parents, return_inverse=True)
    of = torch.empty_like(found)
    of[inverse] = labels
    return found, of


def assess(samples: Mapping[str, Sample], real: Real, examiner: Examiner, seed: int = 0) -> Assessment:
    """Measure up to 2,000 images of each sample and as many real ones, all compared with equally many training images.

    InputError if there are fewer than 20 of any kind.
    """
    count = min(MOST, len(real.held_out), *(len(sample.labels) for sample in samples.values()))
    if count < LEAST or len(real.train) < LEAST:
        raise InputError(f"{count} images are too few to measure a generator by; give at least {LEAST} of each kind")
    chosen = {name: choose(sample, count, seed) for name, sample in samples.items()}
    assessor = _Assessor(real, examiner, count, seed)
    columns = {name: assessor.column(sample) for name, sample in chosen.items()}
    columns["real"] = assessor.floor(list(chosen.values()))
    table = {name: column for name, (column, _) in columns.items()}
    pairs = {name: nearest for name, (_, nearest) in columns.items()}
    return Assessment(examiner.name, count, table, examiner.judge, pairs)
