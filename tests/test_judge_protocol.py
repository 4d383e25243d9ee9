import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from augmint.augment import POLICIES, policy
from augmint.classify import Extra, FinetunedEncoder, candidates, fit_logistic
from augmint.classify.linear import Squares
from augmint.config import JudgeSettings, Settings, resolve
from augmint.data.siblings import siblings
from augmint.data.table import Batch, ImageTable
from augmint.errors import InputError, UsageError
from augmint.judge import arms, protocol, trials
from augmint.judge.material import Material
from augmint.judge.situation import Situation
from augmint.judge.trials import Bench
from augmint.output import _sentence
from augmint.pipeline import Pipeline
from augmint.report.words import caution
from augmint.represent.encoder import Encoder, Form, build
from augmint.represent.whitening import Whitening
from augmint.seeding import Draws, permutation
from augmint.train import Compute, RunDir
from conftest import picture


def table(per_class: int = 40, classes: int = 3, test: int = 15, unlabelled: int = 30) -> ImageTable:
    count = per_class * classes + test + unlabelled
    labels = torch.cat(
        [torch.arange(per_class * classes) % classes, torch.arange(test) % classes, torch.full((unlabelled,), -1)]
    )
    split = torch.zeros(count, dtype=torch.int8)
    split[per_class * classes : per_class * classes + test] = 2
    ids = np.array([str(i) for i in range(count)])
    names = tuple("abcdefgh"[:classes])
    images = torch.zeros(count, 1, 8, 8, dtype=torch.uint8)
    return ImageTable(images, labels, ids, split, torch.full((count,), -1), torch.ones(count), names, ids, name="made")


def settings(per_class: int | None = None, **judge: object) -> Settings:
    return resolve(overrides={"labels_per_class": per_class, "judge": judge})


def test_draws_share_the_test_split_and_keep_apart() -> None:
    t, s = table(), settings(4)
    where = protocol.parts(t, s)
    splits = protocol.comparison(t, where, s)
    assert len(splits) == 10 and {x.role for x in splits} == {"draw"}
    for split in splits:
        assert torch.bincount(t.labels[split.train]).tolist() == [4, 4, 4]
        assert torch.equal(split.test, t.rows("test"))
        assert set(split.train.tolist()) <= set(where.given.tolist())
    assert len({tuple(x.train.tolist()) for x in splits}) == 10 and len({x.seed for x in splits}) == 10


def test_val_is_carved_from_train_and_is_in_no_pool() -> None:
    t, s = table(), settings(4)
    where = protocol.parts(t, s)
    groups = [set(x.tolist()) for x in (where.pool, where.val, where.test)]
    assert len(where.val) == 12 and set().union(*groups) == set(range(len(t)))
    assert sum(map(len, groups)) == len(t)
    assert torch.bincount(t.labels[where.val]).tolist() == [4, 4, 4]


def test_val_takes_whole_groups_and_nothing_of_them_stays_in_the_pool() -> None:
    t, s = table(), settings(4)
    group = torch.arange(len(t)) // 3  # triplets
    t = replace(t, group=group)
    where = protocol.parts(t, s)
    assert len(where.val) > 0
    assert not set(group[where.val].tolist()) & set(group[where.pool].tolist())
    assert set(where.given.tolist()) <= set(where.pool.tolist())
    for c in range(3):
        assert int((t.labels[where.val] == c).sum()) <= 4


