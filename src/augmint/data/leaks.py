"""Ways in which a test set, or a label, can be known before it should be.

for line in quick(table): ...                      # what a run warns about: some seconds for 60,000 images
for line in minted_copies(table, run): ...         # once it has minted: test images among the minted ones
repeats(table, duplicates.exact(table)).across     # the same image in train and test
groups_across(table)                               # a patient in both
names_that_tell(table)                             # _unlabeled/cat_0042.jpg
"""

import json
import re
import unicodedata
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
TELLING = ("label", "class", "category", "target", "digit")
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
    if len(found) == 1:
        return [f"a minted image is a near copy of a test image ({example}): its arms look too good"]
    return [f"{len(found):,} minted images are near copies of test images (e.g. {example}): their arms look too good"]


def keep(warnings: list[str], path: Path) -> None:
    """Store them for the report."""
    atomic_write(path, json.dumps({"schema": 1, "warnings": warnings}, indent=1))


def _tokens(text: str) -> list[str]:
    """Words and numbers, in small letters of any alphabet: 'AnkleBoot_07' → ankle, boot, 07."""
    text = unicodedata.normalize("NFC", text)
    humps = "".join(" " * (a.islower() and b.isupper()) + b for a, b in zip(" " + text, text, strict=False))
    return re.findall(r"[^\W\d_]+|\d+", humps.casefold())


def _parts(path: str) -> list[list[str]]:
    """The tokens of folders and file below split and unlabelled folders: 'train/_unlabeled/big/cat-7.jpg' → [big],
    [cat, 7]."""
    *folders, file = PurePosixPath(path).parts
    below = [part for part in folders if not UNLABELLED_FOLDER.fullmatch(part) and split_of(part) is None]
    return [_tokens(part) for part in [*below, PurePosixPath(file).stem]]


def _signs(name: str) -> set[str]:
    """What in a path stands for the class: its name, also as one word, singular or plural. Of a number or a single
    letter only a whole folder ('/7') or one behind a word that says what it is ('label7'): images are numbered, too."""
    key = "".join(_tokens(name))
    if key.isdigit() or (len(key) == 1 and key.isascii()):
        return {f"/{key}", *(word + key for word in TELLING)}
    stems = {key.removesuffix(end) for end in ("", "s", "es")} if len(key) > 3 else {key}
    return {form for stem in stems for form in (stem, stem + "s", stem + "es") if key}


def _said(parts: list[list[str]], longest: int) -> set[str]:
    """All that a path says: up to `longest` tokens in a row as one word, and whole folders behind a stroke."""
    tokens = [token for part in parts for token in part]
    runs = {"".join(tokens[i : i + n]) for n in range(1, longest + 1) for i in range(len(tokens))}
    return runs | {"/" + "".join(part) for part in parts[:-1]}


def _by_class(paths: list[str], classes: tuple[str, ...]) -> list[str]:
    """Paths with exactly one class in them."""
    meant: dict[str, set[str]] = {}
    for name in classes:
        for sign in _signs(name):
            meant.setdefault(sign, set()).add(name)
    longest = 1 + max(len(_tokens(name)) for name in classes)  # AnkleBoot may be written as two words
    said = ((path, _said(_parts(path), longest) & meant.keys()) for path in paths)
    return [path for path, signs in said if len({name for sign in signs for name in meant[sign]}) == 1]


def _by_first_word(paths: list[str]) -> list[str]:
    """Without any known class: do first words divide the files into a few kinds (cat.1.jpg, dog.7.jpg)?"""
    first = [next((token for part in _parts(path) for token in part if not token.isdigit()), "") for path in paths]
    counts = Counter(first)
    few = 2 <= len(counts) <= min(50, len(paths) // 4)
    return paths if few and "" not in counts and min(counts.values()) > 1 else []


def names_that_tell(table: ImageTable) -> list[str]:
    """Paths of unlabelled images whose name or folder gives a class away."""
    paths = [str(path) for path in table.paths[(table.labels < 0).numpy()] if path]
    return _by_class(paths, table.classes) if table.classes else _by_first_word(paths)
