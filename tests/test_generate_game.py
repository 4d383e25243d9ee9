"""SYSTEM sections 4 to 6 by name: what D and G minimise, taken apart and written again by hand."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from augmint.config import (
    ContrastSettings,
    FeatureGeneratorSettings,
    ImageGeneratorSettings,
    OptimiserSettings,
    RepresentSettings,
)
from augmint.data.table import ImageTable
from augmint.errors import InputError, UsageError
from augmint.generate import contrast, groups, losses, pairs
from augmint.generate.feature import FeatureGenerator, FeatureTrainer, train_feature_generator
from augmint.generate.game import LAZY, Game, frozen, optimiser
from augmint.generate.image import ImageGenerator, train_image_generator
from augmint.generate.image_training import ImageTrainer
from augmint.generate.views import Adaptive, together
from augmint.networks.backbones import Backbone, backbone
from augmint.networks.contrastive import ContrastiveDiscriminator, FrozenTrunk
from augmint.networks.discriminators import Discriminator
from augmint.networks.judges import image_discriminator
from augmint.represent import train_encoder
from augmint.represent.losses import nt_xent
from augmint.seeding import Draws
from augmint.train import Compute, RunDir, checkpoint
from fake_mint import digits

CPU = Compute(torch.device("cpu"), bf16=False)
SMALL = ImageGeneratorSettings(trunk="own", width=4, d_width=4, noise=8, latent=16, images=64, batch=16)
NONE = ContrastSettings(views="none")


def draws(count: int, step: int = 0) -> Draws:
    return Draws(0, "test", step, torch.arange(count))


def still(**changes: object) -> ImageGeneratorSettings:
    """D's optimiser has rate 0: a step tells its loss and moves nothing."""
    return SMALL.model_copy(update={"d_optimiser": OptimiserSettings(name="sgd", lr=0.0), **changes})


class Quadratic(Discriminator):
    """D(x) = a ‖x‖² + b·x′: its slope in x is 2 a x."""

    pairs = True

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(0.3)), nn.Parameter(torch.tensor(0.1))

    def score(self, candidates: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
        return self.a * candidates.square().flatten(1).sum(1) + self.b * anchors.flatten(1).sum(1)


def some(count: int, seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(count, *(shape or (1, 4, 4)), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("mismatched", [False, True])
def test_gradient_penalty_is_r1_on_real_and_r2_on_generated(mismatched: bool) -> None:
    """(β/2) E‖∇D(x)‖² + (β/2) E‖∇D(x̃)‖², each over its own batch, whatever else D sees."""
    real, fake, wrong = some(6, 0), some(4, 1), some(6, 2)
    pair = lambda x: (x, some(len(x), 3))  # noqa: E731
    losses = {}
    for beta in (0.0, 0.5):
        game = Game(still(loss="adversarial", beta=beta), [Quadratic()], CPU)
        metrics = game.d_step(pair(real), pair(fake), pair(wrong) if mismatched else None, draws(6))
        losses[beta] = float(metrics["d_loss"])
    r1, r2 = (0.5 * float((0.6 * x).square().flatten(1).sum(1).mean()) for x in (real, fake))
    assert losses[0.5] - losses[0.0] == pytest.approx(LAZY * 0.5 * (r1 + r2), rel=1e-4)
    off_beat = Game(still(loss="adversarial", beta=0.5), [Quadratic()], CPU)
    found = off_beat.d_step(pair(real), pair(fake), pair(wrong) if mismatched else None, draws(6, step=1))
    assert float(found["d_loss"]) == pytest.approx(losses[0.0])


def test_log_score_is_in_both_objectives_and_lambda_weighs_the_adversarial_term_alone() -> None:
    real, fake = (some(5, 0), some(5, 1)), (some(5, 2), some(5, 3))
    judge = Quadratic()
    on_real, on_fake = (judge(*p).detach().double().numpy() for p in (real, fake))
    log_d = np.mean(-np.log1p(np.exp(-on_fake)))
    rules = still(loss="adversarial", constraint="log_score", beta=0.25, lambda_=3.0)
    game = Game(rules, [judge], CPU)
    d_wanted = np.mean(np.log1p(np.exp(-on_real))) + np.mean(np.log1p(np.exp(on_fake))) + 0.25 * log_d
    assert float(game.d_step(real, fake, None, draws(5))["d_loss"]) == pytest.approx(d_wanted, rel=1e-5)
    assert float(game.g_loss(fake, real, draws(5))) == pytest.approx(3.0 * -log_d + 0.25 * log_d, rel=1e-5)


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop"])
def test_first_step_of_each_optimiser_by_hand(name: str) -> None:
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    chosen = optimiser(iter([weight]), OptimiserSettings(name=name, lr=0.1, betas=(0.5, 0.9)))  # type: ignore[arg-type]
    weight.grad = torch.tensor([0.3, -4.0])
    chosen.step()
    slope = np.array([0.3, -4.0])
    step = {"sgd": slope, "adam": np.sign(slope), "rmsprop": slope / np.sqrt(0.1 * slope**2)}[name]
    np.testing.assert_allclose(weight.detach().numpy(), np.array([1.0, -2.0]) - 0.1 * step, rtol=1e-4)


def test_frozen_leaves_what_was_frozen() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False))
    with frozen(network):
        assert not any(p.requires_grad for p in network.parameters())
    assert [p.requires_grad for p in network.parameters()] == [True, True, False, False]


# --- the contrastive discriminator -----------------------------------------------------------------


def oracle_supervised(fakes: np.ndarray, reals: np.ndarray, temperature: float) -> float:
    """Loops over anchors, positives and the denominator."""
    f, r = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (fakes, reals))
    total = 0.0
    for i in range(len(f)):
        others = [j for j in range(len(f)) if j != i]
        below = sum(np.exp(f[i] @ f[k] / temperature) for k in others)
        below += sum(np.exp(f[i] @ k / temperature) for k in r)
        total += -np.mean([np.log(np.exp(f[i] @ f[j] / temperature) / below) for j in others])
    return total / len(f)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize(("generated", "real"), [(2, 3), (6, 10)])
