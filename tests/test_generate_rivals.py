"""The plain rivals, each against what its definition says."""

import numpy as np
import pytest
import torch

from augmint.errors import InputError
from augmint.generate import rivals
from augmint.generate.rivals import gaussian_features, mixup_features, real_neighbours, smote_features

FEATURES = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.where(torch.arange(60) % 2 == 0, torch.arange(60) % 3, -1)  # 0, 1, 2 and unlabelled


def test_gaussian_features_of_many_classes_are_drawn_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same ones, without a number for every pair of what is drawn and what the covariance is taken from."""
    asked = (FEATURES, LABELS, 100, 0, 4)
    whole, labels = gaussian_features(*asked)
    assert labels.tolist() == [0] * 100 + [1] * 100 + [2] * 100
    sizes: list[int] = []

    class Spied:
        def __init__(self, *address: object) -> None:
            self.generator = np.random.default_rng(0)

        def standard_normal(self, shape: tuple[int, int]) -> np.ndarray:  # type: ignore[type-arg]
            sizes.append(shape[0])
            return self.generator.standard_normal(shape)

    monkeypatch.setattr(rivals, "CHUNK", 64)
    assert torch.equal(gaussian_features(*asked)[0], whole)
    monkeypatch.setattr("augmint.seeding.generator", Spied)
    gaussian_features(*asked)
    assert max(sizes) <= 64 and sum(sizes) == 2 * len(whole)


def test_smote_lies_on_lines_to_near_neighbours_of_the_class() -> None:
    made, labels = smote_features(FEATURES, LABELS, per_class=15, seed=0, classes=4, k=2)
    assert labels.tolist() == [0] * 15 + [1] * 15 + [2] * 15
    for point, label in zip(made.double().numpy(), labels.tolist(), strict=True):
        own = FEATURES[label == LABELS].double().numpy()
        gaps = np.linalg.norm(own[:, None] - own[None], axis=2)
        on_a_line = False
        for i in range(len(own)):
            for j in np.argsort(gaps[i])[1:3]:
                detour = np.linalg.norm(point - own[i]) + np.linalg.norm(point - own[j]) - gaps[i, j]
                on_a_line |= bool(detour < 1e-5)
        assert on_a_line
    again, _ = smote_features(FEATURES, LABELS, per_class=15, seed=0, classes=4, k=2)
    assert torch.equal(made, again)
    assert not torch.equal(made, smote_features(FEATURES, LABELS, 15, 1, 4, k=2)[0])


def test_smote_of_a_single_label_repeats_it() -> None:
    labels = torch.full((60,), -1)
    labels[7] = 1
    made, of = smote_features(FEATURES, labels, per_class=3, seed=0, classes=2)
    assert torch.equal(made, FEATURES[7].expand(3, 4)) and of.tolist() == [1] * 3


def test_mixup_mixes_features_and_labels_alike() -> None:
    """With the label written into the features, a mixture's features say its label."""
    features = torch.nn.functional.one_hot(LABELS.clamp(min=0), 3).float()
    made, soft = mixup_features(features, LABELS, count=4000, seed=0, classes=3, alpha=0.4)
    torch.testing.assert_close(made, soft)
    torch.testing.assert_close(soft.sum(1), torch.ones(4000))
    share = soft.max(1).values[(soft > 0).sum(1) == 2].double().numpy()
    mixed = np.random.default_rng(0).beta(0.4, 0.4, 100_000)
    assert share.mean() == pytest.approx(np.maximum(mixed, 1 - mixed).mean(), abs=0.02)


def test_neighbours_inherit_the_nearest_label() -> None:
    rows = torch.tensor([0, 10, 20])
    labels, allowed = torch.tensor([5, 6, 7]), torch.arange(60) % 4 != 3
    found, given = real_neighbours(FEATURES, rows, labels, each=9, allowed=allowed)
    gaps = torch.cdist(FEATURES, FEATURES)
    free = [i for i in range(60) if allowed[i] and i not in rows.tolist()]
    claims: dict[int, list[tuple[float, int]]] = {}
    for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
        for near in sorted(free, key=lambda i: float(gaps[row, i]))[:9]:
            claims.setdefault(near, []).append((float(gaps[row, near]), label))
    assert dict(zip(found.tolist(), given.tolist(), strict=True)) == {i: min(c)[1] for i, c in claims.items()}
    assert len(claims) < 27  # some were claimed twice
    assert len(real_neighbours(FEATURES, rows, labels, 3, torch.zeros(60, dtype=torch.bool))[0]) == 0


@pytest.mark.parametrize("rival", [smote_features, mixup_features])
def test_nothing_labelled_is_refused(rival) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match="no label"):
        rival(FEATURES, torch.full((60,), -1), 5, 0, 3)
