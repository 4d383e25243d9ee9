"""How weights start.

initialise(network, "normal002")        # the article's: N(0, 0.02); BatchNorm 1 and 0
"""

from torch import nn

from augmint.errors import UsageError

NAMES = ("default", "normal002")


def initialise(network: nn.Module, name: str) -> None:
    """Set the weights of every layer inside `network`, in place, from torch's global random state.

    "default" leaves torch's own. "normal002" draws weights from N(0, 0.02), with biases zero and
    normalisation layers at 1 and 0 (Radford et al., DCGAN, 2016). The article applied it to containers,
    where it did nothing; here it reaches the layers. Call it before spectral normalisation is put on.
    UsageError lists the names.
    """
    if name not in NAMES:
        raise UsageError(f"init {name}: there is no such initialisation; choose one of {', '.join(NAMES)}")
    if name == "default":
        return
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
