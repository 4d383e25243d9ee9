"""A run folder as a finished run leaves it, with invented trials, to test the report and to look at it.

python tests/fake_run.py FOLDER [draws|folds|bare]     # then open FOLDER/report/index.html
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from augmint.config import resolve
from augmint.data.sheet import sheet
from augmint.generate.snapshots import film
from augmint.report.words import BELIEVED
from augmint.seeding import generator

Array = NDArray[Any]
CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LEVELS = {
    "scratch-none": 0.9,
    "scratch-weak": 1.25,
    "scratch-randaugment": 1.15,
    "scratch-pseudo": 1.5,
    "scratch-minted": 1.55,
    "encoder": 1.6,
    "encoder-gaussian": 1.6,
    "encoder-minted": 1.63,
}


def make_run(folder: Path, kind: str = "draws", count: int = 10, minted: bool = True, gain: float = 0.0) -> Path:
    """Write a run folder. `kind`: draws, folds, or bare (settings alone, nothing has finished). `gain` lifts the
    logits of the right class in every arm."""
    folder.mkdir(parents=True)
    digits = load_digits()
    labels = digits.target.astype(np.int64)
    settings = resolve("demo", overrides={"data_source": "digits", "labels_per_class": 10 if kind == "draws" else None})
    (folder / "config.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))
    packages = {"augmint": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6"}
    environment = {"schema": 1, "python": "3.11.9", "machine": "x86_64", "threads": 2, "gpus": [], "packages": packages}
    (folder / "environment.json").write_text(json.dumps(environment))
    (folder / "stages").mkdir()
    if kind == "bare":
        return folder
    split = np.where(np.arange(len(labels)) % 5 == 0, "test", "train")
    if kind == "folds":
        labels = np.where(np.arange(len(labels)) < 200, labels, -1)
        split[:] = "train"
    _manifest(folder, labels, split)
    _trials(folder, labels, split, kind, count, minted, gain)
    _metrics(folder, count, minted)
    _stages(folder, minted)
    _encoder(folder, digits.images)
    if minted:
        _measures(folder)
    (folder / "final").mkdir()
    final = {"schema": 1, "arm": "encoder", "labels": 100, "temperature": 0.9, "cross_validated_accuracy": 0.91}
    (folder / "final" / "final.json").write_text(json.dumps(final))
    if minted:
        _value(folder)
        _minted(folder, digits.images, digits.target)
        _snapshots(folder, digits.images)
    return folder


def _value(folder: Path) -> None:
    rows = (("all", "minted", 300, 0.6), ("class", CLASSES[0], 200, 0.62), ("class", CLASSES[1], 100, -0.02))
    groups = [
        {"by": by, "name": name, "images": n, "value": v, "low": v - 0.01, "high": v + 0.01} for by, name, n, v in rows
    ]
    line = {"id": "00:7", "class": CLASSES[1], "images": 4, "low": -0.004, "high": 0.001}
    parents = {
        "of": 80,
        "best": [{**line, "file": "good.png", "value": 0.002}],
        "worst": [{**line, "file": "", "value": -0.002}],
    }
    facts = {"schema": 1, "neighbours": 5, "judged": 200, "on": "validation", "groups": groups, "parents": parents}
    (folder / "value.json").write_text(json.dumps(facts))


def _manifest(folder: Path, labels: Array, split: Array) -> None:
    names = [CLASSES[v] if v >= 0 else "" for v in labels]
    columns = {
        "row": np.arange(len(labels)),
        "id": [f"{i:016x}:{i}" for i in range(len(labels))],
        "file_name": [f"{i}.png" for i in range(len(labels))],
        "sha256": ["0" * 64] * len(labels),
        "split": split,
        "group": np.full(len(labels), -1),
        "label": labels,
        "class": names,
    }
    pq.write_table(pa.table(columns), folder / "manifest.parquet")


def _tested(labels: Array, split: Array, kind: str, unit: int) -> Array:
    if kind == "draws":
        return np.flatnonzero(split == "test")
    order = generator("folds", unit // 5).permutation(np.flatnonzero(labels >= 0))
    return np.sort(np.array_split(order, 5)[unit % 5])


def _logits(labels: Array, rows: Array, level: float, arm: str, unit: int) -> Array:
    """Every image is as hard for all arms; every draw is as lucky for all arms."""
    y = labels[rows]
    hard = generator("hard").normal(size=(len(labels), 10))[rows] + (y[:, None] == np.array([8, 3])).any(1)[:, None]
    luck = generator("luck", unit).normal(0, 0.08)
    own = generator("own", arm, unit).normal(size=hard.shape)
    return np.eye(10)[y] * (level + luck) * 2 + 0.8 * hard * (1 - 0.5 * np.eye(10)[y]) + 0.45 * own


def _trials(folder: Path, labels: Array, split: Array, kind: str, count: int, minted: bool, gain: float) -> None:
    (folder / "trials").mkdir()
    rows = []
    for unit in range(count):
        tested = _tested(labels, split, kind, unit)
        for arm, level in LEVELS.items():
            if minted or "minted" not in arm:
                rows.append(_trial(folder, labels, tested, kind, unit, arm, level + gain))
    rows.append({**rows[0], "role": "select", "accuracy": 0.0})
    pq.write_table(pa.Table.from_pylist(rows), folder / "trials.parquet")


def _worse(path: Path, labels: Array, tested: Array, level: float, arm: str, unit: int) -> None:
    """What the arm says of a few of the images under two kinds of harm at five strengths."""
    path.parent.mkdir(exist_ok=True)
    some = tested[::7]
    told = {
        kind: np.stack([_logits(labels, some, level * (1 - slope * s), arm, unit) for s in range(1, 6)])
        for kind, slope in (("noise", 0.05), ("rotation", 0.12))
    }
    save_file(
        {k: torch.from_numpy(v).float().contiguous() for k, v in told.items()}
        | {"rows": torch.from_numpy(some.copy())},
        path,
    )


def _trial(folder: Path, labels: Array, tested: Array, kind: str, unit: int, arm: str, level: float) -> dict[str, Any]:
    logits = _logits(labels, tested, level, arm, unit)
    path = Path("trials") / f"{kind}-{unit:02d}-{arm}.safetensors"
    tensors = {"logits": torch.from_numpy(logits).float(), "rows": torch.from_numpy(tested)}
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / path)
    if unit < 3:
        _worse(folder / "robust" / path.name, labels, tested, level, arm, unit)
    _learnt(folder / "stages" / "trials" / f"{kind[:-1]}-{unit:02d}-{arm}" / f"{unit:012x}-0", labels, tested, unit)
    accuracy = float((tensors["logits"].argmax(1).numpy() == labels[tested]).mean())
    return {
        "arm": arm,
        "family": arm.split("-")[0],
        "labels_per_class": 10 if kind == "draws" else -1,
        "draw": unit if kind == "draws" else -1,
        "fold": unit if kind == "folds" else -1,
        "role": kind[:-1],
        "encoder_seed": 0,
        "n_train": 100 if kind == "draws" else 200 - len(tested),
        "n_test": len(tested),
        "accuracy": accuracy,
        "val_accuracy": accuracy - 0.01 if kind == "draws" else float("nan"),
        "seconds": 0.2 if arm.startswith("encoder") else 4.0 + 6 * arm.endswith("minted"),
        "peak_memory": 900 * 2**20,
        "config_hash": f"{unit:012x}-0",
        "logits": str(path),
    }


def _learnt(folder: Path, labels: Array, tested: Array, unit: int) -> None:
    """What a trial learnt from, as its stage keeps it."""
    free = np.setdiff1d(np.flatnonzero(labels >= 0), tested)
    chosen = generator("labels", unit).choice(free, min(100, len(free)), replace=False)
    folder.mkdir(parents=True)
    identity = {"labels": [[f"{i:016x}:{i}", CLASSES[labels[i]]] for i in chosen]}
    (folder / "identity.json").write_text(json.dumps(identity))


def _metrics(folder: Path, count: int, minted: bool) -> None:
    rng, lines = generator("metrics"), []
    for step in range(50, 1500, 50):
        t = step / 1500
        lines.append(
            {
                "stage": "represent",
                "images": step * 256,
                "loss": 6 - 3 * t**0.5 + rng.normal(0, 0.05),
                "contrastive": 4 - 2 * t**0.5 + rng.normal(0, 0.04),
                "reconstruction": 0.05 + 0.1 * np.exp(-6 * t),
                "spread": 0.5 + 0.4 * t**0.3,
                "rank": 10 + 40 * t**0.5,
                "knn": 0.6 + 0.3 * t**0.4,
            }
        )
        if minted:
            for stage in ("generate-image", "generate-feature"):
                metrics = {name: 1 + rng.normal(0, 0.1) + k * t for k, name in enumerate(("d_loss", "g_loss"))}
                metrics |= {"d_gradient": 2 + rng.normal(0, 0.4), "g_gradient": 1 + rng.normal(0, 0.3)}
                lines.append({"stage": stage, "images": step * 64, **metrics})
    for draw in range(count):
        for arm in [a for a in LEVELS if a.startswith("scratch") and (minted or "minted" not in a)]:
            for images in range(4000, 40001, 4000):
                value = (0.55 + 0.17 * LEVELS[arm]) * (1 - np.exp(-images / 9000)) + rng.normal(0, 0.01)
                lines.append({"stage": "classify", "arm": arm, "draw": draw, "images": images, "val_accuracy": value})
    text = "".join(json.dumps({"time": 1.0 + i, **line}) + "\n" for i, line in enumerate(lines))
    (folder / "metrics.jsonl").write_text(text + '{"time": 9.0, "stage": "repr')  # cut off by a power failure


def _measures(folder: Path) -> None:
    """What `augmint measure` leaves."""
    meaning = {"fd": {"what": "how far", "wanted": "low"}, "cas": {"what": "how useful", "wanted": "high"}}
    columns = {"drawn": {"fd": 0.1234, "cas": None}, "real": {"fd": 0.05, "cas": 0.9}}
    facts = {"schema": 1, "encoder": "simclr-cnn", "images": 2000, "measures": meaning, "table": columns}
    (folder / "measures").mkdir()
    (folder / "measures" / "measures.json").write_text(json.dumps(facts))
    Image.new("RGB", (8, 8)).save(folder / "measures" / "nearest.png")


def _stages(folder: Path, minted: bool) -> None:
    made = {
        "represent": (61.3, 700),
        "generate-image": (44.9, 1100),
        "generate-feature": (9.8, 1100),
        "mint": (3.1, 1200),
    }
    for stage, (seconds, mebibytes) in made.items():
        if minted or stage == "represent":
            _done(folder / "stages" / stage / "0123456789ab-0", seconds, mebibytes)
    for draw in range(10):
        _done(folder / "stages" / "trials" / f"draw-{draw:02d}-scratch-none" / "0123456789ab-0", 4.0, 900)


def _done(folder: Path, seconds: float, mebibytes: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "done.json").write_text(json.dumps({"schema": 1, "seconds": seconds, "peak_memory": mebibytes * 2**20}))


def _minted(folder: Path, images: Array, labels: Array) -> None:
    rng = generator("minted")
    real = torch.from_numpy(images / 16 * 255).byte()[:, None]

    def child(i: Any) -> torch.Tensor:
        i = np.atleast_1d(i)
        blend = real[i].float() * 0.8 + torch.from_numpy(rng.normal(20, 12, (len(i), 1, 8, 8)))
        return torch.stack([torch.roll(b, int(rng.integers(-1, 2)), -1) for b in blend]).clamp(0, 255).byte()

    reasons = ["looks unreal", "too real", "label disagrees", "copy", "near-duplicate", "too many from this parent"]
    drawn = 900
    kept = rng.random(drawn) < 0.7
    why = [("" if k else reasons[int(rng.integers(0, 6) ** 2 / 6)]) for k in kept]
    parent = rng.integers(0, len(labels), drawn)
    columns = {"label": labels[parent].astype(np.int64), "kept": kept, "reason": why, "parent": parent.astype(str)}
    (folder / "minted").mkdir()
    pq.write_table(pa.table(columns), folder / "minted" / "metadata.parquet")
    parents = np.array([int(np.flatnonzero(labels == c)[3]) for c in range(10)])
    copied, rejected = rng.integers(0, len(labels), 16), rng.integers(0, len(labels), 24)
    quantiles = ("0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99")
    facts = {
        "parent_classes": [CLASSES[labels[p]] for p in parents],
        "rejected_reasons": [reasons[int(r)] for r in rng.integers(0, 6, 24)],
        "counts": {},
        "class_names": [CLASSES[labels[p]] for p in np.repeat(parents, 4)],
        "way_classes": list(CLASSES[:2]),
        "believed": {name: [[3 - i, "too real" if i < 2 else "kept"] for i in range(10)] for name in BELIEVED},
        "real_distances": {q: 0.2 + float(q) for q in quantiles},
        "nearest_is_parent": 0.31,
        "minted_distances": {q: 0.35 + 0.8 * float(q) for q in quantiles},
    }
    tensors = {
        "parents": real[parents],
        "children": torch.stack([child(np.full(8, p)) for p in parents]),
        "copies_minted": child(copied),
        "copies_real": real[copied],
        "copies_distance": torch.linspace(0.21, 0.34, 16),
        "rejected": child(rejected),
        "by_class": child(np.repeat(parents, 4)),
        "way_parents": real[parents[:4]].reshape(2, 2, 1, 8, 8),
        "noise_ways": torch.stack([child(np.full(9, p)) for p in parents[:2]]),
        "parent_ways": torch.stack([child(np.full(9, p)) for p in parents[:2]]),
        **{name: child(parents) for name in BELIEVED},
    }
    contiguous = {k: v.contiguous() for k, v in tensors.items()}
    save_file(contiguous, folder / "minted" / "gallery.safetensors", metadata={"facts": json.dumps(facts)})


def _encoder(folder: Path, images: Array) -> None:
    (folder / "represent").mkdir()
    facts = {"images": 1437, "seen": 90000, "seconds": 61.3, "images_per_second": 1468.0, "size": 128, "labels": 100}
    facts |= {"spread": 0.46, "rank": 60.0, "collapsed": False, "knn": 0.9, "linear": 0.93, "judged": 143}
    (folder / "represent" / "summary.json").write_text(json.dumps({**facts, "judge": "val", "map": {"tsne": True}}))
    for name in ("map", "neighbours"):
        picture = Image.fromarray(
            (images[:60].reshape(6, 10, 8, 8).swapaxes(1, 2).reshape(48, 80) * 15).astype(np.uint8)
        )
        picture.resize((800, 480)).save(folder / "represent" / f"{name}.png")


def _snapshots(folder: Path, images: Array) -> None:
    stage = folder / "stages" / "generate-image" / "0123456789ab-0"
    for i, seen in enumerate((1000, 20000, 40000, 60000, 96000)):
        noisy = images[:100] + generator("snapshots", i).normal(0, 8 - 2 * i if i < 4 else 0.5, (100, 8, 8))
        pixels = torch.from_numpy((noisy.clip(0, 16) * 15.9).astype(np.uint8))[:, None]
        sheet(pixels, 10).save(stage / f"fakes_{seen}.png")
    film(stage).save(stage / "film.png")
    (stage / "fakes_odd.png").write_text("broken")


if __name__ == "__main__":
    from augmint.report import write

    print(write(make_run(Path(sys.argv[1]), *sys.argv[2:3])))
