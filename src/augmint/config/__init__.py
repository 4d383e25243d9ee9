"""Every setting, typed, with the value that was measured to be good; presets as functions.

    settings = resolve(preset="fast", file=None, overrides={"represent": {"width": 64}})

`--config FILE` (YAML of the same shape) goes over the preset, `--set a.b=c` over both. Lengths of
training are in images seen.
"""

from augmint.config.explain import explained
from augmint.config.learning import (
    ContrastSettings,
    DataSettings,
    FeatureGeneratorSettings,
    ImageGeneratorSettings,
    OptimiserSettings,
    RepresentSettings,
    Strict,
)
from augmint.config.resolve import (
    PRESETS,
    assignments,
    merge,
    mint_more,
    resolve,
    vary,
)
from augmint.config.settings import (
    ClassifySettings,
    FinetuneSettings,
    JudgeSettings,
    MintSettings,
    Settings,
)

__all__ = [
    "ClassifySettings",
    "ContrastSettings",
    "DataSettings",
    "FeatureGeneratorSettings",
    "FinetuneSettings",
    "ImageGeneratorSettings",
    "JudgeSettings",
    "MintSettings",
    "OptimiserSettings",
    "PRESETS",
    "RepresentSettings",
    "Settings",
    "Strict",
    "assignments",
    "explained",
    "merge",
    "mint_more",
    "resolve",
    "vary",
]
