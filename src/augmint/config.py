"""Every setting, typed, with the value that was measured to be good; presets as functions.

    settings = resolve(preset="fast", file=None, overrides={"represent.width": "64"})

`--config FILE` (YAML of the same shape) goes over the preset, `--set a.b=c` over both. Lengths of
training are in images seen.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from augmint.errors import UsageError

SCHEMA = 1
Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]


class Strict(BaseModel):
    """Base of all settings: unknown names are errors, values do not change after the start."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OptimiserSettings(Strict):
    """One optimiser."""

    name: Literal["sgd", "adam", "adamw", "rmsprop"] = "adam"
    lr: NonNegative = 2e-4
    betas: tuple[float, float] = (0.5, 0.99)  # Adam's; SGD takes the first as momentum
    weight_decay: NonNegative = 0.0


class DataSettings(Strict):
    """How a source becomes a table."""

    size: Positive | None = None  # pixels; default from the data, at most 32 unless asked
    mode: Literal["auto", "grey", "rgb"] = "auto"
    on_bad: Literal["error", "skip"] = "error"  # files that are no readable image
    cache: bool = True  # keep decoded images in the user's cache folder ($AUGMINT_CACHE)
    resident: NonNegative = 0.25  # share of the available memory up to which images are kept in it, not on disk
    val_images: int = Field(2000, ge=0)  # at most a tenth of the training images; for curves and the rival's choice


class RepresentSettings(Strict):
    """Unlabelled images → encoder."""

    method: str = "simclr"
    backbone: str = "resnet8"  # resnet8, resnet14 (for CPUs, width 16 to 64), resnet18, resnet50 (width 64), timm:NAME
    width: Positive = 64
    stem: Literal["auto", "small", "imagenet"] = "auto"  # small: 3×3 without max-pool, up to 64 pixels
    grid: int = Field(2, ge=1, le=7)  # features are means over grid × grid cells of the last maps; 1: over all
    levels: int = Field(3, ge=1, le=4)  # features describe the maps of so many last stages (cnn, timm: of one)
    views: str = "simclr"  # name of a policy; auto (experimental): search
    search: Fraction = 0.1  # share of the images that `views: auto` may spend on choosing
    view_options: dict[str, dict[str, Any]] = {}  # of policies, by name
    images: Positive = 320_000
    small: Fraction = 0.0  # share of the training, its first, on views of 0.7 of the side (at least 16): half the work
    batch: Positive = 256
    optimiser: Literal["adamw", "sgd", "lars"] = "adamw"
    lr: NonNegative = 2e-3  # of AdamW; the others have to be given theirs
    warm_up: Fraction = 0.03  # share of the training in which the learning rate rises
    weight_decay: NonNegative = 0.05  # of AdamW; the others have to be given theirs
    projector: str = "article"  # or "standard" (two layers); no difference was seen
    options: dict[str, Any] = {}  # the method's own settings, e.g. {temperature: 0.1}
    reconstruction: NonNegative = 0.0  # weight of the reconstruction term; 0: the decoder learns, the encoder does not
    latent: int = Field(128, ge=0)  # size of the bottleneck that the decoder reads; 0: no decoder
    decoder_width: Positive = 24
    whiten: NonNegative | None = 0.1  # of features: 0 fully, more holds back weak directions, none leaves them raw
    weights: Path | None = None  # an encoder to start from (safetensors)
    compile: Literal["auto", "off", "on", "graphs", "tune"] = "auto"  # see train/compiler.py; auto: on a GPU

    @model_validator(mode="after")
    def _rate_of_its_optimiser(self) -> "RepresentSettings":
        """AdamW's rate and decay teach the other optimisers nothing, and nothing would say so."""
        if self.optimiser != "adamw" and not {"lr", "weight_decay"} <= self.model_fields_set:
            usual = {"sgd": "0.06 and 5e-4", "lars": "0.3 and 1e-6"}[self.optimiser]
            raise ValueError(
                f"optimiser {self.optimiser} needs lr and weight_decay of its own: set both, as {usual} at batch 256"
            )
        return self


