"""AugMix (Hendrycks et al. 2020): a mixture of three chains of one to three operations, mixed with the original.

The operations leave out what the corruption benchmarks measure (contrast, colour, brightness, sharpness).
The paper's Jensen-Shannon loss belongs to a training, not to an augmentation.
"""

import torch
from torch import Tensor

from augmint.augment.batches import Augment, on_images
from augmint.augment.operations import Ranges, apply
from augmint.seeding import Draws

NAMES = (
    "identity",
    "autocontrast",
    "equalize",
    "posterize",
    "rotate",
    "solarize",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
RANGES = Ranges(translate=1 / 3)  # the paper's: a third of the side at level 10


def build(strength: float = 1.0, *, severity: float = 3.0, chains: int = 3, depth: int = 3) -> Augment:
    """Operations at 0.1 … `severity` × strength of 10; chain shares Dirichlet(1), share of the mixture Beta(1, 1)."""
    top = min(severity * strength / 10, 1.0)

    def change(images: Tensor, draws: Draws) -> Tensor:
        if strength == 0:
            return images
        unit = draws.uniform("augmix", chains, 2)
        steps = draws.uniform("operations", chains, depth, 2)
        shares = -torch.log1p(-unit[:, :, 0])  # exponentials, normalised, are Dirichlet(1)
        shares = shares / shares.sum(1, keepdim=True).clamp_min(1e-12)
        length = (unit[:, :, 1] * depth).long() + 1
        mixture = torch.zeros_like(images)
        for chain in range(chains):
            done = _chain(images, steps[:, chain], length[:, chain], top)
            mixture.addcmul_(done, shares[:, chain, None, None, None])
        original = draws.uniform("original")
        return torch.lerp(mixture, images, original[:, None, None, None])

    return on_images(change)


def _chain(images: Tensor, unit: Tensor, length: Tensor, top: float) -> Tensor:
    """Up to `depth` operations after one another; unit [N, depth, 2]."""
    for step in range(unit.shape[1]):
        kind = 1 + (unit[:, step, 0] * (len(NAMES) - 1)).long()
        level = 2 * unit[:, step, 1] - 1
        level = level.sign() * (0.01 + level.abs() * max(top - 0.01, 0.0))
        images = apply(images, torch.where(step < length, kind, 0), level, RANGES, NAMES)
    return images
