"""Settings of minting, of classifiers and of their comparison; `Settings`, those of a whole run."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from augmint.config.learning import (
    LARGEST,
    DataSettings,
    Fraction,
    GenerateSettings,
    NonNegative,
    Positive,
    RepresentSettings,
    Strict,
)

SCHEMA = 1


def _ascending(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    if not low < high:
        raise ValueError(f"{low:g} and {high:g} leave nothing between them; give the lower one first")
    return bounds


Range = Annotated[tuple[Fraction, Fraction], AfterValidator(_ascending)]


class MintSettings(Strict):
    """Generator → kept samples."""

    drop: tuple[str, ...] = ()  # classes of which no image is minted, e.g. those that value.json finds to mislead
    parents_per_class: Positive = 300  # unlabelled parents, drawn at random, under propagated labels
    children: Positive = 2  # drawn per parent
    per_parent: Positive = 4  # at most this many kept per parent
    per_class: Positive = 1000  # at most this many kept per class
    realness: Range = (0.05, 0.95)  # quantiles of D on real images between which D must score a child
    agreement: NonNegative = 0.5  # the independent classifier gives the inherited label at least this probability
    copy_quantile: Fraction = 0.01  # nearer to a real image than this quantile of real nearest distances = a copy
    post: str = "none"  # name of a policy applied to minted images
    features_per_label: Positive = 80  # drawn of each label, so at most kept; fewer where a class has many labels
    features_per_class: Positive = 400  # drawn at most of a class, on average
    feature_realness: Range = (0.02, 0.98)  # as realness
    feature_agreement: NonNegative = 0.1  # as agreement, of the head that they are to teach: what it doubts is of use


class MeasureSettings(Strict):
    """The encoder that generators are measured by: SimCLR of its own weights, network and length."""

    backbone: str = "cnn"  # as of represent
    width: Positive = 32
    images: Positive = 100_000  # length of the training, in images seen


class FinetuneSettings(Strict):
    """Encoder and head, fine-tuned together (the arm encoder-finetune)."""

    images: Positive = 30_000  # unlabelled ones seen; a quarter as many labelled ones come beside
    batch: Positive = 128  # unlabelled images a step
    lr: NonNegative = 5e-4  # of the encoder
    head_lr: NonNegative = 5e-4  # of the head
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
    width: Positive = 32  # channels of its first stage
    images: Positive = 16_000  # length of a training, in images seen
    batch: Positive = 32  # images a step
    lr: NonNegative = 2e-3  # of AdamW
    weight_decay: NonNegative = 5e-4
    extra_policy: str = "randaugment"  # under which pseudo-labelled and minted images are trained on, and their labels
    minted_share: float = Field(0.5, ge=0.0, le=0.5)  # of a batch that minted (or pseudo-labelled) images take at most
    minted_weight: NonNegative = 1.0  # of such an image's loss
    fade: Fraction = 0.8  # from here on the minted share falls to zero at the end
    logistic_c: float = Field(0.1, gt=0)  # of the heads on the encoder: less is a stronger penalty
    prior: Prior = "estimated"  # how frequent classes are among all images; if known, a number for each
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
    draws: Positive = 10  # label draws, with a test split; 8 at least for a claim
    encoder_seeds: Positive = 1  # encoders and generators that every draw is run with; 3 or more for headline claims
    curve: tuple[Positive, ...] = ()  # other numbers of labels a class that the draws are run with: what is it worth?
    folds: int = Field(5, ge=2)  # of cross-validation, without a test split
    repeats: Positive = 2  # how often it is divided anew
    select_folds: int = Field(3, ge=2)  # cross-validation on the labels that chooses the final arm
    equivalence: NonNegative = 0.005  # accuracies this close are equivalent
    confidence: float = Field(0.95, gt=0.5, lt=1.0)  # of the intervals
    robust_images: int = Field(1000, ge=0)  # held-out images that are made worse to see what the arms stand; 0: none
    robust_draws: Positive = 3  # the first draws (or folds), whose trials are tested on them


def _files(given: Any) -> Any:
    """One file or several as {file: ""}: the digests of their content come when the run starts."""
    given = [given] if isinstance(given, str | Path) else given
    return {str(file): "" for file in given} or None if isinstance(given, list | tuple) else given


class Settings(Strict):
    """A whole run."""

    schema_version: int = SCHEMA  # of these settings
    preset: str = "fast"  # fast, demo, tiny, thorough
    data_source: str = ""  # what was given as DATA
    labels: Annotated[dict[str, str] | None, BeforeValidator(_files)] = None  # files of labels for DATA → their digests
    target: str | None = None  # unlabelled images of the place of use: a source like DATA
    labels_per_class: Positive | None = None  # null: all labels there are, cross-validated if there is no test split
    seed: int = Field(0, ge=0, le=LARGEST)  # of everything random
    device: str = "auto"  # auto, cpu, cuda, cuda:1
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 where the machine has it
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
