"""The blind check: does a person see in minted images the class they are labelled with, as often as in real ones?

    python benchmarks/blind.py sheets RUN [--out blind]     # numbered pictures without labels, and answers.csv
    python benchmarks/blind.py score RUN [--out blind]      # after a class was written beside every number

100 kept images of a finished run and 100 real images from which it learnt, as many of each class, shuffled. Which is
which follows from the run and the seed and is written nowhere before the answers are. Right is a minted image if the
answer is the label it inherits, a real one if it is its own. An answer is a class, or its number in `augmint check`'s
order; "?" counts as wrong. Target: minted images reach 90 % of what real ones do. If `augmint measure RUN` was called,
coverage stands beside: the share of real images that have a minted one in their neighbourhood. Writes
benchmarks/results/blind.json.
"""

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from augmint.api import stored_settings
from augmint.data import load
from augmint.data.sheet import save_png, sheet
from augmint.data.table import ImageTable
from augmint.seeding import permutation

RESULTS = Path(__file__).parent / "results" / "blind.json"
EACH, ON_A_SHEET, COLUMNS, SCALE = 100, 50, 10, 4
TARGET = 0.9


@dataclass(frozen=True, eq=False)
class Question:
    """uint8 images [2 · EACH, C, H, W] in the order they are shown, their labels, and which are minted."""

    images: Tensor
    labels: list[int]
    minted: list[bool]
    classes: Sequence[str]


def _pixels(path: Path, table: ImageTable) -> Tensor:
    array = np.array(Image.open(path).convert("L" if table.shape[0] == 1 else "RGB"))
    return torch.from_numpy(array if array.ndim == 3 else array[..., None]).permute(2, 0, 1)


def question(run: Path, seed: int) -> Question:
    """The images and what is right. SystemExit if too few were kept."""
    settings = stored_settings(run)
    table = load(settings.data_source, settings.data)
    kept = pq.read_table(run / "minted" / "metadata.parquet").to_pylist()
    if len(kept) < EACH:
        sys.exit(f"{run}: {len(kept)} images were kept; the check takes {EACH}")
    chosen = [kept[i] for i in permutation(len(kept), seed, "blind", "minted")[:EACH].tolist()]
    train = table.rows("train")
    train = train[permutation(len(train), seed, "blind", "real")]
    wanted, rows = Counter(row["label"] for row in chosen), []
    for row in train.tolist():  # as many real ones of each class
        if wanted[int(table.labels[row])] > 0:
            wanted[int(table.labels[row])] -= 1
            rows.append(row)
    images = [_pixels(run / "minted" / row["file_name"], table) for row in chosen]
    labels = [row["label"] for row in chosen] + table.labels[torch.tensor(rows)].tolist()
    order = permutation(len(labels), seed, "blind", "order").tolist()
    shown = torch.cat([torch.stack(images), table.gather(torch.tensor(rows), "cpu")])
    return Question(shown[order], [labels[i] for i in order], [i < EACH for i in order], table.classes)


def write_sheets(asked: Question, out: Path) -> None:
    """sheet-1.png … and answers.csv, which is left alone if it is there."""
    out.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(asked.labels), ON_A_SHEET):
        numbers = [str(i) for i in range(first, min(first + ON_A_SHEET, len(asked.labels)))]
        page = sheet(asked.images[first : first + ON_A_SHEET], COLUMNS, SCALE, numbers)
        save_png(page, out / f"sheet-{first // ON_A_SHEET + 1}.png")
    answers = out / "answers.csv"
    if not answers.exists():
        answers.write_text("number,class\n" + "".join(f"{i},\n" for i in range(len(asked.labels))))
    names = ", ".join(f"{i} {name}" for i, name in enumerate(asked.classes))
    print(f"classes: {names}\nwrite one beside every number in {answers}, then call `score`")


def read_answers(path: Path, classes: Sequence[str]) -> list[int]:
    """A class a line, -1 for "?". SystemExit where one is missing or unknown."""
    found = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            given = row["class"].strip()
            names = {name.lower(): i for i, name in enumerate(classes)} | {str(i): i for i in range(len(classes))}
            if given != "?" and given.lower() not in names:
                sys.exit(f"{path}: {given!r} beside {row['number']} is no class")
            found.append(names.get(given.lower(), -1))
    return found


def score(asked: Question, answers: list[int]) -> dict[str, object]:
    """How many answers are right, and by class."""
    if len(answers) != len(asked.labels):
        sys.exit(f"{len(answers)} answers for {len(asked.labels)} images")
    sides: dict[str, dict[str, object]] = {}
    for name, side in (("minted", True), ("real", False)):
        own = [(a, label) for a, label, m in zip(answers, asked.labels, asked.minted, strict=True) if m == side]
        by_class = {
            asked.classes[k]: [sum(a == k for a, label in own if label == k), sum(label == k for _, label in own)]
            for k in range(len(asked.classes))
        }
        sides[name] = {"right": sum(a == label for a, label in own), "of": len(own), "classes": by_class}
    return {**sides, "ratio": sides["minted"]["right"] / max(1, sides["real"]["right"])}  # type: ignore[operator]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("sheets", "score"))
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=Path("blind"))
    parser.add_argument("--seed", type=int, default=0)
    o = parser.parse_args()
    asked = question(o.run, o.seed)
    if o.what == "sheets":
        write_sheets(asked, o.out)
        return
    found = score(asked, read_answers(o.out / "answers.csv", asked.classes))
    print(f"{'':14}{'minted':>10}{'real':>10}")
    for name in asked.classes:
        cells = (found[side]["classes"][name] for side in ("minted", "real"))  # type: ignore[index]
        print(f"{name:14}" + "".join(f"{right:>4} of {of:>2}" for right, of in cells))
    print(f"{'all':14}" + "".join(f"{found[s]['right']:>4} of {found[s]['of']:>2}" for s in ("minted", "real")))  # type: ignore[index]
    print(f"minted / real: {found['ratio']:.2f} (target {TARGET})")
    measures = o.run / "measures" / "measures.json"
    if measures.exists():
        table = json.loads(measures.read_text())["table"]
        found["coverage"] = {name: column["coverage"] for name, column in table.items()}
        print("coverage: " + ", ".join(f"{name} {value:.2f}" for name, value in found["coverage"].items()))  # type: ignore[attr-defined]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
