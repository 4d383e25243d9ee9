"""kNN while the encoder learns: the right number, at the right moments, without touching the training."""

import json

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from augmint.represent import train as room
from augmint.represent import train_encoder
from augmint.represent.watch import moments, stratified, watcher
from augmint.train import Compute, RunDir
from test_represent_train import SMALL, patterns, weights

CPU = Compute(torch.device("cpu"), bf16=False)
POOL, FEW, VAL = torch.arange(120), torch.arange(0, 120, 3), torch.arange(120, 160)


@pytest.mark.parametrize(
    ("steps", "every", "wanted"),
    [
        (1000, 50, {100, 200, 300, 400, 500, 600, 700, 800, 900, 1000}),
        (352, 50, {50, 100, 150, 200, 250, 300, 350, 352}),
        (32, 50, {32}),
        (1, 50, {1}),
        (2345, 50, {250, 500, 750, 950, 1200, 1450, 1650, 1900, 2150, 2345}),
    ],
)
def test_ten_moments_among_those_that_are_logged(steps, every, wanted):
    assert moments(steps, every) == wanted


def test_a_stratified_sample_takes_every_class_in_turn():
    labels = torch.tensor([0] * 50 + [1] * 3 + [7] * 20)
    chosen = stratified(labels, 15, "a")
    assert torch.equal(chosen, chosen.unique()) and len(chosen) == 15
    assert torch.bincount(labels[chosen])[[0, 1, 7]].tolist() == [6, 3, 6]
    assert torch.equal(chosen, stratified(labels, 15, "a")) and not torch.equal(chosen, stratified(labels, 15, "b"))
    assert stratified(labels, 1000, "a").tolist() == list(range(73))
    assert stratified(labels[:0], 5, "a").tolist() == []


def test_the_number_is_scikit_learns():
    table = patterns()
    encoder = train_encoder(table, SMALL.model_copy(update={"images": 64}), CPU, seed=0)
    watch = watcher(table, FEW, VAL, SMALL, seed=0)
    hidden = encoder.hidden(table)
    features = hidden.numpy()
    judge = KNeighborsClassifier(5).fit(features[FEW], table.labels[FEW])
    assert watch(encoder)["knn"] == pytest.approx(judge.score(features[VAL], table.labels[VAL]), abs=1e-6)


def test_without_a_validation_slice_the_few_judge_each_other():
    table = patterns()
    encoder = train_encoder(table, SMALL.model_copy(update={"images": 64}), CPU, seed=0)
    found = watcher(table, FEW, VAL[:0], SMALL, seed=0)(encoder)["knn"]
    hidden = encoder.hidden(table)
    x, y = hidden.numpy()[FEW], table.labels[FEW].numpy()
    rows = np.arange(len(x))
    right = [KNeighborsClassifier(5).fit(x[rows != i], y[rows != i]).predict(x[i : i + 1])[0] == y[i] for i in rows]
    assert found == pytest.approx(np.mean(right), abs=1e-6)


def test_no_labels_or_one_class_is_nothing_to_watch():
    table = patterns()
    assert watcher(table, POOL[:0], VAL, SMALL, seed=0) is None
    assert watcher(table, FEW[table.labels[FEW] == 1], VAL, SMALL, seed=0) is None


@pytest.mark.parametrize("method", ["simclr", "byol"])
def test_the_training_is_bit_for_bit_the_same_with_and_without(tmp_path, monkeypatch, method):
    plan = room.Plan
    monkeypatch.setattr(room, "Plan", lambda *a: plan(*a, log_every=2))
    settings, table = SMALL.model_copy(update={"method": method}), patterns()
    blind = train_encoder(table, settings, CPU, seed=5)
    with RunDir.open(tmp_path / "run", {"a": 1}) as run:
        watch = watcher(table, FEW, VAL, settings, seed=5)
        seen = train_encoder(table, settings, CPU, seed=5, stage=run.stage("represent", {"b": 1}, 5), watch=watch)
    first, second = weights(blind), weights(seen)
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "knn" in line] == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
    assert lines[-1]["knn"] == pytest.approx(watch(seen)["knn"])
