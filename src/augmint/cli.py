"""The command line; every command is a thin skin over the API.

augmint run photos/ --labels-per-class 10

Results go to stdout, progress to stderr. Exit codes: 0 done, 1 a failure of augmint's, 2 wrong usage,
3 something about the input or the disk, 4 done but not the verdict that --fail-unless asks for, 130 stopped by
Ctrl-C (the same command goes on).
"""

import csv
import errno
import io
import json
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from PIL.Image import Image
from rich.console import Console

from augmint import api
from augmint.config import PRESETS, DataSettings, Settings, assignments, merge, resolve
from augmint.errors import AugmintError, UsageError
from augmint.judge.gate import Wish
from augmint.train import ProgressOut, RunDir, checkpoint

app = typer.Typer(
    help="From a folder of images with few labels to a classifier, minted training images and an honest verdict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
out_console = Console(highlight=False, soft_wrap=True)

Source = Annotated[
    str,
    typer.Argument(
        metavar="DATA|RUN",
        help="Images (folder, manifest, Parquet, IDX, .npz, digits, fashion-mnist, cifar10) or an existing run folder.",
    ),
]
Data = Annotated[str, typer.Argument(metavar="DATA", help="Images: a folder, a file, or a known name.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder; default runs/<name of DATA>.")]
PerClass = Annotated[
    int | None,
    typer.Option(
        "--labels-per-class",
        min=1,
        help="Labels of each class that may be used; default: all there are, cross-validated.",
    ),
]
Preset = Annotated[str | None, typer.Option("--preset", help=f"{', '.join(PRESETS)} (default: fast).")]
Config = Annotated[Path | None, typer.Option("--config", help="YAML file of settings, laid over the preset.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="One setting, e.g. represent.width=64; may be repeated."),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of everything random (default 0).")]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1 (default: auto).")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, with time and memory; do nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Delete what is in the run folder and start again.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]
Size = Annotated[int | None, typer.Option("--size", min=1, help="Side in pixels; default from the data.")]
Mode = Annotated[str, typer.Option("--mode", help="auto, grey or rgb.")]
GATE = (
    "End with exit code 4 unless the verdict is helped, equivalent or not-hurt: of the first declared contrast, or of "
    "NAME in helped:NAME."
)

# What the disk may answer anywhere that a file is written or read; no defect of ours.
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EISDIR, errno.ENOTDIR}


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, default=str))


def _settings(
    source: str,
    out: Path | None,
    options: dict[str, Any],
    preset: str | None,
    config: Path | None,
    pairs: list[str] | None,
) -> tuple[Settings, Path]:
    """Settings and folder, of a new run or of the run that `source` is."""
    given = {name: value for name, value in options.items() if value is not None}
    if RunDir.is_run(Path(source)):
        if given or preset or config or pairs or out:
            raise UsageError(f"{source} is a run, its settings are fixed; start a new one from its data with --out")
        return api.stored_settings(Path(source)), Path(source)
    overrides = merge(assignments(pairs or []), given)
    settings = api.settings_for(source, preset=preset or "fast", config=config, overrides=overrides)
    return settings, out or api.default_folder(source)


def _dry_run(settings: Settings, folder: Path, as_json: bool) -> None:
    from augmint.estimate import estimate

    found = estimate(settings, folder)
    _print_json(found.to_dict()) if as_json else out_console.print(found.table())


def _tell(name: str, folder: Path, result: Any, as_json: bool) -> None:
    """What a stage did: the verdict of a whole run, else a line."""
    if name == "run":
        _show(folder, as_json)
        return
    if name == "measure" and not as_json:
        from augmint.report.text import measures

        out_console.print(measures(result))
        out_console.print(f"nearest pairs: {folder / 'measures' / 'nearest.png'}")
        return
    facts = {"stage": name, "run": str(folder), **(result if isinstance(result, dict) else {})}
    _print_json(facts) if as_json else out_console.print(_sentence(name, folder, facts), markup=False)


def _sentence(name: str, folder: Path, facts: dict[str, Any]) -> str:
    """What a stage did, in a line or a few."""
    if name == "represent":
        from augmint.report.encoder import lines

        return "\n".join(lines(facts, folder))
    if name == "mint":
        return f"{facts['kept']:,} of {facts['drawn']:,} minted images kept: {folder / 'minted'}"
    if name == "classify":
        return (
            f"final classifier: {facts['arm']}, {facts['cross_validated_accuracy']:.1%} in cross-validation on "
            f"{facts['labels']:,} labels: {folder / 'final'}"
        )
    return f"{name} done: {folder / 'stages'}"


