"""Several processes on one training, started by `torchrun`: each works on its part of every batch.

    rows = parallel.share(rows)                   # this process's part of the batch
    features = parallel.synchronise(network)(views)
    loss = nt_xent(parallel.gather(first), parallel.gather(second), temperature)
    torch.autograd.backward(loss)
    parallel.add_gradients(network.parameters())

Every process computes the loss of the whole batch from gathered projections, and gradients flow only into its own
part of them; the sum over processes is then the gradient of one process on the whole batch. BatchNorm takes its
statistics over all processes. With one process every function here gives back what it was given.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from augmint.errors import UsageError

M = TypeVar("M", bound=nn.Module)


def start() -> None:
    """Join the other processes if `torchrun` started this one; nccl with a GPU each, else gloo."""
    if "WORLD_SIZE" not in os.environ or dist.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl")
    else:
        dist.init_process_group("gloo")


def stop() -> None:
    """Leave the other processes."""
    with suppress(AssertionError, ValueError):
        if dist.is_initialized():
            dist.destroy_process_group()


def wait() -> None:
    """Until all processes are here."""
    if dist.is_initialized():
        dist.barrier()


def rank() -> int:
    """The number of this process, 0 for the one that writes files."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def share(rows: Tensor) -> Tensor:
    """This process's part of a batch [B, …]: contiguous, of equal size. UsageError if B does not divide."""
    if len(rows) % world():
        raise UsageError(f"a batch of {len(rows)} does not divide over {world()} processes; choose a multiple")
    return rows.chunk(world())[rank()]


def from_first(number: int) -> int:
    """The first process's number, in every process."""
    if world() == 1:
        return number
    held = torch.tensor(number, device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.broadcast(held, 0)
    return int(held)


class _Gather(torch.autograd.Function):
    """All parts in order; the gradient goes back into the own part alone, as every process has the same loss."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        parts = [torch.empty_like(part) for _ in range(world())]
        dist.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].chunk(world())[rank()]


def gather(part: Tensor) -> Tensor:
    """[B / processes, …] of every process → [B, …] in the order of the batch, the same on all; differentiable."""
    return part if world() == 1 else cast(Tensor, _Gather.apply(part))  # type: ignore[no-untyped-call]


@torch.no_grad()
def add_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Sum the gradients of all processes, in one message."""
    if world() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    for gradient, total in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(total.view_as(gradient))


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm over the batches of all processes (torch's SyncBatchNorm knows no CPU); any number of axes."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Anything of two axes or more."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or world() == 1:
            return super().forward(input)
        axes = [axis for axis in range(input.ndim) if axis != 1]
        x = input.float()
        count = x.numel() // x.shape[1] * world()
        sums = cast(Tensor, all_reduce(torch.stack([x.sum(axes), x.square().sum(axes)])))  # type: ignore[no-untyped-call]
        mean = sums[0] / count
        variance = (sums[1] / count - mean.square()).clamp(min=0)
        self._follow(mean.detach(), variance.detach() * (count / (count - 1)))
        shape = [1, -1, *[1] * (input.ndim - 2)]
        scale = torch.rsqrt(variance + self.eps) * (1 if self.weight is None else self.weight)
        shift = (0 if self.bias is None else self.bias) - mean * scale
        return (x * scale.view(shape) + shift.view(shape)).to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, unless the module is told to leave them."""
        if not self.track_running_stats:
            return
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


def synchronise(module: M) -> M:
    """The same module; with several processes every BatchNorm in it is one over all of them, weights kept."""
    if world() == 1:
        return module
    for part in module.modules():
        for name, child in part.named_children():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                setattr(part, name, _over_all(child))
    return module


def _over_all(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> BatchNorm:
    """The very parameters, buffers and settings under another forward: what is frozen stays frozen."""
    if type(norm) not in (nn.BatchNorm1d, nn.BatchNorm2d):  # of timm's, some also hold the activation
        raise UsageError(f"{type(norm).__name__} does not run in several processes; use one, or another backbone")
    new = BatchNorm(norm.num_features)
    new.__dict__.update(norm.__dict__)
    return new
