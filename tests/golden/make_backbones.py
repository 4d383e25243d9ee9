"""Golden outputs and names of torchvision's and timm's networks: python tests/golden/make_backbones.py

Needs requirements/peers.txt and timm. Weights come from `fill`, so none are stored. Before, it runs what
docs/encoder.md shows, block by block as printed, and compares it with augmint's own features; with --docs that alone.
"""

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HERE = Path(__file__).parent


def fill(module: nn.Module) -> None:
    """Random weights, a function of the parameter's name alone; BatchNorm stays as it starts."""
    for name, p in module.named_parameters():
        if p.ndim > 1:
            values = np.random.RandomState(sum(map(ord, name))).standard_normal(tuple(p.shape))
            with torch.no_grad():
                p.copy_(torch.from_numpy(values * (2 / p[0].numel()) ** 0.5).to(p.dtype))


def images(side: int = 128) -> Tensor:
    """float 0 … 1 [2, 3, side, side]; at 128 every stage halves the maps."""
    return torch.sin(torch.arange(2 * 3 * side**2, dtype=torch.float64) * 0.01).view(2, 3, side, side).float() / 2 + 0.5


def outputs(network: nn.Module, side: int) -> Any:
    """Features in double (rounding grows through fifty BatchNorms), BatchNorm in training mode."""
    fill(network)
    with torch.no_grad():
        return network.double().train()((images(side).double() - 0.5) / 0.5).numpy()


def names(network: nn.Module) -> dict[str, list[int]]:
    """The shape of everything in the state, by name."""
    return {name: list(value.shape) for name, value in network.state_dict().items()}


def check_the_documentation() -> None:
    """Run the blocks of docs/encoder.md on exported encoders. AssertionError if one answers something else."""
    from augmint.represent import weights
    from augmint.represent.encoder import Encoder, Form, build
    from augmint.represent.whitening import Whitening
    from augmint.train import Compute

    text = (HERE.parents[1] / "docs" / "encoder.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    whitened = blocks.pop()
    forms = [
        Form("resnet8", (1, 28, 28), 8, "auto", 0, 8, 2, 3),
        Form("resnet18", (3, 97, 97), 64, "imagenet", 0, 8, 2, 3),
        Form("resnet18", (3, 25, 25), 64, "small", 0, 8, 2, 3),
        Form("timm:resnet10t", (3, 32, 32), 64, "auto", 0, 8, 2, 3),
    ]
    for block, form in zip(blocks, forms, strict=True):
        network, _ = build(form)
        hidden = torch.nn.functional.normalize(torch.randn(100, network.features))
        encoder = Encoder(form, network.eval(), None, Compute.choose("cpu", "fp32"), Whitening.fit(hidden, 1.0), 0.0)
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            weights.export(encoder, Path("encoder.safetensors"))
            if "timm" not in form.backbone:
                weights.export(encoder, Path("encoder.pt2"))
            raw = torch.randint(0, 256, (3, *form.shape), dtype=torch.uint8)
            scope: dict[str, Any] = {"images": raw.float() / 255}
            exec(block, scope)
            if "whitening" in block:
                torch.testing.assert_close(scope["hidden"], encoder.hidden(raw), rtol=1e-4, atol=1e-5)
                exec(whitened, scope)
            torch.testing.assert_close(scope["features"], encoder.features(raw), rtol=1e-3, atol=1e-4)
            os.chdir(HERE)
    print(f"docs/encoder.md: {len(blocks)} ways to load an encoder run as printed")


def main() -> None:
    check_the_documentation()
    if "--docs" in sys.argv:
        return
    import timm
    from torchvision import models

    found, named = {}, {}
    for name in ("resnet18", "resnet50"):
        network = models.get_model(name, weights=None)
        network.fc = nn.Identity()
        named[f"torchvision {name}"] = names(network)
        found[name] = outputs(network, 128)
    for name in ("resnet18", "resnet10t"):
        named[f"timm {name}"] = names(timm.create_model(name, num_classes=0))
    small = timm.create_model("resnet18", num_classes=0, zero_init_last=False)  # ones, as torchvision and `fill`
    small.conv1, small.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    found["small"] = outputs(small, 25)
    np.savez_compressed(HERE / "backbones.npz", **found)
    (HERE / "names.json").write_text(json.dumps(named, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
