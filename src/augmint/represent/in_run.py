"""Encoders as stages of a run: found in its folder, or trained and left there.

here = InRun(run, pool, compute, seed)
settings = resolve_views(here, settings)                # `views: auto` → the views that fit, and the images left
encoder = here.encoder("represent", settings)
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from augmint.config import RepresentSettings
from augmint.data.table import ImageTable
from augmint.represent import search
from augmint.represent.encoder import Encoder
from augmint.represent.train import train_encoder
from augmint.represent.watch import Watch
from augmint.train import Compute, RunDir
from augmint.train.rundir import digest, file_digest


def _blind() -> None:
    """Nobody looks on."""


@dataclass
class InRun:
    """A run's folder, the unlabelled images, and where and from which seed to train."""

    run: RunDir
    pool: ImageTable
    compute: Compute
    seed: int

    @cached_property
    def _data(self) -> dict[str, Any]:
        pool = digest(self.pool.ids.tolist())
        found = {"pool": pool, "shape": list(self.pool.shape), "bf16": self.compute.bf16}
        target = self.pool.ids[self.pool.of_target.numpy()].tolist()
        return {**found, "target": digest(target)} if target else found

    def identity(self, settings: RepresentSettings) -> dict[str, Any]:
        """Everything that an encoder trained with these settings depends on."""
        start = {} if settings.weights is None else {"weights": file_digest(settings.weights)}
        return {**self._data, "represent": settings.model_dump(mode="json"), **start}

    def encoder(self, name: str, settings: RepresentSettings, watch: Callable[[], Watch | None] = _blind) -> Encoder:
        """The stage `name` with these settings, loaded or trained, with what `watch` makes to look on meanwhile."""
        stage = self.run.stage(name, self.identity(settings), self.seed)
        return stage.keep(
            lambda stage: train_encoder(self.pool, settings, self.compute, self.seed, stage, watch()),
            lambda path: Encoder.load(path, self.compute),
        )


def resolve_views(here: InRun, settings: RepresentSettings) -> RepresentSettings:
    """The settings with the views to train with. `auto`: each candidate is a stage of its own, and so is the choice."""
    if settings.views != search.AUTO:
        return settings
    stage = here.run.stage("views/choice", here.identity(settings), here.seed)
    if stage.done:
        return search.Choice(**stage.facts()["choice"]).settings(settings)
    choice = search.choose(here.pool, settings, lambda name, brief: here.encoder(f"views/{name}", brief))
    here.run.say(choice.describe())
    if here.run.writes:
        here.run.log(stage="views/choice", choice=choice.to_dict())
        stage.finish(0.0, choice=choice.to_dict())
    return choice.settings(settings)
