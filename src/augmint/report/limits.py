"""What a run cannot show, in plain sentences made from its own numbers.

for sentence in limits(facts): ...
"""

from typing import Any

from augmint.config import JudgeSettings
from augmint.judge.decision import DEFAULTS, power_quantiles
from augmint.judge.verdict import LEAST_SEEDS

Facts = dict[str, Any]


def limits(facts: Facts) -> list[str]:
    """The sentences for the report; `facts` as collected, without "limits"."""
    kind = facts["evaluation"]["kind"]
    if kind == "none":
        return ["This run has no finished trials yet, so it can say nothing about what helps."]
    found = [*_smallest(facts), *(_of_folds(facts) if kind == "folds" else _of_draws(facts))]
    found += _of_target(facts)
    seeds = facts["evaluation"]["encoder_seeds"]
    if len(seeds) < LEAST_SEEDS:
        trained = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
        found.append(
            f"The encoder and the generators were trained with {trained}. Another seed can come out differently, "
            "and the intervals do not contain that; for a headline claim use judge.encoder_seeds=3 or more."
        )
    found.append(
        "Nothing was tuned in this run: rival policies and minted images run at augmint's defaults. Those of the "
        "generators and of the trials were chosen on training images of Fashion-MNIST and digits, never on a test "
        "split; on these two data sets that favours the minted images, whose rivals kept their published strength."
    )
    if facts["settings"].get("preset") == "tiny":
        found.insert(0, "The preset 'tiny' only shows that everything works; its accuracies mean nothing.")
    return found


def _of_target(facts: Facts) -> list[str]:
    """What cannot be known where labels are of another domain than the images that count."""
    if not facts["data"].get("target"):
        return []
    return [
        "The target gives no labels to learn from, so the final classifier was chosen by cross-validation on labelled "
        "source images as the generator shows them in the target's look: where it shows them badly, the choice may be "
        "bad. Minted features keep the look of the source.",
    ]


def _smallest(facts: Facts) -> list[str]:
    """The effect that this many draws can find, from the widths of the intervals."""
    compared = [o for o in facts["verdict"] if o["high"] is not None and o["low"] is not None]
    if not compared:
        return []
    units, count = facts["evaluation"]["kind"], facts["evaluation"]["units"]
    found = [_findable(o, len(compared), facts) for o in compared]
    small, large = f"{min(found):.1f}", f"{max(found):.1f}"
    effect = small if small == large else f"{small} to {large}"
    return [
        f"With {count} {units}, differences smaller than about {effect} points mostly stay undecided. "
        "Undecided means not shown, neither way; it does not mean that there is no difference."
    ]


def _findable(outcome: Facts, contrasts: int, facts: Facts) -> float:
    """The difference, in points, that is claimed four times in five among so many contrasts."""
    settings = JudgeSettings(confidence=facts["settings"].get("judge", {}).get("confidence", DEFAULTS.confidence))
    reach, _ = power_quantiles(settings, contrasts, outcome["rivals"])
    _, half = power_quantiles(settings, 1, outcome["rivals"])
    return 100 * float(outcome["high"] - outcome["low"]) / 2 / half * reach


def _number(values: list[int]) -> str:
    return f"{values[0]:,}" if len(set(values)) == 1 else f"{min(values):,} to {max(values):,}"


def _of_draws(facts: Facts) -> list[str]:
    tests = _number(facts["evaluation"]["test_images"])
    val = facts["data"]["splits"].get("val", {}).get("labelled", 0)
    crossed = ", the seed of the encoder" if any(o.get("seeds", 1) > 1 for o in facts["verdict"]) else ""
    found = [
        f"All draws are tested on the same {tests} images, which no training, choice or curve has seen. The "
        f"intervals contain the draw of the labels{crossed} and the choice of these test images."
    ]
    if any(o["rivals"] > 1 for o in facts["verdict"]):
        found.append(
            "There are no labelled images beyond the draws and the test split, so the best traditional policy is the "
            "one with the best mean over the very draws and test images that it is compared on. That favours the "
            "rival; interval and p allow for the number of policies it was chosen among."
        )
    elif val or facts["curves"]["arms"]:
        found.append(
            "The best traditional policy was chosen, and the learning curves were drawn, on labelled images that no "
            "arm trains on. With so few labels nobody has them in practice: this favours the rival, not the minted "
            "images."
        )
    return [*found, *_overlapping(facts)]


def _overlapping(facts: Facts) -> list[str]:
    """A warning where the draws of labels have most images in common."""
    wanted = facts["evaluation"]["labels_per_class"] or 0
    there = [c["train"] for c in facts["data"]["classes"] if c["train"]]
    if not there or 2 * wanted <= min(there):
        return []
    return [
        f"Each draw takes {wanted} of {_number(sorted(there))} labelled images of a class, so the draws are mostly the "
        "same images. They differ by their seeds, and the intervals do not show how much other labels would matter."
    ]


def _of_folds(facts: Facts) -> list[str]:
    labels = _number(facts["evaluation"]["labels"])
    tests = _number(facts["evaluation"]["test_images"])
    unused = facts["data"]["splits"].get("test", {}).get("labelled", 0)
    why = "No number of labels per class was given" if unused else "There was no test split"
    return [
        f"{why}, so the labelled images were cross-validated: each trial learns from {labels} "
        f"labels and is tested on {tests}. Folds share most of their training images; the intervals are widened "
        "for that, and are wide. More labelled images narrow them, more repeats hardly.",
        "The held-out images of each fold were seen, without their labels, by the encoder and the generators. "
        "Accuracy on images from elsewhere may be lower.",
        "The best traditional policy was chosen for each fold on the other folds.",
    ]
