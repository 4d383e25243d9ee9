"""Unlabelled images → encoder.

encoder = train_encoder(pool, settings.represent, compute, seed=0)
features = encoder.features(pool)
"""

from augmint.represent.encoder import Encoder
from augmint.represent.probing import probe
from augmint.represent.train import train_encoder

__all__ = ["Encoder", "probe", "train_encoder"]
