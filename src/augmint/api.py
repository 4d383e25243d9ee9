"""augmint from Python.

    import augmint as am

    run = am.run("photos/", labels_per_class=10)
    run.verdict                      # one entry a contrast: helped, hurt, equivalent, undecided
    run.predict(["new/1.jpg"])       # class names and probabilities

The same call again resumes or, once finished, just loads; other settings need another `out`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from augmint.config import Settings, merge, mint_more, resolve, vary
from augmint.data import decode
from augmint.errors import InputError, UsageError
from augmint.judge.arms import Head
from augmint.judge.trials import load_model
from augmint.mint import Wish
from augmint.mint.folder import FORMATS
from augmint.minting import check_names
from augmint.pipeline import Pipeline
from augmint.represent import Encoder, to_label, typical
from augmint.train import QUIET, Compute, ProgressOut, RunDir, checkpoint, parallel
from augmint.train.reuse import origin
from augmint.train.rundir import CONFIG, file_digest


@dataclass(frozen=True)
class Prediction:
    """The class of one image and the calibrated probability of every class."""

    file: str
    label: str
    probability: float
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path

    @property
    def facts(self) -> dict[str, Any]:
        """Everything that the report says, as data. InputError if the run has no report yet."""
        path = self.folder / "report" / "report.json"
        if not path.exists():
            raise InputError(f"{self.folder} has no report yet; finish it with `augmint run {self.folder}`")
        return checkpoint.read_json(path, "verdict")

    @property
    def verdict(self) -> list[dict[str, Any]]:
        """The declared contrasts with their intervals and words."""
        verdict: list[dict[str, Any]] = self.facts["verdict"]
        return verdict

    @property
    def report(self) -> Path:
        """The HTML page."""
        return self.folder / "report" / "index.html"

    def predict(self, files: Sequence[str | Path] | str | Path, device: str = "auto") -> list[Prediction]:
        """Classify image files, or all images of a folder, by the run's final classifier."""
        facts = _final_facts(self.folder)
        names, images = decode(files, tuple(facts["shape"]))
        logits = _logits(self.folder, images, Compute.choose(device)) / facts["temperature"]
        probabilities = logits.double().softmax(1)
        best = probabilities.argmax(1).tolist()
        classes = facts["classes"]
        return [
            Prediction(name, classes[k], float(p[k]), dict(zip(classes, p.tolist(), strict=True)))
            for name, k, p in zip(names, best, probabilities, strict=True)
        ]


def _final_facts(folder: Path) -> dict[str, Any]:
    path = folder / "final" / "final.json"
    if not path.exists():
        raise InputError(
            f"{folder} has no final classifier; make one with `augmint run` or `augmint classify {folder}`"
        )
    return checkpoint.read_json(path, "shape", "classes", "temperature")


def _logits(folder: Path, images: Tensor, compute: Compute) -> Tensor:
    model = load_model(folder / "final" / "model.safetensors", compute)
    if isinstance(model, Head):
        return model.logits(Encoder.load(folder / "final" / "encoder.safetensors", compute).hidden(images))
    return model.logits(images)


def default_folder(source: str) -> Path:
    """runs/<name of the source>; of a run, its own."""
    return known(source) or Path("runs") / (Path(source).stem or "run")


def known(source: str | Path) -> Path | None:
    """The run folder that the source is, or None: then it is data."""
    return Path(source) if RunDir.is_run(Path(source)) else None


