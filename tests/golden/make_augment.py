"""Makes augment.npz: what torchvision's v2 operations give, against which augmint's are tested.

    python tests/golden/make_augment.py          # in an environment with torchvision

Made with torchvision 0.29. Images are made here, small and not square, with flat parts, saturated colours, greys,
black and white. Every operation gets the same images, each image parameters of its own.
"""

import math
from pathlib import Path

import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

BILINEAR = InterpolationMode.BILINEAR
COUNT, HEIGHT, WIDTH = 6, 14, 18
ORDERS = ((0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2), (2, 0, 3, 1), (0, 3, 2, 1), (2, 1, 3, 0))


def images(generator: torch.Generator) -> torch.Tensor:
    coarse = torch.rand(COUNT, 3, 4, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bilinear")
    noise = torch.rand(COUNT, 3, HEIGHT, WIDTH, generator=generator)
    out = (255 * (0.8 * smooth + 0.2 * noise)).round()
    out[1] = out[1] * 0.3 + 90  # little contrast
    out[2] = ((out[2] - 128) * 3 + 128).clamp(0, 255)  # saturated
    out[3, :, :5] = 128  # a grey part, a black one, a white one
    out[3, :, 5:8] = 0
    out[3, :, 8:10] = 255
    return out.to(torch.uint8)


def each(function, batch: torch.Tensor, *parameters) -> np.ndarray:
    """The function on each image with its own parameters, as float32."""
    return torch.stack([function(*row) for row in zip(batch, *parameters, strict=True)]).numpy()


def main() -> None:
    generator = torch.Generator().manual_seed(4)
    raw = images(generator)
    x = raw.float() / 255

    def drawn(low: float, high: float, *shape: int) -> torch.Tensor:
        return (torch.rand(COUNT, *shape, generator=generator) * (high - low) + low).float()

    factor, turn, order = drawn(0.2, 1.9, 3), drawn(-0.5, 0.5), torch.tensor(ORDERS)
    angle, slant, scale, move = drawn(-60, 60), drawn(-0.4, 0.4, 2), drawn(0.6, 1.6), drawn(-5, 5, 2)
    threshold, bits, sigma = drawn(0.2, 1.0), torch.tensor([1, 2, 3, 4, 6, 7]), drawn(0.2, 1.5)
    box = torch.tensor([[0, 0, 14, 18], [2, 3, 7, 9], [5, 1, 9, 17], [0, 8, 14, 5], [7, 7, 1, 1], [1, 2, 10, 12]])

    def jittered(image, factors, hue, sequence):
        for kind in sequence.tolist():
            change = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)[kind]
            image = change(image, hue.item() if kind == 3 else factors[kind].item())
        return image

    def sheared(image, s):
        degrees = [math.degrees(math.atan(v)) for v in s.tolist()]
        once = tv.affine(image, 0.0, [0, 0], 1.0, [degrees[0], 0.0], interpolation=BILINEAR)
        return tv.affine(once, 0.0, [0, 0], 1.0, [0.0, degrees[1]], interpolation=BILINEAR)

    out = {
        "brightness": each(lambda i, f: tv.adjust_brightness(i, f[0].item()), x, factor),
        "contrast": each(lambda i, f: tv.adjust_contrast(i, f[1].item()), x, factor),
        "saturation": each(lambda i, f: tv.adjust_saturation(i, f[2].item()), x, factor),
        "hue": each(lambda i, h: tv.adjust_hue(i, h.item()), x, turn),
        "jitter": each(jittered, x, factor, turn, order),
        "grey": each(lambda i: tv.rgb_to_grayscale(i, 3), x),
        "invert": each(tv.invert, x),
        "solarize": each(lambda i, t: tv.solarize(i, t.item()), x, threshold),
        "posterize": each(lambda i, b: tv.posterize(i, int(b)), x, bits),
        "autocontrast": each(tv.autocontrast, x),
        "equalize": each(lambda i: tv.equalize(i).float() / 255, raw),
        "sharpness": each(lambda i, f: tv.adjust_sharpness(i, f[0].item()), x, factor),
        "horizontal_flip": each(tv.horizontal_flip, x),
        "vertical_flip": each(tv.vertical_flip, x),
        "rotation": each(lambda i, a: tv.rotate(i, a.item(), BILINEAR), x, angle),
        "scaling": each(lambda i, s: tv.affine(i, 0.0, [0, 0], s.item(), [0.0], interpolation=BILINEAR), x, scale),
        "translation": each(
            lambda i, m: tv.affine(i, 0.0, m.tolist(), 1.0, [0.0], interpolation=BILINEAR), x, move.round()
        ),
        "shear_x": each(lambda i, s: sheared(i, s * torch.tensor([1, 0])), x, slant),
        "shear_y": each(lambda i, s: sheared(i, s * torch.tensor([0, 1])), x, slant),
        "crop": each(lambda i, b: tv.resized_crop(i, *b.tolist(), [HEIGHT, WIDTH], BILINEAR, antialias=True), x, box),
        "blur": each(lambda i, s: tv.gaussian_blur(i, [5, 5], [s.item()]), x, sigma),
        "erase": each(lambda i, b, v: tv.erase(i, *b.tolist(), v[:1, None, None]), x, box, factor / 2),
    }
    inputs = {
        "images": raw,
        "factor": factor,
        "turn": turn,
        "order": order,
        "angle": angle,
        "slant": slant,
        "scale": scale,
        "move": move.round(),
        "threshold": threshold,
        "bits": bits,
        "sigma": sigma,
        "box": box,
    }
    values = {f"in_{name}": value.numpy() for name, value in inputs.items()} | {f"out_{k}": v for k, v in out.items()}
    np.savez_compressed(Path(__file__).with_name("augment.npz"), **values)


if __name__ == "__main__":
    main()
