"""Minting with generators of known character: each fault is exposed under its own name."""

from collections import Counter
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from augmint.config import MintSettings
from augmint.errors import InputError, UsageError
from augmint.mint import filters, mint_features, mint_images
from augmint.mint.draw import draw, judge, look
from augmint.mint.features import feature_thresholds
from augmint.seeding import Draws
from fake_mint import LOOSE, Collapsed, Constant, Fake, Sickly, digits, measured, mint, sure

POOL = digits()


def test_good_children_are_kept_with_label_group_and_parent() -> None:
    minted = mint(Fake(), POOL)
    kept = minted.accepted()
    assert len(kept) == int(minted.kept.sum()) > 100
    rows = minted.parent_rows[minted.kept]
    assert torch.equal(kept.labels, POOL.labels[rows])
    assert torch.equal(kept.group, POOL.group[rows])
    assert kept.parent is not None
    assert kept.parent.tolist() == POOL.ids[rows.numpy()].tolist()
    assert len(set(minted.table.ids.tolist())) == 120
    assert minted.steps.tolist() == [0] * 60 + [1] * 60


@pytest.mark.parametrize(
    ("generator", "settings", "reason"),
    [
        (Fake(level=0.0), LOOSE, filters.PARENT),
        (Fake(level=2.0), LOOSE, filters.PARENT),
        (Constant(), LOOSE, filters.BROKEN),
        (Sickly(), LOOSE, filters.UNREAL),
        (Fake(shift=200), MintSettings(), filters.TOO_REAL),
        (Fake(shift=-90), MintSettings(), filters.UNREAL),
        (Fake(), MintSettings(realness=(0, 1), agreement=0.95), filters.DISAGREES),
    ],
)
def test_faults_are_exposed(generator: Fake, settings: MintSettings, reason: str) -> None:
    loose = measured(POOL, LOOSE) if settings is LOOSE else measured(POOL, settings)
    if reason in (filters.BROKEN, filters.DISAGREES):
        loose = replace(loose, realness_low=-1e9, realness_high=1e9)
    rows = torch.arange(60)
    minted = mint_images(generator, POOL, rows, POOL.labels[rows], sure, settings, 0, loose)
    assert Counter(minted.reason).most_common(1)[0][0] == reason
    assert not minted.kept.any()
    assert len(minted.accepted()) == 0


def test_copies_of_other_real_images_are_copies() -> None:
    class Thief(Fake):
        def generate(self, images: Tensor, draws: Draws) -> Tensor:
            return POOL.images[(draws.rows + 100) % len(POOL)]

    minted = mint(Thief(), POOL)
    assert set(minted.reason) == {filters.COPY}
    assert torch.equal(minted.nearest_rows, minted.parent_rows + 100)


def test_a_collapsed_generator_keeps_one_image() -> None:
    minted = mint(Collapsed(), POOL)
    assert Counter(minted.reason) == {filters.DUPLICATE: 119, filters.KEPT: 1}
    assert minted.scores["minted_distance"][0] == torch.inf
    assert bool((minted.scores["minted_distance"][1:] == 0).all())


