"""What feature generators are made of: walks over the graph, principal components, moments of real pairs."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from augmint.config import FeatureGeneratorSettings
from augmint.generate import pairs
from augmint.generate.feature import train_feature_generator
from augmint.generate.feature_parts import Moments, Residual, Scale
from augmint.generate.rivals import real_walks
from augmint.seeding import Draws
from augmint.train import Compute

CPU = Compute(torch.device("cpu"), bf16=False)


def rows(count, step=0):
    return Draws(0, "test", step, torch.arange(count))


def test_a_walk_takes_so_many_steps_to_neighbours():
    near = torch.stack([(torch.arange(50) + 1) % 50, (torch.arange(50) + 2) % 50], 1)
    ends = pairs.wander(near, torch.zeros(2000, dtype=torch.int64), 8, rows(2000))
    assert ends.min() >= 8 and ends.max() <= 16
    assert ends.double().mean().item() == pytest.approx(12, abs=0.2)
    assert ends.double().var().item() == pytest.approx(8 / 4, rel=0.15)  # eight independent choices
    assert torch.equal(pairs.wander(near, torch.arange(50), 1, rows(50)), pairs.choose(near, rows(50)))


def made_pairs(count, size, seed=0):
    """x and y = x A + rests of a known covariance."""
    g = torch.Generator().manual_seed(seed)
    a, spread = torch.randn(size, size, generator=g) / size, torch.randn(size, size, generator=g) / size**0.5
    x = torch.randn(count, size, generator=g)
    return x, x @ a + torch.randn(count, size, generator=g) @ spread, a, spread.T @ spread


def test_moments_equal_numpys_least_squares():
    x, y, a, covariance = made_pairs(40_000, 5)
    found = Moments.of(x, y)
    wanted, *_ = np.linalg.lstsq(x.numpy(), y.numpy(), rcond=None)
    np.testing.assert_allclose(found.map.numpy(), wanted, atol=2e-3)
    torch.testing.assert_close(found.map, a, atol=0.02, rtol=0)
    torch.testing.assert_close(found.rests, covariance, atol=0.03, rtol=0)


def test_the_loss_of_moments_is_least_where_the_spread_is_right():
    """In small batches too, where the square of one estimate would ask for children of less spread."""
    x, _, a, covariance = made_pairs(64 * 600, 16)
    moments, noise = Moments(a, covariance), torch.linalg.cholesky(covariance + 1e-6 * torch.eye(16))
    z = torch.randn(64 * 600, 16, generator=torch.Generator().manual_seed(5)) @ noise.T
    wide, shift = {}, {}
    for part in (0.8, 0.9, 1.0, 1.1, 1.2):
        batches = zip(x.split(64), (x @ a + part * z).split(64), strict=True)
        wide[part] = float(torch.stack([moments.loss(*pair) for pair in batches]).mean())
    assert min(wide, key=wide.__getitem__) == 1.0 and abs(wide[1.0]) < wide[0.9] / 2
    exact = ((0.8**2 - 1) * covariance).square().sum() / 16
    assert wide[0.8] == pytest.approx(float(exact), rel=0.15)
    for move in (0.0, 0.5):
        shift[move] = float(moments.loss(x, x @ a + z + move))
    assert shift[0.5] - shift[0.0] == pytest.approx(16 * 0.25, rel=0.3)


def test_a_start_gives_children_the_moments_of_real_pairs():
    x, y, _, _ = made_pairs(20_000, 6)
    moments = Moments.of(x, y)
    network = Residual(6, 16, 8 + 3, linear=True)
    network.start(moments, noise=8)
    g = torch.Generator().manual_seed(3)
    told = torch.nn.functional.one_hot(torch.arange(20_000) % 3, 3).float()  # of which group: no noise
    children = network(x, torch.cat([torch.randn(20_000, 8, generator=g), told], 1)).detach()
    again = Moments.of(x, children)
    torch.testing.assert_close(again.map, moments.map, atol=0.03, rtol=0)
    torch.testing.assert_close(again.rests, moments.rests, atol=0.03, rtol=0.03)
    torch.testing.assert_close(children.mean(0), y.mean(0), atol=0.03, rtol=0)


def test_principal_components_are_scikit_learns():
    """And what they leave out comes back as its mean."""
    g = torch.Generator().manual_seed(0)
    features = 2 + torch.randn(400, 9, generator=g) @ torch.randn(9, 9, generator=g)
    scale = Scale(features, 4)
    standard = ((features - features.mean(0)) / features.std(0, correction=0)).numpy()
    pca = PCA(4, whiten=True).fit(standard)
    signs = torch.from_numpy(np.sign((pca.components_ * scale.basis.T.numpy()).sum(1)))
    torch.testing.assert_close(scale(features), torch.from_numpy(pca.transform(standard)) * signs, atol=1e-3, rtol=1e-3)
    back = pca.inverse_transform(pca.transform(standard)) * features.std(0, correction=0).numpy()
    np.testing.assert_allclose(scale.undo(scale(features)).numpy(), back + features.mean(0).numpy(), atol=1e-3)
    assert scale.size == 4 and Scale(features, 9).size == Scale(features).size == 9
    torch.testing.assert_close(Scale(features).undo(Scale(features)(features)), features)


def test_children_reach_as_far_as_walks_do():
    """In a cloud whose neighbours are near each other; the more steps, the farther."""
    features = torch.randn(800, 4, generator=torch.Generator().manual_seed(0))
    near, far = pairs.neighbours(features, 10), {}
    for hops in (1, 16):
        settings = FeatureGeneratorSettings(hidden=32, images=20_000, batch=100, hops=hops)
        made = train_feature_generator(features, settings, CPU, seed=0, near=near).generate(features, rows(800))
        ends = features[pairs.wander(near, torch.arange(800), hops, rows(800, step=9))]
        reached, far[hops] = (float((x - features).square().sum(1).mean().sqrt()) for x in (made, ends))
        assert reached == pytest.approx(far[hops], rel=0.35)
    assert far[16] > 1.7 * far[1]


def test_walks_are_real_rows_that_may_be_used():
    features = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    near, labelled, labels = pairs.neighbours(features, 10), torch.tensor([3, 90]), torch.tensor([1, 0])
    allowed = torch.arange(200) % 4 > 0
    found, given = real_walks(near, labelled, labels, 50, 2, 0, allowed)
    assert 40 < len(found) < 100 and allowed[found].all() and not torch.isin(found, labelled).any()
    for start, label in zip(labelled, labels, strict=True):
        reached = near[near[start]].flatten()
        assert torch.isin(found[given == label], reached).all()
