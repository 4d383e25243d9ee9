"""Independent pieces of work over all cores: small networks train faster one a core than one over all cores.

    over_cores(train_split, splits, workers=cores(), tell=task.update)

Workers are forked, so the images are shared and nothing is loaded twice. Every worker computes with one thread, NumPy's
and SciPy's libraries too: the result does not depend on how many workers there are, and none waits for another's core.
"""

import ctypes
import multiprocessing
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from augmint.errors import InputError
from augmint.train.compute import one_thread

_work: Callable[[Any], None] | None = None  # inherited by the forked workers, which cannot be sent closures
PDEATHSIG = 1  # Linux: prctl option


def _start() -> None:
    torch.set_num_threads(1)
    threadpool_limits(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C
    if sys.platform.startswith("linux"):  # a worker must not outlive a killed parent: it would hold the run's lock
        ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL)


def _call(item: Any) -> None:
    assert _work is not None
    _work(item)


def _alone(work: Callable[[Any], None], items: Sequence[Any], tell: Callable[[], None]) -> None:
    with one_thread():
        for item in items:
            work(item)
            tell()


def over_cores(work: Callable[[Any], None], items: Sequence[Any], workers: int, tell: Callable[[], None]) -> None:
    """Call `work` on every item, in `workers` processes; `tell` is called now and then and at the end.

    InputError if a worker was killed (out of memory); other errors are those of `work`.
    """
    global _work
    if workers <= 1 or len(items) <= 1 or not sys.platform.startswith("linux"):
        _alone(work, items, tell)
        return
    _work = work
    fork = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(min(workers, len(items)), mp_context=fork, initializer=_start)
    try:
        waiting: set[Future[None]] = {pool.submit(_call, item) for item in items}
        while waiting:
            done, waiting = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
            tell()
    except BrokenProcessPool as error:
        raise InputError("a worker was killed, probably for want of memory; try again with fewer cores") from error
    except BaseException:
        for process in list(getattr(pool, "_processes", {}).values()):
            process.kill()  # what they have finished is kept, the rest is done again
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        _work = None
