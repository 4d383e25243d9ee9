"""The verdict for the terminal: the table of arms, then one sentence a contrast.

Console().print(render(facts))
"""

from typing import Any

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from augmint.report.words import SIGNS, duration, label, setting, spread

STYLES = {"helped": "bold green", "hurt": "bold red", "equivalent": "bold blue", "undecided": "bold yellow"}


def render(facts: dict[str, Any]) -> RenderableType:
    """Table and sentences, for rich's Console."""
    return Group(table(facts), *map(_line, facts["verdict"]))


def table(facts: dict[str, Any]) -> Table:
    """Arms with accuracy (mean ± standard deviation over draws or folds), number of trials and seconds."""
    kind = facts["evaluation"]["kind"]
    found = Table(title=setting(facts), title_justify="left", title_style="bold", box=SIMPLE, pad_edge=False)
    found.add_column("arm", no_wrap=True)
    found.add_column("", style="dim", overflow="fold")
    found.add_column("accuracy %", justify="right", no_wrap=True)
    found.add_column(kind if kind != "none" else "trials", justify="right")
    found.add_column("time", justify="right", no_wrap=True)
    family = None
    for row in facts["arms"]:
        if family not in (None, row["family"]):
            found.add_section()
        family = row["family"]
        found.add_row(row["arm"], label(row["arm"]), spread(row), str(row["n"]), duration(row["seconds"]))
    return found


def _line(outcome: dict[str, Any]) -> Text:
    verdict = outcome["verdict"]
    return Text.assemble((f"{SIGNS.get(verdict, '–')} ", STYLES.get(verdict, "dim")), outcome["sentence"])
