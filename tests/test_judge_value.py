"""What groups of minted images are worth: every kind of group holds all of them, and adds up to the same."""

from types import SimpleNamespace

import pytest
import torch

from augmint.config import resolve
from augmint.judge.material import Material
from augmint.judge.situation import Situation
from augmint.judge.value import value
from augmint.measure.value import knn_shapley
from test_represent_train import table_of

COUNT, KEPT = 40, 30


def features(table):
    return table.images.flatten(1).float()[:, :6] / 255


@pytest.fixture
def situation():
    """40 images of four classes, 12 of them labelled; 60 children of 30 of them, half of which are kept."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(COUNT) % 4
    images = (labels[:, None, None, None] * 60 + torch.rand(COUNT, 1, 3, 3, generator=generator) * 60).byte()
    table = table_of(images, labels)
    parents = torch.arange(2 * KEPT) % KEPT
    minted = SimpleNamespace(
        table=table_of((images[parents] + torch.randint(0, 9, (2 * KEPT, 1, 3, 3)).byte()), labels[parents]),
        kept=torch.arange(2 * KEPT) % 2 == 0,
        parent_rows=parents,
        scores={n: torch.rand(2 * KEPT, generator=generator) for n in ("realness", "agreement", "real_distance")},
    )
    split = SimpleNamespace(seed=0)
    material = SimpleNamespace(
        table=table, pool_table=table, features=features(table), encoder=SimpleNamespace(features=features)
    )
    return SimpleNamespace(material=material, minted=minted, rows=torch.arange(12), labels=labels[:12], split=split)


@pytest.mark.parametrize("judges", [0, 3, 10])
def test_groups_add_up_whoever_judges(situation, judges):
    found = value(situation, torch.arange(COUNT - judges, COUNT))
    few = judges < 8  # then the labelled images judge
    assert (found["on"], found["judged"]) == (("labels", 12) if few else ("validation", judges))
    kinds = {}
    for group in found["groups"]:
        assert group["low"] <= group["value"] <= group["high"]
        if group["name"] != "labels":
            kinds.setdefault(group["by"], []).append(group)
    assert len(kinds) == 6
    for groups in kinds.values():
        assert sum(g["images"] for g in groups) == KEPT
        assert sum(g["value"] for g in groups) == pytest.approx(kinds["all"][0]["value"], abs=1e-9)
    parents = {g["name"]: g["images"] for g in kinds["parent"]}
    assert parents == {"labelled": 12, "unlabelled, label propagated": 18}


def test_the_parents_of_the_best_and_of_the_worst_children_are_named(situation):
    """Children of one parent have another class's label: they are worth least."""
    minted = situation.minted
    minted.table.labels[minted.parent_rows == 4] = 1  # of class 0
    found = value(situation, torch.arange(30, COUNT))
    parents = found["parents"]
    assert parents["of"] == KEPT // 2 and len(parents["best"]) == len(parents["worst"]) == 5
    worst = parents["worst"][0]
    assert (worst["id"], worst["class"], worst["images"]) == ("4", "b", 2)
    values = [line["value"] for line in [*parents["best"], *parents["worst"][::-1]]]
    assert values == sorted(values, reverse=True) and worst["value"] < 0
    assert all(line["low"] <= line["value"] <= line["high"] for line in parents["best"] + parents["worst"])


@pytest.mark.parametrize("drop", [(), ("b",), ("a", "c", "d")])
def test_dropped_classes_have_no_parents(drop):
    pseudo = torch.arange(20, 28), torch.arange(8) % 4
    material = SimpleNamespace(
        table=SimpleNamespace(classes=("a", "b", "c", "d")), settings=resolve(overrides={"mint": {"drop": drop}})
    )
    material.minting = Material.minting.fget(material)
    split = SimpleNamespace(material=material, rows=torch.arange(12), labels=torch.arange(12) % 4, pseudo=pseudo)
    rows, labels = Situation.parents.func(split)
    expected = {(row, row % 4) for row in [*range(12), *range(20, 28)] if "abcd"[row % 4] not in drop}
    assert set(zip(rows.tolist(), labels.tolist(), strict=True)) == expected


@pytest.mark.parametrize("judges", [0, 20])
def test_so_many_judge_and_no_more_and_their_neighbours_are_found_once(situation, judges, monkeypatch):
    calls = []

    def counted(*given):
        calls.append(len(given[2]))
        return knn_shapley(*given)

    monkeypatch.setattr("augmint.measure.value.knn_shapley", counted)
    monkeypatch.setattr("augmint.judge.value.MOST", 9)
    val = torch.arange(COUNT - judges, COUNT)
    found = value(situation, val)
    assert calls == [9] and found["judged"] == 9 and found == value(situation, val)
    for by in ("class", "parent"):
        groups = [g["value"] for g in found["groups"] if g["by"] == by]
        assert sum(groups) == pytest.approx(found["groups"][0]["value"], abs=1e-9)


def test_a_labelled_image_does_not_judge_its_own_children(situation):
    """With children of labelled images alone, each of a class of its own, nothing is left that can be right."""
    minted = situation.minted
    minted.kept = (torch.arange(2 * KEPT) < 12) & minted.kept
    situation.labels = torch.arange(12)
    minted.table = table_of(minted.table.images, minted.parent_rows)
    situation.material.table = table_of(situation.material.table.images, torch.full((COUNT,), -1))
    situation.material.table.__dict__["classes"] = tuple(map(str, range(COUNT)))
    found = value(situation, torch.arange(0))
    assert [g["value"] for g in found["groups"]] == pytest.approx([0.0] * len(found["groups"]))


def test_nothing_kept_or_too_few_to_judge_says_nothing(situation):
    situation.minted.kept = torch.zeros(2 * KEPT, dtype=torch.bool)
    assert value(situation, torch.arange(10)) == {}
    situation.minted.kept[:5] = True
    situation.rows, situation.labels = situation.rows[:5], situation.labels[:5]
    assert value(situation, torch.arange(0)) == {}
