"""What every policy promises, found by name: range, shape, independence of the batch, strength, options."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augmint.augment import POLICIES, policy
from augmint.augment.batches import random_boxes
from augmint.augment.mixing import beta
from augmint.data.table import Batch
from augmint.errors import UsageError
from augmint.seeding import Draws, torch_generator

MIXING = {"mixup", "cutmix"}  # the partner comes from the batch


def images(count: int, channels: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    shape = (count, channels, height, width)
    return torch.randint(0, 256, shape, generator=torch_generator("images", seed)).to(torch.uint8)


def draws(count: int, seed: int = 0, step: int = 0) -> Draws:
    return Draws(seed, "test", step, torch.arange(count) + 100)


def targets(count: int, classes: int = 4) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.arange(count) % classes, classes).float()


def test_the_policies_of_the_system_are_there():
    promised = {"none", "weak", "simclr", "gentle", "randaugment", "trivialaugment", "augmix", "mixup", "cutmix"}
    assert promised <= set(POLICIES)


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=10, deadline=None)
@given(
    channels=st.sampled_from([1, 3]),
    height=st.sampled_from([1, 2, 3, 8, 13, 33]),
    width=st.sampled_from([1, 2, 5, 8, 28]),
    count=st.integers(1, 9),
    seed=st.integers(0, 2**31),
    strength=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
)
def test_range_shape_and_types(name, channels, height, width, count, seed, strength):
    raw = images(count, channels, height, width, seed % 100)
    augment = policy(name, strength)
    out = augment(Batch(raw, targets(count), torch.ones(count)), draws(count, seed))
    assert out.images.shape == raw.shape
    assert out.images.dtype == torch.float32
    assert torch.isfinite(out.images).all()
    assert out.images.min() >= 0
    assert out.images.max() <= 1 + 1e-6
    assert torch.allclose(out.targets.sum(1), torch.ones(count), atol=1e-5)
    as_float = augment(Batch(raw.float() / 255, targets(count), torch.ones(count)), draws(count, seed))
    assert ((as_float.images - out.images).abs() > 1e-4).float().mean() < 0.01
    if strength == 0:
        assert torch.allclose(out.images, raw.float() / 255, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(POLICIES) - MIXING))
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_gets_the_same_in_any_batch(name, channels):
    raw, own = images(40, channels, 12, 12), draws(40)
    whole = policy(name)(Batch(raw), own).images
    some = torch.tensor([31, 4, 17, 39])
    part = policy(name)(Batch(raw[some]), own.select(some)).images
    assert torch.allclose(whole[some], part, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(POLICIES) - MIXING))
def test_parts_of_a_large_batch_change_nothing(name, monkeypatch):
    raw = images(50, 3, 10, 10)
    whole = policy(name)(Batch(raw), draws(50)).images
    monkeypatch.setattr("augmint.augment.batches._CACHED", 1)
    assert torch.allclose(policy(name)(Batch(raw), draws(50)).images, whole, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(POLICIES) - {"none"}))
def test_every_image_and_step_has_its_own_draw(name):
    raw = images(1, 3, 16, 16).expand(32, -1, -1, -1) if name not in MIXING else images(32, 3, 16, 16)
    first = policy(name)(Batch(raw), draws(32)).images
    again = policy(name)(Batch(raw), draws(32)).images
    later = policy(name)(Batch(raw), draws(32, step=1)).images
    assert torch.equal(first, again)
    assert not torch.allclose(first, later)
    if name not in MIXING:
        assert len(torch.unique(first.flatten(1), dim=0)) > 4


@pytest.mark.parametrize("name", POLICIES)
def test_an_empty_batch_stays_empty(name):
    out = policy(name)(Batch(images(0, 3, 8, 8), targets(0)), draws(0))
    assert out.images.shape == (0, 3, 8, 8)


@pytest.mark.parametrize("name", ["weak", "simclr", "gentle"])
def test_only_rgb_is_mirrored_unless_asked(name):
    """A picture bright on the left: bright on the right only under a flip."""
    raw = torch.zeros(200, 1, 16, 16)
    raw[..., :8] = 0.8

    def mirrored(channels: int, **options: bool) -> float:
        out = policy(name, **options)(Batch(raw.expand(-1, channels, -1, -1)), draws(200)).images
        return (out[..., 12:].mean((1, 2, 3)) > out[..., :4].mean((1, 2, 3)) + 0.05).float().mean().item()

    assert mirrored(1) == 0
    assert mirrored(3, flip=False) == 0
    assert 0.3 < mirrored(3) < 0.7
    assert 0.3 < mirrored(1, flip=True) < 0.7


def test_weak_moves_by_whole_pixels():
    raw = images(60, 1, 16, 16)
    out = policy("weak")(Batch(raw), draws(60)).images * 255
    assert torch.allclose(out, out.round(), atol=1e-3)
    moved = [torch.roll(raw.float(), (y, x), (2, 3)) for y in range(-2, 3) for x in range(-2, 3)]
    inner = torch.stack(moved)[:, :, :, 2:-2, 2:-2] - out[None, :, :, 2:-2, 2:-2]
    best = inner.abs().amax((2, 3, 4)).min(0)
    assert best.values.max() < 1e-3
    assert len(torch.unique(best.indices)) > 15  # 25 shifts, all likely


@pytest.mark.parametrize("name", sorted(MIXING))
def test_mixing_goes_by_weighted_targets(name):
    """Images of one flat value each: what is left of an image is what is left of its target."""
    count = 64
    value = torch.linspace(0, 1, count)
    raw = value[:, None, None, None].expand(-1, 3, 16, 16)
    weights = torch.arange(count) % 3 + 1.0
    out = policy(name)(Batch(raw, torch.eye(count), weights), draws(count))
    plain = policy(name)(Batch(raw, torch.eye(count)), draws(count))
    assert torch.allclose(plain.images.mean((1, 2, 3)), plain.targets @ value, atol=1e-4)
    assert plain.weights is None
    assert torch.allclose(out.weights[:, None] * out.targets, plain.targets * weights[None], atol=1e-4)
    assert torch.equal(policy(name)(Batch(raw), draws(count)).images, plain.images)
    assert policy(name)(Batch(raw), draws(count)).targets is None


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_beta_by_its_moments(alpha):
    share = beta(draws(20000).uniform("u"), alpha)
    assert abs(share.mean() - 0.5) < 0.01
    assert abs(share.var() - 1 / (4 * (2 * alpha + 1))) < 0.005
    assert share.min() >= 0
    assert share.max() <= 1


def test_boxes_lie_inside_and_have_the_area_asked_for():
    box = random_boxes(draws(5000).uniform("u", 4), (0.2, 1.0), 4 / 3, 20, 30)
    top, left, tall, wide = box.unbind(1)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + tall <= 20.001).all()
    assert (left + wide <= 30.001).all()
    area = tall * wide / 600
    assert area.min() > 0.19
    assert abs(area.mean() - 0.58) < 0.03


def test_what_does_not_exist_is_named():
    with pytest.raises(UsageError, match=r"policy simcrl: there is no such policy.*randaugment.*weak"):
        policy("simcrl")
    with pytest.raises(UsageError, match="no option blurr; it has area, flip"):
        policy("simclr", blurr=1)
    with pytest.raises(UsageError, match="strength -1 has to be 0 or more"):
        policy("weak", -1)
