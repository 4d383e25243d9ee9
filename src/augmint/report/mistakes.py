"""What the arms get wrong, and whether they know it: confusion matrices and calibration, from stored logits.

confusion(evidence)["arms"]["encoder"]          # counts [K][K], rows true, columns predicted, summed over draws
calibration(evidence)["encoder"]["calibrated"]  # expected calibration error after temperature
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augmint.measure.calibration import best_temperature, expected_calibration_error
from augmint.report.evidence import Evidence, Trial, by_arm

LARGEST = 60  # classes; larger matrices are left out, their worst pairs stay
PAIRS = 10
Facts = dict[str, Any]


def confusion(evidence: Evidence) -> Facts:
    """{"arms": {arm: matrix}, "pairs": {arm: the most frequent mistakes}}, over all draws or folds."""
    arms: dict[str, list[list[int]]] = {}
    pairs: dict[str, list[Facts]] = {}
    count = len(evidence.classes)
    for arm, trials in by_arm(evidence.counted).items() if len(evidence.labels) else ():
        matrix = np.zeros((count, count), dtype=np.int64)
        for trial in trials:
            logits, rows = evidence.logits(trial)
            np.add.at(matrix, (evidence.labels[rows], logits.argmax(1)), 1)
        pairs[arm] = _pairs(matrix, evidence.classes)
        if count <= LARGEST:
            arms[arm] = matrix.tolist()
    return {"arms": arms, "pairs": pairs}


def _pairs(matrix: NDArray[np.int64], classes: list[str]) -> list[Facts]:
    """The most frequent mistakes: true class, what it was taken for, and in which share of its images."""
    wrong = matrix * (1 - np.eye(len(matrix), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    cells = [(int(cell) // len(matrix), int(cell) % len(matrix)) for cell in order]
    return [
        {"true": classes[t], "taken_for": classes[p], "share": float(wrong[t, p] / matrix[t].sum())}
        for t, p in cells
        if wrong[t, p]
    ]


def calibration(evidence: Evidence) -> dict[str, Facts]:
    """Expected calibration error of each arm, mean over draws or folds: as trained (raw), and after temperature.

    No test label is used to find the temperature: for draws it comes from the arm's cross-validation on the labels of
    draw 0, for folds from the other folds of the run. None where there is no such trial.
    """
    found = {}
    selected = by_arm(t for t in evidence.trials if t["role"] == "select") if len(evidence.labels) else {}
    for arm, trials in by_arm(evidence.counted).items() if len(evidence.labels) else ():
        folds = trials[0]["role"] == "fold"
        common = None if folds else _temperature(evidence, selected.get(arm, []))
        rows = [_one(evidence, t, _temperature(evidence, _others(t, trials)) if folds else common) for t in trials]
        found[arm] = {name: _mean([row[name] for row in rows]) for name in rows[0]}
    return found


def _others(trial: Trial, trials: list[Trial]) -> list[Trial]:
    return [t for t in trials if t["fold"] != trial["fold"]]


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _temperature(evidence: Evidence, trials: list[Trial]) -> float | None:
    if not trials:
        return None
    stored = [evidence.logits(t) for t in trials]
    logits = np.concatenate([logits for logits, _ in stored])
    labels = np.concatenate([evidence.labels[rows] for _, rows in stored])
    return best_temperature(torch.from_numpy(logits), torch.from_numpy(labels))


def _one(evidence: Evidence, trial: Trial, temperature: float | None) -> dict[str, float | None]:
    logits, rows = evidence.logits(trial)
    x, y = torch.from_numpy(logits).double(), torch.from_numpy(evidence.labels[rows])
    raw = x.softmax(1)
    after = None if temperature is None else expected_calibration_error((x / temperature).softmax(1), y)
    return {
        "accuracy": float(trial["accuracy"]),
        "confidence": float(raw.max(1).values.mean()),
        "raw": expected_calibration_error(raw, y),
        "temperature": temperature,
        "calibrated": after,
    }
