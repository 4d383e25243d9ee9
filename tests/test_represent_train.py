"""Training an encoder: it learns, resumes bit for bit, saves and loads, and says when it collapsed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from augmint.config import RepresentSettings
from augmint.data.mapped import Mapped
from augmint.data.table import Batch, ImageTable
from augmint.errors import Diverged, InputError, UsageError
from augmint.measure.knn import knn_accuracy
from augmint.networks.backbones import backbone
from augmint.represent import Encoder, train_encoder
from augmint.represent import train as room
from augmint.seeding import Draws
from augmint.train import Compute, RunDir

CPU = Compute(torch.device("cpu"), bf16=False)
SMALL = RepresentSettings(
    backbone="cnn", width=8, views="weak", images=640, batch=32, latent=8, decoder_width=8, grid=1
)


def table_of(images, labels=None):
    count = len(images)
    empty = np.array([""] * count)
    return ImageTable(
        images=images,
        labels=torch.full((count,), -1) if labels is None else labels,
        ids=np.array([f"{i}" for i in range(count)]),
        split=torch.zeros(count, dtype=torch.int8),
        group=torch.full((count,), -1),
        weight=torch.ones(count),
        classes=("a", "b", "c", "d"),
        paths=empty,
    )


def patterns(count=160):
    """Four kinds, each with another bright quadrant, under noise."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 4
    kinds = torch.eye(4).view(4, 2, 2).repeat_interleave(4, 1).repeat_interleave(4, 2)
    images = kinds[labels] * 120 + torch.rand(count, 8, 8, generator=generator) * 120
    return table_of(images.round().to(torch.uint8)[:, None], labels)


def weights(encoder):
    parts = {**encoder.network.state_dict(prefix="n."), **encoder.decoder.state_dict(prefix="d.")}
    return {name: value.clone() for name, value in parts.items()}


def test_it_learns_without_labels_and_decodes():
    table = patterns()
    encoder = train_encoder(table.with_labels(torch.full((160,), -1)), replace_settings(images=3200), CPU, seed=0)
    features = encoder.features(table)
    assert features.shape == (160, 16)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features.norm(dim=1), torch.ones(160))
    assert knn_accuracy(features[:80], table.labels[:80], features[80:], table.labels[80:]) > 0.95
    hidden = encoder.hidden(table)
    torch.testing.assert_close(hidden.norm(dim=1), torch.ones(160))
    images = encoder.decode(hidden)
    error = (images - table.images / 255).square().mean()
    assert error < (table.images / 255).var()
    torch.testing.assert_close(encoder.decode(3 * hidden), images)  # only the direction is read


def replace_settings(**changes):
    return SMALL.model_copy(update=changes)


def test_no_latent_no_decoder():
    encoder = train_encoder(patterns(), replace_settings(images=64, latent=0), CPU, seed=0)
    assert encoder.decoder is None
    with pytest.raises(InputError, match="no decoder"):
        encoder.decode(torch.zeros(1, 32))


def test_without_reconstruction_the_decoder_learns_and_the_encoder_does_not_notice():
    def gradients(weight):
        trainer = room.prepare(patterns(), replace_settings(reconstruction=weight), CPU, seed=0)
        joint = trainer.joint
        out = joint.loss(*trainer.views(*_first(), 1.0))
        torch.autograd.backward(out["loss"])
        return trainer, [p.grad.clone() for p in joint.method.parameters()], out

    trainer, beside, out = gradients(0.0)
    joint = trainer.joint
    assert all(p.grad.abs().sum() > 0 for p in joint.decoder.parameters() if p.ndim > 1)
    joint.zero_grad()
    torch.autograd.backward(joint.method.loss(*trainer.views(*_first(), 1.0))["loss"])
    assert all(torch.allclose(p.grad, g, atol=1e-6) for p, g in zip(joint.method.parameters(), beside, strict=True))
    _, shared, _ = gradients(5.0)
    assert not all(torch.allclose(a, b, atol=1e-6) for a, b in zip(shared, beside, strict=True))
    assert out["reconstruction"] > 0