def settings_for(
    source: str | Path,
    *,
    preset: str | None = None,
    config: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Settings of a new run on this source, by the preset (None: fast); if it is a run, those of that run, changed.
    Paths are kept absolute so that any folder can resume it."""
    run = known(source)
    if run is None:
        chosen = resolve(preset or "fast", config, merge(overrides or {}, {"data_source": _absolute(source)}))
        files: Iterable[str | Path] = chosen.labels or ()
    else:
        if preset:
            raise UsageError(f"--preset {preset}: {source} is a run and has its settings; change them with --set")
        stored = stored_settings(run)
        if overrides and overrides.get("data_source", stored.data_source) != stored.data_source:
            raise UsageError(f"{source} is a run of {stored.data_source}; for other data start a new one from these")
        chosen = vary(stored, config, merge(overrides or {}, {"data_source": stored.data_source}))
        files = [file for file, content in (chosen.labels or {}).items() if not content]  # that are new
        if chosen.labels:  # more of them, not others
            chosen = chosen.model_copy(update={"labels": stored.labels})
    target = {"target": _absolute(chosen.target)} if chosen.target else {}
    return label(chosen.model_copy(update=target), files)


def label(settings: Settings, files: Iterable[str | Path]) -> Settings:
    """The settings with these files of labels as well, and what is in them. InputError for one that cannot be read."""
    for file in map(Path, files := list(files)):
        if file.is_dir():
            raise InputError(f"--labels {file} is a folder; give the file of labels in it, e.g. manifest.csv")
    found = {str(Path(file).resolve()): file_digest(Path(file)) for file in files}
    known = {file: content for file, content in (settings.labels or {}).items() if content}
    return settings.model_copy(update={"labels": {**known, **found} or None})


def _absolute(place: str | Path) -> str:
    text = str(place)
    return str(Path(text).resolve()) if Path(text).exists() else text


def stored_settings(folder: Path) -> Settings:
    """Settings of an existing run. InputError if its config.yaml is not one of ours."""
    try:
        return Settings.model_validate(yaml.safe_load((folder / CONFIG).read_text()))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{folder / CONFIG} is not a run of this augmint: {str(error).splitlines()[0]}") from error


def execute(
    stage: str,
    settings: Settings,
    folder: Path,
    *,
    overwrite: bool = False,
    reuse: Path | None = None,
    progress: ProgressOut = QUIET,
) -> Any:
    """Run one stage ('represent', 'generate', 'mint', 'measure', 'classify', 'run') with what it needs before it; what
    the run `reuse` has learnt from the same images with the same settings is taken from there."""
    parallel.start()
    if parallel.rank():
        return _help(stage, settings, folder)
    if overwrite:
        check_names(settings)  # before the run that stands there is gone
        _spare_labels(settings, folder)
    config = settings.model_dump(mode="json")
    with RunDir.open(folder, config, overwrite=overwrite, reuse=reuse, progress=progress) as run_dir:
        parallel.wait()
        pipeline = Pipeline(run_dir, settings)
        if stage == "measure" and parallel.world() > 1:  # with the others, who would not wait for the generator
            pipeline.encoders(stage)
        if stage == "generate":
            return [pipeline.image_generator, pipeline.feature_generator]
        if stage in ("represent", "mint", "measure", "classify", "run"):
            return getattr(pipeline, stage)()
    raise UsageError(f"there is no stage {stage!r}")


def _spare_labels(settings: Settings, folder: Path) -> None:
    """InputError if --overwrite would delete labels that somebody has filled in."""
    inside = [Path(file) for file in settings.labels or {} if Path(file).is_relative_to(folder.resolve())]
    for file in [*inside, *to_label.filled(folder)]:
        raise InputError(f"--overwrite would delete {file}, which has labels in it; move it out of {folder} first")


def mint(
    folder: Path,
    count: int,
    *,
    per_class: bool = False,
    seed: int = 0,
    form: str = "folders",
    to: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: ProgressOut = QUIET,
) -> dict[str, Any]:
    """Mint `count` images (of each class, if `per_class`) from an existing run; stopped, the same call goes on.

    form   "folders" (class folders of PNG files), "parquet" (Hugging Face's datasets) or "webdataset"
    to     where `minted/` and `minted-rejected/` are written; default RUN/minted-COUNT-seedSEED; no run itself
    settings  of minting, where they are to be other than the run's, e.g. {"mint": {"per_parent": 20}}; caps that are
           not among them are raised as far as `count` needs

    Returns drawn, kept, kept by class, the caps with the most that they allow, and the folder. UsageError for an
    unknown format, a setting that has no say, or a run as `to`.
    """
    if form not in FORMATS:
        raise UsageError(f"--format {form}: there is no such format; choose one of {', '.join(FORMATS)}")
    if to is not None and RunDir.is_run(to):
        raise UsageError(f"--to {to}: that is a run with minted images of its own; choose a folder beside it")
    stored = stored_settings(folder)
    mint_more(stored, settings or {})  # before anything is loaded
    with RunDir.open(folder, stored.model_dump(mode="json"), progress=progress) as run_dir:
        return Pipeline(run_dir, stored).mint_more(Wish(count, per_class, seed), form, to, settings)


def pick(
    settings: Settings,
    folder: Path,
    budget: int,
    *,
    fresh: bool = False,
    reuse: Path | None = None,
    progress: ProgressOut = QUIET,
) -> tuple[Path, list[dict[str, Any]]]:
    """The `budget` images to label next, the most urgent first, and where they were written: `folder`/pick, or pick-2,
    pick-3, … beside picks that have been labelled.

    Each has its file, cluster, typicality and the name of its copy. The run's encoder is used, or learnt first. Given
    labels count as covered, unless `fresh`: then as if no image were labelled. The test split is left alone.
    """
    with RunDir.open(folder, settings.model_dump(mode="json"), reuse=reuse, progress=progress) as run_dir:
        place = to_label.place(folder, settings.labels or {})
        pipeline = Pipeline(run_dir, settings)
        pool = pipeline.table.take(pipeline.parts.pool)
        known = torch.nonzero(pool.labels >= 0)[:, 0] if not fresh else torch.empty(0, dtype=torch.int64)
        if len(known) + budget > len(pool):  # before an encoder is learnt for nothing
            raise InputError(
                f"asked for {budget} images to label, but {len(pool) - len(known):,} of {len(pool):,} are unlabelled; "
                "ask for fewer, or --fresh to pick as if none were labelled"
            )
        picks = typical.pick(pipeline.features, budget, known, settings.seed)
        return place, to_label.write(pool, picks, place, settings.data_source)


def _help(stage: str, settings: Settings, folder: Path) -> None:
    """What the other processes of a `torchrun` do: learn the encoders with the first one, which does all the rest."""
    parallel.wait()  # until the first has the run folder ready
    Pipeline(RunDir(folder, writes=False, reuse=origin(folder)), settings).encoders(stage)


def run(
    source: str | Path,
    out: str | Path | None = None,
    *,
    labels: str | Path | Sequence[str | Path] | None = None,
    target: str | Path | None = None,
    labels_per_class: int | None = None,
    preset: str | None = None,
    seed: int | None = None,
    device: str | None = None,
    settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Run:
    """The main job: from images to a classifier, minted images and a verdict.

    source            a folder of images, a manifest, a Parquet, IDX or .npz file, or a known name ("digits"); or a run:
                      what it has learnt with the same settings is taken over, e.g. under new labels its encoder
    out               the run folder; default runs/<name of the source>, of a run its own, which then goes on
    labels            files of labels that go over those of the source: what `augmint pick` left to fill in
    target            unlabelled images of the place of use: minted images look like these, and where it has a labelled
                      test split the arms are judged on that
    labels_per_class  how many labels of each class may be used; None: all there are, or as many as the run
    preset            fast, demo, tiny or thorough; None: fast
    settings          any setting by its tree, e.g. {"represent": {"width": 64}}

    InputError for data that cannot be used, UsageError for settings that do not fit.
    """
    given = {"labels_per_class": labels_per_class, "seed": seed, "device": device, "labels": labels}
    given |= {"target": None if target is None else str(target)}
    over = merge({name: value for name, value in given.items() if value is not None}, settings or {})
    folder = Path(out) if out is not None else default_folder(str(source))
    chosen = settings_for(source, preset=preset, overrides=over)
    reuse = None if folder == known(source) else known(source)
    execute("run", chosen, folder, overwrite=overwrite, reuse=reuse, progress=ProgressOut(quiet))
    return Run(folder)
