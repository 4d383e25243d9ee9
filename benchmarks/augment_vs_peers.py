"""Views per second of the SimCLR policy on one core: augmint beside its peers.

    python benchmarks/augment_vs_peers.py [--rounds 9] [--shapes 1x28x28 3x32x32 …]

Peers: lightly, torchvision v2, kornia, albumentations, augrs. Everybody gets the same uint8 images in memory and the
same policy (crop 0.2 to 1, flip, jitter .4 .4 .4 .1 with chance .8, grey .2, blur .5 with sigma 0.1 to
max(0.5, side / 112)) and gives a float32 batch 0 … 1. Process CPU time on one thread, the libraries taking turns in
every round, median over rounds. A peer that is not installed is named, not skipped in silence. It needs an
environment with augmint and requirements/peers.txt:

    python -m venv peers && peers/bin/pip install -r requirements/core.txt -r requirements/peers.txt
    PYTHONPATH=src peers/bin/python benchmarks/augment_vs_peers.py

Colour: augmint and torchvision turn the hue exactly, in floats; lightly (Pillow), albumentations and augrs in 8 bits.
Writes benchmarks/results/augment_vs_peers.json.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from augmint.augment import policy
from augmint.data.table import Batch
from augmint.seeding import Draws
from augmint.train import Compute

SHAPES = ("1x28x28", "3x32x32", "3x96x96", "3x224x224")
Shape = tuple[int, int, int]
TARGETS = dict(zip(SHAPES, (40.0, 20.0, 5.0, 3.0), strict=True))  # times lightly
PEERS = {  # name → the distribution that has it
    "lightly": "lightly",
    "torchvision": "torchvision",
    "kornia": "kornia",
    "albumentations": "albumentations",
    "augrs": "augrs-py",  # the distribution called augrs is something else
}
Work = Callable[[int], Tensor | list[Tensor]]  # one round: augment the whole batch


def blur(shape: Shape) -> tuple[float, int]:
    """Widest sigma and the size of its kernel, as augmint has them."""
    widest = max(0.5, max(shape[1:]) / 112)
    return widest, 2 * math.ceil(3 * widest - 0.5) + 1


def arrays(images: Tensor) -> list[np.ndarray]:
    """[H, W, C] each, as image libraries want them."""
    return [np.ascontiguousarray(a) for a in images.permute(0, 2, 3, 1).numpy()]


def floats(pictures: list[np.ndarray]) -> Tensor:
    """What is uint8 [H, W, C] becomes one float batch."""
    stacked = np.stack([a[..., None] if a.ndim == 2 else a for a in pictures])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).to(torch.float32).mul_(1 / 255)


def augmint_views(images: Tensor) -> Work:
    Compute.choose("cpu", "fp32")  # sets up memory, as every command does
    augment, rows = policy("simclr", flip=True, area=0.2), torch.arange(len(images))
    return lambda step: augment(Batch(images), Draws(0, "benchmark", step, rows)).images


def lightly_views(images: Tensor) -> Work:
    from lightly.transforms import SimCLRViewTransform
    from PIL import Image

    sigmas = (0.1, blur(images.shape[1:])[0])
    change = SimCLRViewTransform(
        images.shape[-1], cj_strength=0.5, min_scale=0.2, sigmas=sigmas, normalize=None
    )  # its factors at strength 0.5 are .4 .4 .4 .1
    pictures = [Image.fromarray(a[..., 0] if a.shape[-1] == 1 else a) for a in arrays(images)]
    return lambda step: torch.stack([change(picture) for picture in pictures])


def torchvision_views(images: Tensor) -> Work:
    from torchvision.transforms import v2

    widest, kernel = blur(images.shape[1:])
    change = v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomResizedCrop(tuple(images.shape[2:]), scale=(0.2, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(kernel, (0.1, widest))], 0.5),
        ]
    )
    return lambda step: torch.stack([change(image) for image in images])


def kornia_views(images: Tensor) -> Work:
    import kornia.augmentation as K

    widest, kernel = blur(images.shape[1:])
    colour = [K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8), K.RandomGrayscale(p=0.2)]
    light = [K.RandomBrightness((0.6, 1.4), p=0.8), K.RandomContrast((0.6, 1.4), p=0.8)]  # its jitter wants RGB
    change = torch.nn.Sequential(
        K.RandomResizedCrop(tuple(images.shape[2:]), scale=(0.2, 1.0)),
        K.RandomHorizontalFlip(),
        *(colour if images.shape[1] == 3 else light),
        K.RandomGaussianBlur((kernel, kernel), (0.1, widest), p=0.5),
    )
    return lambda step: change(images.float() / 255)


def same_names(library: ModuleType, shape: Shape) -> list[object]:
    """The policy in albumentations' words, which augrs speaks too. Grey images need no ToGray."""
    widest, kernel = blur(shape)
    changes = [
        library.RandomResizedCrop(size=shape[1:], scale=(0.2, 1.0)),
        library.HorizontalFlip(p=0.5),
        library.ColorJitter((0.6, 1.4), (0.6, 1.4), (0.6, 1.4), (-0.1, 0.1), p=0.8),
        library.ToGray(p=0.2),
        library.GaussianBlur(blur_limit=(kernel, kernel), sigma_limit=(0.1, widest), p=0.5),
    ]
    return changes if shape[0] == 3 else [change for change in changes if type(change).__name__ != "ToGray"]


