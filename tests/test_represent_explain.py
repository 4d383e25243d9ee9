"""Embeddings, map and neighbours: the numbers by other means, and nothing that the run may not know."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors

from augmint.errors import InputError
from augmint.represent import embeddings, map, train_encoder
from augmint.represent import explain as explaining
from augmint.represent.embeddings import Shown
from augmint.represent.explain import Sheet, explain
from augmint.represent.neighbours import choose, nearest_in
from augmint.train import Compute
from test_represent_train import SMALL, patterns, table_of

CPU = Compute(torch.device("cpu"), bf16=False)


def unit(count: int, size: int = 6, seed: int = 0) -> torch.Tensor:
    x = torch.randn(count, size, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(x, dim=1)


def shown(count: int = 160) -> Shown:
    """Pool: all but the last 40; labels of every tenth, and of the validation slice."""
    table, cut = patterns(count), count - count // 4
    return Shown(table, torch.arange(cut).flip(0), torch.arange(0, cut, 10), torch.arange(cut, count))


def test_embeddings_come_back_with_the_labels_that_may_be_used_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(embeddings, "GROUP", 50)
    what, vectors = shown(), unit(160)
    asked = []
    embeddings.write(tmp_path / "e.parquet", what, lambda rows: asked.append(len(rows)) or vectors[rows])
    assert asked == [50, 50, 50, 10]  # never all at once
    stored = pq.read_table(tmp_path / "e.parquet")
    assert stored.schema.field("feature").type == pa.list_(pa.float32(), 6)
    rows = what.rows.tolist()
    assert stored["id"].to_pylist() == [str(row) for row in rows]
    assert stored["split"].to_pylist() == ["train"] * 120 + ["val"] * 40
    allowed = set(what.few.tolist()) | set(what.val.tolist())
    wanted = [row % 4 if row in allowed else None for row in rows]
    assert stored["label"].to_pylist() == wanted
    assert stored["class"].to_pylist() == ["" if label is None else "abcd"[label] for label in wanted]
    np.testing.assert_array_equal(np.array(stored["feature"].to_pylist(), np.float32), vectors[what.rows].numpy())
    assert pq.ParquetFile(tmp_path / "e.parquet").num_row_groups == 4
    assert torch.equal(torch.cat(list(embeddings.read(tmp_path / "e.parquet"))), vectors[what.rows])
    places = torch.tensor([0, 3, 49, 50, 159])
    assert torch.equal(embeddings.at(tmp_path / "e.parquet", places), vectors[what.rows[places]])
    assert [p.name for p in tmp_path.iterdir()] == ["e.parquet"]


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "e.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match=r"e\.parquet"):
        list(embeddings.read(tmp_path / "e.parquet"))


@pytest.mark.parametrize("parts", [1, 3, 11])
def test_neighbours_equal_scikit_learns_however_the_bank_is_cut(parts):
    bank, own = unit(97), torch.tensor([0, 5, 40, 96])
    found = nearest_in(bank.tensor_split(parts), bank[own], own, count=8)
    distance, rows = NearestNeighbors(n_neighbors=9, metric="cosine").fit(bank).kneighbors(bank[own])
    assert rows[:, 0].tolist() == own.tolist() and found.places.tolist() == rows[:, 1:].tolist()
    np.testing.assert_allclose(found.cosine, 1 - distance[:, 1:], atol=1e-6)


def test_equal_neighbours_come_by_place_and_few_images_have_fewer():
    same = torch.ones(4, 1)
    found = nearest_in(same.tensor_split(2), same[[2]], torch.tensor([2]))
    assert found.places.tolist() == [[0, 1, 3]] and found.cosine.tolist() == [[1, 1, 1]]


def test_the_sheet_shows_every_class_the_loneliest_and_the_twins_once():
    bank = unit(60, 8)
    bank[41] = torch.nn.functional.normalize(bank[7] + 1e-3, dim=0)  # the nearest pair
    own = torch.arange(60)
    found = nearest_in([bank], bank, own)
    labels = torch.where(own % 2 == 0, own % 10 // 2, -1)
    rows = choose(labels, found, own, seed=0)
    ordinary = [labels[i].item() for i, why in rows if not why]
    assert sorted(set(ordinary)) == [0, 1, 2, 3, 4] and ordinary == sorted(ordinary) and len(ordinary) == 12
    by_cosine = found.cosine[:, 0].argsort().tolist()
    assert [i for i, why in rows if why == "most alone"] == by_cosine[:3]
    twins = [i for i, why in rows if why == "nearest twin"]
    assert (7 in twins) != (41 in twins) and len(twins) == 3
    assert len([i for i, why in choose(torch.full((60,), -1), found, own, 0) if not why]) == 12
    many = torch.arange(60) % 30
    assert {many[i].item() for i, why in choose(many, found, own, 0) if not why} == set(range(30))


def test_principal_components_equal_scikit_learns():
    x = unit(50) * torch.tensor([5.0, 3, 1, 1, 1, 1])
    flat, share = map.principal(x)
    pca = PCA(2).fit(x.numpy())
    np.testing.assert_allclose(flat.abs(), np.abs(pca.transform(x.numpy())), atol=1e-4)
    assert share == pytest.approx(pca.explained_variance_ratio_.sum(), abs=1e-6)
    again, _ = map.principal(x + 7)
    torch.testing.assert_close(again, flat, atol=1e-4, rtol=1e-4)


def test_principal_components_of_hardly_anything():
    assert map.principal(torch.ones(5, 4)) == (pytest.approx(torch.zeros(5, 2)), 0.0)
    assert map.principal(unit(2))[0].shape == (2, 2) and map.principal(unit(5, 1))[0][:, 1].tolist() == [0.0] * 5


def test_tsne_keeps_neighbourhoods_and_repeats_itself():
    x = torch.cat([unit(1, 6, seed) + 0.1 * unit(40, 6, seed + 9) for seed in range(4)])
    flat, _ = map.principal(x)
    first, second = map.tsne(x, flat, seed=0), map.tsne(x, flat, seed=0)
    assert torch.equal(first, second)
    assert trustworthiness(x.numpy(), first.numpy(), n_neighbors=5) > 0.9  # 0.5 is chance
    assert map.tsne(x[:9], flat[:9], seed=0) is None
    assert map.tsne(torch.ones(20, 6), torch.zeros(20, 2), seed=0) is None


@pytest.mark.parametrize(("known", "rest", "wanted"), [(30, 500, 30), (400, 400, 50), (400, 20, 80), (0, 300, 0)])
def test_the_map_takes_labelled_and_unlabelled(known, rest, wanted):
    labels = torch.cat([torch.arange(known) % 3, torch.full((rest,), -1)])
    few = torch.arange(known + rest) < 20
    places = map.sample(labels, few, seed=0, limit=100)
    assert len(places) == len(places.unique()) == min(100, known + rest)
    assert int((labels[places] >= 0).sum()) == wanted
    if wanted:
        assert torch.isin(torch.arange(20), places).all()  # the few come first
        assert torch.bincount(labels[places][labels[places] >= 0]).float().std() < 1


def facts_of(what: Shown, folder: Path) -> tuple[dict, Sheet]:
    encoder = train_encoder(what.table.take(what.pool), SMALL.model_copy(update={"images": 64}), CPU, seed=0)
    sheet = explain(encoder, what, lambda rows: encoder.hidden(what.table.gather(rows)), folder, seen=64, seed=0)
    return json.loads((folder / "summary.json").read_text()), sheet


def test_facts_files_and_sheet(tmp_path):
    what = shown()
    facts, sheet = facts_of(what, tmp_path)
    assert facts["images"] == 120 and facts["labels"] == 12 and facts["judged"] == 40 and facts["judge"] == "val"
    assert facts["images_per_second"] == pytest.approx(64 / facts["seconds"])
    assert 0 <= facts["knn"] <= 1 and 0 <= facts["linear"] <= 1 and facts["collapsed"] is False
    stored = pq.read_table(tmp_path / "map.parquet")
    assert facts["map"] == {"points": 160, "variance": facts["map"]["variance"], "tsne": True}
    assert {"pca_x", "pca_y", "tsne_x", "tsne_y"} < set(stored.column_names) and len(stored) == 160
    assert all(math.isfinite(v) for name in stored.column_names[-4:] for v in stored[name].to_pylist())
    kept = pq.read_table(tmp_path / "embeddings.parquet")
    near = NearestNeighbors(n_neighbors=9, metric="cosine").fit(np.array(kept["feature"].to_pylist()))
    pixels = what.table.images[what.rows]
    for line, cosine in zip(sheet.images, sheet.cosine, strict=True):
        place = int((pixels == line[0]).flatten(1).all(1).nonzero()[0])
        distance, rows = near.kneighbors([kept["feature"][place].as_py()])
        np.testing.assert_allclose(cosine, 1 - distance[0, 1:], atol=1e-5)
        assert torch.equal(line[1], pixels[rows[0, 1]])


def test_of_many_labels_a_part_of_every_class_says_what_the_encoder_is_worth(monkeypatch):
    monkeypatch.setattr(explaining, "MOST", 12)
    what, asked = shown(), []
    what = Shown(what.table, what.pool, torch.arange(120), what.val)
    found = explaining.worth(what, lambda rows: asked.append(rows) or unit(len(rows)), seed=0)
    assert found["labels"] == 12 and found["judged"] == 12 and [len(rows) for rows in asked] == [12, 12]
    assert all(torch.bincount(what.table.labels[rows]).tolist() == [3, 3, 3, 3] for rows in asked)


@pytest.mark.parametrize("labels", [[-1] * 5, [0, 0, -1, -1, -1], [0, 1, -1, -1, -1], [0, 0, 0, 0, 0]])
def test_five_images(tmp_path, labels):
    images = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    table = table_of(images, torch.tensor(labels))
    known = torch.nonzero(table.labels >= 0)[:, 0]
    facts, sheet = facts_of(Shown(table, torch.arange(5), known, known[:0]), tmp_path)
    assert facts["map"]["tsne"] is False and facts["map"]["points"] == 5 and sheet.images.shape[1:] == (5, 1, 8, 8)
    assert ("knn" in facts) == (len(set(labels) - {-1}) == 2)
    assert facts["labels"] == len(known)
