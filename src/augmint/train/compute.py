"""Where and in which precision to compute.

compute = Compute.choose("auto", "auto")
with compute.autocast():
    loss = ...
"""

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits
from torch import nn

from augmint.errors import UsageError

M = TypeVar("M", bound=nn.Module)


def _cpu_has_bf16() -> bool:
    """True where bf16 products have instructions of their own (AMX, AVX512-BF16); elsewhere fp32 is faster."""
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, name)() for name in names if hasattr(torch.cpu, name))


@dataclass(frozen=True)
class Compute:
    """A device and whether to autocast to bfloat16 on it."""

    device: torch.device
    bf16: bool

    @staticmethod
    def choose(device: str = "auto", precision: str = "auto") -> "Compute":
        """device 'auto', 'cpu', 'cuda', 'cuda:1', 'mps'; precision 'auto', 'fp32', 'bf16'."""
        _keep_memory()
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            chosen = torch.device(device)
        except RuntimeError as error:
            raise UsageError(f"--device {device} is not a device; use auto, cpu, cuda or cuda:N") from error
        if chosen.type == "cuda" and not torch.cuda.is_available():
            raise UsageError(f"--device {device}: this torch finds no GPU; use --device cpu")
        torch.backends.cudnn.benchmark = True  # tries the kernels of each shape once; shapes stay the same here
        fast = chosen.type == "cuda" or (chosen.type == "cpu" and _cpu_has_bf16())
        return Compute(chosen, fast if precision == "auto" else precision == "bf16")

    def autocast(self) -> AbstractContextManager[object]:
        """bfloat16 for the operations that allow it, or nothing."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def place(self, module: M) -> M:
        """The module on the device, convolutions in channels_last."""
        return module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def describe(self) -> str:
        """'NVIDIA H200, bf16' or '2 CPU cores, fp32'."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else f"{cores()} CPU cores"
        return f"{name}, {'bf16' if self.bf16 else 'fp32'}"


@cache
def _keep_memory() -> None:
    """Tell glibc to keep freed memory for the next tensor instead of returning it to the system: with its
    defaults, augmentation of small images takes up to twice as long."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # musl has none
        for option, value in ((-3, 1 << 25), (-1, (1 << 31) - 1), (-2, 1 << 26)):  # mmap and trim thresholds, padding
            libc.mallopt(option, value)


def fits(size: int, device: torch.device) -> bool:
    """Whether so many bytes take at most half of the memory that is free on the device; True where it cannot say."""
    return device.type != "cuda" or 2 * size <= torch.cuda.mem_get_info(device)[0]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


@contextmanager
def one_thread() -> Iterator[None]:
    """What is computed within does not depend on how many cores there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def peak_memory() -> int:
    """Highest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
