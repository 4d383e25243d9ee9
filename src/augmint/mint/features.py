"""Mint features: children of the features of labelled rows, kept if they could be real.

    minted = mint_features(generator, features, rows, labels, settings.mint, seed=0, head=head)
    features, labels = minted.accepted()

A feature is kept if D scores it as it scores real pairs, if it lies as far from its nearest real feature as real ones
do from each other (neither a copy nor off the map), if no kept one before it is nearer than that, and if the head of
the labels does not rule out its class. Of a parent there are at most `mint.features_per_label`, of a class
`mint.per_class`.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from augmint.config import MintSettings
from augmint.data.sheet import sheet
from augmint.errors import InputError
from augmint.measure.knn import nearest
from augmint.mint import filters
from augmint.mint.draw import STREAM, full_batches, numbered
from augmint.mint.thresholds import bounds, real_pairs
from augmint.seeding import Draws
from augmint.train.checkpoint import atomic_write

SCHEMA = 2
SHOWN = 10
BLOCK = 512
FAR = "far from all real ones"
MOST = 40_000  # of all classes together, unless there are more labels
SCORES = ("realness", "real_distance", "agreement", "minted_distance")


class Generator(Protocol):
    """What minting asks of a generator of features; it answers on the CPU."""

    def generate(self, features: Tensor, draws: Draws, /) -> Tensor:
        """float32 [N, D]: one child of each parent."""
        ...

    def realness(self, features: Tensor, parents: Tensor, /) -> Tensor:
        """float32 [N]: D's logit of (child, parent)."""
        ...


@dataclass(frozen=True)
class FeatureThresholds:
    """D's logits and the distances to the nearest real feature between which a child must lie."""

    realness_low: float
    realness_high: float
    near: float
    far: float


def feature_thresholds(
    generator: Generator,
    features: Tensor,
    settings: MintSettings,
    seed: int,
    pairs: tuple[Tensor, Tensor] | None = None,
) -> FeatureThresholds:
    """What real features [N, D] score; label-free, so one result serves all label draws. `pairs`: rows of anchors and
    of the real features that stand for their children, of the kind that D learnt from; else nearest neighbours."""
    rows, others = pairs or real_pairs(features, seed)
    low, high = bounds(generator.realness(features[others], features[rows]), settings.feature_realness)
    distances, found = nearest(features[rows], features, 2)
    own = (found.cpu() == rows[:, None]) | (distances.cpu() == 0)  # an exact duplicate says nothing of distance
    distances = distances.cpu().masked_fill(own, torch.inf).amin(1)
    finite = distances[distances.isfinite()]
    if len(finite) == 0:
        return FeatureThresholds(low, high, 0.0, torch.inf)
    near, far = bounds(finite, (settings.copy_quantile, 1 - settings.copy_quantile))
    return FeatureThresholds(low, high, near, far)


@dataclass(frozen=True, eq=False)
class MintedFeatures:
    """N candidates, in the order of `draw.numbered`: first every parent's first child, then every parent's second, …

    features [N, D]; labels int64 [N]; kept bool [N]; reason "" if kept; parent_rows int64 [N], -1: has nothing of one;
    scores float32 [N] each: realness, real_distance (to the nearest real feature), minted_distance (to the nearest
    earlier candidate that passed the filters before; inf if none), agreement (what the head of the labels gives the
    label)
    """

    features: Tensor
    labels: Tensor
    kept: Tensor
    reason: list[str]
    scores: dict[str, Tensor]
    parent_rows: Tensor
    steps: Tensor
    seed: int

    def accepted(self) -> tuple[Tensor, Tensor]:
        """Features and labels of the kept."""
        return self.features[self.kept], self.labels[self.kept]


