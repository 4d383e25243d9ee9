"""What D and G minimise, as pure functions of D's logits (SYSTEM 5).

    loss = d_loss("hinge", real, fake)                     # logits float [B], [M]
    loss = g_loss("hinge", fake, real)
    loss = d_loss("margin", real, fake, mismatched)        # matching-aware: D scores pairs

`real` and `fake` may differ in size. `mismatched` are the logits of real images that do not belong to
their anchor (x_j⊥ of the article); they are wrong as much as generated ones are, half of the loss each
(Reed et al., "Generative adversarial text to image synthesis", ICML 2016, algorithm 1).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from augmint.errors import UsageError


def adversarial(real: Tensor, fake: Tensor, delta: float = 0.0) -> Tensor:
    """−E log σ(D(x)) − E log(1 − σ(D(x̃))) (the article's L_adv with its second sign put right)."""
    return softplus(-real).mean() + softplus(fake).mean()


def margin(real: Tensor, fake: Tensor, delta: float = 0.0) -> Tensor:
    """E max(0, 1 − D(x_i) + D(x_j) − δ) over all pairs (i, j): the margin is 1 − δ."""
    return (1 - delta - real[:, None] + fake[None, :]).relu().mean()


def hinge(real: Tensor, fake: Tensor, delta: float = 0.0) -> Tensor:
    """E max(0, 1 − D(x)) + E max(0, 1 + D(x̃)) (Lim & Ye, "Geometric GAN", 2017)."""
    return (1 - real).relu().mean() + (1 + fake).relu().mean()


def relativistic(real: Tensor, fake: Tensor, delta: float = 0.0) -> Tensor:
    """−E log σ(D(x) − D(x̃)) over all pairs (Jolicoeur-Martineau, ICLR 2019; R3GAN, NeurIPS 2024)."""
    return softplus(fake[None, :] - real[:, None]).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    f.__name__: f for f in (adversarial, margin, hinge, relativistic)
}


def _known(name: str) -> None:
    if name not in LOSSES:
        raise UsageError(f"loss {name}: there is no such loss; choose one of {', '.join(LOSSES)}")


def d_loss(name: str, real: Tensor, fake: Tensor, mismatched: Tensor | None = None, delta: float = 0.0) -> Tensor:
    """What D minimises, a scalar. Logits `real` [B], `fake` [M], `mismatched` [K] or None."""
    _known(name)
    loss = LOSSES[name](real, fake, delta)
    return loss if mismatched is None else (loss + LOSSES[name](real, mismatched, delta)) / 2


def g_loss(name: str, fake: Tensor, real: Tensor, delta: float = 0.0) -> Tensor:
    """What G minimises, a scalar.

    adversarial: −E log σ(D(x̃)), non-saturating; hinge: −E D(x̃); relativistic and margin: D's loss
    with the roles exchanged, so that a generated image has to look *more* real than real ones.
    """
    _known(name)
    if name == "adversarial":
        return softplus(-fake).mean()
    if name == "hinge":
        return -fake.mean()
    return LOSSES[name](fake, real, delta)


def log_score(fake: Tensor) -> Tensor:
    """E log σ(D(x̃)), the literal reading of the article's constraint: times β added to either objective."""
    return -softplus(-fake).mean()


def steepness(slopes: Tensor) -> Tensor:
    """½ E‖∇‖² of slopes [N, …] of D: R1 where they are at real images, R2 at generated ones (Mescheder et al., ICML
    2018)."""
    return slopes.float().flatten(1).square().sum(1).mean() / 2


def diversity(one: Tensor, other: Tensor, wanted: Tensor) -> Tensor:
    """E max(0, 1 − d(x̃₁, x̃₂) / wanted): two children of one parent [N, …] should differ as much as `wanted` [].

    d is the mean absolute difference, `wanted` the same between real neighbours. Mode seeking (Mao et al.,
    CVPR 2019) with an end: more variety than real images have earns nothing.
    """
    apart = (one - other).abs().flatten(1).mean(1)
    return (1 - apart / wanted.clamp(min=1e-6)).relu().mean()


def perception(made: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Mean over levels of E|m̃ − m| / E|m|: how otherwise an encoder sees images than those that they should be, by its
    maps [N, …] of each level (Johnson et al., ECCV 2016, equation 2, with absolute differences)."""
    missed = [
        (one - other).abs().mean() / other.abs().mean().clamp(min=1e-6) for one, other in zip(made, real, strict=True)
    ]
    return torch.stack(missed).mean()


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) per dimension, averaged (Kingma & Welling, 2014, appendix B)."""
    return (mean.square() + log_variance.exp() - log_variance - 1).mean() / 2


def correlation(ones: Tensor, others: Tensor) -> Tensor:
    """ρ float [N], −1 … 1, of the grey pixels of images float [N, C, H, W] and others; 0 where one is constant."""
    one, other = (images.float().mean(1).flatten(1) for images in (ones, others))
    one, other = one - one.mean(1, keepdim=True), other - other.mean(1, keepdim=True)
    return nn.functional.cosine_similarity(one, other, dim=1, eps=1e-6)


def structure(children: Tensor, parents: Tensor, near: Tensor) -> Tensor:
    """E (1 − s ρ(child, parent)), s the sign of ρ(near, parent): images float [N, C, H, W], `near` real, of the target.

    0 where a child is its parent in another light and contrast (in negative, if the target shows things so): the look
    is free, the drawing is kept. With ρ² instead G may settle on negatives that no target image resembles.
    """
    sign = torch.where(correlation(near, parents) < 0, -1.0, 1.0)
    return (1 - sign * correlation(children, parents)).mean()
