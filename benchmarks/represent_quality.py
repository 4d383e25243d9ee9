"""What an encoder is worth after so many minutes on this machine: augmint beside lightly's SimCLR, same minutes.

    python benchmarks/represent_quality.py --threads 2 [--cells fashion-mnist/augmint …] [--cifar train.parquet]

Data: digits (1 minute), Fashion-MNIST (12) and, if given, CIFAR-10 (20), each without labels. augmint trains as it
comes (`--preset fast`, without the decoder, which lightly has not either), for as many images as fit the minutes;
lightly as in its CIFAR-10 benchmark (SimCLRTransform with half the jitter and no blur, SGD 0.06 · batch / 128, cosine
over the minutes, NTXentLoss) with the same kind of network and its own head, in bf16 too. Minutes are those of
training alone.

While it trains, neighbours are judged on 2,000 training images that are kept out of it (bank: 10,000 others): the
curve. At the end the test images are looked at once: 5 nearest neighbours among all training images (plain, and
whitened as augmint's are), a linear classifier on all labels (its penalty chosen on the 2,000), and a logistic head on
1, 4, 10 and 40 labels a class, mean and standard deviation over 10 draws. Cells that are done are kept in
benchmarks/results/represent_quality.json. lightly needs an environment as in represent_vs_lightly.py.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from augmint.classify import fit_logistic
from augmint.config import RepresentSettings, resolve
from augmint.data import load
from augmint.data.draws import nested_draw
from augmint.data.table import ImageTable
from augmint.measure.knn import knn_accuracy
from augmint.measure.probes import linear_probe
from augmint.networks.backbones import backbone
from augmint.represent.train import prepare
from augmint.represent.whitening import Whitening
from augmint.seeding import Draws, permutation
from augmint.train import Compute
from augmint.train.loop import Rows

OUT = Path(__file__).parent / "results" / "represent_quality.json"
MINUTES = {"digits": 1.0, "fashion-mnist": 12.0, "cifar10": 20.0}
MOMENTS = 8  # of the curve
LABELS, DRAWS = (1, 4, 10, 40), 10
PENALTIES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
TRIED = 24  # steps that are timed to know how many fit the minutes
Embed = Callable[[Tensor], Tensor]  # uint8 images → float32 [N, D] of length 1


class Slices:
    """The training images without their labels, some kept out for the curve, and the test images."""

    def __init__(self, source: str) -> None:
        table = load(source, resolve("fast").data)
        train = table.rows("train")
        kept = min(2000, len(train) // 10)
        order = train[permutation(len(train), 0, "quality")]
        self.table, self.val, self.pool = table, order[:kept], order[kept:]
        self.train, self.test = train, table.rows("test")

    def judged(self, embed: Embed, bank: Tensor, queries: Tensor, whiten: bool) -> float:
        """5 nearest neighbours among `bank`, rows both."""
        a, b = embed(self.table.gather(bank)), embed(self.table.gather(queries))
        if whiten:
            white = Whitening.fit(a[:20_000], 0.1)
            a, b = white(a), white(b)
        return knn_accuracy(a, self.table.labels[bank], b, self.table.labels[queries], 5)


def own_settings() -> RepresentSettings:
    """Those of `--preset fast` without the decoder."""
    return resolve("fast").represent.model_copy(update={"latent": 0})


def augmint(s: Slices, minutes: float) -> Iterator[tuple[float, int, Embed]]:
    """(seconds of training, images, how to embed) at every moment of the curve; the last is the end."""
    compute, settings = Compute.choose(), own_settings()
    pool = s.table.take(s.pool)
    images = int(_augmint_rate(pool, settings, compute) * minutes * 60 * 0.9) // settings.batch * settings.batch
    trainer = prepare(pool, settings.model_copy(update={"images": images}), compute, seed=1)
    rows, seconds, steps = Rows(len(pool), 1, "represent"), 0.0, trainer.plan.steps
    stops = [round(steps * (i + 1) / MOMENTS) for i in range(MOMENTS)]
    for step in range(steps):
        start = time.perf_counter()
        chosen = rows.at(step, trainer.plan.batch)
        trainer.step(chosen, Draws(1, "represent", step, chosen), step / steps)
        seconds += time.perf_counter() - start
        if step + 1 in stops:
            yield seconds, (step + 1) * trainer.plan.batch, trainer.encoder.hidden
            trainer.joint.train()


def _augmint_rate(pool: ImageTable, settings: RepresentSettings, compute: Compute) -> float:
    trainer = prepare(pool, settings, compute, seed=0)

    def seconds(progress: float) -> float:
        taken = []
        for step in range(TRIED):
            start, rows = time.perf_counter(), torch.arange(trainer.plan.batch) + step
            trainer.step(rows % len(pool), Draws(0, "rate", step, rows), progress)
            taken.append(time.perf_counter() - start)
        return float(np.median(taken[TRIED // 3 :]))

    small = settings.small  # its first steps see smaller views
    return trainer.plan.batch / (small * seconds(0.0) + (1 - small) * seconds(1.0))


class Pictures(torch.utils.data.Dataset[list[Tensor]]):
    """Images in memory under lightly's transform."""

    def __init__(self, images: Tensor) -> None:
        from lightly.transforms import SimCLRTransform

        self.arrays = images.permute(0, 2, 3, 1).contiguous().numpy()
        plain = {"normalize": None}  # the network standardises
        self.transform = SimCLRTransform(input_size=images.shape[-1], cj_strength=0.5, gaussian_blur=0.0, **plain)

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, row: int) -> list[Tensor]:
        from PIL import Image

        pixels = self.arrays[row]
        views: list[Tensor] = self.transform(Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels))
        return views


