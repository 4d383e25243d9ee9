"""Losses of the self-supervised methods as pure functions of projections, in float32 whatever the precision around.

    loss = nt_xent(first, second, temperature=0.2)    # projections of two views, [N, D] each

Row i of one argument and row i of the other come from the same image. All return a scalar.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross-entropy (Chen et al., SimCLR, ICML 2020, equation 1).

    `first` and `second` are [N, D]. Row i of one has row i of the other as its positive and the remaining
    2N − 2 rows as negatives; the mean is over all 2N anchors.
    """
    with torch.autocast(first.device.type, enabled=False):
        z = F.normalize(torch.cat([first, second]).float(), dim=1)
        logits = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
        count = len(first)
        positive = torch.arange(2 * count, device=z.device).roll(count)
        return F.cross_entropy(logits, positive)


def regression(predictions: Tensor, targets: Tensor) -> Tensor:
    """‖p̄ − z̄‖² = 2 − 2 cos(p, z), mean over the N rows, 0 … 4 (Grill et al., BYOL, NeurIPS 2020, equation 2)."""
    with torch.autocast(predictions.device.type, enabled=False):
        return 2 - 2 * F.cosine_similarity(predictions.float(), targets.float(), dim=1).mean()


def info_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """2τ · cross-entropy of the positive key among all N keys (Chen, Xie & He, MoCo v3, ICCV 2021, algorithm 1)."""
    with torch.autocast(queries.device.type, enabled=False):
        logits = F.normalize(queries.float(), dim=1) @ F.normalize(keys.float(), dim=1).T / temperature
        return 2 * temperature * F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def barlow_twins(first: Tensor, second: Tensor, redundancy: float = 5e-3) -> Tensor:
    """Σ_i (1 − C_ii)² + λ Σ_{i≠j} C_ij², C the cross-correlation of the dimensions of two batches [N, D]
    (Zbontar et al., Barlow Twins, ICML 2021, equations 1 and 2)."""
    with torch.autocast(first.device.type, enabled=False):
        a, b = (_standardised(z.float()) for z in (first, second))
        correlation = a.T @ b / len(a)
        on = correlation.diagonal()
        off = correlation.square().sum() - on.square().sum()
        return (1 - on).square().sum() + redundancy * off


def _standardised(z: Tensor) -> Tensor:
    """Every dimension with mean 0 and variance 1 over the batch."""
    return (z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt()


def vicreg(
    first: Tensor, second: Tensor, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0
) -> Tensor:
    """λ MSE + μ Σ (hinge of the deviation at 1) + ν (squared covariances off the diagonal) of two batches [N, D]
    (Bardes, Ponce & LeCun, VICReg, ICLR 2022, equations 1 to 6); the hinges are averaged as in the authors' code."""
    with torch.autocast(first.device.type, enabled=False):
        first, second = first.float(), second.float()
        spread = sum(F.relu(1 - (z.var(0) + 1e-4).sqrt()).mean() for z in (first, second)) / 2
        shared = _off_diagonal(first) + _off_diagonal(second)
        return invariance * F.mse_loss(first, second) + variance * spread + covariance * shared


def _off_diagonal(z: Tensor) -> Tensor:
    """Sum of the squared covariances of different dimensions, over D."""
    z = z - z.mean(0)
    covariance = z.T @ z / (len(z) - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / z.shape[1]


def dino(students: Tensor, teachers: Tensor, centre: Tensor, temperature: float, teacher_temperature: float) -> Tensor:
    """Cross-entropy of the student's softmax under the teacher's centred and sharpened one, mean over N rows of scores
    [N, K] (Caron et al., DINO, ICCV 2021, equation 1 and section 3.1)."""
    with torch.autocast(students.device.type, enabled=False):
        wanted = ((teachers.float() - centre) / teacher_temperature).softmax(1)
        return -(wanted * (students.float() / temperature).log_softmax(1)).sum(1).mean()
