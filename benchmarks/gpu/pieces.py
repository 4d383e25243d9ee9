"""A folder as pieces of at most 16 MiB, named by their content, and back.

    pack(work, store)        # store/manifest.json, store/<sha256>.piece
    unpack(store, work)      # the same files again, every byte checked

The manifest is renamed into place after its pieces are there, and old pieces go after that: stopped at any moment,
the store holds the last complete state.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from augmint.errors import InputError
from augmint.train.checkpoint import atomic_write, read_json

PIECE = 16 << 20  # bytes
MANIFEST = "manifest.json"


def _files(folder: Path) -> list[Path]:
    found = (p for p in folder.rglob("*") if p.is_file())
    return sorted(p for p in found if p.name != "lock" and not p.name.startswith("."))


def _split(path: Path, store: Path, size: int) -> dict[str, Any]:
    """Write the pieces of a file that are not there yet; its entry in the manifest."""
    whole, names = hashlib.sha256(), list[str]()
    with open(path, "rb") as file:
        while data := file.read(size):
            whole.update(data)
            names.append(hashlib.sha256(data).hexdigest())
            piece = store / f"{names[-1]}.piece"
            if not piece.exists():
                atomic_write(piece, data)
    return {"bytes": path.stat().st_size, "sha256": whole.hexdigest(), "pieces": names}


def pack(folder: Path, store: Path, size: int = PIECE) -> None:
    """Store all files of `folder` but locks and hidden ones."""
    store.mkdir(parents=True, exist_ok=True)
    entries = {path.relative_to(folder).as_posix(): _split(path, store, size) for path in _files(folder)}
    atomic_write(store / MANIFEST, json.dumps({"schema": 1, "files": entries}, indent=1))
    needed = {name for entry in entries.values() for name in entry["pieces"]}
    for piece in store.glob("*.piece"):
        if piece.stem not in needed:
            piece.unlink()


def _join(entry: dict[str, Any], store: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = hashlib.sha256()
    with open(path, "wb") as file:
        for name in entry["pieces"]:
            piece = store / f"{name}.piece"
            data = piece.read_bytes() if piece.exists() else b""
            if hashlib.sha256(data).hexdigest() != name:
                raise InputError(f"{piece} is missing or damaged; restore it, or delete {store} to start again")
            whole.update(data)
            file.write(data)
    if whole.hexdigest() != entry["sha256"]:
        raise InputError(f"{store / MANIFEST} is damaged; delete {store} to start again")


def unpack(store: Path, folder: Path) -> None:
    """Make `folder` hold what was packed, and nothing else; an empty folder if nothing was."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if not (store / MANIFEST).exists():
        return
    for name, entry in read_json(store / MANIFEST, "files")["files"].items():
        _join(entry, store, folder / name)
