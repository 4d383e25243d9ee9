"""Fixtures for all tests: one thread, a cache of its own, small image folders."""

import io
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from augmint import cli

torch.set_num_threads(1)

Maker = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("AUGMINT_CACHE", str(folder))
    return folder


def picture(seed: int, width: int = 24, height: int = 24, mode: str = "RGB") -> Image.Image:
    """A smooth random picture, different for every seed."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


@pytest.fixture
def make_folder(tmp_path: Path) -> Maker:
    """make_folder({"train/cat": 3, "train/_unlabeled": 5}) → a folder with that many pictures in each."""

    def make(counts: dict[str, int], name: str = "photos", size: tuple[int, int] = (24, 24)) -> Path:
        root, seed = tmp_path / name, 0
        for place, count in counts.items():
            (root / place).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                picture(seed := seed + 1, *size).save(root / place / f"{i}.{'png' if i % 2 else 'jpg'}")
        return root

    return make


@pytest.fixture
def split_folder(make_folder: Maker) -> Path:
    """train/test with two classes and unlabelled images."""
    return make_folder({"train/cat": 4, "train/dog": 4, "train/_unlabeled": 6, "test/cat": 2, "test/dog": 2})


@pytest.fixture
def user_folder(make_folder: Maker) -> Path:
    """The user's case: a few labelled images, many unlabelled, no test split."""
    return make_folder({"cat": 4, "dog": 5, "_unlabeled": 9})


def augmint(*words: object, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    """The command as typed, in this process: one of its own takes seconds to import torch. Any `code` if None."""
    out, err, before, answer = io.StringIO(), io.StringIO(), sys.argv, 0
    sys.argv = ["augmint", *map(str, words)]
    with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("default")
        try:
            cli.main()
        except SystemExit as stop:
            answer = int(stop.code or 0)
        finally:
            sys.argv = before
    assert code is None or answer == code, err.getvalue()
    return subprocess.CompletedProcess(list(words), answer, out.getvalue(), err.getvalue())
