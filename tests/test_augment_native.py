"""The compiled kernels: there where a compiler is, the same as torch, in threads too, harmless if they fail."""

import shutil

import pytest
import torch

from augmint.augment import native, policy
from augmint.augment.operations import NAMES, WIDE, Ranges, apply
from augmint.data.table import Batch
from augmint.seeding import Draws, torch_generator

SHAPES = [(1, 28, 28), (3, 32, 32), (3, 17, 70), (1, 3, 1), (3, 100, 100)]


def views(name, shape, count=24, as_float=False, **options):
    images = torch.randint(0, 256, (count, *shape), generator=torch_generator("images")).to(torch.uint8)
    images = images.float() / 255 if as_float else images
    return policy(name, **options)(Batch(images), Draws(0, "test", 3, torch.arange(count))).images


def test_they_are_there_where_a_compiler_is():
    assert (native.library() is not None) == (shutil.which("cc") is not None)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("as_float", [False, True])
@pytest.mark.parametrize(("name", "options"), [("simclr", {"flip": True}), ("gentle", {"turn": 0.0}), ("weak", {})])
def test_the_same_as_torch(monkeypatch, name, options, shape, as_float):
    compiled = views(name, shape, as_float=as_float, **options)
    monkeypatch.setattr(native, "ENOUGH", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    threaded = views(name, shape, as_float=as_float, **options)
    monkeypatch.undo()
    monkeypatch.setattr(native, "library", lambda: None)
    plain = views(name, shape, as_float=as_float, **options)
    assert torch.equal(threaded, compiled)
    assert torch.allclose(compiled, plain, atol=5e-5)
    assert not torch.equal(plain, views("none", shape))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["randaugment", "trivialaugment", "augmix"])
def test_operations_are_the_same_as_torch(monkeypatch, name, shape):
    compiled = views(name, shape, count=200)
    monkeypatch.setattr(native, "ENOUGH", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    threaded = views(name, shape, count=200)
    monkeypatch.undo()
    monkeypatch.setattr(native, "library", lambda: None)
    plain = views(name, shape, count=200)
    assert torch.equal(threaded, compiled)
    # a rounding can move a value by a whole level of posterize or equalize
    assert (~torch.isclose(compiled, plain, atol=5e-5)).float().mean() < 1e-3
    assert not torch.equal(plain, views("none", shape, count=200))


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_is_the_same_as_torch(monkeypatch, name):
    images = torch.rand(64, 3, 9, 12, generator=torch_generator("images"))
    level = torch.linspace(-1, 1, 64)
    kind = torch.full((64,), NAMES.index(name))
    found = [apply(images, kind, level, ranges) for ranges in (Ranges(), WIDE)]
    monkeypatch.setattr(native, "library", lambda: None)
    wanted = [apply(images, kind, level, ranges) for ranges in (Ranges(), WIDE)]
    assert all(torch.allclose(*pair, atol=2e-5) for pair in zip(found, wanted, strict=True))
    assert name == "identity" or not torch.allclose(wanted[0], images, atol=1e-3)


@pytest.mark.parametrize("library", [native.library, lambda: None])
def test_autocast_takes_no_bits_away(monkeypatch, library):
    monkeypatch.setattr(native, "library", library)
    wanted = views("simclr", (3, 32, 32))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(views("simclr", (3, 32, 32)), wanted)


def test_a_compiler_that_fails_is_no_error(tmp_path, monkeypatch):
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(native.shutil, "which", lambda name: str(broken))
    assert native.library.__wrapped__() is None
    monkeypatch.setattr(native.shutil, "which", lambda name: None)
    assert native.library.__wrapped__() is None


def test_it_can_be_turned_off(monkeypatch):
    monkeypatch.setenv("AUGMINT_NATIVE", "0")
    assert native.library.__wrapped__() is None


def test_tiny_numbers_stay_what_they_are():
    """Some compiler flags make a whole process round them to zero as soon as the library is loaded."""
    native.library()
    assert (torch.full((64,), 1e-38) * 1e-2).min() > 0


def test_what_needs_a_gradient_or_has_other_channels_goes_to_torch():
    images = torch.rand(2, 3, 8, 8)
    assert not native.usable(images.requires_grad_())
    assert not native.usable(torch.rand(2, 4, 8, 8))
    assert not native.usable(torch.rand(0, 3, 8, 8))
    assert not native.usable(torch.rand(2, 3, 8, 8, dtype=torch.float64))