class ContrastSettings(Strict):
    """What the contrastive discriminator learns from (Jeong & Shin, ICLR 2021)."""

    views: str = "simclr"  # name of a policy: what every image that D sees undergoes
    temperature: float = Field(0.1, gt=0)
    weight: NonNegative = 1.0  # of the generated images' contrastive term


class ImageGeneratorSettings(Strict):
    """Images → conditional image generator (SYSTEM 4 and 5)."""

    enabled: bool = True
    width: Positive = 32  # of G
    d_width: Positive = 32
    noise: Positive = 32
    latent: Positive = 128
    images: Positive = 160_000
    batch: Positive = 64
    discriminators: tuple[Literal["image", "pair", "siamese", "projection", "contrastive"], ...] = ("pair", "image")
    contrast: ContrastSettings = ContrastSettings()  # of the discriminator "contrastive"
    trunk: Literal["own", "encoder"] = "own"  # what the discriminator "projection" stands on
    condition: Literal["none", "cluster", "class"] = "none"  # what G is told of a child besides parent and noise
    clusters: Positive = 20  # of the representation, by k-means: for condition=cluster and farthest=other
    loss: Literal["adversarial", "margin", "hinge", "relativistic"] = "hinge"
    lambda_: NonNegative = 0.02  # weight of the adversarial term in G's objective
    beta: NonNegative = 0.0  # weight of the constraint on D
    constraint: Literal["none", "log_score", "gradient_penalty"] = "gradient_penalty"
    delta: float = 0.0  # the margin is 1 - delta
    farthest: Literal["generated", "uniform", "farthest", "semi_hard", "other"] = "semi_hard"
    reconstruction: NonNegative = 1.0  # of a real neighbour from the parent and the neighbour's code
    prior: NonNegative = 0.004  # how closely those codes have to follow N(0, 1), within the reconstruction term
    warm_up: Fraction = 0.2  # share of the training before D takes part (none without reconstruction)
    consistency: NonNegative = 0.0  # the noise has to be found again in the child
    diversity: NonNegative = 0.05  # children of one parent have to differ as much as real neighbours do
    structure: NonNegative = 1.0  # with a target: children keep their parent's drawing (not its light and contrast)
    augment: NonNegative = 1.0  # strength of what D's images undergo
    adaptive: Fraction = 0.0  # ADA: undergo it as often as keeps the mean sign of D's real logits here (0.6); 0: always
    adaptive_images: Positive = 20_000  # in which that chance can go from 0 to 1
    neighbours: Positive = 10  # real pairs: an image and one of its nearest in the representation
    spectral_norm: bool = True
    init: Literal["default", "normal002"] = "default"
    ema: Fraction = 0.998
    d_optimiser: OptimiserSettings = OptimiserSettings(lr=6e-4)
    g_optimiser: OptimiserSettings = OptimiserSettings(lr=1.5e-3)


class FeatureGeneratorSettings(Strict):
    """Features → feature generator."""

    enabled: bool = True
    form: Literal["residual", "noise"] = "residual"  # noise: the article's 128 → 512 → feature size, tanh
    condition: Literal["none", "cluster", "class"] = "none"  # what G is told of a child besides parent and noise
    clusters: Positive = 20
    noise: Positive = 128
    hidden: Positive = 512
    images: Positive = 160_000
    batch: Positive = 256
    loss: Literal["adversarial", "margin", "hinge", "relativistic"] = "relativistic"
    lambda_: NonNegative = 1.0
    diversity: NonNegative = 1.0
    beta: NonNegative = 2.0  # R1 and R2: with them D accepts two thirds of the children, with hinge and 0 none
    constraint: Literal["none", "log_score", "gradient_penalty"] = "gradient_penalty"
    delta: float = 0.0
    farthest: Literal["generated", "uniform", "farthest", "semi_hard", "other"] = "semi_hard"
    neighbours: Positive = 10
    spectral_norm: bool = False
    init: Literal["default", "normal002"] = "default"
    ema: Fraction = 0.998
    d_optimiser: OptimiserSettings = OptimiserSettings(lr=4e-4)
    g_optimiser: OptimiserSettings = OptimiserSettings(lr=1e-3)


