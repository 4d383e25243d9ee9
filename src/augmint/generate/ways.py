"""Ways between children: along the noise of one parent, and from one parent to another under the same noise.

    along_noise(generator, parents, (draws, others), steps=9)        # uint8 [N, 9, C, H, W]
    between_parents(generator, parents, others, draws, steps=9)

If the noise means something, a small step along it changes little; if the bottleneck does, what lies between two
parents of a class could be of that class too.
"""

import math
from typing import cast

import torch
from torch import Tensor

from augmint.generate.image import ImageGenerator
from augmint.generate.image_training import to_float
from augmint.seeding import Draws


@torch.inference_mode()
def along_noise(generator: ImageGenerator, parents: Tensor, draws: tuple[Draws, Draws], steps: int) -> Tensor:
    """From the child of each of `parents` uint8 [N, C, H, W] under the first noise to its child under the second. Codes
    lie on an arc: on the straight line those in the middle would be shorter than any that G has learnt from."""
    one, other = (d.normal("noise", 1, generator.settings.noise) for d in draws)
    angle = torch.linspace(0, math.pi / 2, steps)[:, None]
    hidden = _hidden(generator, parents)[:, None].expand(-1, steps, -1)
    return _children(generator, hidden, angle.cos() * one + angle.sin() * other, draws[0])


@torch.inference_mode()
def between_parents(generator: ImageGenerator, parents: Tensor, others: Tensor, draws: Draws, steps: int) -> Tensor:
    """From the child of each of `parents` uint8 [N, C, H, W] to that of each of `others` under the same noise, on a
    straight line at the bottleneck."""
    one, other = (_hidden(generator, images)[:, None] for images in (parents, others))
    share = torch.linspace(0, 1, steps, device=one.device)[:, None]
    noise = draws.normal("noise", 1, generator.settings.noise).expand(-1, steps, -1)
    return _children(generator, (1 - share) * one + share * other, noise, draws)


def _hidden(generator: ImageGenerator, images: Tensor) -> Tensor:
    """float [N, latent] on the device."""
    with generator.compute.autocast():
        return cast(Tensor, generator.network.encoder(to_float(images, generator.compute)))


def _children(generator: ImageGenerator, hidden: Tensor, noise: Tensor, draws: Draws) -> Tensor:
    """uint8 [N, steps, C, H, W] on the CPU, of bottlenecks [N, steps, latent] and noise [N, steps, noise]."""
    count, steps = hidden.shape[:2]
    with generator.compute.autocast():
        made = generator.network.child(hidden.flatten(0, 1), noise.flatten(0, 1).to(hidden.device))
    made = generator.network.grained(made, draws.select(torch.arange(count).repeat_interleave(steps)))
    return (made * 255).round().to(torch.uint8).cpu().view(count, steps, *generator.shape)
