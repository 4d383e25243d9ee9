"""Label draws are nested, stratified and fixed; folds keep classes and groups."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from augmint.data.draws import folds, nested_draw
from augmint.errors import InputError


@given(st.integers(2, 5), st.integers(0, 50), st.integers(0, 9), st.randoms())
def test_draws_are_nested_stratified_and_labelled(classes: int, seed: int, draw: int, random: object) -> None:
    labels = torch.arange(classes).repeat_interleave(12)
    labels = torch.cat([labels, torch.full((7,), -1)])[torch.randperm(classes * 12 + 7)]
    before: set[int] = set()
    for per_class in (1, 4, 10):
        rows = nested_draw(labels, per_class, seed, draw)
        assert torch.bincount(labels[rows], minlength=classes).tolist() == [per_class] * classes
        assert torch.equal(rows, rows.sort().values) and before <= set(rows.tolist())
        assert torch.equal(rows, nested_draw(labels, per_class, seed, draw))
        before = set(rows.tolist())


def test_other_draws_and_seeds_differ() -> None:
    labels = torch.arange(3).repeat_interleave(30)
    found = {tuple(nested_draw(labels, 4, seed, draw).tolist()) for seed in range(3) for draw in range(5)}
    assert len(found) == 15


def test_too_few_labels_names_the_class() -> None:
    labels = torch.tensor([0, 0, 0, 1])
    with pytest.raises(InputError, match="class dog has 1 labelled images, fewer than the 3"):
        nested_draw(labels, 3, 0, 0, classes=("cat", "dog"))
    with pytest.raises(InputError, match="no labelled images"):
        nested_draw(torch.full((4,), -1), 1, 0, 0)


@given(st.lists(st.integers(0, 3), min_size=8, max_size=60), st.integers(2, 6), st.integers(1, 3), st.integers(0, 99))
def test_folds_divide_and_stratify(values: list[int], count: int, repeats: int, seed: int) -> None:
    labels = torch.tensor(values)
    sizes = torch.bincount(labels)
    sizes = sizes[sizes > 0]
    if sizes.min() < 2:
        with pytest.raises(InputError, match="only one labelled image"):
            folds(labels, torch.full_like(labels, -1), count, repeats, seed)
        return
    found = folds(labels, torch.full_like(labels, -1), count, repeats, seed)
    each = min(count, int(sizes.min()))
    assert len(found) == each * repeats
    for repeat in range(repeats):
        tested = torch.cat([test for _, test in found[repeat * each : (repeat + 1) * each]])
        assert sorted(tested.tolist()) == list(range(len(values)))
    for train, test in found:
        assert not set(train.tolist()) & set(test.tolist()) and len(train) + len(test) == len(values)
        assert set(labels[train].tolist()) == set(values)
        share = torch.bincount(labels[test], minlength=4).float() - torch.bincount(labels, minlength=4) / each
        assert share.abs().max() <= 1


def test_groups_stay_together_and_lone_images_are_their_own() -> None:
    labels = torch.arange(2).repeat(20)
    groups = torch.cat([torch.arange(8).repeat_interleave(4), torch.full((8,), -1)])
    found = folds(labels, groups, 4, 2, 0)
    assert len(found) == 8
    for train, test in found:
        assert not (set(groups[train].tolist()) & set(groups[test].tolist())) - {-1}
    assert any((groups[test] == -1).any() and (groups[train] == -1).any() for train, test in found)


def test_a_class_in_one_group_cannot_be_divided() -> None:
    labels, groups = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([5, 5, 5, 1, 2, 3])
    with pytest.raises(InputError, match="class number 0 has only one"):
        folds(labels, groups, 3, 1, 0)
    with pytest.raises(InputError, match="class cat has only one"):
        folds(labels, groups, 3, 1, 0, ("cat", "dog"))


def test_repeats_differ_and_are_fixed() -> None:
    labels = torch.arange(2).repeat(10)
    none = torch.full_like(labels, -1)
    first, again = folds(labels, none, 5, 2, 3), folds(labels, none, 5, 2, 3)
    assert all(torch.equal(a, b) for x, y in zip(first, again, strict=True) for a, b in zip(x, y, strict=True))
    assert any(not torch.equal(first[i][1], first[i + 5][1]) for i in range(5))
