"""The table must expose a generator that copies, one that blurs, one that collapses, and clear real images."""

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from augmint.data.table import ImageTable
from augmint.errors import InputError
from augmint.measure.generators import apart, copying
from augmint.mint.assess import MEASURES, Examiner, Real, Sample, assess, choose
from fake_mint import digits

POOL = digits(1797)
ORDER = torch.randperm(1797, generator=torch.Generator().manual_seed(0))
TRAIN, HELD, OTHER = ORDER[:900], ORDER[900:1300], ORDER[1300:1797]


def flat(images: Tensor | ImageTable) -> np.ndarray:
    if isinstance(images, ImageTable):
        images = images.gather(torch.arange(len(images)))
    return images.flatten(1).double().numpy() / 255


def train(images: Tensor, labels: Tensor):  # type: ignore[no-untyped-def]
    if len(labels.unique()) < 2:
        raise AssertionError
    model = LogisticRegression(C=0.1, max_iter=300).fit(flat(images), labels.numpy())
    return lambda x: torch.from_numpy(model.predict(flat(x)))


JUDGE = Examiner(
    "pixels", lambda x: torch.from_numpy(flat(x)).float(), train(POOL.images[TRAIN], POOL.labels[TRAIN]), train
)
REAL = Real(POOL.take(TRAIN), POOL.images[HELD], POOL.labels[HELD])
PARENTS = torch.arange(250)  # rows of TRAIN, each with two children


def sample(make) -> Sample:  # type: ignore[no-untyped-def]
    parents = PARENTS.repeat(2)
    images, labels = POOL.images[TRAIN][parents], POOL.labels[TRAIN][parents]
    return Sample(make(images, labels), labels, parents)


def copied(images: Tensor, labels: Tensor) -> Tensor:
    return images


def blurred(images: Tensor, labels: Tensor) -> Tensor:
    """What a bottleneck leaves: the parent without its small parts, and a little noise of its own."""
    small = torch.nn.functional.avg_pool2d(images.float(), 3, 1, 1, count_include_pad=False)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1)) * 3
    return (0.6 * images.float() + 0.4 * small + noise).clamp(0, 255).round().byte()


def collapsed(images: Tensor, labels: Tensor) -> Tensor:
    """One image a class."""
    first = {int(c): int((POOL.labels[OTHER] == c).int().argmax()) for c in labels.unique()}
    return POOL.images[OTHER][torch.tensor([first[int(c)] for c in labels])]


