"""Presets as functions; settings from preset, file and command line."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from augmint.config.settings import MintSettings, Settings
from augmint.errors import UsageError

Tree = dict[str, Any]


def fast() -> Tree:
    """Fashion-MNIST with 10 label draws in up to an hour on 2 cores: the defaults, first on small views, D too."""
    return {"represent": {"small": 0.9}, "generate": {"image": {"zoom": True}}}


def demo() -> Tree:
    """scikit-learn's digits in three minutes on 2 slow cores."""
    return {
        "represent": {"width": 24, "images": 40_000},
        "generate": {"image": {"images": 20_000}, "feature": {"images": 30_000}},
        "classify": {"images": 6_400, "batch": 32, "width": 16},
        "mint": {"parents_per_class": 60},
        "measure": {"images": 60_000},
        "judge": {"select_folds": 2},
    }


def tiny() -> Tree:
    """Every stage for a moment: tests and a look at the plumbing. Its accuracies mean nothing."""
    return {
        "represent": {"backbone": "cnn", "width": 8, "images": 2_000, "batch": 64, "latent": 32, "decoder_width": 8},
        "generate": {
            "image": {"images": 640, "batch": 32, "width": 8, "d_width": 8},
            "feature": {"images": 2_000, "batch": 64, "hidden": 32},
        },
        "classify": {"images": 640, "batch": 32, "width": 8, "finetune": {"images": 640, "batch": 64}},
        "mint": {"parents_per_class": 10},
        "measure": {"width": 8, "images": 1_000},
        "judge": {"draws": 2, "folds": 2, "repeats": 1, "select_folds": 2},
    }


def thorough() -> Tree:
    """For a GPU, or an evening on a CPU: ResNet-18, ten times the images."""
    return {
        "represent": {"backbone": "resnet18", "width": 64, "images": 6_000_000, "batch": 512},
        "generate": {"image": {"width": 48, "d_width": 48, "images": 2_000_000}},
        "classify": {"network": "resnet8", "width": 64, "images": 200_000, "batch": 64},
    }


def across() -> Tree:
    """What is other with a target, under any preset: D sees for itself, as all that was measured with one did."""
    return {"generate": {"image": {"trunk": "own"}}}


PRESETS: dict[str, Callable[[], Tree]] = {f.__name__: f for f in (fast, demo, tiny, thorough)}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    """`over` laid over `base`, tree by tree."""
    out = dict(base)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(out.get(name), Mapping)
        out[name] = merge(out[name], value) if both else value
    return out


def _branch(dotted: str, value: Any) -> Tree:
    *stems, leaf = dotted.split(".")
    tree: Tree = {leaf: value}
    for stem in reversed(stems):
        tree = {stem: tree}
    return tree


def assignments(pairs: list[str]) -> Tree:
    """['represent.width=64', …] as a tree; values are read as YAML. UsageError if one has no '='."""
    tree: Tree = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name:
            raise UsageError(f"--set {pair}: write it as name=value, e.g. --set represent.width=64")
        try:
            tree = merge(tree, _branch(name.strip(), yaml.safe_load(text)))
        except yaml.YAMLError as error:
            raise UsageError(f"--set {pair}: {text!r} is not a value") from error
    return tree


def _read(file: Path) -> Tree:
    try:
        tree = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"--config {file}: not a readable YAML file ({str(error).splitlines()[0]})") from error
    if not isinstance(tree, dict):
        raise UsageError(f"--config {file}: expected settings by name, e.g. 'represent: {{width: 64}}'")
    return tree


def resolve(preset: str = "fast", file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a run: preset, then file, then overrides. UsageError names what does not fit."""
    if preset not in PRESETS:
        raise UsageError(f"--preset {preset}: there is no such preset; choose one of {', '.join(PRESETS)}")
    given = _read(file) if file else {}, overrides or {}
    tree = merge(PRESETS[preset](), {"preset": preset})
    return _checked(_over(tree, given))


def vary(settings: Settings, file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Those settings, changed by the file, then by the overrides. UsageError names what does not fit."""
    given = _read(file) if file else {}, overrides or {}
    tree = settings.model_dump(mode="json")
    wanted = _over(tree, given, settings.target)["represent"]
    other = isinstance(wanted, Mapping) and wanted["optimiser"] != settings.represent.optimiser
    if other:  # the rate and decay of one optimiser are no other's
        tree["represent"] = {n: value for n, value in tree["represent"].items() if n not in ("lr", "weight_decay")}
    return _checked(_over(tree, given, settings.target))


def _over(tree: Tree, layers: Sequence[Mapping[str, Any]], target: str | None = None) -> Tree:
    """The layers over the tree, with what is other once there is a target, if it had none."""
    new = target is None and any(layer.get("target") for layer in layers)
    for layer in (across() if new else {}, *layers):
        tree = merge(tree, layer)
    return tree


MINT_MORE = ("agreement", "copy_quantile", "parents_per_class", "per_parent", "post", "realness")


def mint_more(settings: Settings, over: Mapping[str, Any]) -> MintSettings:
    """Those of a run, changed for one minting by the tree `over`. UsageError for what has no say in it."""
    own = over.get("mint")
    for name in (*over, *own) if isinstance(own, Mapping) else over:
        if name not in ("mint", *MINT_MORE):
            raise UsageError(
                f"--set …{name}: with --count choose from {', '.join(f'mint.{known}' for known in MINT_MORE)}; "
                "all else is fixed by the run"
            )
    return _checked(merge(settings.model_dump(), over)).mint


def _checked(tree: Tree) -> Settings:
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise UsageError(f"setting {where}: there is no such setting; `augmint settings` lists all") from error
        said = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"setting {where}: {said}" if where else f"setting {said}") from error