def test_supervised_contrast_by_loops(temperature: float, generated: int, real: int) -> None:
    rng = np.random.default_rng(0)
    f, r = rng.normal(size=(generated, 5)), rng.normal(size=(real, 5))
    found = contrast.supervised_contrast(torch.tensor(f), torch.tensor(r), temperature)
    assert found.item() == pytest.approx(oracle_supervised(f, r, temperature), rel=1e-4, abs=1e-6)
    assert contrast.supervised_contrast(torch.tensor(f[:1]), torch.tensor(r), temperature).item() == 0


def contrastive(shape: tuple[int, int, int] = (1, 8, 8)) -> ContrastiveDiscriminator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = image_discriminator("contrastive", shape, 4, spectral=False)
    assert isinstance(made, ContrastiveDiscriminator)
    return made


def test_the_article_heads_sizes() -> None:
    judge = contrastive()
    sizes = [(layer.in_features, layer.out_features) for layer in judge.head if isinstance(layer, nn.Linear)]
    assert sizes == [(128, 512), (512, 1)]
    assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in judge.modules())


def test_d_of_contrad_is_three_terms() -> None:
    """NT-Xent of two real views + supervised contrast of the generated + softplus on a head over detached features."""
    judge, real, fake = contrastive(), some(6, 0, 1, 8, 8), some(4, 1, 1, 8, 8)
    game = Game(still(loss="adversarial"), [judge], CPU, ContrastSettings(views="none", temperature=0.2, weight=0.7))
    with torch.no_grad():
        of_real, of_fake = judge.features(real), judge.features(fake)
        views = judge.real(of_real)
        wanted = nt_xent(views, views, 0.2)
        apart = [judge.fake(x).double().numpy() for x in (of_fake, torch.cat([of_real, of_real]))]
        wanted = wanted + 0.7 * oracle_supervised(*apart, 0.2)
        logits = [judge.head(x)[:, 0].double().numpy() for x in (of_real, of_fake)]
    wanted = wanted + np.log1p(np.exp(-logits[0])).mean() + np.log1p(np.exp(logits[1])).mean()
    found = game.d_step((real, real), (fake, fake), None, draws(6))["d_loss"]
    assert float(found) == pytest.approx(float(wanted), rel=1e-4)


