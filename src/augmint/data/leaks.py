"""Ways in which a test set, or a label, can be known before it should be.

for line in quick(table): ...                      # what a run warns about: some seconds for 60,000 images
for line in minted_copies(table, run): ...         # once it has minted: test images among the minted ones
repeats(table, duplicates.exact(table)).across     # the same image in train and test
groups_across(table)                               # a patient in both
names_that_tell(table)                             # _unlabeled/cat_0042.jpg
"""

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch

from augmint.data import duplicates
from augmint.data.pixels import decode_one
from augmint.data.source import UNLABELLED_FOLDER, split_of
from augmint.data.table import SPLITS, ImageTable
from augmint.train.checkpoint import atomic_write

NOT_SEARCHED = "near duplicates were not searched (too many images): there may be some in different splits"
CELLS = 2_000_000_000  # comparisons of held-out images with all that a run makes by itself


@dataclass
class Repeats:
    """Groups of rows that show the same image."""

    groups: int
    images: int  # how many could go: all but one of each group
    across: int  # groups in more than one split
    conflicting: int  # groups with more than one label
    listed: list[list[int]]  # rows; those across splits or with conflicting labels first
    example: str = ""  # two names in different splits
    share: float = 0.0  # of the test images, that are in groups across splits

    def line(self) -> str:
        """For people."""
        if not self.groups:
            return "none"
        return f"{self.groups:,} (across splits {self.across:,}, with different labels {self.conflicting:,})"


def repeats(table: ImageTable, groups: list[list[int]]) -> Repeats:
    """What groups of equal images mean for splits and labels."""
    split, labels = table.split.tolist(), table.labels.tolist()
    across = [len({split[row] for row in group}) > 1 for group in groups]
    torn = [len({labels[row] for row in group if labels[row] >= 0}) > 1 for group in groups]
    order = sorted(range(len(groups)), key=lambda i: (not torn[i], not across[i], groups[i]))
    extra = sum(map(len, groups)) - len(groups)
    found = Repeats(len(groups), extra, sum(across), sum(torn), [groups[i] for i in order])
    if found.across:
        found.example = _example(table, groups[across.index(True)])
        test = SPLITS.index("test")
        known = sum(split[row] == test for i, group in enumerate(groups) if across[i] for row in group)
        found.share = known / max(split.count(test), 1)
    return found


def _example(table: ImageTable, group: list[int]) -> str:
    """A row of the group and one of another split: 'train/cat/1.jpg and test/cat/7.jpg'."""
    first = group[0]
    other = next(row for row in group if table.split[row] != table.split[first])
    return " and ".join(str(table.paths[r]) or f"image {r} ({SPLITS[int(table.split[r])]})" for r in (first, other))


def groups_across(table: ImageTable) -> int:
    """How many groups (patients, sequences) have images in more than one split."""
    mine = table.group >= 0
    pairs = torch.unique(torch.stack([table.group[mine], table.split[mine].long()], 1), dim=0)
    return int((torch.unique(pairs[:, 0], return_counts=True)[1] > 1).sum())


def _harm(share: float) -> str:
    """What it does to results if this share of the test images is known."""
    if not share:
        return "results on the validation images will be too good"
    return f"test results may be too good, by up to {max(100 * share, 0.1):.1f} points"


def sentences(exact: Repeats, near: Repeats | None, groups: int, telling: list[str]) -> list[str]:
    """The same in words, one line for each leak that there is."""
    out = []
    for name, found in (("exact", exact), ("near", near)):
        if found and found.across:
            which = f" (e.g. {found.example})" if found.example else ""
            out.append(f"{found.across} {name} duplicates lie in different splits{which}: {_harm(found.share)}")
        if found and found.conflicting:
            out.append(f"{found.conflicting} {name} duplicates have different labels: one of the labels is wrong")
    if groups:
        out.append(f"{groups} groups lie in more than one split: test results will be too good")
    if telling:
        count, example = len(telling), telling[0]
        out.append(f"{count:,} unlabelled files have a class in their name, e.g. {example}; augmint does not use it")
    return out


def quick(table: ImageTable) -> list[str]:
    """All leaks, in words; near duplicates between splits only, and where there are not too many images to compare."""
    near = None
    if int((table.split != 0).sum()) * len(table) <= CELLS:
        near = repeats(table, duplicates.near_across(table)[0].tolist())
        near.conflicting = 0  # of all pairs `augmint check` tells that
    found = repeats(table, duplicates.exact(table)), near, groups_across(table), names_that_tell(table)
    return ([NOT_SEARCHED] if near is None else []) + sentences(*found)


def minted_copies(table: ImageTable, folder: Path) -> list[str]:
    """The minted images below `folder` that are near copies of test images, in words. They can be, where an image that
    the generator learnt from shows the same as a test image."""
    test, files = table.rows("test"), sorted(folder.glob("*/*.png"))
    if not files or len(test) == 0:
        return []
    channels, height, width = table.shape
    images = torch.stack([torch.from_numpy(decode_one(f, (height, width), channels).copy()) for f in files])
    row, _ = duplicates.copied(table.take(test), images)
    found = torch.nonzero(row >= 0)[:, 0].tolist()
    if not found:
        return []
    of = int(test[row[found[0]]])
    example = f"{files[found[0]].relative_to(folder)} of {table.paths[of] or f'image {of}'}"
    return [f"{len(found):,} minted images are near copies of test images (e.g. {example}): their arms look too good"]


def keep(warnings: list[str], path: Path) -> None:
    """Store them for the report."""
    atomic_write(path, json.dumps({"schema": 1, "warnings": warnings}, indent=1))


def _words(path: str) -> list[str]:
    """The words in a path below its split and unlabelled folders: 'train/_unlabeled/big_cat-7.jpg' → big, cat."""
    parts = [p for p in PurePosixPath(path).parts if not UNLABELLED_FOLDER.fullmatch(p) and split_of(p) is None]
    text = "/".join(parts).rpartition(".")[0] or "/".join(parts)
    return [word for word in re.split(r"[^a-z]+", text.lower()) if word]


def _names(words: list[str], name: str) -> bool:
    own = [word for word in re.split(r"[^a-z]+", name.lower()) if word]
    spans = (words[i : i + len(own)] for i in range(len(words) - len(own) + 1))
    return sum(map(len, own)) > 1 and own in spans


def _by_class(paths: list[str], classes: tuple[str, ...]) -> list[str]:
    """Paths with exactly one class in them."""
    return [path for path in paths if sum(_names(_words(path), name) for name in classes) == 1]


def _by_first_word(paths: list[str]) -> list[str]:
    """Without any known class: do first words divide the files into a few kinds (cat.1.jpg, dog.7.jpg)?"""
    first = [next(iter(_words(path)), "") for path in paths]
    counts = Counter(first)
    few = 2 <= len(counts) <= min(50, len(paths) // 4)
    return paths if few and "" not in counts and min(counts.values()) > 1 else []


def names_that_tell(table: ImageTable) -> list[str]:
    """Paths of unlabelled images whose name or folder gives a class away."""
    paths = [str(path) for path in table.paths[(table.labels < 0).numpy()] if path]
    return _by_class(paths, table.classes) if table.classes else _by_first_word(paths)
