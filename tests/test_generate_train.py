import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from augmint.config import FeatureGeneratorSettings, ImageGeneratorSettings, OptimiserSettings
from augmint.data.sheet import sheet
from augmint.data.table import ImageTable
from augmint.errors import Diverged, InputError, UsageError
from augmint.generate import pairs
from augmint.generate.feature import FeatureGenerator, train_feature_generator
from augmint.generate.image import ImageGenerator, train_image_generator
from augmint.generate.rivals import gaussian_features
from augmint.generate.snapshots import Snapshots
from augmint.generate.views import _cut, together
from augmint.generate.ways import along_noise, between_parents
from augmint.seeding import Draws, permutation
from augmint.train import Compute, Plan, RunDir

CPU = Compute(torch.device("cpu"), bf16=False)
SMALL = ImageGeneratorSettings(trunk="own", width=4, d_width=4, noise=8, latent=16, images=96, batch=16)
FEATURES = FeatureGeneratorSettings(noise=8, hidden=16, images=128, batch=32)


def table(images):
    n = len(images)
    nothing = torch.full((n,), -1)
    names = np.array([str(i) for i in range(n)])
    return ImageTable(
        images, nothing, names, torch.zeros(n, dtype=torch.int8), nothing, torch.ones(n), ("a", "b"), names
    )


def rows(n, step=0):
    return Draws(0, "test", step, torch.arange(n))


@pytest.fixture(scope="module")
def digits():
    pixels = torch.tensor(load_digits().images * 255 / 16).round().to(torch.uint8)[:200, None]
    return table(pixels), pixels.flatten(1).float()


def test_real_pairs_are_neighbours():
    features = torch.tensor([[0.0], [1.0], [10.0], [11.5]])
    assert pairs.neighbours(features, 1)[:, 0].tolist() == [1, 0, 3, 2]
    assert pairs.neighbours(features, 10).shape == (4, 3)
    near = torch.tensor([[1, 2], [3, 4], [5, 6]])
    chosen = pairs.choose(near, rows(3))
    assert all(c in line for c, line in zip(chosen, near, strict=True))
    with pytest.raises(InputError, match="too few"):
        pairs.neighbours(features[:1], 3)


def test_opposites():
    features = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    order = torch.cdist(features, features).argsort(1)
    assert pairs.opposite("generated", features, rows(40)) is None
    assert (pairs.opposite("uniform", features, rows(40)) != torch.arange(40)).all()
    assert torch.equal(pairs.opposite("farthest", features, rows(40)), order[:, -1])
    semi = pairs.opposite("semi_hard", features, rows(40))
    place = (order == semi[:, None]).int().argmax(1)
    assert place.min() >= 10 and place.max() < 24 and len(place.unique()) > 5
    assert len(pairs.opposite("semi_hard", features[:2], rows(2))) == 2
    with pytest.raises(UsageError, match="semi_hard"):
        pairs.opposite("nearest", features, rows(40))


def test_views_shift_both_of_a_pair_alike():
    images = torch.rand(32, 2, 10, 20, requires_grad=True)
    one, other = together([images, images * 0.5], rows(32))
    torch.testing.assert_close(one * 0.5, other)
    moved = [i for i in range(32) if not torch.allclose(one[i] / one[i].max(), images[i] / images[i].max())]
    assert len(moved) > 16
    one.sum().backward()
    assert images.grad.shape == images.shape
    assert together([images], rows(32), strength=0.0)[0] is images