def test_real_or_generated_teaches_the_head_alone_and_contrast_the_rest() -> None:
    judge, real, fake = contrastive(), some(6, 0, 1, 8, 8), some(6, 1, 1, 8, 8)
    heard = contrast.listen(judge, real, fake, draws(6), NONE, CPU, slope=False)
    (heard.real.mean() - heard.fake.mean()).backward(retain_graph=True)
    assert all(p.grad is None for p in judge.features.parameters())
    assert all(p.grad is not None for p in judge.head.parameters())
    judge.zero_grad()
    heard.extra.backward()
    assert all(p.grad is not None for part in (judge.features, judge.real, judge.fake) for p in part.parameters())
    assert all(p.grad is None for p in judge.head.parameters())


def test_g_of_contrad_goes_through_all_of_d_and_the_augmentation() -> None:
    judge, real = contrastive(), some(6, 0, 1, 8, 8)
    fake = some(6, 1, 1, 8, 8).requires_grad_()
    settings = ContrastSettings(views="gentle")
    game = Game(still(loss="adversarial", lambda_=2.0), [judge], CPU, settings)
    loss = game.g_loss((fake, fake), (real, real), draws(6))
    shown = contrast.view(fake.detach(), draws(6).fork("contrast/1"), "gentle")
    wanted = 2 * np.log1p(np.exp(-judge(shown, shown).detach().double().numpy())).mean()
    assert loss.item() == pytest.approx(wanted, rel=1e-5)
    loss.backward()
    assert (fake.grad.flatten(1).abs().sum(1) > 0).all()  # type: ignore[union-attr]
    assert all(p.grad is None for p in judge.parameters())


def test_its_gradient_penalty_reaches_the_convolutions() -> None:
    judge, real, fake = contrastive(), some(6, 0, 1, 8, 8), some(6, 1, 1, 8, 8)
    plain = Game(still(loss="adversarial"), [judge], CPU, NONE).d_step((real, real), (fake, fake), None, draws(6))
    game = Game(still(loss="adversarial", beta=1.0), [judge], CPU, NONE)
    penalised = game.d_step((real, real), (fake, fake), None, draws(6))
    wanted = 0.0
    for x in (real, fake):
        leaf = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(judge(leaf, leaf).sum(), leaf)
        wanted += 0.5 * float(slope.flatten(1).square().sum(1).mean())
    assert float(penalised["d_loss"] - plain["d_loss"]) == pytest.approx(LAZY * wanted, rel=1e-2)


def test_the_contrastive_discriminator_learns_real_from_generated() -> None:
    pool = digits(64)
    real = pool.images.float() / 255
    fake = real.flip(1, 2)  # upside down
    judge = contrastive()
    rules = SMALL.model_copy(update={"loss": "adversarial", "d_optimiser": OptimiserSettings(lr=2e-3)})
    game = Game(rules, [judge], CPU, ContrastSettings(views="gentle"))
    first = game.d_step((real, real), (fake, fake), None, draws(64))
    for step in range(1, 60):
        last = game.d_step((real, real), (fake, fake), None, draws(64, step))
    assert last["d_loss"] < first["d_loss"] - 1
    assert last["d_real"] > last["d_fake"] + 0.5


# --- D on the trained encoder ----------------------------------------------------------------------


def trunk_on(shape: tuple[int, int, int], name: str = "resnet8", grid: int = 2, levels: int = 3) -> FrozenTrunk:
    torch.manual_seed(0)
    network = backbone(name, shape, 8, grid=grid, levels=levels)
    return FrozenTrunk(network, torch.zeros(network.features), torch.eye(network.features)[:, :5], shape).train()


def test_a_frozen_trunk_is_the_encoder_and_lets_gradients_pass() -> None:
    trunk = trunk_on((1, 16, 16))
    images = some(5, 0, 1, 16, 16).requires_grad_()
    seen = trunk(images)
    network = trunk.backbone.eval()
    hidden = network(images)
    wanted = torch.nn.functional.normalize(torch.nn.functional.normalize(hidden, dim=1)[:, :5], dim=1) * 5**0.5
    torch.testing.assert_close(seen[:, -5:], wanted)
    torch.testing.assert_close(trunk.features(images), wanted)
    torch.testing.assert_close(trunk.of_whitened(3 * wanted), wanted)
    # The first features are the means over the 2 x 2 cells of the last maps, the first of which trunk.maps gives.
    last, *others = trunk.maps(seen)
    side = int(last.shape[1] ** 0.5)
    pooled = torch.nn.functional.adaptive_avg_pool2d(last.view(5, side, side, -1).permute(0, 3, 1, 2), 2).flatten(1)
    torch.testing.assert_close(pooled, hidden[:, : network.last])
    assert [m.shape[2] for m in (last, *others)] == list(network.maps)
    assert seen.shape[1] == sum(m[0].numel() for m in (last, *others)) + 5
    seen.sum().backward()
    assert images.grad.abs().sum() > 0  # type: ignore[union-attr]
    assert not any(p.requires_grad for p in trunk.parameters())


