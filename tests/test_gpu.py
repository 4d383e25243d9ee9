"""A GPU computes what a CPU computes, within rounding, and a whole run ends. Skipped where there is none."""

import json
from pathlib import Path

import pytest
import torch

import test_generate_traces
import traces
from augmint.augment import POLICIES, policy
from augmint.classify import ScratchClassifier, fit_scratch
from augmint.data.table import Batch
from augmint.represent.methods import names
from augmint.seeding import Draws
from augmint.train import Compute
from conftest import augmint
from test_classify import SHORT, bright_and_dark

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this torch finds no GPU")
CPU = Compute(torch.device("cpu"), bf16=False)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Compute:
    """The GPU, multiplying as exactly as the CPU."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    return Compute(torch.device("cuda"), bf16=False)


@pytest.mark.parametrize("method", names())
def test_every_method_learns_the_same(method: str, gpu: Compute) -> None:
    assert traces.trace(method, "cuda") == pytest.approx(traces.trace(method), rel=2e-3, abs=2e-4)


@pytest.mark.parametrize("compile", ["on", "graphs"])
def test_compiled_it_learns_the_same(compile: str, gpu: Compute) -> None:
    torch._dynamo.reset()
    assert traces.trace("simclr", "cuda", compile=compile) == pytest.approx(traces.trace("simclr"), rel=2e-3)


@pytest.mark.parametrize("way", test_generate_traces.WAYS)
def test_every_generator_learns_the_same(way: str, gpu: Compute) -> None:
    wanted = json.loads(test_generate_traces.GOLDEN.read_text())[way]
    for found, golden in zip(test_generate_traces.trace(way, gpu), wanted, strict=True):
        assert found == pytest.approx(golden, rel=5e-3, abs=5e-3)  # the game magnifies what is rounded


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_policy_makes_the_same_views(name: str, channels: int) -> None:
    images = torch.rand(32, channels, 24, 24, generator=torch.Generator().manual_seed(0))
    batch, rows = Batch(images, torch.eye(4).repeat(8, 1), torch.ones(32)), torch.arange(32)
    here = policy(name)(batch, Draws(0, "gpu", 1, rows))
    there = policy(name)(
        Batch(images.cuda(), batch.targets.cuda(), batch.weights.cuda()), Draws(0, "gpu", 1, rows.cuda())
    )
    far = (there.images.cpu() - here.images).abs() > 2 / 255
    assert float(far.double().mean()) < 5e-3  # a pixel at a boundary can fall to the other side
    torch.testing.assert_close(there.targets.cpu(), here.targets, rtol=1e-4, atol=1e-4)


def test_a_classifier_learns_and_can_be_read_on_a_cpu(gpu: Compute, tmp_path: Path) -> None:
    table = bright_and_dark()
    model = fit_scratch(table, torch.arange(20), table.labels[:20], policy("weak"), SHORT, gpu, classes=2, seed=0)
    model.save(tmp_path / "m.safetensors")
    held_out = table.gather(torch.arange(20, 80))
    logits = model.logits(held_out)
    assert float((logits.argmax(1).cpu() == table.labels[20:]).double().mean()) > 0.95
    loaded = ScratchClassifier.load(tmp_path / "m.safetensors", CPU)
    torch.testing.assert_close(loaded.logits(held_out), logits.cpu(), rtol=1e-3, atol=1e-3)


def test_a_whole_run(tmp_path: Path) -> None:
    arms = "scratch-none,scratch-minted,encoder,encoder-propagate,encoder-minted,encoder-finetune"
    words = ["run", "digits", "--preset", "tiny", "--device", "cuda", "--set", f"judge.arms=[{arms}]", "--json"]
    assert json.loads(augmint(*words, "--out", tmp_path / "run").stdout)
    assert (tmp_path / "run" / "report" / "index.html").exists()
