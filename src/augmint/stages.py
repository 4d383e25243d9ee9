"""What a run learns, stage by stage: data → encoder → generators. Each is loaded from the run folder if it is there,
else computed.

    stages = Stages(run, settings)
    stages.encoder, stages.image_generator

Stages depend on each other through what they ask for: the generator asks for the encoder, the encoder for the table. A
stage's folder is named by everything its result depends on.
"""

import time
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from augmint.classify.agreement import CANDIDATES
from augmint.config import MintSettings, RepresentSettings, Settings
from augmint.data import labels as label_files
from augmint.data import leaks, load
from augmint.data.manifest import write_manifest
from augmint.data.siblings import Siblings, siblings
from augmint.data.table import UNLABELLED, ImageTable
from augmint.generate.across import Across
from augmint.generate.feature import FeatureGenerator, train_feature_generator
from augmint.generate.image import ImageGenerator, train_image_generator
from augmint.judge import protocol
from augmint.judge.protocol import Parts
from augmint.measure.knn import nearest
from augmint.mint import FeatureThresholds, Thresholds, feature_thresholds, thresholds_from
from augmint.mint.distances import ReducedPool
from augmint.mint.thresholds import chosen_pairs, walked_pairs
from augmint.report import encoder as drawing
from augmint.represent import Encoder, InRun, resolve_views, weights
from augmint.represent.embeddings import Shown, Vectors
from augmint.represent.explain import explain
from augmint.represent.watch import Watch, watcher
from augmint.train import Compute, RunDir, StageDir, checkpoint
from augmint.train.rundir import digest


