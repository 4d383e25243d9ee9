"""How well features tell how an image was turned: a measure of features without labels.

    told = turns_told(encoder, images)              # per image, 0 … 1; chance(images) for features that say nothing

A linear probe of rotation by 0, 90, 180 and 270 degrees on frozen features ranks self-supervised encoders much as
labels do, over many policies of augmentation (Reed et al., "SelfAugment", CVPR 2021, section 3). It is silent where
images have no way up, and unfair to views that turn images: those are taught not to tell.
"""

import numpy as np
import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from augmint.represent.encoder import Encoder

PENALTY = 0.1  # of the probe, a squared weight, in units of the rows that it is fitted on


def quarters(images: Tensor) -> list[int]:
    """Quarter turns that leave the shape of images [N, C, H, W] as it is."""
    return [0, 1, 2, 3] if images.shape[2] == images.shape[3] else [0, 2]


def chance(images: Tensor) -> float:
    """What is told of images [N, C, H, W] by features that say nothing: 1/4, or 1/2 if they are not square."""
    return 1 / len(quarters(images))


def turns_told(encoder: Encoder, images: Tensor) -> Tensor:
    """Share of its turns that a linear probe on the encoder's features tells right, for each of uint8 images
    [N, C, H, W]: float32 [N]. Every half of the images is judged by a probe that was fitted on the other; N ≥ 2."""
    turned = [torch.rot90(images, quarter, (2, 3)).contiguous() for quarter in quarters(images)]
    return probe(torch.stack([encoder.hidden(each) for each in turned]))


def probe(hidden: Tensor) -> Tensor:
    """The same from the features [turns, N, D] of all turns of all images."""
    x = hidden.double().numpy()
    turns, size, length = x.shape
    told, halves = np.empty(size), np.arange(size) % 2 == 0
    for learn in (halves, ~halves):
        rows, turn = x[:, learn].reshape(-1, length), np.repeat(np.arange(turns), learn.sum())
        model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=PENALTY * len(rows))).fit(rows, turn)
        answers = np.stack([model.predict(each) for each in x[:, ~learn]])
        told[~learn] = (answers == np.arange(turns)[:, None]).mean(0)
    return torch.from_numpy(told).float()
