"""The peers themselves load what minting writes: torchvision's ImageFolder, Hugging Face's datasets, webdataset.

Run by `make test-peers` in an environment that has them (dependency group "peers"); pytest does not collect this file
otherwise, so that no test is ever skipped.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from augmint.mint import Minted, Wish, Work, export, mint_many  # noqa: E402
from fake_mint import LOOSE, Fake, digits, measured, sure  # noqa: E402

POOL = digits(400, channels=3)


@pytest.fixture(scope="module")
def minted(tmp_path_factory: pytest.TempPathFactory) -> Minted:
    parents = torch.arange(200)
    work = Work(Fake(), POOL, parents, POOL.labels[parents], sure, LOOSE, measured(POOL))

    def alone(make, pieces):  # type: ignore[no-untyped-def]
        for piece in pieces:
            make(piece)

    return mint_many(work, Wish(100, False, 0), tmp_path_factory.mktemp("pieces"), alone)


def wanted(minted: Minted) -> list[tuple[int, bytes]]:
    kept = minted.accepted()
    images = kept.gather(torch.arange(len(kept))).permute(0, 2, 3, 1).numpy()
    return sorted((int(label), image.tobytes()) for label, image in zip(kept.labels, images, strict=True))


def test_image_folder(minted: Minted, tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder

    data = ImageFolder(str(export(minted, POOL, tmp_path)))
    assert data.classes == list(POOL.classes)
    assert sorted((label, np.asarray(image).tobytes()) for image, label in data) == wanted(minted)


def test_datasets(minted: Minted, tmp_path: Path) -> None:
    from datasets import ClassLabel, load_dataset

    data = load_dataset(str(export(minted, POOL, tmp_path, "parquet")), cache_dir=str(tmp_path / "cache"))["train"]
    assert data.features["label"] == ClassLabel(names=list(POOL.classes))
    found = sorted((row["label"], np.asarray(row["image"]).tobytes()) for row in data)
    assert found == wanted(minted)


def test_datasets_from_class_folders(minted: Minted, tmp_path: Path) -> None:
    """The metadata file beside the folders gives label and trail."""
    from datasets import load_dataset

    data = load_dataset("imagefolder", data_dir=str(export(minted, POOL, tmp_path)), cache_dir=str(tmp_path / "cache"))
    found = sorted((row["label"], np.asarray(row["image"]).tobytes()) for row in data["train"])
    assert found == wanted(minted)


def test_webdataset(minted: Minted, tmp_path: Path) -> None:
    import webdataset

    files = sorted(str(path) for path in export(minted, POOL, tmp_path, "webdataset").glob("*.tar"))
    data = webdataset.WebDataset(files, shardshuffle=False).decode("pil").to_tuple("png", "cls", "json")
    rows = list(data)
    assert all(trail["label"] == label and trail["parent"] for _, label, trail in rows)
    assert sorted((label, np.asarray(image.convert("RGB")).tobytes()) for image, label, _ in rows) == wanted(minted)
