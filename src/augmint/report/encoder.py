"""What an encoder sees, as pictures and in words: map, neighbours and curve of RUN/represent/.

    draw(folder, explain(…))               # map.png from map.parquet, neighbours.png, curve.png
    for line in lines(facts): print(line)

Labels are coloured, and of another shape for each of seven neighbouring colours; all others are grey.
"""

import io
import warnings
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pyarrow.parquet as pq
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from augmint.data.sheet import sheet as grid
from augmint.report.curves import curve
from augmint.report.facts import Facts
from augmint.report.figures import INK, STYLE, metric_panels
from augmint.report.words import duration
from augmint.represent.explain import Sheet
from augmint.train.checkpoint import atomic_write

DARK = "#222222"
PAPER: Any = {k: DARK if v == INK else v for k, v in STYLE.items()}  # a PNG has a white ground of its own
TENS = [DARK if i == 7 else f"C{i}" for i in range(10)]  # matplotlib's ten; its grey would look unlabelled
MARKS = "os^DvPX"  # with ten colours: 70 classes look different
LEGEND = 40  # classes named beside the map
TITLES = {"tsne": "t-SNE: who is next to whom", "pca": "principal components"}
OPTIONAL = ("represent/curve.png", "encoder.pt2")
METRICS = ("loss", "spread", "rank", "knn")
HEAD = "nearest neighbours: cosine, class if its label may be used"
MARGIN, TILE, LINE, LARGEST = 118, 72, 12, 96  # of the sheet of neighbours, in pixels
FILES = {
    "encoder.safetensors": "the encoder's weights, for torchvision and timm (docs/encoder.md)",
    "encoder.pt2": "the encoder as a program, for plain torch",
    "represent/embeddings.parquet": "features of all images, with the labels that may be used",
    "represent/map.png": "the images in two dimensions (coordinates: map.parquet)",
    "represent/neighbours.png": "images and what the encoder finds most alike",
    "represent/curve.png": "loss, spread, rank and kNN over the training",
}

Values = NDArray[Any]


def draw(folder: Path, sheet: Sheet) -> None:
    """Write the three pictures of a run into its represent/. InputError if the disk refuses."""
    target = folder / "represent"
    atomic_write(target / "map.png", map_picture(pq.read_table(target / "map.parquet").to_pydict()))
    atomic_write(target / "neighbours.png", _bytes(neighbour_sheet(sheet)))
    metrics = curve(folder, "represent")
    if metrics:
        atomic_write(target / "curve.png", curve_picture(metrics))


def files(folder: Path) -> list[str]:
    """Paths of what a run has left of its encoder, for people and other programs."""
    return [str(folder / name) for name in FILES if (folder / name).exists()]


