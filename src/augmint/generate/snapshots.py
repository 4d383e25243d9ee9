"""Pictures of a generator while it learns: reals.png, then fakes_<images>.png and film.png, in the stage's folder.

    snapshots = Snapshots(stage, table, seed, plan, generate)
    fit(…, on_look=snapshots.look)

Each row of a sheet is a real parent, followed by its children; parents and noise stay the same over the run. The film
has the first child of each parent as every sheet shows it, the earliest left.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from augmint.data.sheet import GAP, save_png, sheet
from augmint.data.table import ImageTable
from augmint.seeding import Draws, permutation
from augmint.train import Plan, StageDir

PARENTS, CHILDREN, SHEETS = 10, 9, 6


class Snapshots:
    """Writes a sheet about every sixth of the training."""

    def __init__(
        self,
        stage: StageDir | None,
        table: ImageTable,
        seed: int,
        plan: Plan,
        generate: Callable[[Tensor, Draws], Tensor],
        sources: Tensor | None = None,
    ) -> None:
        """`sources` int64 [S]: the rows that can be parents, where not all can."""
        self.stage, self.plan, self.generate, self.seed = stage, plan, generate, seed
        self.every = max(1, plan.steps // SHEETS)
        self.last = 0
        if stage is not None:
            rows = torch.arange(len(table)) if sources is None else sources
            order = rows[permutation(len(rows), seed, "snapshots")]
            self.parents = table.gather(order[:PARENTS]).cpu()
            sheet(table.gather(order[: PARENTS * (CHILDREN + 1)]).cpu(), CHILDREN + 1).save(stage.folder / "reals.png")

    def look(self, step: int) -> None:
        """Called by `fit` now and then; writes when a sixth of the steps has passed, and at the end."""
        if self.stage is None or (step - self.last < self.every and step < self.plan.steps):
            return
        self.last = step
        images = self.parents.repeat_interleave(CHILDREN, 0)
        draws = Draws(self.seed, "snapshots", 0, torch.arange(len(images)))
        children = self.generate(images, draws).view(len(self.parents), CHILDREN, *images.shape[1:])
        rows = torch.cat([self.parents[:, None], children], 1).flatten(0, 1)
        seen = min(step * self.plan.batch, self.plan.images)
        save_png(sheet(rows, CHILDREN + 1), self.stage.folder / f"fakes_{seen}.png")
        save_png(film(self.stage.folder), self.stage.folder / "film.png")


def film(folder: Path) -> Image.Image:
    """The column of parents, then the first column of children of every sheet there: also of those before a stop."""
    paths = sorted(folder.glob("fakes_*.png"), key=lambda path: int(path.stem.removeprefix("fakes_")))
    sheets = [Image.open(path) for path in paths]
    wide, height = (sheets[0].width - GAP) // (CHILDREN + 1), sheets[0].height
    strip = Image.new("RGB", ((len(sheets) + 1) * wide + GAP, height), "white")
    strip.paste(sheets[0].crop((0, 0, GAP + wide, height)))
    for i, image in enumerate(sheets, start=1):
        strip.paste(image.crop((GAP + wide, 0, GAP + 2 * wide, height)), (GAP + i * wide, 0))
    return strip
