"""What the arms stand: accuracy on held-out images that were made worse, from the logits stored by judge/robust.py.

robustness(evidence)["arms"]["encoder"]["kinds"]["noise"]      # accuracy at each strength, mean over draws
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from augmint.report.evidence import Evidence, Trial, by_arm

Facts = dict[str, Any]
Accuracies = dict[str, NDArray[np.float64]]  # by kind, [strengths]


def robustness(evidence: Evidence) -> Facts:
    """{"images", "units" (draws or folds), "arms": {arm: {"clean", "mean", "std", "worst", "worst_at", "kinds"}}}; {}
    if nothing was stored.

    mean and std: over the draws, of a draw's mean over all kinds and strengths; worst: of the means over the draws the
    lowest, worst_at its kind and strength (1 …). Arms without stored images are left out.
    """
    arms, images, units = {}, set(), set()
    once = {t["logits"]: t for t in evidence.counted}.values()  # an arm of labels alone counts beside every encoder
    for arm, trials in by_arm(once).items() if len(evidence.labels) else ():
        found = [one for one in (_one(evidence, trial) for trial in trials) if one]
        if found:
            arms[arm] = _arm([accuracies for accuracies, _, _ in found], [clean for _, clean, _ in found])
            images |= {count for _, _, count in found}
            units.add(len(found))
    return {"images": sorted(images), "units": max(units), "arms": arms} if arms else {}


def _one(evidence: Evidence, trial: Trial) -> tuple[Accuracies, float, int] | None:
    """Accuracy of one trial by kind, on the same images as they were, and how many they are."""
    path = evidence.folder / "robust" / Path(trial["logits"]).name
    if not path.exists():
        return None
    try:
        stored = load_file(path)
    except (OSError, SafetensorError):
        return None
    rows = stored.pop("rows")
    truth, (logits, all_rows) = evidence.labels[rows], evidence.logits(trial)
    if not np.isin(rows, all_rows).all():
        return None  # left over from other data
    place = np.argsort(all_rows)[np.searchsorted(np.sort(all_rows), rows)]
    clean = float((logits[place].argmax(1) == truth).mean())
    return {kind: (found.argmax(2) == truth).mean(1) for kind, found in sorted(stored.items())}, clean, len(rows)


def _arm(draws: list[Accuracies], clean: list[float]) -> Facts:
    kinds = {kind: np.mean([accuracies[kind] for accuracies in draws], axis=0) for kind in draws[0]}
    means = [float(np.mean(list(accuracies.values()))) for accuracies in draws]
    worst = min(kinds, key=lambda kind: float(kinds[kind].min()))
    return {
        "clean": float(np.mean(clean)),
        "mean": float(np.mean(means)),
        "std": float(np.std(means, ddof=1)) if len(means) > 1 else None,
        "worst": float(kinds[worst].min()),
        "worst_at": [worst, int(kinds[worst].argmin()) + 1],
        "kinds": {kind: values.tolist() for kind, values in kinds.items()},
    }
