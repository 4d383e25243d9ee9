"""Weights from elsewhere, and for elsewhere: torchvision's names, no pickles.

    start(network, form, Path("resnet18.safetensors"), compute)     # represent.weights
    export(encoder, Path("encoder.safetensors"))                     # for torchvision, timm
    export(encoder, Path("encoder.pt2"))                             # for plain torch, whatever the backbone
    load(Path("encoder.safetensors"), compute)                       # an Encoder again

docs/encoder.md shows how either is loaded.
"""

import copy
import json
import os
import warnings
from dataclasses import asdict, fields, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from augmint.errors import InputError
from augmint.networks.backbones import Backbone, Timm
from augmint.represent.encoder import KIND, Encoder, Form, build, form_from
from augmint.represent.whitening import Whitening
from augmint.train import Compute

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and std that published weights expect
WHITENING, OURS = "whitening.", "network."  # before names that torchvision and timm do not know
PICKLES = {".pt", ".pth", ".bin", ".ckpt", ".pkl", ".tar"}


def start(network: Backbone, form: Form, path: Path, compute: Compute) -> None:
    """Fill a fresh network from an encoder of ours, or from published weights: torchvision's names, ImageNet's scaling.

    InputError if the file is a pickle, damaged, or of another network.
    """
    tensors, header = _read(path)
    if f'"{KIND}"' not in header.get("tree", ""):
        _fill(network, tensors, header, path)
        return
    found = Encoder.load(path, compute)
    same = ("backbone", "shape", "width", "stem")
    if any(getattr(found.form, name) != getattr(form, name) for name in same):
        raise InputError(
            f"represent.weights {path} holds {found.form}, but the settings and images ask for {form}; make them equal"
        )
    network.load_state_dict(found.network.state_dict())


def load(path: Path, compute: Compute) -> Encoder:
    """An encoder again, from what `export` wrote as safetensors (which has no decoder) or what `Encoder.save` wrote.

    InputError if the file is a pickle, damaged, or neither.
    """
    tensors, header = _read(path)
    if f'"{KIND}"' in header.get("tree", ""):
        return Encoder.load(path, compute)
    try:
        form = form_from({field.name: json.loads(header[field.name]) for field in fields(Form)})
        whitening = Whitening(tensors[WHITENING + "mean"], tensors[WHITENING + "matrix"])
        network, _ = build(replace(form, latent=0))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not an encoder of augmint's; give the encoder.safetensors of a run") from error
    _fill(network, tensors, header, path)
    return Encoder(replace(form, latent=0), compute.place(network).eval(), None, compute, whitening)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a safetensors file, and its header."""
    if path.suffix in PICKLES:
        raise InputError(
            f"{path} may execute code when it is loaded; convert it where you trust it: "
            "safetensors.torch.save_file of what torch.load answers with weights_only=True"
        )
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot read weights {path}: {error}; give a .safetensors file") from error


def _fill(network: Backbone, tensors: dict[str, Tensor], header: dict[str, str], path: Path) -> None:
    """Weights of torchvision's names without the classifier, in ImageNet's scaling or that which `export` noted in the
    header; for grey images the first kernels are summed over RGB."""
    given = {name: value for name, value in tensors.items() if not name.startswith(("fc.", WHITENING))}
    channels = len(network.mean)
    scaling = [json.loads(header[name]) for name in ("mean", "std")] if {"mean", "std"} <= set(header) else IMAGENET
    mean, std = (torch.tensor(values)[:, None, None] for values in scaling)
    first = given.get("conv1.weight")
    if channels == 1 and first is not None and first.ndim == 4 and first.shape[1] == 3:
        given["conv1.weight"], mean, std = first.sum(1, keepdim=True), mean.mean(0, True), std.mean(0, True)
    if isinstance(network, Timm):
        given = {OURS + name: value for name, value in given.items()}
    wanted = network.state_dict()
    given |= {"mean": mean, "std": std}
    given = {**{name: v for name, v in wanted.items() if name.endswith("num_batches_tracked")}, **given}
    odd = sorted(set(wanted) ^ set(given)) or [n for n, v in wanted.items() if given[n].shape != v.shape]
    if odd:
        raise InputError(
            f"represent.weights {path} do not fit this backbone: {odd[0]} (and {len(odd) - 1} more); "
            "set represent.backbone, width 64, stem=imagenet and data.mode to what they were trained for"
        )
    network.load_state_dict(given)


class Whole(nn.Module):
    """Images 0 … 1 [N, C, H, W] → features [N, d] of length 1: standardising, network and whitening in one."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.network = encoder.network
        self.register_buffer("centre", encoder.whitening.mean)
        self.register_buffer("matrix", encoder.whitening.matrix)

    def forward(self, images: Tensor) -> Tensor:
        hidden = F.normalize(self.network(images), dim=1) - self.get_buffer("centre")
        return F.normalize(hidden @ self.get_buffer("matrix"), dim=1)


def export(encoder: Encoder, path: Path) -> None:
    """Write the encoder for other programs. `.pt2`: a program for torch.export.load; else safetensors of torchvision's
    names, `whitening.mean` and `whitening.matrix` beside them, and in the header how images are standardised."""
    part = path.with_name(f".{path.name}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _program(encoder, part) if path.suffix == ".pt2" else _weights(encoder, part)
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error}; free space or choose another place") from error


def _weights(encoder: Encoder, path: Path) -> None:
    state = encoder.network.state_dict()
    mean, std = (state.pop(name).flatten().tolist() for name in ("mean", "std"))
    if isinstance(encoder.network, Timm):
        state = {name.removeprefix(OURS): value for name, value in state.items()}
    state |= {f"{WHITENING}mean": encoder.whitening.mean, f"{WHITENING}matrix": encoder.whitening.matrix}
    facts = {**asdict(encoder.form), "mean": mean, "std": std}
    header = {"format": "pt", **{name: json.dumps(value) for name, value in facts.items()}}
    save_file({name: value.cpu().contiguous() for name, value in state.items()}, path, header)


def _program(encoder: Encoder, path: Path) -> None:
    whole = copy.deepcopy(Whole(encoder)).cpu().eval()  # the encoder itself stays where it computes
    example = torch.zeros(2, *encoder.form.shape)
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of torch about its own packing of weights
        torch.export.save(torch.export.export(whole, (example,), dynamic_shapes=({0: batch},)), path)
