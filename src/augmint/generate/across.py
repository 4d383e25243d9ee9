"""Two domains: which images of the target show much the same as which of the source.

    across = Across.of(pool, k=10)          # pool.domain says which is which
    across.near                             # int64 [S, 10]: for each source image, rows of the target
    graph_of(*across.bridged(distances, rows))

A contrastive encoder has no reason to bring the two domains together: on digits, clean and inverted on texture, the
nearest across share the class by chance. The drawing does. Images are alike here if their pixels, small and grey,
correlate, so light, contrast and colour do not count; where the target shows things in negative, as the best
correlations tell, they have to correlate negatively.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from augmint.data.duplicates import thumbnails
from augmint.data.table import ImageTable
from augmint.measure.knn import nearest

SIDE = 16  # pixels to which images are reduced
BRIDGES = 0.3  # share of a target image's neighbours in the graph that are of the source


def in_negative(ones: Tensor, others: Tensor) -> bool:
    """Whether the images `ones` [N, D] find better partners in the negatives of `others` [M, D], all of length 1."""
    plain, negative = (nearest(ones, bank, 1)[0].square().mean() for bank in (others, -others))
    return bool(negative < plain)


def alike(ones: Tensor, others: Tensor, k: int) -> Tensor:
    """int64 [N, k]: the nearest rows of `others` [M, D] (fewer if there are fewer)."""
    return nearest(ones, others, min(k, len(others)))[1]


@dataclass(frozen=True, eq=False)
class Across:
    """Rows of a pool: `sources` int64 [S], `targets` int64 [T]; the targets `near` each source [S, k], and the sources
    nearest to each target, `back` [T, b]."""

    sources: Tensor
    targets: Tensor
    near: Tensor
    back: Tensor

    @staticmethod
    def of(pool: ImageTable, k: int) -> "Across":
        """Compare all images of the two domains of `pool`."""
        sources, targets = (torch.nonzero(part)[:, 0] for part in (~pool.of_target, pool.of_target))
        ours, theirs = (thumbnails(pool, rows, SIDE) for rows in (sources, targets))
        theirs = -theirs if in_negative(ours, theirs) else theirs
        bridges = max(1, round(BRIDGES * k))
        return Across(sources, targets, targets[alike(ours, theirs, k)], sources[alike(theirs, ours, bridges)])

    def bridged(self, distances: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Neighbour lists [N, k] in which some neighbours of each target image are those of the source, at the distance
        of its nearest neighbour: without them no label reaches the target."""
        distances, rows, k, b = (
            distances.clone(),
            rows.clone(),
            rows.shape[1],
            min(self.back.shape[1], rows.shape[1] - 1),
        )
        last = distances[self.targets, k - 1 - b]  # the farthest that stays; weights are relative to it
        rows[self.targets, k - 1] = rows[self.targets, k - 1 - b]
        rows[self.targets[:, None], torch.arange(k - 1 - b, k - 1)] = self.back[:, :b]
        distances[self.targets[:, None], torch.arange(k - 1 - b, k - 1)] = distances[self.targets, 0, None]
        distances[self.targets, k - 1] = last
        return distances, rows
