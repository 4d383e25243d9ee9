"""How fast the device multiplies, how much a step multiplies, and how long a step takes.

rate = matrix_rate(device, size=8192)              # operations a second, bf16
floor = operations(trainer) / rate                 # seconds that a step would take if it did nothing else
found = measure(trainer, epoch=50_000, epochs=5)   # seconds an epoch, compilation, waits, memory
"""

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from augmint.represent.train import Trainer
from augmint.seeding import Draws
from augmint.train import compiler
from augmint.train.loop import Rows

WARM_UP = 5  # steps before anything is timed


def synchronise(device: torch.device) -> None:
    """Until everything asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(device: torch.device, work: Callable[[], Any]) -> float:
    """What `work` takes, between two events on a GPU, by the clock elsewhere."""
    if device.type != "cuda":
        start = time.perf_counter()
        work()
        return time.perf_counter() - start
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    work()
    last.record()
    last.synchronize()
    return float(first.elapsed_time(last)) / 1000


def matrix_rate(device: torch.device, size: int, repeats: int = 20) -> float:
    """Operations a second of bf16 products of two square matrices; median of five rounds."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))

    def work() -> None:
        for _ in range(repeats):
            a @ b

    work()
    return 2 * size**3 * repeats / statistics.median(seconds(device, work) for _ in range(5))


def convolutions(network: nn.Module, images: Tensor) -> list[tuple[nn.Conv2d, torch.Size]]:
    """Every convolution that sees these images, with the shape of its input."""
    found: list[tuple[nn.Conv2d, torch.Size]] = []
    hooks = [
        module.register_forward_hook(lambda module, inputs, _: found.append((module, inputs[0].shape)))
        for module in network.modules()
        if isinstance(module, nn.Conv2d)
    ]
    with torch.no_grad():
        network.eval()(images)
    network.train()
    for hook in hooks:
        hook.remove()
    return found


def convolution_seconds(network: nn.Module, images: Tensor, repeats: int = 10) -> float:
    """Seconds of all convolutions of a step alone, forward and backward, bf16 and channels_last."""
    total, known = 0.0, dict[Any, float]()
    for conv, shape in convolutions(network, images):
        key = (shape, conv.weight.shape, conv.stride)
        if key not in known:
            known[key] = _convolution(conv, shape, images.device, repeats)
        total += known[key]
    return total


def _convolution(conv: nn.Conv2d, shape: torch.Size, device: torch.device, repeats: int) -> float:
    x = torch.randn(shape, device=device, dtype=torch.bfloat16).to(memory_format=torch.channels_last).requires_grad_()
    w = conv.weight.detach().bfloat16().to(memory_format=torch.channels_last).requires_grad_()
    ahead = torch.nn.functional.conv2d(x, w, None, conv.stride, conv.padding)
    g = torch.randn_like(ahead)

    def work() -> None:
        for _ in range(repeats):
            y = torch.nn.functional.conv2d(x, w, None, conv.stride, conv.padding)
            torch.autograd.grad(y, (x, w), g)

    work()
    return statistics.median(seconds(device, work) for _ in range(3)) / repeats


def _step(trainer: Trainer, rows: Rows, number: int) -> dict[str, Tensor]:
    chosen = rows.at(number, trainer.plan.batch)
    return trainer.step(chosen, Draws(trainer.plan.seed, "speed", number, chosen), 0.5)


def _rows(trainer: Trainer) -> Rows:
    return Rows(len(trainer.table), trainer.plan.seed, "speed", trainer.plan.device)


def operations(trainer: Trainer) -> int:
    """Multiplications and additions of one step's products and convolutions, forward and backward; uncompiled only."""
    with FlopCounterMode(display=False) as counter:
        _step(trainer, _rows(trainer), 0)
    return int(counter.get_total_flops())


def waits(trainer: Trainer, rows: Rows) -> str | None:
    """What CUDA says of the first operation in three steps that makes the host wait, or None."""
    if trainer.plan.device.type != "cuda":
        return None
    torch.cuda.set_sync_debug_mode("error")
    try:
        for number in range(3):
            _step(trainer, rows, number)
    except RuntimeError as error:
        return str(error).splitlines()[0]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return None


def measure(trainer: Trainer, epoch: int, epochs: int) -> dict[str, Any]:
    """Seconds of `epochs` epochs of `epoch` images, of the first steps (with compilation), of the views alone."""
    device, rows, steps = trainer.plan.device, _rows(trainer), max(1, round(epoch / trainer.plan.batch))
    start = time.perf_counter()
    for number in range(WARM_UP):
        _step(trainer, rows, number)
    synchronise(device)
    first = time.perf_counter() - start

    def run() -> None:
        for number in range(steps):
            _step(trainer, rows, number)

    scale = epoch / (steps * trainer.plan.batch)
    found = [seconds(device, run) * scale for _ in range(epochs)]
    loss = float(_step(trainer, rows, 0)["loss"])
    if not math.isfinite(loss):
        raise ValueError(f"the loss is {loss} after {epochs} epochs")
    return {
        "epoch_seconds": statistics.median(found),
        "epochs": found,
        "first_steps_seconds": first,
        "views_seconds": statistics.median(_views(trainer, rows, steps) for _ in range(epochs)) * scale,
        "waits": waits(trainer, rows),
        "peak_memory": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    }


def _views(trainer: Trainer, rows: Rows, steps: int) -> float:
    """Seconds of the views of an epoch and nothing else."""
    from augmint.data.table import Batch

    def run() -> None:
        for number in range(steps):
            chosen = rows.at(number, trainer.plan.batch)
            images = trainer.table.gather(chosen, trainer.plan.device).float() / 255
            compiler.begin_step(trainer.settings.compile)
            trainer.views(Batch(images), Draws(trainer.plan.seed, "speed", number, chosen), 1.0)

    return seconds(trainer.plan.device, run)
