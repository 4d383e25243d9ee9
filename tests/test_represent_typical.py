"""Which images to label: one of every kind, the typical one, most common kinds first; and the files that come of it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from augmint.cli import app
from augmint.data import load
from augmint.errors import InputError
from augmint.represent.to_label import write
from augmint.represent.typical import Picks, pick, typicality
from augmint.seeding import torch_generator
from conftest import Maker

NONE = torch.empty(0, dtype=torch.int64)


def blobs(sizes: list[int], spread: float = 0.05) -> tuple[torch.Tensor, torch.Tensor]:
    """Features in clusters of these sizes, far apart, and the number of each row's cluster."""
    draws = torch_generator("blobs", *sizes)
    kind = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    centres = torch.eye(len(sizes), len(sizes) + 2)
    return centres[kind] + spread * torch.randn(len(kind), len(sizes) + 2, generator=draws), kind


def test_one_of_every_kind_the_most_common_first() -> None:
    features, kind = blobs([30, 60, 45, 20])
    assert kind[pick(features, 4, NONE, 0).rows].tolist() == [1, 2, 0, 3]


def test_the_pick_of_a_kind_is_the_most_typical_one() -> None:
    features, kind = blobs([40, 60])
    picks = pick(features, 2, NONE, 0)
    for row, typical in zip(picks.rows.tolist(), picks.typicality.tolist(), strict=True):
        mine = features[kind == kind[row]].double()
        distances = torch.cdist(mine, mine).sort(1).values[:, 1:21].mean(1)  # without itself
        assert 1 / typical == pytest.approx(float(distances.min()), rel=1e-4)


def test_labelled_images_cover_their_kind() -> None:
    features, kind = blobs([30, 60, 45, 20])
    labelled = torch.nonzero(torch.isin(kind, torch.tensor([1, 2])))[:2, 0]
    labelled = torch.stack([labelled[0], torch.nonzero(kind == 2)[0, 0]])
    picks = pick(features, 2, labelled, 0)
    assert kind[picks.rows].tolist() == [0, 3] and not set(picks.rows.tolist()) & set(labelled.tolist())


def test_a_large_budget_goes_round_again_and_takes_nothing_twice() -> None:
    features, _ = blobs([12, 9])
    picks = pick(features, 20, torch.tensor([0]), 0)
    assert len(set(picks.rows.tolist())) == 20 and 0 not in picks.rows.tolist()
    with pytest.raises(InputError, match="asked for 21 images to label, but only 20 are unlabelled"):
        pick(features, 21, torch.tensor([0]), 0)


def test_outliers_come_last() -> None:
    features, kind = blobs([40, 2, 40])
    assert kind[pick(features, 3, NONE, 0).rows].tolist()[-1] == 1


def test_the_same_seed_picks_the_same_and_equal_images_are_no_trouble() -> None:
    features, _ = blobs([50, 50], spread=0.3)
    assert torch.equal(pick(features, 8, NONE, 3).rows, pick(features, 8, NONE, 3).rows)
    assert len(pick(torch.zeros(5, 3), 4, NONE, 0).rows) == 4
    assert typicality(torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64)).tolist() == [0.0]


# --- files ------------------------------------------------------------------------------------------


def picks(rows: list[int]) -> Picks:
    return Picks(torch.tensor(rows), torch.arange(len(rows)), torch.linspace(2, 1, len(rows)))


def filled(manifest: Path, labels: list[str]) -> None:
    with open(manifest, newline="") as file:
        rows = list(csv.DictReader(file))
    with open(manifest, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows({**row, "label": label} for row, label in zip(rows, labels, strict=True))


def test_files_are_copied_and_the_manifest_is_a_source(user_folder: Path, tmp_path: Path) -> None:
    table = load(user_folder)
    found = write(table, picks([3, 11]), tmp_path / "pick", str(user_folder))
    assert [line["file"] for line in found] == [str(table.paths[r]) for r in (3, 11)]
    for line in found:
        assert (tmp_path / "pick" / line["copy"]).read_bytes() == (user_folder / line["file"]).read_bytes()
    read = load(tmp_path / "pick")
    assert read.labels.tolist() == [-1, -1] and torch.equal(read.images, table.images[[3, 11]])
    with Image.open(tmp_path / "pick" / "sheet.png") as image:
        assert image.width > 100
    filled(tmp_path / "pick" / "manifest.csv", ["cat", "dog"])
    read = load(tmp_path / "pick")
    assert [read.classes[i] for i in read.labels] == ["cat", "dog"]


def test_labels_that_were_filled_in_are_not_overwritten(user_folder: Path, tmp_path: Path) -> None:
    table = load(user_folder)
    write(table, picks([3, 11]), tmp_path / "pick", str(user_folder))
    write(table, picks([4]), tmp_path / "pick", str(user_folder))  # nothing was filled in
    assert len(list((tmp_path / "pick" / "images").iterdir())) == 1
    filled(tmp_path / "pick" / "manifest.csv", ["cat"])
    with pytest.raises(InputError, match="has labels in it; pick more with --labels"):
        write(table, picks([5]), tmp_path / "pick", str(user_folder))


def test_a_source_without_files_gives_its_pixels(tmp_path: Path) -> None:
    table = load("digits")
    (line,) = write(table, picks([7]), tmp_path / "pick", "digits")
    with Image.open(tmp_path / "pick" / line["copy"]) as image:
        assert np.array_equal(np.asarray(image), table.images[7, 0].numpy())


def test_the_command(make_folder: Maker, tmp_path: Path) -> None:
    folder = make_folder({"cat": 2, "_unlabeled": 30})
    words = ["pick", str(folder), "--budget", "3", "--preset", "tiny", "--out", str(tmp_path / "r"), "--quiet"]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.output
    rows = list(csv.DictReader(said.stdout.splitlines()))
    assert len(rows) == 3 and all(row["file"].startswith("_unlabeled/") for row in rows)
    again = json.loads(
        CliRunner().invoke(app, ["pick", str(tmp_path / "r"), "--budget", "3", "--json", "--quiet"]).stdout
    )
    assert [p["file"] for p in again["picks"]] == [
        row["file"] for row in rows
    ]  # the run's encoder, nothing learnt anew
    assert len(list((tmp_path / "r").glob("stages/represent/*/done.json"))) == 1
    refused = CliRunner().invoke(app, ["pick", str(tmp_path / "r"), "--budget", "31", "--quiet"])
    assert isinstance(refused.exception, InputError) and "30 of 32 are unlabelled" in str(refused.exception)
    fresh = CliRunner().invoke(app, ["pick", str(tmp_path / "r"), "--budget", "31", "--fresh", "--quiet"])
    assert fresh.exit_code == 0 and len(fresh.stdout.splitlines()) == 32
