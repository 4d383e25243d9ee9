"""Discriminators by name, initialised and spectrally normalised.

judge = image_discriminator("pair", shape=(1, 28, 28), width=24)
judge = feature_discriminator("feature-pair", features=128, hidden=512)
"""

from collections.abc import Callable

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from augmint.errors import UsageError
from augmint.networks.codec import Shape
from augmint.networks.contrastive import (
    ContrastiveDiscriminator,
    EncoderDiscriminator,
    FrozenTrunk,
    MapsDiscriminator,
    MatchDiscriminator,
)
from augmint.networks.discriminators import (
    Discriminator,
    FeatureDiscriminator,
    FeaturePairDiscriminator,
    ImageDiscriminator,
    PairDiscriminator,
    ProjectionDiscriminator,
    SiameseDiscriminator,
)
from augmint.networks.initialise import initialise

GAIN = 10.0  # spectral normalisation leaves so small a slope that logits would hardly leave 0 in a short training

IMAGE: dict[str, Callable[[Shape, int], Discriminator]] = {
    "image": ImageDiscriminator,
    "pair": PairDiscriminator,
    "siamese": SiameseDiscriminator,
    "projection": ProjectionDiscriminator,
    "contrastive": ContrastiveDiscriminator,
}
STANDING: dict[str, Callable[[FrozenTrunk, int], Discriminator]] = {
    "image": MapsDiscriminator,
    "pair": lambda trunk, width: MatchDiscriminator(trunk.outputs, 8 * width),
    "projection": lambda trunk, width: EncoderDiscriminator(trunk.outputs),
}
FEATURE: dict[str, Callable[[int, int], Discriminator]] = {
    "feature": FeatureDiscriminator,
    "feature-pair": FeaturePairDiscriminator,
}


def _finish(network: Discriminator, spectral: bool, init: str) -> Discriminator:
    initialise(network, init)
    if spectral:
        network.gain = GAIN
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                spectral_norm(layer)
    return network


def image_discriminator(
    name: str,
    shape: Shape,
    width: int,
    spectral: bool = True,
    init: str = "default",
    trunk: FrozenTrunk | None = None,
) -> Discriminator:
    """By name: image, pair, siamese, projection, contrastive. `spectral`: spectral normalisation on every layer
    (Miyato et al., ICLR 2018). `trunk`: a trained encoder on which image, pair and projection stand, instead of
    convolutions of their own: their candidates are what it sees. UsageError lists the names."""
    if name not in IMAGE:
        raise UsageError(f"discriminator {name}: there is no such discriminator; choose one of {', '.join(IMAGE)}")
    if trunk is None:
        return _finish(IMAGE[name](shape, width), spectral, init)
    if name not in STANDING:
        raise UsageError(f"discriminator {name} learns to see by itself; set trunk=own")
    return _finish(STANDING[name](trunk, width), spectral, init)


def feature_discriminator(
    name: str, features: int, hidden: int, spectral: bool = True, init: str = "default"
) -> Discriminator:
    """By name: feature, feature-pair. UsageError lists the names."""
    if name not in FEATURE:
        raise UsageError(f"discriminator {name}: there is no such discriminator; choose one of {', '.join(FEATURE)}")
    return _finish(FEATURE[name](features, hidden), spectral, init)
