"""Two domains: labels of clean digits, a classifier for digits that look otherwise (`augmint run SOURCE --target DIR`).

    python benchmarks/target.py [--draws 8] [--seed 0] [--work /tmp/target] [--pairs negative noisy]

Half of scikit-learn's digits, clean, is the source: 10 labels of each class are drawn. The other half is the target,
three fifths of it to learn from without labels, the rest to judge on alone. Two pairs:

negative   dark ink on a smooth random field of grey with grain: the source in negative, on texture
noisy      less contrast, another brightness for each image, noise

Every arm gets the same draws, steps and network. Beside them: the share of children that keep their parent's class, as
a network says that was trained on all labels of the target (the judge of the benchmark; no arm sees it), and a sheet of
parents with their children. Writes benchmarks/results/target.json.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

import augmint as am
from augmint.augment import policy
from augmint.classify import fit_scratch
from augmint.config import resolve
from augmint.data.sheet import save_png, sheet
from augmint.data.table import ImageTable
from augmint.generate.image import ImageGenerator
from augmint.seeding import Draws, generator
from augmint.train import Compute

Array = np.ndarray[Any, Any]
CLASSES = tuple("0123456789")
LEARNT = 0.6  # of the target's images
ARMS = ["scratch-none", "scratch-randaugment", "scratch-pseudo", "scratch-minted", "encoder", "encoder-propagate"]
COMPUTE = Compute.choose("cpu", "auto")


def fields(count: int, draw: np.random.Generator) -> Array:
    """float [count, 8, 8] in 0 … 1: 3 × 3 random greys, enlarged."""
    small = torch.from_numpy(draw.random((count, 1, 3, 3), dtype=np.float32))
    large = torch.nn.functional.interpolate(small, (8, 8), mode="bicubic", align_corners=True)
    return large[:, 0].clamp(0, 1).numpy()


def negative(ink: Array, draw: np.random.Generator) -> Array:
    """Dark ink on texture, of float [N, 8, 8] in 0 … 1."""
    ground = 0.3 + 0.6 * (0.8 * fields(len(ink), draw) + 0.2 * draw.random(ink.shape, dtype=np.float32))
    dark = 0.02 + 0.13 * draw.random((len(ink), 1, 1), dtype=np.float32)
    return ground * (1 - ink) + dark * ink


def noisy(ink: Array, draw: np.random.Generator) -> Array:
    """Less contrast, lighter, grainy."""
    gain = 0.35 + 0.25 * draw.random((len(ink), 1, 1), dtype=np.float32)
    lift = 0.15 + 0.2 * draw.random((len(ink), 1, 1), dtype=np.float32)
    return lift + gain * ink + 0.12 * draw.standard_normal(ink.shape).astype(np.float32)


PAIRS = {"negative": negative, "noisy": noisy}


def _bytes(images: Array) -> Array:
    return np.rint(images.clip(0, 1) * 255).astype(np.uint8)


def write_pair(name: str, seed: int, folder: Path) -> dict[str, Array]:
    """source.npz and target.npz; returns all images with all labels, for the judge alone."""
    digits, draw = load_digits(), generator("benchmark/target", seed, name)
    order = draw.permutation(len(digits.target))
    source, target = np.array_split(order, 2)
    ink = (digits.images / 16).astype(np.float32)
    clean, other = _bytes(ink[source]), _bytes(PAIRS[name](ink[target], draw))
    cut, labels = round(LEARNT * len(target)), digits.target[target]
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "source.npz", images=clean, labels=digits.target[source])
    np.savez(folder / "target.npz", x_train=other[:cut], x_test=other[cut:], y_test=labels[cut:])
    return {"source": clean, "source_labels": digits.target[source], "target": other, "target_labels": labels}


def kept_class(run: am.Run, known: dict[str, Array], to: Path) -> float:
    """Share of children, one of each source image, that the judge gives their parent's class; and the sheet."""
    target, labels = torch.from_numpy(known["target"])[:, None], torch.from_numpy(known["target_labels"])
    table = ImageTable.of(target, labels, CLASSES)
    trials = resolve("demo").classify.model_copy(update={"images": 25_600})
    rows = torch.arange(len(labels))
    judge = fit_scratch(table, rows, labels, policy("randaugment"), trials, COMPUTE, classes=10, seed=0)
    path = next(run.folder.glob("stages/generate-image/*/result.safetensors"))
    parents = torch.from_numpy(known["source"])[:, None]
    made = ImageGenerator.load(path, COMPUTE)
    children = [made.generate(parents, Draws(0, "benchmark", step, torch.arange(len(parents)))) for step in range(4)]
    lines = torch.stack([parents[:20], *(part[:20] for part in children), target[:20]], 1).flatten(0, 1)
    save_png(sheet(lines, 12), to)
    classes = torch.from_numpy(known["source_labels"])
    return float((judge.logits(children[0]).argmax(1) == classes).double().mean())


def measure(name: str, draws: int, seed: int, work: Path) -> dict[str, Any]:
    """One pair, all arms."""
    folder = work / name
    known = write_pair(name, seed, folder)
    settings = {"judge": {"draws": draws, "arms": ARMS}, "generate": {"feature": {"enabled": False}}}
    run = am.run(
        folder / "source.npz",
        folder / "run",
        target=folder / "target.npz",
        labels_per_class=10,
        preset="demo",
        seed=seed,
        settings=settings,
    )
    facts = run.facts
    arms = {row["arm"]: {key: row[key] for key in ("mean", "std", "n", "accuracies")} for row in facts["arms"]}
    minted = {key: facts["minted"][key] for key in ("drawn", "kept", "reasons")}
    return {
        "arms": arms,
        "verdict": [outcome["sentence"] for outcome in run.verdict],
        "final": facts["final"]["arm"],
        "minted": minted,
        "children_keep_class": kept_class(run, known, folder / "children.png"),
        "seconds": {stage["stage"]: stage["seconds"] for stage in facts["stages"]},
    }


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--draws", type=int, default=8)
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--work", type=Path, help="folder for data and runs, which then are gone on with")
    ask.add_argument("--pairs", nargs="+", choices=sorted(PAIRS), default=list(PAIRS))
    a = ask.parse_args()
    to = Path(__file__).parent / "results" / "target.json"
    found = json.loads(to.read_text()) if to.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name in a.pairs:
            found[name] = measure(name, a.draws, a.seed, a.work or Path(folder))
            print(f"\n{name}: {100 * found[name]['children_keep_class']:.1f} % of the children keep their class")
            for arm, row in found[name]["arms"].items():
                print(f"  {arm:22} {100 * row['mean']:5.1f} ± {100 * (row['std'] or 0):3.1f}  ({row['n']} draws)")
            print("\n".join(f"  {sentence}" for sentence in found[name]["verdict"]), flush=True)
            to.parent.mkdir(exist_ok=True)
            to.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
