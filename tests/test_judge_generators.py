"""`augmint measure` asks a network that the filter knows nothing of whether children show the class they inherit."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from augmint.config import ClassifySettings
from augmint.data.table import ImageTable
from augmint.judge.generators import Exam, measure_generator
from augmint.measure.knn import nearest
from augmint.mint import Work
from augmint.mint.assess import Assessment
from augmint.seeding import Draws
from augmint.train import Compute
from fake_mint import LOOSE, Fake, digits, measured

TABLE = digits(1797)
POOL_ROWS, VAL = torch.arange(1200), torch.arange(1200, 1797)
POOL = TABLE.take(POOL_ROWS)
PARENTS = torch.arange(150)
NETWORK = ClassifySettings(images=8_000, width=8)


class Wrong(Fake):
    """Every child is another image, of the class after its parent's."""

    def generate(self, images: Tensor, draws: Draws) -> Tensor:
        _, rows = nearest(images.flatten(1).float(), POOL.images.flatten(1).float(), 1)
        after = (POOL.labels[rows[:, 0]] + 1) % 10
        chosen = torch.stack([torch.nonzero(POOL.labels == c)[(7 * i) % 90, 0] for i, c in enumerate(after.tolist())])
        noise = 20 * draws.normal("noise", *images.shape[1:])
        return (POOL.images[chosen].float() + noise).clamp(0, 255).round().byte()


def fooled(images: Tensor) -> Tensor:
    """A filter that takes every class for the one before: it agrees with all that Wrong makes."""
    _, rows = nearest(images.flatten(1).float(), POOL.images.flatten(1).float(), 1)
    return torch.nn.functional.one_hot((POOL.labels[rows[:, 0]] - 1) % 10, 10).float()


def features(images: Tensor | ImageTable) -> Tensor:
    """Batch by batch, as an encoder does."""
    if isinstance(images, ImageTable):
        return torch.cat([features(images.gather(rows)) for rows in torch.arange(len(images)).split(256)])
    return images.flatten(1).float()


def measure(generator: Fake, **other: Any) -> Assessment:
    settings = LOOSE.model_copy(update={"agreement": 0.0})
    work = Work(generator, POOL, PARENTS, POOL.labels[PARENTS], fooled, settings, measured(POOL))
    encoder: Any = SimpleNamespace(form=SimpleNamespace(backbone="cnn"), features=features)
    exam = Exam(work, TABLE, POOL_ROWS, VAL, POOL_ROWS[100:], encoder, NETWORK, Compute.choose("cpu"), 3)
    return measure_generator(replace(exam, **other))


def what(found: Assessment) -> str:
    return found.to_dict()["measures"]["agreement"]["what"]  # type: ignore[index,no-any-return]


def test_wrong_classes_are_exposed_though_the_filter_is_fooled() -> None:
    found = measure(Wrong())
    assert found.table["drawn"]["agreement"] < 0.2 and found.table["real"]["agreement"] > 0.6  # type: ignore[operator]
    assert "learnt from 1,050 other labels" in what(found)  # of 1,100, the parents left out


def test_half_of_the_validation_slice_judges_where_no_label_is_spare() -> None:
    found = measure(Wrong(), spare=POOL_ROWS[:0])
    assert found.table["drawn"]["agreement"] < 0.2 and found.table["real"]["agreement"] > 0.6  # type: ignore[operator]
    assert "learnt from 298 other labels" in what(found) and found.images == 299  # and the other half is measured


def test_it_never_holds_all_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor more labelled ones to learn from than it may."""
    asked, gather = [0], ImageTable.gather

    def counted(self: ImageTable, rows: Tensor, device: Any = None) -> Tensor:
        asked.append(len(rows) if self.ids[0] in POOL.ids and len(self) == len(POOL) else 0)
        return gather(self, rows, device)

    monkeypatch.setattr(ImageTable, "gather", counted)
    monkeypatch.setattr("augmint.mint.distances.FLOATS", 64 * 600)
    monkeypatch.setattr("augmint.mint.thresholds.SAMPLE", 200)
    monkeypatch.setattr("augmint.judge.generators.MOST_LESSONS", 400)
    found = measure(Wrong(), settings=NETWORK.model_copy(update={"images": 64}))
    assert "learnt from 400 other labels" in what(found)
    assert 0 < max(asked) <= 600 < len(POOL)


@pytest.mark.parametrize("spare", [POOL_ROWS[:0], torch.nonzero(POOL.labels < 9)[150:, 0]])
def test_where_nothing_is_independent_it_says_so(spare: Tensor) -> None:
    found = measure(Wrong(), spare=spare, val=VAL[:0])
    assert "not independent" in what(found)