def test_carving_val_needs_no_number_for_every_unit_and_class() -> None:
    """The plain way, of which every number is known, takes the same units."""
    count, kinds = 4000, 100
    t = ImageTable.of(torch.zeros(count, 1, 1, 1), torch.arange(count) * 7 % kinds, tuple(map(str, range(kinds))))
    unit, s, sizes = torch.arange(count) // 2 * 5, settings(2), []

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            sizes.extend(x.numel() for x in tree_leaves(out) if isinstance(x, torch.Tensor))
            return out

    with Sizes():
        val = protocol._carve(t, torch.arange(count), unit, s)
    assert max(sizes) <= count
    room, wanted = [4] * kinds, []
    for one in permutation(count // 2, s.seed, "val").tolist():
        pair = [2 * one, 2 * one + 1]
        if all(room[int(t.labels[row])] for row in pair):
            wanted += pair
            for row in pair:
                room[int(t.labels[row])] -= 1
    assert val.tolist() == sorted(wanted) and len(wanted) > 300


def test_without_a_test_split_labels_are_cross_validated() -> None:
    t, s = table(per_class=10, test=0), settings(None, folds=5, repeats=2)
    where = protocol.parts(t, s)
    splits = protocol.comparison(t, where, s)
    assert len(splits) == 10 and {x.role for x in splits} == {"fold"} and len(where.val) == 0
    for split in splits:
        assert not set(split.train.tolist()) & set(split.test.tolist())
        assert set(split.train.tolist()) | set(split.test.tolist()) == set(where.given.tolist())
    assert protocol.selection(t, where, s) == []


def test_exact_copies_stay_on_one_side_of_a_fold() -> None:
    t, s = table(per_class=10, test=0), settings(None)
    ids = np.array([f"{row // 6 if row < 12 else row}:{row}" for row in range(len(t))])  # two images, six times each
    t = replace(t, ids=ids)
    for split in protocol.comparison(t, protocol.parts(t, s), s):
        train, test = ({str(i).split(":")[0] for i in ids[rows.numpy()]} for rows in (split.train, split.test))
        assert not train & test


def pictures_twice(labels: torch.Tensor, twice: int) -> ImageTable:
    """Pictures with these labels; the first `twice` once more at the end, brighter, as a re-saved copy is."""
    images = torch.from_numpy(np.stack([np.array(picture(i, 16, 16, "L")) for i in range(len(labels))]))[:, None]
    again = (images[:twice].float() * 0.8 + 40).round().byte()
    return ImageTable.of(torch.cat([images, again]), torch.cat([labels, labels[:twice]]), ("a", "b", "c"))


def test_near_duplicates_stay_on_one_side_of_a_fold() -> None:
    t, s = pictures_twice(torch.arange(60) % 3, 9), settings(None)
    found = siblings(t, torch.arange(69))
    assert found.kept and found.lines(t) == [
        "9 near duplicates among the labelled images (e.g. image 0 and image 60): "
        "cross-validation keeps them in the same fold"
    ]
    for split in protocol.comparison(t, protocol.parts(t, s), s):
        assert all((row in split.test) == (60 + row in split.test) for row in range(9))


def test_near_duplicates_that_are_all_of_a_class_are_parted_and_it_is_said() -> None:
    labels = torch.arange(60) % 2
    labels[0] = 2
    t = pictures_twice(labels, 1)
    found = siblings(t, torch.arange(61))
    assert not found.kept and "may be too good" in found.lines(t)[0]
    assert len(torch.unique(found.units)) == 61


def test_where_near_duplicates_are_not_searched_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("augmint.data.siblings.CELLS", 60)
    t = pictures_twice(torch.arange(60) % 3, 1)
    assert "not searched" in siblings(t, torch.arange(61)).lines(t)[0]


def test_an_exact_copy_of_a_validation_image_is_in_no_pool() -> None:
    t, s = table(), settings(4)
    ids = np.array([f"{row // 2 if row < 120 else row}:{row}" for row in range(len(t))])
    t = replace(t, ids=ids, labels=torch.where(t.labels >= 0, torch.arange(len(t)) // 2 % 3, -1))
    where = protocol.parts(t, s)
    val, pool = ({name.split(":")[0] for name in ids[rows.numpy()]} for rows in (where.val, where.pool))
    assert val and not val & pool


def test_selection_cross_validates_the_labels_of_draw_0_alone() -> None:
    t, s = table(), settings(6)
    where = protocol.parts(t, s)
    drawn = set(protocol.labelled_rows(t, where, s).tolist())
    splits = protocol.selection(t, where, s)
    assert len(splits) == 3
    assert all(set(x.train.tolist()) | set(x.test.tolist()) == drawn for x in splits)
    assert set(protocol.final(t, where, s).train.tolist()) == drawn


def test_nothing_to_learn_from_is_a_clear_error() -> None:
    t = table()
    with pytest.raises(InputError, match="no labelled training image"):
        none = t.with_labels(torch.full((len(t),), -1))
        where = protocol.parts(none, settings())
        assert torch.equal(where.pool, none.rows("train")) and len(where.given) == 0
        protocol.comparison(none, where, settings())
    one = torch.where(t.labels >= 0, 0, -1)
    with pytest.raises(InputError, match=r"all labelled images are of one class \(a\)"):
        protocol.comparison(t.with_labels(one), protocol.parts(t.with_labels(one), settings()), settings())
    with pytest.raises(InputError):
        where = protocol.parts(t, settings(50))
        protocol.comparison(t, where, settings(50))


def test_one_label_per_class_is_judged_by_a_test_split_and_chooses_nothing() -> None:
    t, s = table(), settings(1)
    where = protocol.parts(t, s)
    assert len(protocol.comparison(t, where, s)) == 10 and protocol.selection(t, where, s) == []
    assert arms.usual(("scratch-weak", "encoder", "encoder-propagate")) == "encoder-propagate"
    assert arms.usual(("scratch-weak", "encoder-gaussian", "encoder")) == "encoder-gaussian"
    assert arms.usual(("scratch-weak", "scratch-none")) == "scratch-weak"


def test_with_one_label_per_class_the_final_arm_is_fixed_and_that_is_said(tmp_path: Path) -> None:
    pipeline = Pipeline(RunDir(tmp_path), settings(1))
    vars(pipeline)["table"] = table()
    assert pipeline.selected == [] == pipeline.select_splits and pipeline.final_arm == "encoder-propagate"
    assert trials.temperature([], tmp_path, torch.zeros(0), "encoder-propagate") == 1.0
    final = {"arm": "encoder-propagate", "cross_validated_accuracy": None, "labels": 3}
    facts: dict[str, Any] = {"data": {}, "evaluation": {"kind": "draws"}, "final": final}
    assert "the final classifier is encoder-propagate, which was not chosen by cross-validation" in caution(facts)
    assert caution({**facts, "final": {**final, "cross_validated_accuracy": 0.5}}) == ""
    assert "encoder-propagate, not chosen by cross-validation on 3 labels" in _sentence("classify", tmp_path, final)


def test_where_a_class_is_drawn_from_one_group_a_test_split_judges_all_the_same(tmp_path: Path) -> None:
    """Nothing of it can be held out to choose the final arm; under folds, which compare the arms, it is an error."""
    t, s = table(), settings(2)
    t = replace(t, group=torch.where(t.labels == 1, 7, torch.full((len(t),), -1)))
    pipeline = Pipeline(RunDir(tmp_path), s)
    vars(pipeline)["table"] = t
    assert len(pipeline.splits) == 10 and pipeline.select_splits == [] == pipeline.selected
    assert pipeline.final_arm == "encoder-propagate"
    alone = replace(t, split=torch.zeros_like(t.split))
    with pytest.raises(InputError, match="class b has only one labelled image"):
        protocol.comparison(alone, protocol.parts(alone, s), s)


def test_one_label_per_class_without_a_test_split_is_refused_in_plain_words() -> None:
    t, s = table(test=0), settings(1)
    with pytest.raises(UsageError, match=r"without a test split .* ask for 2 or more"):
        protocol.comparison(t, protocol.parts(t, s), s)


def test_arms_are_found_by_name() -> None:
    assert {*resolve().judge.arms, *(f"scratch-{name}" for name in POLICIES)} <= set(arms.arms())
    assert arms.family("scratch-minted") == "scratch" and arms.family("encoder") == "encoder"
    assert arms.traditional("scratch-cutmix@0.5") and arms.traditional("scratch-none")
    assert not any(map(arms.traditional, ("scratch-pseudo", "scratch-minted@0.25", "scratch-both", "encoder-mixup")))
    for wrong, reason in {
        "scratch-weak@much": "is no number from 0 on",
        "scratch-weak@-1": "is no number from 0 on",
        "scratch-weak@": "is no number from 0 on",
        "scratch-minted@0.6": "at most 0.5 of a batch",
        "encoder@2": "no more or less of it; call it encoder",
    }.items():
        with pytest.raises(UsageError, match=reason):
            arms.find(wrong)
    with pytest.raises(UsageError, match=r"choose from .*scratch-minted"):
        arms.find("scratch-magic")


def test_an_arm_that_is_named_twice_is_trained_once(tmp_path: Path) -> None:
    pipeline = Pipeline(RunDir(tmp_path), settings(4, arms=("scratch-weak", "encoder", "scratch-weak")))
    assert pipeline.arms == ("scratch-weak", "encoder")


class _Fits:
    """In place of a situation: what an arm asks for."""

    extra_policy = staticmethod(policy("none"))
    judge = "the judge"

    def __init__(self) -> None:
        zeros = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
        self.minted_extra, self.pseudo_extra = (Extra(zeros + i, torch.eye(2)[:1], torch.ones(1)) for i in (1, 2))

    def fit(self, *asked: object) -> tuple[object, ...]:
        return asked


def _asked(name: str) -> Any:
    return arms.find(name)(cast(Situation, _Fits()))


def test_an_arm_says_how_much_of_it() -> None:
    images = torch.arange(2 * 16, dtype=torch.uint8).view(2, 1, 4, 4) * 8
    batch, draws = Batch(images, torch.eye(2), torch.ones(2)), Draws(0, "test", 0, torch.arange(2))
    name, augment = _asked("scratch-randaugment@0")
    assert name == "scratch-randaugment@0" and torch.equal(augment(batch, draws).images, images.float() / 255)
    _, strong = _asked("scratch-randaugment@2")
    assert torch.equal(strong(batch, draws).images, policy("randaugment", 2.0)(batch, draws).images)
    _, mixing = _asked("scratch-mixup@0")  # nothing is mixed: what comes before remains
    assert torch.equal(mixing(batch, draws).images, policy("weak")(batch, draws.fork("first")).images)
    _, mixing = _asked("scratch-mixup")
    assert bool(((mixing(batch, draws).targets > 0) & (mixing(batch, draws).targets < 1)).any())


def test_an_arm_with_extra_samples_takes_a_share() -> None:
    assert _asked("scratch-pseudo") == "the judge"
    name, _, extra, share = _asked("scratch-pseudo@0.25")
    assert (name, share) == ("scratch-pseudo@0.25", 0.25) and bool((extra.images == 2).all())
    name, _, extra, share = _asked("scratch-minted@0.25")
    assert (name, share) == ("scratch-minted@0.25", 0.25) and bool((extra.images == 1).all())
    name, _, extra, share = _asked("scratch-both")
    assert (name, share) == ("scratch-both", None) and extra.images[:, 0, 0, 0].tolist() == [1, 2]


def test_a_trial_is_repeated_when_its_labels_or_held_out_images_change(tmp_path: Path) -> None:
    t, s = table(test=0), settings(None)
    split = protocol.comparison(t, protocol.parts(t, s), s)[0]

    def folder(changed: ImageTable, test: torch.Tensor = split.test) -> str:
        where = protocol.parts(changed, s)
        material = Material(
            changed,
            where.pool,
            changed,
            torch.zeros(0),
            torch.zeros(0),
            None,
            where.val,
            s,
            Compute.choose("cpu", "fp32"),
        )
        return Bench(RunDir(tmp_path), material, {}).stage(replace(split, test=test), "encoder").folder.name

    relabelled = t.labels.clone()
    relabelled[split.train[0]] = (relabelled[split.train[0]] + 1) % 3
    assert folder(t) == folder(table(test=0))
    assert folder(t) != folder(t.with_labels(relabelled))
    assert folder(t) != folder(t, split.test[1:])


def test_extra_features_do_not_weaken_the_penalty() -> None:
    """The labelled features once more as extra ones: nothing new, so the same head."""
    draws = torch.Generator().manual_seed(0)
    features, labels = torch.randn(12, 5, generator=draws), torch.arange(12) % 3
    material = SimpleNamespace(hidden=features, settings=resolve(), mean=torch.zeros(5), scale=torch.ones(5))
    situation: Any = SimpleNamespace(material=material, rows=torch.arange(12), labels=labels, classes=3)
    alone = fit_logistic(
        features, labels, classes=3, c=resolve().classify.logistic_c, mean=torch.zeros(5), scale=torch.ones(5)
    )
    twice = arms._head(cast(Situation, situation), (features, labels))
    torch.testing.assert_close(alone.weight, twice.weight, atol=1e-3, rtol=1e-3)


RIVALS = [
    "encoder-smote",
    "encoder-mixup",
    "encoder-neighbours",
    "encoder-walks",
    "encoder-gaussian",
    "encoder-propagate",
]


def three_far_classes(seed: int = 1, **mint: int) -> tuple[Situation, torch.Tensor, torch.Tensor]:
    """Ninety rows, the first six labelled, the last thirty held out. The situation, features, and classes."""
    g = torch.Generator().manual_seed(0)
    classes = torch.arange(90) % 3
    features = torch.randn(90, 5, generator=g) * 0.5 + 4 * torch.eye(5)[classes]
    pool = torch.arange(90)
    material: Any = SimpleNamespace(
        table=SimpleNamespace(labels=classes, classes=("a", "b", "c")),
        pool=pool,
        pool_table=SimpleNamespace(of_target=torch.zeros(90, dtype=torch.bool)),
        place=pool,
        hidden=features,
        features=features,
        settings=resolve(overrides={"mint": mint}),
        mean=features.mean(0),
        scale=features.std(0),
        near=candidates(features),
        squares=Squares.of(features),
    )
    return Situation(material, protocol.Split("fold", 0, pool[:6], pool[60:], seed)), features, classes


@pytest.mark.parametrize("name", RIVALS)
def test_plain_rivals_of_minted_features_are_arms(name: str) -> None:
    """Two labels a class: every rival's head knows the others; held-out rows get no label."""
    situation, features, classes = three_far_classes()
    allowed, pool = situation.unlabelled, torch.arange(90)
    assert not allowed[:6].any() and not allowed[60:].any() and allowed[6:60].all()
    assert torch.equal(situation.decisions >= 0, pool < 60) and torch.equal(situation.decisions[:6], classes[:6])
    head: Any = arms.find(name)(situation)
    assert float((head.logits(features).argmax(1) == classes).float().mean()) > 0.95


def test_parents_are_any_of_their_class() -> None:
    """Not the surest, which look like each other: a random order, another for each draw."""
    situation, _, classes = three_far_classes(parents_per_class=10)
    rows, labels = situation.possible_parents
    assert rows.tolist() != sorted(rows.tolist()) == list(range(6, 60)) and torch.equal(labels, classes[rows])
    some, theirs = situation.pseudo
    assert torch.bincount(theirs).tolist() == [10, 10, 10] and torch.equal(theirs, classes[some])
    assert all(torch.equal(some[theirs == k], rows[labels == k][:10]) for k in range(3))
    assert torch.equal(three_far_classes(parents_per_class=10)[0].pseudo[0], some)
    assert not torch.equal(three_far_classes(seed=2)[0].possible_parents[0], rows)


def test_gaussian_features_have_their_covariance_from_unlabelled_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """One label a class has no spread of its own; held-out features have no part in it."""
    g = torch.Generator().manual_seed(0)
    classes, spread = torch.arange(3000) % 3, torch.tensor([0.2, 0.6, 1.0])
    features = torch.randn(3000, 3, generator=g) * spread + 20 * torch.eye(3)[classes]
    features[2000:] *= 50
    pool = torch.arange(3000)
    material: Any = SimpleNamespace(
        table=SimpleNamespace(labels=classes, classes=("a", "b", "c")),
        pool=pool,
        place=pool,
        hidden=features,
        settings=resolve(overrides={"mint": {"features_per_label": 2000, "features_per_class": 2000}}),
    )
    situation = Situation(material, protocol.Split("fold", 0, torch.arange(3), torch.arange(2000, 3000), 1))
    monkeypatch.setattr(arms, "_head", lambda situation, extra: extra)
    made, labels = cast(Any, arms.encoder_gaussian(situation))
    assert torch.equal(labels.unique(), torch.arange(3))
    torch.testing.assert_close(made[labels == 1].std(0), spread, rtol=0.15, atol=0.05)


def test_a_class_without_labels_changes_nothing_about_the_others() -> None:
    """One more class that nobody labelled: the same decisions as without it, and none for it."""
    x = torch.randn(300, 8, generator=torch.Generator().manual_seed(0))
    labels, pool = torch.arange(300) % 2, torch.arange(300)
    graphs = []
    for classes in (("a", "b"), ("a", "b", "nobody")):
        material: Any = SimpleNamespace(
            table=SimpleNamespace(labels=labels, classes=classes), pool=pool, place=pool, hidden=x, settings=resolve(),
            near=candidates(x), squares=Squares.of(x), mean=x.mean(0), scale=x.std(0),
            pool_table=SimpleNamespace(of_target=torch.zeros(300, dtype=torch.bool)),
        )  # fmt: skip
        situation = Situation(material, protocol.Split("draw", 0, pool[:8], pool[:0], 1))
        first = situation.head + material.squares.fit(situation._decide(material.near.graph()), len(classes))
        graphs.append(material.near.graph(first.logits(x)[:, :2]))
        assert int(situation.decisions.max()) == 1 and situation.student.logits(x).argmax(1).max() == 1
        assert abs(situation.graph - material.near.graph()).max() > 0.1  # opinions that are not all the same
    assert abs(graphs[0] - graphs[1]).max() < 1e-4


@pytest.mark.parametrize(
    ("prior", "shares"),
    [("uniform", (1, 1, 1)), ("labels", (1, 2, 3)), ((1, 2, 1), (1, 2, 1)), ((9, 1, 9), (9, 9)), ("none", None)],
)
def test_propagation_keeps_to_the_frequencies_that_it_is_told(prior: Any, shares: tuple[int, ...] | None) -> None:
    """One cloud, so that nothing but the prior says how many rows a class has; the last but one lacks a class."""
    features = torch.randn(600, 8, generator=torch.Generator().manual_seed(0))
    rows = torch.arange(6) if shares is None or len(shares) == 3 else torch.tensor([0, 3, 4, 5])
    labels = torch.tensor([0, 1, 1, 2, 2, 2] + 594 * [0])
    pool, scaling = torch.arange(600), {"mean": features.mean(0), "scale": features.std(0)}
    material: Any = SimpleNamespace(
        table=SimpleNamespace(labels=labels, classes=("a", "b", "c")), pool=pool, place=pool, hidden=features,
        settings=resolve(overrides={"classify": {"prior": prior}}), near=candidates(features),
        squares=Squares.of(features), **scaling,
    )  # fmt: skip
    situation = Situation(material, protocol.Split("draw", 0, rows, pool[:0], 1))
    counts = torch.bincount(situation.decisions, minlength=3)
    if shares is None:
        assert int(counts.max()) > 1.3 * int(counts.min())
        return
    wanted = torch.tensor(shares).double() / sum(shares) * 600
    torch.testing.assert_close(counts[counts > 0].double(), wanted, atol=30, rtol=0)


def test_the_finetuned_arm_sees_its_own_labels_and_no_held_out_row() -> None:
    """Its network starts from the head of `encoder-propagate` and is stored as one file of its own kind."""
    form = Form("cnn", (1, 8, 8), 8, "auto", 0, 8, 2)
    compute = Compute.choose("cpu", "fp32")
    torch.manual_seed(0)
    body = build(form)[0]
    encoder = Encoder(form, compute.place(body).eval(), None, compute, Whitening.none(body.features))
    t = sides(90)
    hidden = encoder.hidden(t)
    short = {"classify": {"finetune": {"images": 1280, "batch": 32, "policy": "none", "lr": 5e-3}}}
    pool = torch.arange(90)
    material = Material(t, pool, t, hidden, hidden, candidates(hidden), pool[:0], resolve(overrides=short), compute)
    split = protocol.Split("fold", 0, torch.arange(6), torch.arange(60, 90), 1)
    with pytest.raises(UsageError, match="needs an encoder"):
        arms.find("encoder-finetune")(Situation(material, split))
    model = arms.find("encoder-finetune")(Situation(replace(material, encoder=encoder), split))
    assert isinstance(model, FinetunedEncoder) and arms.family("encoder-finetune") == "encoder"
    assert float((model.logits(t).argmax(1) == t.labels).float().mean()) > 0.95
    other = t.with_labels(torch.where(pool < 6, t.labels, 1 - t.labels))  # all labels but its own turned around
    again = arms.find("encoder-finetune")(Situation(replace(material, encoder=encoder, table=other), split))
    assert torch.equal(again.logits(t), model.logits(t))  # type: ignore[arg-type]
    noise = torch.randint(0, 256, (30, 1, 8, 8), dtype=torch.uint8)
    held = ImageTable.of(torch.cat([t.gather(pool[:60]), noise]), t.labels, t.classes)
    again = arms.find("encoder-finetune")(Situation(replace(material, encoder=encoder, pool_table=held), split))
    assert torch.equal(again.logits(t), model.logits(t))  # type: ignore[arg-type]

    contrary, told = t.take(pool[6:46]).with_labels(1 - t.labels[6:46]), {}
    for share in ("", "@0", "@0.5"):  # minted images that say otherwise than the labels
        situation = Situation(replace(material, encoder=encoder), split)
        situation.minted = SimpleNamespace(accepted=lambda: contrary)  # type: ignore[assignment]
        told[share] = arms.find(f"encoder-finetune-minted{share}")(situation).logits(t)  # type: ignore[arg-type]
    assert torch.equal(told["@0"], model.logits(t)) and not torch.equal(told[""], told["@0"])  # type: ignore[arg-type]
    assert torch.equal(told[""], told["@0.5"])


def sides(count: int) -> ImageTable:
    """Class 0: the left half is bright; class 1: the right half."""
    images = torch.randint(0, 90, (count, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(count) % 2
    images[labels == 0, :, :, :4] += 120
    images[labels == 1, :, :, 4:] += 120
    return ImageTable.of(images, labels, ("left", "right"))


def test_the_protocol_in_words_names_settings_that_there_are() -> None:
    text = (Path(__file__).parents[1] / "docs" / "protocol.md").read_text()
    named = set(re.findall(r"`judge\.(\w+)`", text))
    assert {"draws", "folds", "repeats", "equivalence"} <= named <= set(JudgeSettings.model_fields)
    judge = JudgeSettings()
    assert (judge.draws, judge.folds, judge.repeats, judge.equivalence) == (10, 5, 2, 0.005)  # in words on that page
