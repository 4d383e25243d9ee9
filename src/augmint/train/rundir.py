"""The run folder: settings, environment, metrics, stages; one process at a time.

    with RunDir.open(Path("runs/fashion"), config, overwrite=False) as run:
        with run.stage("represent", identity={...}, seed=0) as stage:
            if not stage.done: ...

A stage lives in stages/<name>/<hash of its identity>-<seed>/ and is finished once done.json is there.
The same config resumes; a different one is refused with the difference shown. Stages that another run has finished on
the same images with the same settings are copied from it, if it is given as `reuse`: their names say so.
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

import torch
import yaml

from augmint.errors import InputError
from augmint.train import reuse as other_run
from augmint.train.checkpoint import SCHEMA, atomic_write, read_json
from augmint.train.compute import peak_memory
from augmint.train.progress import QUIET, ProgressOut
from augmint.train.reuse import DONE, difference

CONFIG = "config.yaml"
WRITING = ("explain", "mint", "mint-more", "measure")  # stages whose results lie elsewhere in the run
LEARNT = ("represent", "generate-image", "generate-feature")  # without labels, in long trainings


class Storable(Protocol):
    """What writes itself to one file."""

    def save(self, path: Path, /) -> None: ...


T = TypeVar("T", bound=Storable)


def digest(value: Any) -> str:
    """12 hex digits of anything JSON can hold; the same value gives the same digits everywhere."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]


def file_digest(path: Path) -> str:
    """12 hex digits of a file's content. InputError if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def environment() -> dict[str, Any]:
    """Versions and machine, for environment.json and the report."""
    names = ("augmint", "torch", "numpy", "scipy", "scikit-learn", "pillow", "pyarrow")
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "schema": SCHEMA,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
        "packages": found,
    }


@dataclass
class StageDir:
    """The folder of one stage of a run."""

    name: str
    folder: Path
    run: "RunDir"

    @property
    def done(self) -> bool:
        return (self.folder / DONE).exists()

    @property
    def checkpoint(self) -> Path:
        return self.folder / "last.safetensors"

    def facts(self) -> dict[str, Any]:
        """What done.json says: seconds, peak memory, results."""
        return read_json(self.folder / DONE, "seconds", "peak_memory")

    def finish(self, seconds: float, **facts: Any) -> None:
        """Mark the stage as finished; `facts` are kept for the report."""
        content = {"schema": SCHEMA, "stage": self.name, "seconds": seconds, "peak_memory": peak_memory(), **facts}
        atomic_write(self.folder / DONE, json.dumps(content, indent=1))

    def alone(self) -> None:
        """Forget others of this name and seed: what they wrote beside their folders is written anew."""
        seed = self.folder.name.rpartition("-")[2]
        for done in self.folder.parent.glob(f"*-{seed}/{DONE}"):
            if done.parent != self.folder:
                done.unlink()

    def keep(self, make: Callable[["StageDir"], T], load: Callable[[Path], T]) -> T:
        """The stage's result: loaded if it is there, else made (`make` resumes by itself) and stored."""
        path = self.folder / "result.safetensors"
        if not (self.done and path.exists()):  # a damaged one is to be deleted
            start = time.monotonic()
            result = make(self)
            if not self.run.writes:
                return result
            result.save(path)
            self.finish(time.monotonic() - start)
        return load(path)

    def log(self, **metrics: Any) -> None:
        """A line in the run's metrics.jsonl."""
        self.run.log(stage=self.name, seed=int(self.folder.name.rpartition("-")[2]), **metrics)


