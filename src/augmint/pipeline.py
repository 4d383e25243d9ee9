"""The main job: what the run learns (stages.py), then trials, minted images, final classifier, verdict.

with RunDir.open(folder, settings.model_dump(mode="json")) as run:
    Pipeline(run, settings).run()
"""

import json
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from augmint.data import leaks
from augmint.judge import arms, protocol, robust, trials
from augmint.judge.protocol import Split
from augmint.minting import Minting
from augmint.report import write as write_report
from augmint.represent import Encoder
from augmint.seeding import Draws
from augmint.train import checkpoint


class Pipeline(Minting):
    """One run: settings and folder in, verdict out."""

    # --- trials -----------------------------------------------------------------------------------

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """Those that the settings allow."""
        return arms.chosen(self.settings)

    @cached_property
    def bench(self) -> trials.Bench:
        return trials.Bench(self.run_dir, self.material, self._trial_identity, self.seed)

    @cached_property
    def others(self) -> list["Pipeline"]:
        """The same images and label draws with other seeds of encoder and generators."""
        first = self.settings.seed
        found = [Pipeline(self.run_dir, self.settings, first + i) for i in range(1, self.settings.judge.encoder_seeds)]
        for other in found:
            vars(other).update(table=self.table, parts=self.parts, pool_table=self.pool_table)
        return found

    def encoders(self, stage: str = "run") -> list[Encoder]:
        """Those that the stage needs: a run those of all seeds, `measure` also the one that measures. They are learnt
        before all else: with these the processes of a `torchrun` help."""
        if stage == "run":
            return [one.encoder for one in (self, *self.others)]
        return [self.encoder, *([self.measuring_encoder] if stage == "measure" else [])]

    @property
    def learnt_arms(self) -> tuple[str, ...]:
        """The arms that another encoder or generator changes."""
        return tuple(name for name in self.arms if not arms.traditional(name))

    def hidden_of(self, rows: Tensor) -> Tensor:
        """Hidden vectors of any rows of the table."""
        place = self.material.place[rows]
        if bool((place >= 0).all()):
            return self.hidden[place]
        for asked, hidden in self._asked:
            if torch.equal(asked, rows):
                return hidden
        hidden = self.encoder.hidden(self.table.take(rows))
        self._asked = [(rows, hidden), *self._asked[:1]]
        return hidden

    _asked: Sequence[tuple[Tensor, Tensor]] = ()  # test split and validation slice: every trial asks for both

    @cached_property
    def selected(self) -> list[dict[str, Any]]:
        """Trials under cross-validation on the labels; they choose the final arm. None where no label can be held
        out."""
        splits = self.select_splits or [split for split in self.splits if split.role == "fold"]
        if not splits:
            return []
        names = self.arms  # refused before any training
        self.bench.train(splits, names)
        if self.across is None or self.image_generator is None:
            return self.bench.score(splits, names, self.hidden_of)
        return self.bench.score(splits, names, lambda rows: self.encoder.hidden(self.moved(rows)), self.moved)

    def moved(self, rows: Tensor) -> Tensor:
        """uint8: a child of each of these rows of the source, such as the target would show it. The final arm has to be
        good there, where no label says which one is."""
        assert self.image_generator is not None
        images = self.table.gather(rows, "cpu")
        return self.image_generator.generate(images, Draws(self.settings.seed, "select", 0, rows))

    @cached_property
    def select_splits(self) -> list[Split]:
        return protocol.selection(self.table, self.parts, self.settings, self.siblings)

    @cached_property
    def splits(self) -> list[Split]:
        return protocol.comparison(self.table, self.parts, self.settings, self.siblings)

    @cached_property
    def curve_splits(self) -> list[Split]:
        return protocol.curve(self.table, self.parts, self.settings)

    # --- the classifier and the minted images that stay -------------------------------------------

    @cached_property
    def final_arm(self) -> str:
        return trials.best_arm(self.selected) if self.selected else arms.usual(self.arms)

    def classify(self) -> dict[str, Any]:
        """Choose the arm by cross-validation, refit it on all labels, store it for `predict`."""
        arm = self.final_arm
        split = self.final_split
        stage = self.bench.stage(split, arm)
        if not stage.done:
            start = time.monotonic()
            arms.find(arm)(self.final_situation).save(stage.folder / "model.safetensors")
            stage.finish(time.monotonic() - start, arm=arm, split=split.name)
        folder = self.run_dir.folder / "final"
        model = trials.load_model(stage.folder / "model.safetensors", self.compute)
        model.save(folder / "model.safetensors")
        if isinstance(model, arms.Head):
            self.encoder.save(folder / "encoder.safetensors")
        facts = {
            "schema": 1,
            "arm": arm,
            "classes": list(self.table.classes),
            "shape": list(self.table.shape),
            "labels": len(split.train),
            "temperature": trials.temperature(self.selected, self.run_dir.folder, self.table.labels, arm),
            "cross_validated_accuracy": trials.cross_validated(self.selected, arm) if self.selected else None,
        }
        checkpoint.atomic_write(folder / "final.json", json.dumps(facts, indent=1))
        return facts

    # --- everything -------------------------------------------------------------------------------

    def run(self) -> Path:
        """The main job. Returns the path of the report."""
        self.run_dir.say(f"{protocol.describe(self.table, self.parts, self.settings)}; {self.compute.describe()}")
        for warning in self.leaks:
            self.run_dir.say(f"warning: {warning}")
        splits, names = self.splits + self.select_splits + self.curve_splits, self.arms  # refused before any training
        self.encoders()
        self._explain(self._seen)
        self.bench.train(splits, names)
        for other in self.others:
            other.bench.train(self.splits, self.learnt_arms)
        self.classify()
        if self.image_generator is not None:
            self.mint()
        return self.judge()

    def judge(self) -> Path:
        """Score every trial (only now do the arms see test images), write trials.parquet and the report."""
        rows = self.bench.score(self.splits, self.arms, self.hidden_of)
        same = [row for row in rows if arms.traditional(row["arm"])]
        for other in self.others:
            rows += [{**row, "encoder_seed": other.seed} for row in same]
            rows += other.bench.score(self.splits, self.learnt_arms, other.hidden_of)
        rows += self.bench.score(self.curve_splits, self.arms, self.hidden_of)
        rows += self.selected if self.select_splits else []  # folds are both: they compare the arms and choose one
        if len(self.parts.test):
            rows += self.bench.score([self.final_split], (self.final_arm,), self.hidden_of)
        trials.write(self.run_dir.folder, rows)
        robust.score(self.bench, self.splits, self.arms, self.encoder.hidden)
        copied = leaks.minted_copies(self.table, self.run_dir.folder / "minted")
        for warning in copied:
            self.run_dir.say(f"warning: {warning}")
        leaks.keep(self.leaks + copied, self.run_dir.folder / "leaks.json")
        return write_report(self.run_dir.folder)
