"""Classifiers by name: scikit-learn's contract, -1 for unlabelled, minted samples, calibration."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.utils.estimator_checks import check_estimator

import augmint as am
from augmint.augment import policy
from augmint.classify import candidates, fit_logistic, fit_scratch, fit_student
from augmint.classify.classifiers import classifier, names
from augmint.classify.graph import DECIDING, propagated_scores
from augmint.classify.linear import Squares
from augmint.classify.student import LESSON
from augmint.config import ClassifySettings, FinetuneSettings
from augmint.data.table import Batch
from augmint.errors import InputError, UsageError
from augmint.measure.calibration import best_temperature, expected_calibration_error
from augmint.represent.encoder import Encoder, Form, build
from augmint.represent.whitening import Whitening
from augmint.seeding import Draws
from augmint.train import Compute

STATUSES = ("passed", "failed", "xfail", "skipped")
FEATURES = ("logistic", "propagate", "prototype", "pseudo")
NOT_EXPECTED_TO_PASS = {
    "check_classifiers_classes": "one of its cases has the classes -1 and 1; here -1 means unlabelled",
}
SKIPPED_BY_SCIKIT_LEARN = {
    "check_array_api_input": "wants SCIPY_ARRAY_API set before scipy is imported; we take and return numpy",
    "check_classifier_data_not_an_array": "its last part wants pandas, which we do not need; the parts before it ran",
}
Arrays = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def blobs(count: int = 240, spread: float = 2.0) -> Arrays:
    x, y = make_blobs(count, 6, centers=3, cluster_std=spread, random_state=0)
    return x.astype(np.float32), y


def few(y: np.ndarray[Any, Any], each: int = 4) -> np.ndarray[Any, Any]:
    """All but the first `each` labels of a class hidden."""
    known = np.full_like(y, -1)
    for c in np.unique(y):
        known[np.flatnonzero(y == c)[:each]] = c
    return known


@pytest.fixture
def brief_student(monkeypatch: pytest.MonkeyPatch) -> None:
    """20 steps instead of 500 for `pseudo`, where the number of fits counts and not how good they are."""

    def brief(*given: Any, **more: Any) -> Any:
        return fit_student(*given, **{**more, "steps": 20})

    monkeypatch.setattr("augmint.classify.classifiers.pseudo.fit_student", brief)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.EstimatorCheckFailedWarning")
@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.usefixtures("brief_student")
def test_scikit_learn_contract(name: str) -> None:
    found = check_estimator(classifier(name), expected_failed_checks=NOT_EXPECTED_TO_PASS, on_fail=None, on_skip=None)
    by = {status: {r["check_name"]: r["exception"] for r in found if r["status"] == status} for status in STATUSES}
    assert len(by["passed"]) > 40
    assert not by["failed"]
    assert set(by["xfail"]) == set(NOT_EXPECTED_TO_PASS)
    assert set(by["skipped"]) <= set(SKIPPED_BY_SCIKIT_LEARN)


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.usefixtures("brief_student")
def test_the_failed_check_fails_only_because_minus_one_is_unlabelled(name: str) -> None:
    """With other names for the same classes that check's case works."""
    x, y = blobs(60)
    signs = np.where(y == 0, -1, 1)
    other = np.where(y == 0, -2, 1)
    assert classifier(name).fit(x, signs).classes_.tolist() == [1]
    assert classifier(name).fit(x, other).classes_.tolist() == [-2, 1]


def test_found_by_name_from_python() -> None:
    assert {*FEATURES, "scratch", "finetune"} == set(names())
    assert am.classifier("propagate", k=5).get_params()["k"] == 5
    with pytest.raises(UsageError, match=r"choose one of .*propagate"):
        classifier("no-such")
    with pytest.raises(UsageError, match=r"'q'; it has .*prior"):
        classifier("propagate", q=1)


@pytest.mark.parametrize("name", FEATURES)
def test_few_labels_among_many_rows(name: str) -> None:
    x, y = blobs()
    new, truth = x[200:], y[200:]
    model = classifier(name).fit(x[:200], few(y[:200]))
    assert model.score(new, truth) > 0.85
    probabilities = model.predict_proba(new)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    np.testing.assert_array_equal(model.predict(new), model.classes_[probabilities.argmax(1)])


@pytest.mark.parametrize("name", FEATURES)
def test_without_labels_or_with_strange_extra_an_error_says_what_to_do(name: str) -> None:
    x, y = blobs(40)
    with pytest.raises(InputError, match="label at least one"):
        classifier(name).fit(x, np.full(40, -1))
    with pytest.raises(InputError, match="those are 0, 1, 2"):
        classifier(name).fit(x, y, extra=(x[:2], [0, 7], None))
    with pytest.raises(ValueError, match="features"):
        classifier(name).fit(x, y, extra=(x[:2, :3], [0, 1], None))