@dataclass
class RunDir:
    """A locked run folder."""

    folder: Path
    progress: ProgressOut = field(default_factory=lambda: QUIET)
    writes: bool = True  # False: follows another process that does
    reuse: Path | None = None  # another run folder
    _lock: IO[str] | None = None
    _told: list[str] = field(default_factory=list)
    _config: dict[str, Any] | None = None  # settings that are not yet kept

    @staticmethod
    def is_run(folder: Path) -> bool:
        """True if the folder holds a run of ours."""
        return (folder / CONFIG).is_file() and (folder / "stages").is_dir()

    @staticmethod
    def is_compared(folder: Path) -> bool:
        """True if the arms of the run in the folder were compared: then its labels are fixed."""
        return (folder / "trials.parquet").exists()

    @classmethod
    @contextmanager
    def open(
        cls,
        folder: Path,
        config: dict[str, Any],
        *,
        overwrite: bool = False,
        reuse: Path | None = None,
        progress: ProgressOut = QUIET,
    ) -> Iterator["RunDir"]:
        """Create or resume the run. InputError if another process holds it, if it was made with other
        settings, if the folder holds something that is not a run, or if `reuse` does."""
        if reuse is not None and not cls.is_run(reuse):
            raise InputError(f"{reuse} is no run folder; give one that augmint has written")
        run = cls(folder, progress)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            run._lock = open(folder / "lock", "a+")
        except OSError as error:
            raise InputError(f"cannot write to {folder}: {error.strerror}; choose another --out") from error
        try:
            try:
                fcntl.flock(run._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise InputError(
                    f"{folder} is in use by another augmint; wait for it or choose another --out"
                ) from error
            run._prepare(config, overwrite)
            if reuse is not None:
                other_run.remember(folder, reuse)
            run.reuse = reuse or other_run.origin(folder)
            yield run
        finally:
            run._lock.close()

    def _prepare(self, config: dict[str, Any], overwrite: bool) -> None:
        path = self.folder / CONFIG
        others = [p.name for p in self.folder.iterdir() if p.name != "lock" and not p.name.startswith(".")]
        if others and not path.exists():
            raise InputError(f"{self.folder} holds other files ({others[0]}, …); choose a new folder for --out")
        if path.exists():
            changed = [] if overwrite else difference(self._grown(self._stored(path), config), config)
            if changed:
                shown = "; ".join(changed[:5]) + (" …" if len(changed) > 5 else "")
                raise InputError(
                    f"{self.folder} was made with other settings ({shown}); "
                    f"`augmint run {self.folder} --out …` starts from it, --overwrite starts again"
                )
            if overwrite:
                self._clear()
        (self.folder / "stages").mkdir(exist_ok=True)
        self._config = config
        if overwrite or not path.exists():
            early = {name: None if name == "labels" else value for name, value in config.items()}
            atomic_write(path, yaml.safe_dump(early, sort_keys=False))
        atomic_write(self.folder / "environment.json", json.dumps(environment(), indent=1))

    def settle(self) -> None:
        """Keep the settings: files of labels that came later only once they could be read."""
        if self.writes and self._config is not None:
            atomic_write(self.folder / CONFIG, yaml.safe_dump(self._config, sort_keys=False))

    def _stored(self, path: Path) -> Any:
        try:
            return yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise InputError(f"cannot read {path}: it is damaged; restore it, or --overwrite to start again") from error

    def _grown(self, stored: Any, config: dict[str, Any]) -> Any:
        """The stored settings with the files of labels that have come since. Until arms were compared there may be more
        of them, and more in them: stages are named by the labels that they depend on, so the encoder need not be
        learnt again."""
        if not isinstance(stored, dict) or self.is_compared(self.folder):
            return stored
        before, now = stored.get("labels") or {}, config.get("labels") or {}
        return {**stored, "labels": config.get("labels")} if before.keys() <= now.keys() else stored

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if path.name == "lock":
                continue
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def log(self, **metrics: Any) -> None:
        """Append a line to metrics.jsonl; a full disk stops the run with a clear error."""
        line = json.dumps({"time": round(time.time(), 3), **metrics}, default=float) + "\n"
        self._append("metrics.jsonl", line)

    def say(self, line: str) -> None:
        """A line for people: to stderr and run.log."""
        self.progress.say(line)
        self._append("run.log", f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def _append(self, name: str, line: str) -> None:
        if not self.writes:
            return
        try:
            with open(self.folder / name, "a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise InputError(
                f"cannot write {self.folder / name}: {error.strerror}; free space or choose another --out"
            ) from error

    def stage(self, name: str, identity: Any, seed: int) -> StageDir:
        """The folder of this stage under these settings. `identity` is everything its result depends on."""
        folder = self.folder / "stages" / name / f"{digest(identity)}-{seed}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write to {folder}: {error.strerror}; choose another --out") from error
        path = folder / "identity.json"
        if self.writes and not path.exists():
            atomic_write(path, json.dumps(identity, indent=1, default=str))
        stage = StageDir(name, folder, self)
        if self.reuse is None or stage.done or name in WRITING:
            return stage
        return self._taken(stage, self.reuse, identity, seed)

    def _taken(self, stage: StageDir, other: Path, identity: Any, seed: int) -> StageDir:
        """The stage, as the other run has finished it if it has. Why not is said of what is learnt without labels."""
        known = other / "stages" / stage.name / stage.folder.name
        if (known / DONE).exists():
            if not self.writes:
                return StageDir(stage.name, known, self)
            other_run.copy(known, stage.folder)
            self._append("metrics.jsonl", other_run.logged(other / "metrics.jsonl", stage.name, seed))
            line = f"{stage.name}: taken from {other}"
        else:
            changed = other_run.changed(known.parent, identity, seed) if stage.name in LEARNT else []
            line = f"{stage.name}: not as in {other} ({changed[0]}), so it is learnt anew" if changed else ""
        if line and "/" not in stage.name and line not in self._told:  # of trials there are many
            self.say(line)
            self._told.append(line)
        return stage


def free_bytes(folder: Path) -> int:
    """Free space where `folder` is or would be."""
    while not folder.exists():
        folder = folder.parent
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize
