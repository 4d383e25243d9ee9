"""Write minted images for people and programs, whole or not at all.

    export(minted, pool, run_folder, generator=generator)

    <folder>/minted/<class>/000012.png              the kept images, and nothing else
    <folder>/minted/metadata.parquet                one row each: label, parent, seed, scores, kept, reason
    <folder>/minted/gallery.safetensors             the report's pictures, counts of all candidates
    <folder>/minted-rejected/<reason>/000013.png    up to 200 of the rejected
    <folder>/minted-rejected/metadata.parquet       one row for every rejected candidate, the same columns

Rejected ones lie beside `minted`: loaders take every folder in it for a class and every row for an image.
"""

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError
from safetensors.torch import save_file

from augmint.data.table import ImageTable
from augmint.errors import InputError, UsageError
from augmint.generate.image import ImageGenerator
from augmint.mint.formats import png, write_parquet, write_tars
from augmint.mint.gallery import gallery, rejected_places
from augmint.mint.images import Minted
from augmint.mint.names import folder_names
from augmint.train.compute import cores

SCHEMA = 1
KEPT, REJECTED = "minted", "minted-rejected"
MOST_REJECTED = 200
METADATA = "metadata.parquet"


def _hidden(target: Path, ending: str) -> Path:
    return target.with_name(f".{target.name}.{ending}")


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


@contextmanager
def replaced(*targets: Path) -> Iterator[tuple[Path, ...]]:
    """New folders beside `targets`, moved into their places when the block ends well, removed when it fails.

    The last target is moved last. InputError if the disk refuses.
    """
    parts = tuple(_hidden(target, "part") for target in targets)
    try:
        for part in parts:
            _remove(part)
            part.mkdir(parents=True)
        yield parts
        for part, target in zip(parts, targets, strict=True):
            old = _hidden(target, "old")
            _remove(old)
            if target.exists() or target.is_symlink():
                os.replace(target, old)
            os.replace(part, target)
            _remove(old)
    except (OSError, SafetensorError) as error:
        said = getattr(error, "strerror", None) or error
        raise InputError(f"cannot write {targets[-1]}: {said}; free space or choose another folder") from error
    finally:
        for part in parts:
            shutil.rmtree(part, ignore_errors=True)


def _save_png(pixels: np.ndarray[Any, Any], path: Path) -> None:
    path.write_bytes(png(pixels))


def _save_all(minted: Minted, paths: dict[int, Path]) -> None:
    """The candidates at these places, in threads: zlib and the disk work outside the interpreter's lock."""
    for folder in {path.parent for path in paths.values()}:
        folder.mkdir(parents=True, exist_ok=True)
    images = minted.table.gather(minted.parent_rows.new_tensor(list(paths))).numpy()
    with ThreadPoolExecutor(cores()) as threads:
        for _ in threads.map(_save_png, images, paths.values()):
            pass


def file_names(minted: Minted) -> list[str | None]:
    """Path of each candidate's PNG in its folder, None for rejected ones beyond the limit."""
    classes, reasons = folder_names(minted.table.classes), sorted({*minted.reason})
    folders = dict(zip(reasons, folder_names(reasons), strict=True))
    shown = set(rejected_places(minted, MOST_REJECTED).tolist())
    candidates = enumerate(zip(minted.table.labels.tolist(), minted.reason, strict=True))
    return [
        (f"{folders[reason]}/{place:06d}.png" if place in shown else None)
        if reason
        else f"{classes[label]}/{place:06d}.png"
        for place, (label, reason) in candidates
    ]


def trail(minted: Minted, pool: ImageTable) -> pa.Table:
    """One row a candidate; the table's own metadata hold schema version, classes, thresholds and settings."""
    table, parents = minted.table, minted.parent_rows.numpy()
    labels = table.labels.tolist()
    columns = {
        "file_name": pa.array(file_names(minted), pa.string()),
        "label": pa.array(labels, pa.int64()),
        "class": pa.array([table.classes[label] for label in labels], pa.string()),
        "kept": pa.array(minted.kept.tolist(), pa.bool_()),
        "reason": pa.array(minted.reason, pa.string()),
        "candidate": pa.array(range(len(labels)), pa.int64()),
        "id": pa.array(table.ids.tolist(), pa.string()),
        "parent": pa.array(pool.ids[parents].tolist(), pa.string()),
        "parent_row": pa.array(parents, pa.int64()),
        "parent_path": pa.array(pool.paths[parents].tolist(), pa.string()),
        "nearest": pa.array(pool.ids[minted.nearest_rows.numpy()].tolist(), pa.string()),
        "seed": pa.array([minted.seed] * len(labels), pa.int64()),
        "step": pa.array(minted.steps.numpy(), pa.int64()),
        **{name: pa.array(score.float().numpy(), pa.float32()) for name, score in minted.scores.items()},
    }
    note = {
        "schema": str(SCHEMA),
        "classes": json.dumps(table.classes),
        "folders": json.dumps(folder_names(table.classes)),
        "thresholds": json.dumps(minted.thresholds.to_dict()),
        "settings": json.dumps(minted.settings.model_dump(mode="json")),
    }
    return pa.table(columns).replace_schema_metadata(note)


def _refuse_foreign(target: Path) -> None:
    """InputError if the folder holds something that no export wrote."""
    if target.is_dir() and any(target.iterdir()) and not (target / METADATA).exists():
        raise InputError(f"{target} holds other files; move them away or choose another folder")


def _write_part(minted: Minted, table: pa.Table, chosen: np.ndarray[Any, Any], part: Path, form: str) -> None:
    """The candidates where `chosen` (bool [N]): images in this format and metadata, the latter last."""
    own = table.filter(pa.array(chosen))
    if form != "folders":
        WRITERS[form](minted, table, part)
        pq.write_table(own, part / METADATA)
        return
    names = zip(own.column("candidate").to_pylist(), own.column("file_name").to_pylist(), strict=True)
    _save_all(minted, {place: part / name for place, name in names if name is not None})
    pq.write_table(own, part / METADATA)


WRITERS = {"parquet": write_parquet, "webdataset": write_tars}
FORMATS = ("folders", *WRITERS)


def export(
    minted: Minted, pool: ImageTable, folder: Path, form: str = "folders", generator: ImageGenerator | None = None
) -> Path:
    """Write `minted/` and `minted-rejected/` in `folder`, replacing those of an earlier export; returns `minted/`.

    `form`: the kept images as class "folders", as "parquet" for Hugging Face's datasets or as "webdataset" tar files.
    `pool` is the table whose rows the parents are; with the `generator` the report also shows what lies between
    children. InputError if the disk refuses or a folder of that name holds other files; what was there before is then
    untouched.
    """
    if form not in FORMATS:
        raise UsageError(f"--format {form}: there is no such format; choose one of {', '.join(FORMATS)}")
    kept, rejected = Path(folder) / KEPT, Path(folder) / REJECTED
    for target in (kept, rejected):
        _refuse_foreign(target)
    table, chosen = trail(minted, pool), minted.kept.numpy()
    tensors, facts = gallery(minted, pool, generator)
    with replaced(rejected, kept) as (rejected_part, kept_part):
        _write_part(minted, table, ~chosen, rejected_part, "folders")
        save_file(tensors, kept_part / "gallery.safetensors", metadata={"facts": json.dumps(facts)})
        _write_part(minted, table, chosen, kept_part, form)
    return kept