@pytest.mark.parametrize("name", FEATURES)
def test_strings_with_minus_one_among_them(name: str) -> None:
    """As scikit-learn has it: an array of objects, the number -1 for unlabelled. The same answers as with codes."""
    x, y = blobs(120)
    codes, words = few(y), np.array(["ant", "bee", "cat"], dtype=object)
    known = np.where(codes >= 0, words[codes], -1)
    made = x[:9] + np.float32(0.1)
    by_code = classifier(name, folds=0).fit(x, codes, extra=(made, y[:9], None))
    for labels in (words[y[:9]], words[y[:9]].astype(str)):
        by_word = classifier(name, folds=0).fit(x, known, extra=(made, labels, None))
        assert by_word.classes_.tolist() == ["ant", "bee", "cat"]
        np.testing.assert_array_equal(by_word.predict(x), words[by_code.predict(x)])
    with pytest.raises(InputError, match="those are ant, bee, cat"):
        classifier(name).fit(x, known, extra=(made[:1], np.array([-1], dtype=object), None))


@pytest.mark.parametrize("dtype", [str, object])
def test_a_string_that_looks_like_unlabelled_is_refused(dtype: Any) -> None:
    x, _ = blobs(40)
    with pytest.raises(InputError, match="write the number -1 for unlabelled: y of dtype object"):
        classifier("prototype").fit(x, np.array(["a", "b", "-1", "a"] * 10, dtype=dtype))


def test_labels_of_several_types_are_refused() -> None:
    x, _ = blobs(40)
    with pytest.raises(InputError, match=r"several types \(int, str\)"):
        classifier("prototype").fit(x, np.array(["a", "b", 7, -1] * 10, dtype=object))


# --- minted samples -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.usefixtures("brief_student")
def test_minted_samples_count_by_their_weight(name: str) -> None:
    """Minted rows that name another class win at a large weight and do next to nothing at a tiny one."""
    x, y = blobs(spread=0.5)
    known = few(y[:200], 5)
    made = x[:200][known >= 0] + np.float32(0.01), (known[known >= 0] + 1) % 3
    plain = classifier(name).fit(x[:200], known)
    tiny = classifier(name).fit(x[:200], known, extra=(*made, 1e-6))
    large = classifier(name).fit(x[:200], known, extra=(*made, 1e3))
    assert plain.score(x[200:], y[200:]) > 0.9 and large.score(x[200:], y[200:]) < 0.5
    assert np.mean(tiny.predict(x[200:]) == plain.predict(x[200:])) > 0.9


def test_minted_samples_without_a_weight_count_as_much_as_all_labels() -> None:
    x, y = blobs(60)
    made, labels = x[:30] + np.float32(0.5), y[:30]
    a = classifier("prototype").fit(x, y, extra=(made, labels, None))
    b = classifier("prototype").fit(x, y, extra=(made, labels, np.full(30, 2.0)))
    np.testing.assert_allclose(a.predict_proba(x), b.predict_proba(x))


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.usefixtures("brief_student")
def test_children_of_held_out_rows_do_not_calibrate(name: str) -> None:
    """Minted right beside their parents they would tell the held-out labels: the same temperature as without them."""
    x, y = blobs(150, spread=6.0)
    known = few(y, 12)
    own = known >= 0
    children = np.repeat(x[own], 4, 0) + np.random.default_rng(0).normal(0, 0.01, (144, 6)).astype(np.float32)
    plain = classifier(name).fit(x, known)
    minted = classifier(name).fit(x, known, extra=(children, np.repeat(known[own], 4), None))
    assert plain.temperature_ == minted.temperature_ != 1.0


def test_minted_samples_are_not_transduced() -> None:
    x, y = blobs(60)
    model = classifier("propagate").fit(x, few(y), extra=(x[:9], y[:9], None))
    assert len(model.transduction_) == 60 == len(model.label_distributions_)


# --- oracles ------------------------------------------------------------------------------------------


def test_logistic_equals_scikit_learn_on_the_labelled_rows() -> None:
    x, y = blobs(spread=5.0)
    known = few(y, 12)
    rows, z = known >= 0, (x - x.mean(0)) / x.std(0, ddof=1)
    want = LogisticRegression(C=0.1, max_iter=1000, tol=1e-6).fit(z[rows], y[rows]).predict_proba(z)
    got = classifier("logistic", folds=0).fit(x, known).predict_proba(x)
    np.testing.assert_allclose(got, want, atol=2e-3)


def test_prototype_is_the_nearest_mean_direction() -> None:
    x, y = blobs(spread=5.0)
    known = few(y)
    unit = (x - x.mean(0)) / np.linalg.norm(x - x.mean(0), axis=1, keepdims=True)
    means = np.stack([unit[known == c].mean(0) for c in range(3)])
    cosine = 10 * cosine_similarity(x - x.mean(0), means)
    got = classifier("prototype", folds=0).fit(x, known).predict_proba(x)
    np.testing.assert_allclose(got, np.exp(cosine) / np.exp(cosine).sum(1, keepdims=True), atol=1e-5)


