"""Views that keep what an object is: mild crops, turns and light, an erased patch, noise.

Made for catalogue-like images (garments, digits, parts on a plain ground), where the standard contrastive views
destroy the class: cropping a fifth of a shirt leaves cloth. The order is place, light, patch, noise.
"""

from torch import Tensor

from augmint.augment.batches import Augment, Size, as_float, between, default_flip, on_images, random_boxes
from augmint.augment.colour import brightness_and_contrast_
from augmint.augment.defects import erase_, gaussian_noise_
from augmint.augment.geometry import Pad, affine, crop, mirroring, rotation, scaling, translation
from augmint.seeding import Draws


def build(
    strength: float = 1.0,
    *,
    area: float = 0.6,
    turn: float = 10.0,
    light: float = 0.2,
    patch: float = 0.5,
    noise: float = 0.05,
    flip: bool | None = None,
    size: Size | None = None,
) -> Augment:
    """`strength` scales everything below.

    area   smallest crop, part of the image;  turn  rotation in ± degrees
    light  brightness and contrast factors in 1 ± light
    patch  chance of an erased box of 2 to 20 % of the image, filled with the image's mean
    noise  largest standard deviation of the added noise
    size   height and width of the views; default that of the images, as always at strength 0
    """
    chance, spread = min(strength, 1.0), min(light * strength, 1.0)
    smallest = max(1 - strength * (1 - area), 0.05)

    def change(images: Tensor, draws: Draws) -> Tensor:
        if strength == 0:
            return as_float(images)
        unit = draws.uniform("gentle", 16)
        views = _place(images, unit, smallest, turn * strength, default_flip(flip, images), size)
        factors = between(unit[:, 6:8], 1 - spread, 1 + spread)
        views = brightness_and_contrast_(views, factors[:, 0], factors[:, 1])
        box = random_boxes(unit[:, 8:12], (0.02, 0.2), 2.0, *views.shape[2:])
        views = erase_(views, box * (unit[:, 12:13] < patch * chance))
        return gaussian_noise_(views, unit[:, 13] * (noise * strength), unit[:, 14])

    return on_images(change, raw=True)


def _place(images: Tensor, unit: Tensor, area: float, degrees: float, flip: bool, size: Size | None) -> Tensor:
    """Cut, mirrored and turned in one sampling."""
    height, width = images.shape[2:]
    pad: Pad = "zeros" if images.shape[1] == 1 else "reflection"
    box = random_boxes(unit[:, :4], (area, 1.0), 4 / 3, height, width)
    if degrees == 0:
        return crop(images, box, unit[:, 5] < 0.5 if flip else None, size=size, pad=pad)
    top, left, tall, wide = box.unbind(1)
    maps = translation((width - wide) / 2 - left, (height - tall) / 2 - top)
    maps = maps @ rotation(between(unit[:, 4], -degrees, degrees)) @ scaling(height / tall, width / wide)
    if flip:
        maps = maps @ mirroring(unit[:, 5] < 0.5)
    return affine(as_float(images), maps, pad, size)
