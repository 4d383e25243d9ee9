"""What the commands say on stdout: for people, or as JSON or CSV for programs.

output.tell("run", folder, result, as_json=False)
output.show(folder, as_json=True)
"""

import csv
import io
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from augmint import api
from augmint.config import Settings
from augmint.train import ProgressOut, checkpoint

console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)  # what is said holds names of files


def print_json(value: Any) -> None:
    """As JSON."""
    print(json.dumps(value, indent=1, default=str))


def print_csv(head: list[str], rows: list[list[Any]], out: Path | None = None) -> None:
    """To a file, or to stdout."""
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerows([head, *rows])
    checkpoint.atomic_write(out, table.getvalue()) if out else print(table.getvalue(), end="")


def dry_run(settings: Settings, folder: Path, as_json: bool, progress: ProgressOut) -> None:
    """What a run would take, and nothing else."""
    from augmint.estimate import estimate

    found = estimate(settings, folder, progress)
    print_json(found.to_dict()) if as_json else console.print(found.table())


def tell(name: str, folder: Path, result: Any, as_json: bool) -> None:
    """What a stage did: the verdict of a whole run, else a line."""
    if name == "run":
        show(folder, as_json)
        return
    if name == "measure" and not as_json:
        from augmint.report.text import measures

        console.print(measures(result))
        console.print(f"nearest pairs: {folder / 'measures' / 'nearest.png'}")
        return
    facts = {"stage": name, "run": str(folder), **(result if isinstance(result, dict) else {})}
    print_json(facts) if as_json else console.print(_sentence(name, folder, facts))


def minted(facts: dict[str, Any], wanted: int, as_json: bool) -> None:
    """What `mint --count` made, and if that is less than was wanted, why."""
    if as_json:
        print_json(facts)
        return
    console.print(f"{facts['kept']:,} images kept of {facts['drawn']:,} drawn: {facts['folder']}")
    if facts["kept"] < wanted:
        rejected = facts["rejected"]
        why = ", ".join(f"{name} {number:,}" for name, number in rejected.items())
        advice = (
            f"--set mint.per_parent (now {facts['per_parent']}), mint.parents_per_class (now "
            f"{facts['parents_per_class']}) or mint.agreement (now {facts['agreement']:g}) let more through"
        )
        if 2 * (rejected.get("broken", 0) + rejected.get("looks unreal", 0)) > facts["drawn"]:
            advice = "most are no good images: train the generator longer (generate.image.images, another preset)"
        console.print(f"{wanted:,} were asked for, {facts['limit']:,} allowed by the caps; {advice}. Rejected: {why}")


def _sentence(name: str, folder: Path, facts: dict[str, Any]) -> str:
    """What a stage did, in a line or a few."""
    if name == "represent":
        from augmint.report.encoder import lines

        return "\n".join(lines(facts, folder))
    if name == "mint":
        return f"{facts['kept']:,} of {facts['drawn']:,} minted images kept: {folder / 'minted'}"
    if name == "classify":
        held_out = facts["cross_validated_accuracy"]
        found = "not chosen by" if held_out is None else f"{held_out:.1%} in"
        single = " (one label of a class, or all in one group: none can be held out)" if held_out is None else ""
        return (
            f"final classifier: {facts['arm']}, {found} cross-validation on {facts['labels']:,} labels{single}: "
            f"{folder / 'final'}"
        )
    return f"{name} done: {folder / 'stages'}"


def show(folder: Path, as_json: bool) -> None:
    """The verdict, table first, and where the report is."""
    from augmint.report.text import render

    done = api.Run(folder)
    if as_json:
        print_json(done.facts)
        return
    console.print(render(done.facts))
    console.print(f"report: {done.report}")
