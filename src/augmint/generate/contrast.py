"""What the contrastive discriminator learns from: two views of every real image, one of every generated one.

    heard = listen(judge, real, fake, draws, settings.contrast, compute, slope=False)
    loss = d_loss("adversarial", heard.real, heard.fake) + heard.extra

Jeong & Shin, "Training GANs with stronger augmentations via contrastive discriminator", ICLR 2021. With the loss
"adversarial" the three terms are theirs; real / generated is read off detached features, so that the convolutions
learn from contrast alone.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from augmint.augment import policy
from augmint.config import ContrastSettings
from augmint.data.table import Batch
from augmint.networks.contrastive import ContrastiveDiscriminator
from augmint.represent.losses import nt_xent
from augmint.seeding import Draws
from augmint.train import Compute


@dataclass(frozen=True, eq=False)
class Heard:
    """What one discriminator says in D's step: logits float [B], [M] and [K] or None, a loss of its own beside them,
    and for the gradient penalty its inputs (real first, then generated) with the logits that depend on them."""

    real: Tensor
    fake: Tensor
    mismatched: Tensor | None
    extra: Tensor
    inputs: Tensor
    through: Tensor


def supervised_contrast(fakes: Tensor, reals: Tensor, temperature: float) -> Tensor:
    """−1/(M − 1) Σ_{j≠i} log (e^{f_i·f_j/τ} / Σ_{k≠i} e^{f_i·k/τ}), mean over i: the other generated ones are the
    positives of `fakes` [M, D], and k runs over them and `reals` [R, D], both views (ContraD, equations 6 and 8, after
    Khosla et al., "Supervised contrastive learning", NeurIPS 2020). 0 for fewer than two."""
    count = len(fakes)
    if count < 2:
        return fakes.sum() * 0
    with torch.autocast(fakes.device.type, enabled=False):
        f, r = F.normalize(fakes.float(), dim=1), F.normalize(reals.float(), dim=1)
        itself = torch.eye(count, dtype=torch.bool, device=f.device)
        alike = (f @ f.T / temperature).masked_fill(itself, -torch.inf)
        log_sum = torch.cat([alike, f @ r.T / temperature], 1).logsumexp(1, keepdim=True)
        return -(alike - log_sum).masked_fill(itself, 0).sum() / (count * (count - 1))


def view(images: Tensor, draws: Draws, name: str) -> Tensor:
    """float 0 … 1 [N, C, H, W] under the policy of this name; gradients pass."""
    return policy(name)(Batch(images), draws).images.contiguous(memory_format=torch.channels_last)


def listen(
    judge: ContrastiveDiscriminator,
    real: Tensor,
    fake: Tensor,
    draws: Draws,
    settings: ContrastSettings,
    compute: Compute,
    slope: bool,
) -> Heard:
    """D's side: contrastive terms in `extra`, logits of the first view of `real` [B, …] and of `fake` [M, …] that
    teach the head alone. `slope`: with logits that depend on the images, for a gradient penalty."""
    count = len(real)
    views = [
        view(real, draws.fork("contrast/first"), settings.views),
        view(real, draws.fork("contrast/second"), settings.views),
        view(fake, draws.fork("contrast/fake"), settings.views),
    ]
    images = torch.cat([views[0], views[2], views[1]]).requires_grad_(slope)
    with compute.autocast():
        features = judge.features(images)
        read = features[: count + len(fake)]
        on_real, on_fake = judge.read(read.detach()).float().tensor_split([count])
        through = judge.read(read).float() if slope else on_real
        first, second = judge.real(torch.cat([features[:count], features[count + len(fake) :]])).chunk(2)
        apart = judge.fake(features)
    fakes = apart[count : count + len(fake)]
    reals = torch.cat([apart[:count], apart[count + len(fake) :]])
    extra = nt_xent(first, second, settings.temperature)
    extra = extra + settings.weight * supervised_contrast(fakes, reals, settings.temperature)
    return Heard(on_real, on_fake, None, extra, images, through)
