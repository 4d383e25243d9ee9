"""Golden values of the self-supervised losses, made with lightly: python tests/golden/make_represent.py

Needs requirements/peers.txt. lightly's cosine loss is −cos (ours 2 − 2 cos); its DINO takes the mean of the two crossed
directions, and its centre starts at zero.
"""

from pathlib import Path

import numpy as np
import torch
from lightly.loss import BarlowTwinsLoss, DINOLoss, NegativeCosineSimilarity, NTXentLoss, VICRegLoss

CASES = [(4, 8), (16, 32), (64, 16)]
TEMPERATURES = [0.1, 0.2, 0.5]


def views(batch: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two related batches of projections."""
    generator = torch.Generator().manual_seed(batch * 1000 + size)
    first = torch.randn(batch, size, generator=generator)
    return first, 0.7 * first + 0.5 * torch.randn(batch, size, generator=generator)


def dino(first: torch.Tensor, second: torch.Tensor, temperature: float) -> torch.Tensor:
    """Two views, teacher temperature 0.04 from the start; teachers are the swapped inputs scaled."""
    loss = DINOLoss(first.shape[1], 0.04, 0.04, 0, temperature, 0.9)
    return loss([first * 0.3, second * 0.3], [second, first], epoch=0)


def main() -> None:
    values: dict[str, np.ndarray] = {}
    for batch, size in CASES:
        first, second = views(batch, size)
        name = f"{batch}x{size}"
        values[f"{name}/views"] = torch.stack([first, second]).numpy()
        values[f"{name}/cosine"] = NegativeCosineSimilarity()(first, second).numpy()
        values[f"{name}/barlow_twins"] = BarlowTwinsLoss(lambda_param=5e-3)(first, second).numpy()
        values[f"{name}/vicreg"] = VICRegLoss()(first, second).numpy()
        for temperature in TEMPERATURES:
            values[f"{name}/nt_xent/{temperature}"] = NTXentLoss(temperature)(first, second).numpy()
            values[f"{name}/dino/{temperature}"] = dino(first, second, temperature).detach().numpy()
    np.savez_compressed(Path(__file__).with_name("represent.npz"), **values)
    print(f"{len(values)} arrays")


if __name__ == "__main__":
    main()
