"""Networks that turn images into features.

    network = backbone("resnet8", shape=(1, 28, 28), width=32)
    features = network(images)            # float 0 … 1 [N, C, H, W] → [N, network.features]

A backbone is a function of this module, found by its name. Parameters of `resnet18` are named as in
torchvision, so that weights published for it fit.
"""

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn

from augmint.errors import UsageError

Shape = tuple[int, int, int]
SMALL = 64  # images up to this side are small: no ImageNet stem


class Backbone(nn.Module):
    """float 0 … 1 [N, C, H, W] → float [N, features]; `features` is a plain number."""

    features: int


def _conv(inner: int, outer: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inner, outer, 3, stride, 1, bias=False)


def _initialise(module: nn.Module) -> None:
    """He's normal initialisation by fan-out, for convolutions (He et al., ICCV 2015)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")


class _Side:
    """The shorter side of the maps, to halve them only while they are at least 7 pixels."""

    def __init__(self, shape: Shape) -> None:
        self.pixels = min(shape[1:])

    def stride(self, wanted: int = 2) -> int:
        stride = wanted if self.pixels >= 7 else 1
        self.pixels = -(-self.pixels // stride)
        return stride


class Cnn(Backbone):
    """Four convolutions and an average: the network for trials from scratch."""

    def __init__(self, shape: Shape, width: int, stem: str) -> None:
        super().__init__()
        side = _Side(shape)
        layers: list[nn.Module] = []
        inner = shape[0]
        for number, (outer, stride) in enumerate([(width, 2), (2 * width, 1), (2 * width, 2), (4 * width, 2)]):
            layers += [_conv(inner, outer, side.stride(stride)), nn.BatchNorm2d(outer), nn.ReLU(inplace=True)]
            if number == 0 and stem == "imagenet":
                layers.append(nn.MaxPool2d(3, 2, 1))
            inner = outer
        self.layers = nn.Sequential(*layers)
        self.features = inner
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.layers(images * 2 - 1)).mean((2, 3))


class _Block(nn.Module):
    """Two convolutions and a shortcut (He et al., CVPR 2016); names as in torchvision."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(inner, outer, stride)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = _conv(outer, outer)
        self.bn2 = nn.BatchNorm2d(outer)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or inner != outer:
            self.downsample = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x: Tensor) -> Tensor:
        short = x if self.downsample is None else self.downsample(x)
        inner = self.relu(self.bn1(self.conv1(x)))
        return cast(Tensor, self.relu(self.bn2(self.conv2(inner)) + short))


class ResNet(Backbone):
    """Stages of basic blocks; each stage doubles the channels and halves the maps.

    stem "small": 3×3 convolution at full size; "half": the same with stride 2; "imagenet": 7×7 with
    stride 2, then max-pool.
    """

    def __init__(self, shape: Shape, width: int, blocks: tuple[int, ...], stem: str) -> None:
        super().__init__()
        side = _Side(shape)
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(shape[0], width, 7, side.stride(), 3, bias=False)
        else:
            self.conv1 = _conv(shape[0], width, side.stride(2 if stem == "half" else 1))
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, side.stride(), 1) if stem == "imagenet" else nn.Identity()
        inner = width
        self.stages = tuple(f"layer{number + 1}" for number in range(len(blocks)))
        for number, (name, count) in enumerate(zip(self.stages, blocks, strict=True)):
            outer = width * 2**number
            first = _Block(inner, outer, side.stride(2 if number else 1))
            self.add_module(name, nn.Sequential(first, *(_Block(outer, outer, 1) for _ in range(count - 1))))
            inner = outer
        self.features = inner
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images * 2 - 1))))
        for name in self.stages:
            x = self.get_submodule(name)(x)
        return cast(Tensor, x).mean((2, 3))


def cnn(shape: Shape, width: int, stem: str) -> Backbone:
    """Four convolutions; features = 4 · width."""
    return Cnn(shape, width, stem)


def resnet8(shape: Shape, width: int, stem: str) -> Backbone:
    """Three blocks behind a stem of stride 2 (1 under 16 pixels), for CPUs, width 16 … 64; features = 4 · width."""
    stem = ("half" if min(shape[1:]) >= 16 else "small") if stem == "small" else stem
    return ResNet(shape, width, (1, 1, 1), stem)


def resnet18(shape: Shape, width: int, stem: str) -> Backbone:
    """The usual one at width 64; features = 8 · width."""
    return ResNet(shape, width, (2, 2, 2, 2), stem)


BACKBONES: dict[str, Callable[[Shape, int, str], Backbone]] = {f.__name__: f for f in (cnn, resnet8, resnet18)}


def backbone(name: str, shape: Shape, width: int, stem: str = "auto") -> Backbone:
    """The backbone of this name for images of this (C, H, W). UsageError lists the names.

    stem "auto" is "small" (3×3, no max-pool) up to 64 pixels, "imagenet" (7×7, stride 2, max-pool) above.
    """
    if name not in BACKBONES:
        raise UsageError(f"backbone {name}: there is no such backbone; choose one of {', '.join(BACKBONES)}")
    if stem == "auto":
        stem = "small" if min(shape[1:]) <= SMALL else "imagenet"
    return BACKBONES[name](shape, width, stem)
