"""Has a training collapsed? Spread and rank of all that the encoder answers, of its last stage, of what the loss sees.

    found = parts(features, network.last, projected)      # float32 [N, D], columns of the last stage, float32 [N, P]
    sentence = warning(found)                             # a line for people, None if all are healthy

All together do not tell: the early stages of a network go on varying where its last has become constant, and where a
head in front of the loss has, nothing is learnt any more.
"""

from dataclasses import dataclass

from torch import Tensor

from augmint.measure.collapse import effective_rank, feature_std

LEAST_SPREAD, LEAST_RANK = 0.05, 3.0  # below, vectors tell next to nothing apart


@dataclass(frozen=True)
class Part:
    """Vectors of one kind: spread 0 … 1, effective rank 0 … size."""

    what: str
    spread: float
    rank: float
    size: int

    @property
    def collapsed(self) -> bool:
        return self.spread < LEAST_SPREAD or self.rank < min(LEAST_RANK, self.size / 2)

    def __str__(self) -> str:
        return f"{self.what} (spread {self.spread:.3f} of 1, effective rank {self.rank:.1f} of {self.size})"


def part(what: str, vectors: Tensor) -> Part:
    """Measured on vectors [N, D]."""
    return Part(what, feature_std(vectors), effective_rank(vectors), vectors.shape[1])


def parts(features: Tensor, last: int, projected: Tensor | None = None) -> list[Part]:
    """The features [N, D] first; their first `last` columns if there are more; what the loss sees [N, P] if given."""
    found = [part("the features", features)]
    if last < features.shape[1]:
        found.append(part("the last stage", features[:, :last]))
    return found if projected is None else [*found, part("what the loss sees", projected)]


def warning(found: list[Part]) -> str | None:
    """A sentence that names what has collapsed, with its measures, else None."""
    fallen = " and ".join(str(one) for one in found if one.collapsed)
    if not fallen:
        return None
    return (
        f"warning: collapsed: {fallen}; "
        "try represent.reconstruction above 0, a lower represent.lr or other represent.views"
    )
