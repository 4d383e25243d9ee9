"""The value of training images against the definition, worked out over all subsets."""

from itertools import combinations
from math import comb

import pytest
import torch

from augmint.errors import InputError
from augmint.measure import value
from augmint.measure.value import by_groups, knn_shapley


def utility(order: list[int], match: list[bool], present: set[int], k: int) -> float:
    return sum(match[i] for i in [i for i in order if i in present][:k]) / k


def by_definition(far: torch.Tensor, match: list[bool], k: int, hidden: set[int]) -> list[float]:
    """Shapley (1953): the mean over subsets S without i of v(S + i) − v(S), every size weighing the same."""
    everyone = [i for i in range(len(match)) if i not in hidden]
    order = far.argsort(stable=True).tolist()
    found = [0.0] * len(match)
    for i in everyone:
        others = [j for j in everyone if j != i]
        for size in range(len(everyone)):
            for chosen in combinations(others, size):
                gain = utility(order, match, {*chosen, i}, k) - utility(order, match, {*chosen}, k)
                found[i] += gain / (len(everyone) * comb(len(others), size))
    return found


def problem(count: int = 7, queries: int = 4):
    generator = torch.Generator().manual_seed(count)
    features, asked = (torch.randn(n, 3, generator=generator) for n in (count, queries))
    labels, truth = (torch.randint(0, 3, (n,), generator=generator) for n in (count, queries))
    return features, labels, asked, truth


@pytest.mark.parametrize("k", [1, 3, 7, 10])
@pytest.mark.parametrize("hidden", [set(), {0}, {2, 5}])
def test_values_are_shapleys(k, hidden):
    features, labels, queries, truth = problem()
    skip = torch.zeros(len(queries), len(features), dtype=torch.bool)
    skip[:, list(hidden)] = True
    values = knn_shapley(features, labels, queries, truth, k, skip)
    for row, query in enumerate(queries):
        match = (labels == truth[row]).tolist()
        wanted = by_definition((features - query).norm(dim=1), match, k, hidden)
        assert values[row].tolist() == pytest.approx(wanted, abs=1e-12)


def test_values_add_up_to_what_the_neighbours_reach_and_groups_to_values(monkeypatch):
    features, labels, queries, truth = problem(60, 30)
    values = knn_shapley(features, labels, queries, truth, 5)
    near = torch.cdist(queries, features).argsort(1)[:, :5]
    torch.testing.assert_close(values.sum(1), (labels[near] == truth[:, None]).double().mean(1))
    groupings = [torch.arange(60) % 4, torch.arange(60) // 30]
    for cells in (value.CELLS, 60 * 7):  # blocks of seven queries say the same
        monkeypatch.setattr(value, "CELLS", cells)
        found = by_groups(features, labels, groupings, queries, truth, 5)
        for groups, (worth, error) in zip(groupings, found, strict=True):
            each = torch.stack([values[:, groups == g].sum(1) for g in groups.unique()], 1)
            torch.testing.assert_close(worth, each.mean(0))
            torch.testing.assert_close(error, each.std(0) / 30**0.5)


def test_what_misleads_is_worth_less_than_nothing():
    features = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
    labels = torch.tensor([0, 2, 1, 1])  # the second lies where another class is asked for
    queries, truth = torch.tensor([[0.08], [5.05]]), torch.tensor([0, 1])
    values = knn_shapley(features, labels, queries, truth, k=1).mean(0)
    assert values[1] < 0 < values[0] and values[2] > 0


def test_mistakes_are_named():
    features, labels, queries, truth = problem()
    with pytest.raises(InputError, match="one label for each"):
        knn_shapley(features, labels[:-1], queries, truth)
    with pytest.raises(InputError, match="at least 1"):
        knn_shapley(features, labels, queries, truth, k=0)
