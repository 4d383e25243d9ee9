"""What a run mints, and what its image generator is worth: all from one stored judge (judge/ground.py).

with RunDir.open(folder, settings.model_dump(mode="json")) as run:
    Minting(run, settings).mint_more(Wish(10_000, per_class=False, seed=1), "folders")
"""

import io
import json
import shutil
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from augmint import config, mint
from augmint.augment import policy
from augmint.classify import Candidates
from augmint.config import MintSettings, RepresentSettings, Settings
from augmint.errors import UsageError
from augmint.judge import protocol, value
from augmint.judge.generators import Exam, measure_generator, mint_wish
from augmint.judge.ground import Ground
from augmint.judge.material import Material
from augmint.judge.protocol import Split
from augmint.judge.situation import Situation
from augmint.mint import Wish, Work
from augmint.mint.draw import finishing
from augmint.networks import backbones
from augmint.represent import Encoder, train_encoder
from augmint.seeding import key
from augmint.stages import Stages
from augmint.train import RunDir, StageDir, checkpoint
from augmint.train.compute import cores
from augmint.train.rundir import digest, file_digest

FACTS = ("drawn", "kept", "classes", "rejected", "per_parent", "parents_per_class", "agreement", "limit")


def _folder_name(wish: Wish, settings: MintSettings, named: Collection[str]) -> str:
    """minted-COUNT-seedSEED, and the settings that were named."""
    values = {name: str(getattr(settings, name)).strip("()").replace(", ", ",") for name in sorted(named)}
    each = "-per-class" if wish.per_class else ""
    return f"minted-{wish.count}{each}-seed{wish.seed}" + "".join(f"-{n}={v}" for n, v in values.items())


def check_names(settings: Settings) -> None:
    """UsageError for a name that only a late stage would look up, when all before it is learnt."""
    c, m = settings.classify, settings.measure
    for name in (settings.generate.image.contrast.views, c.extra_policy, c.finetune.policy):
        policy(name)
    for name in (c.network, m.backbone):
        backbones.check(name)
    finishing(settings.mint.post)


