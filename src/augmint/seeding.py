"""Random numbers by address, not by turn: draw(seed, stream, step, row).

Every random number is a hash of where it is used. Batch size, number of workers, resuming and the
order of calls therefore cannot change what an image gets:

    draws = Draws(seed=0, stream="represent/view1", step=12, rows=rows)   # rows: int64 [N]
    angle = draws.uniform("angle", low=-15, high=15)                      # float32 [N]

The hash is the finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014) in int64 arithmetic, which
wraps around in torch on every device.
"""

import hashlib
import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

_MASK = (1 << 64) - 1


def _signed(value: int) -> int:
    """The int64 with the same 64 bits as `value`."""
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MIX_1 = _signed(0xBF58476D1CE4E5B9)
_MIX_2 = _signed(0x94D049BB133111EB)


def _mix(x: Tensor) -> Tensor:
    """SplitMix64's finaliser on int64; `>>` is arithmetic in torch, hence the masks."""
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * _MIX_1
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * _MIX_2
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


@lru_cache(maxsize=4096)
def key(*parts: object) -> int:
    """A stable 63-bit key of anything that prints the same everywhere, e.g. key(seed, "epoch", 3)."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*parts: object) -> np.random.Generator:
    """A numpy generator of its own for one place in the program, e.g. generator(seed, "labels", draw)."""
    return np.random.default_rng(key(*parts))


def torch_generator(*parts: object) -> torch.Generator:
    """The same for torch (CPU), to initialise weights for instance."""
    return torch.Generator().manual_seed(key(*parts))


def permutation(count: int, *parts: object) -> Tensor:
    """A random order of `count` rows, int64 [count], a function of `parts` alone."""
    return torch.randperm(count, generator=torch_generator(*parts))


@dataclass(frozen=True, eq=False)
class Draws:
    """The random numbers of one batch at one step. `rows` (int64 [N]) names the images, so the same
    image at the same step draws the same numbers in whatever batch it stands."""

    seed: int
    stream: str
    step: int
    rows: Tensor

    def fork(self, stream: str) -> "Draws":
        """Independent numbers for the same rows: the second view, an inner policy."""
        return replace(self, stream=f"{self.stream}/{stream}")

    def select(self, index: Tensor) -> "Draws":
        """The numbers of a part of the rows (a mask or an index)."""
        return replace(self, rows=self.rows[index])

    def _bits(self, name: str, count: int) -> Tensor:
        """int64 [N, count] of hashed bits."""
        base = key(self.seed, self.stream, self.step, name)
        rows = _mix(self.rows * _GOLDEN + base)
        counter = torch.arange(1, count + 1, device=rows.device) * _GOLDEN
        return _mix(rows[:, None] + counter)

    def uniform(self, name: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """float32 [N, *shape] in [low, high)."""
        bits = self._bits(name, math.prod(shape))
        unit = ((bits >> 40) & 0xFFFFFF).to(torch.float32) * 2.0**-24
        return (unit * (high - low) + low).view(len(self.rows), *shape)

    def normal(self, name: str, *shape: int) -> Tensor:
        """float32 [N, *shape], mean 0 and variance 1 (Box-Muller, both outputs used)."""
        count = math.prod(shape)
        half = (count + 1) // 2
        unit = self.uniform(name, 2, half)
        radius = (-2 * torch.log1p(-unit[:, 0])).sqrt()
        angle = unit[:, 1] * (2 * math.pi)
        both = torch.cat([radius * angle.cos(), radius * angle.sin()], 1)[:, :count]
        return both.reshape(len(self.rows), *shape)

    def integers(self, name: str, high: int, *shape: int, low: int = 0) -> Tensor:
        """int64 [N, *shape] in low … high - 1."""
        unit = self.uniform(name, *shape)
        return (unit * (high - low)).long().clamp_(max=high - low - 1) + low

    def chance(self, name: str, p: float, *shape: int) -> Tensor:
        """bool [N, *shape], true with probability p."""
        return self.uniform(name, *shape) < p

    def permutation(self, name: str) -> Tensor:
        """int64 [N], a random order of this very batch (for mixing partners)."""
        return self._bits(name, 1)[:, 0].argsort()
