"""Run for so long a command that resumes from its folder, which comes from pieces of 16 MiB and goes back into them.

    python benchmarks/gpu/resumed.py COMMAND … {work} … -- --out DIR [--seconds 480] [--results DIR] [more for COMMAND]

`{work}` in the command is its folder. It is stored in DIR/state every two minutes and at the end; when the seconds are
over the command is interrupted. Exit code 75: not finished, give the same command again, here or elsewhere. Once it is
finished, the JSON files at the top of its folder are copied to --results.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from pieces import pack, unpack

from augmint.errors import AugmintError, UsageError
from augmint.train.rundir import digest

AGAIN = 75  # exit code: not finished
EVERY, GRACE = 120.0, 30.0  # seconds between copies; until an interrupted command is killed
RESULTS = Path(__file__).parent.parent / "results" / "gpu"


def restore(store: Path, work: Path) -> None:
    """Make `work` hold what was kept, and nothing else."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with TemporaryDirectory() as folder:
        unpack(store, Path(folder) / "whole")
        archive = Path(folder) / "whole" / "work.tar"
        if archive.exists():
            with tarfile.open(archive) as tar:
                tar.extractall(work, filter="data")


def keep(work: Path, store: Path) -> None:
    """All of `work` as one archive in pieces: a few large files, however many small ones a run has."""
    with TemporaryDirectory() as folder:
        with tarfile.open(Path(folder) / "work.tar", "w") as tar:
            tar.add(work, ".")
        pack(Path(folder), store)


def _signal(process: subprocess.Popen[bytes], what: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, what)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt it and what it started; what does not end is killed: a run can be stopped at any moment."""
    _signal(process, signal.SIGINT)
    _signal(process, signal.SIGCONT)  # it may be frozen
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    _signal(process, signal.SIGKILL)
    process.wait()


def run(command: list[str], work: Path, store: Path, seconds: float, every: float = EVERY) -> int:
    """The exit code of the command, AGAIN if it was stopped."""
    process, deadline = subprocess.Popen(command, start_new_session=True), time.monotonic() + seconds
    try:
        while (left := deadline - time.monotonic()) > 0:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(min(every, left))
            _signal(process, signal.SIGSTOP)  # nothing is half written meanwhile
            keep(work, store)
            _signal(process, signal.SIGCONT)
        return AGAIN
    finally:
        _stop(process)
        keep(work, store)


def main(arguments: list[str]) -> int:
    """0: finished; 75: the same command goes on; else what the command says, or 2 and 3 for what does not fit."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(prog="benchmarks/gpu/*.sh", allow_abbrev=False)
    parser.add_argument("--out", type=Path, required=True, help="folder for the state, in pieces of 16 MiB")
    parser.add_argument("--seconds", type=float, default=480, help="the command is interrupted after these")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options, more = parser.parse_known_args(arguments[at + 1 :])
    work, store = Path(gettempdir()) / f"augmint-gpu-{digest(str(options.out.resolve()))}", options.out / "state"
    command = [part.replace("{work}", str(work)) for part in arguments[:at]] + more
    try:
        if not command:
            raise UsageError("no command; give it before the --")
        restore(store, work)
        code = run(command, work, store, options.seconds)
    except AugmintError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if code == 0:
        options.results.mkdir(parents=True, exist_ok=True)
        for path in work.glob("*.json"):
            shutil.copy(path, options.results)
    elif code == AGAIN:
        print("not finished: give the same command again", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
