"""Minted features leave the run as numbers and, through the encoder's decoder, as pictures."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from augmint.config import FeatureGeneratorSettings, MintSettings
from augmint.generate.feature import train_feature_generator
from augmint.measure.knn import nearest
from augmint.mint import FeatureThresholds, MintedFeatures, as_images, export_features, filters, mint_features
from augmint.mint.features import MOST, each_draws, to_earlier
from augmint.seeding import Draws
from augmint.train import Compute

WIDE = FeatureThresholds(-torch.inf, torch.inf, 0.5, torch.inf)


def minted(features: torch.Tensor, labels: torch.Tensor) -> MintedFeatures:
    """All kept but every seventh, the fourth one first."""
    count = torch.arange(len(labels))
    reason = ["copy" if row % 7 == 3 else "" for row in count.tolist()]
    scores = dict.fromkeys(("realness", "real_distance", "agreement", "minted_distance"), count / 10)
    return MintedFeatures(features, labels, count % 7 != 3, reason, scores, count * 2, count // 5, 9)


IDS = [f"{row:x}" for row in range(100)]


class Planted:
    """Children, by number: far from each other, a twin of the first, one of another class, …"""

    def __init__(self, children: torch.Tensor) -> None:
        self.children = children

    def generate(self, features: torch.Tensor, draws: Draws) -> torch.Tensor:
        return self.children[draws.step].expand(len(features), -1) + features

    def realness(self, features: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(features))


def by_sign(features: torch.Tensor) -> torch.Tensor:
    """A head: class 1 where the first number is positive."""
    return torch.nn.functional.one_hot((features[:, 0] > 0).long(), 2).float()


def paint(features: torch.Tensor) -> torch.Tensor:
    """A decoder: the first number is the brightness, beyond 0 … 1 if it likes."""
    return features[:, :1, None, None].expand(-1, 1, 64, 64)


def test_features_as_images() -> None:
    made = as_images(torch.tensor([[0.5, 9.0], [1.5, 9.0], [-1.0, 9.0]]), paint)
    assert made.shape == (3, 1, 64, 64) and made.dtype == torch.uint8
    assert made[:, 0, 0, 0].tolist() == [128, 255, 0]


def test_the_sheet_shows_ten_of_each_class_in_order(tmp_path: Path) -> None:
    labels = torch.arange(36) % 3  # ten or more of each are kept
    features = torch.stack([(labels + 1) / 4, torch.zeros(36)], 1)
    export_features(minted(features, labels), IDS, ("a", "b", "c"), tmp_path, paint)
    sheet = np.asarray(Image.open(tmp_path / "features.png").convert("L"))
    tall, wide = sheet.shape[0] // 3, sheet.shape[1] // 10
    for row in range(3):
        tiles = sheet[row * tall + 20 : row * tall + 40]
        assert all(tiles[:, c * wide + 20 : c * wide + 40].mean() == round((row + 1) / 4 * 255) for c in range(10))
    stored = pq.read_table(tmp_path / "features.parquet").to_pydict()
    kept = torch.arange(36) % 7 != 3
    assert stored["label"] == labels[kept].tolist() and stored["class"][:3] == ["a", "b", "c"]


def test_without_a_decoder_or_features_there_are_no_pictures(tmp_path: Path) -> None:
    for count, decode in ((2, None), (0, paint)):
        made = minted(torch.zeros(count, 3), torch.zeros(count, dtype=torch.int64))
        export_features(made, IDS, ("a",), tmp_path, decode)
        assert pq.read_table(tmp_path / "features.parquet").num_rows == count
    assert {p.name for p in tmp_path.iterdir()} == {"features.parquet", "features-rejected.parquet"}


def test_every_feature_leaves_its_trail(tmp_path: Path) -> None:
    made = minted(torch.randn(30, 4), torch.arange(30) % 3)
    export_features(made, IDS, ("a", "b", "c"), tmp_path)
    rows = [
        row
        for name in ("features", "features-rejected")
        for row in pq.read_table(tmp_path / f"{name}.parquet").to_pylist()
    ]
    assert sorted(row["candidate"] for row in rows) == list(range(30))
    for row in rows:
        i = row["candidate"]
        assert (row["kept"], row["reason"]) == ((False, "copy") if i % 7 == 3 else (True, ""))
        assert (row["parent"], row["seed"], row["step"], row["label"]) == (IDS[2 * i], 9, i // 5, i % 3)
        assert row["agreement"] == row["realness"] == row["real_distance"] == np.float32(i / 10)
        np.testing.assert_array_equal(np.float32(row["feature"]), made.features[i].numpy())


def test_twins_and_other_classes_are_not_kept_and_classes_are_capped() -> None:
    """One parent at (9, 0): children at a distance of 1, of 1.2, of -20 (another class), of 3, of 5."""
    features = torch.tensor([[9.0, 0.0], [50.0, 50.0]])
    away = torch.tensor([[1.0, 0.0], [1.2, 0.0], [-20.0, 0.0], [3.0, 0.0], [5.0, 0.0]])
    settings = MintSettings(features_per_label=5, per_class=2)
    one = torch.tensor([0]), torch.tensor([1])
    found = mint_features(Planted(away), features, *one, settings, 0, by_sign, WIDE)
    assert found.reason == ["", filters.DUPLICATE, filters.DISAGREES, "", filters.PER_CLASS]
    assert found.scores["minted_distance"][1].item() == pytest.approx(0.2, abs=1e-5)
    assert found.accepted()[0].tolist() == [[10.0, 0.0], [12.0, 0.0]] and found.parent_rows.tolist() == [0] * 5


def test_earlier_distances_are_those_of_a_loop() -> None:
    x = torch.randn(1200, 3, generator=torch.Generator().manual_seed(0))
    counts = torch.arange(1200) % 3 > 0
    found = to_earlier(x, counts)
    for row in (0, 1, 2, 511, 512, 513, 1199):
        before = x[:row][counts[:row]]
        wanted = nearest(x[row : row + 1], before, 1)[0].item() if len(before) else torch.inf
        assert found[row].item() == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("form", ["noise", "residual"])
def test_children_of_no_parent_inherit_no_label(form: str) -> None:
    """The article's form draws the pool's classes by chance, whatever the parent: its labels come from the head."""
    g = torch.Generator().manual_seed(0)
    features = torch.randn(400, 4, generator=g) * 0.3 + torch.tensor([3.0, 0, 0, 0]) * (
        torch.arange(400) % 2 * 2 - 1
    ).unsqueeze(1)
    settings = FeatureGeneratorSettings(form=form, images=6_000, hidden=32, noise=8)  # type: ignore[arg-type]
    generator = train_feature_generator(features, settings, Compute.choose("cpu"), 0)
    assert generator.has_parents == (form == "residual")
    rows = torch.arange(0, 20, 2)  # all of class 0
    given = rows, torch.zeros(10, dtype=torch.int64), MintSettings(), 0, by_sign, WIDE
    found = mint_features(generator, features, *given, inherits=generator.has_parents)
    truth = (found.features[:, 0] > 0).long()
    if form == "noise":
        assert torch.equal(found.labels, truth) and truth.unique().tolist() == [0, 1]
        assert set(found.parent_rows.tolist()) == {-1}
    else:
        assert found.labels.unique().tolist() == [0] and found.parent_rows.unique().tolist() == rows.tolist()


def test_many_classes_are_not_drawn_more_features_than_a_head_can_take() -> None:
    assert each_draws(20, 10, MintSettings()) == 80  # of each label
    assert each_draws(1_000, 10, MintSettings()) == 4  # 400 of each class
    assert each_draws(3_000, 300, MintSettings()) * 3_000 <= MOST < 300 * 400
    assert each_draws(90_000, 300, MintSettings()) == 1
