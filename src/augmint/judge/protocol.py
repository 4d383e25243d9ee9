"""Who trains on what and is tested on what: the splits of a comparison.

    for split in comparison(table, settings): ...     # label draws, or folds where there is no test split

*Draws* (the data has a test split and `labels_per_class` is given): nested stratified draws of labels
from the training images, all tested on the test split. *Folds* (the user's own few labels): repeated
stratified cross-validation over the labelled images. *Select* folds cross-validate on the labels of
draw 0 alone and choose the arm of the final classifier; there are none where no label of some class can be held out.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from augmint.config import Settings
from augmint.data.draws import folds, nested_draw
from augmint.data.siblings import Siblings, siblings, units
from augmint.data.table import ImageTable
from augmint.errors import InputError, UsageError
from augmint.seeding import key, permutation


@dataclass(frozen=True, eq=False)
class Split:
    """One experiment. `train` and `test` are rows of the table; labels of no other row may be used."""

    role: str  # draw, curve, fold, select, final
    number: int
    train: Tensor
    test: Tensor
    seed: int
    labels_per_class: int | None = None  # where it is not that of the run

    @property
    def name(self) -> str:
        labels = "" if self.labels_per_class is None else f"{self.labels_per_class}-"
        return f"{self.role}-{labels}{self.number:02d}"


@dataclass(frozen=True, eq=False)
class Parts:
    """The rows of a table by what they are for.

    pool   unlabelled learning: every training image that is not in `val`
    given  rows of the pool whose labels may be drawn from
    val    labelled, in no pool: learning curves and the choice of the rival (may be empty)
    test   the test split (may be empty)
    """

    pool: Tensor
    given: Tensor
    val: Tensor
    test: Tensor


def parts(table: ImageTable, settings: Settings) -> Parts:
    """Divide the table; a table without labels is all pool."""
    train, val, test = (table.rows(name) for name in ("train", "val", "test"))
    given = train[table.labels[train] >= 0]
    val = val[table.labels[val] >= 0]
    test = test[table.labels[test] >= 0]
    judged = judges_on_target(table)
    val, test = (rows[table.of_target[rows] == judged] for rows in (val, test))
    if len(val) == 0 and not judged and len(given) and uses_draws(settings, len(test)):
        unit = units(table, torch.arange(len(table)))
        val = _carve(table, given, unit[given], settings)
        train, given = (rows[~torch.isin(unit[rows], unit[val])] for rows in (train, given))
    return Parts(train, given, val, test)


def check_classes(classes: tuple[str, ...], settings: Settings) -> None:
    """UsageError if settings speak of other classes than there are. Without labels there are none yet."""
    prior, drop = settings.classify.prior, settings.mint.drop
    if not classes:
        return
    if not isinstance(prior, str) and len(prior) != len(classes):
        what = f"{len(prior)} numbers for {len(classes)} classes"
        raise UsageError(f"classify.prior has {what}; give one for each of {', '.join(classes)}")
    strange = [name for name in drop if name not in classes]
    if strange or set(drop) == set(classes):
        what = f"there is no class {strange[0]!r}" if strange else "of all classes none would be left to mint from"
        raise UsageError(f"mint.drop: {what}; name some of {', '.join(classes)}")


def judges_on_target(table: ImageTable) -> bool:
    """Whether the arms are judged on the target: it has labelled test images. The source's test and validation images
    then are in no part: they would say how good an arm is somewhere else."""
    return bool((table.of_target[table.rows("test")] & (table.labels[table.rows("test")] >= 0)).any())


def places(table: ImageTable, pool: Tensor) -> Tensor:
    """int64 [N]: the place in the pool of every row of the table, -1 if it is not in it."""
    place = torch.full((len(table),), -1)
    place[pool] = torch.arange(len(pool))
    return place


def describe(table: ImageTable, where: Parts, settings: Settings) -> str:
    """A line that says what a run works on."""
    channels, height, width = table.shape
    kind = "grey" if channels == 1 else "RGB"
    labels = len(labelled_rows(table, where, settings))
    drawn = uses_draws(settings, len(where.test))
    of = " of the target" if judges_on_target(table) else ""
    judged = f"{len(where.test):,}{of} to test on" if drawn else "judged by cross-validation on these labels"
    return (
        f"{table.name}: {len(where.pool):,} images to learn from ({height}×{width} {kind}), {labels:,} labels used at "
        f"a time, {len(table.classes)} classes, {judged}"
    )


def uses_draws(settings: Settings, test_images: int) -> bool:
    """True for label draws against a test split, false for cross-validation on the labels."""
    return settings.labels_per_class is not None and test_images > 0


def cross_validates(settings: Settings, test_images: int) -> bool:
    """False where there is one label of each class: a test split judges, and no label can be held out to choose by."""
    return settings.labels_per_class != 1 or not uses_draws(settings, test_images)


def _carve(table: ImageTable, given: Tensor, unit: Tensor, settings: Settings) -> Tensor:
    """A slice of the labelled training images that nothing trains on: whole units (groups, exact copies; int64, of the
    given), of each class at most its share."""
    assert settings.labels_per_class is not None
    most = max(settings.labels_per_class, *settings.judge.curve, 0)
    wanted = min(settings.data.val_images, len(given) // 10)
    kinds, labels, (numbers, place) = len(table.classes), table.labels[given], torch.unique(unit, return_inverse=True)
    have = torch.bincount(labels, minlength=kinds)
    room = torch.minimum((wanted * have / len(given)).round().long(), have - most).clamp(min=0).tolist()
    holds: list[list[tuple[int, int]]] = [[] for _ in numbers]  # classes of each unit, and how many of each
    for cell, count in zip(*map(Tensor.tolist, torch.unique(place * kinds + labels, return_counts=True)), strict=True):
        holds[cell // kinds].append((cell % kinds, count))
    taken, left = torch.zeros(len(holds), dtype=torch.bool), sum(room)
    for one in permutation(len(holds), settings.seed, "val").tolist():
        if not left:
            break
        if all(count <= room[kind] for kind, count in holds[one]):
            taken[one] = True
            for kind, count in holds[one]:
                room[kind], left = room[kind] - count, left - count
    return given[taken[place]]


def _need_labels(table: ImageTable, given: Tensor) -> None:
    """InputError if there is nothing to classify by."""
    if len(given) == 0:
        raise InputError(
            f"{table.name}: no labelled training image; put a few into train/<class>/ (or a manifest with labels)"
        )
    if len(set(table.labels[given].tolist())) < 2:
        raise InputError(
            f"{table.name}: all labelled images are of one class ({table.classes[int(table.labels[given[0]])]}); "
            "a classifier needs at least two"
        )


def labelled_rows(table: ImageTable, where: Parts, settings: Settings, draw: int = 0) -> Tensor:
    """Rows of the labels of one draw; all given labels when no number per class was asked for."""
    _need_labels(table, where.given)
    return usable(table, where, settings, draw)


def usable(table: ImageTable, where: Parts, settings: Settings, draw: int = 0) -> Tensor:
    """The same where it does not matter whether there are labels at all, or of how many classes."""
    if settings.labels_per_class is None or len(where.given) == 0:
        return where.given
    chosen = nested_draw(table.labels[where.given], settings.labels_per_class, settings.seed, draw, table.classes)
    return where.given[chosen]


def comparison(table: ImageTable, where: Parts, settings: Settings, found: Siblings | None = None) -> list[Split]:
    """The splits on which the arms are compared. `found`: the siblings of draw 0's labels, if they are known."""
    if judges_on_target(table) and settings.labels_per_class is None:
        raise UsageError(
            "the target has labelled test images: say by --labels-per-class how many labels of each class may be used, "
            "so that the arms are judged on them"
        )
    if uses_draws(settings, len(where.test)):
        return [
            Split("draw", i, labelled_rows(table, where, settings, i), where.test, key(settings.seed, "draw", i))
            for i in range(settings.judge.draws)
        ]
    return _folds(table, labelled_rows(table, where, settings), settings, "fold", settings.judge.folds, found)


