"""benchmarks/represent_quality.py: its picture draws every cell that is there, and trains nothing."""

import json
import sys
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import represent_quality  # noqa: E402


def test_the_picture_has_a_panel_for_each_data_and_a_line_for_each_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[tuple[str, list[float], list[float]]] = []
    plot = Axes.plot

    def noted(self: Axes, x: list[float], y: list[float], **more: object) -> object:
        lines.append((str(more["label"]), x, y))
        return plot(self, x, y, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Axes, "plot", noted)
    cells = {
        f"{data}/{side}": {"curve": [{"seconds": 60.0 * k, "knn_whitened": k / 10} for k in (1, 2)]}
        for data, side in (("digits", "lightly"), ("digits", "augmint"), ("cifar10", "augmint"))
    }
    stored, file = tmp_path / "stored.json", tmp_path / "curves.png"
    stored.write_text(json.dumps({"cells": cells}))
    monkeypatch.setattr("sys.argv", ["represent_quality.py", "--out", str(stored), "--picture", str(file)])
    monkeypatch.setattr(represent_quality, "measure", None)  # would fail if it were called
    represent_quality.main()
    there = ("augmint", [1.0, 2.0], [10.0, 20.0])
    assert lines == [there, ("lightly", *there[1:]), there, ("lightly", [], [])]
    with Image.open(file) as picture:
        assert picture.width > 2 * picture.height