class Flat(Backbone):
    """An encoder without maps, such as a vision transformer."""

    maps = (5,)

    def __init__(self) -> None:
        super().__init__(1)
        self.layer = nn.Linear(64, 5)

    def see(self, images: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        return [], self.layer(images.flatten(1))


def test_where_an_encoder_has_no_maps_its_features_stand_for_them() -> None:
    trunk = FrozenTrunk(Flat(), torch.zeros(5), torch.eye(5), (1, 8, 8))
    seen = trunk(some(4, 0, 1, 8, 8))
    assert seen.shape == (4, 5) and torch.equal(trunk.maps(seen)[0][:, 0], seen)
    assert image_discriminator("image", (1, 8, 8), 4, trunk=trunk)(seen, seen).shape == (4,)


def test_what_stands_on_the_encoder_is_what_its_formulas_say() -> None:
    trunk = trunk_on((1, 16, 16))
    one, other = (trunk(some(4, i, 1, 16, 16)) for i in (0, 1))
    anchors = trunk.features(some(4, 2, 1, 16, 16))
    judge = image_discriminator("image", (1, 16, 16), 6, spectral=False, trunk=trunk)
    told = []
    for level, (first, _, last) in zip(trunk.maps(one), judge.heads, strict=True):
        cells = torch.nn.functional.leaky_relu(level @ first.weight.T + first.bias, 0.2) @ last.weight.T + last.bias
        told.append(cells.mean((1, 2)))
    torch.testing.assert_close(judge(one, anchors), torch.stack(told).mean(0))
    assert torch.equal(judge(one, anchors), judge(one, other[:, -5:]))  # not of the anchor
    match = image_discriminator("pair", (1, 16, 16), 6, spectral=False, trunk=trunk)
    own = one[:, -5:]
    torch.testing.assert_close(match(one, anchors), match.layers(torch.cat([own, anchors, own - anchors], 1))[:, 0])
    assert not torch.allclose(match(one, anchors), match(one, anchors.flip(0)))
    made, real = (
        [torch.tensor([[1.0, 3.0]]), torch.tensor([[2.0]])],
        [torch.tensor([[2.0, 2.0]]), torch.tensor([[4.0]])],
    )
    assert float(losses.perception(made, real)) == pytest.approx((1 / 2 + 2 / 4) / 2)
    with pytest.raises(UsageError, match="siamese learns to see by itself"):
        image_discriminator("siamese", (1, 16, 16), 6, trunk=trunk)


@pytest.mark.parametrize("names", [("pair", "image"), ("projection",)])
def test_d_on_the_encoder_trains_saves_and_leaves_the_encoder_alone(names: tuple[str, ...], tmp_path: Path) -> None:
    pool = digits(80)
    learn = RepresentSettings(backbone="cnn", width=8, images=160, batch=32, reconstruction=0.0)
    encoder = train_encoder(pool, learn, CPU, seed=0)
    before = {name: value.clone() for name, value in encoder.network.state_dict().items()}
    settings = SMALL.model_copy(
        update={"discriminators": names, "trunk": "encoder", "warm_up": 0.0, "farthest": "other"}
    )
    features = encoder.features(pool)
    generator = train_image_generator(pool, features, settings, CPU, seed=0, encoder=encoder)
    trunk = generator.trunk
    assert isinstance(trunk, FrozenTrunk)
    for name, value in before.items():
        assert torch.equal(trunk.backbone.state_dict()[name], value), name
        assert torch.equal(encoder.network.state_dict()[name], value), name
    images = pool.images[:6]
    torch.testing.assert_close(trunk.features(images.float() / 255) / trunk.outputs**0.5, encoder.features(images))
    generator.save(tmp_path / "g.safetensors")
    loaded = ImageGenerator.load(tmp_path / "g.safetensors", CPU)
    torch.testing.assert_close(
        loaded.realness(images, loaded.look(images)), generator.realness(images, generator.look(images))
    )
    state = checkpoint.load(tmp_path / "g.safetensors")
    del state["form"]
    checkpoint.save(tmp_path / "old.safetensors", state)
    with pytest.raises(InputError, match="of an earlier augmint; delete it"):
        ImageGenerator.load(tmp_path / "old.safetensors", CPU)
    with pytest.raises(UsageError, match="trunk=encoder"):
        train_image_generator(pool, features, settings, CPU, seed=0)
    with pytest.raises(InputError, match="not of this encoder"):
        train_image_generator(pool, features[:, :3], settings, CPU, seed=0, encoder=encoder)


def test_with_zoom_d_sees_small_windows_and_parents_as_the_encoder_does(tmp_path: Path) -> None:
    images = torch.nn.functional.interpolate(digits(48).images.float(), (24, 24)).to(torch.uint8)
    pool = ImageTable.of(images, torch.full((48,), -1), ("a", "b"))
    learn = RepresentSettings(backbone="cnn", width=8, images=96, batch=32, reconstruction=0.0)
    encoder = train_encoder(pool, learn, CPU, seed=0)
    settings = SMALL.model_copy(update={"trunk": "encoder", "zoom": True, "warm_up": 0.0})
    generator = train_image_generator(pool, encoder.features(pool), settings, CPU, seed=0, encoder=encoder)
    trunk, some = generator.trunk, images[:6]
    assert trunk is not None and trunk.size == (17, 17)
    shown = some.float() / 255
    torch.testing.assert_close(trunk.features(shown) / trunk.outputs**0.5, encoder.features(some))
    small = torch.nn.functional.interpolate(shown, (17, 17), mode="bilinear", antialias=True)
    wanted = torch.stack([judge(trunk(small), trunk.features(shown)) for judge in generator.judges]).mean(0)
    looked = generator.look(some)
    torch.testing.assert_close(generator.realness(some, looked), wanted)
    assert torch.equal(generator.realness(some, some), generator.realness(some, looked))
    torch.testing.assert_close(looked, trunk.of_whitened(encoder.features(some)))  # as in training
    generator.save(tmp_path / "g.safetensors")
    loaded = ImageGenerator.load(tmp_path / "g.safetensors", CPU)
    torch.testing.assert_close(loaded.realness(some, loaded.look(some)), generator.realness(some, looked))
    features, bf16 = encoder.features(pool), Compute.choose("cpu", "bf16")
    trainer = ImageTrainer(pool, features, pairs.neighbours(features, 5), settings, bf16, 0, encoder)
    assert trainer.step(torch.arange(16), draws(16), 0.5)["g_gradient"] > 0


def test_a_discriminator_with_batch_norm_sees_real_and_generated_in_one_call() -> None:
    judge = image_discriminator("projection", (1, 8, 8), 4, spectral=False)
    real, fake = some(6, 0, 1, 8, 8), some(6, 1, 1, 8, 8)
    found = Game(still(loss="adversarial", lambda_=1.0), [judge], CPU).g_loss((fake, fake), (real, real), draws(6))
    logits = judge(torch.cat([real, fake]), torch.cat([real, fake]))[6:]
    wanted = torch.nn.functional.softplus(-logits).mean()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_a_pair_discriminator_learns_match_from_mismatch() -> None:
    """Zeros and ones, all of them real: only the anchor says whether a candidate belongs to it."""
    pool = digits(400)
    images = [pool.images[pool.labels == c].float() / 255 for c in (0, 1)]
    torch.manual_seed(0)
    judge = image_discriminator("pair", (1, 8, 8), 8)
    rules = SMALL.model_copy(update={"d_optimiser": OptimiserSettings(lr=3e-3)})
    game = Game(rules, [judge], CPU)

    def batch(step: int, low: int, high: int) -> list[torch.Tensor]:
        """Candidates of the anchor's kind, of the other kind, and the anchors."""
        kind = torch.arange(32) % 2
        kinds = {"near": kind, "far": 1 - kind, "anchor": kind}
        at = {name: draws(32, step).integers(name, high, low=low) for name in kinds}
        return [torch.stack([images[k][i] for k, i in zip(kinds[n], at[n], strict=True)]) for n in kinds]

    for step in range(60):
        near, far, anchor = batch(step, 0, 30)
        game.d_step((near, anchor), (some(32, step, 1, 8, 8), anchor), (far, anchor), draws(32, step))
    near, far, anchor = batch(99, 30, 38)
    judge.eval()
    assert (judge(near, anchor) > judge(far, anchor)).float().mean() > 0.9


def test_gradients_pass_the_augmentation_of_what_d_sees() -> None:
    """It is linear in the pixels, so the gradient is its transpose; and it teaches G where D alone does."""
    images, weights, probe = (some(20, seed, 1, 10, 10) for seed in range(3))
    images.requires_grad_()
    (together([images], draws(20))[0] * weights).sum().backward()
    assert images.grad is not None and images.grad.flatten(1).abs().sum(1).min() > 0
    shown = together([probe], draws(20))[0]
    torch.testing.assert_close((images.grad * probe).flatten(1).sum(1), (shown * weights).flatten(1).sum(1))
    pool = digits(32)
    features = pool.images.flatten(1).float()
    settings = SMALL.model_copy(update={"reconstruction": 0.0, "diversity": 0.0, "augment": 1.0})
    trainer = ImageTrainer(pool, features, pairs.neighbours(features, 5), settings, CPU, 0, None)
    before = {name: p.detach().clone() for name, p in trainer.network.decoder.named_parameters()}
    assert trainer.step(torch.arange(16), draws(16), 0.5)["g_gradient"] > 0
    assert all(not torch.equal(p, before[name]) for name, p in trainer.network.decoder.named_parameters())


# --- adaptive augmentation -------------------------------------------------------------------------


def test_adaptive_follows_the_sign_rule() -> None:
    adaptive = Adaptive(target=0.6, images=1000)
    for sign, wanted in ((0.9, 0.1), (0.7, 0.2), (0.6, 0.1), (-1.0, 0.0), (0.0, 0.0), (1.0, 0.1)):
        adaptive.heed(sign, 100)
        assert adaptive.chance == pytest.approx(wanted)
    for _ in range(20):
        adaptive.heed(1.0, 100)
    assert adaptive.chance == Adaptive.MOST
    other = Adaptive(0.6, 1000)
    other.load_state_dict(adaptive.state_dict())
    assert other.chance == Adaptive.MOST


@pytest.mark.parametrize(
    ("loss", "wanted"), [("hinge", 1.0), ("adversarial", 1.0), ("margin", 0.5), ("relativistic", 0.5)]
)
def test_the_sign_of_a_relative_loss_is_that_to_the_generated(loss: str, wanted: float) -> None:
    """D's logits may all be positive; with a loss of differences that says nothing of real images."""
    values = torch.tensor([1.0, 2.0, 3.0, 4.0])
    real, fake = (v.view(4, 1, 1, 1).expand(-1, 1, 2, 2).sqrt() for v in (values, torch.full((4,), 1.5)))
    metrics = Game(still(loss=loss), [Quadratic()], CPU).d_step((real, real * 0), (fake, fake * 0), None, draws(4))
    assert float(metrics["d_sign"]) == wanted


def test_the_chance_says_how_many_rows_change() -> None:
    images = some(400, 0, 1, 10, 10)
    assert torch.equal(together([images], draws(400), chance=0.0)[0], images)
    part, whole = (together([images], draws(400), chance=c)[0] for c in (0.4, 1.0))
    same = (part == images).flatten(1).all(1)
    assert 0.5 < same.float().mean() < 0.7
    assert torch.equal(part[~same], whole[~same])  # those that change, change as they would without the chance


def test_adaptive_training_reports_and_resumes_its_chance(tmp_path: Path) -> None:
    pool = digits(60)
    settings = SMALL.model_copy(update={"adaptive": 0.6, "adaptive_images": 64, "warm_up": 0.0})
    with RunDir.open(tmp_path / "run", {}) as run:
        stage = run.stage("generate-image", {}, 0)
        train_image_generator(pool, pool.images.flatten(1).float(), settings, CPU, seed=0, stage=stage)
        line = (run.folder / "metrics.jsonl").read_text()
    assert "d_chance" in line and "d_sign" in line
    stored = checkpoint.load(stage.checkpoint)
    assert 0 <= stored["state"]["adaptive"]["chance"] <= Adaptive.MOST


# --- x_j⊥ of another class, conditions -------------------------------------------------------------


def test_other_is_of_another_group() -> None:
    features, of = torch.randn(30, 3), torch.arange(30) % 3
    found = pairs.opposite("other", features, draws(30), of)
    assert found is not None and (of[found] != of).all() and len(found.unique()) > 10
    alone = pairs.opposite("other", features, draws(30), torch.zeros(30, dtype=torch.int64))
    assert alone is not None and (alone != torch.arange(30)).all()
    with pytest.raises(UsageError, match="needs groups"):
        pairs.opposite("other", features, draws(30))


def test_the_other_image_is_of_another_group_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not its neighbour, which may be of the anchor's own group: here every neighbour is of another one."""
    pool = digits(40)
    features = pool.images.flatten(1).float()
    of = torch.arange(40) % 2
    near = ((torch.arange(40) + 1) % 40)[:, None]
    seen = []

    def d_step(
        self: Game, real: object, fake: object, mismatched: tuple[torch.Tensor, ...], *_: object
    ) -> dict[str, torch.Tensor]:
        seen.append(mismatched)
        return {"d_sign": torch.zeros(())}

    monkeypatch.setattr(Game, "d_step", d_step)
    monkeypatch.setattr("augmint.generate.image_training.groups_of", lambda *_: of)
    monkeypatch.setattr("augmint.generate.feature.groups_of", lambda *_: of)
    settings = SMALL.model_copy(update={"farthest": "other", "warm_up": 0.0, "augment": 0.0})
    image = ImageTrainer(pool, features, near, settings, CPU, 0, None)
    own = FeatureGeneratorSettings(noise=8, hidden=16, farthest="other")
    feature = FeatureTrainer(features, near, None, own, CPU, 0)
    for trainer, rows in ((image, pool.images.float() / 255), (feature, feature.features)):
        trainer.step(torch.arange(40), draws(40), 0.5)
        strangers, anchors = (torch.cdist(x.flatten(1), rows.flatten(1)).argmin(1) for x in seen.pop())
        assert torch.equal(anchors, torch.arange(40))
        assert (of[strangers] != of).all()


def test_groups_are_clusters_or_classes() -> None:
    g = torch.Generator().manual_seed(0)
    features = torch.cat([torch.randn(50, 4, generator=g) + centre for centre in (0, 20, 40)])
    labels = torch.arange(3).repeat_interleave(50)
    found = groups.groups_of("cluster", features, None, 3, seed=0)
    assert found is not None and len(found.unique()) == 3
    assert all(len(found[labels == c].unique()) == 1 for c in range(3))
    assert torch.equal(found, groups.groups_of("cluster", features, None, 3, seed=0))
    assert torch.equal(groups.groups_of("class", features, labels, 3, seed=0), labels)
    assert groups.groups_of("none", features, labels, 3, seed=0) is None
    with pytest.raises(UsageError, match="condition=cluster"):
        groups.groups_of("class", features, labels - 1, 3, seed=0)
    centres = groups.centres_of(labels * 2, features)
    torch.testing.assert_close(centres[4], features[100:].mean(0))
    assert torch.isinf(centres[1]).all()
    found = FeatureGenerator.groups_of(cast(FeatureGenerator, SimpleNamespace(centres=centres)), features)
    assert torch.equal(found, labels * 2)  # an empty group is nearest to none


def test_batches_of_one_image_train() -> None:
    pool = digits(20)
    settings = SMALL.model_copy(update={"batch": 1, "images": 4, "warm_up": 0.0})
    found = train_image_generator(pool, pool.images.flatten(1).float(), settings, CPU, seed=0)
    assert all(bool(torch.isfinite(weight).all()) for weight in found.network.parameters())


def two_kinds() -> tuple[ImageTable, torch.Tensor]:
    """Digits, every other one dark or bright, and features that know the shape alone."""
    pool, bright = digits(200), torch.arange(200) % 2 == 0
    images = torch.where(bright[:, None, None, None], 200, 20) + pool.images.long() // 8
    shapes = pool.images.flatten(1).float()
    return dataclasses.replace(pool, images=images.to(torch.uint8), labels=bright.long()), shapes


def test_a_generator_told_the_class_makes_what_it_is_told() -> None:
    """Neighbours are dark or bright, whatever the parent is: told which, G makes that; untold, the parent's kind."""
    pool, shapes = two_kinds()
    rate = OptimiserSettings(lr=5e-3)
    settings = SMALL.model_copy(
        update={"condition": "class", "images": 1600, "lambda_": 0.0, "ema": 0.9, "g_optimiser": rate}
    )
    generator = train_image_generator(pool, shapes, settings, CPU, seed=0)
    parents = pool.images[:40]

    def children(groups_: torch.Tensor | None) -> torch.Tensor:
        return generator.generate(parents, draws(40), groups=groups_).float()

    dark, bright = (children(torch.full((40,), kind)).mean() for kind in range(2))
    assert bright > dark + 10  # same parents, same noise
    seen = generator.network.guess(generator.network.encoder(parents.float() / 255)).argmax(1)
    assert (seen == pool.labels[:40]).float().mean() > 0.8
    assert torch.equal(children(None), children(seen))


def test_clusters_condition_without_labels_and_are_stored(tmp_path: Path) -> None:
    pool, _ = two_kinds()
    pool = dataclasses.replace(pool, labels=torch.full((200,), -1))
    settings = SMALL.model_copy(update={"condition": "cluster", "clusters": 5, "farthest": "other"})
    generator = train_image_generator(pool, pool.images.flatten(1).float(), settings, CPU, seed=0)
    assert generator.network.groups == 5
    generator.save(tmp_path / "g.safetensors")
    loaded = ImageGenerator.load(tmp_path / "g.safetensors", CPU)
    parents, told = pool.images[:9], torch.arange(9) % 5
    for groups_ in (None, told):
        assert torch.equal(
            loaded.generate(parents, draws(9), groups=groups_), generator.generate(parents, draws(9), groups=groups_)
        )
    with pytest.raises(UsageError, match="label of every image"):
        train_image_generator(
            pool, pool.images.flatten(1).float(), settings.model_copy(update={"condition": "class"}), CPU, 0
        )


@pytest.mark.parametrize("form", ["residual", "noise"])
def test_feature_generators_are_told_the_group(form: str, tmp_path: Path) -> None:
    """The article's form sees no parent: what it is told alone decides where a feature falls."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 3
    features = torch.randn(300, 4, generator=g) * 0.3 + 3 * torch.eye(4)[labels]
    rates = {side: OptimiserSettings(lr=2e-3) for side in ("g_optimiser", "d_optimiser")}
    settings = FeatureGeneratorSettings(
        form=form, condition="class", noise=8, hidden=32, images=12_000, batch=50, ema=0.9, **rates
    )
    generator = train_feature_generator(features, settings, CPU, seed=0, labels=labels)
    made = generator.generate(features, draws(300))
    centres = torch.stack([features[labels == c].mean(0) for c in range(3)])
    assert (torch.cdist(made, centres).argmin(1) == labels).float().mean() > 0.8
    generator.save(tmp_path / "f.safetensors")
    loaded = FeatureGenerator.load(tmp_path / "f.safetensors", CPU)
    told = torch.zeros(300, dtype=torch.int64)
    assert torch.equal(loaded.generate(features, draws(300), told), generator.generate(features, draws(300), told))
    assert not torch.equal(made, generator.generate(features, draws(300), told))


@pytest.mark.parametrize("loss", ["adversarial", "margin", "hinge", "relativistic"])
def test_the_contrastive_discriminator_trains_with_every_loss(loss: str) -> None:
    pool = digits(60)
    settings = SMALL.model_copy(
        update={"discriminators": ("contrastive", "pair"), "loss": loss, "beta": 0.1, "warm_up": 0.0}
    )
    generator = train_image_generator(pool, pool.images.flatten(1).float(), settings, CPU, seed=0)
    assert torch.isfinite(generator.realness(pool.images[:4], pool.images[:4])).all()