def curve(table: ImageTable, where: Parts, settings: Settings) -> list[Split]:
    """The same draws with the other numbers of labels that `judge.curve` asks for; none without a test split."""
    if not uses_draws(settings, len(where.test)):
        return []
    found = []
    for each in sorted(set(settings.judge.curve) - {settings.labels_per_class}):
        other = settings.model_copy(update={"labels_per_class": each})
        for i in range(settings.judge.draws):
            rows = labelled_rows(table, where, other, i)
            found.append(Split("curve", i, rows, where.test, key(settings.seed, "draw", i), each))
    return found


def selection(table: ImageTable, where: Parts, settings: Settings, found: Siblings | None = None) -> list[Split]:
    """Cross-validation on the labels of draw 0, to choose the final arm; none where folds did it already. With a target
    it is there, too: its held-out images are shown as the target would (pipeline.py). None with one label a class, and
    none where a test split judges and all drawn labels of a class are of one group (or copies)."""
    draws = uses_draws(settings, len(where.test))
    if not (draws or table.domain is not None) or not cross_validates(settings, len(where.test)):
        return []
    rows = labelled_rows(table, where, settings)
    found = siblings(table, rows) if found is None else found
    try:
        return _folds(table, rows, settings, "select", settings.judge.select_folds, found)
    except InputError:
        if draws:  # the comparison needs no folds
            return []
        raise


def _folds(
    table: ImageTable, rows: Tensor, settings: Settings, role: str, count: int, found: Siblings | None
) -> list[Split]:
    if settings.labels_per_class == 1:
        raise UsageError(
            "--labels-per-class 1: without a test split the arms are compared by cross-validation on these labels, "
            "which needs two of each class; ask for 2 or more"
        )
    repeats = settings.judge.repeats if role == "fold" else 1
    found = siblings(table, rows) if found is None else found
    pairs = folds(table.labels[rows], found.units, count, repeats, settings.seed, table.classes)
    return [
        Split(role, i, rows[torch.as_tensor(train)], rows[torch.as_tensor(test)], key(settings.seed, role, i))
        for i, (train, test) in enumerate(pairs)
    ]


def final(table: ImageTable, where: Parts, settings: Settings) -> Split:
    """All labels that may be used, for the classifier that `predict` uses."""
    rows = labelled_rows(table, where, settings)
    return Split("final", 0, rows, where.test, key(settings.seed, "final"))
