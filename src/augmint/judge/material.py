"""What all splits of a run share: images, features, neighbours, generators.

material = Material(table, pool, pool_table, hidden, features, near, val, settings, compute)
situation = Situation(material, split)
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from augmint.classify import Candidates
from augmint.classify.linear import Squares
from augmint.config import Settings
from augmint.data.table import ImageTable
from augmint.generate.feature import FeatureGenerator
from augmint.generate.image import ImageGenerator
from augmint.judge.protocol import places
from augmint.mint import FeatureThresholds, Thresholds
from augmint.mint.distances import ReducedPool
from augmint.represent import Encoder
from augmint.train import Compute


@dataclass(frozen=True, eq=False)
class Material:
    """What all splits share. `pool` are the rows of the table that may be learnt from; hidden [P, D], on which
    classifiers are fitted, features [P, d], by which neighbours are found, and `near`, these, are in its order."""

    table: ImageTable
    pool: Tensor
    pool_table: ImageTable
    hidden: Tensor
    features: Tensor
    near: Candidates
    val: Tensor  # rows of the table
    settings: Settings
    compute: Compute
    image_generator: ImageGenerator | None = None
    thresholds: Thresholds | None = None
    feature_generator: FeatureGenerator | None = None
    feature_thresholds: FeatureThresholds | None = None
    encoder: Encoder | None = None  # for arms that train it further, each a copy of its own
    small: ReducedPool | None = None  # of pool_table: made before the workers are forked, so that none reads it anew

    @cached_property
    def place(self) -> Tensor:
        """int64 [N]: the place in the pool of a row of the table, -1 if it is not in it."""
        return places(self.table, self.pool)

    @cached_property
    def mean(self) -> Tensor:
        """Mean of the pool's hidden vectors [D]."""
        return self.hidden.mean(0)

    @cached_property
    def scale(self) -> Tensor:
        """Standard deviation of the pool's hidden vectors [D]."""
        return self.hidden.std(0).clamp_min(1e-6)

    @property
    def minting(self) -> Tensor:
        """bool [classes]: those of which images are minted, all but those of `mint.drop`."""
        return torch.tensor([name not in self.settings.mint.drop for name in self.table.classes])

    @cached_property
    def squares(self) -> Squares:
        """Least squares on the pool's hidden vectors, for any decisions about its rows."""
        return Squares.of(self.hidden)
