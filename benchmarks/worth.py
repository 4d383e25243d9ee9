"""Are minted samples worth adding? Against tuned rivals, paired over label draws, by number of labels a class.

    python benchmarks/worth.py DATA [--preset fast] [--labels 1 4 10 40] [--draws 20] [--work runs/worth]

DATA is anything with labels and a test split: digits, fashion-mnist, CIFAR-10's Parquet. Encoder and generators are
trained once, without labels; then, at every number of labels:

1. Tuning. On three other label draws every policy (weak, RandAugment, TrivialAugment, AugMix, MixUp and CutMix behind
   weak) is tried at four strengths, and pseudo-labelled parents, minted images and both together at four shares of a
   batch: four trials each, on the same draws, judged on the validation slice of the training images.
2. Draws. The best of each, and the features' rivals (Gaussian, SMOTE, mixup, real neighbours that inherit the label),
   on `--draws` label draws; same optimiser steps, initial weights and order of the labels for all; last weights. Then
   the test images are looked at.

Four contrasts: minted images over the best tuned policy; over their pseudo-labelled parents; both over the parents
alone; minted features over the best of their rivals (the encoder alone is one). The best rivals are those of the
validation slice. Intervals and p (Holm over the four) as in docs/protocol.md.

Trials are kept one by one in --work, so the same command goes on where it was stopped. Prints a table and writes
benchmarks/results/worth.json, one entry for each data set and number of labels.
"""

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from augmint.config import Settings, resolve
from augmint.judge import protocol
from augmint.judge.protocol import Split
from augmint.judge.verdict import Contrast, verdicts
from augmint.pipeline import Pipeline
from augmint.report.evidence import Evidence
from augmint.seeding import key
from augmint.train import RunDir

OUT = Path(__file__).parent / "results" / "worth.json"
POLICIES = ("weak", "randaugment", "trivialaugment", "augmix", "mixup", "cutmix")
LABELS = (1, 4, 10, 40)
STRENGTHS, SHARES = (0.25, 0.5, 1.0, 2.0), (0.125, 0.25, 0.375, 0.5)
EXTRAS = ("pseudo", "minted", "both")
RIVALS = ("encoder", "encoder-gaussian", "encoder-smote", "encoder-mixup", "encoder-neighbours")
TUNED, FIRST = 3, 1000  # draws to tune on, and the number of the first: no judged draw comes near
Trial = dict[str, Any]

CONTRASTS = (
    Contrast("minted-over-traditional", "minted", POLICIES.__contains__, "", "Minted images", "{best}, tuned"),
    Contrast("minted-over-pseudo", "minted", "pseudo".__eq__, "", "Minted images", "their pseudo-labelled parents"),
    Contrast("both-over-pseudo", "both", "pseudo".__eq__, "", "Minted images beside their parents", "those alone"),
    Contrast("features-over-rivals", "encoder-minted", RIVALS.__contains__, "", "Minted features", "{best}"),
)


def candidates() -> dict[str, tuple[str, ...]]:
    """What is tuned: name → arms, as many for each."""
    found = {name: tuple(f"scratch-{name}@{s:g}" for s in STRENGTHS) for name in POLICIES}
    return found | {name: tuple(f"scratch-{name}@{s:g}" for s in SHARES) for name in EXTRAS}


def splits(pipeline: Pipeline, labels: int, first: int, count: int) -> list[Split]:
    """Label draws `first` … of that many labels a class, to be tested on the test split."""
    settings = pipeline.settings.model_copy(update={"labels_per_class": labels})
    found = []
    for draw in range(first, first + count):
        rows = protocol.labelled_rows(pipeline.table, pipeline.parts, settings, draw)
        found.append(Split("curve", draw, rows, pipeline.parts.test, key(settings.seed, "draw", draw), labels))
    return found


def on_validation(pipeline: Pipeline, some: list[Split], arm: str) -> float:
    """Mean accuracy of an arm on the validation slice."""
    rows = pipeline.parts.val
    known = pipeline.table.labels[rows]
    guesses = [pipeline.bench.logits(split, arm, rows, pipeline.hidden_of, None).argmax(1) for split in some]
    return statistics.mean(float((guess == known).double().mean()) for guess in guesses)


