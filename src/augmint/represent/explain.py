"""What an encoder has learnt, in numbers and in files of RUN/represent/.

    sheet = explain(encoder, Shown(table, pool, few, val), hidden, folder, seen=320_000, seed=0)

    embeddings.parquet    the features of all images that may be shown
    map.parquet           up to 2,000 of them in two dimensions
    summary.json          spread, rank, what the few labels are worth on these features

The sheet holds images with their nearest neighbours, to be drawn by the room `report`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from augmint.measure.probes import linear_probe
from augmint.represent import embeddings, map
from augmint.represent.embeddings import Shown, Vectors
from augmint.represent.encoder import Encoder
from augmint.represent.health import parts
from augmint.represent.neighbours import choose, nearest_in
from augmint.represent.probing import probe
from augmint.represent.watch import stratified
from augmint.train.checkpoint import atomic_write

SCHEMA = 1
ENOUGH = 1024  # images to measure spread and rank on
MOST = 8000  # labels, of either kind, that say what the encoder is worth: their vectors are held at once


@dataclass(frozen=True, eq=False)
class Sheet:
    """R queries, each with its nearest neighbours: images uint8 [R, 1 + k, C, H, W], and words for each."""

    images: Tensor
    cosine: Tensor  # float32 [R, k]
    names: list[list[str]]  # [R][1 + k]: class names, "" where the run may not use the label
    why: list[str]  # [R]: why a query is shown, "" for the ordinary ones


def explain(encoder: Encoder, shown: Shown, hidden: Vectors, folder: Path, seen: int, seed: int) -> Sheet:
    """Measure the encoder and write its files to `folder`. `hidden(rows)`: its answers to rows of the table, float32
    [n, D]; `seen`: how many images its training saw."""
    stored = folder / "embeddings.parquet"
    embeddings.write(stored, shown, lambda rows: encoder.whitening(hidden(rows)))
    places = map.sample(shown.labels, torch.isin(shown.rows, shown.few), seed)
    some = embeddings.at(stored, places)
    facts = {
        "schema": SCHEMA,
        "images": len(shown.pool),
        "seen": seen,
        "seconds": encoder.seconds,
        "images_per_second": seen / max(encoder.seconds, 1e-3),
        "size": encoder.network.features,
        **health(encoder, shown),
        **worth(shown, hidden, seed),
        "map": _map(folder / "map.parquet", shown, places, some, seed),
    }
    atomic_write(folder / "summary.json", json.dumps(facts, indent=1))
    return _sheet(shown, stored, places, some, seed)


def health(encoder: Encoder, shown: Shown) -> dict[str, Any]:
    """'spread' (1: over the whole sphere), 'rank' (directions in use) of the network's own answers, and 'collapsed'; of
    the last stage where that has collapsed, as 'of' says with its size."""
    rows = shown.pool[torch.linspace(0, len(shown.pool) - 1, min(len(shown.pool), ENOUGH)).long()]
    hidden = encoder.hidden(shown.table.gather(rows))
    found = parts(hidden, encoder.network.last)
    worst = next((one for one in found if one.collapsed), found[0])
    of = {} if worst is found[0] else {"of": {"what": worst.what, "size": worst.size}}
    return {"spread": worst.spread, "rank": worst.rank, "collapsed": worst.collapsed, **of}


def worth(shown: Shown, hidden: Vectors, seed: int) -> dict[str, Any]:
    """'labels', and with two classes among them 'knn', 'linear' (0 … 1, both on plain vectors, which suit few labels),
    'judged' images, 'judge' (val or labels). Of many labels a part, every class in turn."""
    known = shown.table.labels
    few, val = (rows[stratified(known[rows], MOST, seed, "worth")] for rows in (shown.few, shown.val))
    if len(torch.unique(known[few])) < 2:
        return {"labels": len(few)}
    if not len(val):
        return {"labels": len(few), **probe(hidden(few), known[few]), "judge": "labels"}
    bank, queries = hidden(few), hidden(val)
    found = probe(bank, known[few], queries, known[val])
    linear = linear_probe(bank, known[few], queries, known[val])
    return {"labels": len(few), **found, "linear": linear, "judge": "val"}


def _map(path: Path, shown: Shown, places: Tensor, features: Tensor, seed: int) -> dict[str, Any]:
    """Write map.parquet: the columns of embeddings.parquet without the features, and the coordinates."""
    flat, share = map.principal(features)
    found = {"pca": flat, "tsne": map.tsne(features, flat, seed)}
    coordinates = {
        f"{name}_{axis}": pa.array(values[:, i].numpy(), pa.float32())
        for name, values in found.items()
        if values is not None
        for i, axis in enumerate("xy")
    }
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table({**shown.columns(places), **coordinates}), buffer)
    atomic_write(path, buffer.getvalue().to_pybytes())
    return {"points": len(places), "variance": share, "tsne": found["tsne"] is not None}


def _sheet(shown: Shown, stored: Path, places: Tensor, features: Tensor, seed: int) -> Sheet:
    """Some of the images at `places`, with their nearest neighbours among all."""
    found = nearest_in(embeddings.read(stored), features, places)
    labels = shown.labels
    rows = choose(labels[places], found, places, seed)
    picked = torch.tensor([i for i, _ in rows])
    whole = torch.cat([places[picked, None], found.places[picked]], 1)  # [R, 1 + k]
    names = ("", *shown.table.classes)
    return Sheet(
        shown.table.gather(shown.rows[whole.flatten()], "cpu").view(*whole.shape, *shown.table.shape),
        found.cosine[picked],
        [[names[label + 1] for label in labels[line].tolist()] for line in whole],
        [why for _, why in rows],
    )
