import numpy as np
import pytest
import torch
from scipy import stats

from augmint.seeding import Draws, generator, key, permutation


def draws(rows: torch.Tensor, step: int = 3, seed: int = 0, stream: str = "s") -> Draws:
    return Draws(seed, stream, step, rows)


def splitmix(x: int) -> int:
    """SplitMix64's finaliser in Python's integers: the independent oracle."""
    mask = (1 << 64) - 1
    x &= mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def test_bits_equal_splitmix64() -> None:
    d = draws(torch.tensor([0, 7, 123456789]))
    golden, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1
    base = key(0, "s", 3, "name")
    want = [
        [splitmix((splitmix((r * golden + base) & mask) + c * golden) & mask) for c in (1, 2)]
        for r in (0, 7, 123456789)
    ]
    got = d._bits("name", 2).numpy().astype(np.uint64)
    assert got.tolist() == want


def test_a_row_draws_the_same_in_any_batch() -> None:
    rows = torch.arange(100)
    order = torch.randperm(100)
    whole = draws(rows).normal("x", 5)
    assert torch.equal(draws(rows[order]).normal("x", 5), whole[order])
    assert torch.equal(draws(rows[30:40]).normal("x", 5), whole[30:40])


def test_seed_stream_step_and_name_all_matter() -> None:
    rows = torch.arange(50)
    base = draws(rows).uniform("a")
    others = [
        draws(rows, seed=1).uniform("a"),
        draws(rows, stream="t").uniform("a"),
        draws(rows, step=4).uniform("a"),
        draws(rows).uniform("b"),
        draws(rows).fork("view").uniform("a"),
    ]
    assert all(not torch.equal(base, other) for other in others)


@pytest.mark.parametrize("step", [0, 1])
def test_distributions(step: int) -> None:
    d = draws(torch.arange(20_000), step)
    assert stats.kstest(d.uniform("u", low=-1, high=3).numpy(), stats.uniform(-1, 4).cdf).pvalue > 1e-3
    assert stats.kstest(d.normal("n", 3).flatten().numpy(), stats.norm.cdf).pvalue > 1e-3
    assert stats.chisquare(torch.bincount(d.integers("i", 7)).numpy()).pvalue > 1e-3
    assert abs(float(d.chance("c", 0.3).float().mean()) - 0.3) < 0.02
    both = d.normal("n", 2)
    assert abs(float(torch.corrcoef(both.T)[0, 1])) < 0.03


def test_integers_and_permutation_cover_their_range() -> None:
    d = draws(torch.arange(1000))
    drawn = d.integers("i", 9, low=4)
    assert set(drawn.tolist()) == {4, 5, 6, 7, 8}
    assert sorted(d.permutation("p").tolist()) == list(range(1000))


def test_generators_depend_on_their_address_alone() -> None:
    assert generator(1, "a").random() == generator(1, "a").random() != generator(1, "b").random()
    assert torch.equal(permutation(50, 1, "x"), permutation(50, 1, "x"))
    assert not torch.equal(permutation(50, 1, "x"), permutation(50, 2, "x"))