def each_draws(labels: int, classes: int, settings: MintSettings) -> int:
    """How many features are drawn of each of so many labels; all together no more than a linear head can take."""
    in_all = min(settings.features_per_class * classes, MOST)
    return min(settings.features_per_label, max(1, in_all // max(1, labels)))


def _draw(generator: Generator, features: Tensor, rows: Tensor, children: int, seed: int) -> Tensor:
    """float32 [children * len(rows), D], in the order of `numbered`."""
    made = [
        generator.generate(features[part], Draws(seed, STREAM, child, part))[:count].cpu()
        for child in range(children)
        for part, count in full_batches(rows)
    ]
    return torch.cat([features[:0].cpu(), *made])


def to_earlier(features: Tensor, counts: Tensor) -> Tensor:
    """float32 [N]: distance of each of `features` [N, D] to the nearest before it for which `counts` (bool [N]) is
    true; inf where there is none."""
    found = []
    for start in range(0, len(features), BLOCK):
        block = features[start : start + BLOCK]
        later = torch.ones(len(block), len(block), dtype=torch.bool).triu() | ~counts[start : start + BLOCK]
        best = torch.cdist(block, block).masked_fill(later, torch.inf).amin(1)
        before = features[:start][counts[:start]]
        found.append(best if len(before) == 0 else best.minimum(nearest(block, before, 1)[0][:, 0]))
    return torch.cat([torch.zeros(0), *found])


def mint_features(
    generator: Generator,
    features: Tensor,
    rows: Tensor,
    labels: Tensor,
    settings: MintSettings,
    seed: int,
    head: Callable[[Tensor], Tensor],
    thresholds: FeatureThresholds | None = None,
    inherits: bool = True,
) -> MintedFeatures:
    """Children of each of `rows` (int64 [P]) of `features` float [N, D], as many as `each_draws` says, judged.

    `labels` int64 [P] are inherited, and `head` (features [N, D] → probabilities [N, classes]) has to agree; without
    `inherits`, where G looks at no parent, the head gives them. `thresholds` spare measuring the real features again.
    InputError if rows, labels and features do not fit.
    """
    if len(rows) != len(labels):
        raise InputError(f"{len(rows)} rows with {len(labels)} labels; give one label for each")
    if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(features):
        raise InputError(f"rows lie between 0 and {len(features) - 1}; found {int(rows.max())}")
    t = thresholds or feature_thresholds(generator, features, settings, seed)
    each = each_draws(len(rows), len(torch.unique(labels)), settings)
    made = _draw(generator, features, rows, each, seed)
    parents, steps = numbered(rows, each)
    labels = labels.repeat(each)
    if len(made) == 0:
        return MintedFeatures(
            made, labels, labels > 0, [], {name: torch.zeros(0) for name in SCORES}, parents, steps, seed
        )
    said = head(made)
    labels = labels if inherits else said.argmax(1)
    scores = {
        "realness": generator.realness(made, features[parents]).cpu(),
        "real_distance": nearest(made, features.cpu(), 1)[0][:, 0],
        "agreement": filters.agreement(said, labels),
    }
    reason = _reasons(made, labels, scores, settings, t)
    kept = torch.tensor([not why for why in reason])
    parents = parents if inherits else torch.full_like(parents, -1)
    return MintedFeatures(made, labels, kept, reason, scores, parents, steps, seed)


def _reasons(
    made: Tensor, labels: Tensor, scores: dict[str, Tensor], settings: MintSettings, t: FeatureThresholds
) -> list[str]:
    """The first reason against each; `minted_distance` joins the scores on the way."""
    rejected = [
        (filters.COPY, filters.is_near(scores["real_distance"], t.near)),
        (FAR, ~(scores["real_distance"] <= t.far)),
        (filters.UNREAL, filters.looks_unreal(scores["realness"], t.realness_low)),
        (filters.TOO_REAL, filters.too_real(scores["realness"], t.realness_high)),
        (filters.DISAGREES, filters.is_unlikely(scores["agreement"], settings.feature_agreement)),
    ]
    passing = ~torch.stack([mask for _, mask in rejected]).any(0)
    scores["minted_distance"] = to_earlier(made, passing)
    rejected.append((filters.DUPLICATE, filters.is_near(scores["minted_distance"], t.near)))
    passing &= ~rejected[-1][1]
    rejected.append((filters.PER_CLASS, filters.over_cap(passing, labels, settings.per_class)))
    return filters.first_reason(rejected)


def as_images(features: Tensor, decode: Callable[[Tensor], Tensor]) -> Tensor:
    """uint8 [M, C, H, W]: features float [M, D] as `decode` (an encoder's: → 0 … 1) sees them."""
    return (decode(features).clamp(0, 1) * 255).round().to(torch.uint8)


def trail(minted: MintedFeatures, ids: Sequence[str], classes: tuple[str, ...], chosen: Tensor) -> pa.Table:
    """One row for each of the candidates where `chosen` (bool [N]); `ids` name the rows of the pool."""
    rows = torch.nonzero(chosen)[:, 0].tolist()
    labels, parents, steps = (of[chosen].tolist() for of in (minted.labels, minted.parent_rows, minted.steps))
    features = minted.features[chosen].float().contiguous()
    columns = {
        "label": pa.array(labels, pa.int64()),
        "class": pa.array([classes[label] for label in labels], pa.string()),
        "kept": pa.array(minted.kept[chosen].tolist(), pa.bool_()),
        "reason": pa.array([minted.reason[row] for row in rows], pa.string()),
        "candidate": pa.array(rows, pa.int64()),
        "parent": pa.array([ids[row] if row >= 0 else None for row in parents], pa.string()),
        "seed": pa.array([minted.seed] * len(rows), pa.int64()),
        "step": pa.array(steps, pa.int64()),
        **{name: pa.array(minted.scores[name][chosen].float().numpy(), pa.float32()) for name in SCORES},
        "feature": pa.FixedSizeListArray.from_arrays(pa.array(features.flatten().numpy()), features.shape[1]),
    }
    return pa.table(columns).replace_schema_metadata({"schema": str(SCHEMA)})


def export_features(
    minted: MintedFeatures,
    ids: Sequence[str],
    classes: tuple[str, ...],
    folder: Path,
    decode: Callable[[Tensor], Tensor] | None = None,
) -> Path:
    """Write the kept to `folder`/features.parquet and the others to features-rejected.parquet: label, class, feature
    and trail. `ids`: of the pool, whose rows the parents are.

    With `decode` also `folder`/features.png: up to ten kept ones of each class as images, a row a class.
    """
    features, labels = minted.accepted()
    if decode is not None and len(labels):
        shown = torch.nonzero(filters.ranks(labels) < SHOWN)[:, 0]
        shown = shown[labels[shown].argsort(stable=True)]
        names = [classes[label] for label in labels[shown].tolist()]
        buffer = io.BytesIO()
        sheet(as_images(features[shown], decode), SHOWN, captions=names).save(buffer, "PNG")
        atomic_write(folder / "features.png", buffer.getvalue())
    for name, chosen in (("features-rejected", ~minted.kept), ("features", minted.kept)):
        sink = pa.BufferOutputStream()
        pq.write_table(trail(minted, ids, classes, chosen), sink)
        atomic_write(folder / f"{name}.parquet", sink.getvalue().to_pybytes())
    return folder / "features.parquet"
