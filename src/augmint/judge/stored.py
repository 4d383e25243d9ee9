"""Logits of one trial as one file, marked with what they depend on.

keep(path, mark, {"logits": logits, "rows": rows})
kept(path, mark)                # the same tensors, None unless they were kept under this very mark
"""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from augmint.errors import InputError


def keep(path: Path, mark: str, tensors: dict[str, Tensor]) -> None:
    """Write the file whole or not at all. InputError if the disk does not take it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        save_file({name: t.contiguous() for name, t in tensors.items()}, part, metadata={"trial": mark})
        part.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; free space or choose another --out") from error


def is_kept(path: Path, mark: str) -> bool:
    """Whether `kept` would find it."""
    return _mark(path) == mark


def kept(path: Path, mark: str) -> dict[str, Tensor] | None:
    """The tensors of an earlier scoring of the very same trial; damaged ones are scored again."""
    if not is_kept(path, mark):
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dictionary)
    except (OSError, SafetensorError):
        return None


def _mark(path: Path) -> str | None:
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("trial")
    except (OSError, SafetensorError):
        return None
