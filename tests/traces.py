"""Losses of every method's first steps on digits, as JSON on stdout; under torchrun, of all processes together.

python tests/traces.py        torchrun --nproc-per-node=2 tests/traces.py
"""

import json

import torch

from augmint.config import assignments, resolve
from augmint.data import load
from augmint.represent.methods import names
from augmint.represent.train import prepare
from augmint.seeding import Draws
from augmint.train import Compute, parallel

STEPS, BATCH = 6, 64
SETTINGS = [
    "represent.backbone=cnn",
    "represent.width=8",
    f"represent.batch={BATCH}",
    f"represent.images={STEPS * BATCH}",
]


def trace(method: str, device: str = "cpu", **options: str) -> list[float]:
    """Loss of each step."""
    settings = resolve("demo", None, assignments([*SETTINGS, f"represent.method={method}"]))
    table = load("digits", settings.data)
    represent = settings.represent.model_copy(update={"compile": "off", **options})
    trainer = prepare(table, represent, Compute.choose(device, "fp32"), seed=3)
    losses = []
    for step in range(STEPS):
        rows = torch.arange(step * BATCH, (step + 1) * BATCH, device=device)
        metrics = trainer.step(rows, Draws(3, "trace", step, rows), step / STEPS)
        losses.append(float(metrics["loss"]))
    return losses


if __name__ == "__main__":
    torch.set_num_threads(1)
    parallel.start()
    found = {method: trace(method) for method in names()}
    if parallel.rank() == 0:
        print(json.dumps(found))
    parallel.stop()
