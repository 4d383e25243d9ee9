"""The only training loop, its checkpoints, the run folder, devices and progress."""

from augmint.train.compute import Compute
from augmint.train.loop import Plan, fit, set_rate
from augmint.train.progress import QUIET, ProgressOut
from augmint.train.rundir import RunDir, StageDir

__all__ = ["QUIET", "Compute", "Plan", "ProgressOut", "RunDir", "StageDir", "fit", "set_rate"]
