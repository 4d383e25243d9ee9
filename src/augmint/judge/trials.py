"""Trials, the unit of evidence: every arm is trained on every split, then scored once.

    bench = Bench(run, material, identity)
    bench.train(splits, names)                       # resumable arm by arm; no test image, no test label
    rows = bench.score(splits, names, hidden_of)   # after all training: test logits, stored per trial

`trials.parquet` has one row a trial; its logits lie in `trials/<split>-<arm>.safetensors`, so that every
table, interval and curve can be computed again without a model.
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file
from torch import Tensor

from augmint.classify import FinetunedEncoder, LogisticHead, ScratchClassifier, Student
from augmint.judge import arms
from augmint.judge.material import Material
from augmint.judge.protocol import Split
from augmint.judge.situation import Situation
from augmint.judge.stored import keep, kept
from augmint.judge.workers import over_cores
from augmint.measure.calibration import best_temperature
from augmint.train import Compute, RunDir, StageDir, checkpoint
from augmint.train.compute import cores
from augmint.train.rundir import digest

SCHEMA = 1
MODEL = "model.safetensors"  # in the folder of a trial
Vectors = Callable[[Tensor], Tensor]  # rows of the table → float [n, D]
Images = Callable[[Tensor], Tensor]  # rows of the table → uint8 [n, C, H, W]
COLUMNS = pa.schema(
    [
        ("arm", pa.string()),
        ("family", pa.string()),
        ("labels_per_class", pa.int64()),  # -1: all that were given
        ("draw", pa.int64()),
        ("fold", pa.int64()),
        ("role", pa.string()),
        ("encoder_seed", pa.int64()),
        ("n_train", pa.int64()),
        ("n_test", pa.int64()),
        ("accuracy", pa.float64()),
        ("val_accuracy", pa.float64()),
        ("seconds", pa.float64()),
        ("peak_memory", pa.int64()),
        ("config_hash", pa.string()),
        ("logits", pa.string()),
    ],
    metadata={"schema": str(SCHEMA)},
)


def load_model(path: Path, compute: Compute) -> arms.Model:
    """The classifier that an arm left behind."""
    kind = checkpoint.load(path)["kind"]
    if kind in ("logistic", "student"):
        return (LogisticHead if kind == "logistic" else Student).load(path)
    return (FinetunedEncoder if kind == "finetuned" else ScratchClassifier).load(path, compute)


class Bench:
    """Trains and keeps the trials of one run. `identity` is what every trial depends on, `seed` that of the encoder and
    the generators (default that of the settings)."""

    def __init__(self, run: RunDir, material: Material, identity: dict[str, Any], seed: int | None = None) -> None:
        self.run, self.material, self.identity = run, material, identity
        self.seed = material.settings.seed if seed is None else seed

    def stage(self, split: Split, arm: str) -> StageDir:
        table, place = self.material.table, self.material.place
        identity = {
            **self.identity,
            "arm": arm,
            "split": split.name,
            "classes": list(table.classes),
            "labels": table.identity(split.train),
            "held_out": digest(table.identity(split.test[place[split.test] >= 0])),  # no pseudo-label for these
            "val": digest(table.identity(self.material.val)),  # its accuracy is stored beside the model
        }
        if self.seed != self.material.settings.seed:
            identity["seed"] = split.seed  # of the arms, which otherwise is that of the encoder
        return self.run.stage(f"trials/{split.name}-{arm}", identity, self.seed)

    def train(self, splits: list[Split], names: tuple[str, ...]) -> None:
        """Every arm on every split; finished ones are not repeated."""
        folders = [self.stage(split, name) for split in splits for name in names]
        todo = [split for split in splits if not all(_trained(self.stage(split, name)) for name in names)]

        def finished() -> int:
            return sum(_trained(stage) for stage in folders)

        if not todo:
            return
        with self.run.progress.task("trials", len(folders), unit="trials") as task:
            task.restored(finished())
            on_cpu = self.material.compute.device.type == "cpu"
            over_cores(
                lambda split: self._train_split(split, names),
                todo,
                cores() if on_cpu else 1,
                lambda: task.update(finished()),
            )

    def _train_split(self, split: Split, names: tuple[str, ...]) -> None:
        situation = Situation(self.material, split, self._curve(split))
        pseudo = self.stage(split, "scratch-pseudo")
        if _trained(pseudo):  # an earlier part of this run trained it: minting judges with the same one
            judge = ScratchClassifier.load(pseudo.folder / MODEL, self.material.compute)
            facts = pseudo.facts()  # of what it came from, parts that are made anew are charged for themselves
            situation.ledger.give("judge", judge, facts.get("own_seconds", facts["seconds"]))
        for name in names:
            stage = self.stage(split, name)
            if not _trained(stage):
                model, seconds = situation.ledger.charged(partial(arms.find(name), situation))
                model.save(stage.folder / MODEL)
                own = {"own_seconds": situation.ledger.entries["judge"].seconds} if name == "scratch-pseudo" else {}
                stage.finish(seconds, arm=name, split=split.name, **own, **_learnt(situation, name))

    def _curve(self, split: Split) -> Callable[[str, int, ScratchClassifier], None] | None:
        val = self.material.val
        if len(val) == 0 or split.role != "draw":
            return None
        images, labels = self.material.table.take(val), self.material.table.labels[val]

        def curve(arm: str, seen: int, model: ScratchClassifier) -> None:
            accuracy = float((model.logits(images).argmax(1) == labels).float().mean())
            self.run.log(
                stage="classify", arm=arm, draw=split.number, seed=self.seed, images=seen, val_accuracy=accuracy
            )

        return curve

    def file(self, split: Split, arm: str) -> str:
        """The name of the file that holds a trial's logits."""
        other = "" if self.seed == self.material.settings.seed else f"-encoder{self.seed}"
        return f"{split.name}-{arm}{other}.safetensors"

    def model(self, split: Split, arm: str) -> arms.Model:
        """What this trial trained."""
        return load_model(self.stage(split, arm).folder / MODEL, self.material.compute)

    def logits(self, split: Split, arm: str, rows: Tensor, hidden_of: Vectors, images_of: Images | None) -> Tensor:
        """Logits [n, K] of rows of the table by the trained model of this trial."""
        model = self.model(split, arm)
        if isinstance(model, arms.Head):
            return model.logits(hidden_of(rows))
        return model.logits(self.material.table.take(rows) if images_of is None else images_of(rows))

    def score(
        self, splits: list[Split], names: tuple[str, ...], hidden_of: Vectors, images_of: Images | None = None
    ) -> list[dict[str, Any]]:
        """Logits and accuracy of every trial. Call once all training has ended. `images_of`: what is shown in place of
        the rows themselves; `hidden_of` then has to speak of the same."""
        scored = []
        with self.run.progress.task("scoring", len(splits) * len(names), unit="trials") as task:
            for split in splits:
                for name in names:
                    scored.append(self._score(split, name, hidden_of, images_of))
                    task.update(len(scored))
        return scored

    def _score(self, split: Split, arm: str, hidden_of: Vectors, images_of: Images | None) -> dict[str, Any]:
        stage, table = self.stage(split, arm), self.material.table
        target = Path("trials") / self.file(split, arm)
        path = self.run.folder / target
        facts = stage.facts()
        mark = f"{stage.folder.name} on {digest(table.ids[split.test.numpy()].tolist())}"
        stored = kept(path, mark)
        if stored is None:
            logits = self.logits(split, arm, split.test, hidden_of, images_of).float()
            stored = {"logits": logits, "rows": split.test}
            keep(path, mark, stored)
        logits = stored["logits"]
        val, val_accuracy = self.material.val, math.nan
        if split.role == "draw" and len(val):
            val_accuracy = facts.get("val_accuracy", math.nan)
            if math.isnan(val_accuracy):
                guess = self.logits(split, arm, val, hidden_of, images_of).argmax(1)
                val_accuracy = float((guess == table.labels[val]).double().mean())
                stage.finish(**{**_without_schema(facts), "val_accuracy": val_accuracy})
        per_class = split.labels_per_class or self.material.settings.labels_per_class
        return {
            "arm": arm,
            "family": arms.family(arm),
            "labels_per_class": -1 if per_class is None else per_class,
            "draw": split.number if split.role in ("draw", "curve") else -1,
            "fold": split.number if split.role in ("fold", "select") else -1,
            "role": split.role,
            "encoder_seed": self.seed,
            "n_train": len(split.train),
            "n_test": len(split.test),
            "accuracy": float((logits.argmax(1) == table.labels[split.test]).double().mean()),
            "val_accuracy": val_accuracy,
            "seconds": facts["seconds"],
            "peak_memory": facts["peak_memory"],
            "config_hash": stage.folder.name,
            "logits": str(target),
        }


