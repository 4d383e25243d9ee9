import pytest
import torch
from torch import nn

from augmint.errors import UsageError
from augmint.networks import judges as d
from augmint.networks.average import Average
from augmint.networks.initialise import initialise


@pytest.mark.parametrize("name", d.IMAGE)
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 9, 13), (1, 5, 20)])
def test_image_discriminators_give_one_logit_per_pair(name, shape):
    judge = d.image_discriminator(name, shape, 4)
    x, other = torch.rand(3, *shape), torch.rand(3, *shape)
    logits = judge(x, other)
    assert logits.shape == (3,)
    judge.eval()
    differs = not torch.allclose(judge(x, other), judge(x, other.flip(0)))
    assert differs == judge.pairs


@pytest.mark.parametrize("name", d.FEATURE)
def test_feature_discriminators(name):
    judge = d.feature_discriminator(name, 16, 32).eval()
    x, other = torch.randn(4, 16), torch.randn(4, 16)
    assert judge(x, other).shape == (4,)
    assert (not torch.allclose(judge(x, other), judge(x, -other))) == judge.pairs


def test_spectral_norm_bounds_every_layer():
    judge = d.image_discriminator("pair", (1, 28, 28), 4, spectral=True, init="normal002")
    for _ in range(30):
        judge(torch.rand(2, 1, 28, 28), torch.rand(2, 1, 28, 28))
    judge.eval()
    layers = [m for m in judge.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)
    plain = d.image_discriminator("pair", (1, 28, 28), 4, spectral=False)
    assert "parametrizations" not in "".join(plain.state_dict())


def test_only_the_articles_head_has_batch_norm():
    for name in d.IMAGE:
        found = any(isinstance(m, nn.BatchNorm1d) for m in d.image_discriminator(name, (1, 8, 8), 4).modules())
        assert found == (name == "projection")


def test_the_articles_head_layer_by_layer():
    """128 → 512 → BatchNorm → LeakyReLU(0.2) → 1, by hand."""
    judge = d.image_discriminator("projection", (1, 8, 8), 4, spectral=False)
    nn.init.normal_(judge.head[1].weight)
    nn.init.normal_(judge.head[1].bias)
    images = torch.rand(6, 1, 8, 8)
    first, norm, last = judge.head[0], judge.head[1], judge.head[3]
    assert first.weight.shape == (512, 128) and first.bias is None and last.weight.shape == (1, 512)
    x = judge.projection(images) @ first.weight.T
    x = (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt() * norm.weight + norm.bias
    x = torch.where(x > 0, x, 0.2 * x)
    torch.testing.assert_close(judge(images, images), (x @ last.weight.T + last.bias)[:, 0], rtol=1e-4, atol=1e-4)


def test_the_siamese_discriminators_formula():
    """w·φ(x) + φ(x)·V φ(x′), one φ for both."""
    judge = d.image_discriminator("siamese", (1, 8, 8), 4, spectral=False)
    x, other = torch.rand(5, 1, 8, 8), torch.rand(5, 1, 8, 8)
    f, condition = judge.trunk(2 * x - 1), judge.trunk(2 * other - 1)
    w, b, v = judge.own.weight[0], judge.own.bias[0], judge.match.weight
    wanted = f @ w + b + torch.einsum("ni,ij,nj->n", f, v, condition)
    torch.testing.assert_close(judge(x, other), wanted, rtol=1e-4, atol=1e-5)
    assert f.shape == (5, 128)


def test_unknown_names_are_listed():
    with pytest.raises(UsageError, match="image, pair"):
        d.image_discriminator("patch", (1, 8, 8), 4)
    with pytest.raises(UsageError, match="feature-pair"):
        d.feature_discriminator("image", 4, 4)
    with pytest.raises(UsageError, match="normal002"):
        initialise(nn.Linear(1, 1), "xavier")


def test_normal002_reaches_the_layers():
    network = nn.Sequential(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.Sequential(nn.Linear(64, 256)))
    nn.init.constant_(network[1].weight, 3.0)
    initialise(network, "normal002")
    assert network[0].weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert network[2][0].weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert (network[1].weight == 1).all() and (network[1].bias == 0).all() and (network[0].bias == 0).all()


def test_average_moves_weights_and_buffers():
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = Average(network, momentum=0.9)
    start = average.module[0].weight.clone()
    average.updates = 10_000  # past the warm-up
    with torch.no_grad():
        network[0].weight.add_(1.0)
    network(torch.randn(8, 2) + 5)
    average.update(network)
    torch.testing.assert_close(average.module[0].weight, start + 0.1)
    torch.testing.assert_close(average.module[1].running_mean, 0.1 * network[1].running_mean)
    assert average.module[1].num_batches_tracked == 1
    other = Average(network, momentum=0.9)
    other.load_state_dict(average.state_dict())
    assert other.updates == 10_001
    torch.testing.assert_close(other.module[0].weight, average.module[0].weight)