@pytest.fixture(scope="module")
def table() -> dict[str, dict[str, float]]:
    samples = {f.__name__: sample(f) for f in (copied, blurred, collapsed)}
    found = assess(samples, REAL, JUDGE)
    assert found.encoder == "pixels" and found.images == 400
    assert list(found.table) == ["copied", "blurred", "collapsed", "real"]
    assert all(set(column) == set(MEASURES) for column in found.table.values())
    honest = Sample(POOL.images[OTHER], POOL.labels[OTHER], torch.arange(len(OTHER)) // 2)  # parents of no meaning
    return {**found.table, "honest": assess({"honest": honest}, REAL, JUDGE).table["honest"]}  # type: ignore[dict-item]


def test_real_images_never_seen_are_cleared(table: dict[str, dict[str, float]]) -> None:
    honest, real = table["honest"], table["real"]
    assert abs(honest["nearer"] - 0.5) < 0.08 and abs(real["nearer"] - 0.5) < 0.08
    assert honest["copied"] < 0.12 and real["copied"] < 0.12
    assert honest["fd"] < 1.5 * real["fd"]
    for name in ("precision", "recall", "coverage", "cas", "agreement"):
        assert abs(honest[name] - real[name]) < 0.1, name
    assert honest["class_apart"] == pytest.approx(real["class_apart"], rel=0.1)


def test_copies_are_exposed(table: dict[str, dict[str, float]]) -> None:
    found = table["copied"]
    assert found["nearer"] > 0.99 and found["copied"] > 0.99 and found["nearest"] == 0
    assert found["children_apart"] == 0  # the noise does nothing
    assert found["fd"] < table["real"]["fd"]  # which alone would look like a triumph


def test_reconstructions_are_exposed(table: dict[str, dict[str, float]]) -> None:
    found = table["blurred"]
    assert found["nearer"] > 0.9 and found["copied"] > 0.5
    assert found["children_apart"] < 0.5 * table["real"]["children_apart"]


def test_a_collapse_is_exposed(table: dict[str, dict[str, float]]) -> None:
    found, real = table["collapsed"], table["real"]
    assert found["class_apart"] == 0 and found["children_apart"] == 0
    assert found["recall"] < 0.2 and found["coverage"] < 0.2
    assert found["fd"] > 3 * real["fd"]
    assert found["cas"] < real["cas"] - 0.15


def test_the_worst_pairs_are_the_nearest() -> None:
    found = assess({"minted": sample(blurred)}, REAL, JUDGE)
    images, nearest, far = found.pairs["minted"]
    assert torch.equal(far, far.sort().values)
    for i in range(len(far)):
        gaps = torch.cdist(JUDGE.features(images[i : i + 1]), JUDGE.features(REAL.train))[0]
        assert float(far[i]) == pytest.approx(float(gaps.min()), abs=1e-5)
        gap = JUDGE.features(nearest[i : i + 1]) - JUDGE.features(images[i : i + 1])
        assert float(gap.norm()) == pytest.approx(float(far[i]), abs=1e-5)
    picture = found.sheet()
    assert picture.width > 4 * 64 and picture.height > 20 * 64


def test_without_labels_the_rest_is_still_measured() -> None:
    bare = Real(REAL.train, REAL.held_out, torch.full_like(REAL.labels, -1))
    found = assess({"minted": sample(copied)}, bare, JUDGE).table
    assert found["minted"]["cas"] is None and found["real"]["agreement"] is None
    assert found["real"]["class_apart"] is None and found["minted"]["class_apart"] is not None
    assert found["minted"]["copied"] == 1.0


def test_neighbours_are_found_among_all_training_images(table: dict[str, dict[str, float]]) -> None:
    x = torch.from_numpy(flat(REAL.train))
    far = float(torch.cdist(x, x).sort(1).values[:, 1:11].mean())
    few = assess({"minted": sample(copied).take(torch.arange(100))}, REAL, JUDGE)
    assert few.images == 100 and few.table["real"]["children_apart"] == pytest.approx(far, rel=0.05)
    assert table["real"]["children_apart"] == pytest.approx(far, rel=0.05)


def test_images_without_label_are_no_class(table: dict[str, dict[str, float]]) -> None:
    half = torch.where(torch.arange(len(HELD)) % 2 == 0, REAL.labels, -1)
    found = assess({"minted": sample(copied)}, Real(REAL.train, REAL.held_out, half), JUDGE).table["real"]
    assert found["class_apart"] == pytest.approx(table["real"]["class_apart"], rel=0.03)


def test_too_few_images_are_refused() -> None:
    few = sample(copied).take(torch.arange(5))
    with pytest.raises(InputError, match="too few"):
        assess({"minted": few}, REAL, JUDGE)


def test_copying_is_the_statistic_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(0)
    minted, held = rng.integers(0, 30, 70).astype(float), rng.integers(10, 40, 50).astype(float)
    found = copying(torch.tensor(minted), torch.tensor(held))
    assert found["nearer"] == pytest.approx(mannwhitneyu(held, minted).statistic / (70 * 50))
    assert found["copied"] == pytest.approx(np.mean(minted < np.quantile(held, 0.05)))
    with pytest.raises(InputError):
        copying(torch.zeros(0), torch.zeros(3))


def test_apart_of_pairs_is_their_mean_distance() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    groups = rng.permutation(np.arange(20).repeat(2))
    wanted = np.mean([np.linalg.norm(np.diff(x[groups == g], axis=0)) for g in range(20)])
    assert apart(torch.tensor(x), torch.tensor(groups)) == pytest.approx(wanted)
    assert np.isnan(apart(torch.tensor(x), torch.arange(40)))


def test_siblings_stay_together_in_a_part_of_a_sample() -> None:
    some = choose(sample(copied), 100, seed=3)
    assert len(some.parents.unique()) == 50
    assert not torch.equal(some.parents.unique(), torch.arange(50))
