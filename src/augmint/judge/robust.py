"""What the trained arms stand: logits of held-out images that were made worse (augment/corruptions.py).

    score(bench, splits, names, encoder.hidden)      # after all training: RUN/robust/<split>-<arm>.safetensors

The first few splits alone, and at most a thousand of their held-out images, the same for all arms and drawn by the
run's seed. The images are made worse once, and the encoder reads them once; a trial then costs a pass of its own
network. A file has one tensor a kind, float32 [strengths, images, classes], and the images' `rows` in the table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from augmint.augment.corruptions import KINDS, STRENGTHS, corrupt
from augmint.data.table import ImageTable
from augmint.judge.arms import Head
from augmint.judge.protocol import Split
from augmint.judge.stored import is_kept, keep
from augmint.judge.trials import Bench
from augmint.judge.workers import over_cores
from augmint.seeding import Draws, permutation
from augmint.train.compute import cores
from augmint.train.rundir import digest

Trial = tuple[Split, str]


@dataclass(frozen=True, eq=False)
class Hard:
    """Images that were made worse: by kind uint8 [strengths × n, C, H, W], the encoder's hidden vectors of them, and
    the n rows of the table that they come from."""

    rows: Tensor
    images: dict[str, Tensor]
    hidden: dict[str, Tensor]

    @staticmethod
    def of(table: ImageTable, rows: Tensor, seed: int, hidden: Callable[[Tensor], Tensor] | None) -> "Hard":
        """Every kind at every strength; without an arm that reads them (`hidden` None) no hidden vectors."""
        images, draws = table.gather(rows, "cpu"), Draws(seed, "corrupt", 0, rows)
        worse = {
            kind: torch.cat([corrupt(images, kind, strength, draws) for strength in range(1, STRENGTHS + 1)])
            for kind in KINDS
        }
        return Hard(rows, worse, {kind: hidden(found) for kind, found in worse.items()} if hidden else {})


def chosen(test: Tensor, count: int, seed: int) -> Tensor:
    """At most `count` of the held-out rows, in their order."""
    return test[permutation(len(test), seed, "robust")[:count].sort().values]


def score(bench: Bench, splits: list[Split], names: tuple[str, ...], hidden: Callable[[Tensor], Tensor]) -> None:
    """Store what every arm says of the worse images, for the first `judge.robust_draws` of these splits."""
    settings = bench.material.settings
    few = splits[: settings.judge.robust_draws] if settings.judge.robust_images else []
    for rows, same in groupby(few, key=lambda split: tuple(split.test.tolist())):
        _score(bench, torch.tensor(rows), [(split, name) for split in same for name in names], hidden)


def _score(bench: Bench, test: Tensor, trials: list[Trial], hidden: Callable[[Tensor], Tensor]) -> None:
    """The trials of splits that hold out the same images."""
    m, folder = bench.material, bench.run.folder / "robust"
    rows = chosen(test, m.settings.judge.robust_images, m.settings.seed)
    under = digest([m.table.ids[rows.numpy()].tolist(), {kind: sizes for kind, (_, sizes) in KINDS.items()}])

    def mark(trial: Trial) -> str:
        return f"{bench.stage(*trial).folder.name} on {under}"

    todo = [trial for trial in trials if not is_kept(folder / bench.file(*trial), mark(trial))]
    if not todo:
        return
    reads = any(name.startswith("encoder") for _, name in todo)
    hard = Hard.of(m.table, rows, m.settings.seed, hidden if reads else None)

    def work(trial: Trial) -> None:
        model = bench.model(*trial)
        found = {
            kind: model.logits(hard.hidden[kind] if isinstance(model, Head) else hard.images[kind]) for kind in KINDS
        }
        tensors = {kind: logits.float().view(STRENGTHS, len(rows), -1) for kind, logits in found.items()}
        keep(folder / bench.file(*trial), mark(trial), {**tensors, "rows": rows})

    with bench.run.progress.task("robustness", len(trials), unit="trials") as task:
        over_cores(
            work,
            todo,
            cores() if m.compute.device.type == "cpu" else 1,
            lambda: task.update(sum(is_kept(folder / bench.file(*t), mark(t)) for t in trials)),
        )
