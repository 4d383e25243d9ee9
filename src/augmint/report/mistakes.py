"""What the arms get wrong, and whether they know it: confusion matrices and calibration, from stored logits.

confusion(evidence)["arms"]["encoder"]          # counts [K][K], rows true, columns predicted, summed over draws
calibration(evidence)["encoder"]["calibrated"]  # expected calibration error after temperature
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augmint.measure.calibration import best_temperature, equal_mass_calibration_error
from augmint.report.evidence import Evidence, Trial, by_arm

LARGEST = 60  # classes; larger matrices are left out, their worst pairs stay
PAIRS = 10
BINS, IMAGES = 15, 100  # bins of a calibration error, and images a bin: of fewer the gap is mostly chance
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
    """Expected calibration error of each arm: as trained (raw), and after temperature. Mean over draws; folds,
    which test few images each, are pooled.

    No test label is used to find the temperature: for draws it comes from the arm's cross-validation on the labels of
    draw 0, for folds from the other folds of the run. None where there is no such trial.
    """
    found = {}
    selected = by_arm(t for t in evidence.trials if t["role"] == "select") if len(evidence.labels) else {}
    for arm, trials in by_arm(evidence.counted).items() if len(evidence.labels) else ():
        if trials[0]["role"] == "fold":
            found[arm] = _errors(evidence, trials, [_temperature(evidence, _others(t, trials)) for t in trials])
        else:
            common = _temperature(evidence, selected.get(arm, []))
            rows = [_errors(evidence, [t], [common]) for t in trials]
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
    return best_temperature(torch.from_numpy(logits), torch.from_numpy(labels), smooth=True)


def _errors(evidence: Evidence, trials: list[Trial], temperatures: list[float | None]) -> dict[str, float | None]:
    """Of all held-out images of these trials together, one bin for every 100 distinct ones, at most 15."""
    stored = [evidence.logits(t) for t in trials]
    rows = np.concatenate([rows for _, rows in stored])
    y = torch.from_numpy(evidence.labels[rows])
    bins = min(max(len(np.unique(rows)) // IMAGES, 1), BINS)
    logits = [torch.from_numpy(own).double() for own, _ in stored]
    raw, after = torch.cat(logits).softmax(1), None
    known = [t for t in temperatures if t is not None]
    if len(known) == len(trials):
        cooled = torch.cat([own / t for own, t in zip(logits, known, strict=True)])
        after = equal_mass_calibration_error(cooled.softmax(1), y, bins)
    return {
        "accuracy": _mean([t["accuracy"] for t in trials]),
        "confidence": float(raw.max(1).values.mean()),
        "raw": equal_mass_calibration_error(raw, y, bins),
        "temperature": _mean(temperatures),
        "calibrated": after,
    }