def test_a_window_is_cut_out_and_made_smaller():
    images = torch.rand(16, 2, 20, 30)
    small = torch.nn.functional.interpolate(images, (14, 21), mode="bilinear", antialias=True)
    for whole in ({"strength": 0.0}, {"chance": 0.0}):
        torch.testing.assert_close(together([images], rows(16), window=(14, 21), **whole)[0], small)
    assert together([images], rows(16), strength=0.0, window=(20, 30))[0] is images
    cut = _cut(torch.tensor([3.0, 0.0]), torch.tensor([6.0, 10.0]), 10, 6)
    assert torch.equal(cut[0], torch.eye(10)[3:9])
    one, other = together([images, images * 0.5], rows(16), window=(14, 21))
    with torch.autocast("cpu", torch.bfloat16):  # as where D looks at real images
        assert torch.equal(together([images], rows(16), window=(14, 21))[0], one)
    torch.testing.assert_close(one * 0.5, other)
    ramp = torch.arange(30.0).expand(400, 1, 20, 30) / 30  # what a window spans of it says how wide it is
    wide = (lambda seen: seen[:, 0, 7, -4] - seen[:, 0, 7, 3])(together([ramp], rows(400), 1e-6, window=(14, 21))[0])
    least, most = 14 / 30, 14 / 30 * 30 / 21
    assert least - 0.01 < wide.min() < least + 0.05 and most - 0.05 < wide.max() < most + 0.01


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "adversarial", "constraint": "log_score", "beta": 0.1, "farthest": "generated"},
        {"loss": "margin", "delta": 0.2, "farthest": "farthest", "d_optimiser": OptimiserSettings(name="sgd")},
        {"loss": "relativistic", "beta": 0.5, "discriminators": ("image", "siamese")},
        {"discriminators": ("projection",), "init": "normal002", "spectral_norm": False, "farthest": "uniform"},
        {"reconstruction": 0.0, "g_optimiser": OptimiserSettings(name="rmsprop", lr=1e-4)},
        {"diversity": 1.0, "consistency": 0.1, "g_optimiser": OptimiserSettings(name="adamw"), "augment": 0.0},
    ],
)
def test_every_setting_trains(digits, changes):
    pool, features = digits
    settings = SMALL.model_copy(update={"images": 32, **changes})
    generator = train_image_generator(pool, features, settings, CPU, seed=0)
    children = generator.generate(pool.images[:5], rows(5))
    assert children.shape == (5, 1, 8, 8) and children.dtype == torch.uint8
    assert torch.isfinite(generator.realness(children, pool.images[:5])).all()


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 9, 13)])
def test_other_shapes(shape):
    images = torch.randint(0, 256, (20, *shape), dtype=torch.uint8)
    settings = SMALL.model_copy(update={"images": 20})
    generator = train_image_generator(table(images), images.flatten(1).float(), settings, CPU, seed=0)
    assert generator.generate(images, rows(20)).shape == images.shape


def test_learns_digits(digits):
    """Children keep their parent's looks, differ among each other, and D tells noise from digits."""
    pool, features = digits
    settings = SMALL.model_copy(
        update={"width": 8, "d_width": 8, "images": 5000, "ema": 0.99, "discriminators": ("pair",)}
    )
    generator = train_image_generator(pool, features, settings, CPU, seed=0)
    images = pool.images.float()
    children = generator.generate(pool.images, rows(200)).float()
    others = generator.generate(pool.images, rows(200, step=1)).float()
    to_parent = (children - images).abs().mean()
    to_stranger = (children - images[torch.arange(200).roll(7)]).abs().mean()
    assert to_parent < 0.9 * to_stranger
    assert (children - others).abs().mean() > 3
    noise = torch.randint(0, 256, pool.images.shape, dtype=torch.uint8)
    assert generator.realness(pool.images, pool.images).mean() > generator.realness(noise, pool.images).mean()


def test_same_seed_same_generator_and_saved_equals_loaded(digits, tmp_path):
    pool, features = digits
    one, two = (train_image_generator(pool, features, SMALL, CPU, seed=3) for _ in range(2))
    children = one.generate(pool.images[:8], rows(8))
    assert torch.equal(children, two.generate(pool.images[:8], rows(8)))
    parts = [one.generate(pool.images[i : i + 1], rows(8).select(torch.tensor([i]))) for i in range(8)]
    assert (torch.cat(parts).int() - children.int()).abs().max() <= 1  # batch size: rounding alone
    one.save(tmp_path / "g.safetensors")
    loaded = ImageGenerator.load(tmp_path / "g.safetensors", CPU)
    assert torch.equal(children, loaded.generate(pool.images[:8], rows(8)))
    kept = one.realness(children, pool.images[:8])
    torch.testing.assert_close(kept, loaded.realness(children, pool.images[:8]))
    with pytest.raises(InputError, match="no feature generator"):
        FeatureGenerator.load(tmp_path / "g.safetensors", CPU)


