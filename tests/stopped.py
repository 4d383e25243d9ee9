"""BYOL on digits in a run folder, stopped before a step or resumed; at its end the encoder is in FOLDER/encoder.

python tests/stopped.py FOLDER 3        torchrun --nproc-per-node=2 tests/stopped.py FOLDER end
"""

import sys
from pathlib import Path

import torch

from augmint.config import RepresentSettings
from augmint.data import load
from augmint.represent import train as room
from augmint.train import Compute, RunDir, StageDir, parallel

SETTINGS = RepresentSettings(method="byol", backbone="cnn", width=8, images=6 * 32, batch=32, latent=0)


class Stopped(Exception):
    """Before the step that was named."""


def stop_before(number: int) -> None:
    """Let no training make the step `number`, nor any without a checkpoint."""
    plan, step = room.Plan, room.Trainer.step
    room.Plan = lambda *a: plan(*a, checkpoint_seconds=0.0)

    def stopping(self, rows, draws, progress):
        if draws.step == number:
            raise Stopped
        return step(self, rows, draws, progress)

    room.Trainer.step = stopping


if __name__ == "__main__":
    folder, until = Path(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    parallel.start()
    run = RunDir(folder, writes=parallel.rank() == 0)
    stage = StageDir("represent", folder / "represent-0", run)
    stop_before(-1 if until == "end" else int(until))
    try:
        encoder = room.train_encoder(load("digits"), SETTINGS, Compute.choose("cpu", "fp32"), 0, stage)
        if run.writes:
            encoder.save(folder / "encoder")
    except Stopped:
        parallel.wait()
    parallel.stop()