class Stages:
    """One run: settings and folder in, what is learnt without labels out."""

    def __init__(self, run: RunDir, settings: Settings, seed: int | None = None) -> None:
        """`seed`: of encoder and generators, default that of the settings, by which labels are drawn."""
        self.run_dir, self.settings = run, settings
        self.seed = settings.seed if seed is None else seed
        self.compute = Compute.choose(settings.device, settings.precision)

    # --- data -------------------------------------------------------------------------------------

    @cached_property
    def table(self) -> ImageTable:
        """All images of the source; the manifest of the run is written on the way."""
        s, folder, other = self.settings, self.run_dir.folder, self.run_dir.reuse
        files = label_files.at_hand(s.labels or {}, folder, *([] if other is None else [other]))
        table = load(s.data_source, s.data, self.run_dir.progress, s.target, files or None)
        protocol.check_classes(table.classes, s)
        self.run_dir.settle()
        if self.run_dir.writes:
            label_files.keep(files, folder)
            write_manifest(table, self.run_dir.folder / "manifest.parquet")
        return table

    @cached_property
    def leaks(self) -> list[str]:
        """What could make test results too good, and those of cross-validation, in words."""
        folded = protocol.cross_validates(self.settings, len(self.parts.test))
        return leaks.quick(self.table) + (self.siblings.lines(self.table) if folded else [])

    @cached_property
    def siblings(self) -> Siblings:
        """Which labels stay together in cross-validation."""
        return siblings(self.table, protocol.labelled_rows(self.table, self.parts, self.settings))

    @cached_property
    def parts(self) -> Parts:
        return protocol.parts(self.table, self.settings)

    @cached_property
    def pool_table(self) -> ImageTable:
        """The images that may be learnt from, without their labels: no stage can look at one by mistake."""
        pool = self.table.take(self.parts.pool)
        return pool.with_labels(torch.full_like(pool.labels, UNLABELLED))

    # --- representation ---------------------------------------------------------------------------

    @cached_property
    def _represent(self) -> RepresentSettings:
        """The settings that the encoder is trained with: under `views: auto`, with the views that were chosen."""
        return resolve_views(self._in_run, self.settings.represent)

    @cached_property
    def _in_run(self) -> InRun:
        return InRun(self.run_dir, self.pool_table, self.compute, self.seed)

    @cached_property
    def _encoder_identity(self) -> dict[str, Any]:
        return self._in_run.identity(self._represent)

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, learnt from all pool images without labels."""
        return self._in_run.encoder("represent", self._represent, self._watch)

    def _watch(self) -> Watch | None:
        """What tells meanwhile how good the encoder is; the helping processes of a torchrun have nothing to log."""
        shown, seed = self.shown, self.seed
        there = self.run_dir.writes
        return watcher(self.table, shown.few, shown.val, self._represent, seed) if there else None

    @cached_property
    def hidden(self) -> Tensor:
        """The encoder's hidden vectors of the pool, float32 [P, D]: classifiers are fitted on them."""
        return self.encoder.hidden(self.pool_table)

    @cached_property
    def features(self) -> Tensor:
        """The same whitened, float32 [P, d]: neighbours are found by them."""
        return self.encoder.whitening(self.hidden)

    @cached_property
    def near(self) -> tuple[Tensor, Tensor]:
        """The nearest others of every image of the pool by its features: distances and rows [P, k]. The longest of all
        searches, so graph and generators share it."""
        g = self.settings.generate
        count = min(max(CANDIDATES, g.image.neighbours, g.feature.neighbours), len(self.features) - 1)
        return nearest(self.features, self.features, count, exclude_self=True)

    @cached_property
    def shown(self) -> Shown:
        """The images that may be shown, with the labels of draw 0 and of the validation slice."""
        few = protocol.usable(self.table, self.parts, self.settings)
        return Shown(self.table, self.parts.pool, few, self.parts.val)

    def represent(self) -> dict[str, Any]:
        """The representation alone: the encoder, what it sees and what it is worth, in represent/."""
        program = self.run_dir.folder / "encoder.pt2"
        if not program.exists() and not self.settings.represent.backbone.startswith("timm:"):  # timm loads its own
            weights.export(self.encoder, program)
        return self._explain(lambda rows: self.encoder.hidden(self.table.take(rows)))

    def _seen(self, rows: Tensor) -> Tensor:
        """Hidden vectors of rows of the table, the pool's from memory."""
        place = self.shown.places[rows]
        at_hand = bool((place < len(self.parts.pool)).all())
        return self.hidden[place] if at_hand else self.encoder.hidden(self.table.take(rows))

    def _explain(self, hidden: Vectors) -> dict[str, Any]:
        """Write what the encoder has learnt, unless it is there; say it, and return it."""
        folder, shown, settings = self.run_dir.folder, self.shown, self.settings
        labels = self.table.identity(torch.cat([shown.few, shown.val]))
        stage = self.run_dir.stage("explain", {**self._encoder_identity, "labels": digest(labels)}, self.seed)
        if not (stage.done and drawing.complete(folder)):
            encoder, start = self.encoder, time.monotonic()
            stage.alone()
            weights.export(encoder, folder / "encoder.safetensors")
            seen = self._represent.images
            drawing.draw(folder, explain(encoder, shown, hidden, folder / "represent", seen, settings.seed))
            stage.finish(time.monotonic() - start)
        facts = checkpoint.read_json(folder / "represent" / "summary.json", "labels", "spread")
        self.run_dir.say(f"representation: {drawing.worth(facts)}")
        return {**facts, "files": drawing.files(folder)}

    @cached_property
    def across(self) -> Across | None:
        """With a target: which of its images show much the same as which of the source."""
        return Across.of(self.pool_table, self.settings.generate.image.neighbours) if self.settings.target else None

    # --- generators -------------------------------------------------------------------------------

    @cached_property
    def _generator_identity(self) -> dict[str, Any]:
        return {**self._encoder_identity, "generate": self.settings.generate.model_dump(mode="json")}

    @cached_property
    def image_generator(self) -> ImageGenerator | None:
        """The image generator, or none if it is switched off."""
        settings = self.settings.generate.image
        if not settings.enabled:
            return None
        identity = {**self._encoder_identity, "image": settings.model_dump(mode="json")}

        def make(stage: StageDir) -> ImageGenerator:
            data, seed, across = (self.pool_table, self.features), self.seed, self.across
            pairs = (self.near[1], None) if across is None else (across.near, across.sources)
            return train_image_generator(*data, settings, self.compute, seed, stage, self.encoder, *pairs)

        stage = self._stage("generate-image", identity)
        return stage.keep(make, partial(ImageGenerator.load, compute=self.compute))

    @cached_property
    def feature_generator(self) -> FeatureGenerator | None:
        """The feature generator, or none if it is switched off."""
        settings = self.settings.generate.feature
        if not settings.enabled:
            return None
        identity = {**self._encoder_identity, "feature": settings.model_dump(mode="json")}

        def make(stage: StageDir) -> FeatureGenerator:
            seed = self.seed
            return train_feature_generator(self.hidden, settings, self.compute, seed, stage, near=self.near[1])

        stage = self._stage("generate-feature", identity)
        return stage.keep(make, partial(FeatureGenerator.load, compute=self.compute))

    @cached_property
    def thresholds(self) -> Thresholds | None:
        """What real images score on the judges of minted ones."""
        return None if self.image_generator is None else self.thresholds_under(self.settings.mint)

    def thresholds_under(self, settings: MintSettings) -> Thresholds:
        """The same under other settings of minting; measured once for each, and stored."""
        chosen = {"realness": settings.realness, "copy_quantile": settings.copy_quantile}
        image = self.settings.generate.image.model_dump(mode="json")
        stage = self._stage("thresholds", {**self._encoder_identity, "image": image, **chosen})
        if not stage.done:
            start = time.monotonic()
            found = self._measure_thresholds(settings)
            stage.finish(time.monotonic() - start, **found.to_dict())
        facts = stage.facts()
        return Thresholds(**{name: facts[name] for name in Thresholds.__dataclass_fields__})

    def _measure_thresholds(self, settings: MintSettings) -> Thresholds:
        assert self.image_generator is not None
        data, seed = (self.pool_table, self.features), self.seed
        pairs = None if self.across is None else chosen_pairs(self.across.sources, self.across.near, seed)
        return thresholds_from(self.image_generator, *data, settings, seed, pairs, self.small)

    @cached_property
    def small(self) -> ReducedPool:
        """The pool's images reduced, in which all minting looks for copies."""
        return ReducedPool.of(self.pool_table)

    @cached_property
    def feature_thresholds(self) -> FeatureThresholds | None:
        """The same for features."""
        if self.feature_generator is None:
            return None
        learnt, near = self.settings.generate.feature, self.near[1]
        pairs = walked_pairs(near[:, : learnt.neighbours], learnt.apart, self.seed)
        return feature_thresholds(self.feature_generator, self.hidden, self.settings.mint, self.seed, pairs)

    def _stage(self, name: str, identity: dict[str, Any]) -> StageDir:
        return self.run_dir.stage(name, identity, self.seed)
