"""Makes measure_prdc.npz with the package prdc 0.2 (development group `peers`).

python tests/golden/make_measure_prdc.py
"""

from pathlib import Path

import numpy as np
from prdc import compute_prdc

rng = np.random.default_rng(0)
real = rng.normal(size=(180, 8)).astype(np.float32)
fake = (rng.normal(size=(140, 8)) * 0.8 + 0.35).astype(np.float32)
content = {"real": real, "fake": fake}
for k in (1, 3, 5):
    found = compute_prdc(real_features=real, fake_features=fake, nearest_k=k)
    content |= {f"{name}_{k}": np.float64(value) for name, value in found.items()}
np.savez_compressed(Path(__file__).with_name("measure_prdc.npz"), **content)
