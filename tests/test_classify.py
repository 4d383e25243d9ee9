from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from augmint.augment import policy
from augmint.classify import (
    Extra,
    LogisticHead,
    ScratchClassifier,
    candidates,
    fit_logistic,
    fit_scratch,
    logistic,
    propagate,
)
from augmint.classify.graph import poisson_potential
from augmint.classify.scratch import Samples, extra_share, rising_then_falling
from augmint.config import ClassifySettings
from augmint.data.table import ImageTable
from augmint.seeding import Draws, permutation
from augmint.train import Compute

CPU = Compute(torch.device("cpu"), bf16=False)
SHORT = ClassifySettings(width=8, images=1200, batch=32)


def blobs(count: int = 300, centers: int = 3, spread: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = make_blobs(count, 6, centers=centers, cluster_std=spread, random_state=0)
    return torch.from_numpy(x).float(), torch.from_numpy(y).long()


def bright_and_dark(count: int = 80) -> ImageTable:
    """Class 0: the left half is bright; class 1: the right half."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 90, (count, 1, 12, 12), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % 2
    images[labels == 0, :, :, :6] += 120
    images[labels == 1, :, :, 6:] += 120
    ids = np.array([f"{i:016x}:{i}" for i in range(count)])
    nothing = torch.full((count,), -1)
    return ImageTable(
        images, labels, ids, torch.zeros(count, dtype=torch.int8), nothing, torch.ones(count), ("l", "r"), ids
    )


# --- logistic -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("centers", [2, 3, 5])
def test_logistic_equals_scikit_learn(centers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logistic, "ROWS", 70)
    x, y = blobs(centers=centers, spread=4.0)
    head = fit_logistic(x, y, classes=centers, c=0.5)
    z = ((x - x.mean(0)) / x.std(0)).double().numpy()
    want = LogisticRegression(C=0.5, max_iter=1000, tol=1e-6).fit(z, y.numpy()).predict_proba(z)
    np.testing.assert_allclose(head.logits(x).softmax(1).numpy(), want, atol=2e-3)


def test_soft_and_weighted_targets_equal_repeated_rows() -> None:
    x, y = blobs(60, spread=4.0)
    soft = torch.nn.functional.one_hot(y, 3).float()
    soft[0] = torch.tensor([0.25, 0.75, 0.0])
    weights = torch.ones(60)
    weights[1] = 4.0
    rows = torch.cat([torch.arange(1, 60).repeat(4), torch.ones(12).long(), torch.zeros(4).long()])
    targets = torch.cat([y[1:].repeat(4), y[1].repeat(12), torch.tensor([0, 1, 1, 1])])
    given = {"classes": 3, "mean": x.mean(0), "scale": x.std(0)}
    a = fit_logistic(x, soft, weights, c=1.0, **given)  # type: ignore[arg-type]
    b = fit_logistic(x[rows], targets, c=0.25, **given)  # type: ignore[arg-type]
    torch.testing.assert_close(a.logits(x), b.logits(x), atol=2e-2, rtol=1e-2)


def test_many_rows_of_tiny_weight_equal_few_heavy_ones() -> None:
    x, y = blobs(60, spread=4.0)
    given = {"classes": 3, "mean": x.mean(0), "scale": x.std(0)}
    weights = torch.cat([torch.full((30,), 0.05), torch.ones(30)])
    few = fit_logistic(x, y, weights, **given)  # type: ignore[arg-type]
    rows = torch.cat([torch.arange(30).repeat(1000), torch.arange(30, 60)])
    many = fit_logistic(x[rows], y[rows], torch.cat([torch.full((30_000,), 5e-5), torch.ones(30)]), **given)  # type: ignore[arg-type]
    torch.testing.assert_close(many.logits(x), few.logits(x), atol=2e-2, rtol=1e-2)


def test_a_class_without_examples_is_never_chosen(tmp_path: Path) -> None:
    x, y = blobs(centers=3)
    for present in ([0, 2], [1]):
        mask = torch.isin(y, torch.tensor(present))
        head = fit_logistic(x[mask], y[mask], classes=3)
        assert set(head.logits(x).argmax(1).tolist()) <= set(present)
    head.save(tmp_path / "h.safetensors")
    assert torch.equal(LogisticHead.load(tmp_path / "h.safetensors").logits(x), head.logits(x))


# --- propagation --------------------------------------------------------------------------------------


def test_poisson_potential_solves_its_equation() -> None:
    x, y = blobs(120, spread=6.0)
    graph = candidates(x, edges=8).graph()
    labels = torch.full((120,), -1)
    labels[[0, 1, 2, 3]] = y[[0, 1, 2, 3]]
    u = poisson_potential(graph, labels, 3)
    dense = graph.toarray()
    degree = dense.sum(1)
    one_hot = np.eye(3)[y[[0, 1, 2, 3]].numpy()]
    source = np.zeros((120, 3))
    source[[0, 1, 2, 3]] = one_hot - one_hot.mean(0)
    want = np.linalg.solve(1.001 * np.diag(degree) - dense, source)
    want -= (degree[:, None] * want).sum(0) / degree.sum()
    np.testing.assert_allclose(u, want, atol=1e-3 * np.abs(want).max())


def test_one_label_a_cluster_labels_the_clusters() -> None:
    x, y = blobs(300, centers=4, spread=0.6)
    labels = torch.full((300,), -1)
    for c in range(4):
        labels[torch.nonzero(y == c)[0, 0]] = c
    probabilities = propagate(candidates(x).graph(), labels, 4)
    assert float((probabilities.argmax(1) == y).float().mean()) > 0.97
    torch.testing.assert_close(probabilities.sum(1), torch.ones(300))


def test_more_labels_are_not_more_votes() -> None:
    x, y = blobs(300, centers=2, spread=2.5)
    labels = torch.full((300,), -1)
    ones, zeros = torch.nonzero(y == 1)[:, 0], torch.nonzero(y == 0)[:, 0]
    labels[ones[:30]] = 1
    labels[zeros[:2]] = 0
    guess = propagate(candidates(x).graph(), labels, 2).argmax(1)
    assert float((guess[zeros] == 0).float().mean()) > 0.9


# --- from scratch -------------------------------------------------------------------------------------


def test_scratch_learns_and_survives_a_file(tmp_path: Path) -> None:
    table = bright_and_dark()
    model = fit_scratch(table, torch.arange(20), table.labels[:20], policy("none"), SHORT, CPU, classes=2, seed=0)
    held_out = table.gather(torch.arange(20, 80))
    logits = model.logits(held_out)
    assert float((logits.argmax(1) == table.labels[20:]).float().mean()) > 0.95
    model.save(tmp_path / "m.safetensors")
    torch.testing.assert_close(ScratchClassifier.load(tmp_path / "m.safetensors", CPU).logits(held_out), logits)


def test_the_same_seed_gives_the_same_network() -> None:
    table = bright_and_dark()
    fits = [
        fit_scratch(table, torch.arange(20), table.labels[:20], policy("weak"), SHORT, CPU, classes=2, seed=s)
        for s in (1, 1, 2)
    ]
    a, b, c = (model.logits(table.gather(torch.arange(20))) for model in fits)
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_extra_samples_are_used_by_weight() -> None:
    """Extra samples with flipped labels ruin the classifier, at weight zero they do nothing of the kind."""
    table = bright_and_dark()
    flipped = torch.nn.functional.one_hot(1 - table.labels[20:60], 2).float()
    accuracy = {}
    for weight in (0.0, 50.0):
        extra = Extra(table.gather(torch.arange(20, 60)), flipped, torch.full((40,), weight))
        settings = SHORT.model_copy(update={"fade": 1.0})
        model = fit_scratch(
            table, torch.arange(20), table.labels[:20], policy("none"), settings, CPU, classes=2, seed=0, extra=extra
        )
        guess = model.logits(table.gather(torch.arange(60, 80))).argmax(1)
        accuracy[weight] = float((guess == table.labels[60:]).float().mean())
    assert accuracy[0.0] > 0.9 > 0.2 > accuracy[50.0]


def _counts(extra_classes: list[int], share: float = 0.5, batches: int = 400) -> tuple[Tensor, Tensor]:
    """How often each image is shown a pass: of classes 0, 1 and 2 are 8, 4 and 2 labelled."""
    classes = torch.tensor([0] * 8 + [1] * 4 + [2] * 2 + extra_classes)
    images = torch.arange(len(classes), dtype=torch.uint8).view(-1, 1, 1, 1)
    targets = torch.nn.functional.one_hot(classes, 3).float()
    extra = Extra(images[14:], targets[14:], torch.full((len(extra_classes),), 0.5))
    samples = Samples(images[:14], targets[:14], extra, ClassifySettings(minted_weight=2.0))
    shown = torch.zeros(len(classes), dtype=torch.long)
    for step in range(batches):
        chosen = permutation(14, 0, step)
        batch = samples.batch(chosen, Draws(0, "test", step, torch.arange(14)), share)
        assert batch.targets is not None and batch.weights is not None
        assert torch.equal(batch.targets.argmax(1), classes[chosen])  # every class as often as without extra ones
        assert torch.equal(batch.targets, targets[batch.images.flatten().long()]) and bool((batch.weights == 1).all())
        shown += torch.bincount(batch.images.flatten().long(), minlength=len(classes))
    return shown[:14].double() / batches, shown[14:].double() / batches


def test_extra_samples_take_the_place_of_labelled_ones_of_their_class() -> None:
    own, other = _counts([0] * 16 + [1] * 4)
    assert float(own[8:12].mean()) == pytest.approx(0.5, abs=0.05) == float(other[16:].mean())
    assert float(own[:8].mean()) == pytest.approx(0.5, abs=0.05)
    assert float(other[:16].mean()) == pytest.approx(0.25, abs=0.05)
    assert bool((own[12:] == 1).all())  # no extra ones of class 2


def test_no_extra_sample_is_shown_more_often_than_a_labelled_one() -> None:
    own, other = _counts([0])  # half of the batch, were it drawn whatever the class
    assert float(other) == pytest.approx(0.5, abs=0.1) and float(own[:8].mean()) == pytest.approx(1 - 0.5 / 8, abs=0.02)


def test_no_extra_samples_change_nothing() -> None:
    own, _ = _counts([])
    assert bool((own == 1).all())


def test_extra_share_fades_and_never_exceeds_half() -> None:
    settings = ClassifySettings(minted_share=0.5, fade=0.8)
    shares = [extra_share(p / 100, settings) for p in range(100)]
    assert max(shares) == 0.5 == shares[0] == shares[79] and shares[-1] < 0.03
    assert all(a >= b for a, b in zip(shares, shares[1:], strict=False))
    assert 0 < rising_then_falling(0.0) < rising_then_falling(0.1) == 1.0 > rising_then_falling(0.99) > 0
