"""Networks that turn images into features.

    network = backbone("resnet8", shape=(1, 28, 28), width=32)
    features = network(images)            # float 0 … 1 [N, C, H, W] → [N, network.features]

A backbone is a function of this module, found by its name; `timm:NAME` asks timm for one. Parameters of the
residual networks are named as in torchvision, so that weights published for them fit.
"""

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augmint.errors import UsageError

Shape = tuple[int, int, int]
SMALL = 64  # images up to this side are small: no ImageNet stem


class Backbone(nn.Module):
    """float 0 … 1 [N, C, H, W] → float [N, features]; `features` is a plain number.

    Images are standardised first, by `mean` and `std` ([C, 1, 1], 0.5 each); published weights bring their own.
    The last maps are averaged over the cells of a `grid` × `grid`: 1 forgets where in the image something was seen.
    With `levels` 2 the maps of the stage before are, too, and stand behind them; 3 and so on.
    """

    maps: tuple[int, ...]  # channels of the maps of each level, the last level first
    grid: int = 1
    levels: int = 1
    spatial: bool = True  # whether there are maps to average over; else the grid stays 1
    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((channels, 1, 1), 0.5))
        self.register_buffer("std", torch.full((channels, 1, 1), 0.5))

    def standardised(self, images: Tensor) -> Tensor:
        """(images − mean) / std."""
        return (images - self.mean) / self.std

    @property
    def features(self) -> int:
        """How many numbers describe an image."""
        return sum(self.maps[: self.levels]) * self.grid**2

    @property
    def last(self) -> int:
        """How many of them, the first, are of the last stage."""
        return self.maps[0] * self.grid**2

    def levels_of(self, images: Tensor) -> list[Tensor]:
        """The maps [N, maps, h, w] of every level, the last first."""
        raise NotImplementedError

    def see(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """The maps of every level, none where there are none, and the features [N, features]."""
        maps = self.levels_of(images)
        return maps, self.pooled(*maps)

    def forward(self, images: Tensor) -> Tensor:
        return self.see(images)[1]

    def pooled(self, *maps: Tensor) -> Tensor:
        """[N, maps, h, w] of each level, the last first → [N, features]: the mean of each cell, channel by channel."""
        return torch.cat([self._cells(level) for level in maps[: self.levels]], 1)

    def _cells(self, maps: Tensor) -> Tensor:
        if self.grid == 1:
            return maps.mean((2, 3))
        return F.adaptive_avg_pool2d(maps, self.grid).flatten(1)


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
        super().__init__(shape[0])
        side = _Side(shape)
        layers: list[nn.Module] = []
        inner = shape[0]
        for number, (outer, stride) in enumerate([(width, 2), (2 * width, 1), (2 * width, 2), (4 * width, 2)]):
            layers += [_conv(inner, outer, side.stride(stride)), nn.BatchNorm2d(outer), nn.ReLU(inplace=True)]
            if number == 0 and stem == "imagenet":
                layers.append(nn.MaxPool2d(3, 2, 1))
            inner = outer
        self.layers = nn.Sequential(*layers)
        self.maps = (inner,)
        _initialise(self)

    def levels_of(self, images: Tensor) -> list[Tensor]:
        return [self.layers(self.standardised(images))]


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


class _Bottleneck(nn.Module):
    """1×1, 3×3 (with the stride), 1×1 to four times the channels, and a shortcut; names as in torchvision."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer // 4, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer // 4)
        self.conv2 = _conv(outer // 4, outer // 4, stride)
        self.bn2 = nn.BatchNorm2d(outer // 4)
        self.conv3 = nn.Conv2d(outer // 4, outer, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outer)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or inner != outer:
            self.downsample = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x: Tensor) -> Tensor:
        short = x if self.downsample is None else self.downsample(x)
        inner = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return cast(Tensor, self.relu(self.bn3(self.conv3(inner)) + short))


class ResNet(Backbone):
    """Stages of blocks, basic ones unless `bottleneck`; each stage doubles the channels and halves the maps.

    stem "small": 3×3 convolution at full size; "half": the same with stride 2; "imagenet": 7×7 with
    stride 2, then max-pool.
    """

    def __init__(self, shape: Shape, width: int, blocks: tuple[int, ...], stem: str, bottleneck: bool = False) -> None:
        super().__init__(shape[0])
        side = _Side(shape)
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(shape[0], width, 7, side.stride(), 3, bias=False)
        else:
            self.conv1 = _conv(shape[0], width, side.stride(2 if stem == "half" else 1))
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, side.stride(), 1) if stem == "imagenet" else nn.Identity()
        inner = width
        self.maps = ()
        self.stages = tuple(f"layer{number + 1}" for number in range(len(blocks)))
        for number, (name, count) in enumerate(zip(self.stages, blocks, strict=True)):
            outer = width * 2**number * (4 if bottleneck else 1)
            block = _Bottleneck if bottleneck else _Block
            first = block(inner, outer, side.stride(2 if number else 1))
            self.add_module(name, nn.Sequential(first, *(block(outer, outer, 1) for _ in range(count - 1))))
            inner = outer
            self.maps = (inner, *self.maps)
        _initialise(self)

    def levels_of(self, images: Tensor) -> list[Tensor]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(self.standardised(images)))))
        levels: list[Tensor] = []
        for name in self.stages:
            x = self.get_submodule(name)(x)
            levels.insert(0, x)
        return levels


def cnn(shape: Shape, width: int, stem: str) -> Backbone:
    """Four convolutions; features = 4 · width."""
    return Cnn(shape, width, stem)


def resnet8(shape: Shape, width: int, stem: str) -> Backbone:
    """Three blocks behind a stem of stride 2 (1 under 16 pixels), for CPUs, width 16 … 64; features = 4 · width."""
    stem = ("half" if min(shape[1:]) >= 16 else "small") if stem == "small" else stem
    return ResNet(shape, width, (1, 1, 1), stem)


def resnet14(shape: Shape, width: int, stem: str) -> Backbone:
    """Six blocks behind the stem of `resnet8`, for CPUs with more time; features = 4 · width."""
    stem = ("half" if min(shape[1:]) >= 16 else "small") if stem == "small" else stem
    return ResNet(shape, width, (2, 2, 2), stem)


def resnet18(shape: Shape, width: int, stem: str) -> Backbone:
    """The usual one at width 64; features = 8 · width."""
    return ResNet(shape, width, (2, 2, 2, 2), stem)


def resnet50(shape: Shape, width: int, stem: str) -> Backbone:
    """The usual one at width 64 (stride in the 3×3 convolution, as torchvision has it); features = 32 · width."""
    return ResNet(shape, width, (3, 4, 6, 3), stem, bottleneck=True)


class Timm(Backbone):
    """A model of timm, pooled; `width` and `stem` say nothing to it."""

    def __init__(self, name: str, shape: Shape) -> None:
        super().__init__(shape[0])
        try:
            import timm
        except Exception as error:  # a torchvision that does not fit its torch fails in its own ways
            raise UsageError(
                f"backbone timm:{name} needs timm and a torchvision that fits this torch ({error}); "
                "pip install 'augmint[timm]'"
            ) from error
        try:
            self.network = timm.create_model(name, pretrained=False, in_chans=shape[0], num_classes=0)
        except RuntimeError as error:
            raise UsageError(f"backbone timm:{name}: {error}; timm.list_models() has the names") from error
        self.maps = (int(self.network.num_features),)
        self.spatial = self._shape_of_maps(shape)[:2] == (1, *self.maps)

    @torch.no_grad()
    def _shape_of_maps(self, shape: Shape) -> tuple[int, ...]:
        self.network.eval()
        try:
            maps = self.network.forward_features(torch.zeros(1, *shape))
        except (AssertionError, RuntimeError) as error:
            raise UsageError(
                f"backbone of timm: it does not read images of {shape} ({error}); set data.size"
            ) from error
        self.network.train()
        return tuple(maps.shape) if isinstance(maps, Tensor) and maps.ndim == 4 else ()

    def levels_of(self, images: Tensor) -> list[Tensor]:
        return [self.network.forward_features(self.standardised(images))]

    def see(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        maps = self.levels_of(images)
        features = self.network.forward_head(*maps) if self.grid == 1 else self.pooled(*maps)
        return maps if self.spatial else [], features


FUNCTIONS = (cnn, resnet8, resnet14, resnet18, resnet50)
BACKBONES: dict[str, Callable[[Shape, int, str], Backbone]] = {f.__name__: f for f in FUNCTIONS}


def backbone(name: str, shape: Shape, width: int, stem: str = "auto", grid: int = 1, levels: int = 1) -> Backbone:
    """The backbone of this name, or `timm:NAME`, for images of this (C, H, W). UsageError lists the names.

    stem "auto" is "small" (3×3, no max-pool) up to 64 pixels, "imagenet" (7×7, stride 2, max-pool) above;
    features are `grid`² times as many as the maps of the last `levels` stages (of `cnn` and timm: of the last).
    """
    network = _named(name, shape, width, stem)
    network.grid = grid if network.spatial else 1
    network.levels = min(levels, len(network.maps))
    return network


def check(name: str) -> None:
    """UsageError lists the names if this is none; whether timm has what it says shows when it is built."""
    if not name.startswith("timm:") and name not in BACKBONES:
        raise UsageError(f"backbone {name}: there is no such backbone; choose one of {', '.join(BACKBONES)}, timm:NAME")


def _named(name: str, shape: Shape, width: int, stem: str) -> Backbone:
    check(name)
    if name.startswith("timm:"):
        return Timm(name.removeprefix("timm:"), shape)
    if stem == "auto":
        stem = "small" if min(shape[1:]) <= SMALL else "imagenet"
    return BACKBONES[name](shape, width, stem)