def _show(folder: Path, as_json: bool) -> None:
    """The verdict, table first, and where the report is."""
    from augmint.report.text import render

    done = api.Run(folder)
    if as_json:
        _print_json(done.facts)
        return
    out_console.print(render(done.facts))
    out_console.print(f"report: {done.report}")


STAGES = {
    "run": "The main job: learn, generate, mint, classify, judge. Stopped, the same command goes on.",
    "represent": "Learn the encoder from all images, without labels.",
    "generate": "Train the image and feature generators, without labels.",
    "measure": "Measure the image generator beside real images: distances, use, variety, copies. Writes RUN/measures.",
    "classify": "Choose the best arm by cross-validation on the labels and fit the final classifier.",
}


def _add_stage(name: str, what: str) -> None:
    """The command of a stage: all take the same options."""

    def command(
        source: Source,
        out: Out = None,
        labels_per_class: PerClass = None,
        preset: Preset = None,
        config: Config = None,
        set_: Set = None,
        seed: Seed = None,
        device: Device = None,
        dry_run: DryRun = False,
        as_json: Json = False,
        overwrite: Overwrite = False,
        quiet: Quiet = False,
        fail_unless: Annotated[str | None, typer.Option(hidden=name != "run", metavar="VERDICT", help=GATE)] = None,
    ) -> None:
        if fail_unless and name != "run":
            raise UsageError(
                f"--fail-unless asks for a verdict, which `augmint {name}` does not give; use `augmint run`"
            )
        wish = Wish.read(fail_unless) if fail_unless else None
        done = _run_stage(
            name, source, out, labels_per_class, preset, config, set_, seed, device, dry_run, as_json, overwrite, quiet
        )
        if wish and done:
            wish.check(*done)

    app.command(name, help=what)(command)


def _run_stage(
    name: str,
    source: str,
    out: Path | None,
    labels_per_class: int | None,
    preset: str | None,
    config: Path | None,
    pairs: list[str] | None,
    seed: int | None,
    device: str | None,
    dry_run: bool,
    as_json: bool,
    overwrite: bool,
    quiet: bool,
) -> tuple[list[dict[str, Any]], float] | None:
    """Run a stage, or estimate it, and tell; of a whole run the verdict, and what counts as equivalent."""
    options = {"labels_per_class": labels_per_class, "seed": seed, "device": device}
    settings, folder = _settings(source, out, options, preset, config, pairs)
    if dry_run:
        _dry_run(settings, folder, as_json)
        return None
    result = api.execute(name, settings, folder, overwrite=overwrite, progress=ProgressOut(quiet))
    _tell(name, folder, result, as_json)
    return (api.Run(folder).verdict, settings.judge.equivalence) if name == "run" else None


for stage, what in STAGES.items():
    _add_stage(stage, what)


@app.command()
def mint(
    source: Source,
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="Images wished for, from an existing RUN.")
    ] = None,
    each: Annotated[bool, typer.Option("--per-class", help="--count is meant for each class.")] = False,
    form: Annotated[str, typer.Option("--format", help="With --count: folders, parquet or webdataset.")] = "folders",
    to: Annotated[Path | None, typer.Option("--to", help="With --count: where to write; default inside RUN.")] = None,
    out: Out = None,
    labels_per_class: PerClass = None,
    preset: Preset = None,
    config: Config = None,
    set_: Set = None,
    seed: Seed = None,
    device: Device = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Mint labelled images and write those that pass the judges to RUN/minted; with --count as many as you like."""
    if count is None:
        if each or to or form != "folders":
            raise UsageError("--per-class, --format and --to go with --count")
        _run_stage(
            "mint",
            source,
            out,
            labels_per_class,
            preset,
            config,
            set_,
            seed,
            device,
            dry_run,
            as_json,
            overwrite,
            quiet,
        )
        return
    if not RunDir.is_run(Path(source)) or out or labels_per_class or preset or config or set_ or device or overwrite:
        raise UsageError("--count mints from an existing run and takes --per-class, --seed, --format and --to alone")
    facts = api.mint(Path(source), count, per_class=each, seed=seed or 0, form=form, to=to, progress=ProgressOut(quiet))
    if as_json:
        _print_json(facts)
        return
    out_console.print(f"{facts['kept']:,} images kept of {facts['drawn']:,} drawn: {facts['folder']}", markup=False)
    wanted = count * len(facts["classes"]) if each else count
    if facts["kept"] < wanted:
        out_console.print(
            f"{wanted:,} were asked for; more parents (mint.parents_per_class) or children of each "
            "(mint.per_parent) allow more",
            markup=False,
        )


@app.command()
def report(folder: RunFolder, as_json: Json = False) -> None:
    """Write the report of a run again from its stored trials, and show the verdict."""
    from augmint.report import write

    write(folder)
    _show(folder, as_json)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="Another of the same data, labels and seed.")],
    arm: Annotated[
        list[str] | None,
        typer.Option(help="Only this arm; given twice, the first run's and the second's. Default: all that both have."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare two runs draw by draw: second minus first, with interval and verdict for each arm."""
    from augmint.report.compare import compare as pair
    from augmint.report.text import render_comparison

    found = pair(first, second, arm or ())
    _print_json(found) if as_json else out_console.print(render_comparison(found))


