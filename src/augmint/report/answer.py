"""The answer of a run in one sentence: the best arm, what it gains, and whether minting helped.

found = answer(evidence.counted, settings.judge, hits, facts["verdict"])
found["sentence"]        # "Most accurate is the encoder + propagated labels (encoder-propagate): 98.0 %, +5.4 points …"

The gain is measured as a contrast is, but the arm was chosen by the very numbers: unless it is a declared contrast, the
sentence says that it is none. It says no more of minting than the verdict does.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from augmint.config import JudgeSettings
from augmint.judge.arms import traditional
from augmint.judge.decision import LEAST_DRAWS
from augmint.judge.verdict import CONTRASTS, Contrast, Hits, points, verdicts
from augmint.report.evidence import Trial, by_arm
from augmint.report.words import label, percent

Facts = dict[str, Any]
DECLARED = "minted-over-traditional"
RIVALS = {
    DECLARED: "traditional augmentation",
    "minted-over-pseudo": "pseudo-labelled real images",
    "features-over-encoder": "the encoder alone",
}
WORDS = {
    "helped": "{} helped against {}",
    "hurt": "{} hurt against {}",
    "equivalent": "{} are equivalent to {}",
    "undecided": "whether {} help against {} is undecided",
}


def answer(trials: list[Trial], judge: JudgeSettings, hits: Hits | None, declared: Sequence[Facts]) -> Facts:
    """The sentence and its numbers; {} without trials. `declared`: the outcomes of the declared contrasts."""
    means = {arm: float(np.mean([t["accuracy"] for t in own])) for arm, own in by_arm(trials).items()}
    if not means:
        return {}
    best = max(means, key=lambda arm: means[arm])
    gain = None if traditional(best) else _gain(best, trials, judge, hits, declared)
    units = len({(t["draw"], t["fold"]) for t in trials})
    kind = "folds" if any(t["role"] == "fold" for t in trials) else "draws"
    head = f"Most accurate is {_named(best)}: {percent(means[best])} %"
    if units < LEAST_DRAWS:
        few = f"{units} {kind if units > 1 else kind[:-1]}"
        text = (
            f"{head} in {few}; no claim is made from fewer than {LEAST_DRAWS} {kind}, neither of this nor of minting."
        )
    else:
        text = "; ".join([head + _gained(best, gain), *_minting(declared)]) + "."
    return {"sentence": text, "arm": best, "accuracy": means[best], "gain": gain}


def _gain(best: str, trials: list[Trial], judge: JudgeSettings, hits: Hits | None, declared: Sequence[Facts]) -> Facts:
    """The best arm over the best traditional policy: as declared, or measured in the same way."""
    own = next((o for o in declared if o["contrast"] == DECLARED and o["arm"] == best), None)
    contrast = Contrast("best-over-traditional", best, traditional, "", "", "{best}")
    found = own or verdicts(trials, judge, hits, [contrast])[0].to_dict()
    return {name: found[name] for name in ("rival", "mean", "low", "high", "verdict")} | {"declared": own is not None}


def _named(arm: str) -> str:
    """'a network from scratch with RandAugment (scratch-randaugment)'."""
    text, family = label(arm), arm.partition("-")[0]
    start = {"encoder": "the encoder ", "scratch": "a network from scratch "}.get(family, "")
    with_ = "with " if traditional(arm) else ""
    return f"{'the encoder alone' if arm == 'encoder' else start + with_ + text} ({arm})"


def _gained(best: str, gain: Facts | None) -> str:
    """', +5.4 points [4.1, 6.7] over the best traditional policy, RandAugment (a look afterwards, no declared …)'."""
    if gain is None:
        return ", and no arm does better than traditional augmentation"
    if gain["verdict"] == "left out":
        return ""
    rival = "the best traditional policy" + ("" if "/" in gain["rival"] else f", {label(gain['rival'])}")
    size = f"{points(gain['mean'])} points [{points(gain['low'], False)}, {points(gain['high'], False)}]"
    doubt = {"undecided": "; that may be chance", "equivalent": "; too little to matter"}.get(gain["verdict"], "")
    after = "" if gain["declared"] else " (the arm was chosen by these numbers: no declared contrast)"
    return f", {size} over {rival}{doubt}{after}"


def _minting(declared: Sequence[Facts]) -> list[str]:
    """A clause each for minted images and features: 'minted images helped against traditional augmentation'."""
    subjects = {contrast.name: contrast.subject.lower() for contrast in CONTRASTS}
    rivals: dict[tuple[str, str], list[str]] = {}
    for o in declared:
        if o["verdict"] in WORDS:
            rivals.setdefault((subjects[o["contrast"]], o["verdict"]), []).append(RIVALS[o["contrast"]])
    clauses = [WORDS[verdict].format(subject, " and ".join(names)) for (subject, verdict), names in rivals.items()]
    return clauses or ["nothing minted was compared"]