class GenerateSettings(Strict):
    """Both generators of a run. What cannot work in one, or would do nothing, is refused."""

    image: ImageGeneratorSettings = ImageGeneratorSettings()
    feature: FeatureGeneratorSettings = FeatureGeneratorSettings()

    @model_validator(mode="after")
    def fit_together(self) -> Self:
        image, feature = self.image, self.feature
        pairs = {"pair", "siamese"} & set(image.discriminators)
        if image.enabled:
            _refuse_idle("image", image, bool(pairs), "discriminators has no pair or siamese")
        if feature.enabled:
            told = feature.form == "residual" or feature.condition != "none"
            _refuse_idle("feature", feature, told, "form=noise has no pairs without a condition")
        return self


def _refuse_idle(name: str, s: ImageGeneratorSettings | FeatureGeneratorSettings, pairs: bool, why: str) -> None:
    """ValueError for what cannot work in a run, whose pool has no labels, and for what was set and would do nothing."""
    fields, default = type(s).model_fields, "leave it out"
    if s.condition == "class":
        raise ValueError(f"{name}.condition=class needs labels, and generators learn without; use condition=cluster")
    if s.delta and s.loss != "margin":
        raise ValueError(f"{name}.delta={s.delta:g} counts with loss=margin alone, not {s.loss}; {default}")
    if s.constraint == "none" and s.beta not in (0, fields["beta"].default):
        raise ValueError(f"{name}.beta={s.beta:g} weighs a constraint, and constraint=none; {default}")
    if not pairs and s.farthest not in ("generated", fields["farthest"].default):
        raise ValueError(f"{name}.farthest={s.farthest} counts for pairs alone, and {why}; {default}")


class MintSettings(Strict):
    """Generator → kept samples."""

    drop: tuple[str, ...] = ()  # classes of which no image is minted, e.g. those that value.json finds to mislead
    parents_per_class: Positive = 300  # surest unlabelled parents under propagated labels
    children: Positive = 2  # drawn per parent
    per_parent: Positive = 4  # at most this many kept per parent
    per_class: Positive = 1000  # at most this many kept per class
    realness: tuple[float, float] = (0.05, 0.95)  # quantiles of D on real images between which D must score a child
    agreement: NonNegative = 0.5  # the independent classifier gives the inherited label at least this probability
    copy_quantile: Fraction = 0.01  # nearer to a real image than this quantile of real nearest distances = a copy
    post: str = "none"  # policy applied to minted images
    features_per_label: Positive = 20  # drawn of each label, so at most kept


class MeasureSettings(Strict):
    """The encoder that generators are measured by: SimCLR of its own weights, network and length."""

    backbone: str = "cnn"
    width: Positive = 32
    images: Positive = 100_000


class FinetuneSettings(Strict):
    """Encoder and head, fine-tuned together (the arm encoder-finetune)."""

    images: Positive = 30_000  # unlabelled ones seen; a quarter as many labelled ones come beside
    batch: Positive = 128  # unlabelled images a step
    lr: NonNegative = 5e-4  # of the encoder
    head_lr: NonNegative = 5e-4
    weight_decay: NonNegative = 1e-3
    policy: str = "randaugment"  # strong augmentation of the unlabelled images
    momentum: Fraction = 0.98  # of the averages of weights, of confidence and of class frequencies
    temperature: float = Field(1.0, gt=0)  # more softens what the head on the frozen features says
    trust: Fraction = 0.5  # from this share of the training on the network's own opinion alone counts
    alignment: Fraction = 0.5  # power of the distribution alignment; 0: none


Prior = Literal["none", "uniform", "labels", "estimated"] | tuple[Annotated[float, Field(gt=0)], ...]


