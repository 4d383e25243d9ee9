"""Damaged run folders and places that cannot be written: one line, exit code 3, nothing lost."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from augmint import __version__, cli
from augmint.errors import InputError
from augmint.judge.stored import keep, kept
from augmint.report.evidence import Evidence
from augmint.train.checkpoint import atomic_write, read_json
from augmint.train.rundir import RunDir


def refused(words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The one line on stderr of a command that ends with exit code 3."""
    monkeypatch.setattr(sys, "argv", ["augmint", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr()
    assert stop.value.code == 3, said.err
    assert said.out == "" and said.err.count("\n") == 1 and said.err.startswith("augmint: "), said.err
    return said.err


@pytest.mark.parametrize("content", ["{", "{}", "[1]", "\x00"])
def test_predict_with_a_damaged_final_classifier(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "final").mkdir()
    (tmp_path / "final" / "final.json").write_text(content)
    assert "final.json" in refused(["predict", str(tmp_path), "x.png"], capsys, monkeypatch)


@pytest.mark.parametrize("name", ["trials.parquet", "manifest.parquet"])
def test_report_of_damaged_evidence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("xx")
    with pytest.raises(InputError, match=name):
        _ = Evidence(tmp_path).trials, Evidence(tmp_path).manifest


def test_damaged_done_json(tmp_path: Path) -> None:
    (tmp_path / "done.json").write_text('{"seconds": 1}')
    with pytest.raises(InputError, match=r"done\.json is damaged.*peak_memory"):
        read_json(tmp_path / "done.json", "seconds", "peak_memory")


def test_damaged_config_is_refused_but_may_be_overwritten(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("{{{")
    with pytest.raises(InputError, match="--overwrite"), RunDir.open(tmp_path, {"a": 1}):
        pass
    assert (tmp_path / "config.yaml").read_text() == "{{{"
    with RunDir.open(tmp_path, {"a": 1}, overwrite=True):
        assert (tmp_path / "config.yaml").read_text() == "a: 1\n"


def test_damaged_logits_are_scored_again(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    keep(path, "mark", {"logits": torch.ones(2, 3), "rows": torch.arange(2)})
    found = kept(path, "mark")
    assert found is not None and torch.equal(found["logits"], torch.ones(2, 3)) and found["rows"].tolist() == [0, 1]
    assert kept(path, "other") is None
    path.write_text("x")
    assert kept(path, "mark") is None


def test_a_picture_that_cannot_be_written(
    user_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    target = str(tmp_path / "file" / "x.png")
    assert target in refused(["check", str(user_folder), "--sheet", target], capsys, monkeypatch)
    assert target in refused(["preview", str(user_folder), "--out", target], capsys, monkeypatch)


def test_a_link_or_pipe_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    link, target, pipe = tmp_path / "link", tmp_path / "target", tmp_path / "pipe"
    target.touch()
    link.symlink_to(target)
    atomic_write(link, "one")
    assert link.is_symlink() and target.read_text() == "one"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    atomic_write(pipe, "two")
    assert pipe.is_fifo() and os.read(reader, 9) == b"two"
    os.close(reader)


def test_ctrl_c_says_that_the_same_command_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_settings", stop)
    monkeypatch.setattr(sys, "argv", ["augmint", "run", "digits"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 130 and "the same command goes on" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["augmint", "--version"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert (stop.value.code, capsys.readouterr().out) == (0, f"augmint {__version__}\n")


def test_a_name_that_no_disk_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = str(tmp_path / ("x" * 300))
    for words in (["check", long], ["run", long], ["run", "digits", "--out", long], ["predict", long, "x.png"]):
        assert "File name too long" in refused(words, capsys, monkeypatch)


@pytest.mark.parametrize("count", [2**45, 2**61])
def test_more_memory_than_there_is(
    count: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_settings", lambda *_: torch.empty(count, 3))
    assert "not enough memory" in refused(["run", "digits"], capsys, monkeypatch)
    monkeypatch.setattr(cli, "_settings", lambda *_: np.empty(2**50))
    assert "not enough memory" in refused(["run", "digits"], capsys, monkeypatch)


@pytest.mark.parametrize("content", [b"a: [", b"- a", b"\xff"])
def test_report_and_compare_of_a_damaged_config(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_bytes(content)
    for words in (["report", str(tmp_path)], ["compare", str(tmp_path), str(tmp_path)]):
        assert "config.yaml: it is damaged" in refused(words, capsys, monkeypatch)


@pytest.mark.parametrize("name", ["manifest.parquet", "minted/metadata.parquet"])
def test_report_of_damaged_tables(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_text("{}")
    (tmp_path / name).mkdir(parents=True)
    (tmp_path / name / "in the way").touch()
    assert f"{name}: it is damaged" in refused(["report", str(tmp_path)], capsys, monkeypatch)
