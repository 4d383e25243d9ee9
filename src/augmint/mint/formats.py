"""Minted images as other tools load them: Parquet for Hugging Face's datasets, tar files for WebDataset.

    write_parquet(minted, trail, folder)       # folder/data/train-00000-of-00002.parquet, …
    write_tars(minted, trail, folder)          # folder/minted-000000.tar, …

Both hold the PNG files of the kept images with label and trail. Parquet: `image` is a struct of bytes and path, `label`
a class number whose names stand in the metadata that `datasets` reads. Tar: KEY.png, KEY.cls and KEY.json for each.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from augmint.mint.images import Minted
from augmint.train.compute import cores

SHARD = 10_000  # images a file
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(pixels: np.ndarray[Any, Any]) -> bytes:
    """uint8 [C, H, W], C = 1 or 3, as a PNG file."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    buffer = io.BytesIO()
    image.save(buffer, "png", compress_level=3)
    return buffer.getvalue()


def shards(minted: Minted, trail: pa.Table) -> Iterator[tuple[pa.Table, list[bytes]]]:
    """The kept rows of `trail` in parts of up to 10,000, with their PNG files."""
    kept = torch.nonzero(minted.kept)[:, 0]
    with ThreadPoolExecutor(cores()) as threads:
        for rows in torch.split(kept, SHARD) if len(kept) else (kept,):
            yield trail.take(pa.array(rows.numpy())), list(threads.map(png, minted.table.gather(rows).numpy()))


def _features(schema: pa.Schema, classes: tuple[str, ...]) -> bytes:
    """The metadata by which `datasets` knows images and class names."""
    names = {pa.bool_(): "bool", pa.string(): "string"}
    features: dict[str, Any] = {f.name: {"dtype": names.get(f.type, str(f.type)), "_type": "Value"} for f in schema}
    features["image"] = {"_type": "Image"}
    features["label"] = {"names": list(classes), "_type": "ClassLabel"}
    for name, feature in features.items():
        if feature.get("dtype") in ("float", "double"):
            features[name]["dtype"] = {"float": "float32", "double": "float64"}[feature["dtype"]]
    return json.dumps({"info": {"features": features}}).encode()


def write_parquet(minted: Minted, trail: pa.Table, folder: Path) -> None:
    """The kept images as Parquet files in `folder`/data."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    count = max(1, -(-int(minted.kept.sum()) // SHARD))
    for number, (rows, files) in enumerate(shards(minted, trail)):
        images = pa.array(
            [{"bytes": b, "path": p} for b, p in zip(files, rows["file_name"].to_pylist(), strict=True)], IMAGE
        )
        table = pa.table({"image": images, **{n: rows[n] for n in rows.column_names if n != "file_name"}})
        note = {**(trail.schema.metadata or {}), b"huggingface": _features(table.schema, minted.table.classes)}
        pq.write_table(
            table.replace_schema_metadata(note), folder / "data" / f"train-{number:05d}-of-{count:05d}.parquet"
        )


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))  # time, owner and mode are constants: the same images, the same file


def write_tars(minted: Minted, trail: pa.Table, folder: Path) -> None:
    """The kept images as tar files in `folder`."""
    for number, (rows, files) in enumerate(shards(minted, trail)):
        with tarfile.open(folder / f"minted-{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for row, file in zip(rows.to_pylist(), files, strict=True):
                key = f"{row['candidate']:09d}"
                _add(tar, f"{key}.png", file)
                _add(tar, f"{key}.cls", str(row["label"]).encode())
                _add(tar, f"{key}.json", json.dumps({k: _plain(v) for k, v in row.items()}).encode())


def _plain(value: Any) -> Any:
    """JSON knows no infinity."""
    return None if isinstance(value, float) and not np.isfinite(value) else value
