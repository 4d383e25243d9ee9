"""Settings of the data and of all that is learnt without labels: encoder and generators."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

LARGEST = 2**62  # whole number: tables and tensors hold 64 bits
Positive = Annotated[int, Field(ge=1, le=LARGEST)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]


class Strict(BaseModel):
    """Base of all settings: unknown names are errors, values do not change after the start."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OptimiserSettings(Strict):
    """One optimiser."""

    name: Literal["sgd", "adam", "adamw", "rmsprop"] = "adam"
    lr: NonNegative = 2e-4  # learning rate
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

    method: str = "simclr"  # simclr, byol, mocov3, nnclr, simsiam, barlowtwins, vicreg, dino
    backbone: str = "resnet8"  # resnet8, resnet14 (for CPUs, width 16 to 64), resnet18, resnet50 (width 64), timm:NAME
    width: Positive = 64  # channels of the first stage
    stem: Literal["auto", "small", "imagenet"] = "auto"  # small: 3×3 without max-pool, up to 64 pixels
    grid: int = Field(2, ge=1, le=7)  # features are means over grid × grid cells of the last maps; 1: over all
    levels: int = Field(3, ge=1, le=4)  # features describe the maps of so many last stages (cnn, timm: of one)
    views: str = "simclr"  # name of a policy; auto (experimental): search
    search: Fraction = 0.1  # share of the images that `views: auto` may spend on choosing
    view_options: dict[str, dict[str, Any]] = {}  # of policies, by name
    images: Positive = 320_000  # length of the training, in images seen
    small: Fraction = 0.0  # share of the training, its first, on views of 0.7 of the side (at least 16): half the work
    batch: Positive = 256  # images a step, two views of each
    optimiser: Literal["adamw", "sgd", "lars"] = "adamw"
    lr: NonNegative = 2e-3  # of AdamW; the others have to be given theirs
    warm_up: Fraction = 0.03  # share of the training in which the learning rate rises
    weight_decay: NonNegative = 0.05  # of AdamW; the others have to be given theirs
    projector: str = "article"  # or "standard" (two layers); no difference was seen
    options: dict[str, Any] = {}  # the method's own settings, e.g. {temperature: 0.1}
    reconstruction: NonNegative = 0.0  # weight of the reconstruction term; 0: the decoder learns, the encoder does not
    latent: int = Field(128, ge=0, le=LARGEST)  # size of the bottleneck that the decoder reads; 0: no decoder
    decoder_width: Positive = 24  # channels of the decoder's last stage
    whiten: NonNegative | None = 0.1  # of features: 0 fully, more holds back weak directions, none leaves them raw
    weights: Path | None = None  # an encoder to start from (safetensors)
    compile: Literal["auto", "off", "on", "graphs", "tune"] = "auto"  # graphs: CUDA graphs; auto: on a GPU

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
    """Images → conditional image generator."""

    enabled: bool = True  # false: no minted images
    width: Positive = 32  # of G
    d_width: Positive = 32  # of D
    noise: Positive = 32  # numbers that make children of one parent differ
    latent: Positive = 128  # size of G's bottleneck
    images: Positive = 100_000  # length of the training, in images seen
    batch: Positive = 64
    discriminators: tuple[Literal["image", "pair", "siamese", "projection", "contrastive"], ...] = ("pair", "image")
    contrast: ContrastSettings = ContrastSettings()  # of the discriminator "contrastive"
    trunk: Literal["own", "encoder"] = "encoder"  # what image, pair and projection see with; the others: own
    zoom: bool = False  # D looks at windows made as small as the views of represent.small; with trunk=encoder
    condition: Literal["none", "cluster", "class"] = "none"  # what G is told of a child besides parent and noise
    clusters: Positive = 20  # of the representation, by k-means: for condition=cluster and farthest=other
    loss: Literal["adversarial", "margin", "hinge", "relativistic"] = "hinge"
    lambda_: NonNegative = 0.1  # weight of the adversarial term in G's objective
    beta: NonNegative = 0.0  # weight of the constraint on D
    constraint: Literal["none", "log_score", "gradient_penalty"] = "gradient_penalty"
    delta: float = 0.0  # the margin is 1 - delta
    farthest: Literal["generated", "uniform", "farthest", "semi_hard", "other"] = "semi_hard"
    reconstruction: NonNegative = 1.0  # of a real neighbour from the parent and the neighbour's code
    perception: NonNegative = 0.2  # of the same as the encoder sees it, with trunk=encoder; from the end of the warm-up
    prior: NonNegative = 0.004  # how closely those codes have to follow N(0, 1), within the reconstruction term
    warm_up: Fraction = 0.2  # share of the training before D takes part (none without reconstruction)
    consistency: NonNegative = 0.0  # the noise has to be found again in the child
    diversity: NonNegative = 0.05  # children of one parent have to differ as much as real neighbours do
    structure: NonNegative = 1.0  # with a target: children keep their parent's drawing (not its light and contrast)
    augment: NonNegative = 1.0  # strength of what D's images undergo
    adaptive: Fraction = 0.0  # ADA: undergo it as often as keeps the mean sign of D's real logits here (0.6); 0: always
    adaptive_images: Positive = 20_000  # in which that chance can go from 0 to 1
    neighbours: Positive = 10  # real pairs: an image and one of its nearest in the representation
    spectral_norm: bool = True  # of D
    init: Literal["default", "normal002"] = "default"  # first weights: torch's, or N(0, 0.02)
    ema: Fraction = 0.998  # momentum of the average of G's weights, which mints
    d_optimiser: OptimiserSettings = OptimiserSettings(lr=6e-4)  # of D
    g_optimiser: OptimiserSettings = OptimiserSettings(lr=1.5e-3)  # of G


