"""What people see of long work where stderr is no terminal."""

import time

import pytest

from augmint.train import ProgressOut


@pytest.mark.parametrize(
    ("done", "seconds", "told"), [(400, 2.0, "200 images/s"), (1, 24.0, "24 s each"), (0, 5.0, "0/400")]
)
def test_the_pace_is_readable_fast_or_slow(
    done: int, seconds: float, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with ProgressOut().task("learning", total=400) as task:
        task.printed = 0.0  # long ago: a line is due
        clock[0] += seconds
        task.update(done)
    line = capsys.readouterr().err
    assert told in line and "0 images/s" not in line.replace("200 images/s", "")
