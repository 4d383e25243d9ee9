"""Checkpoints without pickle: nested state → one safetensors file, written beside and renamed.

    save(folder / "last.safetensors", {"model": model.state_dict(), "step": 120})
    state = load(folder / "last.safetensors")

Tensors go into the body, everything else as JSON into the header, so one rename replaces both.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from augmint.errors import InputError

SCHEMA = 1


def _flatten(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[path] = value.detach().cpu().contiguous().clone()
        return {"tensor": path}
    if isinstance(value, dict):
        items = [[k, _flatten(v, f"{path}.{k}", tensors)] for k, v in value.items()]
        return {"dict": items}
    if isinstance(value, list | tuple):
        return {"list": [_flatten(v, f"{path}.{i}", tensors) for i, v in enumerate(value)]}
    return {"value": value}


def _restore(tree: Any, tensors: dict[str, Tensor]) -> Any:
    (kind, content), *_ = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {k: _restore(v, tensors) for k, v in content}
    if kind == "list":
        return [_restore(v, tensors) for v in content]
    return content


def atomic_write(path: Path, data: bytes | str) -> None:
    """Write a whole file or nothing: beside, flushed, then renamed. A device, a pipe or a link (/dev/stdout) is
    written to as it stands: a rename would put a plain file in its place."""
    as_it_stands = path.is_symlink() or (path.exists() and not path.is_file())
    part = path if as_it_stands else path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            if not as_it_stands:
                os.fsync(file.fileno())
        if not as_it_stands:
            os.replace(part, path)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another --out"
        ) from error


def read_json(path: Path, *needed: str) -> dict[str, Any]:
    """The JSON object of a file of ours. InputError if it is damaged or lacks one of the `needed` names."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not JSON"
        raise InputError(f"cannot read {path}: {reason}; delete it to compute it again") from error
    if not isinstance(found, dict) or any(name not in found for name in needed):
        raise InputError(f"{path} is damaged: it lacks {', '.join(needed)}; delete it to compute it again")
    return found


def save(path: Path, state: dict[str, Any]) -> None:
    """Store nested dicts, lists, numbers, strings and tensors. InputError if the disk refuses."""
    tensors: dict[str, Tensor] = {}
    tree = _flatten(state, "state", tensors)
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, part, metadata={"schema": str(SCHEMA), "tree": json.dumps(tree)})
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error}; free space or choose another --out") from error


def load(path: Path, device: torch.device | str = "cpu") -> Any:
    """What `save` stored. InputError if the file is not one of ours."""
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot read {path}: {error}; delete it to compute it again") from error
    if metadata.get("schema") != str(SCHEMA):
        raise InputError(
            f"{path} has schema {metadata.get('schema')}, this augmint reads {SCHEMA}; delete it to compute it again"
        )
    return _restore(json.loads(metadata["tree"]), tensors)
