"""Propagate, form an opinion of every row, and propagate again where neighbours share it.

    near = candidates(features)                         # once for a table: more neighbours than a graph has
    graph = near.graph()                                # the nearest
    graph = near.graph(logits)                          # the nearest among those that are taken for the same
    graph = agreeing(near, decide, two_lessons(…))      # decisions → logits → graph, lesson by lesson

Encoders put some classes so near each other (shirts, coats, pullovers) that a graph of features alone leads from one
into the other. What a classifier taught by its decisions thinks is smoother than these, so edges that it finds
implausible go. Distances of logits and of features count the same: √(|f − f'|² + |o − o'|²), f and o of length 1.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from augmint.classify.graph import Graph, graph_of
from augmint.classify.linear import Squares
from augmint.classify.logistic import LogisticHead
from augmint.classify.student import LESSON, Student
from augmint.measure.knn import nearest

EDGES, CANDIDATES = 10, 30  # of each row
CHUNK = 8192  # rows at a time


@dataclass(frozen=True, eq=False)
class Candidates:
    """The nearest other rows of each row, more than a graph has edges: distances float32 [N, m] of unit vectors and
    rows int64 [N, m], nearest first. `bridge` may change what was chosen of them (generate/across.py)."""

    distances: Tensor
    rows: Tensor
    edges: int = EDGES
    bridge: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None

    def graph(self, logits: Tensor | None = None) -> Graph:
        """Of the `edges` nearest candidates by features, and by logits float32 [N, K] too if there are any."""
        found = (self.distances, self.rows) if logits is None else self._agreeing(_opinions(logits))
        distances, rows = (of[:, : self.edges] for of in found)
        return graph_of(*((distances, rows) if self.bridge is None else self.bridge(distances, rows)))

    def _agreeing(self, opinions: Tensor) -> tuple[Tensor, Tensor]:
        """The candidates by their distance in features and opinions."""
        order, distances = torch.empty_like(self.rows), torch.empty_like(self.distances)
        for own in torch.split(torch.arange(len(self.rows)), CHUNK):
            apart = (opinions[own, None] - opinions[self.rows[own]]).square().sum(2)
            joint = (self.distances[own].square() + apart).sqrt()
            distances[own], order[own] = joint.sort(dim=1, stable=True)
        return distances, self.rows.gather(1, order)


def _opinions(logits: Tensor) -> Tensor:
    """Of length 1: what is preferred to what, not how strongly."""
    return F.normalize(logits - logits.mean(1, keepdim=True), dim=1)


def candidates(features: Tensor, edges: int = EDGES) -> Candidates:
    """Those of all rows of `features` [N, D] by direction (cosine)."""
    unit = F.normalize(features, dim=1)
    return Candidates(*nearest(unit, unit, min(CANDIDATES, len(unit) - 1), exclude_self=True), edges)


Lesson = Callable[[Tensor], Tensor]  # decisions int64 [N] → logits [N, K]


def agreeing(near: Candidates, decide: Callable[[Graph], Tensor], lessons: Iterable[Lesson]) -> Graph:
    """The graph after all lessons. decide: graph → decisions int64 [N]."""
    graph = near.graph()
    for lesson in lessons:
        graph = near.graph(lesson(decide(graph)))
    return graph


def two_lessons(
    head: LogisticHead,
    squares: Squares,
    student: Callable[[Tensor, int], Student],
    hidden: Tensor,
    present: Tensor | slice = slice(None),
) -> Sequence[Lesson]:
    """First least squares, beside the head of the labels, then what `student` makes of (decisions, steps). Both on
    all rows, hidden [N, D]; of classes that are not `present` (without labels) they have no opinion."""

    def linear(decisions: Tensor) -> Tensor:
        return (head + squares.fit(decisions, len(head.bias))).logits(hidden)[:, present]

    return linear, lambda decisions: student(decisions, LESSON).logits(hidden)[:, present]
