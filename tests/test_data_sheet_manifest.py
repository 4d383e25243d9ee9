"""Contact sheets and the run's manifest."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from augmint.data import load
from augmint.data.manifest import COLUMNS, read_manifest, write_manifest
from augmint.data.sheet import GAP, LINE, sheet
from augmint.errors import InputError


def test_sheet_places_pixels_row_by_row() -> None:
    images = torch.arange(5, dtype=torch.uint8)[:, None, None, None].expand(5, 1, 4, 6) * 50
    page = np.asarray(sheet(images, columns=3, scale=2))
    assert page.shape == (2 * (8 + GAP) + GAP, 3 * (12 + GAP) + GAP, 3)
    assert (page[GAP : GAP + 8, GAP : GAP + 12] == 0).all()
    second_row = GAP + 8 + GAP
    assert (page[second_row : second_row + 8, GAP : GAP + 12] == 150).all()
    assert (page[second_row:, -12 - GAP :] == 255).all()  # the sixth place is empty


def test_sheet_scales_small_images_and_leaves_room_for_captions() -> None:
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    plain, named = sheet(images, 10), sheet(images, 10, captions=["cat", "a name that is much too long to fit"])
    assert plain.size == (2 * (64 + GAP) + GAP, 64 + 2 * GAP)
    assert named.size == (plain.width, plain.height + LINE)
    assert np.asarray(named)[64 + GAP : -GAP].min() < 128


def test_sheet_of_nothing_is_a_picture() -> None:
    assert sheet(torch.zeros(0, 1, 8, 8, dtype=torch.uint8), 4).width > 0


def test_manifest_says_what_the_table_says(split_folder: Path, tmp_path: Path) -> None:
    table = load(split_folder)
    write_manifest(table, tmp_path / "run" / "manifest.parquet")
    stored = pq.read_table(tmp_path / "run" / "manifest.parquet")
    assert tuple(stored.column_names) == COLUMNS and len(stored) == len(table)
    found = read_manifest(tmp_path / "run" / "manifest.parquet")
    assert found.ids.tolist() == table.ids.tolist() and found.file_names == table.paths.tolist()
    assert found.labels.tolist() == table.labels.tolist() and found.split.tolist() == table.split.tolist()
    assert found.group.tolist() == table.group.tolist() and found.classes == table.classes
    assert found.sha256[3] == hashlib.sha256(table.images[3].numpy().tobytes()).hexdigest()
    assert found.ids[3] == f"{found.sha256[3][:16]}:3"


def test_manifest_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_manifest(tmp_path / "none.parquet")
    pq.write_table(pa.table({"row": [1]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="not a manifest"):
        read_manifest(tmp_path / "other.parquet")
