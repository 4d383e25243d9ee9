"""Mint features: children of the features of labelled (and surest) rows, kept if they could be real.

    made, labels = mint_features(generator, features, rows, labels, settings.mint, seed=0)

A feature is kept if D scores it as it scores real pairs and if it lies as far from its nearest real
feature as real ones do from each other: neither a copy nor off the map.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from augmint.config import MintSettings
from augmint.data.sheet import sheet
from augmint.errors import InputError
from augmint.measure.knn import nearest
from augmint.mint.draw import STREAM, Generator, full_batches, numbered
from augmint.mint.filters import ranks
from augmint.mint.thresholds import bounds, real_pairs
from augmint.seeding import Draws
from augmint.train.checkpoint import atomic_write

SCHEMA = 1
SHOWN = 10


@dataclass(frozen=True)
class FeatureThresholds:
    """D's logits and the distances to the nearest real feature between which a child must lie."""

    realness_low: float
    realness_high: float
    near: float
    far: float


def feature_thresholds(generator: Generator, features: Tensor, settings: MintSettings, seed: int) -> FeatureThresholds:
    """What real features [N, D] score; label-free, so one result serves all label draws."""
    rows, others = real_pairs(features, seed)
    low, high = bounds(generator.realness(features[others], features[rows]), settings.realness)
    distances, found = nearest(features[rows], features, 2)
    own = (found.cpu() == rows[:, None]) | (distances.cpu() == 0)  # an exact duplicate says nothing of distance
    distances = distances.cpu().masked_fill(own, torch.inf).amin(1)
    finite = distances[distances.isfinite()]
    if len(finite) == 0:
        return FeatureThresholds(low, high, 0.0, torch.inf)
    near, far = bounds(finite, (settings.copy_quantile, 1 - settings.copy_quantile))
    return FeatureThresholds(low, high, near, far)


def _draw(generator: Generator, features: Tensor, rows: Tensor, children: int, seed: int) -> Tensor:
    """float32 [children * len(rows), D], in the order of `numbered`."""
    made = [
        generator.generate(features[part], Draws(seed, STREAM, child, part))[:count].cpu()
        for child in range(children)
        for part, count in full_batches(rows)
    ]
    return torch.cat([features[:0].cpu(), *made])


def mint_features(
    generator: Generator,
    features: Tensor,
    rows: Tensor,
    labels: Tensor,
    settings: MintSettings,
    seed: int,
    thresholds: FeatureThresholds | None = None,
) -> tuple[Tensor, Tensor]:
    """`settings.features_per_label` children of each of `rows` (int64 [P]) of `features` float [N, D], those kept.

    Returns float32 [M, D] and int64 [M], the labels inherited from `labels` [P]; M may be 0. `thresholds`
    spare measuring the real features again. InputError if rows, labels and features do not fit.
    """
    if len(rows) != len(labels):
        raise InputError(f"{len(rows)} rows with {len(labels)} labels; give one label for each")
    if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(features):
        raise InputError(f"rows lie between 0 and {len(features) - 1}; found {int(rows.max())}")
    t = thresholds or feature_thresholds(generator, features, settings, seed)
    made = _draw(generator, features, rows, settings.features_per_label, seed)
    parents, _ = numbered(rows, settings.features_per_label)
    if len(made) == 0:
        return made, labels[:0]
    realness = generator.realness(made, features[parents]).cpu()
    distances = nearest(made, features.cpu(), 1)[0][:, 0]
    kept = (realness >= t.realness_low) & (realness <= t.realness_high) & (distances >= t.near) & (distances <= t.far)
    return made[kept], labels.repeat(settings.features_per_label)[kept]


def as_images(features: Tensor, decode: Callable[[Tensor], Tensor]) -> Tensor:
    """uint8 [M, C, H, W]: features float [M, D] as `decode` (an encoder's: → 0 … 1) sees them."""
    return (decode(features).clamp(0, 1) * 255).round().to(torch.uint8)


def export_features(
    features: Tensor,
    labels: Tensor,
    classes: tuple[str, ...],
    folder: Path,
    decode: Callable[[Tensor], Tensor] | None = None,
) -> Path:
    """Write minted features float [M, D] with their labels [M] to `folder`/features.parquet (label, class, feature).

    With `decode` also `folder`/features.png: up to ten of each class as images, a row a class.
    """
    columns = {
        "label": pa.array(labels.tolist(), pa.int64()),
        "class": pa.array([classes[label] for label in labels.tolist()], pa.string()),
        "feature": pa.array(features.float().tolist(), pa.list_(pa.float32(), features.shape[1])),
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns).replace_schema_metadata({"schema": str(SCHEMA)}), sink)
    if decode is not None and len(labels):
        shown = torch.nonzero(ranks(labels) < SHOWN)[:, 0]
        shown = shown[labels[shown].argsort(stable=True)]
        names = [classes[label] for label in labels[shown].tolist()]
        buffer = io.BytesIO()
        sheet(as_images(features[shown], decode), SHOWN, captions=names).save(buffer, "PNG")
        atomic_write(folder / "features.png", buffer.getvalue())
    atomic_write(folder / "features.parquet", sink.getvalue().to_pybytes())
    return folder / "features.parquet"
