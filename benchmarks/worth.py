"""Are minted samples worth adding? Against tuned rivals, paired over label draws, by number of labels a class.

    python benchmarks/worth.py DATA [--preset fast] [--config FILE] [--labels 1 4 10 40] [--draws 20]
        [--finetune | --features] [--reuse RUN]

DATA is anything with labels and a test split: digits, fashion-mnist, CIFAR-10's Parquet. Encoder and generators are
trained once, without labels, or those of a run of the same data, seed and settings are taken; then, at every number of
labels:

1. Tuning. On three other label draws every policy (weak, RandAugment, TrivialAugment, AugMix, MixUp and CutMix behind
   weak) is tried at four strengths, and pseudo-labelled parents, minted images and both together at four shares of a
   batch, none among them: four trials each, on the same draws, judged on the validation slice of the training images.
2. Draws. The best of each, and the features' rivals (Gaussian, SMOTE, mixup, real neighbours that inherit the label),
   on `--draws` label draws; same optimiser steps, initial weights and order of the labels for all; last weights. Then
   the test images are looked at.

Five contrasts: minted images over the best tuned policy; over their pseudo-labelled parents; both over the parents
alone; minted features over the best of their rivals (the encoder alone is one); over the real features that walks from
the labels end at, which G is shown as children: no generator can be expected to be better than they. With --finetune,
which is dear, a sixth: fine-tuning with minted images, at the best of four shares again, over fine-tuning alone. The
best rivals are those of the validation slice. Intervals and p (Holm over all contrasts) as in docs/protocol.md.
--features leaves images out: the two contrasts of features alone, in minutes, nothing to tune.

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
STRENGTHS, SHARES = (0.25, 0.5, 1.0, 2.0), (0.0, 0.125, 0.25, 0.5)
EXTRAS = ("pseudo", "minted", "both")
RIVALS = ("encoder", "encoder-gaussian", "encoder-smote", "encoder-mixup", "encoder-neighbours")
ON_FEATURES = (*RIVALS, "encoder-walks", "encoder-minted")
FIXED = ("scratch-none", *ON_FEATURES, "encoder-propagate")
TUNER = "encoder-finetune"
TUNED, FIRST = 3, 1000  # draws to tune on, and the number of the first: no judged draw comes near
Trial = dict[str, Any]

CONTRASTS = (
    Contrast("minted-over-traditional", "minted", POLICIES.__contains__, "", "Minted images", "{best}, tuned"),
    Contrast("minted-over-pseudo", "minted", "pseudo".__eq__, "", "Minted images", "their pseudo-labelled parents"),
    Contrast("both-over-pseudo", "both", "pseudo".__eq__, "", "Minted images beside their parents", "those alone"),
    Contrast("features-over-rivals", "encoder-minted", RIVALS.__contains__, "", "Minted features", "{best}"),
    Contrast("features-over-walks", "encoder-minted", "encoder-walks".__eq__, "", "Minted features", "real ones"),
)


FINETUNED = Contrast(
    "finetuned-minted-over-finetuned", "finetuned-minted", TUNER.__eq__, "", "Minted images in fine-tuning", "it alone"
)


def candidates(settings: Settings, finetune: bool = False) -> dict[str, tuple[str, ...]]:
    """What is tuned: name → arms, as many for each. An arm that adds none of its samples is the one that it adds to."""
    alone = f"scratch-{settings.classify.extra_policy}@1"
    found = {name: tuple(f"scratch-{name}@{s:g}" for s in STRENGTHS) for name in POLICIES}
    found |= {name: _shares(f"scratch-{name}", alone) for name in EXTRAS}
    return found | ({"finetuned-minted": _shares(f"{TUNER}-minted", TUNER)} if finetune else {})


def _shares(arm: str, alone: str) -> tuple[str, ...]:
    return tuple(f"{arm}@{s:g}" if s else alone for s in SHARES)


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


def tune(pipeline: Pipeline, labels: int, finetune: bool) -> tuple[dict[str, str], dict[str, float]]:
    """The best arm of each candidate, and the accuracy of every arm that was tried, both on the validation slice."""
    some, named = splits(pipeline, labels, FIRST, TUNED), candidates(pipeline.settings, finetune)
    # The first judges minted images.
    names = tuple(dict.fromkeys(["scratch-pseudo", *(arm for tried in named.values() for arm in tried)]))
    pipeline.bench.train(some, names)
    accuracy = {arm: on_validation(pipeline, some, arm) for arm in names}
    return {name: max(tried, key=accuracy.__getitem__) for name, tried in named.items()}, accuracy


def judged(pipeline: Pipeline, labels: int, draws: int, best: dict[str, str], finetune: bool) -> list[Trial]:
    """Trials of the chosen arms, under the names of their candidates, tested; `val_accuracy` is that of validation. An
    arm that several candidates chose is trained once and counts for each."""
    some = splits(pipeline, labels, 0, draws)
    fixed = FIXED + (TUNER,) * finetune if best else ON_FEATURES
    arm_of = {arm: arm for arm in fixed} | best
    names = tuple(dict.fromkeys(arm_of.values()))
    pipeline.bench.train(some, (*(("scratch-pseudo",) if best else ()), *names))
    slice_ = {arm: on_validation(pipeline, some, arm) for arm in names}
    rows = pipeline.bench.score(some, names, pipeline.hidden_of)
    return [
        {**row, "role": "draw", "arm": name, "val_accuracy": slice_[arm]}
        for name, arm in arm_of.items()
        for row in rows
        if row["arm"] == arm
    ]


def cell(pipeline: Pipeline, labels: int, draws: int, finetune: bool = False, features: bool = False) -> dict[str, Any]:
    """One number of labels: what was chosen, every arm's accuracy, the contrasts; of `features` alone if so asked."""
    best, tried = ({}, {}) if features else tune(pipeline, labels, finetune)
    rows = judged(pipeline, labels, draws, best, finetune)
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    accuracy = {arm: [row["accuracy"] for row in rows if row["arm"] == arm] for arm in arms}
    contrasts = tuple(c for c in CONTRASTS if c.arm == "encoder-minted") if features else CONTRASTS
    contrasts += (FINETUNED,) * finetune
    outcomes = verdicts(rows, pipeline.settings.judge, Evidence(pipeline.run_dir.folder).hits, contrasts)
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
        rate = f"{100 * statistics.mean(values):6.1f} ± {100 * statistics.stdev(values):.1f}"
        lines.append(f"  {arm:20}{found['chosen'].get(arm, ''):32}{rate}{found['seconds'][arm]:8.1f} s")
    return "\n".join([*lines, *(f"  {o['sentence']}" for o in found["contrasts"])])


