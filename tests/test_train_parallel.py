"""Two processes on one training do what one does: the same losses, the same encoder, one run folder."""

import io
import json
import os
import runpy
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import together
from augmint.config import RepresentSettings
from augmint.errors import UsageError
from augmint.networks.backbones import backbone
from augmint.represent import train
from augmint.represent.methods import build, names
from augmint.represent.optimise import make
from augmint.represent.train import batch_of
from augmint.train import parallel
from conftest import augmint

TRACE, STOPPED = (str(Path(__file__).with_name(name)) for name in ("traces.py", "stopped.py"))


def start(processes: int, *command: str) -> str:
    """What the first of so many processes prints; one alone is this process."""
    return here(*command) if processes == 1 else together.start(processes, *command)


def torchrun(processes: int, *command: str) -> None:
    """The real thing."""
    started = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--standalone"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*started, *command], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def here(*command: str) -> str:
    """The same command in this process."""
    if command[:2] == ("-m", "augmint"):
        return augmint(*command[2:]).stdout
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        patch.setattr(sys, "argv", list(command))
        patch.setattr(train, "Plan", train.Plan)  # stopped.py changes these two
        patch.setattr(train.Trainer, "step", train.Trainer.step)
        runpy.run_path(command[0], run_name="__main__")
    return out.getvalue()


def test_every_method_has_the_losses_it_used_to_have_and_the_same_in_two_processes() -> None:
    """After a change that is meant to change them: python tests/traces.py > tests/golden/traces.json"""
    alone, both = json.loads(start(1, TRACE)), json.loads(start(2, TRACE))
    golden = json.loads((Path(__file__).parent / "golden" / "traces.json").read_text())
    assert alone == {method: pytest.approx(losses, rel=1e-3) for method, losses in golden.items()}
    assert set(alone) == set(both) == set(names())
    for method in alone:
        assert both[method] == pytest.approx(alone[method], rel=1e-3), method
        assert len(set(alone[method])) == len(alone[method])


def test_torchrun_writes_one_run_with_the_same_encoder(tmp_path: Path) -> None:
    settings = ["represent.images=512", "represent.batch=64", "represent.width=8", "precision=fp32"]
    pairs = [part for setting in settings for part in ("--set", setting)]
    weights: list[dict[str, Any]] = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        command = ["-m", "augmint", "represent", "digits", "--preset", "demo", "--out", str(out), *pairs]
        here(*command) if processes == 1 else torchrun(processes, *command)
        (path,) = (out / "stages" / "represent").glob("*/result.safetensors")
        weights.append(load_file(path))
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        assert sum(line.get("images") == 512 for line in lines) == 1
    for found in weights:  # directions of equal variance turn freely: what they do together does not
        matrix = found.pop("state.whitening.matrix")
        found["whitening"] = matrix @ matrix.T / matrix.square().sum()
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=0.05, atol=0.02, msg=name)


def test_views_are_chosen_once_for_all_processes(tmp_path: Path) -> None:
    settings = ["represent.views=auto", "represent.search=0.9", "represent.images=3500", "precision=fp32"]
    pairs = [part for setting in settings for part in ("--set", setting)]
    choices = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        start(processes, "-m", "augmint", "represent", "digits", "--preset", "tiny", "--out", str(out), *pairs)
        (path,) = (out / "stages" / "views" / "choice").glob("*/done.json")
        choices.append(json.loads(path.read_text())["choice"])
        assert (out / "run.log").read_text().count("views: ") == 1
        assert len(list((out / "stages" / "represent").glob("*/done.json"))) == 1
    for name, score in choices[0]["scores"].items():
        assert choices[1]["scores"][name] == pytest.approx(score, abs=0.02), name


def test_all_processes_help_with_the_encoder_of_every_seed(tmp_path: Path) -> None:
    settings = ["judge.encoder_seeds=2", "judge.robust_images=0", "judge.arms=[encoder]", "represent.images=512"]
    settings += ["generate.image.enabled=false", "generate.feature.enabled=false"]
    pairs = [part for setting in settings for part in ("--set", setting)]
    command = ["run", "digits", "--labels-per-class", "4", "--preset", "tiny", "--out", str(tmp_path / "r"), *pairs]
    start(2, "-m", "augmint", *command)
    assert len(list((tmp_path / "r" / "stages" / "represent").glob("*/done.json"))) == 2
    report = json.loads((tmp_path / "r" / "report" / "report.json").read_text())
    assert report["evaluation"]["encoder_seeds"] == [0, 1]


