"""No augmentation: only the conversion to float."""

from augmint.augment.batches import Augment, on_images


def build(strength: float = 1.0) -> Augment:
    """The images as they are."""
    return on_images(lambda images, draws: images)