class Minting(Stages):
    """The labels of the run join what was learnt without any."""

    def __init__(self, run: RunDir, settings: Settings, seed: int | None = None) -> None:
        super().__init__(run, settings, seed)
        check_names(settings)

    @cached_property
    def _trial_identity(self) -> dict[str, Any]:
        settings = {name: getattr(self.settings, name).model_dump(mode="json") for name in ("mint", "classify")}
        return {**self._generator_identity, **settings, "parents": "any"}

    @cached_property
    def material(self) -> Material:
        return Material(
            self.table,
            self.parts.pool,
            self.pool_table,
            self.hidden,
            self.features,
            Candidates(*self.near, bridge=None if self.across is None else self.across.bridged),
            self.parts.val,
            self.settings,
            self.compute,
            self.image_generator,
            self.thresholds,
            self.feature_generator,
            self.feature_thresholds,
            self.encoder,
            None if self.image_generator is None else self.small,
        )

    @cached_property
    def final_split(self) -> Split:
        return protocol.final(self.table, self.parts, self.settings)

    @cached_property
    def _final_identity(self) -> dict[str, Any]:
        labels = self.table.identity(self.final_split.train)
        return {**self._trial_identity, "classes": list(self.table.classes), "labels": labels}

    @cached_property
    def _judged_identity(self) -> dict[str, Any]:
        """The same, of what the validation slice tells the worth of."""
        return {**self._final_identity, "val": digest(self.table.identity(self.parts.val))}

    @cached_property
    def _situation(self) -> Situation:
        split = self.final_split  # first: without labels nothing is trained
        return Situation(self.material, split)

    @cached_property
    def ground(self) -> Ground:
        """Parents and judge of all that this run mints."""
        stage = self.run_dir.stage("ground", self._final_identity, self.settings.seed)
        return stage.keep(lambda _: Ground.of(self._situation), partial(Ground.load, compute=self.compute))

    @cached_property
    def final_situation(self) -> Situation:
        if self.image_generator is not None:
            self.ground.hand(self._situation)
        return self._situation

    def need_generator(self) -> None:
        """UsageError if it is switched off, before anything is learnt."""
        if not self.settings.generate.image.enabled:
            raise UsageError("minted images need the image generator; set generate.image.enabled=true")

    def work(self, settings: MintSettings) -> Work:
        """What minting under these settings needs; nothing of it is learnt twice."""
        assert self.image_generator is not None
        ground = self.ground
        parents = ground.parents(settings.parents_per_class)
        given = (*parents, ground.probabilities, settings, self.thresholds_under(settings))
        return Work(self.image_generator, self.pool_table, *given, self.small)

    def mint(self) -> dict[str, Any]:
        """Mint from all given labels and unlabelled images that propagation labels; write minted/ and value.json."""
        self.need_generator()
        stage = self.run_dir.stage("mint", self._judged_identity, self.settings.seed)
        if not stage.done or not (self.run_dir.folder / "minted" / "metadata.parquet").exists():
            start = time.monotonic()
            minted = self.final_situation.minted
            stage.alone()
            mint.export(minted, self.pool_table, self.run_dir.folder, generator=self.image_generator)
            if self.feature_generator is not None:
                decode = self.encoder.decode if self.encoder.decoder is not None else None
                made, ids = self.final_situation.minted_features, self.pool_table.ids.tolist()
                mint.export_features(made, ids, self.table.classes, self.run_dir.folder, decode)
            if self.across is None:  # with a target, no labelled image looks like the minted ones
                value.write(self.final_situation, self.parts.val, self.run_dir.folder)
            stage.finish(time.monotonic() - start, drawn=len(minted.table), kept=int(minted.kept.sum()))
        return {name: value for name, value in stage.facts().items() if name in ("drawn", "kept")}

    def mint_more(
        self, wish: Wish, form: str, to: Path | None = None, over: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Mint as many as are wished for into a folder of their own, default RUN/minted-COUNT-seedSEED. `over`: other
        settings of minting than the run's; caps that it does not name give way to the wish."""
        self.need_generator()
        chosen = config.mint_more(self.settings, over or {})
        finishing(chosen.post)
        own, stock = self.settings.mint, self.ground.stock()
        named = (over or {}).get("mint", {})
        settings = mint.widened(wish, stock, chosen, named)
        stage = self.run_dir.stage(
            "mint-more", {**self._final_identity, **asdict(wish), "over": settings.model_dump(mode="json")}, wish.seed
        )
        start = time.monotonic()
        folder = to or self.run_dir.folder / _folder_name(wish, chosen, named)
        written = folder / "minted" / "metadata.parquet"  # by which another minting to the same folder is told
        done = stage.facts() if stage.done and written.exists() else {}
        if done.get("format") != form or done.get("written") != file_digest(written):
            if line := mint.told(wish, stock, own, settings):
                self.run_dir.say(line)
            workers = cores() if self.compute.device.type == "cpu" else 1
            pieces = stage.folder / "pieces"
            minted = mint_wish(self.work(settings), wish, pieces, workers, self.run_dir.progress)
            mint.export(minted, self.pool_table, folder, form)
            counts = {name: of.get("kept", 0) for name, of in minted.counts().items()}
            found = {"drawn": len(minted.table), "kept": int(minted.kept.sum()), "classes": counts}
            found["rejected"] = dict(Counter(reason for reason in minted.reason if reason).most_common())
            caps = {name: getattr(settings, name) for name in ("per_parent", "parents_per_class", "agreement")}
            found |= {**caps, "limit": stock.limit(wish, settings), "format": form, "written": file_digest(written)}
            stage.finish(time.monotonic() - start, **found)
            shutil.rmtree(pieces)
        facts = {name: value for name, value in stage.facts().items() if name in FACTS}
        return {**facts, "folder": str(written.parent), "format": form}

    # --- what the image generator is worth --------------------------------------------------------

    @cached_property
    def measuring_encoder(self) -> Encoder:
        """An encoder that shares nothing with generator and discriminators: other network, weights and row order."""
        m, seed = self.settings.measure, key(self.settings.seed, "measure") % 2**31
        update = {"method": "simclr", "options": {}, "weights": None, "latent": 0, **m.model_dump()}
        settings = RepresentSettings.model_validate({**self._represent.model_dump(), **update})
        identity = {**self._encoder_identity, "measure": settings.model_dump(mode="json")}

        def make(stage: StageDir) -> Encoder:
            return train_encoder(self.pool_table, settings, self.compute, seed, stage)

        stage = self._stage("measure-encoder", identity)
        return stage.keep(make, partial(Encoder.load, compute=self.compute))

    def _exam(self) -> Exam:
        given, split = self.parts.given, self.final_split
        return Exam(
            self.work(self.settings.mint),
            self.table,
            self.parts.pool,
            self.parts.val,
            given[~torch.isin(given, split.train)],
            self.measuring_encoder,
            self.settings.classify,
            self.compute,
            split.seed,
        )

    def measure(self) -> dict[str, Any]:
        """Measure the image generator beside real images; write measures/."""
        self.need_generator()
        if self.settings.target:
            raise UsageError(
                "`augmint measure` compares children with images like their parents; with a target, whose "
                "look they take, it cannot"
            )
        identity = {**self._judged_identity, "measure": self.settings.measure.model_dump(mode="json")}
        identity |= {"judge": "independent", "neighbours": "among all"}
        stage = self.run_dir.stage("measure", identity, self.settings.seed)
        path = self.run_dir.folder / "measures" / "measures.json"
        if not stage.done or not path.exists():
            start = time.monotonic()
            found = measure_generator(self._exam())
            stage.alone()
            buffer = io.BytesIO()
            found.sheet().save(buffer, "PNG")
            checkpoint.atomic_write(path.with_name("nearest.png"), buffer.getvalue())
            checkpoint.atomic_write(path, json.dumps({"schema": 1, **found.to_dict()}, indent=1))
            stage.finish(time.monotonic() - start)
        return checkpoint.read_json(path, "encoder", "images", "measures", "table")
