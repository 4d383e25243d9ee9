"""The stored evidence of a run: trials, their logits and the manifest. No model, nothing cached.

evidence = Evidence(folder)
evidence.hits(evidence.trials[0])      # bool [n_test]: which test images this trial got right
recompute(folder)                      # the table of arms from logits and manifest alone
"""

import json
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from augmint.errors import InputError

Trial = dict[str, Any]
SPLITS = ("train", "val", "test")
COUNTED = ("draw", "fold")  # roles of the trials that compare arms


class Evidence:
    """What a run folder holds about its trials; parts that are missing are empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._hits: dict[str, NDArray[np.bool_]] = {}

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What config.yaml says. InputError without one, or if it is damaged."""
        path = self.folder / "config.yaml"
        if not path.is_file():
            raise InputError(
                f"{self.folder} is not a run (it has no config.yaml); give the folder that `augmint run` wrote"
            )
        try:
            found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except (OSError, ValueError, yaml.YAMLError):
            found = None
        if not isinstance(found, dict):
            raise InputError(f"cannot read {path}: it is damaged; restore it")
        return found

    @cached_property
    def manifest(self) -> dict[str, list[Any]]:
        """Columns of manifest.parquet, empty lists where there is none."""
        path = self.folder / "manifest.parquet"
        names = ("row", "id", "label", "split", "class")
        if not path.exists():
            return {name: [] for name in names}
        table = read_parquet(path)
        return {name: table[name].to_pylist() if name in table.column_names else [] for name in names}

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """int64 [N] by row of the manifest, -1 = unlabelled."""
        rows, labels = self.manifest["row"], self.manifest["label"]
        out = np.full(max(rows, default=-1) + 1, -1, dtype=np.int64)
        out[np.asarray(rows, dtype=np.int64)] = [-1 if v is None else v for v in labels]
        return out

    @cached_property
    def splits(self) -> list[str]:
        """'train', 'val' or 'test' of each line of the manifest."""
        return [SPLITS[v] if isinstance(v, int) else str(v) for v in self.manifest["split"]]

    @cached_property
    def target(self) -> dict[str, int] | None:
        """With a target: how many images it has, and how many of them, labelled, the arms are judged on."""
        path = self.folder / "manifest.parquet"
        if not path.exists() or "domain" not in read_parquet(path, pq.read_schema).names:
            return None
        own = np.array(read_parquet(path)["domain"].to_pylist()) == "target"
        tested = own & (np.array(self.splits) == "test") & (self.labels[self.manifest["row"]] >= 0)
        return {"images": int(own.sum()), "judged": int(tested.sum())}

    @cached_property
    def classes(self) -> list[str]:
        """Names by label; a class without a name is called by its number."""
        path = self.folder / "manifest.parquet"
        note = (read_parquet(path, pq.read_schema).metadata or {}).get(b"classes", b"[]") if path.exists() else b"[]"
        names = dict(enumerate(json.loads(note)))
        pairs = zip(self.manifest["label"], self.manifest["class"], strict=False)
        names |= {label: name for label, name in pairs if label is not None and label >= 0 and name}
        outputs = self.logits(self.counted[0])[0].shape[1] if self.counted else 0
        count = max(int(self.labels.max(initial=-1)) + 1, max(names, default=-1) + 1, outputs)
        return [str(names.get(i, f"class {i}")) for i in range(count)]

    @cached_property
    def trials(self) -> list[Trial]:
        """Rows of trials.parquet."""
        path = self.folder / "trials.parquet"
        return list(read_parquet(path).to_pylist()) if path.exists() else []

    @property
    def counted(self) -> list[Trial]:
        """Trials that compare arms: label draws or folds."""
        return [t for t in self.trials if t["role"] in COUNTED]

    @cached_property
    def unminted(self) -> dict[str, int]:
        """In how many of its trials an arm that is to learn from minted samples had none, as the judges let none pass;
        {} for none, and for runs that did not note it."""
        stages, found = self.folder / "stages" / "trials", dict[str, int]()
        for arm, hashed in ((t["arm"], t["config_hash"]) for t in self.counted if t["arm"].endswith("-minted")):
            notes = (_note(path) for path in stages.glob(f"*-{arm}/{hashed}/done.json"))
            found[arm] = found.get(arm, 0) + any(note.get("minted") == 0 for note in notes)
        return {arm: count for arm, count in found.items() if count}

    def logits(self, trial: Trial) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """float32 [n_test, K] and the rows of the manifest they belong to. InputError if the file is lost."""
        path = self.folder / trial["logits"]
        try:
            stored = load_file(path)
        except (OSError, SafetensorError) as error:
            raise InputError(f"cannot read the logits {path}: {error}; run the same command again") from error
        return stored["logits"], stored["rows"]

    def hits(self, trial: Trial) -> NDArray[np.bool_]:
        """bool [n_test]: which test images were classified rightly, in the order of the stored rows."""
        if trial["logits"] not in self._hits:
            logits, rows = self.logits(trial)
            self._hits[trial["logits"]] = logits.argmax(1) == self.labels[rows]
        return self._hits[trial["logits"]]


def _note(path: Path) -> dict[str, Any]:
    """A stage's done.json, {} if it is damaged: the report can do without."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_parquet(path: Path, read: Callable[[Path], Any] = pq.read_table) -> Any:
    """A table, or by another `read` its schema. InputError if the file is damaged."""
    try:
        return read(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"cannot read {path}: it is damaged; delete it and give the same `augmint run` again"
        ) from error


def by_arm(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    """Trials by arm, in the order of their first appearance."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        found.setdefault(trial["arm"], []).append(trial)
    return found


def summary(arm: str, accuracies: list[float]) -> dict[str, Any]:
    """One line of the table of arms: mean, standard deviation over trials (None for one) and the worst."""
    values = np.asarray(accuracies, dtype=np.float64)
    std = float(values.std(ddof=1)) if len(values) > 1 else None
    return {"arm": arm, "n": len(values), "mean": float(values.mean()), "std": std, "worst": float(values.min())}


def recompute(folder: Path) -> list[dict[str, Any]]:
    """The table of arms (arm, n, mean, std, worst) from logits and manifest alone, in the order of the
    report: what `report.json` says under "arms" must equal it."""
    evidence = Evidence(folder)
    arms = by_arm(evidence.counted)
    return [summary(arm, [float(evidence.hits(t).mean()) for t in trials]) for arm, trials in arms.items()]
