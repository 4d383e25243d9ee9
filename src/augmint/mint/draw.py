"""Children of parent rows, addressed so that batches, shards and order cannot change them.

    made = draw(generator, pool, rows, children=2, seed=0)       # uint8 [2 * len(rows), C, H, W]

The noise of a child hashes (seed, "mint", child number, row of the parent). The generator always sees
full batches of one size, so even the rounding is the same whatever shard a parent stands in: minting
`rows[:n]` and `rows[n:]` apart gives the same images as minting `rows` at once.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from augmint.augment import policy
from augmint.data.table import Batch, ImageTable
from augmint.errors import UsageError
from augmint.generate.image import ImageGenerator
from augmint.seeding import Draws

STREAM = "mint"
BATCH = 512
MIXING = ("mixup", "cutmix")  # they would give a child a second parent


class Generator(Protocol):
    """What minting asks of a generator of images; it answers on the CPU."""

    def generate(self, images: Tensor, draws: Draws, /) -> Tensor:
        """uint8 [N, C, H, W]: one child of each parent."""
        ...

    def look(self, parents: Tensor, /) -> Tensor:
        """[N, …]: what D compares the children of these parents with."""
        ...

    def realness(self, images: Tensor, looked: Tensor, /) -> Tensor:
        """float32 [N]: D's logit of (child, parent that was looked at)."""
        ...


def full_batches(rows: Tensor, batch: int = BATCH) -> Iterator[tuple[Tensor, int]]:
    """`rows` in parts of exactly `batch`, the last filled up by repeating rows; and how many count."""
    for part in torch.split(rows, batch) if len(rows) else ():
        yield part.repeat(-(-batch // len(part)))[:batch], len(part)


def numbered(rows: Tensor, children: int) -> tuple[Tensor, Tensor]:
    """Parent row and child number of every candidate, int64 [children * len(rows)]: first all first children."""
    return rows.repeat(children), torch.arange(children).repeat_interleave(len(rows))


def finishing(name: str) -> Callable[[Tensor, Draws], Tensor]:
    """The policy `name` on uint8 images, uint8 again; "none" leaves them. UsageError for one that mixes images."""
    if name == "none":
        return lambda images, _: images
    if name in MIXING:
        raise UsageError(f"mint.post={name} mixes images of several classes; choose a policy that does not")
    augment = policy(name)

    def apply(images: Tensor, draws: Draws) -> Tensor:
        changed = augment(Batch(images), draws.fork("post")).images
        return (changed.clamp(0, 1) * 255).round().to(torch.uint8)

    return apply


def children_of(generator: Generator, pool: ImageTable, rows: Tensor, draws: Draws) -> Tensor:
    """uint8 [N, C, H, W]: a child of each of `rows`, of its parent's class or cluster where the generator is told."""
    parents = pool.gather(rows, "cpu")
    if isinstance(generator, ImageGenerator) and len(generator.told) == len(pool):
        return generator.generate(parents, draws, groups=generator.told[rows]).cpu()
    return generator.generate(parents, draws).cpu()


def draw(generator: Generator, pool: ImageTable, rows: Tensor, children: int, seed: int, post: str = "none") -> Tensor:
    """uint8 [children * len(rows), C, H, W], in the order of `numbered`; `rows` int64 of `pool`."""
    return draw_each(generator, pool, *numbered(rows, children), seed, post)


def draw_each(
    generator: Generator,
    pool: ImageTable,
    rows: Tensor,
    steps: Tensor,
    seed: int,
    post: str = "none",
    batch: int = BATCH,
) -> Tensor:
    """uint8 [N, C, H, W]: of each of `rows` int64 [N] the child of that number; `steps` int64 [N] ascend."""
    finish = finishing(post)
    made, done = torch.empty((len(rows), *pool.shape), dtype=torch.uint8), 0
    for child in torch.unique(steps).tolist():
        for part, count in full_batches(rows[steps == child], batch):
            draws = Draws(seed, STREAM, child, part)
            made[done : done + count] = finish(children_of(generator, pool, part, draws), draws)[:count]
            done += count
    return made


def look(generator: Generator, pool: ImageTable, rows: Tensor) -> Tensor:
    """[P, …]: what D compares the children of these rows of the pool with, batch by batch."""
    parts = [generator.look(pool.gather(part, "cpu"))[:count] for part, count in full_batches(rows)]
    return torch.cat(parts) if parts else torch.zeros(0)


def judge(generator: Generator, images: Tensor, looked: Tensor, parents: Tensor) -> Tensor:
    """float32 [N]: the realness of images whose parents are at these places, int64 [N], of `looked` [P, …]."""
    found = [torch.zeros(0)]
    for part, count in full_batches(torch.arange(len(images))):
        found.append(generator.realness(images[part], looked[parents[part]]).float().cpu()[:count])
    return torch.cat(found)
