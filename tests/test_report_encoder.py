"""What the encoder sees, drawn: the right colours in the right places, whatever there is to show."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image

from augmint.report import write
from augmint.report.encoder import (
    TENS,
    complete,
    curve_picture,
    draw,
    files,
    health,
    lines,
    map_picture,
    neighbour_sheet,
    worth,
)
from augmint.report.pictures import seen
from augmint.represent.explain import Sheet
from fake_run import make_run

GREY = (184, 184, 184)
FACTS = {
    "schema": 1,
    "images": 1299,
    "seen": 30000,
    "seconds": 54.2,
    "images_per_second": 553.5,
    "size": 128,
    "spread": 0.454,
    "rank": 60.8,
    "collapsed": False,
    "labels": 100,
    "knn": 0.8951,
    "linear": 0.93,
    "judged": 143,
    "judge": "val",
    "map": {"points": 1442, "variance": 0.1, "tsne": True},
    "files": [],
}


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def amount(image: np.ndarray, colour: tuple[float, ...] | str) -> int:
    """Pixels that are nearly of this colour."""
    wanted = np.array([round(255 * v) for v in to_rgb(colour)] if isinstance(colour, str) else colour)
    return int((np.abs(image - wanted).max(2) < 30).sum())


def points(labels: list[int | None], tsne: bool = True, val: int = 0) -> dict[str, list]:
    rng, count = np.random.default_rng(0), len(labels)
    columns = {name: rng.normal(size=count).tolist() for name in ("pca_x", "pca_y", *["tsne_x", "tsne_y"] * tsne)}
    split = ["val" if i < val else "train" for i in range(count)]
    names = ["" if label is None else f"class number {label} $ ☃" for label in labels]
    return {"label": labels, "class": names, "split": split, **columns}


def test_without_labels_the_map_is_grey() -> None:
    image = pixels(map_picture(points([None] * 300)))
    assert amount(image, GREY) > 1000 and image.shape[1] > 1.5 * image.shape[0]
    assert all(amount(image, colour) == 0 for i, colour in enumerate(TENS) if i != 7)


def test_every_class_has_its_colour_and_the_unlabelled_stay_grey() -> None:
    image = pixels(map_picture(points([*range(10)] * 12 + [None] * 200, val=60)))
    assert amount(image, GREY) > 500
    assert all(amount(image, colour) > 100 for colour in TENS)
    few = pixels(map_picture(points([3] * 5 + [None] * 200)))
    assert amount(few, TENS[3]) > 50 and amount(few, TENS[4]) == 0


@pytest.mark.parametrize(("labels", "tsne"), [([None, 0, None, 1, 0], False), ([0], False), ([*range(90)] * 5, True)])
def test_maps_of_few_and_of_many(labels: list[int | None], tsne: bool) -> None:
    image = pixels(map_picture(points(labels, tsne)))
    assert image.shape[0] >= 600 and amount(image, TENS[0]) > 20
    assert (image.shape[1] > 1200) == tsne  # one panel or two


def sheet(side: int = 8, channels: int = 1) -> Sheet:
    """Images of one brightness each: row i, column j has 20 i + 5 j + 40."""
    level = (20 * torch.arange(3)[:, None] + 5 * torch.arange(5) + 40).to(torch.uint8)
    images = level[:, :, None, None, None].expand(3, 5, channels, side, side)
    names = [["shirt", "", "bag", "", ""], ["", "", "", "", ""], ["a very long name of a class", "", "", "", ""]]
    return Sheet(images, torch.rand(3, 4), names, ["", "", "most alone"])


@pytest.mark.parametrize(("side", "channels", "tile"), [(8, 1, 72), (28, 3, 84), (224, 3, 96), (64, 1, 64)])
def test_neighbours_stand_where_they_belong(side: int, channels: int, tile: int) -> None:
    image = np.asarray(neighbour_sheet(sheet(side, channels))).astype(int)
    assert image.shape[1] - 118 == 5 * (tile + 2) + 2
    high = (image.shape[0] - 24 - 2) // 3
    for i in range(3):
        for j in range(5):
            middle = image[24 + 2 + i * high + tile // 2, 118 + 2 + j * (tile + 2) + tile // 2]
            assert middle.tolist() == [20 * i + 5 * j + 40] * 3
    assert amount(image, "#0072B2") > 3 * 4 * tile  # a frame round each query
    assert amount(image[: image.shape[0] // 2], "#D55E00") == 0 < amount(image, "#D55E00")  # why the last is shown


def test_the_curve_has_a_panel_for_each_metric() -> None:
    metrics = {name: [[n * 1000, 0.1 * n] for n in range(1, 6)] for name in ("rank", "loss", "knn", "odd")}
    image = pixels(curve_picture(metrics))
    lines = image[:, :, 2] - image[:, :, 0] > 60  # blue
    assert [bool(part.any()) for part in np.array_split(lines, 3, axis=1)] == [True] * 3
    assert image.shape[1] > 3 * image.shape[0]


def test_words_for_people() -> None:
    assert health(FACTS) == "healthy (spread 0.45 of 1, rank 61 of 128)"
    fallen = {**FACTS, "collapsed": True, "spread": 0.01, "rank": 1.2}
    assert health(fallen).startswith("collapsed (spread 0.01")
    of = {"of": {"what": "the last stage", "size": 64}}
    assert health(fallen | of) == "collapsed (the last stage: spread 0.01 of 1, rank 1 of 64)"
    assert worth(FACTS) == "kNN 89.5%, linear 93.0% from 100 labels, judged on 143 validation images"
    alone = {name: value for name, value in FACTS.items() if name != "linear"} | {"judge": "labels"}
    assert worth(alone) == "kNN 89.5% from 100 labels, judged on the labels themselves, leaving one out"
    assert worth({"labels": 0}) == "no labels: no kNN"
    assert worth({"labels": 7}) == "7 labels of one class: nothing to compare"
    said = lines({**FACTS, "files": ["runs/x/represent/map.png"]}, Path("runs/x"))
    assert said[0] == "encoder: learnt from 1,299 images, 30,000 seen in 54 s, 554 images/s"
    assert said[-1].startswith("runs/x/represent/map.png  ") and len(said) == 4


def test_drawn_into_the_run_and_shown_on_its_page(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", "bare")
    steps = [json.dumps({"stage": "represent", "images": n, "loss": 1.0, "rank": 5.0}) for n in (100, 200)]
    (folder / "metrics.jsonl").write_text("\n".join(steps))
    assert '<section id="encoder"' not in write(folder).read_text()
    (folder / "represent").mkdir()
    pq.write_table(pa.table(points([0, 1, None] * 40)), folder / "represent" / "map.parquet")
    draw(folder, sheet())
    assert not complete(folder)  # no encoder, no embeddings yet
    assert [Path(name).name for name in files(folder)] == ["map.png", "neighbours.png", "curve.png"]
    (folder / "represent" / "summary.json").write_text(json.dumps(FACTS))
    page = write(folder).read_text()
    section = page[page.index('<section id="encoder"') :].split("</section>")[0]
    assert section.count('src="data:image/png;base64,') == 2 and '<a href="#encoder">' in page
    assert "healthy (spread 0.45" in section and "from 100 labels" in section and "1,299 images" in section
    assert json.loads((folder / "report" / "report.json").read_text())["representation"]["knn"] == 0.8951
    (folder / "represent" / "map.png").write_text("broken")
    assert set(seen(folder)) == {"neighbours"} and "<details open" in write(folder).read_text()
