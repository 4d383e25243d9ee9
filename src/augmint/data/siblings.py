"""Which labelled images must stay on one side of a fold: else it is tested on what it has learnt.

found = siblings(table, rows)           # of one group, exact copies, near duplicates (bursts, re-saved pictures)
folds(labels, found.units, …)
found.lines(table)                      # what a person has to know of it
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from augmint.data import duplicates
from augmint.data.draws import numbered
from augmint.data.table import ImageTable

CELLS = 2_000_000_000  # comparisons of labelled images with all that a run makes by itself
NO_PAIRS = torch.empty(0, 2, dtype=torch.int64)


@dataclass(frozen=True, eq=False)
class Siblings:
    """units   int64 [n]; rows of one number belong together
    pairs   int64 [P, 2]; rows of the table that are near duplicates, of exact copies the first; None: not searched
    kept    whether near duplicates have the same unit; not where a class would be left with one unit
    """

    units: Tensor
    pairs: Tensor | None
    kept: bool

    def lines(self, table: ImageTable) -> list[str]:
        """For people: nothing where there is nothing to say."""
        if self.pairs is None:
            return ["near duplicates among the labelled images were not searched (too many images)"]
        if not len(self.pairs):
            return []
        first = " and ".join(str(table.paths[row]) or f"image {row}" for row in self.pairs[0].tolist())
        kept = (
            "cross-validation keeps them in the same fold"
            if self.kept
            else "kept in the same fold they would leave a class with nothing to learn from, so they are not and "
            "cross-validated accuracy may be too good"
        )
        return [f"{len(self.pairs):,} near duplicates among the labelled images (e.g. {first}): {kept}"]


def siblings(table: ImageTable, rows: Tensor, pairs: Tensor | None = None) -> Siblings:
    """Of these labelled rows of the table. `pairs`: near duplicates of the table, where they are known already."""
    if pairs is None and len(rows) * len(table) > CELLS:
        return Siblings(units(table, rows), None, False)
    pairs = duplicates.near_among(table, rows) if pairs is None else pairs[torch.isin(pairs, rows).all(1)]
    joint, labels = units(table, rows, pairs), table.labels[rows]
    kept = all(len(torch.unique(joint[labels == label])) > 1 for label in torch.unique(labels).tolist())
    return Siblings(joint if kept else units(table, rows), pairs, kept)


def units(table: ImageTable, rows: Tensor, pairs: Tensor = NO_PAIRS) -> Tensor:
    """int64 [n]: parts of the graph in which rows hang on their content and on their group, and contents on contents
    that are near duplicates."""
    count, (_, group) = len(table), torch.unique(numbered(table.group), return_inverse=True)
    content = torch.from_numpy(np.unique(duplicates.content(table.ids), return_inverse=True)[1])
    left = torch.cat([rows, rows, count + content[pairs[:, 0]]])
    right = torch.cat([count + content[rows], 2 * count + group[rows], count + content[pairs[:, 1]]])
    graph = sparse.coo_matrix((np.ones(len(left)), (left.numpy(), right.numpy())), shape=(3 * count, 3 * count))
    return torch.from_numpy(connected_components(graph, directed=False)[1])[rows].long()
