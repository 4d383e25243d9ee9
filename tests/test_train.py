import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from augmint.errors import Diverged, InputError
from augmint.seeding import Draws
from augmint.train import Plan, RunDir, StageDir, checkpoint, fit
from augmint.train.loop import Rows


class Task:
    """A small regression trained with Adam, whose noise is drawn by address. Weights in channels_last and a fused
    optimiser, to which the order of its moments in memory matters."""

    def __init__(self, lr: float = 1e-2, stop_at: int | None = None, poison_at: int | None = None) -> None:
        torch.manual_seed(0)
        layers = nn.Linear(4, 16), nn.Unflatten(1, (4, 2, 2)), nn.Conv2d(4, 8, 2), nn.Flatten(), nn.BatchNorm1d(8)
        self.model = nn.Sequential(*layers, nn.Linear(8, 1)).to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=lr, fused=True)
        self.data = torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
        self.stop_at, self.poison_at = stop_at, poison_at
        self.state = {"model": self.model, "optimiser": self.optimiser}

    def step(self, rows: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        if draws.step == self.stop_at:
            raise KeyboardInterrupt
        x = self.data[rows] + 0.1 * draws.normal("noise", 4)
        loss = (self.model(x) - x.sum(1, keepdim=True)).square().mean()
        if draws.step == self.poison_at:
            loss = loss * float("nan")
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {"loss": loss.detach()}


def plan(**changes: object) -> Plan:
    return Plan(**{"images": 800, "batch": 16, "seed": 0, "stream": "t", "log_every": 5, **changes})  # type: ignore[arg-type]


def open_stage(folder: Path) -> "RunDir":
    return RunDir.open(folder, {"a": 1})  # type: ignore[return-value]


def stage_of(run: RunDir) -> StageDir:
    return run.stage("train", {"x": 1}, 0)


def test_rows_are_shuffled_passes_whatever_the_batch() -> None:
    rows = Rows(10, 0, "s")
    stream = torch.cat([rows.at(i, 4) for i in range(15)])
    assert [sorted(part.tolist()) for part in stream.split(10)] == [list(range(10))] * 6
    assert torch.equal(torch.cat([Rows(10, 0, "s").at(i, 6) for i in range(10)]), stream)
    assert not torch.equal(stream[:10], stream[10:20])


def test_stopped_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    whole = Task()
    fit(whole.step, 50, plan(), whole.state)
    with RunDir.open(tmp_path, {"a": 1}) as run:
        stopped = Task(stop_at=23)
        with pytest.raises(KeyboardInterrupt):
            fit(stopped.step, 50, plan(checkpoint_seconds=0.0), stopped.state, stage_of(run))
        assert json.loads((stage_of(run).folder / "state.json").read_text())["step"] == 23
        resumed = Task(lr=99.0)  # overwritten by the checkpoint
        fit(resumed.step, 50, plan(), resumed.state, stage_of(run))
    for a, b in zip(whole.model.state_dict().values(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_checkpoint_of_other_parameters_is_a_clear_error(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, {"a": 1}) as run:
        stage, task = stage_of(run), Task()
        fit(task.step, 50, plan(images=32), task.state, stage)
        other = torch.optim.Adam([*task.model.parameters()][:2], lr=1e-2)
        with pytest.raises(InputError, match=r"does not fit this training.*delete it"):
            fit(task.step, 50, plan(), {"model": task.model, "optimiser": other}, stage)


def test_a_diverged_training_keeps_its_last_good_checkpoint(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, {"a": 1}) as run:
        task = Task(poison_at=30)
        with pytest.raises(Diverged, match=r"not finite at step 3\d; .*last good checkpoint"):
            fit(task.step, 50, plan(checkpoint_seconds=0.0), task.state, stage_of(run))
        kept = checkpoint.load(stage_of(run).checkpoint)
        assert kept["step"] == 30
        assert all(bool(torch.isfinite(v).all()) for v in kept["state"]["model"].values())


def test_metrics_are_logged(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, {"a": 1}) as run:
        task = Task()
        fit(task.step, 50, plan(), task.state, stage_of(run))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(5, 51, 5))
    assert lines[-1]["loss"] < lines[0]["loss"] and lines[0]["stage"] == "train"


def test_checkpoint_round_trip_keeps_structure(tmp_path: Path) -> None:
    shared = torch.arange(4.0)
    state = {"a": {0: shared, "b": [shared.view(2, 2).T, 3, "x", None, True]}, "c": 1.5}
    checkpoint.save(tmp_path / "s.safetensors", state)
    back = checkpoint.load(tmp_path / "s.safetensors")
    assert torch.equal(back["a"][0], shared) and torch.equal(back["a"]["b"][0], shared.view(2, 2).T)
    assert back["a"]["b"][1:] == [3, "x", None, True] and back["c"] == 1.5


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x04\x95pickle"])
def test_a_broken_checkpoint_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="delete it to compute it again"):
        checkpoint.load(tmp_path / "s.safetensors")


def test_a_full_disk_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    checkpoint.save(tmp_path / "s.safetensors", {"a": torch.ones(2)})
    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(InputError, match="No space left"):
        checkpoint.save(tmp_path / "s.safetensors", {"a": torch.zeros(2)})
    assert torch.equal(checkpoint.load(tmp_path / "s.safetensors")["a"], torch.ones(2))


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    with (
        RunDir.open(tmp_path / "r", {"a": 1}),
        pytest.raises(InputError, match="in use"),
        RunDir.open(tmp_path / "r", {"a": 1}),
    ):
        pass


def test_the_same_config_resumes_another_is_refused_with_the_difference(tmp_path: Path) -> None:
    with RunDir.open(tmp_path / "r", {"a": {"b": 1, "c": 2}}) as run:
        run.log(x=1)
    with RunDir.open(tmp_path / "r", {"a": {"b": 1, "c": 2}}):
        pass
    with pytest.raises(InputError, match=r"a\.b: 1 -> 5"), RunDir.open(tmp_path / "r", {"a": {"b": 5, "c": 2}}):
        pass
    with RunDir.open(tmp_path / "r", {"a": {"b": 5, "c": 2}}, overwrite=True):
        assert not (tmp_path / "r" / "metrics.jsonl").exists()


def test_a_folder_that_is_not_a_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds other files"), RunDir.open(tmp_path, {}, overwrite=True):
        pass
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_an_output_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another --out"), RunDir.open(tmp_path / "file" / "run", {}):
        pass


class Stored:
    def save(self, path: Path) -> None:
        path.write_text("made")


def test_a_result_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    with RunDir.open(tmp_path / "r", {}) as run:
        stage = run.stage("represent", {}, 0)
        for _ in range(2):
            assert stage.keep(lambda _: Stored(), lambda path: path.read_text() and Stored()) is not None
            (stage.folder / "result.safetensors").unlink()
