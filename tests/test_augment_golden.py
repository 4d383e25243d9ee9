"""Operations against torchvision's results for the same images and parameters (tests/golden/make_augment.py)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from augmint.augment import as_float, colour, defects, geometry, native
from augmint.augment.operations import NAMES, Ranges, apply

GOLDEN = {
    name: torch.from_numpy(array) for name, array in np.load(Path(__file__).parent / "golden" / "augment.npz").items()
}
IN = {name.removeprefix("in_"): value for name, value in GOLDEN.items() if name.startswith("in_")}
OUT = {name.removeprefix("out_"): value for name, value in GOLDEN.items() if name.startswith("out_")}
X = as_float(IN["images"])
ALL = torch.ones(len(X), dtype=torch.bool)
FACTOR, SLANT, MOVE = IN["factor"], IN["slant"], IN["move"]
NO = torch.zeros(len(X))

MINE: dict[str, Callable[[], Tensor]] = {
    "brightness": lambda: colour.brightness(X, FACTOR[:, 0]),
    "contrast": lambda: colour.contrast(X, FACTOR[:, 1]),
    "saturation": lambda: colour.saturation(X, FACTOR[:, 2]),
    "hue": lambda: colour.hue(X, IN["turn"]),
    "jitter": lambda: colour.jitter(X, FACTOR[:, 0], FACTOR[:, 1], FACTOR[:, 2], IN["turn"], IN["order"]),
    "grey": lambda: colour.grey(X, ALL),
    "invert": lambda: colour.invert(X, ALL),
    "solarize": lambda: colour.solarize(X, IN["threshold"]),
    "posterize": lambda: colour.posterize(X, IN["bits"]),
    "autocontrast": lambda: colour.autocontrast(X),
    "equalize": lambda: colour.equalize(X),
    "sharpness": lambda: colour.sharpness(X, FACTOR[:, 0]),
    "horizontal_flip": lambda: geometry.horizontal_flip(X, ALL),
    "vertical_flip": lambda: geometry.vertical_flip(X, ALL),
    "rotation": lambda: geometry.affine(X, geometry.rotation(IN["angle"])),
    "scaling": lambda: geometry.affine(X, geometry.scaling(IN["scale"])),
    "translation": lambda: geometry.affine(X, geometry.translation(MOVE[:, 0], MOVE[:, 1])),
    "shear_x": lambda: geometry.affine(X, geometry.shearing(-SLANT[:, 0])),  # torchvision slants to the left
    "shear_y": lambda: geometry.affine(X, geometry.shearing(NO, -SLANT[:, 1])),
    "crop": lambda: geometry.crop(X, IN["box"].float()),
    "blur": lambda: geometry.gaussian_blur(X, IN["sigma"], radius=2),
    "erase": lambda: defects.erase(X, IN["box"].float(), FACTOR[:, 0] / 2),
}


@pytest.fixture(params=["compiled", "torch"], autouse=True)
def both_implementations(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setattr(native, "library", lambda: None)


def test_every_golden_operation_is_compared():
    assert set(MINE) == set(OUT)


@pytest.mark.parametrize("name", sorted(OUT))
def test_same_as_torchvision(name):
    error = (MINE[name]() - OUT[name]).abs()
    exact = {"posterize", "solarize", "equalize"}  # a rounding of 1e-7 can move a value by a whole step there
    assert torch.quantile(error, 0.99 if name in exact else 1.0) < 2e-5
    assert (error < 1 / 255).float().mean() >= 0.99


def test_shift_is_the_whole_pixel_translation():
    assert torch.allclose(geometry.shift(X, MOVE[:, 0], MOVE[:, 1]), OUT["translation"], atol=2e-5)


def test_maps_compose_left_to_right():
    """First move, then turn: the same as two samplings, up to the second interpolation's blur."""
    smooth = geometry.gaussian_blur(X, torch.full((len(X),), 3.0), radius=6)
    move, turn = geometry.translation(NO + 3, NO), geometry.rotation(NO + 40)
    twice = geometry.affine(geometry.affine(smooth, move, "border"), turn, "border")
    right = (geometry.affine(smooth, move @ turn, "border") - twice)[:, :, 4:-4, 5:-5].abs().mean()
    wrong = (geometry.affine(smooth, turn @ move, "border") - twice)[:, :, 4:-4, 5:-5].abs().mean()
    assert right < 0.1 * wrong


def test_crop_flip_and_blur_at_once_equal_one_after_the_other():
    flip = torch.tensor([True, False] * 3)
    at_once = geometry.crop(X, IN["box"].float(), flip, IN["sigma"], radius=3)
    cut = geometry.horizontal_flip(OUT["crop"], flip)
    assert torch.allclose(at_once, geometry.gaussian_blur(cut, IN["sigma"], radius=3), atol=2e-5)


def test_crop_as_an_affine_map():
    """What `gentle` does with one sampling is what `crop` does with matrices, away from the cut's edge."""
    box = torch.tensor([[2.0, 3.0, 9.0, 12.0]]).expand(len(X), 4)
    top, left, tall, wide = box.unbind(1)
    maps = geometry.translation((18 - wide) / 2 - left, (14 - tall) / 2 - top)
    maps = maps @ geometry.scaling(14 / tall, 18 / wide)
    difference = geometry.affine(X, maps) - geometry.crop(X, box)
    assert difference[:, :, 1:-1, 1:-1].abs().max() < 2e-5


def test_another_size_shows_the_same_in_other_pixels():
    def sampled(images):
        return F.interpolate(images, (9, 23), mode="bilinear", align_corners=False)

    whole = torch.tensor([[0.0, 0.0, 14.0, 18.0]]).expand(len(X), 4)
    part = torch.tensor([[2.0, 3.0, 9.0, 12.0]]).expand(len(X), 4)
    torch.testing.assert_close(geometry.crop(X, whole, size=(9, 23)), sampled(X), atol=2e-5, rtol=0)
    torch.testing.assert_close(geometry.crop(X, part, size=(9, 23)), sampled(X[:, :, 2:11, 3:15]), atol=2e-5, rtol=0)
    still = torch.eye(3).expand(len(X), 3, 3)
    torch.testing.assert_close(geometry.affine(X, still, "border", (9, 23)), sampled(X), atol=2e-5, rtol=0)


def test_apply_gives_each_image_its_operation():
    kind = torch.tensor([NAMES.index(n) for n in ("rotate", "brightness", "identity", "rotate", "shear_x")])
    level = torch.tensor([0.5, -0.3, 0.9, -1.0, 0.7])
    got = apply(X[:5], kind, level, Ranges(rotate=40.0))
    assert torch.equal(got[2], X[2])
    assert torch.allclose(got[3:4], geometry.affine(X[3:4], geometry.rotation(torch.tensor([-40.0]))), atol=1e-6)
    assert torch.allclose(got[1:2], colour.brightness(X[1:2], torch.tensor([0.73])), atol=1e-6)
