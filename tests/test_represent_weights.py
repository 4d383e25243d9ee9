"""Weights from elsewhere and for elsewhere, and torchvision's outputs for the same weights (golden/backbones.npz)."""

import importlib.util
import json
import re
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from augmint.errors import InputError, UsageError
from augmint.networks.backbones import backbone
from augmint.represent import weights
from augmint.represent.encoder import Encoder, Form, build
from augmint.represent.whitening import Whitening
from augmint.train import Compute

GOLDEN = Path(__file__).parent / "golden"
CPU = Compute.choose("cpu", "fp32")
RGB = Form("resnet18", (3, 64, 64), 64, "imagenet", 0, 8)


def formula() -> Any:
    spec = importlib.util.spec_from_file_location("make_backbones", GOLDEN / "make_backbones.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def encoder(form: Form) -> Encoder:
    torch.manual_seed(0)
    network, _ = build(form)
    hidden = torch.randn(100, network.features)
    return Encoder(form, network.eval(), None, CPU, Whitening.fit(hidden, 1.0))


@pytest.mark.parametrize(("name", "side", "stem"), [("resnet18", 128, 0), ("resnet50", 128, 0), ("small", 25, 1)])
def test_it_computes_what_torchvision_and_timm_compute(name: str, side: int, stem: int) -> None:
    made = formula()
    kind = "resnet18" if stem else name
    network = backbone(kind, (3, side, side), 64, ("imagenet", "small")[stem]).double().train()
    made.fill(network)
    with torch.no_grad():
        found = network(made.images(side).double())
    np.testing.assert_allclose(found.numpy(), np.load(GOLDEN / "backbones.npz")[name], rtol=1e-4, atol=1e-5)


def test_published_weights_bring_their_standardisation(tmp_path: Path) -> None:
    source, _ = build(RGB)
    state = {name: value for name, value in source.state_dict().items() if name not in ("mean", "std")}
    save_file({**state, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}, tmp_path / "w.safetensors")
    network, _ = build(RGB)
    weights.start(network, RGB, tmp_path / "w.safetensors", CPU)
    images = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(v)[:, None, None] for v in weights.IMAGENET)
    by_hand = source.eval()(((images - mean) / std) * source.std + source.mean)  # undone by its own standardisation
    torch.testing.assert_close(network.eval()(images), by_hand, rtol=1e-3, atol=1e-4)


def test_grey_images_take_the_sum_over_rgb(tmp_path: Path) -> None:
    source, _ = build(RGB)
    state = {name: value for name, value in source.state_dict().items() if name not in ("mean", "std")}
    save_file(state, tmp_path / "w.safetensors")
    form = replace(RGB, shape=(1, 64, 64))
    network, _ = build(form)
    weights.start(network, form, tmp_path / "w.safetensors", CPU)
    torch.testing.assert_close(network.conv1.weight[:, 0], source.conv1.weight.sum(1))  # type: ignore[union-attr,operator]


