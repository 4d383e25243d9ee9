"""Noise, salt and pepper, scratches, erased patches, and the small cases of the colour operations."""

import torch

from augmint.augment import colour, defects, geometry
from augmint.augment.preview import preview
from augmint.data import load

X = torch.full((4, 3, 32, 32), 0.5)
OFFSET = torch.tensor([0.1, 0.4, 0.7, 1.0])


def test_noise_has_the_deviation_asked_for_and_is_each_images_own():
    sigma = torch.tensor([0.0, 0.02, 0.05, 0.1])
    out = defects.gaussian_noise(X, sigma, OFFSET) - 0.5
    assert torch.allclose(out.std((1, 2, 3)), sigma, rtol=0.05)
    assert abs(torch.corrcoef(out[2:].flatten(1))[0, 1]) < 0.1


def test_salt_and_pepper_in_equal_parts_on_all_channels():
    out = defects.salt_and_pepper(X, torch.tensor([0.0, 0.1, 0.3, 1.0]), OFFSET)
    assert torch.equal(out[0], X[0])
    assert set(out.unique().tolist()) == {0.0, 0.5, 1.0}
    assert abs((out[2] == 0).float().mean() - 0.15) < 0.05
    assert (out[3] != 0.5).all()
    assert torch.equal(out[:, 0], out[:, 1])


def test_erase_fills_the_box_alone():
    box = torch.tensor([[4.0, 6.0, 10.0, 12.0]]).expand(4, 4) * torch.tensor([[1.0], [1.0], [1.0], [0.0]])
    ramp = torch.linspace(0, 1, 32).expand(4, 3, 32, 32)
    out = defects.erase(ramp, box)
    assert torch.equal(out[3], ramp[3])
    assert torch.allclose(out[0, :, 4:14, 6:18], torch.tensor(0.5))
    changed = (out[0] != ramp[0]).any(0)
    assert changed.sum() == 120


def test_scratches_cover_a_line_of_their_width():
    ends = torch.tensor([[[0.0, 0.5, 1.0, 0.5]]]).expand(4, 1, 4)
    width = torch.tensor([[0.0], [1.0], [2.0], [4.0]])
    out = defects.scratches(torch.zeros_like(X), ends, width, torch.ones(4, 1))
    assert torch.equal(out[0], torch.zeros_like(out[0]))
    assert torch.allclose(out[1:, 0, :, 16].sum(1), torch.tensor([1.0, 2.0, 4.0]))
    assert out[3, 0, 14:18].min() == 1


def test_colour_operations_leave_grey_images_alone():
    image = torch.rand(4, 1, 8, 8)
    two = torch.full((4,), 2.0)
    for same in (colour.saturation(image, two), colour.hue(image, two / 8), colour.grey(image, two > 0)):
        assert torch.equal(same, image)


def test_a_full_turn_of_hue_is_none():
    image = torch.rand(4, 3, 8, 8)
    image[0] = torch.rand(1, 8, 8)  # no hue at all
    half = torch.full((4,), 0.5)
    assert torch.allclose(colour.hue(colour.hue(image, half), half), image, atol=1e-5)
    third = torch.full((4,), 1 / 3)
    assert torch.allclose(colour.hue(image, third), image[:, [2, 0, 1]], atol=1e-5)  # red becomes green


def test_flat_and_tiny_images_survive():
    for size in (1, 2):
        image = torch.full((4, 3, size, size), 0.25)
        two = torch.full((4,), 2.0)
        for out in (
            colour.autocontrast(image),
            colour.sharpness(image, two),
            geometry.gaussian_blur(image, two, radius=3),
        ):
            assert torch.allclose(out, image, atol=1e-6)
        assert torch.allclose(colour.equalize(image), image, atol=1 / 255)


def test_preview_shows_originals_first():
    picture = preview(load("digits"), "gentle", seed=3, count=4, views=5)
    assert picture.size[0] > picture.size[1]
    again = preview(load("digits"), "gentle", seed=3, count=4, views=5)
    assert picture.tobytes() == again.tobytes()
