"""benchmarks/stability.py: its table and its picture say what the stored runs say."""

import json
import math
import sys
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import stability  # noqa: E402

RUN = {
    "curve": [[3200.0, 0.2], [6400.0, 0.1], [9600.0, 0.12]],
    "d_gradient": [1.0, 9.0],
    "g_gradient": [5.0] * 7 + [2.0],
    "diverged": "",
}


def test_a_row_tells_best_last_and_gradients() -> None:
    diverged = RUN | {"diverged": "loss is nan at step 3", "curve": [], "d_gradient": [math.inf]}
    line = stability.row("default", [RUN, diverged])
    assert line.split()[:6] == ["default", "1", "of", "2", "0.1000", "0.1200"]
    assert "1.20" in line and "(inf)" in line


def test_gradients_end_with_the_training_whenever_they_began() -> None:
    at, values = stability.smoothed([1.0, 9.0], 9600)
    assert at == pytest.approx([8.32, 8.96]) and values == [1.0, 9.0]
    at, values = stability.smoothed([1.0] * 120 + [7.0, 8.0, 9.0, 9.0], 160_000)
    assert len(at) == len(values) == 62 and values[-1] == 9.0 and values[0] == 1.0


def test_the_picture_has_a_line_for_every_seed_and_panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[tuple[object, list[float], list[float]]] = []
    plot = Axes.plot

    def noted(self: Axes, x: list[float], y: list[float], **more: object) -> object:
        lines.append((more["color"], list(x), list(y)))
        return plot(self, x, y, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Axes, "plot", noted)
    size = {"real": 0.003, "rival": {"fd": 0.15}, "cells": {"article": {"0": RUN}, "default": {"0": RUN, "1": RUN}}}
    stored, file = tmp_path / "stored.json", tmp_path / "stability.png"
    stored.write_text(json.dumps({"sizes": {"28": size}}))
    monkeypatch.setattr("sys.argv", ["stability.py", "--out", str(stored), "--picture", str(file)])
    monkeypatch.setattr(stability, "room", None)  # would fail if it were called
    stability.main()
    blue, orange = stability.COLOURS["default"], stability.COLOURS["article"]
    assert [colour for colour, _, _ in lines] == [blue] * 6 + [orange] * 3
    assert lines[0][1:] == ([3.2, 6.4, 9.6], [0.2, 0.1, 0.12])
    assert lines[2][2] == RUN["g_gradient"]
    with Image.open(file) as picture:
        assert picture.width > 2 * picture.height