def test_least_squares_equal_scikit_learn_ridge() -> None:
    x, y = blobs(spread=5.0)
    head = Squares.of(am_tensor(x), penalty=0.3).fit(am_tensor(y), 3)
    z = (x - x.mean(0)) / x.std(0, ddof=1)
    want = Ridge(alpha=0.3 * len(x)).fit(z, np.eye(3)[y]).predict(z)
    np.testing.assert_allclose(head.logits(am_tensor(x)).numpy() / 10, want, atol=1e-5)
    y[:20] = -1  # say nothing: as if their targets were the mean of the others'
    target = np.where(y[:, None] >= 0, np.eye(3)[y], np.eye(3)[y[20:]].mean(0))
    want = Ridge(alpha=0.3 * len(x)).fit(z, target).predict(z)
    head = Squares.of(am_tensor(x), penalty=0.3).fit(am_tensor(y), 3)
    np.testing.assert_allclose(head.logits(am_tensor(x)).numpy() / 10, want, atol=1e-5)


def test_pseudo_is_the_student_of_graphs_whose_neighbours_agree() -> None:
    """Step by step: graph, linear head on its decisions beside that of the labels, graph, student, graph, student."""
    values, y = blobs(spread=3.0)
    x, known = am_tensor(values), am_tensor(few(y))
    own = known >= 0
    near = candidates(x)

    def decided(graph: Any) -> torch.Tensor:
        return torch.where(own, known, am_tensor(propagated_scores(graph, known, 3, DECIDING).argmax(1)))

    first = decided(near.graph())
    scaling = {"mean": x.mean(0), "scale": x.std(0)}
    head = fit_logistic(x[own], known[own], classes=3, c=0.1, **scaling)
    second = decided(near.graph(head.logits(x) + Squares.of(x).fit(first, 3).logits(x)))
    lesson = fit_student(x, second, classes=3, seed=7, steps=LESSON, **scaling)
    third = decided(near.graph(lesson.logits(x)))
    want = fit_student(x, third, classes=3, seed=7, **scaling).logits(x).softmax(1)
    model = classifier("pseudo", whiten=None, folds=0, seed=7).fit(values, known.numpy())
    np.testing.assert_allclose(model.predict_proba(values), want.numpy(), atol=1e-5)


# --- calibration --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FEATURES)
def test_calibrated_probabilities_mean_more_than_raw_ones(name: str) -> None:
    x, y = blobs(900, spread=6.0)
    known = few(y[:500], 60)
    error = {}
    for folds in (0, 3):
        model = classifier(name, folds=folds).fit(x[:500], known)
        error[folds] = expected_calibration_error(*map(am_tensor, (model.predict_proba(x[500:]), y[500:])))
    assert error[3] < error[0] + 0.02 and error[3] < 0.1


def am_tensor(values: np.ndarray[Any, Any]) -> Any:
    return torch.from_numpy(np.asarray(values))


def test_a_class_with_one_label_cannot_be_held_out() -> None:
    x, y = blobs(60)
    assert classifier("logistic").fit(x, few(y, 1)).temperature_ == 1.0
    assert classifier("logistic").fit(x, few(y, 6)).temperature_ != 1.0


def test_a_handful_of_right_answers_is_no_certainty() -> None:
    """Smoothed by Platt's rule the best temperature has a closed form where all scores are alike."""
    logits, labels = am_tensor(np.tile([4.0, 0.0], (8, 1))), am_tensor(np.zeros(8, np.int64))
    assert best_temperature(logits, labels) == pytest.approx(0.05)
    right = 1 - 0.1 / 2  # one doubt in ten, spread over two classes
    assert best_temperature(logits, labels, smooth=True) == pytest.approx(4 / np.log(right / (1 - right)), rel=0.03)


# --- images -------------------------------------------------------------------------------------------

SHORT = ClassifySettings(width=8, images=640, batch=16)


def bright_and_dark(count: int = 80) -> Arrays:
    """Class 0: the left half is bright; class 1: the right half."""
    images = np.random.default_rng(0).integers(0, 90, (count, 1, 12, 12), dtype=np.uint8)
    labels = np.arange(count) % 2
    images[labels == 0, :, :, :6] += 120
    images[labels == 1, :, :, 6:] += 120
    return images, labels


def scratch(**options: Any) -> Any:
    return classifier("scratch", policy="none", settings=SHORT, device="cpu", **options)


