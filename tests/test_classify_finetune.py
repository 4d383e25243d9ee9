"""Fine-tuning: the parts against numpy, then whole trainings on images whose classes are plain to see."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from augmint.classify import Extra, FinetunedEncoder, LogisticHead, fit_finetuned, fit_logistic
from augmint.classify.selftraining import Confidence, align, soft_cross_entropy, spread_out
from augmint.config import ClassifySettings, FinetuneSettings
from augmint.data.table import ImageTable
from augmint.represent.encoder import Encoder, Form, build
from augmint.represent.whitening import Whitening
from augmint.train import Compute

CPU = Compute(torch.device("cpu"), bf16=False)
SHORT = FinetuneSettings(images=1280, batch=32, policy="none")


def probabilities(rows: int, classes: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.4), rows)


# --- parts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_alignment_equals_numpy(power: float) -> None:
    p, shares, prior = probabilities(7, 4), probabilities(1, 4, 1)[0] + 0.1, probabilities(1, 4, 2)[0] + 0.1
    want = p * np.power(prior / shares, power)
    want /= want.sum(1, keepdims=True)
    got = align(*map(torch.from_numpy, (p, shares, prior)), power)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-10)
    if power == 0:
        np.testing.assert_allclose(got.numpy(), p)


def test_alignment_moves_the_mean_towards_the_prior() -> None:
    p, prior = torch.from_numpy(probabilities(4000, 3)), torch.tensor([0.6, 0.3, 0.1]).double()
    gaps = [float((align(p, p.mean(0), prior, power).mean(0) - prior).abs().sum()) for power in (0.0, 0.5, 1.0)]
    assert gaps[0] > gaps[1] > gaps[2]


def test_threshold_follows_the_equations() -> None:
    """FreeMatch (5) to (8), written out for three batches."""
    momentum, first = 0.9, probabilities(50, 3)
    state = Confidence.of(torch.from_numpy(first), momentum)
    level, shares = first.max(1).mean(), first.mean(0)
    for seed in (1, 2, 3):
        batch = probabilities(8, 3, seed)
        level = momentum * level + (1 - momentum) * batch.max(1).mean()
        shares = momentum * shares + (1 - momentum) * batch.mean(0)
        state.follow(torch.from_numpy(batch))
    want = shares / shares.max() * level
    np.testing.assert_allclose(state.thresholds.numpy(), want, rtol=1e-6)
    asked = probabilities(40, 3, 9)
    counted = [float(row.max() >= want[row.argmax()]) for row in asked]
    assert state.counts(torch.from_numpy(asked)).tolist() == counted and 0 < sum(counted) < 40
    other = Confidence.of(torch.from_numpy(first), momentum)
    other.load_state_dict(state.state_dict())
    assert torch.equal(other.thresholds, state.thresholds)


def test_loss_equals_numpy() -> None:
    logits, targets = np.random.default_rng(0).normal(size=(6, 4)), probabilities(6, 4)
    weights = np.array([1.0, 0.0, 0.5, 1.0, 0.0, 2.0])
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    want = -(weights * (targets * logs).sum(1)).sum() / 6
    got = soft_cross_entropy(*map(torch.from_numpy, (logits, targets, weights)))
    assert float(got) == pytest.approx(want, rel=1e-5)


def test_first_targets_are_softened_and_labels_kept() -> None:
    logits, labels = np.random.default_rng(0).normal(size=(5, 3)) * 9, np.array([-1, 2, -1, 0, -1])
    want = np.exp(logits / 3) / np.exp(logits / 3).sum(1, keepdims=True)
    want[[1, 3]] = np.eye(3)[[2, 0]]
    got = spread_out(torch.from_numpy(logits), torch.from_numpy(labels), 3.0)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-10)


# --- trainings ----------------------------------------------------------------------------------------


def sides(count: int = 120) -> ImageTable:
    """Class 0: the left half is bright; class 1: the right half."""
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 90, (count, 1, 12, 12), dtype=np.uint8))
    labels = torch.arange(count) % 2
    images[labels == 0, :, :, :6] += 120
    images[labels == 1, :, :, 6:] += 120
    return ImageTable.of(images, labels, ("left", "right"))


def untrained() -> Encoder:
    form = Form("cnn", (1, 12, 12), 8, "auto", 0, 8, 2)
    torch.manual_seed(0)
    network, _ = build(form)
    return Encoder(form, CPU.place(network).eval(), None, CPU, Whitening.none(network.features))


def start(encoder: Encoder, table: ImageTable, labelled: int = 8) -> tuple[LogisticHead, torch.Tensor, torch.Tensor]:
    """Head on the labelled rows, hidden vectors, known labels."""
    hidden = encoder.hidden(table)
    known = torch.full((len(table),), -1)
    known[:labelled] = table.labels[:labelled]
    head = fit_logistic(hidden[:labelled], known[:labelled], classes=2, mean=hidden.mean(0), scale=hidden.std(0) + 1e-6)
    return head, hidden, known


def test_learns_and_survives_a_file(tmp_path: Path) -> None:
    encoder, table = untrained(), sides()
    before = copy.deepcopy(encoder.network.state_dict())
    head, hidden, known = start(encoder, table)
    shown = table.with_labels(torch.full_like(known, -1))  # nothing but `known` may tell
    model = fit_finetuned(encoder, head, shown, hidden, known, SHORT, CPU, seed=0)
    logits = model.logits(table)
    assert float((logits.argmax(1) == table.labels).float().mean()) > 0.97
    model.save(tmp_path / "m.safetensors")
    torch.testing.assert_close(FinetunedEncoder.load(tmp_path / "m.safetensors", CPU).logits(table.images), logits)
    after = encoder.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert model.logits(table.images[:0]).shape == (0, 2)  # type: ignore[index]


def test_starts_from_the_given_head() -> None:
    """Nothing learnt (rates 0): the network says what the head said of the frozen features."""
    encoder, table = untrained(), sides(40)
    head, hidden, known = start(encoder, table)
    still = SHORT.model_copy(update={"lr": 0.0, "head_lr": 0.0, "images": 32, "momentum": 1.0})
    model = fit_finetuned(encoder, head, table, hidden, known, still, CPU, seed=0)
    weights = dict(encoder.network.named_parameters())
    assert all(torch.equal(value, weights[name]) for name, value in model.network.backbone.named_parameters())
    model.network.backbone.load_state_dict(encoder.network.state_dict())  # BatchNorm has seen other images
    torch.testing.assert_close(model.logits(table), head.logits(hidden), atol=1e-4, rtol=1e-4)


def test_the_same_seed_gives_the_same_network() -> None:
    encoder, table = untrained(), sides(40)
    given = start(encoder, table)
    short = SHORT.model_copy(update={"images": 160, "policy": "randaugment"})
    fits = [fit_finetuned(encoder, given[0], table, *given[1:], short, CPU, seed=s) for s in (1, 1, 2)]
    a, b, c = (model.logits(table) for model in fits)
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_rows_that_are_not_allowed_are_never_looked_at() -> None:
    """Held-out rows replaced by noise: the same network."""
    encoder, table = untrained(), sides(60)
    head, hidden, known = start(encoder, table)
    allowed = (known < 0) & (torch.arange(60) < 40)
    noise = torch.cat([table.images[:40], torch.randint(0, 256, (20, 1, 12, 12), dtype=torch.uint8)])  # type: ignore[index]
    other = ImageTable.of(noise, table.labels, table.classes)
    short = SHORT.model_copy(update={"images": 320})
    fits = [fit_finetuned(encoder, head, t, hidden, known, short, CPU, seed=0, allowed=allowed) for t in (table, other)]
    assert torch.equal(fits[0].logits(table), fits[1].logits(table))


def test_a_batch_moves_from_the_first_targets_to_the_networks_own() -> None:
    from augmint.classify.finetune import SelfTraining, Tuned

    encoder, table = untrained(), sides(40)
    head, hidden, known = start(encoder, table)
    soft = spread_out(head.logits(hidden), known, 3.0)
    network = CPU.place(Tuned(copy.deepcopy(encoder.network), head))
    settings = SHORT.model_copy(update={"alignment": 0.0, "trust": 0.5})
    rows = torch.arange(8, 40)
    images = table.gather(rows).float() / 255
    training = SelfTraining(network, table, soft, torch.arange(8), torch.arange(40), settings, CPU, seed=0)
    own = network.eval()(images).softmax(1)
    torch.testing.assert_close(training.targets(rows, images, 0.0), soft[rows])
    torch.testing.assert_close(training.targets(rows, images, 0.25), (soft[rows] + own) / 2, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(training.targets(rows, images, 0.5), own, atol=1e-6, rtol=1e-5)


def planted(count: int = 40) -> Extra:
    """Bright corners, above right for class 0 and above left for class 1: the contrary of what `sides` shows there."""
    labels = torch.arange(count) % 2
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 90, (count, 1, 12, 12), dtype=np.uint8))
    images[labels == 0, :, :4, 8:] += 160
    images[labels == 1, :, :4, :4] += 160
    return Extra(images, torch.nn.functional.one_hot(labels, 2).float(), torch.ones(count))


def test_extra_images_are_learnt_from() -> None:
    """What only they show is known with them, and known wrongly without; what the labels show is known either way."""
    encoder, table, extra = untrained(), sides(), planted()
    given, truth = start(encoder, table), extra.targets.argmax(1)
    quick = SHORT.model_copy(update={"lr": 5e-3, "head_lr": 5e-3, "images": 2560})
    fits = [fit_finetuned(encoder, given[0], table, *given[1:], quick, CPU, seed=0, extra=e) for e in (None, extra)]
    without, with_them = (float((m.logits(extra.images).argmax(1) == truth).float().mean()) for m in fits)
    assert without < 0.2 and with_them > 0.95
    assert all(float((m.logits(table).argmax(1) == table.labels).float().mean()) > 0.97 for m in fits)


def test_extra_images_count_by_their_share_and_weight() -> None:
    encoder, table, extra = untrained(), sides(40), planted()
    given, short = start(encoder, table), SHORT.model_copy(update={"images": 160, "policy": "randaugment"})

    def logits(extra: Extra | None, **mixing: float) -> torch.Tensor:
        m = ClassifySettings(**mixing)  # type: ignore[arg-type]
        fitted = fit_finetuned(encoder, given[0], table, *given[1:], short, CPU, seed=0, extra=extra, mixing=m)
        return fitted.logits(table)

    plain, none = logits(None), Extra(extra.images[:0], extra.targets[:0], extra.weights[:0])
    assert torch.equal(logits(extra, minted_share=0.0), plain) and torch.equal(logits(none), plain)
    assert not torch.equal(logits(extra), plain)
    other = Extra(255 - extra.images, extra.targets, extra.weights)
    heavy = [logits(e, minted_weight=w) for w in (1.0, 4.0) for e in (extra, other)]
    assert all(not torch.equal(a, b) for i, a in enumerate(heavy) for b in heavy[:i])
