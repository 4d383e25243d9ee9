"""The command line; every command is a thin skin over the API.

augmint run photos/ --labels-per-class 10

Results go to stdout, progress to stderr. Exit codes: 0 done, 1 a failure of augmint's, 2 wrong usage,
3 something about the input or the disk, 4 done but not the verdict that --fail-unless asks for, 130 stopped by
Ctrl-C (the same command goes on). Commands import what they need themselves: `augmint --help` need not wait for torch.
"""

import errno
import shlex
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from augmint import looking, options
from augmint.config import Settings, assignments, merge
from augmint.errors import AugmintError, InputError, UsageError, wants_memory

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def about(version: options.Version = False) -> None:
    """From a folder of images with few labels to a classifier, minted training images and an honest verdict."""


# What the disk may answer anywhere that a file is written or read; no defect of ours.
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EISDIR, errno.ENOTDIR}
DISK |= {errno.ENAMETOOLONG, errno.ELOOP, errno.EFBIG, errno.ESTALE}


def _settings(
    source: str,
    out: Path | None,
    values: dict[str, Any],
    preset: str | None,
    config: Path | None,
    pairs: list[str] | None,
) -> tuple[Settings, Path, Path | None]:
    """Settings and folder of a run: a new one, or the one that `source` is; with --out a new one that starts from
    that, which comes third."""
    from augmint import api

    given = {name: value for name, value in values.items() if value is not None}
    known = api.known(source)
    if known and not out and ({*given} - {"labels"} or preset or config or pairs):
        raise UsageError(f"{source} is a run, its settings are fixed; with --out a new run starts from it")
    overrides = merge(assignments(pairs or []), given)
    settings = api.settings_for(source, preset=preset, config=config, overrides=overrides)
    folder = out or api.default_folder(source)
    if folder.is_file():
        raise InputError(f"{folder} is a file, not a folder; choose another --out")
    return settings, folder, None if folder == known else known


GIVEN = ("labels", "target", "labels_per_class", "seed", "device")  # settings that have an option of their own
STAGES = {
    "run": "The main job: learn, generate, mint, classify, judge. Stopped, the same command goes on.",
    "represent": "Learn the encoder from all images, without labels.",
    "generate": "Train the image and feature generators, without labels.",
    "measure": "Measure the image generator beside real images: distances, use, variety, copies. Writes RUN/measures.",
    "classify": "Choose the best arm by cross-validation on the labels and fit the final classifier.",
}


def _add_stage(name: str, what: str) -> None:
    """The command of a stage: all take the same options."""
    gate = typer.Option("--fail-unless", hidden=name != "run", metavar="VERDICT", help=options.GATE)

    def command(
        source: options.Source,
        out: options.Out = None,
        labels: options.Labels = None,
        target: options.Target = None,
        labels_per_class: options.PerClass = None,
        preset: options.Preset = None,
        config: options.Config = None,
        set_: options.Set = None,
        seed: options.Seed = None,
        device: options.Device = None,
        dry_run: options.DryRun = False,
        as_json: options.Json = False,
        overwrite: options.Overwrite = False,
        quiet: options.Quiet = False,
        fail_unless: Annotated[str | None, gate] = None,
    ) -> None:
        from augmint.judge.gate import Wish

        if fail_unless and name != "run":
            raise UsageError(
                f"--fail-unless asks for a verdict, which `augmint {name}` does not give; use `augmint run`"
            )
        wish = Wish.read(fail_unless) if fail_unless else None
        given = dict(zip(GIVEN, (labels, target, labels_per_class, seed, device), strict=True))
        done = _run_stage(name, source, out, given, preset, config, set_, dry_run, as_json, overwrite, quiet)
        if wish and done:
            wish.check(*done)

    app.command(name, help=what)(command)


def _run_stage(
    name: str,
    source: str,
    out: Path | None,
    values: dict[str, Any],
    preset: str | None,
    config: Path | None,
    pairs: list[str] | None,
    dry_run: bool,
    as_json: bool,
    overwrite: bool,
    quiet: bool,
) -> tuple[list[dict[str, Any]], float] | None:
    """Run a stage, or estimate it, and tell; of a whole run the verdict, and what counts as equivalent."""
    from augmint import api, output
    from augmint.train import ProgressOut, parallel

    settings, folder, reuse = _settings(source, out, values, preset, config, pairs)
    if dry_run:
        if reuse:
            ProgressOut(quiet).say(f"still counted is what would be taken over from {reuse}")
        output.dry_run(settings, folder, as_json, ProgressOut(quiet))
        return None
    result = api.execute(name, settings, folder, overwrite=overwrite, reuse=reuse, progress=ProgressOut(quiet))
    if parallel.rank():  # under torchrun the first process has the results and tells them
        return None
    output.tell(name, folder, result, as_json)
    return (api.Run(folder).verdict, settings.judge.equivalence) if name == "run" else None


for stage, what in STAGES.items():
    _add_stage(stage, what)


