"""What a run logged while it learnt, from metrics.jsonl.

curves(folder)["stages"]["represent"]["loss"]      # [[images, value], …]
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

Facts = dict[str, Any]
_BOOKKEEPING = {"time", "stage", "step", "images", "seconds", "arm", "draw", "seed"}


def curves(folder: Path) -> Facts:
    """{"stages": {stage: {metric: [[images, value], …]}}, "arms": {arm: [[images, mean, draws], …]}}.

    Where a run was resumed, the later line of the same step counts; of several encoder seeds the first one is shown.
    """
    stages: dict[str, dict[str, dict[int, float]]] = {}
    arms: dict[str, dict[int, dict[Any, float]]] = {}
    first: dict[str, Any] = {}
    for line in _lines(folder / "metrics.jsonl"):
        stage, images = str(line.get("stage", "")), line.get("images")
        if not isinstance(images, int | float):
            continue
        if stage == "classify" and "arm" in line:
            points = arms.setdefault(str(line["arm"]), {}).setdefault(int(images), {})
            points[line.get("draw"), line.get("seed")] = float(line.get("val_accuracy", math.nan))
            continue
        if first.setdefault(stage, line.get("seed")) != line.get("seed"):
            continue
        for name, value in line.items():
            if name not in _BOOKKEEPING and isinstance(value, int | float) and math.isfinite(value):
                stages.setdefault(stage, {}).setdefault(name, {})[int(images)] = float(value)
    return {
        "stages": {s: {m: sorted(map(list, v.items())) for m, v in found.items()} for s, found in stages.items()},
        "arms": {
            arm: [[n, float(np.mean(list(v.values()))), len(v)] for n, v in sorted(points.items())]
            for arm, points in arms.items()
        },
    }


def curve(folder: Path, stage: str) -> dict[str, list[list[float]]]:
    """{metric: [[images, value], …]} that one stage logged."""
    metrics: dict[str, list[list[float]]] = curves(folder)["stages"].get(stage, {})
    return metrics


def _lines(path: Path) -> list[Facts]:
    """The lines of a JSONL file that can be read; the last may have been cut off."""
    found = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            found.append(line)
    return found
