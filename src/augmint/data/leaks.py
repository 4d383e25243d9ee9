"""Ways in which a test set, or a label, can be known before it should be.

for line in quick(table): ...                      # what a run warns about: a second for 60,000 images
repeats(table, duplicates.exact(table)).across     # the same image in train and test
groups_across(table)                               # a patient in both
names_that_tell(table)                             # _unlabeled/cat_0042.jpg
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath

import torch

from augmint.data import duplicates
from augmint.data.source import UNLABELLED_FOLDER, split_of
from augmint.data.table import ImageTable


@dataclass
class Repeats:
    """Groups of rows that show the same image."""

    groups: int
    images: int  # how many could go: all but one of each group
    across: int  # groups in more than one split
    conflicting: int  # groups with more than one label
    listed: list[list[int]]  # rows; those across splits or with conflicting labels first

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
    return Repeats(len(groups), extra, sum(across), sum(torn), [groups[i] for i in order])


def groups_across(table: ImageTable) -> int:
    """How many groups (patients, sequences) have images in more than one split."""
    mine = table.group >= 0
    pairs = torch.unique(torch.stack([table.group[mine], table.split[mine].long()], 1), dim=0)
    return int((torch.unique(pairs[:, 0], return_counts=True)[1] > 1).sum())


def sentences(exact: Repeats, near: Repeats | None, groups: int, telling: list[str]) -> list[str]:
    """The same in words, one line for each leak that there is."""
    out = []
    for name, found in (("exact", exact), ("near", near)):
        if found and found.across:
            out.append(f"{found.across} {name} duplicates lie in different splits: test results will be too good")
        if found and found.conflicting:
            out.append(f"{found.conflicting} {name} duplicates have different labels: one of the labels is wrong")
    if groups:
        out.append(f"{groups} groups lie in more than one split: test results will be too good")
    if telling:
        count, example = len(telling), telling[0]
        out.append(f"{count:,} unlabelled files have a class in their name, e.g. {example}; augmint does not use it")
    return out


def quick(table: ImageTable) -> list[str]:
    """All leaks but near duplicates, in words."""
    return sentences(repeats(table, duplicates.exact(table)), None, groups_across(table), names_that_tell(table))


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