def tune(pipeline: Pipeline, labels: int) -> tuple[dict[str, str], dict[str, float]]:
    """The best arm of each candidate, and the accuracy of every arm that was tried, both on the validation slice."""
    some, named = splits(pipeline, labels, FIRST, TUNED), candidates()
    names = ("scratch-pseudo", *(arm for tried in named.values() for arm in tried))  # the first judges minted images
    pipeline.bench.train(some, names)
    accuracy = {arm: on_validation(pipeline, some, arm) for arm in names}
    return {name: max(tried, key=accuracy.__getitem__) for name, tried in named.items()}, accuracy


def judged(pipeline: Pipeline, labels: int, draws: int, best: dict[str, str]) -> list[Trial]:
    """Trials of the chosen arms, under the names of their candidates, tested; `val_accuracy` is that of validation."""
    some, short = splits(pipeline, labels, 0, draws), {arm: name for name, arm in best.items()}
    names = ("scratch-pseudo", "scratch-none", *best.values(), *RIVALS, "encoder-propagate", "encoder-minted")
    pipeline.bench.train(some, names)
    slice_ = {arm: on_validation(pipeline, some, arm) for arm in names}
    rows = pipeline.bench.score(some, names[1:], pipeline.hidden_of)
    return [
        {**row, "role": "draw", "arm": short.get(row["arm"], row["arm"]), "val_accuracy": slice_[row["arm"]]}
        for row in rows
    ]


def cell(pipeline: Pipeline, labels: int, draws: int) -> dict[str, Any]:
    """One number of labels: what was chosen, every arm's accuracy, the contrasts."""
    best, tried = tune(pipeline, labels)
    rows = judged(pipeline, labels, draws, best)
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    accuracy = {arm: [row["accuracy"] for row in rows if row["arm"] == arm] for arm in arms}
    outcomes = verdicts(rows, pipeline.settings.judge, Evidence(pipeline.run_dir.folder).hits, CONTRASTS)
    return {
        "draws": draws,
        "chosen": best,
        "tuning": tried,
        "accuracy": accuracy,
        "contrasts": [replace(o, differences=()).to_dict() for o in outcomes],
        "seconds": {arm: statistics.mean(r["seconds"] for r in rows if r["arm"] == arm) for arm in arms},
        "settings": pipeline.settings.model_dump(mode="json"),
    }


def told(name: str, found: dict[str, Any]) -> str:
    """A cell as text."""
    lines = [f"{name}, {found['draws']} draws"]
    for arm, values in found["accuracy"].items():
        amount = found["chosen"].get(arm, "").partition("@")[2]
        rate = f"{100 * statistics.mean(values):6.1f} ± {100 * statistics.stdev(values):.1f}"
        lines.append(f"  {arm + (f'@{amount}' if amount else ''):24}{rate}{found['seconds'][arm]:8.1f} s")
    return "\n".join([*lines, *(f"  {o['sentence']}" for o in found["contrasts"])])


def settings_of(o: argparse.Namespace) -> Settings:
    """Those of the run, the same whatever part of the benchmark is asked for."""
    judge = {"curve": sorted(LABELS)}  # so that the validation slice leaves enough to draw from
    given = {"data_source": o.data, "seed": o.seed, "labels_per_class": max(LABELS), "judge": judge}
    return resolve(o.preset, None, given)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="digits, fashion-mnist, a Parquet file, … with labels and a test split")
    parser.add_argument("--preset", default="fast", help="demo for digits")
    parser.add_argument("--labels", type=int, nargs="+", default=LABELS, choices=LABELS, help="labels a class")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("runs/worth"))
    parser.add_argument("--out", type=Path, default=OUT)
    o = parser.parse_args()
    if o.draws < 2:
        parser.error("--draws: a comparison needs two draws, a claim eight")
    settings = settings_of(o)
    with RunDir.open(o.work / Path(o.data).stem, settings.model_dump(mode="json")) as run:
        pipeline = Pipeline(run, settings)
        pipeline.encoders()
        for labels in o.labels:
            found = cell(pipeline, labels, o.draws)
            kept = json.loads(o.out.read_text()) if o.out.exists() else {}
            kept[f"{pipeline.table.name}/{labels}"] = found
            o.out.parent.mkdir(parents=True, exist_ok=True)
            o.out.write_text(json.dumps(kept, indent=1) + "\n")
            print(told(f"{pipeline.table.name}, {labels} labels a class", found), flush=True)


if __name__ == "__main__":
    main()