def lightly(s: Slices, minutes: float) -> Iterator[tuple[float, int, Embed]]:
    """The same for lightly's loop; the schedule follows the clock."""
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead

    torch.manual_seed(1)
    compute, settings = Compute.choose(), own_settings()
    network = backbone(settings.backbone, s.table.shape, settings.width)
    model = compute.place(nn.Sequential(network, SimCLRProjectionHead(network.features, 512, 128))).train()
    batch, threads = min(256, len(s.pool)), torch.get_num_threads()
    criterion, base = NTXentLoss(), 0.06 * batch / 128
    optimiser = torch.optim.SGD(model.parameters(), base, momentum=0.9, weight_decay=5e-4)
    loader: Any = torch.utils.data.DataLoader(
        Pictures(s.table.gather(s.pool)), batch, shuffle=True, drop_last=True, num_workers=threads
    )

    def embed(images: Tensor) -> Tensor:
        network.eval()
        with torch.no_grad(), compute.autocast():
            parts = [network(part.float() / 255).float() for part in torch.split(images, 1024)]
        network.train()
        return nn.functional.normalize(torch.cat(parts), dim=1)

    seconds, images, moment, limit = 0.0, 0, 1, minutes * 60
    while seconds < limit:
        start = time.perf_counter()
        for first, second in loader:
            for group in optimiser.param_groups:
                group["lr"] = base * 0.5 * (1 + np.cos(np.pi * min(1.0, seconds / limit)))
            with compute.autocast():
                loss = criterion(model(first), model(second))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            now = time.perf_counter()
            seconds, start, images = seconds + now - start, now, images + batch
            if seconds >= limit:
                break
            if seconds >= limit * moment / MOMENTS:
                moment += 1
                yield seconds, images, embed
                start = time.perf_counter()
    yield seconds, images, embed


SIDES = {"augmint": augmint, "lightly": lightly}


def linear(s: Slices, train: Tensor, val: Tensor, test: Tensor) -> dict[str, float]:
    """Linear classifier on all labels; its penalty is chosen on the images kept out."""
    labels, some = s.table.labels, s.pool[:10_000]
    place = {int(row): i for i, row in enumerate(s.train.tolist())}
    at = torch.tensor([place[int(row)] for row in some.tolist()])
    tried = {c: linear_probe(train[at], labels[some], val, labels[s.val], c, 100) for c in PENALTIES}
    best = max(PENALTIES, key=lambda c: tried[c])
    return {"linear": linear_probe(train, labels[s.train], test, labels[s.test], best), "c": best}


def few(s: Slices, train: Tensor, test: Tensor, c: float) -> dict[str, list[float]]:
    """Mean and standard deviation over label draws of a logistic head's accuracy on the test images."""
    labels, classes, found = s.table.labels, len(s.table.classes), {}
    mean, scale = train.mean(0), train.std(0).clamp_min(1e-6)
    for count in LABELS:
        hits = []
        for draw in range(DRAWS):
            rows = nested_draw(labels[s.train], count, 1, draw, s.table.classes)
            head = fit_logistic(train[rows], labels[s.train][rows], classes=classes, c=c, mean=mean, scale=scale)
            hits.append(float((head.logits(test).argmax(1) == labels[s.test]).double().mean()))
        found[str(count)] = [float(np.mean(hits)), float(np.std(hits, ddof=1))]
    return found