def _trained(stage: StageDir) -> bool:
    """Whether the trial is finished and its model there: a damaged one is to be deleted, and made again."""
    return stage.done and (stage.folder / MODEL).exists()


def _learnt(situation: Situation, arm: str) -> dict[str, int]:
    """How many minted images or features a declared arm had to learn from: without any it is another arm."""
    names = {"scratch-minted": "minted", "encoder-minted": "minted_features"}
    made = situation.ledger.values.get(names.get(arm, ""))
    return {} if made is None else {"minted": int(made.kept.sum())}


def _without_schema(facts: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in facts.items() if k not in ("schema", "stage")}


def write(folder: Path, trials: list[dict[str, Any]]) -> None:
    """Write trials.parquet, whole or not at all."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(trials, schema=COLUMNS), sink)
    checkpoint.atomic_write(folder / "trials.parquet", sink.getvalue().to_pybytes())


def cross_validated(trials: list[dict[str, Any]], arm: str) -> float:
    """Accuracy of an arm over all images held out in cross-validation on the labels (roles fold, select)."""
    own = [t for t in trials if t["arm"] == arm and t["role"] in ("fold", "select")]
    return float(sum(t["accuracy"] * t["n_test"] for t in own) / sum(t["n_test"] for t in own))


def best_arm(trials: list[dict[str, Any]]) -> str:
    """The arm that does best under cross-validation on the labels; the first of equals."""
    names: list[str] = [t["arm"] for t in trials if t["role"] in ("fold", "select")]
    return max(dict.fromkeys(names), key=lambda arm: cross_validated(trials, arm))


def temperature(trials: list[dict[str, Any]], folder: Path, labels: Tensor, arm: str) -> float:
    """The temperature that calibrates an arm on its held-out logits under cross-validation; 1 without any."""
    chosen = [t for t in trials if t["arm"] == arm and t["role"] in ("fold", "select")]
    if not chosen:
        return 1.0
    files = [load_file(folder / t["logits"]) for t in chosen]
    labelled = torch.cat([labels[f["rows"]] for f in files])
    return best_temperature(torch.cat([f["logits"] for f in files]), labelled, smooth=True)
