"""How many images of a wish there can be: caps that stay caps, raised no further than the wish needs.

    stock = Stock(labelled, unlabelled)                # parents there are of each class
    settings = widened(wish, stock, settings, fixed={"per_parent"})
    stock.limit(wish, settings)                        # more than so many cannot be kept

Parents come first: children of others differ more than a parent's next child does.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor

from augmint.config import MintSettings

SPARE = 2  # places for each image asked for: many parents' children do not pass
MOST_CHILDREN = 50  # of a parent, unless the user asks for more


@dataclass(frozen=True)
class Wish:
    """`count` images, of each class if `per_class`, else in all, spread evenly over the classes."""

    count: int
    per_class: bool
    seed: int

    def of_each(self, classes: int) -> int:
        """Images of a class, of so many that have parents."""
        return self.count if self.per_class else math.ceil(self.count / max(classes, 1))

    def target(self, classes: int) -> int:
        """Images in all."""
        return self.count * classes if self.per_class else self.count


@dataclass(frozen=True, eq=False)
class Stock:
    """Rows that can be parents, int64 [classes] each: with a given label, and without."""

    labelled: Tensor
    unlabelled: Tensor

    @property
    def classes(self) -> int:
        """Those that have any."""
        return int((self.labelled + self.unlabelled > 0).sum())

    def parents(self, per_class: int) -> Tensor:
        """int64 [classes], where so many unlabelled ones of a class may be used."""
        return self.labelled + self.unlabelled.clamp(max=per_class)

    def limit(self, wish: Wish, settings: MintSettings) -> int:
        """Images that the caps allow, at most the wish."""
        room = self.parents(settings.parents_per_class) * settings.per_parent
        return min(int(room.clamp(max=wish.of_each(self.classes)).sum()), wish.target(self.classes))


def widened(wish: Wish, stock: Stock, settings: MintSettings, fixed: Collection[str] = ()) -> MintSettings:
    """`settings` with more parents, then more children of each, where the wish needs them; `fixed` names stay."""
    places = SPARE * wish.of_each(stock.classes)
    if "parents_per_class" not in fixed:
        wanted = (math.ceil(places / settings.per_parent) - stock.labelled).minimum(stock.unlabelled)
        parents = max(settings.parents_per_class, int(wanted.max()))
        settings = settings.model_copy(update={"parents_per_class": parents})
    there = stock.parents(settings.parents_per_class)
    if "per_parent" not in fixed and bool((there > 0).any()):
        children = min(math.ceil(places / int(there[there > 0].min())), MOST_CHILDREN)
        settings = settings.model_copy(update={"per_parent": max(settings.per_parent, children)})
    return settings


def told(wish: Wish, stock: Stock, run: MintSettings, chosen: MintSettings) -> str:
    """What a user should know of the caps before anything is drawn; "" where the run's own do."""
    limit, target = stock.limit(wish, chosen), wish.target(stock.classes)
    parents = int(stock.parents(chosen.parents_per_class).sum())
    if limit < target:
        return (
            f"at most {limit:,} of {target:,} images can be kept: {chosen.per_parent} of each of {parents:,} parents; "
            "--set mint.per_parent=… and mint.parents_per_class=… raise that"
        )
    if (run.per_parent, run.parents_per_class) == (chosen.per_parent, chosen.parents_per_class):
        return ""
    return f"{target:,} images: at most {chosen.per_parent} of each of {parents:,} parents are kept"
