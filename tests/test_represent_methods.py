"""What every method promises, found by file name; a new file is tested by itself."""

import math

import pytest
import torch
from sklearn.datasets import load_digits

from augmint.augment import policy
from augmint.config import RepresentSettings
from augmint.data.table import Batch
from augmint.errors import UsageError
from augmint.measure.collapse import effective_rank, feature_std
from augmint.networks.backbones import backbone
from augmint.represent.encoder import FeatureDecoder, Form
from augmint.represent.methods import build, names
from augmint.represent.methods.simsiam import Options, SimSiam
from augmint.represent.optimise import make
from augmint.represent.target import Target
from augmint.represent.train import Joint
from augmint.seeding import Draws

SHAPE = (1, 8, 8)
VIEWS = policy("simclr")


def batch_and_draws(count=6, step=0):
    images = torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(1))
    return Batch(images), Draws(0, "test", step, torch.arange(count))


@pytest.fixture(params=names())
def method(request):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(request.param, backbone("cnn", SHAPE, 8), RepresentSettings())


def test_views_are_pure_and_differ(method):
    batch, draws = batch_and_draws()
    before = batch.images.clone()
    first, again = method.views(VIEWS, batch, draws), method.views(VIEWS, batch, draws)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(batch.images, before)
    assert not torch.equal(first[0], first[1])
    assert first[0].dtype == torch.float32
    other = method.views(VIEWS, *batch_and_draws(step=1))
    assert not torch.equal(first[0], other[0])


def test_an_images_view_does_not_depend_on_its_batch(method):
    batch, draws = batch_and_draws()
    whole = method.views(VIEWS, batch, draws)[0]
    rows = torch.tensor([4, 1])
    part = method.views(VIEWS, Batch(batch.images[rows]), draws.select(rows))[0]
    torch.testing.assert_close(part, whole[rows])


def test_loss_is_a_scalar_with_gradient_and_features(method):
    batch, draws = batch_and_draws()
    out = method.loss(*method.views(VIEWS, batch, draws))
    assert out["loss"].shape == ()
    assert out["features"].shape == (6, method.network.features)
    assert len(out["projected"]) == 6 and float(feature_std(out["projected"].detach())) > 0
    out["loss"].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in method.network.parameters())
    method.after_step(0.5)


def test_unknown_method_and_option():
    network = backbone("cnn", SHAPE, 8)
    with pytest.raises(UsageError, match="simclr"):
        build("simclear", network, RepresentSettings())
    with pytest.raises(UsageError, match=r"represent\.options\.temprature.*has temperature"):
        build("simclr", network, RepresentSettings(options={"temprature": 1}))
    with pytest.raises(UsageError, match=r"represent\.options\.temperature"):
        build("simclr", network, RepresentSettings(options={"temperature": 0}))


# --- targets --------------------------------------------------------------------------------------


DIGITS = torch.from_numpy(load_digits().images).float()[:, None] / 16


def digits(count, step):
    rows = (torch.arange(count) + step * count) % len(DIGITS)
    return Batch(DIGITS[rows]), Draws(0, "test", step, rows)


def trained(method, steps, start=0, total=40, settings=None):
    """`steps` optimiser steps on digits; the losses, and the spread of the features."""
    optimiser = make(method, settings or RepresentSettings(lr=3e-3))
    losses = []
    for step in range(start, start + steps):
        batch, draws = digits(64, step)
        out = method.loss(*method.views(VIEWS, batch, draws))
        optimiser.zero_grad()
        out["loss"].backward()
        optimiser.step()
        method.after_step(step / total)
        losses.append(float(out["loss"].detach()))
    return losses, float(feature_std(out["features"].detach()))


def target_pairs(method):
    """(target's, online's) tensors by name, as they stand in the state."""
    state = method.state_dict()
    found = {}
    for name, value in state.items():
        if name.startswith("target.copy.0."):
            found[name] = (value, state[f"network.{name.removeprefix('target.copy.0.')}"])
    return found


def test_targets_move_after_steps_only_with_their_buffers(method):
    pairs = target_pairs(method)
    if not pairs:
        assert not hasattr(method, "target")
        return
    batch, draws = batch_and_draws(32)
    before = {name: target.clone() for name, (target, _) in pairs.items()}
    method.loss(*method.views(VIEWS, batch, draws))["loss"].backward()
    assert all(torch.equal(method.state_dict()[name], value) for name, value in before.items())
    assert all(p.grad is None and not p.requires_grad for p in method.target.parameters())
    with torch.no_grad():
        for p in method.network.parameters():
            p.add_(1.0)
    now = {name: target.clone() for name, (target, _) in target_pairs(method).items()}
    method.after_step(0.5)
    momentum = 1 - (1 - method.target.start) * (math.cos(math.pi * 0.5) + 1) / 2
    for name, (target, online) in target_pairs(method).items():
        if target.is_floating_point():
            torch.testing.assert_close(target, momentum * now[name] + (1 - momentum) * online)
        else:
            assert torch.equal(target, online)
    assert any("running_var" in name for name in before)


def test_a_target_stands_still_at_the_end():
    target = Target(torch.nn.Linear(2, 2), start=0.9)
    assert target.momentum(0.0) == pytest.approx(0.9) and target.momentum(1.0) == 1.0


def test_it_learns_and_does_not_collapse(method):
    """Counted from step 30, when DINO's centre has been found; its loss starts low on scores that are all alike."""
    losses, spread = trained(method, 150, total=150)
    assert sum(losses[-20:]) < sum(losses[30:50])
    assert spread > 0.05