@app.command()
def mint(
    source: options.Source,
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="Images wished for, from an existing RUN.")
    ] = None,
    each: Annotated[bool, typer.Option("--per-class", help="--count is meant for each class.")] = False,
    form: Annotated[str, typer.Option("--format", help="With --count: folders, parquet or webdataset.")] = "folders",
    to: Annotated[Path | None, typer.Option("--to", help="With --count: where to write; default inside RUN.")] = None,
    out: options.Out = None,
    labels: options.Labels = None,
    target: options.Target = None,
    labels_per_class: options.PerClass = None,
    preset: options.Preset = None,
    config: options.Config = None,
    set_: options.Set = None,
    seed: options.Seed = None,
    device: options.Device = None,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Mint labelled images and write those that pass the judges to RUN/minted; with --count as many as there can be."""
    from augmint import api, output
    from augmint.train import ProgressOut, RunDir

    if count is None:
        if each or to or form != "folders":
            raise UsageError("--per-class, --format and --to go with --count")
        given = dict(zip(GIVEN, (labels, target, labels_per_class, seed, device), strict=True))
        _run_stage("mint", source, out, given, preset, config, set_, dry_run, as_json, overwrite, quiet)
        return
    others = out, labels, target, labels_per_class, preset, config, device, dry_run, overwrite
    if not RunDir.is_run(Path(source)) or any(others):
        raise UsageError(
            "--count mints from an existing run and takes --per-class, --seed, --format, --to and --set alone"
        )
    progress, over = ProgressOut(quiet), assignments(set_ or [])
    facts = api.mint(
        Path(source), count, per_class=each, seed=seed or 0, form=form, to=to, settings=over, progress=progress
    )
    output.minted(facts, count * len(facts["classes"]) if each else count, as_json)


@app.command()
def report(folder: options.RunFolder, as_json: options.Json = False) -> None:
    """Write the report of a run again from its stored trials, and show the verdict."""
    from augmint import output
    from augmint.report import write

    write(folder)
    output.show(folder, as_json)


@app.command()
def pick(
    source: options.Source,
    budget: Annotated[int, typer.Option(min=1, help="How many images to label.")],
    out: options.Out = None,
    labels: options.Labels = None,
    preset: options.Preset = None,
    config: options.Config = None,
    set_: options.Set = None,
    seed: options.Seed = None,
    device: options.Device = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="As if no image were labelled.")] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Which images to label first: typical ones, spread over all kinds. Writes RUN/pick: copies, sheet, manifest.

    With the --labels of a round the next one goes to RUN/pick-2, and so on."""
    from augmint import api, output
    from augmint.train import ProgressOut, RunDir

    given = {"labels": labels, "seed": seed, "device": device}
    settings, folder, reuse = _settings(source, out, given, preset, config, set_)
    place, found = api.pick(settings, folder, budget, fresh=fresh, reuse=reuse, progress=ProgressOut(quiet))
    manifest, shown = place / "manifest.csv", place / "sheet.png"
    if as_json:
        output.print_json({"schema": 1, "run": str(folder), "manifest": str(manifest), "picks": found})
        return
    output.print_csv(
        ["file", "cluster", "typicality"], [[p["file"], p["cluster"], f"{p['typicality']:.4f}"] for p in found]
    )
    new = f" --out {shlex.quote(f'{folder}-2')}" if RunDir.is_compared(folder) else ""
    ProgressOut(quiet).say(f"fill in the labels in {manifest} (the images: {shown}); then go on with")
    ProgressOut(quiet).say(f"augmint run {shlex.quote(str(folder))} --labels {shlex.quote(str(manifest))}{new}")


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="Another of the same data, labels and seed.")],
    arm: options.Arms = None,
    as_json: options.Json = False,
) -> None:
    """Compare two runs draw by draw: second minus first, with interval and verdict for each arm."""
    from augmint import output
    from augmint.report.compare import compare as pair
    from augmint.report.text import render_comparison

    found = pair(first, second, arm or ())
    output.print_json(found) if as_json else output.console.print(render_comparison(found))


@app.command()
def predict(
    folder: options.RunFolder,
    images: Annotated[list[Path], typer.Argument(help="Image files or folders.")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Write CSV here instead of stdout.")] = None,
    as_json: options.Json = False,
) -> None:
    """Classify images with the final classifier of a run: CSV of file, label, probability."""
    from augmint import api, output

    found = api.Run(folder).predict(images, device)
    if as_json:
        output.print_json([asdict(p) for p in found])
        return
    output.print_csv(["file", "label", "probability"], [[p.file, p.label, f"{p.probability:.4f}"] for p in found], out)


app.add_typer(looking.app)  # check, preview, settings


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
        if wants_memory(error):
            advice = "a smaller batch, width or data.size takes less"
            print(f"augmint: there is not enough memory for these settings; {advice}", file=sys.stderr)
            sys.exit(3)
        traceback.print_exc()
        print(f"augmint: this is a defect of augmint, please report it: {error}", file=sys.stderr)
        sys.exit(1)
