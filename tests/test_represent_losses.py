"""The losses against their papers, written out with loops, and against lightly's values (golden/represent.npz)."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from augmint.represent import losses
from augmint.represent.losses import nt_xent


def oracle(first, second, temperature):
    z = [row / row.norm() for row in torch.cat([first, second]).double()]
    count = len(first)
    total = 0.0
    for anchor in range(2 * count):
        positive = (anchor + count) % (2 * count)
        above = math.exp(float(z[anchor] @ z[positive]) / temperature)
        below = sum(math.exp(float(z[anchor] @ z[k]) / temperature) for k in range(2 * count) if k != anchor)
        total -= math.log(above / below)
    return total / (2 * count)


@pytest.mark.parametrize("batch", [2, 5, 16])
@pytest.mark.parametrize("dimension", [1, 8, 33])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_nt_xent_is_the_papers(batch, dimension, temperature):
    generator = torch.Generator().manual_seed(batch * 100 + dimension)
    first, second = torch.randn(2, batch, dimension, generator=generator)
    expected = oracle(first, second, temperature)
    assert float(nt_xent(first, second, temperature)) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert float(nt_xent(3 * first, second, temperature)) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_known_values():
    same = torch.ones(4, 3)
    assert float(nt_xent(same, same, 0.2)) == pytest.approx(math.log(7))  # nothing told apart
    apart = torch.eye(4)
    assert float(nt_xent(apart, apart, 0.01)) == pytest.approx(0.0, abs=1e-6)


def test_autocast_does_not_touch_it():
    first, second = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        inside = nt_xent(first, second, 0.1)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, nt_xent(first, second, 0.1))


# --- against lightly ------------------------------------------------------------------------------

GOLDEN = np.load(Path(__file__).parent / "golden" / "represent.npz")
CASES = sorted({name.split("/")[0] for name in GOLDEN})


def golden(case, name):
    first, second = torch.from_numpy(GOLDEN[f"{case}/views"])
    return first, second, float(GOLDEN[f"{case}/{name}"])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("temperature", [0.1, 0.2, 0.5])
def test_lightly_agrees_where_there_is_a_temperature(case, temperature):
    first, second, wanted = golden(case, f"nt_xent/{temperature}")
    assert float(losses.nt_xent(first, second, temperature)) == pytest.approx(wanted, rel=1e-5)
    _, _, wanted = golden(case, f"dino/{temperature}")
    centre = torch.zeros(first.shape[1])
    crossed = [losses.dino(s, 0.3 * t, centre, temperature, 0.04) for s, t in ((first, first), (second, second))]
    assert float(sum(crossed)) / 2 == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_lightly_agrees_on_the_others(case):
    first, second, cosine = golden(case, "cosine")
    assert float(losses.regression(first, second)) == pytest.approx(2 + 2 * cosine, rel=1e-5)
    assert float(losses.barlow_twins(first, second)) == pytest.approx(golden(case, "barlow_twins")[2], rel=1e-4)
    assert float(losses.vicreg(first, second)) == pytest.approx(golden(case, "vicreg")[2], rel=1e-4)


# --- against the papers, written out with loops ---------------------------------------------------


def standard(z):
    return [[(float(v) - m) / s for v, m, s in zip(row, means(z), deviations(z), strict=True)] for row in z]


def means(z):
    return [float(z[:, d].double().mean()) for d in range(z.shape[1])]


def deviations(z):
    return [
        math.sqrt(float(((z[:, d].double() - z[:, d].double().mean()) ** 2).mean()) + 1e-5) for d in range(z.shape[1])
    ]


def pair(batch, dimension):
    return torch.randn(2, batch, dimension, generator=torch.Generator().manual_seed(batch * 100 + dimension))


SIZES = pytest.mark.parametrize(("batch", "dimension"), [(2, 1), (5, 8), (16, 3)])


@SIZES
def test_regression_is_byols_equation_2(batch, dimension):
    first, second = pair(batch, dimension)
    total = 0.0
    for p, z in zip(first.double(), second.double(), strict=True):
        total += float(((p / p.norm() - z / z.norm()) ** 2).sum())
    assert float(losses.regression(first, second)) == pytest.approx(total / batch, rel=1e-5, abs=1e-6)


@SIZES
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_info_nce_is_mocos_algorithm(batch, dimension, temperature):
    queries, keys = pair(batch, dimension)
    total = 0.0
    for i, q in enumerate(queries.double()):
        scores = [float(q @ k / q.norm() / k.norm()) / temperature for k in keys.double()]
        total += math.log(sum(math.exp(s - scores[i]) for s in scores))
    wanted = 2 * temperature * total / batch
    assert float(losses.info_nce(queries, keys, temperature)) == pytest.approx(wanted, rel=1e-5, abs=1e-6)


@SIZES
@pytest.mark.parametrize("redundancy", [0.0, 0.005, 0.3])
def test_barlow_twins_is_the_papers(batch, dimension, redundancy):
    first, second = pair(batch, dimension)
    a, b = standard(first), standard(second)
    total = 0.0
    for i in range(dimension):
        for j in range(dimension):
            c = sum(x[i] * y[j] for x, y in zip(a, b, strict=True)) / batch
            total += (1 - c) ** 2 if i == j else redundancy * c**2
    assert float(losses.barlow_twins(first, second, redundancy)) == pytest.approx(total, rel=1e-4, abs=1e-5)


@SIZES
def test_vicreg_is_the_papers(batch, dimension):
    first, second = pair(batch, dimension)
    same = float(((first.double() - second.double()) ** 2).mean())
    spread, shared = 0.0, 0.0
    for z in (first.double(), second.double()):
        covariance = torch.zeros(dimension, dimension, dtype=torch.float64)
        for row in z:
            covariance += torch.outer(row - z.mean(0), row - z.mean(0)) / (batch - 1)
        spread += sum(max(0.0, 1 - math.sqrt(float(covariance[d, d]) + 1e-4)) for d in range(dimension)) / dimension / 2
        shared += sum(float(covariance[i, j]) ** 2 for i in range(dimension) for j in range(dimension) if i != j)
    wanted = 25 * same + 25 * spread + shared / dimension
    assert float(losses.vicreg(first, second)) == pytest.approx(wanted, rel=1e-5)


@SIZES
def test_dino_is_the_papers(batch, dimension):
    students, teachers = pair(batch, dimension)
    centre = torch.linspace(-1, 1, dimension)
    total = 0.0
    for s, t in zip(students.double(), teachers.double(), strict=True):
        weights = [math.exp(float(v - c) / 0.5) for v, c in zip(t, centre.double(), strict=True)]
        below = sum(math.exp(float(v) / 0.2) for v in s)
        total -= sum(
            w / sum(weights) * math.log(math.exp(float(v) / 0.2) / below) for w, v in zip(weights, s, strict=True)
        )
    assert float(losses.dino(students, teachers, centre, 0.2, 0.5)) == pytest.approx(total / batch, rel=1e-5, abs=1e-6)
