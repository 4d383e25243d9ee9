"""The other GPU benchmarks on the CPU: stopped, kept in pieces, resumed; and what their scripts ask for."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from augmint.errors import InputError
from test_gpu_benchmark import ROOT, parquet

import resumed  # isort: skip  (test_gpu_benchmark says where)

COUNT = """
import json, pathlib, sys, time
path = pathlib.Path(sys.argv[1]) / "count.json"
seen = json.loads(path.read_text()) if path.exists() else []
path.write_text(json.dumps([*seen, sys.argv[2:]]))
time.sleep(0 if len(seen) > 1 else 600)
"""


def test_a_command_is_stopped_and_goes_on_from_its_pieces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, results = tmp_path / "out", tmp_path / "results"
    work = tmp_path / "work"
    count, seen = work / "count.json", 0
    while seen < 2:  # on a busy machine a command may be stopped before it has begun
        resumed.restore(out / "state", work)
        assert resumed.run([sys.executable, "-c", COUNT, str(work)], work, out / "state", 3.0, 1.0) == resumed.AGAIN
        now = len(json.loads(count.read_text())) if count.exists() else 0
        assert now in (seen, seen + 1)
        seen = now
    (work / "count.json").write_text("not what was kept")
    resumed.restore(out / "state", work)
    assert resumed.run([sys.executable, "-c", COUNT, str(work), "a"], work, out / "state", 600.0) == 0
    assert json.loads((work / "count.json").read_text()) == [[], [], ["a"]]
    command = [sys.executable, "-c", COUNT, "{work}", "--given"]
    assert resumed.main([*command, "--", "--out", str(out), "--results", str(results), "--more", "1"]) == 0
    assert json.loads((results / "count.json").read_text())[-1] == ["--given", "--more", "1"]
    assert resumed.main(["false", "--", "--out", str(out)]) == 1
    next((out / "state").glob("*.piece")).write_bytes(b"bad")
    with pytest.raises(InputError, match="damaged"):
        resumed.restore(out / "state", work)
    assert resumed.main([*command, "--", "--out", str(out)]) == 3 and "damaged" in capsys.readouterr().err


def test_a_killed_command_leaves_what_was_kept_meanwhile(tmp_path: Path) -> None:
    work, store = tmp_path / "work", tmp_path / "store"
    work.mkdir()
    inner = (  # a command in the background of a shell is deaf to Ctrl-C unless it says otherwise
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"sys.path.insert(0, {str(ROOT)!r}); import resumed, pathlib; resumed.run([sys.executable, '-c', "
    )
    inner += f"{COUNT!r}, {str(work)!r}], pathlib.Path({str(work)!r}), pathlib.Path({str(store)!r}), 600, 1)"
    process = subprocess.Popen([sys.executable, "-c", inner], start_new_session=True)
    try:
        while not (store / "manifest.json").exists() or not (work / "count.json").exists():
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        os.kill(process.pid, signal.SIGINT)
        process.wait()
    resumed.restore(store, tmp_path / "back")
    assert len(json.loads((tmp_path / "back" / "count.json").read_text())) == 1


def script(name: str, data: Path, out: Path, python: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(ROOT / name), "--out", str(out), "--results", str(out / "results"), *more]
    own = {"PYTHON": python, "AUGMINT_DATA": str(data), "TMPDIR": str(out.parent), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, check=False)


def test_accuracy_with_few_labels_from_parquet(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    parquet(data / "cifar10-train.parquet", 96, 0)
    parquet(data / "cifar10-test.parquet", 32, 1)
    config = tmp_path / "small.yaml"
    config.write_text("{represent: {images: 640}, classify: {finetune: {images: 128}}}")
    small = ("--preset", "tiny", "--config", str(config), "--labels", "1", "3", "--draws", "2", "--final")
    done = script("few_labels.sh", data, tmp_path / "out", sys.executable, *small)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "results" / "few_labels.json").read_text())
    assert found["final"] and len(found["trials"]) == 2 * 2 * 3
    assert {t["arm"] for t in found["trials"]} == {"encoder", "encoder-propagate", "encoder-finetune"}
    assert "encoder, shared by all draws:" in done.stdout and "seconds a draw: encoder-finetune" in done.stdout
    assert "gain of fine-tuning" in done.stdout and done.stdout.splitlines()[-1].split() == ["draws", "2", "2"]
    (tmp_path / "empty").mkdir()
    empty = script("few_labels.sh", tmp_path / "empty", tmp_path / "out", sys.executable)
    assert empty.returncode == 3 and "no *train*.parquet" in empty.stderr


@pytest.mark.parametrize(("name", "asked"), [("worth", "--labels 10 --draws 20"), ("generate", "measure")])
def test_scripts_ask_for_what_there_is(tmp_path: Path, name: str, asked: str) -> None:
    """A python that only writes down what else than resumed.py it is called for."""
    (tmp_path / "cifar10-train.parquet").touch()
    python = tmp_path / "python"
    python.write_text(
        f'#!/usr/bin/env bash\n[[ $1 == */resumed.py ]] && exec {sys.executable} "$@"\necho "$@"\n'
        'while [[ $1 != --work && $1 != --out ]]; do shift; done\nmkdir -p "$2"/{measures,stages/generate-image/0}\n'
        'echo {} | tee "$2"/{measures/measures,stages/generate-image/0/done}.json > "${2%/run}/worth.json"\n'
    )
    python.chmod(0o755)
    done = script(f"{name}.sh", tmp_path, tmp_path / "out", str(python), "--seed", "3")
    assert done.returncode == 0, done.stderr
    assert asked in done.stdout and done.stdout.split().count("--config") == 1 and "--seed 3" in done.stdout
    config = Path(done.stdout.split("--config ")[1].split()[0])
    assert config.samefile(ROOT / "cifar10.yaml") and str(tmp_path / "cifar10-train.parquet") in done.stdout
    left = {path.name for path in (tmp_path / "out" / "results").iterdir()}
    assert {f"{name}.json", *(["generate-seconds.json"] if name == "generate" else [])} <= left
