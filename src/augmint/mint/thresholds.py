"""What real images score on the judges of minted ones; looks at no label, computed once a generator.

    thresholds = thresholds_from(generator, pool, features, settings.mint, seed=0)
    thresholds.copy_distance        # real images are nearer than this to each other in 1 % of cases

Real pairs are an image and one of its nearest in the encoder's features, as in the generator's training.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from augmint.config import MintSettings
from augmint.data.table import ImageTable
from augmint.errors import InputError
from augmint.generate.pairs import wander
from augmint.measure.knn import nearest
from augmint.mint.distances import ReducedPool, nearest_images
from augmint.mint.draw import Generator, judge, look
from augmint.mint.filters import contrast
from augmint.seeding import Draws, permutation

SAMPLE = 4096  # real images that are measured
NEIGHBOURS = 10
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
FLATTEST = 0.25  # of the contrast that all but 1 % of the real images have
LEAST_CONTRAST = 1 / 255


@dataclass(frozen=True)
class Thresholds:
    """Bounds for the filters, and the distances they stand on.

    realness_low, realness_high   D's logits between which a child must score
    copy_distance                 root mean square difference below which two images count as copies
    contrast                      standard deviation of pixels below which an image counts as constant
    real_distances                quantile → distance of a real image to the nearest other one
    """

    realness_low: float
    realness_high: float
    copy_distance: float
    contrast: float
    real_distances: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """For files."""
        return asdict(self)


def quantiles(values: Tensor) -> dict[str, float]:
    """{'0.01': …} of float [N]; {} for none."""
    finite = values[values.isfinite()].double()
    return {str(q): float(finite.quantile(q)) for q in QUANTILES} if len(finite) else {}


def real_pairs(features: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Rows of up to 4,096 images, int64 [S], and for each the row of one of its nearest others.

    `features` float [N, D]. InputError with fewer than two.
    """
    if len(features) < 2:
        raise InputError(f"minting measures real images against each other and found {len(features)}; give it more")
    rows = permutation(len(features), seed, "mint/thresholds")[:SAMPLE].sort().values
    count = min(NEIGHBOURS + 1, len(features))
    found = nearest(features[rows], features, count)[1].cpu()
    others = torch.sort((found == rows[:, None]).int(), dim=1, stable=True).indices[:, : count - 1]
    choice = Draws(seed, "mint/thresholds", 0, rows).integers("neighbour", count - 1)
    place = others.gather(1, choice[:, None])
    return rows, found.gather(1, place)[:, 0]


def chosen_pairs(rows: Tensor, near: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The same where the pairs are known: up to 4,096 of `rows` int64 [N], and one of the `near` [N, k] of each."""
    some = permutation(len(rows), seed, "mint/thresholds")[:SAMPLE].sort().values
    choice = Draws(seed, "mint/thresholds", 0, rows[some]).integers("neighbour", near.shape[1])
    return rows[some], near[some].gather(1, choice[:, None])[:, 0]


def walked_pairs(near: Tensor, hops: int, seed: int) -> tuple[Tensor, Tensor]:
    """The same where the second of a pair is `hops` steps over the graph (`near` int64 [N, k]) away from the first."""
    rows = permutation(len(near), seed, "mint/thresholds")[:SAMPLE].sort().values
    return rows, wander(near, rows, hops, Draws(seed, "mint/thresholds", 0, rows))


def bounds(values: Tensor, low_high: tuple[float, float]) -> tuple[float, float]:
    """Two quantiles of float [N]."""
    low, high = (float(values.double().quantile(q)) for q in low_high)
    return low, high


def thresholds_from(
    generator: Generator,
    pool: ImageTable,
    features: Tensor,
    settings: MintSettings,
    seed: int,
    pairs: tuple[Tensor, Tensor] | None = None,
    small: ReducedPool | None = None,
) -> Thresholds:
    """Measure up to 4,096 real images of `pool` ([N]); `features` float [N, D] say which are neighbours, unless `pairs`
    do: rows of the anchors, and of the images that are measured. `small`: `ReducedPool.of(pool)`, if it is at hand.

    Exact duplicates among the real images are left out of the distances: they would make every copy pass.
    """
    if len(features) != len(pool):
        raise InputError(f"{len(features)} features for {len(pool)} images; compute them from the same table")
    rows, others = pairs or real_pairs(features, seed)
    images = pool.gather(others, "cpu")
    looked = look(generator, pool, rows)
    low, high = bounds(judge(generator, images, looked, torch.arange(len(rows))), settings.realness)
    distances, _ = nearest_images(images, pool, own=others, small=small)
    finite = distances[distances.isfinite()].double()
    flattest = float(contrast(images).double().quantile(0.01))
    return Thresholds(
        realness_low=low,
        realness_high=high,
        copy_distance=float(finite.quantile(settings.copy_quantile)) if len(finite) else 0.0,
        contrast=max(FLATTEST * flattest, LEAST_CONTRAST),
        real_distances=quantiles(distances),
    )
