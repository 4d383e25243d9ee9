"""How many labels an arm is worth, from trials at several numbers of labels (`judge.curve`).

worth(evidence)["arms"]["encoder"]      # [{"labels": 4, "mean": …, "low": …, "high": …}, …]
worth(evidence)["worth"][0]["sentence"]
"""

from dataclasses import asdict
from typing import Any

import numpy as np

from augmint.judge.arms import traditional
from augmint.judge.decision import LEAST_DRAWS
from augmint.measure.intervals import t_interval
from augmint.measure.worth import Worth, labels_worth
from augmint.report.evidence import Evidence, Trial
from augmint.report.words import label

Facts = dict[str, Any]
Table = dict[str, dict[int, dict[int, float]]]  # arm → labels a class → draw → accuracy, mean over encoder seeds


def worth(evidence: Evidence) -> Facts:
    """{"arms": {arm: the curve with intervals over draws}, "worth": [what each arm is worth in labels of the best
    traditional policy, and minted features in labels of the encoder]}; {} for a run at one number of labels.

    The policy is chosen by the validation slice at the run's own number of labels. Fewer than 8 draws make no claim.
    """
    table = _table([t for t in evidence.trials if t["role"] in ("draw", "curve")])
    own = {t["labels_per_class"] for t in evidence.counted}
    if len(own) != 1 or not any(len(counts) > 1 for counts in table.values()):
        return {}
    labels = own.pop()
    found = []
    for arm, baseline in _pairs(table, evidence.counted):
        outcome = _worth(table, arm, baseline, labels)
        if outcome is not None:
            said = sentence(outcome, arm, baseline, labels, list(table[baseline]))
            found.append({"arm": arm, "baseline": baseline, "at": labels, **asdict(outcome), "sentence": said})
    return {"arms": {arm: _curve(counts) for arm, counts in table.items()}, "worth": found}


def _table(trials: list[Trial]) -> Table:
    seen: dict[str, dict[int, dict[int, list[float]]]] = {}
    for t in trials:
        of = seen.setdefault(t["arm"], {}).setdefault(t["labels_per_class"], {})
        of.setdefault(t["draw"], []).append(t["accuracy"])
    return {
        arm: {n: {d: float(np.mean(v)) for d, v in sorted(draws.items())} for n, draws in sorted(counts.items())}
        for arm, counts in seen.items()
    }


def _curve(counts: dict[int, dict[int, float]]) -> list[Facts]:
    found = []
    for labels, draws in counts.items():
        mean, low, high = t_interval(list(draws.values()))
        found.append(
            {"labels": labels, "draws": len(draws), "mean": float(mean), "low": float(low), "high": float(high)}
        )
    return found


def _pairs(table: Table, counted: list[Trial]) -> list[tuple[str, str]]:
    """(arm, baseline): whatever learns from more than the labels beside the best traditional policy, then minted
    features beside the encoder."""
    plain = [arm for arm in table if traditional(arm)]
    val = {arm: np.mean([t["val_accuracy"] for t in counted if t["arm"] == arm]) for arm in plain}
    known = {arm: v for arm, v in val.items() if np.isfinite(v)}
    pairs = [("encoder-minted", "encoder")] if {"encoder-minted", "encoder"} <= set(table) else []
    if known:
        best = max(known, key=lambda arm: known[arm])
        pairs = [(arm, best) for arm in table if arm not in plain] + pairs
    return pairs


def _worth(table: Table, arm: str, baseline: str, labels: int) -> Worth | None:
    counts = list(table[baseline])
    draws = sorted(set.intersection(*(set(of) for of in table[baseline].values()), set(table[arm].get(labels, {}))))
    if len(counts) < 2 or len(draws) < LEAST_DRAWS:
        return None
    curve = [[table[baseline][n][d] for d in draws] for n in counts]
    return labels_worth(counts, curve, [table[arm][labels][d] for d in draws])


def sentence(found: Worth, arm: str, baseline: str, labels: int, counts: list[int]) -> str:
    """What it is worth, in words; nothing is said beyond the numbers of labels that were run."""
    where = "on the encoder " if arm.startswith("encoder-") else ""
    subject = f"{labels} labels a class {where}({label(arm)})"
    rival = f"labels a class with {label(baseline)}"
    if found.beyond:
        end = f"more than {counts[-1]}" if found.beyond > 0 else f"fewer than {counts[0]}"
        return f"{subject}: worth {end} {rival}, the {'most' if found.beyond > 0 else 'fewest'} that were run."
    low = f"{found.low:.3g}" if found.low is not None else f"fewer than {counts[0]}"
    high = f"{found.high:.3g}" if found.high is not None else f"more than {counts[-1]}"
    return f"{subject}: worth {found.labels:.3g} [{low}, {high}] {rival}."