def test_saved_and_restored_it_goes_on_the_same(method):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        other = build(type(method).__name__.lower(), backbone("cnn", SHAPE, 8), RepresentSettings())
    sgd = RepresentSettings(optimiser="sgd", lr=2e-3, weight_decay=0.05)
    trained(method, 2, settings=sgd)
    other.load_state_dict(method.state_dict())
    assert trained(method, 3, start=2, settings=sgd) == trained(other, 3, start=2, settings=sgd)


def test_nnclr_is_drawn_to_the_nearest_of_recent_images():
    """Its loss by hand, row by row; after the step the newest projections are in the queue, the oldest gone."""
    torch.manual_seed(0)
    options = RepresentSettings(options={"queue": 20, "own": 0.0})
    method = build("nnclr", backbone("cnn", SHAPE, 8), options)
    views, before = method.views(VIEWS, *batch_and_draws()), method.queue.clone()
    out = method.loss(*views)
    projected = method.projector(method.network(torch.cat(views)))
    predicted = torch.nn.functional.normalize(method.predictor(projected), dim=1)
    unit, total = torch.nn.functional.normalize(projected, dim=1).detach(), 0.0
    for i in range(12):
        near = before[(before @ unit[i]).argmax()]
        others = predicted[6:] if i < 6 else predicted[:6]  # predictions of the other views
        similar = others @ near / 0.1
        total += float((torch.logsumexp(similar, 0) - similar[i % 6]).detach()) / 12
    assert float(out["loss"].detach()) == pytest.approx(total, rel=1e-4)
    method.after_step(0.5)
    torch.testing.assert_close(method.queue, torch.cat([unit[:6], before[:14]]))


def by_hand(name, method, views):
    """The losses of methods that predict the other view, from their own outputs, row by row in double."""
    both, unit = torch.cat(views), lambda x: x / x.norm()
    features = method.network(both)
    if name == "dino":
        online, slow, centre = method.head(features), method.target(both), method.centre.double()
    else:
        projected = method.projector(features)
        online, slow = method.predictor(projected), projected if name == "simsiam" else method.target(both)
    online, slow, count, total = online.detach().double(), slow.detach().double(), len(views[0]), 0.0
    for i in range(2 * count):
        j = (i + count) % (2 * count)  # the other view of the same image
        if name in ("byol", "simsiam"):
            cosine = float(unit(online[i]) @ unit(slow[j]))
            total += (2 - 2 * cosine) / count if name == "byol" else (1 - cosine) / (2 * count)
        elif name == "mocov3":
            keys = slow[count:] if i < count else slow[:count]
            similar = torch.stack([unit(online[i]) @ unit(key) for key in keys]) / 0.2
            total += 2 * 0.2 * float(similar.exp().sum().log() - similar[i % count]) / count
        else:
            wanted = ((slow[j] - centre) / 0.04).softmax(0)
            scores = online[i] / 0.1
            total -= float((wanted * (scores - scores.exp().sum().log())).sum()) / (2 * count)
    return total


@pytest.mark.parametrize("name", ["byol", "simsiam", "mocov3", "dino"])
def test_what_predicts_the_other_view_has_the_loss_of_its_own_outputs(name):
    torch.manual_seed(0)
    method = build(name, backbone("cnn", SHAPE, 8), RepresentSettings())
    if name == "dino":
        method.centre.normal_(std=0.1)
    views = method.views(VIEWS, *batch_and_draws())
    with torch.no_grad():  # the target stands elsewhere than its source, as in training
        for p in method.network.parameters():
            p.add_(0.05 * torch.randn_like(p))
    assert float(method.loss(*views)["loss"].detach()) == pytest.approx(by_hand(name, method, views), rel=1e-4)


def test_every_method_learns_from_the_reconstruction_too(method):
    torch.manual_seed(0)
    form = Form("cnn", SHAPE, 8, "auto", 8, 8)
    joint = Joint(method, FeatureDecoder(form, method.network.features), 5.0)
    views = method.views(VIEWS, *batch_and_draws())
    out = joint.loss(*views)
    alone = method.loss(*views)["loss"]
    torch.testing.assert_close(out["loss"], alone + 5 * out["reconstruction"])
    (shared,) = torch.autograd.grad(out["reconstruction"], [next(method.network.parameters())], retain_graph=True)
    assert float(shared.abs().sum()) > 0
    optimiser = make(joint, RepresentSettings())
    out["loss"].backward()
    optimiser.step()
    method.after_step(0.5)
    assert all(bool(p.isfinite().all()) for p in joint.parameters())


def rank_of_simsiam(seed, stopped):
    """Mean effective rank of the features over the last 20 of 150 steps."""
    torch.manual_seed(seed)
    method = SimSiam(backbone("cnn", SHAPE, 8), Options())
    if not stopped:
        method.wanted = lambda projected: projected
        method.predictor = torch.nn.Identity()
    optimiser, ranks = torch.optim.SGD(method.parameters(), 0.05, 0.9), []
    for step in range(150):
        out = method.loss(*method.views(VIEWS, *batch_and_draws(32, step)))
        optimiser.zero_grad()
        out["loss"].backward()
        optimiser.step()
        ranks.append(float(effective_rank(out["features"].detach())))
    return sum(ranks[-20:]) / 20


def test_without_stopped_gradients_simsiam_falls_into_few_directions():
    """Beside the method as it is: a single seed, or weight decay strong enough to flatten both, would tell nothing."""
    freely, stopped = (sorted(rank_of_simsiam(seed, how) for seed in range(3))[1] for how in (False, True))
    assert freely < stopped / 2, (freely, stopped)
