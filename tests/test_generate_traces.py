"""Golden traces: the first steps of every way to train a generator give the numbers they gave before.

After a change that is meant to change them: python tests/test_generate_traces.py > tests/golden/traces_generate.json
"""

import json
from pathlib import Path

import pytest
import torch

from augmint.config import FeatureGeneratorSettings, ImageGeneratorSettings
from augmint.data.table import ImageTable
from augmint.generate.feature import FeatureTrainer
from augmint.generate.image_training import ImageTrainer
from augmint.generate.pairs import neighbours
from augmint.represent.encoder import Encoder, Form, build
from augmint.represent.whitening import Whitening
from augmint.seeding import Draws
from augmint.train import Compute
from fake_mint import digits

GOLDEN = Path(__file__).parent / "golden" / "traces_generate.json"
CPU = Compute(torch.device("cpu"), bf16=False)
STEPS, BATCH = 5, 24
IMAGE = ImageGeneratorSettings(trunk="own", width=4, d_width=4, noise=8, latent=16, batch=BATCH)
FEATURE = FeatureGeneratorSettings(noise=8, hidden=16, batch=BATCH)
WAYS = {
    "image": {},
    "image-encoder": {"trunk": "encoder"},
    "image-contrastive": {"discriminators": ("contrastive",), "loss": "adversarial", "beta": 0.1},
    "image-margin": {"loss": "margin", "delta": 0.2, "farthest": "other", "adaptive": 0.6, "condition": "cluster"},
    "feature": {},
    "feature-noise": {"form": "noise", "loss": "relativistic", "init": "normal002"},
}


def untrained(pool: ImageTable, compute: Compute) -> Encoder:
    """An encoder as it begins."""
    form = Form("resnet8", pool.shape, 4, "auto", 0, 0, grid=2, levels=2)
    torch.manual_seed(0)
    network = compute.place(build(form)[0].eval())
    return Encoder(form, network, None, compute, Whitening.none(network.features))


def trace(way: str, compute: Compute = CPU) -> list[dict[str, float]]:
    """The metrics of the first steps."""
    torch.set_num_threads(1)
    pool = digits(120)
    features = pool.images.flatten(1).float() / 255
    near = neighbours(features, 10)
    if way.startswith("image"):
        settings = IMAGE.model_copy(update=WAYS[way])
        encoder = untrained(pool, compute) if settings.trunk == "encoder" else None
        features = features if encoder is None else encoder.features(pool)
        trainer = ImageTrainer(pool, features, near, settings, compute, 3, encoder)
    else:
        trainer = FeatureTrainer(features, near, None, FEATURE.model_copy(update=WAYS[way]), compute, 3)
    found = []
    for step in range(STEPS):
        rows = torch.arange(step * BATCH, (step + 1) * BATCH, device=compute.device)
        metrics = trainer.step(rows, Draws(3, "trace", step, rows), 0.4 + step / 10)
        found.append({name: float(value) for name, value in metrics.items()})
    return found


@pytest.mark.parametrize("way", WAYS)
def test_as_before(way: str) -> None:
    golden = json.loads(GOLDEN.read_text())[way]
    for found, wanted in zip(trace(way), golden, strict=True):
        assert found == pytest.approx(wanted, rel=1e-3, abs=1e-4)


if __name__ == "__main__":
    print(json.dumps({way: trace(way) for way in WAYS}, indent=0))