def test_what_does_not_fit_or_may_execute_is_refused(tmp_path: Path) -> None:
    network, _ = build(RGB)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match="save_file"):
        weights.start(network, RGB, tmp_path / "w.pth", CPU)
    (tmp_path / "bad.safetensors").write_bytes(b"not at all")
    with pytest.raises(InputError, match="cannot read weights"):
        weights.start(network, RGB, tmp_path / "bad.safetensors", CPU)
    save_file({"conv1.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="do not fit this backbone"):
        weights.start(network, RGB, tmp_path / "other.safetensors", CPU)
    encoder(replace(RGB, width=8)).save(tmp_path / "ours.safetensors")
    with pytest.raises(InputError, match="make them equal"):
        weights.start(network, RGB, tmp_path / "ours.safetensors", CPU)


def test_the_programs_in_the_documentation_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first block of docs/encoder.md, in a folder with an exported encoder."""
    text = (Path(__file__).parents[1] / "docs" / "encoder.md").read_text()
    block = re.findall(r"```python\n(.*?)```", text, re.S)[0]
    made = encoder(Form("resnet8", (1, 28, 28), 8, "auto", 0, 8))
    weights.export(made, tmp_path / "encoder.pt2")
    monkeypatch.chdir(tmp_path)
    raw = torch.randint(0, 256, (5, 1, 28, 28), dtype=torch.uint8)
    scope: dict[str, Any] = {"images": raw.float() / 255}
    exec(block, scope)
    torch.testing.assert_close(scope["features"], made.features(raw), rtol=1e-3, atol=1e-4)


def test_exported_weights_have_torchvisions_names_and_say_how_to_use_them(tmp_path: Path) -> None:
    made = encoder(replace(RGB, width=8))
    weights.export(made, tmp_path / "encoder.safetensors")
    found = load_file(tmp_path / "encoder.safetensors")
    assert {"conv1.weight", "layer4.1.bn2.running_var", "whitening.matrix"} <= set(found)
    assert not {"mean", "std"} & set(found)
    network, _ = build(replace(RGB, width=8))
    missing = network.load_state_dict(found, strict=False)
    assert set(missing.missing_keys) == {"mean", "std"}
    images = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    hidden = nn.functional.normalize(network.eval()(images.float() / 255), dim=1)
    features = nn.functional.normalize((hidden - found["whitening.mean"]) @ found["whitening.matrix"], dim=1)
    torch.testing.assert_close(features, made.features(images), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("peer", "name", "stem"),
    [
        ("torchvision resnet18", "resnet18", "imagenet"),
        ("torchvision resnet50", "resnet50", "imagenet"),
        ("timm resnet18", "resnet18", "small"),
    ],
)
def test_exported_names_and_shapes_are_those_of_the_peer(tmp_path: Path, peer: str, name: str, stem: str) -> None:
    made = encoder(replace(RGB, backbone=name, stem=stem))
    weights.export(made, tmp_path / "encoder.safetensors")
    found = {key: list(value.shape) for key, value in load_file(tmp_path / "encoder.safetensors").items()}
    size = made.network.features
    assert found.pop("whitening.mean") == [size] and found.pop("whitening.matrix") == list(made.whitening.matrix.shape)
    wanted = json.loads((GOLDEN / "names.json").read_text())[peer]
    if stem == "small":  # docs/encoder.md replaces the first convolution
        assert wanted.pop("conv1.weight") == [64, 3, 7, 7] and found.pop("conv1.weight") == [64, 3, 3, 3]
    assert found == wanted


def test_an_exported_encoder_can_be_started_from(tmp_path: Path) -> None:
    made = encoder(replace(RGB, width=8))
    made.network.mean.fill_(0.3)
    weights.export(made, tmp_path / "encoder.safetensors")
    network, _ = build(replace(RGB, width=8))
    weights.start(network, replace(RGB, width=8), tmp_path / "encoder.safetensors", CPU)
    for name, value in made.network.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name


@pytest.mark.parametrize("keep", [weights.export, lambda made, path: made.save(path)])
def test_an_encoder_is_read_again_from_either_file(tmp_path: Path, keep: Callable[[Encoder, Path], None]) -> None:
    made = encoder(replace(RGB, width=8, grid=2, levels=3))
    keep(made, tmp_path / "encoder.safetensors")
    images = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    torch.testing.assert_close(
        weights.load(tmp_path / "encoder.safetensors", CPU).features(images), made.features(images)
    )


@pytest.mark.parametrize("header", [{}, {"mean": "[0]", "std": "[1]"}, {"backbone": "no json"}])
def test_weights_of_others_are_no_encoder(tmp_path: Path, header: dict[str, str]) -> None:
    save_file({"conv1.weight": torch.zeros(1)}, tmp_path / "other.safetensors", header)
    with pytest.raises(InputError, match="not an encoder of augmint's"):
        weights.load(tmp_path / "other.safetensors", CPU)


def test_a_program_is_a_copy(tmp_path: Path) -> None:
    made = encoder(Form("resnet8", (1, 16, 16), 8, "auto", 0, 8))
    made = replace(made, network=made.network.to("meta"))  # a device that is not the CPU
    with pytest.raises(NotImplementedError):  # no data to copy from there
        weights.export(made, tmp_path / "encoder.pt2")
    assert next(made.network.parameters()).device.type == "meta"


def test_timms_names_are_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Model(nn.Module):
        num_features = 4

        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 3)

        def forward_features(self, x: torch.Tensor) -> torch.Tensor:
            return self.stem(x)

        def forward_head(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.forward_head(self.forward_features(x))

    fake = types.ModuleType("timm")
    fake.create_model = lambda *_, **__: Model()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", fake)
    form = Form("timm:any", (3, 8, 8), 64, "auto", 0, 8)
    made = encoder(form)
    weights.export(made, tmp_path / "encoder.safetensors")
    kept = {name: v for name, v in load_file(tmp_path / "encoder.safetensors").items() if "whitening" not in name}
    Model().load_state_dict(kept)  # strictly
    network, _ = build(form)
    weights.start(network, form, tmp_path / "encoder.safetensors", CPU)
    images = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(network.eval()(images), made.network(images))
    cells, _ = build(replace(form, grid=2))
    assert cells.features == 16
    torch.testing.assert_close(cells(images).view(2, 4, 4).mean(2), cells.network(cells.standardised(images)))


def test_timm_is_asked_for_the_model_and_named_when_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Model(nn.Module):
        num_features = 5

        def forward_features(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)[:, None, :5]  # tokens, no maps

        def forward_head(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, 0]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.forward_head(self.forward_features(x))

    def create_model(name: str, pretrained: bool, in_chans: int, num_classes: int) -> Model:
        assert (name, pretrained, in_chans, num_classes) == ("tiny", False, 3, 0)
        return Model()

    fake = types.ModuleType("timm")
    fake.create_model = create_model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", fake)
    network = backbone("timm:tiny", (3, 8, 8), 64, grid=2)  # no maps, no grid
    assert network.features == 5 and network(torch.rand(2, 3, 8, 8)).shape == (2, 5)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r"augmint\[timm\]"):
        backbone("timm:tiny", (3, 8, 8), 64)
