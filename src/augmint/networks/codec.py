"""Images ⇄ a short latent vector: the encoder and decoder that representation and generator are made of.

    encoder = ImageEncoder(shape=(1, 28, 28), width=32, latent=128)   # images 0 … 1 → [N, 128]
    decoder = Decoder(shape=(1, 28, 28), width=32, latent=128)        # [N, 128] → images 0 … 1

Both halve (double) the image until its shorter side is under 8 pixels; the full resolution is reached by
rearranging channels, so that nearly all the work is done at half the resolution and below. No skip joins the two:
the bottleneck is all that passes (SYSTEM 4).
"""

from typing import cast

from torch import Tensor, nn

Size = tuple[int, int]
Shape = tuple[int, int, int]


def pyramid(size: Size) -> list[Size]:
    """Sizes from the full one down, each half the one before (rounded up), until a side is under 8.

    >>> pyramid((28, 28))
    [(28, 28), (14, 14), (7, 7)]
    """
    sizes = [size]
    while min(sizes[-1]) > 7:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def _channels(level: int, width: int) -> int:
    """Channels at `level` halvings: width, 2 · width, 4 · width, then no more."""
    return width * (1, 2, 4)[min(level - 1, 2)]


class ImageEncoder(nn.Module):
    """float [N, C, H, W] in 0 … 1 → [N, latent], not normalised."""

    def __init__(self, shape: Shape, width: int, latent: int) -> None:
        super().__init__()
        sizes = pyramid(shape[1:])
        layers: list[nn.Module] = []
        inner = shape[0]
        for level in range(1, max(len(sizes), 2)):
            outer = _channels(level, width)
            stride = 2 if len(sizes) > 1 else 1
            layers += [
                nn.Conv2d(inner, outer, 3, stride, 1, bias=False),
                nn.BatchNorm2d(outer),
                nn.LeakyReLU(0.2, True),
            ]
            inner = outer
        layers.insert(-1, nn.Flatten())  # before the last activation, see discriminators.convolutions
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(inner * sizes[-1][0] * sizes[-1][1], latent)
        self.latent = latent

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.body(images * 2 - 1)))


class _Up(nn.Module):
    """Twice the size by a convolution to four times the channels and a rearrangement, cropped to `size`
    (Shi et al., "Real-time single image and video super-resolution", CVPR 2016)."""

    def __init__(self, inner: int, outer: int, size: Size) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inner, 4 * outer, 3, 1, 1)
        self.shuffle = nn.PixelShuffle(2)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.shuffle(self.conv(x)))[:, :, : self.size[0], : self.size[1]]


class Decoder(nn.Module):
    """float [N, latent] → images float [N, C, H, W] in 0 … 1. With `fine` so many channels reach the full size, and one
    more convolution there makes the image of them, so that pixels next to each other know of each other."""

    def __init__(self, shape: Shape, width: int, latent: int, fine: int = 0) -> None:
        super().__init__()
        sizes = pyramid(shape[1:])
        deepest = max(len(sizes) - 1, 1)
        self.first = (_channels(deepest, width), *sizes[-1])
        self.root = nn.Linear(latent, self.first[0] * sizes[-1][0] * sizes[-1][1])
        layers: list[nn.Module] = [nn.BatchNorm2d(self.first[0]), nn.LeakyReLU(0.2, True)]
        inner = self.first[0]
        for level in range(deepest - 1, 0, -1):
            outer = _channels(level, width)
            layers += [nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=False), _Crop(sizes[level])]
            layers += [nn.BatchNorm2d(outer), nn.LeakyReLU(0.2, True)]
            inner = outer
        if fine and len(sizes) > 1:
            layers += [_Up(inner, fine, sizes[0]), nn.BatchNorm2d(fine), nn.LeakyReLU(0.2, True)]
            layers.append(nn.Conv2d(fine, shape[0], 3, 1, 1))
        else:
            layers.append(_Up(inner, shape[0], sizes[0]) if len(sizes) > 1 else nn.Conv2d(inner, shape[0], 3, 1, 1))
        self.body = nn.Sequential(*layers)
        self.latent = latent

    def forward(self, latent: Tensor) -> Tensor:
        channels, height, width = self.first
        x = self.root(latent).view(-1, height, width, channels).permute(0, 3, 1, 2)  # channels_last already
        return cast(Tensor, self.body(x)).float().sigmoid()


class _Crop(nn.Module):
    """The upper left part of a given size, where halving had rounded up."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, : self.size[0], : self.size[1]]
