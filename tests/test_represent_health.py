"""A collapse is said with its measure, wherever it is: in all features, in the last stage, in what the loss sees."""

import warnings
from dataclasses import replace

import pytest
import torch

from augmint.config import RepresentSettings
from augmint.represent import explain as explaining
from augmint.represent import health, train_encoder
from augmint.represent import train as room
from augmint.represent.embeddings import Shown
from augmint.represent.methods.simsiam import SimSiam
from augmint.train import RunDir
from test_represent_methods import DIGITS
from test_represent_train import CPU, patterns, table_of

SETTINGS = RepresentSettings(backbone="resnet8", width=8, views="weak", images=128, batch=32, latent=0, grid=1)


def warned(table, settings):
    """What a training without a run folder warns of, and the encoder."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        encoder = train_encoder(table, settings, CPU, seed=0)
    return [str(one.message) for one in found if "collapsed" in str(one.message)], encoder


def constant(monkeypatch, place):
    """Of every training to come, what `place` of the method answers is the same for all images."""
    start = room._start

    def planted(*given):
        joint = start(*given)
        place(joint.method).register_forward_hook(lambda module, inputs, out: 0 * out)
        return joint

    monkeypatch.setattr(room, "_start", planted)


def test_a_healthy_training_says_nothing_and_a_dead_one_its_measures_once():
    assert warned(patterns(), SETTINGS)[0] == []
    same = table_of(torch.full((40, 1, 8, 8), 100, dtype=torch.uint8))
    (sentence,) = warned(same, SETTINGS.model_copy(update={"views": "none"}))[0]
    assert "the features (spread 0.000 of 1, effective rank 0.0 of 56)" in sentence


def test_a_constant_last_stage_is_found_behind_stages_that_vary(monkeypatch):
    constant(monkeypatch, lambda method: method.network.layer3)
    (sentence,), encoder = warned(patterns(), SETTINGS)
    assert "the last stage (spread 0.000 of 1, effective rank 0.0 of 32)" in sentence
    assert "the features" not in sentence
    rows = torch.arange(160)
    facts = explaining.health(encoder, Shown(patterns(), rows, rows[:0], rows[:0]))
    assert facts["collapsed"] and facts["of"] == {"what": "the last stage", "size": 32} and facts["spread"] < 1e-6


def test_a_constant_head_is_found_behind_features_that_vary(monkeypatch):
    constant(monkeypatch, lambda method: method.projector)
    (sentence,), _ = warned(patterns(), SETTINGS)
    assert "what the loss sees (spread 0.000 of 1" in sentence
    assert "the features" not in sentence and "the last stage" not in sentence


def test_simsiam_without_stopped_gradients_is_warned_of_and_as_it_is_not(monkeypatch, tmp_path):
    settings = SETTINGS.model_copy(
        update={"method": "simsiam", "backbone": "cnn", "images": 300 * 32, "views": "simclr", "lr": 1e-2}
    )
    digits = table_of((DIGITS * 255).to(torch.uint8))
    assert warned(digits, settings)[0] == []
    monkeypatch.setattr(SimSiam, "wanted", lambda self, projected: projected)
    start = room._start

    def without_predictor(*given):
        joint = start(*given)
        joint.method.predictor = torch.nn.Identity()
        return joint

    monkeypatch.setattr(room, "_start", without_predictor)
    with RunDir.open(tmp_path / "run", {}) as run:
        train_encoder(digits, settings, CPU, seed=0, stage=run.stage("represent", {}, 0))
    said = (tmp_path / "run" / "run.log").read_text()
    assert said.count("collapsed: ") == 1 and "what the loss sees (spread 0." in said


def test_each_measure_has_its_limit_and_few_dimensions_a_lower_one():
    one = health.Part("x", 0.5, 20.0, 32)
    assert not one.collapsed and replace(one, spread=0.04).collapsed and replace(one, rank=2.9).collapsed
    assert not replace(one, rank=1.5, size=3).collapsed
    assert health.warning([one]) is None and "x (spread 0.040" in health.warning([replace(one, spread=0.04)])


@pytest.mark.parametrize("shape", [(40, 8), (8, 40)])
def test_the_rank_is_the_same_from_either_product(shape):
    vectors = torch.randn(*shape, generator=torch.Generator().manual_seed(0)).double()
    singular = torch.linalg.svdvals(vectors - vectors.mean(0))
    share = singular[singular > 1e-9] / singular.sum()
    assert health.effective_rank(vectors) == pytest.approx(float((-(share * share.log()).sum()).exp()))
