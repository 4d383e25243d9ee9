"""The only training loop. It samples rows, watches for divergence and keeps checkpoints; the step
computes the loss and owns its optimisers.

    def step(rows, draws, progress):      # int64 [B]; random numbers of these rows; 0 … 1
        ...
        return {"loss": loss.detach()}

    fit(step, count=len(table), plan=Plan(images=600_000, batch=256, seed=0, stream="represent"),
        state={"model": model, "optimiser": optimiser}, stage=stage)

Stopped and resumed equals uninterrupted, bit for bit on the CPU: no random state is carried along,
every number is drawn by its address (see seeding).
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from augmint.errors import Diverged, InputError
from augmint.seeding import Draws, permutation
from augmint.train import checkpoint, parallel
from augmint.train.progress import QUIET, Task
from augmint.train.rundir import StageDir

Metrics = dict[str, Tensor]
StepFn = Callable[[Tensor, Draws, float], Metrics]


class Stateful(Protocol):
    """Anything with a state: a module, an optimiser, an average of weights."""

    def state_dict(self) -> Any: ...
    def load_state_dict(self, state: Any, /) -> Any: ...


@dataclass(frozen=True)
class Plan:
    """How long and over what to train. Lengths are in images seen."""

    images: int  # training length in images
    batch: int  # images a step
    seed: int
    stream: str  # names the random numbers of this training
    device: torch.device = torch.device("cpu")
    log_every: int = 50  # steps between two looks at the metrics
    checkpoint_seconds: float = 30.0

    @property
    def steps(self) -> int:
        return max(1, math.ceil(self.images / self.batch))


class Rows:
    """An endless sequence of shuffled passes over `count` rows, addressed by position; a pass goes to the device at
    once, so that no step waits for it."""

    def __init__(self, count: int, seed: int, stream: str, device: torch.device | str = "cpu") -> None:
        self.count, self.seed, self.stream, self.device = count, seed, stream, torch.device(device)
        self._passes: dict[int, Tensor] = {}

    def _pass(self, number: int) -> Tensor:
        if number not in self._passes:
            self._passes = {k: v for k, v in self._passes.items() if k >= number - 1}
            order = permutation(self.count, self.seed, self.stream, "pass", number)
            pinned = order.pin_memory() if self.device.type == "cuda" else order
            self._passes[number] = pinned.to(self.device, non_blocking=True)
        return self._passes[number]

    def at(self, step: int, batch: int) -> Tensor:
        """int64 [batch] on the device: the rows of step `step`."""
        first, last = step * batch, (step + 1) * batch
        parts = []
        while first < last:
            number, offset = divmod(first, self.count)
            part = self._pass(number)[offset : offset + last - first]
            parts.append(part)
            first += len(part)
        return torch.cat(parts)


def _finite(state: Mapping[str, Stateful]) -> bool:
    def tensors(value: Any) -> list[Tensor]:
        if isinstance(value, Tensor):
            return [value] if value.is_floating_point() else []
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
        return [t for v in inner for t in tensors(v)]

    sums: dict[torch.device, list[Tensor]] = {}
    for part in state.values():
        for t in tensors(part.state_dict()):
            sums.setdefault(t.device, []).append(t.sum().float())
    return all(bool(torch.stack(found).isfinite().all()) for found in sums.values())  # one look at each device


def _read(metrics: Metrics) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items()}


def lay_out(optimiser: torch.optim.Optimizer) -> None:
    """Moments that were loaded, in the order in memory of their parameters: a file has forgotten it, and a fused
    optimiser takes it for granted, silently pairing other elements."""
    for parameter, moments in optimiser.state.items():
        for name, value in moments.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


class _Keeper:
    """Logs, checks and checkpoints of one training."""

    def __init__(self, plan: Plan, state: Mapping[str, Stateful], stage: StageDir | None, task: Task) -> None:
        self.plan, self.state, self.stage, self.task = plan, state, stage, task
        self.start = self.saved = time.monotonic()
        self.before = 0.0
        self.writes = parallel.rank() == 0  # all processes hold the same

    def restore(self) -> int:
        if self.stage is None or not self.stage.checkpoint.exists():
            return 0
        kept = checkpoint.load(self.stage.checkpoint)
        if set(kept["state"]) != set(self.state):
            raise InputError(f"{self.stage.checkpoint} belongs to another training; delete it to start this one")
        try:
            for name, part in self.state.items():
                part.load_state_dict(kept["state"][name])
                if isinstance(part, torch.optim.Optimizer):
                    lay_out(part)
        except (KeyError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0].rstrip(":")
            raise InputError(
                f"{self.stage.checkpoint} does not fit this training ({reason}); delete it to start again"
            ) from error
        self.before = kept["seconds"]
        return int(kept["step"])

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.start

    def look(self, step: int, metrics: Metrics) -> None:
        """Read the metrics (synchronises with the device), log them, stop if they are not finite."""
        values = _read(metrics)
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            self.diverged(step, bad[0])
        seen = step * self.plan.batch
        self.task.update(min(seen, self.plan.images), **values)
        if self.stage is not None and self.writes:
            self.stage.log(step=step, images=seen, seconds=round(self.seconds, 2), **values)

    def diverged(self, step: int, what: str) -> None:
        kept = (
            f"; the last good checkpoint is {self.stage.checkpoint}"
            if self.stage and self.stage.checkpoint.exists()
            else ""
        )
        raise Diverged(
            f"{self.plan.stream} diverged: {what} is not finite at step {step}{kept}; try a lower learning rate"
        )

    def save(self, step: int) -> None:
        if self.stage is None or not self.writes:
            return
        if not _finite(self.state):
            self.diverged(step, "a weight")
        state = {name: part.state_dict() for name, part in self.state.items()}
        checkpoint.save(self.stage.checkpoint, {"step": step, "seconds": self.seconds, "state": state})
        facts = {"step": step, "steps": self.plan.steps, "seconds": self.seconds}
        checkpoint.atomic_write(self.stage.folder / "state.json", json.dumps(facts))
        self.saved = time.monotonic()


def fit(
    step: StepFn,
    count: int,
    plan: Plan,
    state: Mapping[str, Stateful],
    stage: StageDir | None = None,
    label: str | None = None,
    on_look: Callable[[int], None] | None = None,
) -> float:
    """Train for `plan.images` images over `count` rows; returns the seconds it took, earlier parts included.

    With a stage it logs, shows progress, checkpoints and resumes. `on_look(step)` is called every
    `log_every` steps: snapshots, curves. Diverged if a metric or weight is no longer finite.
    """
    progress = stage.run.progress if stage and parallel.rank() == 0 else QUIET
    rows = Rows(count, plan.seed, plan.stream, plan.device)
    with progress.task(label or plan.stream, plan.images) as task:
        keeper = _Keeper(plan, state, stage, task)
        done = keeper.restore()
        task.restored(done * plan.batch)
        for number in range(done, plan.steps):
            chosen = rows.at(number, plan.batch)
            metrics = step(chosen, Draws(plan.seed, plan.stream, number, chosen), number / plan.steps)
            last = number + 1 == plan.steps
            if (number + 1) % plan.log_every == 0 or last:
                keeper.look(number + 1, metrics)
                if on_look:
                    on_look(number + 1)
            if last or time.monotonic() - keeper.saved > plan.checkpoint_seconds:
                keeper.save(number + 1)
        if stage is None and not _finite(state):
            keeper.diverged(plan.steps, "a weight")
        return keeper.seconds


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of all groups."""
    for group in optimiser.param_groups:
        group["lr"] = rate