@app.command()
def predict(
    folder: RunFolder,
    images: Annotated[list[Path], typer.Argument(help="Image files or folders.")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Write CSV here instead of stdout.")] = None,
    as_json: Json = False,
) -> None:
    """Classify images with the final classifier of a run: CSV of file, label, probability."""
    found = [p for path in images for p in api.Run(folder).predict(path if path.is_dir() else [path], device)]
    if as_json:
        _print_json([asdict(p) for p in found])
        return
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(["file", "label", "probability"])
    writer.writerows([p.file, p.label, f"{p.probability:.4f}"] for p in found)
    checkpoint.atomic_write(out, table.getvalue()) if out else print(table.getvalue(), end="")


@app.command()
def check(
    source: Data,
    size: Size = None,
    mode: Mode = "auto",
    as_json: Json = False,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet (PNG) here.")] = None,
) -> None:
    """Look at the data first: counts, sizes, balance, corrupt files, duplicates, leaks."""
    from augmint.data.audit import audit

    found = audit(source, _data_settings(size, mode))
    if sheet:
        _save_png(found.sheet(), sheet)
    _print_json(found.to_dict()) if as_json else out_console.print("\n".join(found.lines()), markup=False)


@app.command()
def preview(
    source: Data,
    policy: Annotated[str, typer.Option(help="Name of an augmentation policy.")] = "weak",
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("preview.png"),
    count: Annotated[int, typer.Option(min=1, help="Images (rows).")] = 8,
    views: Annotated[int, typer.Option(min=1, help="Views of each (columns).")] = 8,
    size: Size = None,
    mode: Mode = "auto",
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Write a grid: each row an image and what the policy makes of it."""
    from augmint.augment.preview import preview as draw
    from augmint.data import load

    _save_png(draw(load(source, _data_settings(size, mode)), policy, seed, count, views), out)
    out_console.print(f"{policy}: {out}", markup=False)


def _save_png(picture: Image, path: Path) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    checkpoint.atomic_write(path, buffer.getvalue())


def _data_settings(size: int | None, mode: str) -> DataSettings:
    return resolve(overrides={"data": {"size": size, "mode": mode}}).data


@app.command()
def settings(preset: Preset = None, as_json: Json = False) -> None:
    """Print every setting with its value under a preset, as YAML for --config."""
    tree = resolve(preset or "fast").model_dump(mode="json")
    _print_json(tree) if as_json else print(yaml.safe_dump(tree, sort_keys=False), end="")


def main() -> None:
    """Entry point: errors become one line and an exit code."""
    try:
        app()
    except AugmintError as error:
        print(f"augmint: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, SystemExit) and stop.code != 130:  # 130: typer's answer to Ctrl-C, without a word
            raise
        print("augmint: stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK:
            where = f"{error.filename}: " if error.filename else ""
            print(f"augmint: {where}{error.strerror}; free space or choose another place", file=sys.stderr)
            sys.exit(3)
        traceback.print_exc()
        print(f"augmint: this is a defect of augmint, please report it: {error}", file=sys.stderr)
        sys.exit(1)