def test_a_training_begins_on_small_views_and_ends_on_full_ones(monkeypatch):
    seen = []
    loss = room.Joint.loss
    monkeypatch.setattr(room.Joint, "loss", lambda self, *views: seen.append(views[0].shape[2:]) or loss(self, *views))
    images = patterns().images.repeat_interleave(3, 2).repeat_interleave(3, 3)
    encoder = train_encoder(table_of(images), replace_settings(images=320, small=0.5), CPU, seed=0)
    assert seen == [(17, 17)] * 5 + [(24, 24)] * 5
    assert encoder.hidden(images).shape == (160, 32)
    assert room.smaller((8, 8)) == (8, 8) and room.smaller((22, 40)) == (22, 40)


@pytest.mark.parametrize("views", ["simclr", "gentle", "weak"])
def test_small_views_show_what_full_ones_show(views):
    """Made at once or made smaller: the same crops and turns of images that are smooth enough for either."""
    plain = {"simclr": {"colour": 0.0, "hue": 0.0, "blur": 0.0}, "gentle": {"patch": 0.0, "noise": 0.0, "light": 0.0}}
    settings = replace_settings(views=views, view_options=plain)
    waves = torch.linspace(0, 3, 32)
    images = 0.5 + 0.4 * torch.outer(waves.sin(), waves.cos()).expand(16, 3, 32, 32)
    batch, draws = Batch(images), Draws(0, "view", 0, torch.arange(16))
    small = room.views_of(settings, (22, 20))(batch, draws).images
    full = room.views_of(settings)(batch, draws).images
    assert small.shape == (16, 3, 22, 20)
    difference = (small - room.resized(full, (22, 20))).abs()
    # The borders of a turned picture lie elsewhere by a part of a pixel.
    assert difference.mean() < 0.01 and difference[:, :, 2:-2, 2:-2].mean() < 0.005


def test_resizing_is_pillows():
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    wanted = [Image.fromarray(image[0].numpy()).resize((20, 20), Image.Resampling.BILINEAR) for image in images]
    torch.testing.assert_close(room.resized(images, (20, 20))[:, 0], torch.from_numpy(np.stack(wanted)))
    assert room.resized(images, (28, 28)) is images


def _first():
    return Batch(patterns().images[:32].float() / 255), Draws(0, "represent", 0, torch.arange(32))


def test_a_grid_of_cells_says_where_something_is():
    """Two images of the same pixels in other places: alike to the mean, not to the cells."""
    coarse, fine = (backbone("cnn", (1, 8, 8), 8, grid=g).eval() for g in (1, 2))
    fine.load_state_dict(coarse.state_dict())
    images = patterns().images.float() / 255
    assert coarse(images).shape == (160, 32) and fine(images).shape == (160, 128)
    cells = fine(images).view(160, 32, 4)
    torch.testing.assert_close(cells.mean(2), coarse(images))


