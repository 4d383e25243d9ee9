"""What is a training set of minted images worth, instead of the real ones? The classification accuracy score of a run.

    python benchmarks/cas.py RUN [--seeds 8] [--most 5000]

RUN is a finished run folder with an image generator and a labelled test split (or validation slice). Networks are
trained from scratch under weak augmentation on one kind of images alone and tested on real ones (Ravuri & Vinyals,
"Classification accuracy score for conditional generative models", NeurIPS 2019):

few   the kept children of the run's labelled and pseudo-labelled images, with the labels that they inherit, against
      these parents themselves with the same labels
all   children of up to --most training images with their true labels, judged by a classifier that knows these,
      against as many of these images

Both sides have the same number of images of each class, the same initial weights and the same steps; each seed draws
other images and other weights. Intervals of the difference over seeds contain the choice of test images
(docs/protocol.md).
Trainings are kept in RUN/stages/cas, so the same command goes on where it was stopped. Prints a table and writes
benchmarks/results/cas.json, one entry for each run folder's name.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augmint.api import stored_settings
from augmint.augment import policy
from augmint.classify import fit_scratch
from augmint.data.table import ImageTable
from augmint.errors import AugmintError, InputError, UsageError
from augmint.judge.decision import decide
from augmint.judge.protocol import Split
from augmint.judge.situation import Situation
from augmint.measure.intervals import crossed_test_variance, t_interval
from augmint.mint import Minted
from augmint.pipeline import Pipeline
from augmint.seeding import key, permutation
from augmint.train import RunDir
from augmint.train.checkpoint import atomic_write

OUT = Path(__file__).parent / "results" / "cas.json"
LEAST = 20  # images to train on
Sides = dict[str, ImageTable]  # "minted" and "real", labels those to train on


def judging(pipeline: Pipeline) -> Tensor:
    """The labelled images that judge. InputError if there are none outside the pool."""
    rows = pipeline.parts.test if len(pipeline.parts.test) else pipeline.parts.val
    if len(rows) < LEAST:
        raise InputError(
            f"{pipeline.table.name} has no labelled test split to judge on; give a run on data that has one"
        )
    return rows


def all_known(pipeline: Pipeline, most: int) -> Situation:
    """What arms would find if up to `most` of the training images were labelled."""
    given, seed = pipeline.parts.given, pipeline.settings.seed
    rows = given[permutation(len(given), seed, "cas/known")[:most]]
    split = Split("final", 0, rows, pipeline.parts.test, key(seed, "cas"))
    return Situation(pipeline.material, split)


def sides(situation: Situation, minted: Minted, true: bool) -> Sides:
    """Kept children and all their possible parents; `true`: those with given labels alone."""
    pool, (rows, labels) = situation.material.pool_table, situation.parents
    kept = minted.kept
    if true:
        rows, labels = situation.rows, situation.labels
        kept = kept & torch.isin(minted.parent_rows, rows)
    return {"minted": minted.table.take(torch.nonzero(kept)[:, 0]), "real": pool.take(rows).with_labels(labels)}


def matched(both: Sides, seed: int) -> Sides:
    """As many of each class on both sides, drawn by the seed. InputError if too few are left."""
    classes = len(both["real"].classes)
    each = torch.stack([torch.bincount(t.labels, minlength=classes) for t in both.values()]).amin(0)
    many, kinds = int(each.sum()), int((each > 0).sum())
    if many < LEAST or kinds < 2:
        raise InputError(
            f"{many} minted images of {kinds} classes passed the judges, too few to train on; give a run with a better "
            "generator"
        )
    found = {}
    for name, t in both.items():
        order = permutation(len(t), seed, "cas", name)
        of = [order[t.labels[order] == c][:n] for c, n in enumerate(each.tolist())]
        found[name] = t.take(torch.cat(of))
    return found


def trained(pipeline: Pipeline, case: str, both: Sides, seed: int, judged: Tensor) -> dict[str, Any]:
    """{side: bool [n] hits} of one seed, from the run folder where it is there, and the number of images."""
    found: dict[str, Any] = {}
    for side, t in matched(both, seed).items():
        identity = {"classify": pipeline.settings.classify.model_dump(mode="json"), "images": t.ids.tolist(),
                    "labels": t.labels.tolist(), "judged": pipeline.table.ids[judged.numpy()].tolist()}  # fmt: skip
        stage = pipeline.run_dir.stage(f"cas/{case}-{side}", identity, seed)
        if not stage.done:
            start = time.monotonic()
            hits = _hits(pipeline, t, seed, judged)
            stage.finish(time.monotonic() - start, hits="".join(map(str, hits.int().tolist())))
        found[side] = np.array([hit == "1" for hit in stage.facts()["hits"]])
    return {**found, "images": len(t)}


def _hits(pipeline: Pipeline, t: ImageTable, seed: int, judged: Tensor) -> Tensor:
    own = torch.arange(len(t)), t.labels
    how = {"classes": len(t.classes), "seed": seed}
    model = fit_scratch(t, *own, policy("weak"), pipeline.settings.classify, pipeline.compute, **how)
    return model.logits(pipeline.table.take(judged)).argmax(1) == pipeline.table.labels[judged]


def case(pipeline: Pipeline, name: str, both: Sides, seeds: int) -> dict[str, Any]:
    """Accuracy of both sides, and minted minus real, over seeds."""
    judged = judging(pipeline)
    runs = [trained(pipeline, name, both, seed, judged) for seed in range(seeds)]
    hits = {side: np.array([run[side] for run in runs], dtype=np.float64) for side in both}
    table = hits["minted"] - hits["real"]
    settings = pipeline.settings.judge
    outcome = decide(table.mean(1), 0.0, settings, crossed_test_variance(table), table.shape[1])
    found: dict[str, Any] = {"images": runs[0]["images"], "judged": table.shape[1], "seeds": seeds}
    for side, of in hits.items():
        ends = t_interval(of.mean(1), settings.confidence, 0.0, crossed_test_variance(of), of.shape[1])
        found[side] = dict(zip(("mean", "low", "high"), map(float, ends), strict=True)) | {"each": of.mean(1).tolist()}
    wanted = ("mean", "low", "high", "p", "verdict")
    return found | {"difference": {k: v for k, v in outcome.to_dict().items() if k in wanted}}


def told(name: str, found: dict[str, Any]) -> str:
    """A line of the table."""

    def rate(of: dict[str, Any]) -> str:
        return f"{100 * of['mean']:7.1f} [{100 * of['low']:.1f}, {100 * of['high']:.1f}]"

    cells = "".join(f"{rate(found[side]):>24}" for side in ("minted", "real", "difference"))
    return f"{name:6}{found['images']:>8}{cells}  {found['difference']['verdict']}, {found['seeds']} seeds"


def cas(folder: Path, seeds: int, most: int, out: Path) -> dict[str, Any]:
    """Both cases of a run, printed and stored."""
    settings = stored_settings(folder)
    if not settings.generate.image.enabled or settings.target:
        raise UsageError(f"{folder} has no image generator whose children look like their parents; give another run")
    with RunDir.open(folder, settings.model_dump(mode="json")) as run:
        pipeline = Pipeline(run, settings)
        judging(pipeline)
        few, known = pipeline.final_situation, all_known(pipeline, most)
        print(f"{'':6}{'images':>8}{'minted':>24}{'real':>24}{'difference':>24}", flush=True)
        found = {}
        for name, situation in (("few", few), ("all", known)):
            found[name] = case(pipeline, name, sides(situation, situation.minted, name == "all"), seeds)
            print(told(name, found[name]), flush=True)
        kept = json.loads(out.read_text()) if out.exists() else {}
        kept[folder.name] = {"data": pipeline.table.name, "settings": settings.model_dump(mode="json"), **found}
        atomic_write(out, json.dumps(kept, indent=1) + "\n")
    return found


def main(arguments: list[str] | None = None) -> int:
    """0, or the exit code of what does not fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--most", type=int, default=5000, help="training images whose true labels are given")
    parser.add_argument("--out", type=Path, default=OUT)
    o = parser.parse_args(arguments)
    if o.seeds < 2:
        parser.error("--seeds: an interval needs two, a claim eight")
    try:
        cas(o.run, o.seeds, o.most, o.out)
    except AugmintError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
