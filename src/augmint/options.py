"""The options that several commands share, with their help texts.

def command(source: Source, out: Out = None, as_json: Json = False) -> None: ...
"""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from augmint.config import PRESETS


def _tell_version(wanted: bool) -> None:
    if wanted:
        print(f"augmint {version('augmint')}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version and exit.")
]
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
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="DATA",
        help="Unlabelled images of the place of use: minted images are to look like these. With labels in test/ the "
        "arms are judged there.",
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--labels",
        metavar="FILE",
        help="Labels that go over those of DATA: what `augmint pick` left to fill in, or a CSV of file_name and label. "
        "May be repeated.",
    ),
]
Preset = Annotated[str | None, typer.Option("--preset", help=f"{', '.join(PRESETS)} (default: fast).")]
Config = Annotated[Path | None, typer.Option("--config", help="YAML file of settings, laid over the preset.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="One setting, e.g. represent.width=64; may be repeated."),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, max=2**62, help="Seed of everything random (default 0).")]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1 (default: auto).")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, with time and memory; do nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Delete what is in the run folder and start again.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]
Arms = Annotated[
    list[str] | None,
    typer.Option(help="Only this arm; given twice, the first run's and the second's. Default: all that both have."),
]
Size = Annotated[int | None, typer.Option("--size", min=1, help="Side in pixels; default from the data.")]
Mode = Annotated[str, typer.Option("--mode", help="auto, grey or rgb.")]

GATE = (
    "End with exit code 4 unless the verdict is helped, equivalent or not-hurt: of the first declared contrast, or of "
    "NAME in helped:NAME."
)