def complete(folder: Path) -> bool:
    """True if everything that every run leaves of its encoder is there."""
    needed = ["represent/summary.json", *(name for name in FILES if name not in OPTIONAL)]
    return all((folder / name).exists() for name in needed)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with matplotlib.rc_context(PAPER), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a class may have a name that the font cannot show
        figure.savefig(buffer, format="png", dpi=130, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def _bytes(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "png", optimize=True)
    return buffer.getvalue()


def curve_picture(metrics: dict[str, list[list[float]]]) -> bytes:
    """PNG of loss, spread, rank and kNN over the images seen, [[images, value], …] each; spread and rank from zero."""
    with matplotlib.rc_context(PAPER):
        figure = metric_panels({name: metrics[name] for name in METRICS if name in metrics})
        for axes in figure.axes:
            if axes.get_title(loc="left") in ("spread", "rank"):
                axes.set_ylim(0, 1.1 * max(axes.get_ylim()))
    return _png(figure)


# --- map ------------------------------------------------------------------------------------------


def map_picture(columns: dict[str, list[Any]]) -> bytes:
    """PNG of the points of map.parquet (columns by name): t-SNE where there is one, and principal components."""
    labels = np.array([-1 if v is None else v for v in columns["label"]])
    names = dict(zip(columns["label"], columns["class"], strict=True))
    few = np.array([split == "train" for split in columns["split"]])
    kinds = [name for name in TITLES if f"{name}_x" in columns]
    with matplotlib.rc_context(PAPER):
        figure = Figure(figsize=(5.2 * len(kinds) + 1.8, 5.2), layout="constrained")
        for i, kind in enumerate(kinds):
            axes = figure.add_subplot(1, len(kinds), i + 1)
            _scatter(axes, np.array(columns[f"{kind}_x"]), np.array(columns[f"{kind}_y"]), labels, few, names)
            axes.set_title(TITLES[kind])
        _legend(figure, both=bool((few & (labels >= 0)).any() and (~few).any()))
    return _png(figure)


def _legend(figure: Figure, both: bool) -> None:
    """The classes beside the map; `both`: there are labels that the run uses and labels of the validation slice."""
    handles, names = figure.axes[0].get_legend_handles_labels()
    note = ["large: labels of the run", "small: validation images"] if both else []
    more = len(names) - LEGEND - 1  # one for the unlabelled
    note += [f"and {more} more classes"] if more > 0 else []
    look: Any = {"loc": "outside right upper", "fontsize": 8, "title_fontsize": 8, "alignment": "left"}
    ncols = 1 if len(names) <= 24 else 2
    figure.legend(handles[: LEGEND + 1], names[: LEGEND + 1], title="\n".join(note) or None, ncols=ncols, **look)


def _scatter(axes: Axes, x: Values, y: Values, labels: Values, few: Values, names: dict[Any, str]) -> None:
    """Unlabelled points grey, below; of each class the validation images small, the labels that the run uses large."""
    size = float(np.clip(8000 / max(len(x), 1), 7, 60))
    grey = labels < 0
    if grey.any():
        axes.scatter(x[grey], y[grey], s=size, c="#b8b8b8", linewidths=0, alpha=0.7, label="unlabelled")
    large = 3.5 if (few & ~grey).sum() < (~grey).sum() or grey.any() else 1.0
    for label in np.unique(labels[~grey]).tolist():
        look: Any = {"color": TENS[label % len(TENS)], "marker": MARKS[label % len(MARKS)]}
        small, big = (labels == label) & ~few, (labels == label) & few
        name = _short(names[label])
        axes.scatter(x[small], y[small], s=size, linewidths=0, alpha=0.8, label=name if not big.any() else None, **look)
        edge = {"linewidths": 0.7, "edgecolors": DARK} if large > 1 else {"linewidths": 0}
        axes.scatter(
            x[big], y[big], s=min(size * large, 70), zorder=3, label=name if big.any() else None, **look, **edge
        )
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(True)
        side.set_color("#cccccc")


def _short(name: str, most: int = 22) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


# --- neighbours -----------------------------------------------------------------------------------


def neighbour_sheet(sheet: Sheet) -> Image.Image:
    """A row a query: who it is, the query, and its neighbours with cosine and class."""
    rows, wide = sheet.images.shape[:2]
    images = _reduced(sheet.images.flatten(0, 1))
    scale = max(1, round(TILE / max(images.shape[2:])))
    words = [
        ["", *(f"{c:.2f}" + (f" · {name}" if name else "") for c, name in zip(cosine, line[1:], strict=True))]
        for cosine, line in zip(sheet.cosine.tolist(), sheet.names, strict=True)
    ]
    tiles = grid(images, wide, scale, [w for line in words for w in line])
    page = Image.new("RGB", (MARGIN + tiles.width, tiles.height + 2 * LINE), "white")
    page.paste(tiles, (MARGIN, 2 * LINE))
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(11)
    tile, high = (tiles.width - 2) // wide, (tiles.height - 2) // rows
    pen.text((MARGIN, 6), "query", fill="black", font=font)
    pen.text((MARGIN + tile + 2, 6), HEAD, fill="black", font=font)
    for i, (line, why) in enumerate(zip(sheet.names, sheet.why, strict=True)):
        top = 2 * LINE + 2 + i * high
        pen.text((4, top + 4), _short(line[0] or "unlabelled", 18), fill="black", font=font)
        pen.text((4, top + 4 + 14), why, fill="#D55E00", font=font)
        pen.rectangle((MARGIN, top - 2, MARGIN + tile + 1, top + high - LINE - 2), outline="#0072B2", width=2)
    return page


def _reduced(images: Tensor) -> Tensor:
    """uint8 [N, C, H, W], those larger than LARGEST a side brought down to it by averages."""
    high, wide = images.shape[2:]
    factor = LARGEST / max(high, wide)
    if factor >= 1:
        return images
    size = (max(1, round(high * factor)), max(1, round(wide * factor)))
    return adaptive_avg_pool2d(images.float(), size).round().to(torch.uint8)


# --- words ----------------------------------------------------------------------------------------


def worth(facts: Facts) -> str:
    """'kNN 91.4 %, linear 93.5 % from 100 labels, judged on 139 validation images'."""
    if "knn" not in facts:
        labels = facts.get("labels", 0)
        return f"{labels:,} labels of one class: nothing to compare" if labels else "no labels: no kNN"
    scores = ", ".join(f"{n} {facts[k]:.1%}" for k, n in (("knn", "kNN"), ("linear", "linear")) if k in facts)
    judges = {"val": f"{facts['judged']:,} validation images", "labels": "the labels themselves, leaving one out"}
    return f"{scores} from {facts['labels']:,} labels, judged on {judges[facts['judge']]}"


def health(facts: Facts) -> str:
    """'healthy (spread 0.45 of 1, rank 61 of 128)', 'collapsed (…)' or 'collapsed (the last stage: …)'."""
    word, of = "collapsed" if facts["collapsed"] else "healthy", facts.get("of", facts)
    where = f"{of['what']}: " if "what" in of else ""
    return f"{word} ({where}spread {facts['spread']:.2f} of 1, rank {facts['rank']:.0f} of {of['size']})"


def lines(facts: Facts, folder: Path) -> list[str]:
    """What was learnt, for the terminal; `facts` as in represent/summary.json."""
    wide = max(map(len, facts["files"]))
    return [
        f"encoder: learnt from {facts['images']:,} images, {facts['seen']:,} seen in {duration(facts['seconds'])}, "
        f"{facts['images_per_second']:,.0f} images/s",
        f"features: {health(facts)}",
        f"worth: {worth(facts)}",
        *(f"{path:{wide}}  {FILES[Path(path).relative_to(folder).as_posix()]}" for path in facts["files"]),
    ]