def encoder() -> Encoder:
    """Random weights: enough to tell left from right."""
    compute, form = Compute.choose("cpu", "fp32"), Form("cnn", (1, 12, 12), 8, "auto", 0, 8, 2)
    torch.manual_seed(0)
    network, _ = build(form)
    return Encoder(form, compute.place(network).eval(), None, compute, Whitening.none(network.features))


def finetune(**options: Any) -> Any:
    settings = FinetuneSettings(images=2560, batch=32, policy="none", lr=5e-3)
    return classifier("finetune", encoder=encoder(), settings=settings, device="cpu", **options)


IMAGES = (scratch, finetune)


@pytest.mark.parametrize("made", IMAGES)
def test_check_estimator_does_not_apply_to_images(made: Any) -> None:
    """It gives tables of numbers [N, D] to every estimator; these read images [N, C, H, W] alone and say so."""
    with pytest.raises(InputError, match=r"reads images, uint8 \[N, C, H, W\]"):
        check_estimator(made())


@pytest.mark.parametrize("made", IMAGES)
def test_the_contract_is_kept_on_images(made: Any) -> None:
    x, y = bright_and_dark()
    known = np.where(np.arange(80) < 20, y, -1)
    model = made(folds=2)
    again = clone(model)
    assert model.fit(x, np.array(["left", "right"])[y]) is model and model.classes_.tolist() == ["left", "right"]
    again.fit(x, known)
    probabilities = again.predict_proba(x[20:])
    assert probabilities.shape == (60, 2) and again.temperature_ != 1.0
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert again.score(x[20:], y[20:]) > 0.95
    np.testing.assert_array_equal(clone(again).fit(x, known).predict_proba(x[:5]), again.predict_proba(x[:5]))
    with pytest.raises(InputError, match="load them at that size"):
        again.predict(x[:, :, :8, :8])


def test_scratch_mixes_weakly_augmented_images_as_the_arm_does(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Any] = []

    def fitted(*given: Any, **more: Any) -> Any:
        used.append(given[3])
        return fit_scratch(*given, **more)

    monkeypatch.setattr("augmint.classify.classifiers.scratch.fit_scratch", fitted)
    images, labels = bright_and_dark(8)
    scratch().set_params(policy="mixup", settings=SHORT.model_copy(update={"images": 16})).fit(images, labels)
    batch, draws = Batch(am_tensor(images), torch.eye(2)[labels], torch.ones(8)), Draws(0, "test", 0, torch.arange(8))
    want = policy("mixup")(policy("weak")(batch, draws.fork("first")), draws)
    assert torch.equal(used[0](batch, draws).images, want.images)


def test_scratch_takes_minted_images_by_weight() -> None:
    x, y = bright_and_dark()
    known = np.where(np.arange(80) < 20, y, -1)
    options = {"settings": SHORT.model_copy(update={"fade": 1.0})}
    fits = {
        w: clone(scratch()).set_params(**options).fit(x, known, extra=(x[20:60], 1 - y[20:60], w)) for w in (0.0, 50.0)
    }
    assert fits[0.0].score(x[60:], y[60:]) > 0.9 > 0.2 > fits[50.0].score(x[60:], y[60:])


def test_finetune_takes_the_file_of_an_encoder_and_leaves_it_as_it_is(tmp_path: Path) -> None:
    x, y = bright_and_dark()
    known, path = np.where(np.arange(80) < 20, y, -1), tmp_path / "encoder.safetensors"
    encoder().save(path)
    before = path.read_bytes()
    a, b = finetune().fit(x, known), finetune().set_params(encoder=path).fit(x, known)
    np.testing.assert_allclose(a.predict_proba(x), b.predict_proba(x), atol=1e-5)
    assert path.read_bytes() == before
    with pytest.raises(InputError, match="give one, or its file"):
        classifier("finetune").fit(x, known)


@pytest.mark.parametrize(("minted", "prior"), [(False, None), (True, None), (False, (4.0, 1.0))])
def test_finetune_starts_from_what_pseudo_knows_of_frozen_features(minted: bool, prior: Any) -> None:
    """Nothing learnt (rates 0): the same probabilities, with minted images too."""
    x, y = bright_and_dark()
    known, still = np.where(np.arange(80) < 12, y, -1), FinetuneSettings(images=32, batch=32, lr=0.0, head_lr=0.0)
    extra = (x[20:40], 1 - y[20:40], 2.0) if minted else None
    frozen = encoder()
    hidden = frozen.hidden(am_tensor(x)).numpy()
    want = classifier("pseudo", folds=0, prior=prior)
    want.fit(hidden, known, extra=(hidden[20:40], *extra[1:]) if extra else None)
    model = finetune().set_params(settings=still, prior=prior).fit(x, known, extra=extra)
    model._model.network.backbone.load_state_dict(frozen.network.state_dict())  # BatchNorm has seen other images
    np.testing.assert_allclose(model.predict_proba(x), want.predict_proba(hidden), atol=1e-4)
