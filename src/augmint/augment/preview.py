"""A look at what a policy does to the images at hand.

preview(table, "simclr", seed=0, count=8, views=8).save("preview.png")     # rows = images, first the original
"""

import torch
from PIL.Image import Image

from augmint.augment import policy
from augmint.data.sheet import sheet
from augmint.data.table import Batch, ImageTable
from augmint.errors import InputError
from augmint.seeding import Draws, permutation


def preview(
    table: ImageTable, policy_name: str, seed: int = 0, count: int = 8, views: int = 8, strength: float = 1.0
) -> Image:
    """`count` images of the table (fewer if it has fewer), each with `views` augmented versions, as one picture."""
    if len(table) == 0:
        raise InputError("preview: there are no images to show; check the source with `augmint check`")
    rows = permutation(len(table), seed, "preview")[:count].sort().values
    augment = policy(policy_name, strength)
    images = table.gather(rows)
    columns = [images]
    for step in range(views):
        view = augment(Batch(images), Draws(seed, f"preview/{policy_name}", step, rows)).images
        columns.append((view * 255).round().to(torch.uint8))
    return sheet(torch.stack(columns, 1).flatten(0, 1), columns=1 + views)
