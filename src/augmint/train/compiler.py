"""torch.compile where it pays, never as a condition: without a working compiler everything runs as it is written.

    quick = compiler("auto", device, say=print)      # decides once, tries the compiler on a trifle
    loss = quick(loss)                                # compiled, or `loss` itself
    begin_step("auto")                                # before each step

off     nothing is compiled
on      fused kernels: normalisation, activations and losses pass through memory once. A minute at the start
graphs  on, and the kernels are replayed as a CUDA graph: pays where the host is slower than the GPU (small batches).
        It covers network and loss, forward and backward; a graph of the whole step would freeze what changes from
        step to step on the host, the keys of the random numbers, the learning rate and a target's momentum
tune    on, and each matrix product tries several kernels first: minutes at the start, for long trainings
auto    on with one GPU; off elsewhere, where compiling takes longer than it saves in trainings of minutes
"""

from collections.abc import Callable
from typing import Any

import torch

from augmint.train import parallel

Function = Callable[..., Any]
OPTIONS: dict[str, dict[str, Any]] = {
    "on": {},
    "graphs": {"mode": "reduce-overhead"},
    "tune": {"mode": "max-autotune-no-cudagraphs"},
}


def compiler(choice: str, device: torch.device, say: Callable[[str], None]) -> Callable[[Function], Function]:
    """What compiles functions under this setting; where nothing can be compiled, says so and changes none."""
    if choice == "auto":
        choice = "on" if device.type == "cuda" and parallel.world() == 1 else "off"
    fault = None if choice == "off" else _fault(device, OPTIONS[choice])
    if fault:
        say(f"warning: torch.compile does not work here ({fault}); going on without it, represent.compile=off says so")
    if choice == "off" or fault:
        return lambda function: function
    return lambda function: torch.compile(function, dynamic=False, **OPTIONS[choice])


def begin_step(choice: str) -> None:
    """Once at the beginning of every step: what the last one left in a graph's memory may be written over now. Not
    between compiled functions of one step, as the views of an image are there until the loss has read them all."""
    if choice == "graphs":
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]


def _fault(device: torch.device, options: dict[str, Any]) -> str | None:
    """Why a trifle cannot be compiled, in one line, or None if it can."""
    try:
        torch.compile(lambda x: x.sin().sum(), **options)(torch.ones(8, device=device))
    except Exception as error:  # no compiler, no Triton, no write access: each fails in a way of its own
        return next(iter(str(error).splitlines()), type(error).__name__)[:120]
    return None
