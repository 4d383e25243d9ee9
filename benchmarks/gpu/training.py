"""A training that ends with its command's time and goes on in the next.

pause = Pause(deadline, after=saved)          # `saved` is called after every checkpoint
encoder, seconds = train(table, settings, compute, stage, pause)     # raises Paused when the time is over
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from torch import Tensor

from augmint.config import RepresentSettings
from augmint.data.table import ImageTable
from augmint.represent.encoder import Encoder
from augmint.represent.train import form_of, prepare
from augmint.represent.whitening import Whitening
from augmint.seeding import Draws
from augmint.train import Compute, StageDir, fit


class Paused(Exception):
    """The command's time is over and everything is saved: give the command again."""


@dataclass
class Pause:
    """Watches the clock between steps."""

    deadline: float  # time.monotonic()
    saved: Callable[[], None]
    every: float = 60.0  # seconds between checkpoints
    begun: int | None = field(default=None, init=False)
    kept: int = field(default=0, init=False)

    def look(self, step: int, kept: int) -> None:
        """Before step `step`, with `kept` steps in the last checkpoint. At least one step a command is made."""
        if self.begun is None:
            self.begun = self.kept = step
        if kept > self.kept:
            self.kept = kept
            self.saved()
        if time.monotonic() > self.deadline and kept == step > self.begun:
            raise Paused


def _kept(stage: StageDir) -> int:
    path = stage.folder / "state.json"
    return int(json.loads(path.read_text())["step"]) if path.exists() else 0


def train(
    table: ImageTable, settings: RepresentSettings, compute: Compute, stage: StageDir, pause: Pause
) -> tuple[Encoder, float]:
    """The product's own training, on all images of the table; the encoder, unwhitened, and the seconds it took."""
    trainer = prepare(table, settings, compute, seed=0, say=stage.run.say)
    trainer.plan = replace(trainer.plan, checkpoint_seconds=pause.every)
    looks = 0

    def step(rows: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        nonlocal looks
        if looks % 20 == 0 or pause.every == 0 or time.monotonic() > pause.deadline:
            pause.look(draws.step, _kept(stage))
        looks += 1
        return trainer.step(rows, draws, progress)

    seconds = fit(step, len(table), trainer.plan, {"joint": trainer.joint, "optimiser": trainer.optimiser}, stage)
    network, decoder = trainer.joint.method.network.eval(), trainer.joint.decoder
    whitening = Whitening.none(network.features)
    return Encoder(form_of(table, settings), network, decoder, compute, whitening, seconds), seconds
