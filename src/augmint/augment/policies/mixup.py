"""MixUp (Zhang et al. 2018): each image is a weighted mean of itself and a partner from its batch; so is its target."""

from augmint.augment.batches import Augment, as_float
from augmint.augment.mixing import beta, mixed
from augmint.data.table import Batch
from augmint.seeding import Draws


def build(strength: float = 1.0, *, alpha: float = 1.0) -> Augment:
    """Shares from Beta(a, a), a = alpha × strength (1: the paper's for CIFAR; 0.2: for ImageNet)."""

    def augment(batch: Batch, draws: Draws) -> Batch:
        images = as_float(batch.images)
        if strength * alpha == 0:
            return Batch(images, batch.targets, batch.weights)
        share = beta(draws.uniform("share"), alpha * strength)
        partner = draws.permutation("partner")
        both = images.index_select(0, partner).lerp_(images, share[:, None, None, None])
        return mixed(batch, both, share, partner)

    return augment
