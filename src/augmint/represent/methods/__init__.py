"""Self-supervised methods, one file each, found by file name.

    method = build("simclr", network, settings)

A method's file has a function `build(network, settings)` that returns a `Method`, and a
model `Options` of its own settings (given as `represent.options`). To add one, add a file.
"""

import importlib
import pkgutil
from typing import cast

from pydantic import ValidationError
from torch import Tensor, nn

from augmint.augment import Augment
from augmint.config import RepresentSettings
from augmint.data.table import Batch
from augmint.errors import UsageError
from augmint.networks.backbones import Backbone
from augmint.seeding import Draws


class Method(nn.Module):
    """What a method does with a batch; `network` is the encoder being trained."""

    def __init__(self, network: Backbone) -> None:
        super().__init__()
        self.network = network

    def views(self, augment: Augment, batch: Batch, draws: Draws) -> tuple[Tensor, ...]:
        """Two independent views by `augment`, float32 0 … 1 [N, C, H, W] each. A pure function of its arguments."""
        return tuple(augment(batch, draws.fork(name)).images for name in ("view1", "view2"))

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        """'loss', a scalar; of the first view 'features' [N, D], with gradient, and 'projected' [B, P], what the loss
        sees of the whole batch."""
        raise NotImplementedError

    def after_step(self, progress: float) -> None:
        """After a real optimiser step at `progress` (0 … 1): move a target network, for instance."""


def names() -> list[str]:
    """All methods there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def build(name: str, network: Backbone, settings: RepresentSettings) -> Method:
    """The method of this name around `network`. UsageError lists the names, or says which option does not fit."""
    if name not in names():
        raise UsageError(f"represent.method {name}: there is no such method; choose one of {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    try:
        return cast(Method, module.build(network, settings))
    except ValidationError as error:
        first = error.errors()[0]
        known = ", ".join(module.Options.model_fields)
        raise UsageError(f"represent.options.{first['loc'][0]}: {first['msg']}; {name} has {known}") from error
