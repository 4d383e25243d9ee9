"""RandAugment, TrivialAugment and AugMix: images per second on one core, augmint beside torchvision.

    python benchmarks/policies_vs_peers.py [--rounds 9] [--shapes 1x28x28 3x32x32 …]

Both at their published settings (magnitude 9 of 30, two operations; wide; severity 3, three chains), the same uint8
images in memory, a float32 batch 0 … 1 at the end. torchvision's v2 transforms change one image after the other, as
tensors and as Pillow images, which is what a data loader does. Process CPU time on one thread, taking turns in every
round, median over rounds. Needs an environment with augmint and torchvision (requirements/peers.txt). Writes
benchmarks/results/policies_vs_peers.json.
"""

import argparse
import importlib.metadata
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from augment_vs_peers import SHAPES, arrays
from PIL import Image
from torch import Tensor

from augmint.augment import policy
from augmint.data.table import Batch
from augmint.seeding import Draws
from augmint.train import Compute

OUT = Path(__file__).parent / "results" / "policies_vs_peers.json"
POLICIES = ("randaugment", "trivialaugment", "augmix")
BATCH, LOOPED = 128, 32  # images of a round for augmint, and for what loops over them
Work = Callable[[int], Tensor]


def ours(name: str, images: Tensor) -> Work:
    """The policy on the whole batch."""
    augment, rows = policy(name), torch.arange(len(images))
    return lambda step: augment(Batch(images), Draws(0, "benchmark", step, rows)).images


def theirs(name: str, images: Tensor, pillow: bool) -> Work:
    """The policy, then conversion to floats, image by image."""
    from torchvision.transforms import v2

    change = {"randaugment": v2.RandAugment, "trivialaugment": v2.TrivialAugmentWide, "augmix": v2.AugMix}[name]
    whole = v2.Compose([change(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    pictures = [Image.fromarray(a[..., 0] if a.shape[-1] == 1 else a) for a in arrays(images)]
    return lambda step: torch.stack([whole(image) for image in (pictures if pillow else images)])


def rates(name: str, images: Tensor, rounds: int) -> dict[str, float]:
    """Median images per second of CPU time."""
    work = {
        "augmint": (ours(name, images), len(images)),
        "torchvision": (theirs(name, images[:LOOPED], False), LOOPED),
        "torchvision, Pillow": (theirs(name, images[:LOOPED], True), LOOPED),
    }
    seconds: dict[str, list[float]] = {who: [] for who in work}
    for step in range(rounds + 1):  # the first warms up
        for who, (run, _) in work.items():
            start = time.process_time()
            run(step)
            seconds[who].append(time.process_time() - start)
    return {who: count / statistics.median(seconds[who][1:]) for who, (_, count) in work.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=SHAPES)
    parser.add_argument("--out", type=Path, default=OUT)
    o = parser.parse_args()
    Compute.choose("cpu", "fp32")  # sets up memory, as every command does
    torch.set_num_threads(1)
    found: dict[str, dict[str, float]] = {}
    print(f"{'images/s, one core':28}{'augmint':>12}{'torchvision':>14}{'Pillow':>12}   times the faster")
    for label in o.shapes:
        shape = tuple(map(int, label.split("x")))
        images = torch.randint(0, 256, (BATCH, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        for name in POLICIES:
            row = found[f"{name}/{label}"] = rates(name, images, o.rounds)
            mine, *others = row.values()
            cells = f"{mine:12,.0f}{others[0]:14,.0f}{others[1]:12,.0f}{mine / max(others):12.1f}"
            print(f"{label + ' ' + name:28}{cells}", flush=True)
    versions = {name: importlib.metadata.version(name) for name in ("torch", "torchvision", "pillow")}
    facts = {"versions": versions, "rounds": o.rounds, "processor": platform.processor() or platform.machine()}
    o.out.parent.mkdir(parents=True, exist_ok=True)
    o.out.write_text(json.dumps({**facts, "images_per_second": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
