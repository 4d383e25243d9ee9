"""Results beside their targets, for people (stdout) and programs (JSON).

show(facts, folder)      # prints the table, writes folder/represent-<device>-<development|final>.json
"""

import json
import re
from pathlib import Path
from typing import Any

from augmint.train.checkpoint import atomic_write

Row = tuple[str, str, str, str, str]  # what, measured, target, reached, lightly


def _value(facts: dict[str, Any], place: tuple[str, str]) -> float | None:
    found = facts.get(place[0], {})
    return found.get(place[1]) if isinstance(found, dict) else None


def epoch(facts: dict[str, Any]) -> tuple[str, float] | None:
    """The best way to compile and its seconds an epoch."""
    speeds = [(f["epoch_seconds"], n[6:]) for n, f in facts.items() if n.startswith("speed-") and "error" not in f]
    return (min(speeds)[1], min(speeds)[0]) if speeds else None


def fraction(facts: dict[str, Any]) -> float | None:
    """Operations ÷ measured rate ÷ measured time."""
    best = epoch(facts)
    return facts["floor"]["floor_seconds"] / best[1] if best and "floor" in facts else None


def _row(what: str, value: float | None, target: float, above: bool, other: float | None, unit: str) -> Row:
    def text(x: float | None) -> str:
        return "–" if x is None else f"{x:.2f} s" if unit == "s" else f"{100 * x:.2f} %"

    sign, reached = (
        ("≥", value is not None and value >= target) if above else ("≤", value is not None and value <= target)
    )
    verdict = "" if value is None else "yes" if reached else "no"
    return what, text(value), f"{sign} {text(target)}", verdict, text(other)


def rows(facts: dict[str, Any]) -> list[Row]:
    """Every target."""
    best = epoch(facts)
    peer = facts.get("lightly-epoch")
    return [
        _row("epoch of two views", best and best[1], 2.5, False, peer, "s"),
        *(
            _row(
                f"kNN ({k}) after {m} min",
                _value(facts, (f"train{m}", f"knn{k}")),
                target,
                True,
                _value(facts, (f"lightly{m}", f"knn{k}")),
                "%",
            )
            for m, target in ((5, 0.85), (20, 0.90))
            for k in (5, 200)
        ),
        _row("linear after 25 min", _value(facts, ("linear", "linear")), 0.92, True, None, "%"),
    ]


def notes(facts: dict[str, Any]) -> list[str]:
    """What the table has no column for."""
    found = [f"{facts['device']}, torch {facts['torch']}"]
    if "matrix_rate" in facts:
        found.append(f"bf16 products: {facts['matrix_rate'] / 1e12:.1f} TFLOP/s measured")
    share = fraction(facts)
    if share is not None:
        at = facts["floor"]
        found.append(
            f"floor of an epoch: {at['operations'] / 1e15:.4f} PFLOP, {at['floor_seconds']:.3f} s; fraction of the "
            f"floor: {share:.2f} (convolutions alone, each as fast as it runs here: {at['convolution_seconds']:.3f} s)"
        )
    for name, fact in facts.items():
        if name.startswith("speed-"):
            found.append(f"compile={name[6:]}: " + (fact.get("error") or _speed(fact)))
    if "lightly" in facts:
        found.append(facts["lightly"]["missing"])
    return found


def _speed(fact: dict[str, Any]) -> str:
    waits = fact["waits"] or "nothing"
    return (
        f"{fact['epoch_seconds']:.2f} s an epoch, of which views {fact['views_seconds']:.2f} s; "
        f"first steps {fact['first_steps_seconds']:.1f} s; waits in a step: {waits}"
    )


def show(facts: dict[str, Any], folder: Path) -> None:
    """Print what is known and write it down."""
    identity = facts["identity"]
    judged = "test" if identity["final"] else "a held-out slice of the training images"
    print("\n".join(notes(facts)))
    print(f"\naccuracies on {judged}" + (" (--small: they mean nothing)" if identity["small"] else ""))
    for line in (("", "measured", "target", "reached", "lightly"), *rows(facts)):
        line = (*line[:3], "", line[4]) if identity["small"] and line[0] else line
        print(f"{line[0]:26}{line[1]:>12}{line[2]:>12}{line[3]:>10}{line[4]:>12}")
    device = re.sub(r"[^A-Za-z0-9]+", "-", facts["device"]).strip("-")
    name = f"represent-{device}-{'final' if identity['final'] else 'development'}.json"
    content = {**facts, "fraction_of_floor": fraction(facts), "targets": [list(row) for row in rows(facts)]}
    atomic_write(folder / name, json.dumps(content, indent=1) + "\n")
