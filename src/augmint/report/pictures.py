"""Pictures of the report as data URIs, from minted/gallery.safetensors.

gallery = Gallery.read(folder)         # None where nothing was minted
gallery.families[0].parent.uri
"""

import base64
import io
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file

from augmint.report.facts import gallery_facts

LARGEST = 96  # pixels; larger images are reduced for the page
SHOWN = 64  # pixels on the page that small images are brought up to, by a whole factor
FAMILIES, CHILDREN, PAIRS, REJECTED = 24, 10, 24, 48

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """One image to show: its data URI, the size to show it at and words beside it."""

    uri: str
    width: int
    height: int
    caption: str = ""


@dataclass(frozen=True)
class Family:
    """A row of pictures with a name: minted ones, between the real ones that they come from, where these are shown."""

    name: str
    children: list[Picture]
    parent: Picture | None = None
    other: Picture | None = None


@dataclass(frozen=True)
class Gallery:
    """What minting left for the report."""

    families: list[Family]
    pairs: list[tuple[Picture, Picture]]  # minted, its nearest real image; nearest first
    rejected: list[Picture]
    classes: list[Family]  # kept ones of each class
    noise_ways: list[Family]
    parent_ways: list[Family]
    believed: dict[str, list[Picture]]  # "realness_most", "realness_least", "agreement_most", "agreement_least"

    @staticmethod
    def read(folder: Path) -> "Gallery | None":
        """The gallery of a run, None where there is none or it cannot be read."""
        try:
            tensors = load_file(folder / "minted" / "gallery.safetensors")
        except (OSError, SafetensorError):
            return None
        facts = gallery_facts(folder)
        return Gallery(
            _families(tensors, facts),
            _pairs(tensors),
            _rejected(tensors, facts),
            _classes(tensors, facts),
            _ways(tensors, facts, "noise_ways", 1),
            _ways(tensors, facts, "parent_ways", 2),
            _believed(tensors, facts),
        )


def picture(pixels: Pixels, caption: str = "") -> Picture:
    """uint8 [C, H, W] as a PNG in a data URI, shown enlarged by a whole factor."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    if max(image.size) > LARGEST:
        image.thumbnail((LARGEST, LARGEST))
    buffer = io.BytesIO()
    image.save(buffer, "png", optimize=True)
    factor = max(1, SHOWN // max(image.size))
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Picture(uri, image.width * factor, image.height * factor, caption)


def seen(folder: Path) -> dict[str, Picture]:
    """What the encoder sees: 'map' and 'neighbours', as far as the run has them."""
    names = {"map": "map of the images by their features", "neighbours": "images and their nearest neighbours"}
    found = {name: _sheet(folder / "represent" / f"{name}.png", words) for name, words in names.items()}
    return {name: picture for name, picture in found.items() if picture is not None}


def film(folder: Path, seed: int) -> Picture | None:
    """The same children over the training of the image generator of this seed, None where there is none."""
    films = (folder / "stages" / "generate-image").glob(f"*-{seed}/film.png")
    latest = max(films, key=lambda path: path.stat().st_mtime, default=None)
    if latest is None:
        return None
    names = [path.stem.removeprefix("fakes_") for path in latest.parent.glob("fakes_*.png")]
    return _sheet(latest, "; ".join(f"{n:,}" for n in sorted(int(name) for name in names if name.isdigit())))


def nearest_pairs(folder: Path) -> Picture | None:
    """The sheet that `augmint measure` leaves: images beside their nearest training images."""
    return _sheet(folder / "measures" / "nearest.png", "")


def _sheet(path: Path, caption: str) -> Picture | None:
    try:
        with Image.open(path) as image:
            width, height = image.size
    except OSError:
        return None
    uri = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    return Picture(uri, width, height, caption)


def _caption(names: list[Any], index: int) -> str:
    return str(names[index]) if index < len(names) else ""


def _families(tensors: dict[str, Any], facts: dict[str, Any]) -> list[Family]:
    names = facts.get("parent_classes") or []
    both = zip(tensors.get("parents", [])[:FAMILIES], tensors.get("children", [])[:FAMILIES], strict=False)
    return [
        Family(_caption(names, i), [picture(child) for child in children[:CHILDREN]], picture(parent))
        for i, (parent, children) in enumerate(both)
    ]


def _classes(tensors: dict[str, Any], facts: dict[str, Any]) -> list[Family]:
    both = zip(facts.get("class_names") or [], tensors.get("by_class", []), strict=False)
    return [Family(name, [picture(p) for _, p in rows]) for name, rows in groupby(both, key=itemgetter(0))]


def _ways(tensors: dict[str, Any], facts: dict[str, Any], name: str, ends: int) -> list[Family]:
    rows = zip(facts.get("way_classes") or [], tensors.get(name, []), tensors.get("way_parents", []), strict=False)
    return [
        Family(label, [picture(p) for p in steps], *(picture(p) for p in parents[:ends]))
        for label, steps, parents in rows
    ]


def _believed(tensors: dict[str, Any], facts: dict[str, Any]) -> dict[str, list[Picture]]:
    return {
        name: [picture(p, f"{score:.2f}, {fate}") for p, (score, fate) in zip(tensors[name], told, strict=False)]
        for name, told in (facts.get("believed") or {}).items()
        if name in tensors and told
    }


def _pairs(tensors: dict[str, Any]) -> list[tuple[Picture, Picture]]:
    parts = (tensors.get(name, [])[:PAIRS] for name in ("copies_minted", "copies_real", "copies_distance"))
    return [(picture(a, f"{float(d):.3g}"), picture(b)) for a, b, d in zip(*parts, strict=False)]


def _rejected(tensors: dict[str, Any], facts: dict[str, Any]) -> list[Picture]:
    reasons = facts.get("rejected_reasons") or []
    return [picture(p, _caption(reasons, i)) for i, p in enumerate(tensors.get("rejected", [])[:REJECTED])]
