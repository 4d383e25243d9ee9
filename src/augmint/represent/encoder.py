"""A trained encoder: images → features, and back where it has a decoder.

    encoder = Encoder.load(path, compute)
    features = encoder.features(table)             # float32 [N, d], each of length 1: to find neighbours by
    hidden = encoder.hidden(table)                 # float32 [N, D], each of length 1: to fit classifiers on
    images = encoder.decode(hidden)                # float32 [N, C, H, W] in 0 … 1, if encoder.decoder

Features are the hidden vectors, whitened by what was found on the training images (represent/whitening.py), without
labels. Neighbours gain by that; a linear classifier on few labels loses, as noise then counts as much as what varies.
The file holds the backbone's name and shape beside the weights: nothing else is needed to load it.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augmint.data.table import ImageTable
from augmint.errors import InputError
from augmint.networks.backbones import Backbone, backbone
from augmint.networks.codec import Decoder
from augmint.represent.whitening import Whitening
from augmint.train import Compute, checkpoint

KIND = "encoder"


@dataclass(frozen=True)
class Form:
    """What an encoder is made of; `latent` 0 = no decoder."""

    backbone: str
    shape: tuple[int, int, int]
    width: int
    stem: str
    latent: int
    decoder_width: int
    grid: int = 1
    levels: int = 1


class FeatureDecoder(nn.Module):
    """Features [N, D] of any length → images 0 … 1: only their direction is read."""

    def __init__(self, form: Form, features: int) -> None:
        super().__init__()
        self.bottleneck = nn.Linear(features, form.latent)
        self.decoder = Decoder(form.shape, form.decoder_width, form.latent)
        self.scale = features**0.5  # so that coordinates are of the order of one

    def forward(self, features: Tensor) -> Tensor:
        direction = F.normalize(features.float(), dim=1) * self.scale
        return cast(Tensor, self.decoder(self.bottleneck(direction)))


def build(form: Form) -> tuple[Backbone, FeatureDecoder | None]:
    """Network and decoder with fresh weights."""
    network = backbone(form.backbone, form.shape, form.width, form.stem, form.grid, form.levels)
    return network, FeatureDecoder(form, network.features) if form.latent else None


@dataclass(frozen=True, eq=False)
class Encoder:
    """`network` in eval mode, its `decoder` or None, and where they compute."""

    form: Form
    network: Backbone
    decoder: FeatureDecoder | None
    compute: Compute
    whitening: Whitening
    seconds: float = 0.0  # that its training took

    def features(self, images: Tensor | ImageTable, batch: int = 256) -> Tensor:
        """Whitened features of uint8 images [N, C, H, W] (or a table): float32 [N, d] on the CPU, each of length 1."""
        return self.whitening(self.hidden(images, batch))

    @torch.no_grad()
    def hidden(self, images: Tensor | ImageTable, batch: int = 256) -> Tensor:
        """What the network itself answers, before whitening: float32 [N, D] on the CPU, each of length 1."""
        shape = images.shape if isinstance(images, ImageTable) else tuple(images.shape[1:])
        if shape != self.form.shape:
            raise InputError(f"this encoder reads images of {self.form.shape}, not {shape}; load them at that size")
        self.network.eval()
        found = torch.empty(len(images), self.network.features)
        for start in range(0, len(images), batch):
            rows = torch.arange(start, min(start + batch, len(images)))
            part = images.gather(rows) if isinstance(images, ImageTable) else images[rows]
            with self.compute.autocast():
                out = self.network(part.to(self.compute.device).float() / 255)
            found[rows] = F.normalize(out.float(), dim=1).cpu()
        return found

    @torch.no_grad()
    def decode(self, hidden: Tensor, batch: int = 1024) -> Tensor:
        """Hidden vectors [N, D] as images float32 [N, C, H, W] in 0 … 1, on the CPU. InputError without a decoder."""
        if self.decoder is None:
            raise InputError("this encoder has no decoder; train it with represent.latent above 0")
        self.decoder.eval()
        found = [torch.empty(0, *self.form.shape)]
        for part in torch.split(hidden, batch):
            with self.compute.autocast():
                found.append(self.decoder(part.to(self.compute.device)).float().cpu())
        return torch.cat(found)

    def save(self, path: Path) -> None:
        """One safetensors file: weights, and the form in its header."""
        decoder = None if self.decoder is None else self.decoder.state_dict()
        state = {"network": self.network.state_dict(), "decoder": decoder, "seconds": self.seconds}
        state["whitening"] = vars(self.whitening)
        checkpoint.save(path, {"kind": KIND, "form": asdict(self.form), **state})

    @staticmethod
    def load(path: Path, compute: Compute) -> "Encoder":
        """What `save` wrote, ready on the device of `compute`. InputError if it is not an encoder."""
        state = checkpoint.load(path)
        if not isinstance(state, dict) or state.get("kind") != KIND:
            raise InputError(f"{path} is not an encoder of augmint's; give the encoder.safetensors of a run")
        form = form_from(state["form"])
        network, decoder = build(form)
        network.load_state_dict(state["network"])
        if decoder is not None:
            decoder.load_state_dict(state["decoder"])
            compute.place(decoder).eval()
        compute.place(network).eval()
        return Encoder(form, network, decoder, compute, Whitening(**state["whitening"]), state["seconds"])


def form_from(stored: dict[str, Any]) -> Form:
    """What `asdict` made of a form."""
    return Form(**{**stored, "shape": tuple(stored["shape"])})
