"""What `augmint check DATA` says: counts, sizes, balance, broken files, duplicates and leaks.

found = audit("photos/", DataSettings())
print("\\n".join(found.lines())); found.to_dict(); found.sheet().save("contact.png")
"""

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from augmint.config import DataSettings
from augmint.data import duplicates
from augmint.data.build import Facts, make_table
from augmint.data.leaks import NOT_SEARCHED, Repeats, groups_across, names_that_tell, repeats, sentences
from augmint.data.readers import read
from augmint.data.sheet import sheet
from augmint.data.siblings import siblings
from augmint.data.table import SPLITS, ImageTable
from augmint.train.progress import QUIET, ProgressOut

SHOWN = 5  # examples in the text
LISTED = 1000  # in the JSON


@dataclass
class Audit:
    """Everything found, in plain types; `warnings` are the lines a person has to read."""

    name: str
    images: int
    shape: tuple[int, int, int]  # channels, height, width of the table
    splits: dict[str, dict[str, int]]  # split → class (or "unlabelled") → images
    classes: tuple[str, ...]
    sizes: dict[str, int]  # "width×height" → images, the most frequent first
    modes: dict[str, int]
    bad: list[tuple[str, str]]  # file, what is wrong
    exact: Repeats
    near: Repeats | None  # None: not searched
    groups_across: int
    telling_names: list[str]
    warnings: list[str] = field(default_factory=list)
    together: list[str] = field(default_factory=list)  # near duplicates among the labels, in words
    table: ImageTable | None = None

    def to_dict(self) -> dict[str, Any]:
        """For --json; long lists end after LISTED entries, the counts beside them do not."""
        out = {name: value for name, value in vars(self).items() if name not in ("table", "exact", "near")}
        for name in ("exact", "near"):
            found = getattr(self, name)
            out[name] = None if found is None else {**asdict(found), "listed": found.listed[:LISTED]}
        return {**out, "bad": self.bad[:LISTED], "bad_files": len(self.bad), "schema": 1}

    def lines(self) -> list[str]:
        """For people."""
        channels, height, width = self.shape
        out = [f"{self.name}: {self.images:,} images, used as {width}×{height} {'grey' if channels == 1 else 'RGB'}"]
        out += [_split_line(name, counts) for name, counts in self.splits.items()]
        out += [f"  sizes       {_most(self.sizes)}", f"  modes       {_most(self.modes)}"]
        out.append(f"  unreadable  {len(self.bad)}")
        out += [f"      {file}: {why}" for file, why in self.bad[: 4 * SHOWN]]
        out.append(f"  duplicates  exact: {self.exact.line()}")
        out.append(f"              near: {self.near.line() if self.near else 'not searched'}")
        return out + ([f"! {line}" for line in self.warnings] or ["  nothing to worry about"])

    def sheet(self, columns: int = 10) -> Image.Image:
        """A contact sheet: a row of images per class and one of unlabelled ones, then duplicates pair by pair."""
        assert self.table is not None
        rows, captions = _examples(self.table, columns)
        for pair in [p for found in (self.exact, self.near) if found for p in found.listed[: 2 * columns]]:
            rows += pair[:2]
            captions += [f"= {row}" for row in pair[:2]]
        images = self.table.gather(torch.tensor(rows).clamp(min=0))
        images[torch.tensor(rows) < 0] = 255
        return sheet(images, columns, captions=captions)


def _split_line(name: str, counts: dict[str, int]) -> str:
    classes = {k: v for k, v in counts.items() if k != "unlabelled"}
    labelled, rest = sum(classes.values()), counts.get("unlabelled", 0)
    if not classes:
        return f"  {name:<11} {rest:,} unlabelled"
    low, high = min(classes.values()), max(classes.values())
    each = f"{low:,} each" if low == high else f"{low:,} … {high:,} each"
    return f"  {name:<11} {labelled:,} labelled in {len(classes)} classes ({each}), {rest:,} unlabelled"


def _most(counts: dict[str, int]) -> str:
    first = ", ".join(f"{name} ({count:,})" for name, count in list(counts.items())[:SHOWN])
    return first + (f", … {len(counts)} in all" if len(counts) > SHOWN else "")