def test_all_processes_help_with_the_encoder_that_measures(tmp_path: Path) -> None:
    settings = ["represent.images=512", "measure.images=512", "generate.image.images=256", "data.val_images=60"]
    pairs = [part for setting in settings for part in ("--set", setting)]
    command = ["measure", "digits", "--labels-per-class", "4", "--preset", "tiny", "--out", str(tmp_path / "r"), *pairs]
    start(2, "-m", "augmint", *command)
    assert (tmp_path / "r" / "measures" / "measures.json").exists()


@pytest.mark.parametrize("method", names())
def test_the_optimiser_holds_the_same_parameters_in_any_number_of_processes(method, monkeypatch) -> None:
    def groups(processes: int) -> list[int]:
        made = build(method, backbone("cnn", (1, 8, 8), 8), RepresentSettings())
        monkeypatch.setattr(parallel, "world", lambda: processes)
        before = made.state_dict()
        assert all(torch.equal(value, before[name]) for name, value in parallel.synchronise(made).state_dict().items())
        assert any(isinstance(part, parallel.BatchNorm) for part in made.modules()) == (processes > 1)
        return [len(group["params"]) for group in make(made, RepresentSettings()).param_groups]

    assert groups(1) == groups(2)


def test_statistics_over_all_processes_stay_where_they_are_not_to_move(monkeypatch) -> None:
    monkeypatch.setattr(parallel, "world", lambda: 2)
    monkeypatch.setattr(parallel, "all_reduce", lambda sums: 2 * sums)
    norm = nn.BatchNorm1d(3)
    (still,) = parallel.synchronise(nn.Sequential(norm))
    still(torch.randn(8, 3))
    assert int(still.num_batches_tracked) == 1 and not torch.equal(still.running_mean, torch.zeros(3))
    before = still.running_mean.clone()
    still.track_running_stats = False
    still(torch.randn(8, 3))
    assert int(still.num_batches_tracked) == 1 and torch.equal(still.running_mean, before)


def test_a_norm_that_does_more_is_refused_in_several_processes(monkeypatch) -> None:
    class WithActivation(nn.BatchNorm2d):
        pass

    monkeypatch.setattr(parallel, "world", lambda: 2)
    with pytest.raises(UsageError, match="WithActivation"):
        parallel.synchronise(nn.Sequential(WithActivation(3)))


def test_a_training_stopped_in_two_processes_goes_on_in_one_and_the_other_way_round(tmp_path: Path) -> None:
    start(1, STOPPED, str(tmp_path / "whole"), "end")
    wanted = load_file(tmp_path / "whole" / "encoder")
    for first, second in ((2, 1), (1, 2)):
        folder = tmp_path / f"{first}-{second}"
        start(first, STOPPED, str(folder), "3")
        assert json.loads((folder / "represent-0" / "state.json").read_text())["step"] == 3
        start(second, STOPPED, str(folder), "end")
        found = load_file(folder / "encoder")
        for name in wanted:
            if "whitening" not in name:
                torch.testing.assert_close(found[name], wanted[name], rtol=0.01, atol=2e-3, msg=name)


def test_a_pool_smaller_than_the_batch_is_cut_to_what_divides(monkeypatch) -> None:
    assert batch_of(256, 101) == 101 and batch_of(64, 101) == 64
    monkeypatch.setattr(parallel, "world", lambda: 2)
    assert batch_of(256, 101) == 100 and batch_of(256, 1) == 2
    assert batch_of(63, 101) == 63  # the user's own: refused
    with pytest.raises(UsageError, match="does not divide"):
        parallel.share(torch.arange(63))


def test_one_process_is_left_alone() -> None:
    rows, network = torch.arange(7), nn.Sequential(nn.BatchNorm1d(3))
    assert parallel.world() == 1 and parallel.rank() == 0
    assert torch.equal(parallel.share(rows), rows) and parallel.gather(rows) is rows
    assert isinstance(parallel.synchronise(network)[0], nn.BatchNorm1d)
