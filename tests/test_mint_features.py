"""Minted features leave the run as numbers and, through the encoder's decoder, as pictures."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

from augmint.mint import as_images, export_features


def paint(features: torch.Tensor) -> torch.Tensor:
    """A decoder: the first number is the brightness, beyond 0 … 1 if it likes."""
    return features[:, :1, None, None].expand(-1, 1, 64, 64)


def test_features_as_images() -> None:
    made = as_images(torch.tensor([[0.5, 9.0], [1.5, 9.0], [-1.0, 9.0]]), paint)
    assert made.shape == (3, 1, 64, 64) and made.dtype == torch.uint8
    assert made[:, 0, 0, 0].tolist() == [128, 255, 0]


def test_the_sheet_shows_ten_of_each_class_in_order(tmp_path: Path) -> None:
    labels = torch.arange(36) % 3  # twelve of each
    features = torch.stack([(labels + 1) / 4, torch.zeros(36)], 1)
    export_features(features, labels, ("a", "b", "c"), tmp_path, paint)
    sheet = np.asarray(Image.open(tmp_path / "features.png").convert("L"))
    tall, wide = sheet.shape[0] // 3, sheet.shape[1] // 10
    for row in range(3):
        tiles = sheet[row * tall + 20 : row * tall + 40]
        assert all(tiles[:, c * wide + 20 : c * wide + 40].mean() == round((row + 1) / 4 * 255) for c in range(10))
    stored = pq.read_table(tmp_path / "features.parquet").to_pydict()
    assert stored["label"] == labels.tolist() and stored["class"][:3] == ["a", "b", "c"]


def test_without_a_decoder_or_features_there_are_no_pictures(tmp_path: Path) -> None:
    export_features(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64), ("a",), tmp_path)
    export_features(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), ("a",), tmp_path, paint)
    assert [p.name for p in tmp_path.iterdir()] == ["features.parquet"]