def test_snapshots_and_metrics_in_the_run_folder(digits, tmp_path):
    pool, features = digits
    with RunDir.open(tmp_path / "run", {}) as run:
        stage = run.stage("generate-image", {}, 0)
        train_image_generator(pool, features, SMALL, CPU, seed=0, stage=stage)
        assert (stage.folder / "reals.png").exists() and (stage.folder / "fakes_96.png").exists()
        line = (run.folder / "metrics.jsonl").read_text()
    assert all(name in line for name in ("d_real", "d_fake", "d_gradient", "g_gradient"))


def test_the_film_has_the_same_child_of_each_parent_over_all_sheets(digits, tmp_path):
    """A generator that gets brighter shows that from left to right, also the sheets of before a stop."""
    pool, _ = digits
    plan = Plan(images=160, batch=16, seed=0, stream="x", device=torch.device("cpu"))
    light = [0]

    def generate(images, draws):
        return images // 2 + light[0] + (draws.rows % 9).to(torch.uint8)[:, None, None, None]  # the child's number

    with RunDir.open(tmp_path / "run", {}) as run:
        stage = run.stage("generate-image", {}, 0)
        for steps in ((2, 4), (10,)):
            snapshots = Snapshots(stage, pool, 0, plan, generate)
            for step in steps:
                light[0] = 10 * step
                snapshots.look(step)
        parents = snapshots.parents
        columns = [parents, *(parents // 2 + 10 * step for step in (2, 4, 10))]
        wanted = sheet(torch.stack(columns, 1).flatten(0, 1), 4)
        assert np.array_equal(np.asarray(Image.open(stage.folder / "film.png")), np.asarray(wanted))


def test_snapshots_show_children_of_sources_alone(digits, tmp_path):
    """With a target G learns from source images; of others it makes anything."""
    pool, features = digits
    sources = torch.arange(60, 90)
    near = torch.arange(100, 130)[:, None]  # what each shows in the target
    with RunDir.open(tmp_path / "run", {}) as run:
        stage = run.stage("generate-image", {}, 0)
        settings = SMALL.model_copy(update={"images": 32})
        train_image_generator(pool, features, settings, CPU, 0, stage, near=near, sources=sources)
        shown = np.asarray(Image.open(stage.folder / "film.png"))
        parents = [shown[2 + 66 * row :, 2:][:64:8, :64:8, 0] for row in range(10)]
        real = {image.numpy().tobytes() for image in pool.images[sources, 0]}
        assert all(np.ascontiguousarray(parent).tobytes() in real for parent in parents)


def test_the_film_of_a_training_shows_its_generator(digits, tmp_path):
    pool, features = digits
    with RunDir.open(tmp_path / "run", {}) as run:
        stage = run.stage("generate-image", {}, 0)
        generator = train_image_generator(pool, features, SMALL, CPU, seed=0, stage=stage)
        parents = pool.images[permutation(len(pool), 0, "snapshots")[:10]]
        children = generator.generate(parents, Draws(0, "snapshots", 0, torch.arange(10) * 9))
        wanted = np.asarray(sheet(torch.stack([parents, children], 1).flatten(0, 1), 2), dtype=int)
        assert np.abs(np.asarray(Image.open(stage.folder / "film.png"), dtype=int) - wanted).max() <= 1


@pytest.mark.parametrize("condition", ["none", "cluster"])
def test_ways_lead_through_the_bottleneck(digits, condition):
    """The ends are the generator's own children; half way are the images of half-way codes and bottlenecks."""
    pool, features = digits
    settings = SMALL.model_copy(update={"condition": condition, "clusters": 3})
    generator = train_image_generator(pool, features, settings, CPU, seed=0)
    net, one, other = generator.network, pool.images[:6], pool.images[6:12]
    start, end = rows(6), rows(6, step=1)
    along = along_noise(generator, one, (start, end), steps=3)
    between = between_parents(generator, one, other, start, steps=3)
    with torch.inference_mode():
        hidden, hidden_other = (net.encoder(images.float() / 255) for images in (one, other))
        z, z_end = (d.normal("noise", 8) for d in (start, end))
        ways = [
            (along[:, 0], net.child(hidden, z)),
            (along[:, 1], net.child(hidden, (z + z_end) / 2**0.5)),
            (along[:, 2], net.child(hidden, z_end)),
            (between[:, 0], net.child(hidden, z)),
            (between[:, 1], net.child((hidden + hidden_other) / 2, z)),
            (between[:, 2], net.child(hidden_other, z)),
        ]
    for found, wanted in ways:
        assert (found.float() - 255 * wanted).abs().max() < 0.6
    assert (along[:, 0].int() - generator.generate(one, start).int()).abs().max() <= 1
    assert not torch.equal(along[:, 1], along[:, 0]) and not torch.equal(between[:, 1], between[:, 0])


def test_input_that_does_not_fit(digits):
    pool, features = digits
    with pytest.raises(InputError, match="same table"):
        train_image_generator(pool, features[:-1], SMALL, CPU, seed=0)
    generator = train_image_generator(pool, features, SMALL.model_copy(update={"images": 16}), CPU, seed=0)
    with pytest.raises(InputError, match="uint8 images"):
        generator.generate(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), rows(2))
    wild = OptimiserSettings(name="sgd", lr=1e30)
    with pytest.raises(Diverged):
        train_image_generator(pool, features, SMALL.model_copy(update={"g_optimiser": wild}), CPU, seed=0)


@pytest.mark.parametrize("form", ["residual", "noise"])
def test_feature_generator(form, tmp_path):
    features = 3 + 2 * torch.randn(100, 6, generator=torch.Generator().manual_seed(0))
    settings = FEATURES.model_copy(update={"form": form})
    generator = train_feature_generator(features, settings, CPU, seed=0)
    made = generator.generate(features[:9], rows(9))
    assert made.shape == (9, 6) and not torch.equal(made, generator.generate(features[:9], rows(9, step=1)))
    generator.save(tmp_path / "f.safetensors")
    loaded = FeatureGenerator.load(tmp_path / "f.safetensors", CPU)
    assert torch.equal(made, loaded.generate(features[:9], rows(9)))
    torch.testing.assert_close(generator.realness(made, features[:9]), loaded.realness(made, features[:9]))
    with pytest.raises(InputError, match=r"features \[N, 6\]"):
        generator.generate(features[:, :3], rows(100))


def test_the_articles_feature_generator_layer_by_layer():
    """z of 128 → 512 → BatchNorm → LeakyReLU(0.2) → feature size, tanh (of 4 deviations about the mean), by hand."""
    features = 3 + 2 * torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    settings = FeatureGeneratorSettings(form="noise", images=60, batch=30)
    generator = train_feature_generator(features, settings, CPU, seed=0)
    first, norm, _, last = generator.network.layers
    assert first.weight.shape == (512, 128) and first.bias is None and last.weight.shape == (6, 512)
    z = rows(9).normal("noise", 128)
    x = z @ first.weight.T
    x = (x - norm.running_mean) / (norm.running_var + 1e-5).sqrt() * norm.weight + norm.bias
    x = torch.where(x > 0, x, 0.2 * x) @ last.weight.T + last.bias
    e = torch.exp(2 * x)
    wanted = features.mean(0) + features.std(0, correction=0) * 4 * (e - 1) / (e + 1)
    torch.testing.assert_close(generator.generate(features[:9], rows(9)), wanted, rtol=1e-4, atol=1e-4)


def test_unit_features_stay_on_the_sphere():
    features = torch.nn.functional.normalize(torch.randn(80, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    made = train_feature_generator(features, FEATURES, CPU, seed=0).generate(features, rows(80))
    torch.testing.assert_close(made.norm(dim=1), torch.ones(80))


def test_gaussian_features_have_the_classes_means_and_the_shared_covariance():
    rng = np.random.default_rng(0)
    spread = np.array([[2.0, 0.9], [0.9, 1.0]])
    points = np.concatenate([rng.multivariate_normal(m, spread, 3000) for m in ([0, 0], [30, 0])])
    labels = np.repeat([0, 2], 3000)
    hidden = np.where(rng.random(6000) < 0.5, -1, labels)
    made, of = gaussian_features(torch.tensor(points), torch.tensor(hidden), 4000, seed=0, classes=3)
    assert made.dtype == torch.float32 and of.unique().tolist() == [0, 2]
    np.testing.assert_allclose(made[of == 2].mean(0).numpy(), points[hidden == 2].mean(0), atol=0.1)
    np.testing.assert_allclose(np.cov(made[of == 0].T.numpy()), spread, atol=0.15)
    with pytest.raises(InputError, match="no label"):
        gaussian_features(torch.zeros(3, 2), torch.full((3,), -1), 2, seed=0, classes=3)
