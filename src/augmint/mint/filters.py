"""The filters of minted samples: each a pure function of scores and a threshold → bool [N], true = rejected.

    reasons = first_reason([("copy", is_near(real_distance, 0.05)), ("too real", too_real(scores, high))])

Thresholds come from real images (thresholds.py). A score that is not a number never passes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

KEPT = ""
BROKEN = "broken"
PARENT = "copy of its parent"
COPY = "copy"
UNREAL = "looks unreal"
TOO_REAL = "too real"
DISAGREES = "label disagrees"
DUPLICATE = "near-duplicate"
PER_PARENT = "too many from this parent"
PER_CLASS = "too many of this class"


def contrast(images: Tensor) -> Tensor:
    """float32 [N] of uint8 [N, C, H, W]: standard deviation of the pixels, 0 … 0.5, the largest over channels."""
    pixels = images.flatten(2).float()
    return (pixels - pixels.mean(2, keepdim=True)).square().mean(2).sqrt().amax(1) / 255


def is_flat(contrasts: Tensor, least: float) -> Tensor:
    """Collapsed: (nearly) constant pixels."""
    return ~(contrasts >= least)


def is_near(distances: Tensor, least: float) -> Tensor:
    """Nearer to a given image than real images are to each other: a copy."""
    return ~(distances >= least)


def looks_unreal(realness: Tensor, low: float) -> Tensor:
    """D believes less in it than in nearly all real images."""
    return ~(realness >= low)


def too_real(realness: Tensor, high: float) -> Tensor:
    """D believes more in it than in nearly any real image: it found D's weak spot, or a memory of D's."""
    return ~(realness <= high)


def agreement(probabilities: Tensor, labels: Tensor) -> Tensor:
    """float32 [N]: what the independent classifier ([N, classes]) gives the inherited label (int64 [N])."""
    return probabilities.gather(1, labels[:, None])[:, 0]


def is_unlikely(agreements: Tensor, least: float) -> Tensor:
    """The independent classifier sees another class."""
    return ~(agreements >= least)


def ranks(keys: Tensor) -> Tensor:
    """int64 [N]: how many equal keys (int64 [N]) stand before each."""
    order = torch.sort(keys, stable=True).indices
    _, counts = torch.unique_consecutive(keys[order], return_counts=True)
    starts = (counts.cumsum(0) - counts).repeat_interleave(counts)
    found = torch.empty_like(keys)
    found[order] = torch.arange(len(keys)) - starts
    return found


def over_cap(eligible: Tensor, keys: Tensor, cap: int) -> Tensor:
    """All but the first `cap` eligible samples of each key (parent row, class)."""
    over = torch.zeros_like(eligible)
    over[eligible] = ranks(keys[eligible]) >= cap
    return over


def first_reason(rejected: Sequence[tuple[str, Tensor]]) -> list[str]:
    """For each sample the name of the first filter that rejects it, KEPT if none does."""
    names = [KEPT, *(name for name, _ in rejected)]
    first = torch.zeros(len(rejected[0][1]), dtype=torch.int64)
    for number, (_, mask) in enumerate(rejected, 1):
        first[(first == 0) & mask] = number
    return [names[i] for i in first.tolist()]
