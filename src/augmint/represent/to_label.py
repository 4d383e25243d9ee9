"""The chosen images as something to work with: copies, a contact sheet, a manifest to fill in.

folder = place(run, labels)                              # run/pick, then run/pick-2, … one for each round of labelling
lines = write(table, picks, folder, source="photos/")
# pick/manifest.csv: file_name,label,source       fill in the labels, then: augmint run photos/ --labels …/manifest.csv
# pick/images/001-cat7.jpg, …   pick/sheet.png
"""

import csv
import io
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from augmint.data.readers.manifest import columns
from augmint.data.sheet import save_png, sheet
from augmint.data.table import ImageTable
from augmint.errors import InputError
from augmint.represent.typical import Picks
from augmint.train import RunDir
from augmint.train.checkpoint import atomic_write

COLUMNS = 8  # of the contact sheet
MANIFEST, SHEET, HEADER = "manifest.csv", "sheet.png", ["file_name", "label", "source"]


def write(table: ImageTable, picks: Picks, folder: Path, source: str) -> list[dict[str, Any]]:
    """Write the picks (rows of `table`) to `folder` and return a line for each: file, cluster, typicality, copy.

    Files are copied as they are; where the source has none, the table's pixels are written as PNG. InputError if the
    folder holds a manifest that somebody has begun to fill in.
    """
    manifest = folder / MANIFEST
    if begun(manifest):
        raise _filled_in(manifest)
    shutil.rmtree(folder / "images", ignore_errors=True)
    lines = []
    for number, row in enumerate(picks.rows.tolist(), 1):
        name = str(table.paths[row]) or str(table.ids[row])
        copy = _copy(table, row, number, folder, source)
        facts = {"cluster": int(picks.cluster[number - 1]), "typicality": float(picks.typicality[number - 1])}
        lines.append({"file": name, **facts, "copy": copy})
    _sheet(table, picks, folder / SHEET)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HEADER)
    writer.writerows([line["copy"], "", line["file"]] for line in lines)
    atomic_write(manifest, text.getvalue())
    return lines


def place(run: Path, labels: Collection[str]) -> Path:
    """Where the next picks go: `run`/pick, or pick-2, pick-3, … beside those whose labels are used.

    InputError if a manifest has labels in it that are not: its images would be picked again.
    """
    folder, number = run / "pick", 1
    while True:
        manifest = folder / MANIFEST
        used = any(Path(file).is_relative_to(folder.resolve()) for file in labels)  # under any name
        if not used and not begun(manifest):
            return folder
        if not used:
            raise _filled_in(manifest, " and another --out" if RunDir.is_compared(run) else "")
        number += 1
        folder = run / f"pick-{number}"


def _filled_in(manifest: Path, more: str = "") -> InputError:
    told = f"pick more with --labels {manifest}{more}, or move {manifest.parent} away"
    return InputError(f"{manifest} has labels in it; {told}")


def filled(run: Path) -> list[Path]:
    """What somebody has worked on in any round: manifests with a label, and files that are none of ours."""
    found = (path for path in sorted(run.glob("pick*/*")) if path.is_file() and path.name != SHEET)
    return [path for path in found if path.name != MANIFEST or begun(path)]


def begun(manifest: Path) -> bool:
    """Whether somebody has filled in a label, or saved it in another form, as spreadsheets do: what is not blank for
    certain is not to be lost."""
    if not manifest.exists():
        return False
    try:
        found = columns(manifest)
    except InputError:
        return True
    return list(found) != HEADER or any(label.strip() for label in found["label"])


def _original(table: ImageTable, row: int, source: str) -> Path | None:
    """The file of this row, if the source consists of files."""
    name, place = str(table.paths[row]), Path(source)
    path = (place if place.is_dir() else place.parent) / name
    return path if name and path.is_file() else None


def _copy(table: ImageTable, row: int, number: int, folder: Path, source: str) -> str:
    """Copy or write one image; its name relative to `folder`."""
    original = _original(table, row, source)
    name = Path("images") / (f"{number:03d}-{original.name}" if original else f"{number:03d}.png")
    if original:
        atomic_write(folder / name, original.read_bytes())
        return str(name)
    pixels = table.gather(torch.tensor([row]))[0].permute(1, 2, 0).contiguous().numpy()
    save_png(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels), folder / name)
    return str(name)


def _sheet(table: ImageTable, picks: Picks, path: Path) -> None:
    names = [Path(str(table.paths[row])).name for row in picks.rows.tolist()]
    captions = [f"{number} {name}" for number, name in enumerate(names, 1)]
    save_png(sheet(table.gather(picks.rows), COLUMNS, captions=captions), path)