class FeatureGeneratorSettings(Strict):
    """Features → feature generator."""

    enabled: bool = True  # false: no minted features
    form: Literal["residual", "noise"] = "residual"  # noise: the article's 128 → 512 → feature size, tanh
    condition: Literal["none", "cluster", "class"] = "none"  # what G is told of a child besides parent and noise
    clusters: Positive = 20  # of the representation, by k-means: for condition=cluster and farthest=other
    noise: Positive = 128  # numbers that make children of one parent differ
    hidden: Positive = 512  # units of the layers of G and D
    components: int = Field(64, ge=0, le=LARGEST)  # principal components that G and D work on; 0: features
    moments: NonNegative = 1.0  # weight of what holds children to the covariance of real pairs (with components)
    hops: Positive = 16  # real pairs: a feature and one so many neighbours of neighbours away
    images: Positive = 160_000  # length of the training, in features seen
    batch: Positive = 256
    loss: Literal["adversarial", "margin", "hinge", "relativistic"] = "relativistic"
    lambda_: NonNegative = 1.0  # weight of the adversarial term in G's objective
    diversity: NonNegative = 1.0  # children of one parent have to differ as much as real pairs do
    beta: NonNegative = 2.0  # weight of the constraint on D: R1 and R2
    constraint: Literal["none", "log_score", "gradient_penalty"] = "gradient_penalty"
    delta: float = 0.0  # the margin is 1 - delta
    farthest: Literal["generated", "uniform", "farthest", "semi_hard", "other"] = "semi_hard"
    neighbours: Positive = 10  # of which a step over the graph takes one
    spectral_norm: bool = False  # of D
    init: Literal["default", "normal002"] = "default"  # first weights: torch's, or N(0, 0.02)
    ema: Fraction = 0.998  # momentum of the average of G's weights, which mints
    d_optimiser: OptimiserSettings = OptimiserSettings(lr=4e-4)  # of D
    g_optimiser: OptimiserSettings | None = None  # null: Adam, 1e-4 from a fit (residual, components), else 1e-3

    @property
    def apart(self) -> int:
        """How many steps over the graph the two of a real pair are apart; the form `noise` looks at no parent."""
        return self.hops if self.form == "residual" else 1


class GenerateSettings(Strict):
    """Both generators of a run. What cannot work in one, or would do nothing, is refused."""

    image: ImageGeneratorSettings = ImageGeneratorSettings()
    feature: FeatureGeneratorSettings = FeatureGeneratorSettings()

    @model_validator(mode="after")
    def fit_together(self) -> Self:
        image, feature = self.image, self.feature
        seeing = {"siamese", "contrastive"} & set(image.discriminators)
        if image.enabled and seeing and image.trunk == "encoder":
            raise ValueError(f"image.discriminators={min(seeing)} learns to see by itself; set image.trunk=own")
        usual = type(image).model_fields["perception"].default
        if image.enabled and image.trunk == "own" and image.perception not in (0, usual):
            raise ValueError(f"image.perception={image.perception:g} counts with trunk=encoder alone; leave it out")
        pairs = {"pair", "siamese"} & set(image.discriminators)
        if image.enabled:
            _refuse_idle("image", image, bool(pairs), "discriminators has no pair or siamese")
        if feature.enabled:
            told = feature.form == "residual" or feature.condition != "none"
            _refuse_idle("feature", feature, told, "form=noise has no pairs without a condition")
            usual, given = FeatureGeneratorSettings(), ("components", "moments", "hops")
            idle = [name for name in given if getattr(feature, name) != getattr(usual, name)]
            if idle and feature.form == "noise":
                raise ValueError(f"feature.{idle[0]} counts with form=residual alone; leave it out")
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