class ClassifySettings(Strict):
    """Few labels (+ minted) → classifier."""

    network: str = "cnn"  # from scratch: cnn, resnet8, resnet18
    width: Positive = 32
    images: Positive = 16_000
    batch: Positive = 32
    lr: NonNegative = 2e-3
    weight_decay: NonNegative = 5e-4
    extra_policy: str = "randaugment"  # under which pseudo-labelled and minted images are trained on, and their labels
    minted_share: float = Field(0.5, ge=0.0, le=0.5)  # of a batch
    minted_weight: NonNegative = 1.0
    fade: Fraction = 0.8  # from here on the minted share falls to zero at the end
    logistic_c: float = Field(0.1, gt=0)
    prior: Prior = "none"  # how frequent classes are among all images: a number for each, in order, if they are known
    finetune: FinetuneSettings = FinetuneSettings()


class JudgeSettings(Strict):
    """Arms × label draws → verdict."""

    arms: tuple[str, ...] = (
        "scratch-none",
        "scratch-weak",
        "scratch-randaugment",
        "scratch-pseudo",
        "scratch-minted",
        "encoder",
        "encoder-propagate",
        "encoder-gaussian",
        "encoder-minted",
    )
    draws: Positive = 10
    encoder_seeds: Positive = 1  # encoders and generators that every draw is run with; 3 or more for headline claims
    curve: tuple[Positive, ...] = ()  # other numbers of labels a class that the draws are run with: what is it worth?
    folds: int = Field(5, ge=2)
    repeats: Positive = 2
    select_folds: int = Field(3, ge=2)  # cross-validation on the labels that chooses the final arm
    equivalence: NonNegative = 0.005  # accuracies this close are equivalent
    confidence: float = Field(0.95, gt=0.5, lt=1.0)
    robust_images: int = Field(1000, ge=0)  # held-out images that are made worse to see what the arms stand; 0: none
    robust_draws: Positive = 3  # the first draws (or folds), whose trials are tested on them


def _files(given: Any) -> Any:
    """One file or several as {file: ""}: the digests of their content come when the run starts."""
    given = [given] if isinstance(given, str | Path) else given
    return {str(file): "" for file in given} or None if isinstance(given, list | tuple) else given


class Settings(Strict):
    """A whole run."""

    schema_version: int = SCHEMA
    preset: str = "fast"
    data_source: str = ""  # what was given as DATA
    labels: Annotated[dict[str, str] | None, BeforeValidator(_files)] = None  # files of labels for DATA → their digests
    target: str | None = None  # unlabelled images of the place of use: a source like DATA
    labels_per_class: Positive | None = None  # None: all labels there are, cross-validated if there is no test split
    seed: int = Field(0, ge=0)
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    data: DataSettings = DataSettings()
    represent: RepresentSettings = RepresentSettings()
    generate: GenerateSettings = GenerateSettings()
    mint: MintSettings = MintSettings()
    measure: MeasureSettings = MeasureSettings()
    classify: ClassifySettings = ClassifySettings()
    judge: JudgeSettings = JudgeSettings()

    @model_validator(mode="after")
    def condition_has_no_target(self) -> Self:
        image = self.generate.image
        if self.target and image.enabled and image.condition != "none":
            raise ValueError(f"generate.image.condition={image.condition} knows no target; leave it out, or --target")
        return self


Tree = dict[str, Any]


def fast() -> Tree:
    """Fashion-MNIST with 10 label draws in 20 to 25 minutes on 2 cores: the defaults, first on small views."""
    return {"represent": {"small": 0.9}}


def demo() -> Tree:
    """scikit-learn's digits in under 3 minutes on 2 cores."""
    return {
        "represent": {"width": 32, "images": 80_000},
        "generate": {"image": {"images": 60_000}, "feature": {"images": 45_000}},
        "classify": {"images": 9_600, "batch": 32, "width": 16},
        "mint": {"parents_per_class": 60},
        "measure": {"images": 60_000},
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
    """What is other with a target, under any preset: D has more to say, as children have to change more."""
    return {"generate": {"image": {"lambda_": 0.1}}}


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
    tree = merge(PRESETS[preset](), {"preset": preset})
    given = _read(file) if file else {}, overrides or {}
    for layer in (across() if any(layer.get("target") for layer in given) else {}, *given):
        tree = merge(tree, layer)
    return _checked(tree)


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