def test_features_do_not_depend_on_the_batch_or_the_container(tmp_path):
    table = patterns()
    encoder = train_encoder(table, replace_settings(images=64), CPU, seed=0)
    whole = encoder.features(table)
    torch.testing.assert_close(encoder.features(table.images, batch=7), whole)
    path = tmp_path / "images.npy"
    np.save(path, table.images.numpy())
    mapped = replace(table, images=Mapped(np.load(path, mmap_mode="r"), np.arange(len(table))))
    torch.testing.assert_close(encoder.features(mapped), whole)
    assert encoder.features(table.images[:0]).shape == (0, 16)
    with pytest.raises(InputError, match="load them at that size"):
        encoder.features(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


def test_memory_map_and_resident_train_alike(tmp_path):
    table = patterns()
    np.save(tmp_path / "images.npy", table.images.numpy())
    mapped = replace(table, images=Mapped(np.load(tmp_path / "images.npy", mmap_mode="r"), np.arange(len(table))))
    a, b = (train_encoder(t, replace_settings(images=128), CPU, seed=3) for t in (table, mapped))
    assert all(torch.equal(x, y) for x, y in zip(weights(a).values(), weights(b).values(), strict=True))


class Killed(Exception):
    pass


@pytest.mark.parametrize("bf16", [False, True])
def test_stopped_and_resumed_is_uninterrupted_bit_for_bit(tmp_path, monkeypatch, bf16):
    table, compute = patterns(), Compute(torch.device("cpu"), bf16)
    straight = train_encoder(table, SMALL, compute, seed=5)
    plan, step = room.Plan, room.Trainer.step
    monkeypatch.setattr(room, "Plan", lambda *a: plan(*a, log_every=3, checkpoint_seconds=0.0))

    def killed(self, rows, draws, progress):
        if draws.step == 11:
            raise Killed
        return step(self, rows, draws, progress)

    with RunDir.open(tmp_path / "run", {"a": 1}) as run:
        stage = run.stage("represent", {"b": 1}, seed=5)
        monkeypatch.setattr(room.Trainer, "step", killed)
        with pytest.raises(Killed):
            train_encoder(table, SMALL, compute, seed=5, stage=stage)
        monkeypatch.setattr(room.Trainer, "step", step)
        resumed = train_encoder(table, SMALL, compute, seed=5, stage=stage)
    first, second = weights(straight), weights(resumed)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert '"spread"' in (tmp_path / "run" / "metrics.jsonl").read_text()


def test_another_seed_is_another_encoder():
    a, b = (train_encoder(patterns(), replace_settings(images=64), CPU, seed=seed) for seed in (0, 1))
    assert not torch.equal(a.features(patterns()), b.features(patterns()))


def test_saved_and_loaded(tmp_path):
    encoder = train_encoder(patterns(), replace_settings(images=64), CPU, seed=0)
    encoder.save(tmp_path / "encoder.safetensors")
    again = Encoder.load(tmp_path / "encoder.safetensors", CPU)
    assert again.form == encoder.form
    features = encoder.features(patterns())
    assert torch.equal(again.features(patterns()), features)
    assert torch.equal(again.decode(encoder.hidden(patterns())), encoder.decode(encoder.hidden(patterns())))
    start = replace_settings(images=32, lr=0.0, weights=tmp_path / "encoder.safetensors")
    warm = train_encoder(patterns(), start, CPU, seed=9)
    assert torch.equal(warm.network.layers[0].weight, encoder.network.layers[0].weight)
    with pytest.raises(InputError, match="make them equal"):
        train_encoder(patterns(), start.model_copy(update={"width": 16}), CPU, seed=0)


def test_a_file_that_is_no_encoder(tmp_path):
    from augmint.train import checkpoint

    checkpoint.save(tmp_path / "x.safetensors", {"kind": "logistic"})
    with pytest.raises(InputError, match="not an encoder"):
        Encoder.load(tmp_path / "x.safetensors", CPU)


def test_a_collapse_is_said_aloud(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(RunDir, "say", lambda self, line: said.append(line))
    same = table_of(torch.full((40, 1, 8, 8), 100, dtype=torch.uint8))
    with RunDir.open(tmp_path / "run", {}) as run:
        settings = replace_settings(images=64, views="none", reconstruction=0.0)
        train_encoder(same, settings, CPU, seed=0, stage=run.stage("represent", {}, 0))
    assert len(said) == 1
    assert "collapsed" in said[0]


def test_divergence_stops():
    with pytest.raises(Diverged):
        train_encoder(patterns(), replace_settings(lr=1e30), CPU, seed=0)


def test_one_image_is_too_few():
    with pytest.raises(InputError, match="too few"):
        train_encoder(patterns().take(torch.tensor([0])), SMALL, CPU, seed=0)


def test_view_options_are_of_the_policy_they_name():
    room.views_of(replace_settings(views="simclr", view_options={"gentle": {"turn": 0.0}}))
    with pytest.raises(UsageError, match="there is no option trun"):
        room.views_of(replace_settings(views="gentle", view_options={"gentle": {"trun": 0.0}}))
    with pytest.raises(UsageError, match="no such policy"):
        room.views_of(replace_settings(view_options={"gentel": {}}))
