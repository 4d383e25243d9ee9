"""Progress for people, on stderr: a bar on a terminal, plain lines elsewhere, nothing when quiet.

with progress.task("represent", total=600_000) as task:
    task.update(seen, loss=0.41)
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


def _short(metrics: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())


def _pace(rate: float, unit: str) -> str:
    """`rate` of them a second; how long each takes where that is more than a second."""
    if rate >= 1:
        return f"{rate:,.0f} {unit}/s"
    return f"{1 / rate:,.0f} s each" if rate > 0 else ""


class Task:
    """One long piece of work, counted in `unit` (images by default)."""

    def __init__(self, name: str, total: int, unit: str, bar: Progress | None, lines: bool) -> None:
        self.name, self.total, self.unit, self.bar, self.lines = name, total, unit, bar, lines
        self.start = self.printed = time.monotonic()
        self.first = 0
        self.shown: dict[str, float] = {}
        self.handle = bar.add_task(name, total=total, info="") if bar else None

    def restored(self, done: int) -> None:
        """`done` were there already; they do not count for the rate."""
        self.first = done

    def update(self, done: int, **metrics: float) -> None:
        """`done` of `total` are finished; metrics are shown beside, those that come seldom until they come again."""
        self.shown |= metrics
        now = time.monotonic()
        rate = (done - self.first) / max(now - self.start, 1e-6)
        info = f"{_pace(rate, self.unit)}  {_short(self.shown)}"
        if self.bar and self.handle is not None:
            self.bar.update(self.handle, completed=done, info=info)
        elif self.lines and (now - self.printed > 10 or done >= self.total):
            self.printed = now
            left = (self.total - done) / rate if rate > 0 else 0.0
            print(f"{self.name}: {done:,}/{self.total:,}  {info}  {left:,.0f} s left", file=sys.stderr, flush=True)


class ProgressOut:
    """Where progress goes; `quiet` for tests and `--json` pipelines."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True, emoji=False)

    def say(self, line: str) -> None:
        """A plain line on stderr."""
        self.console.print(line, markup=False)

    @contextmanager
    def task(self, name: str, total: int, unit: str = "images") -> Iterator[Task]:
        """A task with a bar of its own while the block runs."""
        if self.quiet or not self.console.is_terminal:
            yield Task(name, total, unit, None, lines=not self.quiet)
            return
        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[info]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=False) as bar:
            yield Task(name, total, unit, bar, lines=False)


QUIET = ProgressOut(quiet=True)
