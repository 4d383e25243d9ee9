"""Two finished runs on the same draws, arm by arm: `augmint compare RUN RUN`.

    found = compare(Path("runs/before"), Path("runs/after"))
    found["arms"][0]["sentence"]     # 'encoder: better in after by 1.2 points [0.4, 2.0] …'

Differences are the second run minus the first. Only what was trained on the same labels and tested on the same
images is paired, and that is looked up by the images' ids, not taken from the settings: what cannot be compared
is refused with the reason. p is adjusted over all arms compared (Holm).
"""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augmint.config import JudgeSettings
from augmint.errors import InputError, UsageError
from augmint.judge.verdict import Contrast, Outcome, missing, points, verdicts
from augmint.report.evidence import Evidence, Trial, by_arm
from augmint.report.facts import needs
from augmint.train.reuse import difference

SCHEMA = 1
Labels = list[list[str]]  # [id, class] of each label that a trial learnt from


class _Side:
    """One of the two runs."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name, self.evidence = folder, name, Evidence(folder)
        self.settings = self.evidence.settings
        if not self.evidence.counted:
            raise InputError(f"{folder} has no scored trials yet; finish it with `augmint run {folder}`")
        self.ids = np.array(self.evidence.manifest["id"], dtype=str)

    @cached_property
    def arms(self) -> dict[str, list[Trial]]:
        return by_arm(self.evidence.counted)

    def learnt(self, trial: Trial) -> Labels:
        """What the trial learnt from, as its stage wrote it down."""
        unit = f"{trial['role']}-{max(trial['draw'], trial['fold']):02d}-{trial['arm']}"
        path = self.folder / "stages" / "trials" / unit / trial["config_hash"] / "identity.json"
        try:
            return sorted(json.loads(path.read_text())["labels"])
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path} is lost, so nobody knows which labels {unit} of {self.folder} had") from error

    def tested(self, trial: Trial) -> NDArray[np.str_]:
        """Ids of the images that the trial was tested on, in the order of its hits."""
        return self.ids[self.evidence.logits(trial)[1]]


def compare(first: Path, second: Path, arms: Sequence[str] = ()) -> dict[str, Any]:
    """The facts of the comparison, ready for JSON. `arms`: none for all that both runs have, one for that arm in
    both, two for the first run's and the second's.

    InputError says what keeps the runs from being compared; UsageError names an arm that is not there.
    """
    names = (first.name, second.name) if first.name != second.name else (str(first), str(second))
    a, b = _Side(first, names[0]), _Side(second, names[1])
    _same_images(a, b)
    pairs = _pairs(a, b, arms)
    units = [_same_draws(a, b, pair) for pair in pairs]
    contrasts = [_contrast(a, b, pair) for pair in pairs]
    trials = [t for pair, shared in zip(pairs, units, strict=True) for t in _trials(a, b, pair, shared)]
    known = {k: v for k, v in a.settings.get("judge", {}).items() if k in JudgeSettings.model_fields}
    judge = JudgeSettings.model_validate(known)
    outcomes = verdicts(trials, judge, lambda t: t["side"].evidence.hits(t["own"]), contrasts)
    return {
        "schema": SCHEMA,
        "first": str(first),
        "second": str(second),
        "settings": difference(a.settings, b.settings),
        "caution": _caution(pairs),
        "arms": [_row(o, pair, a, b, judge) for o, pair in zip(outcomes, pairs, strict=True)],
    }


def _same_images(a: _Side, b: _Side) -> None:
    """InputError unless both runs saw the same images under the same labels and splits, and took as many labels."""
    where = f"{a.folder} and {b.folder} cannot be compared"
    if not np.array_equal(a.ids, b.ids):
        common = len(set(a.ids) & set(b.ids))
        raise InputError(
            f"{where}: they are of other images ({common:,} in common of {len(a.ids):,} and {len(b.ids):,}); "
            "run both on the same data at the same size"
        )
    for column in ("class", "split"):
        torn = sum(x != y for x, y in zip(a.evidence.manifest[column], b.evidence.manifest[column], strict=True))
        if torn:
            what = {"class": "labels", "split": "splits"}[column]
            raise InputError(f"{where}: the {what} of {torn:,} images differ; compare runs that have the same")
    asked = [side.settings.get("labels_per_class") for side in (a, b)]
    if asked[0] != asked[1]:
        said = " and ".join("all labels" if n is None else f"{n} labels per class" for n in asked)
        raise InputError(f"{where}: they had {said}; use the same --labels-per-class")


def _pairs(a: _Side, b: _Side, arms: Sequence[str]) -> list[tuple[str, str]]:
    """The arms to pair: (first run's, second run's)."""
    if len(arms) > 2:
        raise UsageError("--arm: give one arm for both runs, or two, the first run's and the second's")
    asked = [(arms[0], arms[-1])] if arms else [(name, name) for name in a.arms if name in b.arms]
    for side, name in zip((a, b), asked[0] if arms else (), strict=False):
        if name not in side.arms:
            raise UsageError(f"--arm {name}: {side.folder} has no trials of it; it has {', '.join(side.arms)}")
    if not asked:
        raise InputError(f"{a.folder} and {b.folder} have no arm in common; name two with --arm A --arm B")
    return asked


def _units(side: _Side, arm: str) -> dict[tuple[int, int], Trial]:
    """Trials by draw or fold; of several encoder seeds the first, which both runs have."""
    return {(t["draw"], t["fold"]): t for t in reversed(side.arms[arm])}


def _caution(pairs: list[tuple[str, str]]) -> str:
    """What the intervals do not hold, "" where no arm builds on an encoder."""
    if not any(needs(arm) for pair in pairs for arm in pair):
        return ""
    return (
        "One encoder each is compared (of several seeds the first): another seed may come out differently, "
        "and the intervals do not contain that."
    )


def _same_draws(a: _Side, b: _Side, pair: tuple[str, str]) -> list[tuple[int, int]]:
    """The draws or folds that both have, InputError unless those learnt and were tested on the same images."""
    one, two = _units(a, pair[0]), _units(b, pair[1])
    shared = sorted(one.keys() & two.keys())
    where = f"{a.folder} and {b.folder} cannot be compared"
    if not shared:
        raise InputError(f"{where}: one was judged on label draws, the other by cross-validation")
    seeds = [side.settings.get("seed", 0) for side in (a, b)]
    why = f"other seeds: {seeds[0]} and {seeds[1]}" if seeds[0] != seeds[1] else "other splits of the data"
    for unit in shared:
        name = f"{one[unit]['role']} {max(unit)}"
        if a.learnt(one[unit]) != b.learnt(two[unit]):
            raise InputError(f"{where}: {name} drew other labels ({why}); run both with the same --seed")
        if not np.array_equal(a.tested(one[unit]), b.tested(two[unit])):
            raise InputError(f"{where}: {name} was tested on other images ({why})")
    return shared


def _contrast(a: _Side, b: _Side, pair: tuple[str, str]) -> Contrast:
    """The second run's arm over the first run's."""
    question = f"Is {pair[1]} of {b.name} better than {pair[0]} of {a.name}?"
    return Contrast(" → ".join(dict.fromkeys(pair)), f"second/{pair[1]}", f"first/{pair[0]}".__eq__, question, "", "")


def _trials(a: _Side, b: _Side, pair: tuple[str, str], shared: list[tuple[int, int]]) -> list[Trial]:
    """Trials of both under names of their own; `side` and `own` lead back to the stored logits. One encoder of each is
    compared, see `_caution`."""
    return [
        {**trial, "arm": f"{place}/{arm}", "encoder_seed": 0, "side": side, "own": trial}
        for place, side, arm in (("first", a, pair[0]), ("second", b, pair[1]))
        for unit, trial in _units(side, arm).items()
        if unit in shared
    ]


def _row(o: Outcome, pair: tuple[str, str], a: _Side, b: _Side, judge: JudgeSettings) -> dict[str, Any]:
    """The outcome as facts, with both accuracies and its sentence."""
    units = sorted(_units(a, pair[0]).keys() & _units(b, pair[1]).keys())
    means = [np.mean([_units(side, arm)[u]["accuracy"] for u in units]) for side, arm in zip((a, b), pair, strict=True)]
    facts = {**o.to_dict(), "arm": pair[1], "rival": pair[0]}
    return {**facts, "first": float(means[0]), "second": float(means[1]), "sentence": _sentence(o, a, b, judge)}


def _sentence(o: Outcome, a: _Side, b: _Side, judge: JudgeSettings) -> str:
    size = f"{points(o.mean)} points [{points(o.low, False)}, {points(o.high, False)}], in {o.draws} paired {o.unit}"
    if o.verdict in ("helped", "hurt"):
        return f"{o.contrast}: {'better' if o.verdict == 'helped' else 'worse'} in {b.name} than in {a.name}: {size}."
    if o.verdict == "equivalent":
        return f"{o.contrast}: equivalent in both (within ±{points(judge.equivalence, False)} points): {size}."
    return f"{o.contrast}: undecided: {size}; {missing(o)}."