def settings_of(o: argparse.Namespace) -> Settings:
    """Those of the run, the same whatever part of the benchmark is asked for."""
    judge = {"curve": sorted(LABELS)}  # so that the validation slice leaves enough to draw from
    given = {"data_source": o.data, "seed": o.seed, "labels_per_class": max(LABELS), "judge": judge}
    if o.features:
        given["generate"] = {"image": {"enabled": False}}
    return resolve(o.preset, o.config, given)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="digits, fashion-mnist, a Parquet file, … with labels and a test split")
    parser.add_argument("--preset", default="fast", help="demo for digits")
    parser.add_argument("--config", type=Path, help="settings over those of the preset, as for `augmint run`")
    parser.add_argument("--labels", type=int, nargs="+", default=LABELS, choices=LABELS, help="labels a class")
    parser.add_argument("--draws", type=int, default=20)
    more = parser.add_mutually_exclusive_group()
    more.add_argument("--finetune", action="store_true", help="fine-tuning with and without minted images, too")
    more.add_argument("--features", action="store_true", help="minted features and their rivals alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("runs/worth"))
    parser.add_argument("--reuse", type=Path, metavar="RUN", help="a run whose encoder and generators are taken over")
    parser.add_argument("--out", type=Path, default=OUT)
    o = parser.parse_args(arguments)
    if o.draws < 2:
        parser.error("--draws: a comparison needs two draws, a claim eight")
    settings = settings_of(o)
    name = Path(o.data).stem + ("-features" if o.features else "")
    with RunDir.open(o.work / name, settings.model_dump(mode="json"), reuse=o.reuse) as run:
        pipeline = Pipeline(run, settings)
        pipeline.encoders()
        for labels in o.labels:
            found = cell(pipeline, labels, o.draws, o.finetune, o.features)
            kept = json.loads(o.out.read_text()) if o.out.exists() else {}
            kept[f"{pipeline.table.name}/{labels}{'/features' if o.features else ''}"] = found
            o.out.parent.mkdir(parents=True, exist_ok=True)
            o.out.write_text(json.dumps(kept, indent=1) + "\n")
            print(told(f"{pipeline.table.name}, {labels} labels a class", found), flush=True)


if __name__ == "__main__":
    main()
