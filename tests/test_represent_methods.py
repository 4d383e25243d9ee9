"""What every method promises, found by file name; a new file is tested by itself."""

import pytest
import torch

from augmint.augment import policy
from augmint.config import RepresentSettings
from augmint.data.table import Batch
from augmint.errors import UsageError
from augmint.networks.backbones import backbone
from augmint.represent.methods import build, names
from augmint.seeding import Draws

SHAPE = (1, 8, 8)


def batch_and_draws(count=6, step=0):
    images = torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(1))
    return Batch(images), Draws(0, "test", step, torch.arange(count))


@pytest.fixture(params=names())
def method(request):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(request.param, backbone("cnn", SHAPE, 8), policy("simclr"), RepresentSettings())


def test_views_are_pure_and_differ(method):
    batch, draws = batch_and_draws()
    before = batch.images.clone()
    first, again = method.views(batch, draws), method.views(batch, draws)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(batch.images, before)
    assert not torch.equal(first[0], first[1])
    assert first[0].dtype == torch.float32
    other = method.views(*batch_and_draws(step=1))
    assert not torch.equal(first[0], other[0])


def test_an_images_view_does_not_depend_on_its_batch(method):
    batch, draws = batch_and_draws()
    whole = method.views(batch, draws)[0]
    rows = torch.tensor([4, 1])
    part = method.views(Batch(batch.images[rows]), draws.select(rows))[0]
    torch.testing.assert_close(part, whole[rows])


def test_loss_is_a_scalar_with_gradient_and_features(method):
    batch, draws = batch_and_draws()
    out = method.loss(*method.views(batch, draws))
    assert out["loss"].shape == ()
    assert out["features"].shape == (6, method.network.features)
    out["loss"].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in method.network.parameters())
    method.after_step(0.5)


def test_unknown_method_and_option():
    network = backbone("cnn", SHAPE, 8)
    with pytest.raises(UsageError, match="simclr"):
        build("simclear", network, policy("none"), RepresentSettings())
    with pytest.raises(UsageError, match=r"represent\.options\.temprature.*has temperature"):
        build("simclr", network, policy("none"), RepresentSettings(options={"temprature": 1}))
    with pytest.raises(UsageError, match=r"represent\.options\.temperature"):
        build("simclr", network, policy("none"), RepresentSettings(options={"temperature": 0}))
