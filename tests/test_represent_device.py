"""A training step never makes the host wait for the device, and compiled it computes the same.

Without a GPU, tensors on torch's `meta` device stand for it: they have no values, so whatever would read one fails.
"""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from augmint.augment import colour
from augmint.config import RepresentSettings
from augmint.represent import train as room
from augmint.represent.methods import names
from augmint.seeding import Draws
from augmint.train import Compute, compiler, loop
from test_represent_train import CPU, table_of

META = torch.device("meta")
SMALL = RepresentSettings(
    backbone="resnet8", width=8, views="simclr", images=128, batch=16, reconstruction=0.0, lr=0.01, compile="off"
)


def coloured(count=48, side=16):
    images = torch.randint(0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(1))
    return table_of(images.to(torch.uint8))


class Waits(TorchDispatchMode):
    """Notes every operation after which a host would have to wait for a device, or that crosses between them."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        there = any(t.device == META for t in tensors)
        crosses = there and any(t.device.type == "cpu" and t.ndim > 0 for t in tensors)
        moves = func is torch.ops.aten._to_copy.default and kwargs.get("device", tensors[0].device) != tensors[0].device
        by_mask = there and "index" in func.name() and any(t.dtype == torch.bool for t in tensors[1:])
        if crosses or moves or by_mask:
            self.found.append(func.name())
        return func(*args, **kwargs)


def step_on_meta(monkeypatch, settings):
    monkeypatch.setattr(torch, "autocast", lambda *a, **k: nullcontext())  # knows no meta device
    trainer = room.prepare(coloured(), settings, Compute(META, bf16=False), seed=0)
    rows = torch.arange(16, device=META)
    trainer.step(rows, Draws(0, "test", 0, rows), 0.1)  # the first makes the optimiser's state and shared noise
    with Waits() as waits:
        metrics = trainer.step(rows, Draws(0, "test", 1, rows), 0.2)
    assert metrics["loss"].device == META
    return waits.found


@pytest.mark.parametrize("method", names())
def test_no_method_waits_for_the_device(monkeypatch, method):
    assert step_on_meta(monkeypatch, SMALL.model_copy(update={"method": method})) == []


@pytest.mark.parametrize("views", ["simclr", "gentle", "weak", "none"])
@pytest.mark.parametrize("optimiser", ["adamw", "sgd", "lars"])
def test_no_views_and_no_optimiser_wait(monkeypatch, views, optimiser):
    settings = SMALL.model_copy(update={"views": views, "optimiser": optimiser, "reconstruction": 1.0})
    assert step_on_meta(monkeypatch, settings) == []


@pytest.mark.parametrize(
    "waits",
    [
        lambda x: x.sum().item(),
        lambda x: x[x > 0],
        lambda x: x.cpu(),
        lambda x: x + torch.arange(16),
        lambda x: x.long().bincount(),
        lambda x: x.masked_select(x > 0),
        lambda x: torch.isfinite(x).all() or None,
        lambda x: x.index_put((x > 0,), torch.zeros((), device=META)),
        lambda x: torch.arange(16).to(META),
    ],
)
def test_what_would_wait_is_noticed(waits):
    with Waits() as watched:
        try:
            waits(torch.ones(16, device=META))
        except (RuntimeError, NotImplementedError):
            watched.found.append("no value to read")
    assert watched.found


def test_a_pass_of_rows_moves_to_the_device_once():
    rows = loop.Rows(count=32, seed=0, stream="test", device=META)
    with Waits() as waits:
        parts = [rows.at(step, 8) for step in range(12)]
    assert all(part.device == META for part in parts)
    assert waits.found == ["aten::_to_copy"] * 3


def losses(settings, compute=CPU, steps=3, say=room._silent):
    trainer = room.prepare(coloured(), settings, compute, 0, say)
    found = []
    for step in range(steps):
        rows = torch.arange(step * 16, step * 16 + 16)
        metrics = trainer.step(rows, Draws(0, "test", step, rows), 0.1 + 0.1 * step)
        found.append(metrics["loss"])
    return torch.stack(found)


def test_both_forms_of_the_jitter_agree():
    generator = torch.Generator().manual_seed(2)
    images, factors = torch.rand(64, 3, 8, 8, generator=generator), 0.5 + torch.rand(3, 64, generator=generator)
    turn = (torch.rand(64, generator=generator) - 0.5) * (torch.arange(64) % 3 > 0)
    order = torch.rand(64, 4, generator=generator).argsort(1)
    blends = torch.stack([row[row != 3] for row in order])
    parts = (images, blends, factors.T.gather(1, blends), turn, (order == 3).long().argmax(1))
    whole = colour._jitter_whole(*parts)
    torch.testing.assert_close(whole, colour._jitter_sorted(*parts), rtol=0, atol=2e-6)
    torch.testing.assert_close(whole, colour.jitter(images, *factors, turn, order), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("method", "bf16", "backend"), [("simclr", False, "aot_eager"), ("byol", False, "eager"), ("dino", True, "eager")]
)
def test_compiled_is_the_same_within_rounding(monkeypatch, method, bf16, backend):
    monkeypatch.setitem(compiler.OPTIONS, "on", {"backend": backend})
    compute, settings = replace(CPU, bf16=bf16), SMALL.model_copy(update={"method": method, "backbone": "cnn"})
    plain = losses(settings, compute)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = losses(settings.model_copy(update={"compile": "on"}), compute)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 3  # the trifle, the views, the loss
    torch.testing.assert_close(compiled, plain, rtol=2e-2 if bf16 else 1e-4, atol=1e-4)


@pytest.mark.parametrize(("choice", "marks"), [("graphs", 3), ("on", 0), ("off", 0)])
def test_a_step_begins_once_for_all_that_is_compiled_in_it(monkeypatch, choice, marks):
    """A mark between two calls would free the first view before the loss has read it."""
    events, views = [], room.Trainer.views
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: events.append("mark"))
    monkeypatch.setattr(room.Trainer, "views", lambda *given: events.append("views") or views(*given))
    for name in ("graphs", "on"):
        monkeypatch.setitem(compiler.OPTIONS, name, {"backend": "eager"})
    torch._dynamo.reset()
    assert losses(SMALL.model_copy(update={"compile": choice, "backbone": "cnn"})).isfinite().all()
    assert events == (["mark", "views"] if marks else ["views"]) * 3


def test_the_step_compiles_without_a_break(monkeypatch):
    monkeypatch.setitem(compiler.OPTIONS, "on", {"backend": "eager", "fullgraph": True})
    torch._dynamo.reset()
    assert losses(SMALL.model_copy(update={"compile": "on", "backbone": "cnn"})).isfinite().all()


def test_without_a_compiler_it_goes_on_and_says_so_once(monkeypatch):
    def broken(graph, inputs):
        raise RuntimeError("no C compiler found\nand more")

    monkeypatch.setitem(compiler.OPTIONS, "on", {"backend": broken})
    torch._dynamo.reset()
    said = []
    found = losses(SMALL.model_copy(update={"compile": "on"}), say=said.append)
    assert torch.equal(found, losses(SMALL))
    assert len(said) == 1 and "\n" not in said[0] and "going on without it" in said[0]


def test_nothing_is_compiled_on_a_cpu_unasked():
    def function() -> None: ...

    assert compiler.compiler("auto", torch.device("cpu"), print)(function) is function
    assert compiler.compiler("off", torch.device("cuda"), print)(function) is function
