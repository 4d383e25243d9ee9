"""What a run takes over from the run it started from: finished stages of the same identity, with what they logged.

remember(folder, other)                       # that the run in `folder` starts from another
copy(origin(folder) / "stages" / name / key, folder / "stages" / name / key)

A stage's folder is named by all that its result depends on, so one of the same name is the same stage.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from augmint.errors import InputError
from augmint.train.checkpoint import atomic_write

DONE = "done.json"  # of a finished stage
ORIGIN = "origin"  # holds the path of the other run


def remember(folder: Path, other: Path) -> None:
    """Keep from which run this one starts, for when it goes on."""
    atomic_write(folder / ORIGIN, f"{other.resolve()}\n")


def origin(folder: Path) -> Path | None:
    """The run that this one starts from; None if there is none, or none any more."""
    path = folder / ORIGIN
    other = Path(path.read_text().strip()) if path.exists() else None
    return other if other is not None and (other / "stages").is_dir() else None


def copy(known: Path, folder: Path) -> None:
    """Copy a finished stage; what says that it is finished comes last. InputError if it cannot be read or written."""
    try:
        for path in sorted(known.rglob("*")):
            if path.is_file() and path != known / DONE:
                target = folder / path.relative_to(known)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        content = (known / DONE).read_bytes()
    except OSError as error:
        raise InputError(f"cannot copy {known} to {folder}: {error.strerror}; free space") from error
    atomic_write(folder / DONE, content)


def logged(metrics: Path, name: str, seed: int) -> str:
    """The lines of a run's metrics.jsonl that a stage with this name and seed left."""
    found = []
    for text in metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []:
        try:
            line = json.loads(text)
        except ValueError:  # cut off
            continue
        stage = line.get("stage")
        of_trial = stage == "classify" and name.endswith(f"-{line.get('draw', 0):02d}-{line.get('arm')}")
        if (stage == name or of_trial) and line.get("seed") == seed:
            found.append(text + "\n")
    return "".join(found)


def changed(stages: Path, identity: Any, seed: int) -> list[str]:
    """In what this identity differs from that of a stage which is finished there, a line each."""
    here = json.loads(json.dumps(identity, default=str))
    for path in sorted(stages.glob(f"*-{seed}/{DONE}")):
        try:
            return difference(json.loads((path.parent / "identity.json").read_text()), here)
        except (OSError, ValueError):
            continue
    return []


def difference(old: Any, new: Any, path: str = "") -> list[str]:
    """One line for each setting that differs: 'represent.width: 32 -> 64'."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines = [difference(old.get(k), new.get(k), f"{path}.{k}".lstrip(".")) for k in sorted({*old, *new})]
        return [line for part in lines for line in part]
    return [] if old == new else [f"{path}: {old} -> {new}"]