def measure(source: str, side: str, minutes: float) -> dict[str, Any]:
    """One cell: the curve on the images kept out, then everything on the test images, once."""
    s, curve, embed = Slices(source), [], None
    for seconds, images, embed in SIDES[side](s, minutes):
        bank = s.pool[:10_000]
        plain, white = (s.judged(embed, bank, s.val, whiten) for whiten in (False, True))
        curve.append({"seconds": seconds, "images": images, "knn": plain, "knn_whitened": white})
        print(f"  {side} {seconds:5.0f} s {images:9,} images: kNN {plain:.4f}, whitened {white:.4f}", flush=True)
    assert embed is not None
    train, val, test = (embed(s.table.gather(rows)) for rows in (s.train, s.val, s.test))
    found = {f"knn{'_whitened' * w}": s.judged(embed, s.train, s.test, bool(w)) for w in (0, 1)}
    head = resolve("fast").classify.logistic_c
    found |= linear(s, train, val, test)
    last = {"seconds": curve[-1]["seconds"], "images": curve[-1]["images"]}
    return {**last, **found, "few": few(s, train, test, head), "curve": curve, "bank": len(s.train)}


def line(name: str, row: dict[str, Any]) -> str:
    heads = "  ".join(f"{100 * m:.1f} ± {100 * sd:.1f}" for m, sd in row["few"].values())
    rates = "".join(f"{100 * row[key]:10.2f}" for key in ("knn", "knn_whitened", "linear"))
    return f"{name:24}{row['seconds'] / 60:6.1f}{row['images']:11,}{rates}   {heads}"


def picture(cells: dict[str, Any], file: Path) -> None:
    """The curves: a panel for each kind of data, a line for each side."""
    names = list(dict.fromkeys(name.split("/")[0] for name in cells))
    figure = Figure(figsize=(3.2 * len(names), 2.8), layout="constrained")
    for place, data in enumerate(names, 1):
        axes = figure.add_subplot(1, len(names), place)
        for side, colour, mark in (("augmint", "#0072B2", "o"), ("lightly", "#D55E00", "s")):
            curve = cells.get(f"{data}/{side}", {}).get("curve", [])
            axes.plot(
                [point["seconds"] / 60 for point in curve],
                [100 * point["knn_whitened"] for point in curve],
                color=colour, marker=mark, ms=4, label=side,
            )  # fmt: skip
        axes.set_title(data, loc="left", fontsize=10)
        axes.set_xlabel("minutes of training")
        axes.set_xlim(left=0)
        axes.spines[["top", "right"]].set_visible(False)
        if place == 1:
            axes.set_ylabel("5 nearest neighbours right, %")
            axes.legend(frameon=False, loc="lower right")
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cells", nargs="+", default=[], help="parts of names of cells, e.g. fashion-mnist/augmint")
    parser.add_argument("--cifar", help="CIFAR-10's training images, anything that `augmint check` reads")
    parser.add_argument("--minutes", type=float, help="instead of 1, 12 and 20")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--picture", type=Path, help="draw the curves that are there into this PNG; train nothing")
    o = parser.parse_args()
    if o.picture:
        picture(json.loads(o.out.read_text())["cells"], o.picture)
        return
    torch.set_num_threads(o.threads)
    sources = {"digits": "digits", "fashion-mnist": "fashion-mnist"} | ({"cifar10": o.cifar} if o.cifar else {})
    kept = json.loads(o.out.read_text()) if o.out.exists() else {"cells": {}}
    facts = {"threads": o.threads, "processor": platform.processor() or platform.machine(), "torch": torch.__version__}
    few_ = " / ".join(map(str, LABELS))
    print(f"{'':24}{'min':>6}{'images':>11}{'kNN':>10}{'whitened':>10}{'linear':>10}   {few_} labels a class")
    for data, side in ((d, side) for d in sources for side in SIDES):
        name, minutes = f"{data}/{side}", o.minutes or MINUTES[data]
        if o.cells and not any(part in name for part in o.cells):
            continue
        if name not in kept["cells"]:
            kept["cells"][name] = measure(sources[data], side, minutes) | facts
            o.out.parent.mkdir(parents=True, exist_ok=True)
            o.out.write_text(json.dumps(kept, indent=1) + "\n")
        print(line(name, kept["cells"][name]), flush=True)


if __name__ == "__main__":
    main()
