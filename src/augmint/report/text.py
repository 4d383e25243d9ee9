"""The verdict for the terminal: the table of arms, the answer, then one sentence a contrast.

Console().print(render(facts))
Console().print(render_comparison(compare(first, second)))
"""

from typing import Any

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from augmint.judge.verdict import points
from augmint.report.words import SIGNS, caution, duration, label, measure_name, number, percent, setting, spread, trials

STYLES = {"helped": "bold green", "hurt": "bold red", "equivalent": "bold blue", "undecided": "bold yellow"}


def render(facts: dict[str, Any]) -> RenderableType:
    """Table and sentences, for rich's Console."""
    note = [Text(caution(facts), style="dim")] if caution(facts) else []
    leaks = [Text(f"! {line}", style="bold red") for line in facts["leaks"]]
    worth = [Text(f"≈ {row['sentence']}") for row in facts["worth"].get("worth", [])]
    answer = [Text(facts["answer"]["sentence"], style="bold")] if facts["answer"] else []
    return Group(table(facts), *answer, *leaks, *map(_line, facts["verdict"]), *worth, *note)


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
        found.add_row(row["arm"], label(row["arm"]), spread(row), trials(row, facts), duration(row["seconds"]))
    return found


def measures(found: dict[str, Any]) -> Table:
    """What a generator's images are worth (RUN/measures/measures.json): a row a measure, a column a sample."""
    title = f"{found['images']:,} images of each kind, by {found['encoder']}"
    grid = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE, pad_edge=False)
    grid.add_column("measure", no_wrap=True)
    for column in found["table"]:
        grid.add_column(column, justify="right", no_wrap=True)
    grid.add_column("wanted", style="dim", no_wrap=True)
    grid.add_column("", style="dim", overflow="fold")
    for name, meaning in found["measures"].items():
        cells = [number(column.get(name)) for column in found["table"].values()]
        grid.add_row(measure_name(name, found["encoder"]), *cells, meaning["wanted"], meaning["what"])
    return grid


def _line(outcome: dict[str, Any]) -> Text:
    verdict = outcome["verdict"]
    return Text.assemble((f"{SIGNS.get(verdict, '–')} ", STYLES.get(verdict, "dim")), outcome["sentence"])


def render_comparison(found: dict[str, Any]) -> RenderableType:
    """Two runs: what differs in their settings, a line an arm, then the verdicts in words."""
    shown = Table(box=SIMPLE, pad_edge=False)
    shown.add_column("arm", no_wrap=True)
    for name in ("first %", "second %", "points"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in found["arms"]:
        interval = "" if row["low"] is None else f" [{points(row['low'], False)}, {points(row['high'], False)}]"
        cells = percent(row["first"]), percent(row["second"]), points(row["mean"]) + interval
        shown.add_row(row["contrast"], *cells)
    changed = "; ".join(found["settings"]) or "none"
    heads = [f"first   {found['first']}", f"second  {found['second']}", f"settings that differ: {changed}"]
    note = [Text(found["caution"], style="dim")] if found["caution"] else []
    return Group(*map(Text, heads), shown, *map(_line, found["arms"]), *note)
