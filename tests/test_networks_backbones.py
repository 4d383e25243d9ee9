"""Backbones, projectors, image encoder and decoder: shapes, names, bottleneck, resolution."""

import pytest
import torch

from augmint.errors import UsageError
from augmint.networks.backbones import BACKBONES, backbone
from augmint.networks.codec import Decoder, ImageEncoder, pyramid
from augmint.networks.projectors import PROJECTORS, projector

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 33, 47), (3, 96, 96)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", BACKBONES)
def test_backbone_says_how_many_features_it_gives(name, shape):
    network = backbone(name, shape, width=8)
    out = network(torch.rand(2, *shape))
    assert out.shape == (2, network.features)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("stem", ["small", "imagenet"])
def test_stems_by_name(name, stem):
    assert backbone(name, (3, 32, 32), 8, stem)(torch.rand(2, 3, 32, 32)).shape[0] == 2


def test_small_images_keep_their_resolution():
    network = backbone("resnet18", (3, 32, 32), 8)
    assert network.conv1.kernel_size == (3, 3)
    assert network.conv1.stride == (1, 1)
    assert backbone("resnet18", (3, 96, 96), 8).conv1.kernel_size == (7, 7)
    assert backbone("resnet8", (1, 8, 8), 8).conv1.stride == (1, 1)
    assert backbone("resnet8", (1, 28, 28), 8).conv1.stride == (2, 2)


@pytest.mark.parametrize("grid", [1, 2])
def test_levels_describe_the_stages_before_the_last_too(grid):
    images = torch.rand(3, 1, 28, 28)
    network = backbone("resnet8", (1, 28, 28), 8, grid=grid, levels=2).eval()
    last = backbone("resnet8", (1, 28, 28), 8, grid=grid).eval()
    last.load_state_dict(network.state_dict())
    seen = {}
    for name in ("layer2", "layer3"):
        network.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    features = network(images)
    assert features.shape == (3, network.features) == (3, (32 + 16) * grid**2)
    torch.testing.assert_close(features[:, : 32 * grid**2], last(images))
    side = -(-seen["layer2"].shape[3] // grid)
    cell = seen["layer2"][:, :, :side, -side:].mean((2, 3))  # the upper right one, or all
    torch.testing.assert_close(features[:, 32 * grid**2 :].view(3, 16, grid, grid)[:, :, 0, -1], cell)
    assert backbone("resnet8", (1, 28, 28), 8, levels=9).features == 32 + 16 + 8
    assert backbone("cnn", (1, 28, 28), 8, levels=2).features == 32


def test_resnet18_has_torchvisions_names():
    names = dict(backbone("resnet18", (3, 96, 96), 64).named_parameters())
    assert sum(p.numel() for p in names.values()) == 11_176_512  # torchvision's resnet18 without fc
    assert {"conv1.weight", "bn1.bias", "layer2.0.downsample.0.weight", "layer4.1.bn2.weight"} <= set(names)


@pytest.mark.parametrize("shape", SHAPES)
def test_codec_goes_there_and_back(shape):
    latent = ImageEncoder(shape, 8, 16)(torch.rand(2, *shape))
    assert latent.shape == (2, 16)
    image = Decoder(shape, 8, 16)(latent)
    assert image.shape == (2, *shape)
    assert image.dtype == torch.float32
    assert image.min() >= 0
    assert image.max() <= 1


def test_codec_learns_to_copy():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder, decoder = ImageEncoder((1, 8, 8), 8, 16), Decoder((1, 8, 8), 8, 16)
        images = (torch.rand(32, 1, 2, 2) > 0.5).float().repeat_interleave(4, 2).repeat_interleave(4, 3)
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-2)
    for _ in range(60):
        loss = (decoder(encoder(images)) - images).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.01


def test_pyramid_ends_under_eight():
    assert pyramid((8, 8)) == [(8, 8), (4, 4)]
    assert pyramid((33, 47))[-1] == (5, 6)


@pytest.mark.parametrize("name", PROJECTORS)
def test_projector_shapes(name):
    head = projector(32, name)
    assert head(torch.randn(4, 32)).shape == (4, head.features)


def test_article_projector_is_the_articles():
    layers = [type(layer).__name__ for layer in projector(32, "article").layers]
    assert layers == ["Linear", "BatchNorm1d", "LeakyReLU"] * 2


def test_unknown_names_list_the_known():
    with pytest.raises(UsageError, match="resnet8"):
        backbone("resnet9", (1, 8, 8), 8)
    with pytest.raises(UsageError, match="article"):
        projector(8, "other")
