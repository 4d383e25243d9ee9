"""Processes that work together as under torchrun, forked from one that has imported everything: seconds saved each.

outputs = start(2, "-m", "augmint", "represent", "digits", …)      # what the first prints
"""

import multiprocessing
import os
import runpy
import socket
import sys
import tempfile
import traceback
from pathlib import Path

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["augmint.api", "augmint.cli", "torch._dynamo"])


def start(processes: int, *command: str) -> str:
    """What the first of so many processes prints; AssertionError with what it said if one fails."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        several = [
            FORKED.Process(target=_work, args=(rank, processes, port, command, folder)) for rank in range(processes)
        ]
        for process in several:
            process.start()
        for process in several:
            process.join(300)
            process.kill()
        said = "".join(path.read_text()[-3000:] for path in sorted(Path(folder).glob("err*")))
        assert [process.exitcode for process in several] == [0] * processes, said
        return (Path(folder) / "out0").read_text()


def _work(rank: int, processes: int, port: int, command: tuple[str, ...], folder: str) -> None:
    """One of them: the environment that torchrun would give it, then the command."""
    import torch

    from augmint import cli

    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
    where |= {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes}
    os.environ.update({name: str(value) for name, value in where.items()})
    torch.set_num_threads(1)
    with (Path(folder) / f"out{rank}").open("w") as sys.stdout, (Path(folder) / f"err{rank}").open("w") as sys.stderr:
        try:
            if command[:2] == ("-m", "augmint"):
                sys.argv = ["augmint", *command[2:]]
                cli.main()
            else:
                sys.argv = list(command)
                runpy.run_path(command[0], run_name="__main__")
        except BaseException as error:
            if isinstance(error, SystemExit) and not error.code:
                return
            traceback.print_exc()
            raise
