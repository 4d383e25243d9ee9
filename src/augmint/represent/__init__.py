"""Unlabelled images → encoder.

encoder = train_encoder(pool, settings.represent, compute, seed=0)
features = encoder.features(pool)
"""

from augmint.represent.encoder import Encoder
from augmint.represent.in_run import InRun, resolve_views
from augmint.represent.probing import probe
from augmint.represent.train import train_encoder

__all__ = ["Encoder", "InRun", "probe", "resolve_views", "train_encoder"]
