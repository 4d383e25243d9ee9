"""Views per second of the SimCLR policy on one core: augmint beside torchvision v2, kornia and lightly.

    python benchmarks/augment_vs_peers.py [--rounds 7] [--batch 256]

Everybody gets the same uint8 images in memory and the same policy (crop 0.2 to 1, flip, jitter .4 .4 .4 .1 with
chance .8, grey .2, blur of 3 pixels .5) and gives float32 0 … 1. Process CPU time on one thread, the libraries
taking turns in every round, median over rounds. A peer that is not installed is named, not skipped in silence.
Run it in an environment that has augmint and the peers. Writes benchmarks/results/augment_vs_peers.json.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from augmint.augment import policy
from augmint.data.table import Batch
from augmint.seeding import Draws

SHAPES = ((1, 28, 28), (3, 32, 32), (3, 96, 96))
PEERS = ("torchvision", "kornia", "lightly")
Work = Callable[[int], None]  # one round: augment the whole batch


def augmint_views(images: Tensor) -> Work:
    augment, rows = policy("simclr", flip=True), torch.arange(len(images))
    return lambda step: augment(Batch(images), Draws(0, "benchmark", step, rows)) and None


def torchvision_views(images: Tensor) -> Work:
    from torchvision.transforms import v2

    size = tuple(images.shape[2:])
    change = v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomResizedCrop(size, scale=(0.2, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(3, (0.1, 0.5))], 0.5),
        ]
    )
    return lambda step: [change(image) for image in images] and None


def kornia_views(images: Tensor) -> Work:
    import kornia.augmentation as K

    size = tuple(images.shape[2:])
    colour = [K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8), K.RandomGrayscale(p=0.2)]
    light = [K.RandomBrightness((0.6, 1.4), p=0.8), K.RandomContrast((0.6, 1.4), p=0.8)]  # its jitter wants RGB
    change = torch.nn.Sequential(
        K.RandomResizedCrop(size, scale=(0.2, 1.0)),
        K.RandomHorizontalFlip(),
        *(colour if images.shape[1] == 3 else light),
        K.RandomGaussianBlur((3, 3), (0.1, 0.5), p=0.5),
    )
    return lambda step: change(images.float() / 255) is None and None


def lightly_views(images: Tensor) -> Work:
    from lightly.transforms import SimCLRViewTransform
    from PIL import Image

    change = SimCLRViewTransform(
        images.shape[-1], cj_strength=0.5, min_scale=0.2, sigmas=(0.1, 0.5), normalize=None
    )  # its factors at strength 0.5 are .4 .4 .4 .1
    arrays = images.permute(0, 2, 3, 1).numpy()
    pictures = [Image.fromarray(a[..., 0] if a.shape[-1] == 1 else np.ascontiguousarray(a)) for a in arrays]
    return lambda step: [change(picture) for picture in pictures] and None


MAKERS = {
    "augmint": augmint_views,
    "torchvision": torchvision_views,
    "kornia": kornia_views,
    "lightly": lightly_views,
}
PER_IMAGE = {"torchvision": 32, "lightly": 64}  # images in a round for those that work image by image


def version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def rates(shape: tuple[int, int, int], names: list[str], rounds: int, batch: int) -> dict[str, float]:
    """Median views per second of CPU time of each library."""
    images = torch.randint(0, 256, (batch, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    counts = {name: min(batch, PER_IMAGE.get(name, batch)) for name in names}
    work = {name: MAKERS[name](images[: counts[name]]) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for step in range(rounds + 1):  # the first warms up
        for name in names:
            start = time.process_time()
            work[name](step)
            seconds[name].append(time.process_time() - start)
    return {name: counts[name] / statistics.median(seconds[name][1:]) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "augment_vs_peers.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    versions = {name: version(name) for name in ("augmint", *PEERS, "torch")}
    missing = [name for name in PEERS if versions[name] is None]
    if missing:
        print(f"Not installed here, so not compared: {', '.join(missing)}")
    names = [name for name in MAKERS if name not in missing]
    table = {}
    print(f"{'views/s, one core':20}" + "".join(f"{name:>14}" for name in names))
    for shape in SHAPES:
        label = "×".join(map(str, shape))
        table[label] = rates(shape, names, options.rounds, options.batch)
        print(f"{label:20}" + "".join(f"{table[label][name]:14,.0f}" for name in names))
    facts = {"versions": versions, "missing": missing, "rounds": options.rounds, "batch": options.batch}
    facts |= {"load_average": os.getloadavg()[0]}  # other work on the machine lowers every number
    facts |= {"processor": platform.processor() or platform.machine(), "views_per_second": table}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
