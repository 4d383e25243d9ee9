"""The commands that look, before any run: at images, at what a policy makes of them, at the settings.

cli.app.add_typer(app)
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from augmint import options
from augmint.config import DataSettings, explained, resolve

app = typer.Typer()
OPTIONS = ("preset", "data_source", "labels", "target", "labels_per_class", "seed", "device")  # of the commands


@app.command()
def check(
    source: options.Data,
    size: options.Size = None,
    mode: options.Mode = "auto",
    as_json: options.Json = False,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet (PNG) here.")] = None,
) -> None:
    """Look at the data first: counts, sizes, balance, corrupt files, duplicates, leaks."""
    from augmint import output
    from augmint.data.audit import audit
    from augmint.data.sheet import save_png

    found = audit(source, _data_settings(size, mode))
    if sheet:
        save_png(found.sheet(), sheet)
    output.print_json(found.to_dict()) if as_json else output.console.print("\n".join(found.lines()))


@app.command()
def preview(
    source: options.Data,
    policy: Annotated[str, typer.Option(help="Name of an augmentation policy.")] = "weak",
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("preview.png"),
    count: Annotated[int, typer.Option(min=1, help="Images (rows).")] = 8,
    views: Annotated[int, typer.Option(min=1, help="Views of each (columns).")] = 8,
    size: options.Size = None,
    mode: options.Mode = "auto",
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Write a grid: each row an image and what the policy makes of it."""
    from augmint import output
    from augmint.augment.preview import preview as draw
    from augmint.data import load
    from augmint.data.sheet import save_png

    save_png(draw(load(source, _data_settings(size, mode)), policy, seed, count, views), out)
    output.console.print(f"{policy}: {out}")


def _data_settings(size: int | None, mode: str) -> DataSettings:
    return resolve(overrides={"data": {"size": size, "mode": mode}}).data


@app.command()
def settings(preset: options.Preset = None, as_json: options.Json = False) -> None:
    """Print every setting with its value under a preset and what it means, as YAML for --config."""
    chosen = resolve(preset or "fast")
    print(json.dumps(chosen.model_dump(mode="json"), indent=1) if as_json else explained(chosen, OPTIONS))