def test_a_rejected_image_is_no_duplicate_of_another() -> None:
    rows = torch.tensor([5, 5])

    def picky(images: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(torch.full((len(images),), 3), 10).float()

    labels = torch.tensor([2, 3])
    minted = mint_images(Fake(), POOL, rows, labels, picky, LOOSE.model_copy(update={"children": 1}), 0, measured(POOL))
    assert minted.reason == [filters.DISAGREES, filters.KEPT]


def test_caps_per_parent_and_class() -> None:
    settings = LOOSE.model_copy(update={"children": 5, "per_parent": 2, "per_class": 7})
    minted = mint(Fake(level=90), POOL, settings=settings)
    assert int(torch.bincount(minted.parent_rows[minted.kept]).max()) == 2
    assert bool((torch.bincount(minted.table.labels[minted.kept], minlength=10) == 7).all())
    assert {filters.PER_PARENT, filters.PER_CLASS} <= set(minted.reason)
    assert sum(sum(reasons.values()) for reasons in minted.counts().values()) == 300


def test_every_candidate_has_every_score() -> None:
    minted = mint(Fake(), POOL)
    assert set(minted.scores) == {
        *("contrast", "parent_distance", "real_distance", "realness", "agreement", "minted_distance")
    }
    for score in minted.scores.values():
        assert score.dtype == torch.float32
        assert len(score) == 120
        assert not score.isnan().any()
    assert bool((minted.scores["real_distance"] <= minted.scores["parent_distance"] + 1e-6).all())


def test_shards_make_what_one_pass_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.arange(100)
    whole = draw(Fake(), POOL, rows, 2, seed=3).view(2, 100, 1, 8, 8)
    parts = [draw(Fake(), POOL, part, 2, seed=3).view(2, -1, 1, 8, 8) for part in (rows[:37], rows[37:])]
    assert torch.equal(whole, torch.cat(parts, 1))
    monkeypatch.setattr("augmint.mint.draw.full_batches", lambda rows, _: [(r, len(r)) for r in torch.split(rows, 7)])
    assert torch.equal(whole, draw(Fake(), POOL, rows, 2, seed=3).view(2, 100, 1, 8, 8))
    assert not torch.equal(whole, draw(Fake(), POOL, rows, 2, seed=4).view(2, 100, 1, 8, 8))
    assert not torch.equal(whole[0], whole[1])


def test_the_generator_always_sees_full_batches() -> None:
    sizes = set()

    class Watched(Fake):
        def generate(self, images: Tensor, draws: Draws) -> Tensor:
            sizes.add((len(images), len(draws.rows)))
            return super().generate(images, draws)

    made = draw(Watched(), POOL, torch.arange(530), 1, seed=0)
    assert sizes == {(512, 512)}
    assert torch.equal(made[:5], draw(Watched(), POOL, torch.arange(5), 1, seed=0))


def test_minting_twice_is_minting_once() -> None:
    one, two = mint(Fake(), POOL), mint(Fake(), POOL)
    assert torch.equal(one.table.images, two.table.images)
    assert one.reason == two.reason
    assert not torch.equal(one.table.images, mint(Fake(), POOL, seed=1).table.images)


def test_judge_pairs_children_with_their_parents() -> None:
    class Far(Fake):
        def realness(self, images: Tensor, parents: Tensor) -> Tensor:
            return (images.float() - parents.float()).abs().amax((1, 2, 3))

    rows = torch.arange(599, -1, -1)
    some = rows[:520]
    places = torch.arange(520).flip(0)
    found = judge(Far(), POOL.gather(some.flip(0)), look(Far(), POOL, some), places)
    assert torch.equal(found, torch.zeros(520))
    assert judge(Far(), POOL.gather(some), look(Far(), POOL, some), places).max() > 0


def test_each_parent_is_looked_at_once() -> None:
    class Counting(Fake):
        looked: ClassVar[list[int]] = []

        def look(self, parents: Tensor) -> Tensor:
            self.looked += [len(parents)]
            return parents

    mint(Counting(), POOL, count=600, settings=LOOSE.model_copy(update={"children": 3}))
    assert Counting.looked == [512, 512]  # 600 of them, in full batches


def test_post_processing_changes_pixels_and_mixing_is_refused() -> None:
    plain = draw(Fake(), POOL, torch.arange(20), 1, seed=0)
    changed = draw(Fake(), POOL, torch.arange(20), 1, seed=0, post="weak")
    assert changed.dtype == torch.uint8
    assert changed.shape == plain.shape
    assert not torch.equal(plain, changed)
    with pytest.raises(UsageError, match="mixes"):
        draw(Fake(), POOL, torch.arange(20), 1, seed=0, post="mixup")


def test_nothing_to_mint_from_is_an_empty_result() -> None:
    minted = mint(Fake(), POOL, count=0)
    assert len(minted.table) == len(minted.accepted()) == 0
    assert minted.reason == []


@pytest.mark.parametrize(
    ("rows", "labels", "said"),
    [([0, 1], [0], "2 parents with 1 labels"), ([600], [0], "rows of the pool"), ([0], [-1], "inherits")],
)
def test_unfitting_parents_are_refused(rows: list[int], labels: list[int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        mint_images(Fake(), POOL, torch.tensor(rows), torch.tensor(labels), sure, LOOSE, 0, measured(POOL))


def anything(features: Tensor) -> Tensor:
    """A head that agrees with every label."""
    return torch.ones(len(features), 20)


class FakeFeatures:
    def __init__(self, level: float) -> None:
        self.level = level

    def generate(self, features: Tensor, draws: Draws) -> Tensor:
        return features + self.level * draws.normal("noise", features.shape[1])

    def realness(self, features: Tensor, parents: Tensor) -> Tensor:
        return -(features - parents).norm(dim=1)


def test_features_are_kept_between_copies_and_nowhere() -> None:
    features = torch.randn(500, 6, generator=torch.Generator().manual_seed(0))
    rows, labels = torch.arange(10), torch.arange(10) % 3
    kept = {}
    for level in (0.0, 0.3, 20.0):
        found = mint_features(FakeFeatures(level), features, rows, labels, MintSettings(), 0, anything)
        made, inherited = found.accepted()
        assert made.shape == (len(inherited), 6)
        kept[level] = len(made)
    assert kept[0.0] == kept[20.0] == 0
    assert 20 < kept[0.3] <= 800


def test_features_inherit_labels_and_do_not_depend_on_their_company() -> None:
    features = torch.randn(300, 4, generator=torch.Generator().manual_seed(1))
    generator, settings = FakeFeatures(0.4), MintSettings()
    thresholds = feature_thresholds(generator, features, settings, 0)
    rows = torch.arange(20)

    def mint_of(part: Tensor) -> tuple[Tensor, Tensor]:
        found = mint_features(generator, features, part, part, settings, 5, anything, thresholds)
        scores = [found.scores[name] for name in ("realness", "real_distance")]  # the kept are no near-duplicates
        return torch.cat([found.features, torch.stack(scores, 1)], 1), found.labels

    made, labels = mint_of(rows)
    parts = [mint_of(part) for part in (rows[:7], rows[7:])]
    both = torch.cat([m for m, _ in parts]), torch.cat([k for _, k in parts])
    for row in range(20):
        assert torch.equal(made[labels == row], both[0][both[1] == row])
    empty, none = mint_of(rows[:0])
    assert empty.shape == (0, 6)
    assert len(none) == 0
    with pytest.raises(InputError, match="rows lie between"):
        mint_features(generator, features, torch.tensor([300]), torch.tensor([0]), settings, 5, anything)