def albumentations_views(images: Tensor) -> Work:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations
    import cv2

    cv2.setNumThreads(0)
    change = albumentations.Compose(same_names(albumentations, tuple(images.shape[1:])))
    pictures = arrays(images)
    return lambda step: floats([change(image=picture)["image"] for picture in pictures])


def augrs_views(images: Tensor) -> Work:
    import augrs

    change, pictures = augrs.Compose(same_names(augrs, tuple(images.shape[1:]))), arrays(images)

    def work(step: int) -> Tensor:
        return floats([out["image"] for out in change.augment_batch(pictures, seed=step, num_threads=1)])

    return work


MAKERS = {
    "augmint": augmint_views,
    "lightly": lightly_views,
    "torchvision": torchvision_views,
    "kornia": kornia_views,
    "albumentations": albumentations_views,
    "augrs": augrs_views,
}
PER_IMAGE = {"torchvision": 32, "lightly": 64, "albumentations": 64}  # images in a round for these, which loop


def version(peer: str) -> str | None:
    """The installed version; none if its module would come from another distribution of that name."""
    try:
        found = importlib.metadata.distribution(PEERS.get(peer, peer))
    except importlib.metadata.PackageNotFoundError:
        return None
    module = importlib.util.find_spec(peer)
    own = Path(str(found.locate_file(peer))) / "__init__.py"
    if peer in PEERS and (module is None or Path(module.origin or "").resolve() != own.resolve()):
        return None
    return found.version


def rates(shape: Shape, names: list[str], rounds: int, batch: int) -> dict[str, float]:
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


def verdict(label: str, row: dict[str, float]) -> str:
    """How many times lightly, and which peers are faster."""
    ahead = [name for name in row if row[name] > row["augmint"]]
    times = f"{row['augmint'] / row['lightly']:.1f} × lightly (target {TARGETS[label]:g})" if "lightly" in row else ""
    return f"{times}, {'behind ' + ', '.join(ahead) if ahead else 'ahead of all'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=SHAPES)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "augment_vs_peers.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    versions = {name: version(name) for name in ("augmint", *PEERS, "torch")}
    missing = [name for name in PEERS if versions[name] is None]
    if missing:
        print(f"Not installed here, so not compared: {', '.join(PEERS[name] for name in missing)}")
    names = [name for name in MAKERS if name not in missing]
    table, loads = {}, {}
    print(f"{'views/s, one core':18}" + "".join(f"{name:>15}" for name in names))
    for label in options.shapes:
        shape = tuple(map(int, label.split("x")))
        loads[label] = os.getloadavg()[0]  # other work on the machine lowers every number
        table[label] = rates(shape, names, options.rounds, 256 if shape[1] < 64 else 64)
        cells = "".join(f"{table[label][name]:15,.0f}" for name in names)
        print(f"{label:18}{cells}  {verdict(label, table[label])}", flush=True)
    facts = {"versions": versions, "missing": missing, "rounds": options.rounds, "load_average": loads}
    facts |= {"processor": platform.processor() or platform.machine(), "views_per_second": table}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
