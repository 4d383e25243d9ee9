"""The dearest operations as machine code, where the machine has a C compiler; elsewhere torch does the same.

    if native.usable(images):
        native.jitter_(images, factors, turn, order)

Kernels of torch pass through memory once an operation, some sixty times for a view; kernels.c stays in the innermost
cache. It is compiled once a process, at first use, for the very processor it runs on (about a second), and kept
nowhere. Results are torch's within rounding. AUGMINT_NATIVE=0 in the environment turns it off.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("kernels.c")
FLAGS = ("-O3", "-march=native", "-shared", "-fPIC")
# -ffast-math itself would also change how the whole process rounds tiny numbers
MATH = ("-fno-math-errno", "-fno-trapping-math", "-fassociative-math", "-fno-signed-zeros", "-ffinite-math-only")
ENOUGH = 1 << 18  # numbers for each thread, under which starting it does not pay


@cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels, or None without a working compiler."""
    compiler = shutil.which("cc")
    if compiler is None or os.environ.get("AUGMINT_NATIVE") == "0":
        return None
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "kernels.so"
        try:
            command = [compiler, *FLAGS, *MATH, str(SOURCE), "-o", str(built), "-lm"]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
            return ctypes.CDLL(str(built))
        except (OSError, subprocess.SubprocessError):
            return None


def usable(images: Tensor) -> bool:
    """Whether the kernels take these images: grey or RGB, uint8 or float32, on the CPU, without a gradient
    and outside torch.compile."""
    fits = images.device.type == "cpu" and images.dtype in (torch.uint8, torch.float32) and images.shape[1] in (1, 3)
    free = not images.requires_grad and not torch.compiler.is_compiling()
    return fits and free and images.numel() > 0 and library() is not None


def resample(images: Tensor, rows: Tensor, columns: Tensor, sigma: Tensor | None, radius: int) -> Tensor:
    """Read at `rows` [N, h] and `columns` [N, w], in pixels, then blurred: float32 0 … 1 [N, C, h, w]."""
    count, channels, height, width = images.shape
    h, w = rows.shape[1], columns.shape[1]
    out = torch.empty(count, channels, h, w)
    sigma = torch.zeros(count) if sigma is None else sigma
    inputs = [t.contiguous() for t in (images, rows, columns, sigma)]

    def work(part: slice) -> None:
        image, *places = (pointer(t[part]) for t in inputs)
        sizes = (part.stop - part.start, channels, height, width, h, w)
        uint8 = ctypes.c_int(images.dtype == torch.uint8)
        if _function("resample")(
            image, uint8, *places, ctypes.c_int(radius), pointer(out[part]), *map(ctypes.c_long, sizes)
        ):
            raise MemoryError

    _spread(work, count, out.numel())
    return out


def jitter_(images: Tensor, factors: Tensor, turn: Tensor, order: Tensor) -> Tensor:
    """Brightness, contrast and saturation by `factors` [N, 3] and the hue's `turn` [N], each image in its `order`
    [N, 4], in place on float32 images."""
    assert images.is_contiguous()
    count, channels = images.shape[:2]
    inputs = [t.contiguous() for t in (factors, turn, order)]

    def work(part: slice) -> None:
        sizes = (part.stop - part.start, channels, images[0, 0].numel())
        _function("jitter")(*(pointer(t[part]) for t in (images, *inputs)), *map(ctypes.c_long, sizes))

    _spread(work, count, images.numel())
    return images


def erase_(images: Tensor, box: Tensor) -> Tensor:
    """Fill `box` [N, 4] with the mean of each channel, in place on float32 images."""
    box = box.contiguous()

    def work(part: slice) -> None:
        sizes = (part.stop - part.start, *images.shape[1:])
        _function("erase")(pointer(images[part]), pointer(box[part]), *map(ctypes.c_long, sizes))

    _spread(work, len(images), images.numel())
    return images


def noise_(images: Tensor, pool: Tensor, sigma: Tensor, start: Tensor) -> Tensor:
    """Add `sigma` [N] times the numbers of `pool` from `start` (int64 [N]) on, in place on float32 images."""
    inputs = [t.contiguous() for t in (sigma, start)]

    def work(part: slice) -> None:
        sizes = (part.stop - part.start, images[0].numel())
        parts = [pointer(t[part]) for t in inputs]
        _function("noise")(pointer(images[part]), pointer(pool), *parts, *map(ctypes.c_long, sizes))

    _spread(work, len(images), images.numel())
    return images


def operate(images: Tensor, kind: Tensor, amount: Tensor) -> Tensor:
    """Each of float32 images [N, C, H, W] undergoes the operation of that number in `operations.NAMES` (int64 [N]), by
    `amount` [N]."""
    assert images.dtype == torch.float32
    inputs = [t.contiguous() for t in (images, kind, amount)]
    out = torch.empty_like(inputs[0])

    def work(part: slice) -> None:
        sizes = (part.stop - part.start, *images.shape[1:])
        _function("operate")(*(pointer(t[part]) for t in (*inputs, out)), *map(ctypes.c_long, sizes))

    _spread(work, len(images), images.numel())
    return out


def _function(name: str) -> Callable[..., int]:
    return getattr(library(), name)  # type: ignore[no-any-return]


def pointer(tensor: Tensor) -> ctypes.c_void_p:
    """Where the numbers of a contiguous tensor begin."""
    return ctypes.c_void_p(tensor.data_ptr())


def _spread(work: Callable[[slice], None], count: int, numbers: int) -> None:
    """`work` on all rows, in as many threads as torch has and as pays; ctypes lets them run side by side."""
    threads = max(1, min(torch.get_num_threads(), count, numbers // ENOUGH))
    ends = [count * i // threads for i in range(threads + 1)]
    parts = [slice(*pair) for pair in zip(ends[:-1], ends[1:], strict=True)]
    if threads == 1:
        return work(parts[0])
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, parts))
    return None
