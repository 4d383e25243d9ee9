"""How far generated features are from real ones: distance of distributions, fidelity, coverage.

    frechet_distance(real, fake)      # Gaussian approximation; call it FD-<encoder>, never FID
    kid(real, fake)                   # unbiased, so it may be slightly negative
    prdc(real, fake, k=5)             # precision, recall, density, coverage

Features are float [N, D]. Show the same numbers of real against real beside them: that is the floor.
"""

import torch
from torch import Tensor

from augmint.errors import InputError
from augmint.measure.knn import CELLS, nearest


def _check(a: Tensor, b: Tensor) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise InputError(f"two sets of at least 2 features [N, D] are needed, not {list(a.shape)} and {list(b.shape)}")


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """‖μa - μb‖² + tr(Σa + Σb - 2 (Σa Σb)^½) (Dowson & Landau 1982; Heusel et al. 2017), at least 0.

    The root's trace is taken from the symmetric Σa^½ Σb Σa^½, which is stable for singular covariances.
    """
    _check(a, b)
    x, y = a.double(), b.double()
    cov_x, cov_y = torch.cov(x.T).view(x.shape[1], -1), torch.cov(y.T).view(x.shape[1], -1)
    values, vectors = torch.linalg.eigh(cov_x)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_y @ root).clamp(min=0).sqrt().sum()
    means = (x.mean(0) - y.mean(0)).square().sum()
    return max(0.0, float(means + cov_x.trace() + cov_y.trace() - 2 * cross))


def _kernel_sum(a: Tensor, b: Tensor) -> float:
    """Sum of (x·y / D + 1)³ over all pairs, in blocks."""
    total = 0.0
    for part in torch.split(a, max(1, CELLS // len(b))):
        total += float((part @ b.T).div_(a.shape[1]).add_(1).pow_(3).sum())
    return total


def _self_sum(a: Tensor) -> float:
    return float((a.square().sum(1) / a.shape[1] + 1).pow(3).sum())


def kid(a: Tensor, b: Tensor) -> float:
    """Squared maximum mean discrepancy under the kernel (x·y / D + 1)³, the unbiased estimate over all
    pairs (Bińkowski et al., "Demystifying MMD GANs", ICLR 2018)."""
    _check(a, b)
    x, y = a.double(), b.double()
    n, m = len(x), len(y)
    within_x = (_kernel_sum(x, x) - _self_sum(x)) / (n * (n - 1))
    within_y = (_kernel_sum(y, y) - _self_sum(y)) / (m * (m - 1))
    return within_x + within_y - 2 * _kernel_sum(x, y) / (n * m)


def prdc(real: Tensor, fake: Tensor, k: int = 5) -> dict[str, float]:
    """Precision, recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020), with balls
    that reach to the k-th neighbour. Density may exceed 1, the others lie in 0 … 1."""
    _check(real, fake)
    centre = real.double().mean(0)
    real, fake = (real.double() - centre).float(), (fake.double() - centre).float()
    real_radius = nearest(real, real, k, exclude_self=True)[0][:, -1]
    fake_radius = nearest(fake, fake, k, exclude_self=True)[0][:, -1]
    inside, recalled = [], torch.zeros(len(real), dtype=torch.bool, device=real.device)
    closest = torch.full((len(real),), torch.inf, device=real.device)
    for start in range(0, len(fake), chunk := max(1, CELLS // len(real))):
        block = torch.cdist(fake[start : start + chunk], real)  # [chunk, real]
        inside.append((block < real_radius).sum(1))
        recalled |= (block < fake_radius[start : start + chunk, None]).any(0)
        closest = torch.minimum(closest, block.amin(0))
    balls = torch.cat(inside)
    return {
        "precision": float((balls > 0).float().mean()),
        "recall": float(recalled.float().mean()),
        "density": float(balls.float().mean() / k),
        "coverage": float((closest < real_radius).float().mean()),
    }
