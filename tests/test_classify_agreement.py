"""Graphs between neighbours that agree, and students of what they decide."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from augmint.classify import Candidates, Student, agreeing, candidates, fit_student, graph_of, logistic
from augmint.classify.graph import DECIDING, propagated_scores
from augmint.classify.student import enough
from augmint.judge.trials import load_model
from augmint.measure.knn import nearest
from augmint.train import Compute


def rows(count: int, size: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def test_without_opinions_it_is_the_graph_of_the_nearest() -> None:
    x = rows(120)
    unit = torch.nn.functional.normalize(x, dim=1)
    want = graph_of(*nearest(unit, unit, 7, exclude_self=True))
    assert abs(candidates(x, edges=7).graph() - want).max() < 1e-12
    few = candidates(x[:4])  # fewer rows than candidates or edges
    assert few.rows.shape == (4, 3) and few.graph().shape == (4, 4)


def test_neighbours_are_nearest_in_features_and_opinions() -> None:
    """Row by row: all candidates measured one by one in both, the nearest five kept."""
    x, logits = rows(60), rows(60, 3, seed=1) * 5
    near = candidates(x, edges=5)
    unit = torch.nn.functional.normalize(x, dim=1).double()
    opinion = (logits - logits.mean(1, keepdim=True)).double()
    opinion = opinion / opinion.norm(dim=1, keepdim=True)
    distances, chosen = torch.zeros(60, 5).double(), torch.zeros(60, 5, dtype=torch.int64)
    for i in range(60):
        there = [(float(((unit[i] - unit[j]) ** 2).sum() + ((opinion[i] - opinion[j]) ** 2).sum()) ** 0.5, int(j))
                 for j in near.rows[i]]  # fmt: skip
        best = sorted(there)[:5]
        distances[i], chosen[i] = torch.tensor([d for d, _ in best]), torch.tensor([j for _, j in best])
    assert abs(near.graph(logits) - graph_of(distances, chosen)).max() < 1e-5
    scaled = near.graph(3 * logits + 2)  # how strong an opinion is does not count
    assert abs(near.graph(logits) - scaled).max() < 1e-5


def test_a_bridge_has_the_last_word() -> None:
    near = candidates(rows(40), edges=4)

    def to_the_first(distances: torch.Tensor, found: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return distances, found.clone().index_fill_(1, torch.tensor([3]), 0)

    bridged = Candidates(near.distances, near.rows, near.edges, to_the_first)
    for graph in (bridged.graph(), bridged.graph(rows(40, 3))):
        assert (graph[0].toarray()[0, 1:] > 0).all()


def two_moons(count: int = 400, noise: float = 0.22) -> tuple[torch.Tensor, torch.Tensor]:
    """On a sphere, so that directions are places."""
    g = np.random.default_rng(0)
    angle, y = g.uniform(0, np.pi, count), np.arange(count) % 2
    plane = np.stack([np.cos(angle) + y, np.sin(angle) * (1 - 2 * y) + 0.3 * y], 1) + noise * g.normal(size=(count, 2))
    return torch.from_numpy(np.column_stack([plane, np.full(count, 2.0)])).float(), torch.from_numpy(y)


@pytest.mark.parametrize("draw", [0, 1])
def test_agreement_mends_what_the_graph_alone_gets_wrong(draw: int) -> None:
    """Noisy digits, five labels a class: more of a row's neighbours are of its class, and more rows are right."""
    values, truth = load_digits(return_X_y=True)
    x, y = torch.from_numpy(values).float() - 8 + 6 * rows(len(truth), 64), torch.from_numpy(truth)
    known = torch.full_like(y, -1)
    for c in range(10):
        own = torch.nonzero(y == c)[5 * draw : 5 * draw + 5, 0]
        known[own] = c
    near = candidates(x)
    seen: list[torch.Tensor] = []

    def decide(graph: Any) -> torch.Tensor:
        seen.append(torch.from_numpy(propagated_scores(graph, known, 10, DECIDING).argmax(1)))
        return seen[-1]

    def lesson(decisions: torch.Tensor) -> torch.Tensor:
        return fit_student(x, decisions, classes=10, seed=0).logits(x)

    last = agreeing(near, decide, [lesson, lesson])
    decide(last)
    assert len(seen) == 3
    before, after = (float(g.multiply(truth[:, None] == truth[None]).sum() / g.sum()) for g in (near.graph(), last))
    right = [float((found == y).float().mean()) for found in seen]
    assert after > before + 0.02 and right[2] > right[0]


@pytest.mark.parametrize("count", [0, 70, 100])
def test_logits_in_parts_are_those_of_the_module(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logistic, "ROWS", 70)
    student = fit_student(rows(80), torch.arange(80) % 3, classes=3, seed=0)
    x = rows(count, seed=1)
    with torch.no_grad():
        torch.testing.assert_close(student.logits(x), student.module()((x - student.mean) / student.scale))


def test_a_student_is_as_good_as_scikit_learns_network() -> None:
    x, y = two_moons(noise=0.15)
    x, new, y, truth = x[:300], x[300:], y[:300], y[300:]
    ours = fit_student(x, y, classes=2, seed=0).logits(new).argmax(1)
    network = MLPClassifier(256, max_iter=2000, random_state=0).fit(x.numpy(), y.numpy())
    linear = LogisticRegression().fit(x.numpy(), y.numpy())
    theirs, least = (model.score(new.numpy(), truth.numpy()) for model in (network, linear))
    got = float((ours == truth).float().mean())
    assert got > theirs - 0.03 and got > least + 0.02


@pytest.mark.parametrize(("rows", "steps"), [(1, 30), (800, 30), (2000, 50), (4000, 100), (60_000, 100)])
def test_few_rows_of_many_features_take_fewer_steps(rows: int, steps: int) -> None:
    assert enough(100, rows, 500) == steps and enough(1, rows, 500) == 1 and enough(100, rows, 3) == 100


def test_rows_without_a_decision_teach_nothing() -> None:
    x, y = two_moons(200)
    half = torch.where(torch.arange(200) < 100, y, -1)
    scaling = {"mean": x.mean(0), "scale": torch.ones(3)}
    other = torch.cat([x[:100], 100 * rows(100, 3)])
    a, b = (fit_student(given, half, classes=2, seed=0, **scaling).logits(x) for given in (x, other))
    assert torch.equal(a, b)


def test_a_student_is_the_same_for_the_same_seed_and_comes_back_from_a_file(tmp_path: Path) -> None:
    x, y = two_moons(100)
    a, b, c = (fit_student(x, y, classes=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(a.logits(x), b.logits(x)) and not torch.equal(a.logits(x), c.logits(x))
    assert int((a.logits(x).argmax(1) == 2).sum()) == 0  # a class that was never decided
    a.save(tmp_path / "student.safetensors")
    again = load_model(tmp_path / "student.safetensors", Compute.choose("cpu", "fp32"))
    assert isinstance(again, Student) and torch.equal(again.logits(x), a.logits(x))  # type: ignore[arg-type]
    standard = (x - a.mean) / a.scale
    torch.testing.assert_close(a.module()(standard), a.logits(x))


@pytest.mark.parametrize("classes", [1, 2])
def test_one_class_alone_is_learnt_too(classes: int) -> None:
    x = rows(20)
    student = fit_student(x, torch.zeros(20, dtype=torch.int64), classes=classes, seed=0)
    assert bool((student.logits(x).argmax(1) == 0).all())
