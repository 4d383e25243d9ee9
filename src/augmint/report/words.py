"""Names and numbers as people read them, shared by the page and the terminal.

label("scratch-weak")          # 'small shifts'
duration(431.2)                # '7 min 11 s'
"""

from typing import Any

from augmint.judge.arms import traditional

FAMILIES = {"scratch": "From scratch", "encoder": "On the encoder"}
ARMS = {
    "scratch-none": "no augmentation",
    "scratch-weak": "weak augmentation",
    "scratch-randaugment": "RandAugment",
    "scratch-trivialaugment": "TrivialAugment",
    "scratch-augmix": "AugMix",
    "scratch-mixup": "weak, then MixUp",
    "scratch-cutmix": "weak, then CutMix",
    "scratch-gentle": "gentle augmentation",
    "scratch-simclr": "SimCLR's augmentation",
    "scratch-pseudo": "+ pseudo-labelled real images",
    "scratch-minted": "+ minted images",
    "scratch-both": "+ minted images and their parents",
    "encoder": "encoder only",
    "encoder-propagate": "+ propagated labels",
    "encoder-finetune": "fine-tuned",
    "encoder-finetune-minted": "fine-tuned, + minted images",
    "encoder-gaussian": "+ Gaussian features",
    "encoder-smote": "+ SMOTE features",
    "encoder-mixup": "+ mixed features",
    "encoder-neighbours": "+ real neighbours",
    "encoder-walks": "+ neighbours of neighbours",
    "encoder-minted": "+ minted features",
}
SIGNS = {"helped": "▲", "hurt": "▼", "equivalent": "=", "undecided": "?", "left out": "–"}
BELIEVED = {
    "realness_most": "The discriminators: most real",
    "realness_least": "The discriminators: least real",
    "agreement_most": "The independent classifier: most surely of the class of its parent",
    "agreement_least": "The independent classifier: least",
}
STAGES = {
    "views": "search for views",
    "represent": "encoder",
    "explain": "what the encoder sees",
    "generate-image": "image generator",
    "generate-feature": "feature generator",
    "thresholds": "thresholds of minting",
    "ground": "parents and judge of minting",
    "mint": "minting for export",
    "mint-more": "minting by number (--count)",
    "measure-encoder": "encoder for measuring",
    "measure": "measuring the generator",
    "trials": "trials of all arms",
}


def label(arm: str) -> str:
    """An arm in words, its own name if there are none: 'RandAugment, × 0.5', '+ minted images, 0.25 of a batch'."""
    stem, sign, amount = arm.partition("@")
    known = ARMS.get(stem, stem)
    if not sign:
        return known
    return f"{known}, × {amount}" if traditional(arm) else f"{known}, {amount} of a batch"


def percent(value: float | None) -> str:
    """0.8312 → '83.1'."""
    return "–" if value is None else f"{100 * value:.1f}"


def spread(row: dict[str, Any]) -> str:
    """Mean ± standard deviation of an arm in percent: '83.1 ± 1.2'."""
    return percent(row["mean"]) + ("" if row["std"] is None else f" ± {percent(row['std'])}")


def number(value: float | None) -> str:
    """Three significant digits, '–' for none."""
    return "–" if value is None else f"{value:.3g}"


def measure_name(name: str, encoder: str) -> str:
    """'fd' → 'FD-simclr-cnn': a Fréchet distance goes by its encoder; others with spaces."""
    return f"FD-{encoder}" if name == "fd" else name.replace("_", " ")


def duration(seconds: float | None) -> str:
    """Seconds as '0.4 s', '12 s', '7 min 11 s', '2 h 05 min'."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def memory(count: int | None) -> str:
    """Bytes as '740 MiB' or '1.2 GiB'."""
    if not count:
        return "–"
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"


def tally(outcome: dict[str, Any]) -> str:
    """'Better in 7, equal in 1 and worse in 2 of 10 draws, so in about 75 % [44, 92] of new draws'."""
    d = outcome["differences"]
    better, worse = sum(v > 0 for v in d), sum(v < 0 for v in d)
    equal = f", equal in {len(d) - better - worse}" if len(d) > better + worse else ""
    text = f"Better in {better}{equal} and worse in {worse} of {len(d)} {outcome['unit']}"
    if outcome["won_low"] is None:
        return text
    won, low, high = (f"{100 * outcome[name]:.0f}" for name in ("won", "won_low", "won_high"))
    return f"{text}, so in about {won} % [{low}, {high}] of new draws"


def setting(facts: dict[str, Any]) -> str:
    """How the arms were compared, in one line."""
    e = facts["evaluation"]
    if e["kind"] == "none":
        return "no finished trials"
    labels = f"{e['labels_per_class']} labels per class" if e["labels_per_class"] else "all given labels"
    tests = f"{e['test_images'][-1]:,} test images"
    if e["kind"] == "folds":
        return f"{labels}, {e['units']} cross-validation folds, about {tests} each"
    seeds = len(e["encoder_seeds"])
    each = f" with each of {seeds} encoders" if seeds > 1 else ""
    return f"{labels}, {e['units']} label draws{each}, {tests}"


def trials(row: dict[str, Any], facts: dict[str, Any]) -> str:
    """How many trials a row of the table has: draws (or folds), times encoder seeds if there are several."""
    seeds = len(facts["evaluation"]["encoder_seeds"])
    return str(row["n"]) if seeds < 2 else f"{row['n'] // seeds} × {seeds}"


def caution(facts: dict[str, Any]) -> str:
    """What a person should know before reading any number, in a sentence or two; "" where arms had a test split of the
    images that count."""
    told = [*_of_the_unminted(facts), _of_target(facts), _of_folds(facts), _of_the_unheld(facts.get("final") or {})]
    return " ".join(filter(None, told))


def _of_the_unminted(facts: dict[str, Any]) -> list[str]:
    """Arms that had nothing minted to learn from, whatever their verdict is."""
    trials = {row["arm"]: row["n"] for row in facts.get("arms", [])}
    return [
        f"In {count} of {trials[arm]} trials of {arm} the judges let nothing minted pass: these had the labels alone, "
        "and say nothing of minting."
        for arm, count in facts["evaluation"].get("unminted", {}).items()
    ]


def _of_the_unheld(final: dict[str, Any]) -> str:
    if final.get("cross_validated_accuracy", 0) is not None:
        return ""
    return (
        "Where a class has one label, or all in one group, none can be held out: the final classifier is "
        f"{final['arm']}, which was not chosen by cross-validation, and its probabilities are not calibrated."
    )


def _of_target(facts: dict[str, Any]) -> str:
    target = facts["data"].get("target")
    if not target or target["judged"]:
        return ""
    return (
        "The target has no labelled test images to judge on: every number here is about images of the source, and says "
        "nothing of how good an arm is on the target."
    )


def _of_folds(facts: dict[str, Any]) -> str:
    if facts["evaluation"]["kind"] != "folds":
        return ""
    if facts["data"]["splits"].get("test", {}).get("labelled"):
        return (
            "No --labels-per-class was given, so the arms were compared by cross-validation on all labels and not on "
            "the test split."
        )
    return (
        "There is no test split, so the arms were compared by cross-validation on the labels themselves: the encoder "
        "has seen the held-out images without labels, and accuracy elsewhere may be lower. Labelled images in a test "
        "split would give a number that nothing has touched."
    )