def _examples(table: ImageTable, columns: int) -> tuple[list[int], list[str]]:
    """Rows spread evenly over each class (-1 = leave blank), 20 classes at most, and their captions."""
    rows: list[int] = []
    captions: list[str] = []
    for label in [*range(min(20, len(table.classes))), -1]:
        mine = torch.nonzero(table.labels == label)[:, 0]
        if len(mine) == 0:
            continue
        chosen = mine[torch.linspace(0, len(mine) - 1, min(columns, len(mine))).round().long()].tolist()
        rows += chosen + [-1] * (columns - len(chosen))
        name = table.classes[label] if label >= 0 else "unlabelled"
        captions += [name] * len(chosen) + [""] * (columns - len(chosen))
    return rows, captions


def _counts(table: ImageTable) -> dict[str, dict[str, int]]:
    out: dict[str, dict[str, int]] = {}
    for split in SPLITS:
        labels = table.labels[table.rows(split)]
        if len(labels):
            found = torch.bincount(labels + 1, minlength=len(table.classes) + 1).tolist()
            named = dict(zip(table.classes, found[1:], strict=True))
            out[split] = {name: count for name, count in named.items() if count} | {"unlabelled": found[0]}
    return out


def _balance(splits: dict[str, dict[str, int]], classes: tuple[str, ...]) -> list[str]:
    """What is odd about the labels."""
    train = {name: count for name, count in splits.get("train", {}).items() if name != "unlabelled"}
    out = []
    if not train:
        return ["no labelled training images: a run needs a few of each class"]
    if len(train) == 1:
        out.append(f"all labelled training images are of one class ({next(iter(train))}); a classifier needs two")
    missing = [name for name in classes if name not in train]
    if missing:
        out.append(f"{len(missing)} classes have no training image, e.g. {missing[0]}")
    few = [name for name, count in train.items() if count < 2]
    if few:
        out.append(
            f"{len(few)} classes have a single labelled training image, e.g. {few[0]}; cross-validation needs two"
        )
    low, high = min(train.values()), max(train.values())
    if high > 10 * low:
        out.append(f"unbalanced: the largest class has {high:,} training images, the smallest {low:,}")
    return out


def _warnings(found: Audit) -> list[str]:
    out = _balance(found.splits, found.classes)
    if found.bad:
        out.append(
            f"{len(found.bad)} files cannot be read; replace them, or leave them out with --set data.on_bad=skip"
        )
    if found.near is None:
        out.append(NOT_SEARCHED)
    return out + found.together + sentences(found.exact, found.near, found.groups_across, found.telling_names)


def audit_table(table: ImageTable, facts: Facts, near: bool = True) -> Audit:
    """The audit of a table that is loaded already; `near=False` leaves out the search that takes long."""
    search = near and len(table) <= duplicates.LIMIT
    pairs = duplicates.near(table)[0] if search else None
    train = table.rows("train")
    labelled = train[table.labels[train] >= 0]
    found = Audit(
        name=table.name,
        images=len(table),
        shape=table.shape,
        splits=_counts(table),
        classes=table.classes,
        sizes=dict(Counter(f"{w}×{h}" for w, h in facts.sizes).most_common()),
        modes=dict(Counter(facts.modes).most_common()),
        bad=facts.bad,
        exact=repeats(table, duplicates.exact(table)),
        near=None if pairs is None else repeats(table, pairs.tolist()),
        groups_across=groups_across(table),
        telling_names=names_that_tell(table),
        together=[] if pairs is None else siblings(table, labelled, pairs).lines(table),
        table=table,
    )
    found.warnings = _warnings(found)
    return found


def audit(source: str | Path, settings: DataSettings | None = None, progress: ProgressOut = QUIET) -> Audit:
    """Look at a source; files that cannot be read are listed and left out. InputError if nothing can be read."""
    skipping = (settings or DataSettings()).model_copy(update={"on_bad": "skip"})
    return audit_table(*make_table(read(source), skipping, progress))
