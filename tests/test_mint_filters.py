"""Filters, distances and thresholds against counting by hand and brute force."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from augmint.config import MintSettings
from augmint.errors import InputError
from augmint.mint import distances, filters
from augmint.mint.thresholds import real_pairs, thresholds_from
from fake_mint import LOOSE, Fake, digits, measured


def test_first_reason_is_the_first_that_holds() -> None:
    a, b = torch.tensor([True, False, False, True]), torch.tensor([True, True, False, False])
    assert filters.first_reason([("a", a), ("b", b)]) == ["a", "b", "", "a"]


def test_bounds_are_inclusive_and_nan_never_passes() -> None:
    score = torch.tensor([0.1, 0.5, 0.9, torch.nan])
    assert filters.looks_unreal(score, 0.5).tolist() == [True, False, False, True]
    assert filters.too_real(score, 0.5).tolist() == [False, False, True, True]
    assert filters.is_near(score, 0.5).tolist() == [True, False, False, True]
    assert filters.is_flat(score, 0.5).tolist() == [True, False, False, True]
    assert filters.is_unlikely(score, 0.5).tolist() == [True, False, False, True]


def test_agreement_reads_the_inherited_label() -> None:
    found = filters.agreement(torch.tensor([[0.7, 0.3], [0.7, 0.3]]), torch.tensor([0, 1]))
    assert torch.allclose(found, torch.tensor([0.7, 0.3]))


def test_contrast_of_constant_grey_and_of_two_colours() -> None:
    flat = torch.full((1, 3, 4, 4), 7, dtype=torch.uint8)
    half = flat.clone()
    half[0, 1, :2] = 0
    assert filters.contrast(torch.cat([flat, half])).tolist() == pytest.approx([0, 3.5 / 255])


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=0, max_size=40), st.integers(1, 4))
def test_over_cap_keeps_the_first_of_each_key(items: list[tuple[bool, int]], cap: int) -> None:
    seen: dict[int, int] = {}
    expected = []
    for eligible, key in items:
        seen[key] = seen.get(key, 0) + eligible
        expected.append(eligible and seen[key] > cap)
    eligible = torch.tensor([e for e, _ in items], dtype=torch.bool)
    keys = torch.tensor([k for _, k in items], dtype=torch.int64)
    assert filters.over_cap(eligible, keys, cap).tolist() == expected


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 17, 23), (1, 1, 1)])
def test_reduced_images_are_small_and_never_farther_apart(shape: tuple[int, int, int]) -> None:
    images = torch.randint(0, 256, (20, *shape), generator=torch.Generator().manual_seed(0)).byte()
    small = distances.reduced(images)
    assert small.shape[1] <= distances.NUMBERS
    squares = images[0].numel() / small.shape[1]
    near = (small[:10] - small[10:]).norm(dim=1) * squares**0.5
    full = distances.rms(images[:10], images[10:]) * images[0].numel() ** 0.5
    pixels_padded = (-(-shape[1] // 2) * 2) / shape[1]
    assert bool((near <= full * 2 * pixels_padded + 1e-4).all())


def test_a_reduced_pool_keeps_the_directions_in_which_it_varies_most() -> None:
    """Those of scikit-learn's PCA: as much variance, and distances never exceed those of all numbers."""
    pool = digits(300, channels=3)
    noise = torch.randint(0, 60, pool.images.shape, generator=torch.Generator().manual_seed(0)).byte()
    pool = replace(pool, images=pool.images // 2 + noise)
    small, means = distances.ReducedPool.of(pool), distances.reduced(pool.images)
    assert means.shape[1] == 192 and small.rows.shape == (300, distances.DIRECTIONS)
    most = PCA(distances.DIRECTIONS, svd_solver="full").fit(means.numpy()).explained_variance_.sum()
    assert float(small.rows.var(0).sum()) == pytest.approx(most, rel=1e-3)
    torch.testing.assert_close(small.reduce(pool.images[:20]), small.rows[:20])
    few, all_ = (torch.cdist(of.double(), of.double()) for of in (small.rows, means))
    assert bool((few <= all_ + 1e-4).all()) and float((few / all_)[0, 1:].max()) < 0.999


def test_nearest_images_are_those_of_brute_force() -> None:
    pool = digits()
    images = Fake().generate(pool.images[:80], _draws(80))
    found, rows = distances.nearest_images(images, pool)
    table = torch.stack([distances.rms(image.expand_as(pool.images), pool.images) for image in images])
    assert torch.allclose(found, table.amin(1))
    assert torch.equal(rows, table.argmin(1))


def test_a_copy_is_found_however_large_the_images_are() -> None:
    small = digits(300, channels=3)
    large = torch.nn.functional.interpolate(small.images.float(), 40, mode="bilinear").byte()
    pool = type(small)(**{**small.__dict__, "images": large})
    found, rows = distances.nearest_images((large[:50].int() + 1).clamp(max=255).byte(), pool)
    assert torch.equal(rows, torch.arange(50))
    assert bool((found <= 1 / 255 + 1e-6).all())


def test_own_row_and_exact_duplicates_do_not_count() -> None:
    pool = digits(50)
    doubled = pool.take(torch.arange(50).repeat(2))
    alone, _ = distances.nearest_images(pool.images, pool, own=torch.arange(50))
    twice, _ = distances.nearest_images(pool.images, doubled, own=torch.arange(50))
    assert bool((alone > 0).all())
    assert torch.allclose(alone, twice)


def test_earlier_images_only_and_only_those_that_count() -> None:
    images = digits(700).images[torch.arange(700) % 350]
    counts = torch.arange(700) % 3 > 0
    found = distances.to_earlier(images, counts)
    for i in (1, 2, 349, 350, 351, 511, 512, 600, 699):
        before = torch.nonzero(counts[:i])[:, 0]
        expected = distances.rms(images[i].expand(len(before), -1, -1, -1), images[before])
        assert float(found[i]) == pytest.approx(float(expected.min()) if len(before) else float("inf"))


def test_thresholds_are_quantiles_of_real_images() -> None:
    pool = digits()
    t = measured(pool, MintSettings(realness=(0.05, 0.95), copy_quantile=0.1))
    nearest, _ = distances.nearest_images(pool.images, pool, own=torch.arange(len(pool)))
    assert t.realness_low < t.realness_high
    assert 0.5 * float(nearest.quantile(0.1)) < t.copy_distance < float(nearest.quantile(0.5))
    assert list(t.real_distances) == ["0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99"]
    assert 1 / 255 <= t.contrast < float(filters.contrast(pool.images).median())


def test_real_pairs_are_neighbours_and_never_the_image_itself() -> None:
    features = torch.arange(30.0)[:, None]
    rows, others = real_pairs(features, 0)
    assert torch.equal(rows, torch.arange(30))
    assert bool(((rows - others).abs() > 0).all())
    assert bool(((rows - others).abs() <= 10).all())
    doubled = torch.zeros(40, 3)
    rows, others = real_pairs(doubled, 0)
    assert bool((rows != others).all())


def test_too_few_or_unfitting_images_are_refused() -> None:
    pool = digits(10)
    with pytest.raises(InputError, match="found 1"):
        thresholds_from(Fake(), pool.take(torch.tensor([0])), torch.zeros(1, 2), LOOSE, 0)
    with pytest.raises(InputError, match="3 features for 10 images"):
        thresholds_from(Fake(), pool, torch.zeros(3, 2), LOOSE, 0)


def _draws(count: int):
    from augmint.seeding import Draws

    return Draws(0, "test", 0, torch.arange(count))
