"""Images made worse: each kind against numpy, draws that stay the same, and what the report says of stored logits."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter1d

from augmint.augment.corruptions import KINDS, STRENGTHS, corrupt
from augmint.judge import robust
from augmint.report.robustness import robustness
from augmint.seeding import Draws

IMAGES = torch.randint(0, 256, (6, 3, 24, 24), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
SMOOTH = torch.linspace(40, 200, 24).expand(6, 1, 24, 24).round().to(torch.uint8)


def draws(rows: torch.Tensor) -> Draws:
    return Draws(7, "corrupt", 0, rows)


@pytest.mark.parametrize("images", [IMAGES, SMOOTH], ids=["colour", "grey"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_made_worse_in_its_own_way_whoever_is_beside_it(kind: str, images: torch.Tensor) -> None:
    rows = torch.tensor([5, 9, 2, 7, 1, 0])
    for strength in range(1, STRENGTHS + 1):
        all_ = corrupt(images, kind, strength, draws(rows))
        assert all_.shape == images.shape and all_.dtype == torch.uint8
        assert torch.equal(all_[2:4], corrupt(images[2:4], kind, strength, draws(rows[2:4])))


@pytest.mark.parametrize("kind", KINDS)
def test_every_strength_takes_more_away(kind: str) -> None:
    images = IMAGES if kind in ("blur", "contrast") else SMOOTH
    lost = [
        float((corrupt(images, kind, s, draws(torch.arange(6))).float() - images.float()).abs().mean())
        for s in range(1, STRENGTHS + 1)
    ]
    assert lost == sorted(lost) and lost[0] > 0


def test_noise_has_its_standard_deviation_and_one_pattern() -> None:
    flat = torch.full((4, 1, 64, 64), 128, dtype=torch.uint8)
    found = [corrupt(flat, "noise", s, draws(torch.arange(4))).float() / 255 - 128 / 255 for s in (1, 3)]
    sizes = KINDS["noise"][1]
    for seen, sigma in zip(found, (sizes[0], sizes[2]), strict=True):
        assert abs(float(seen.std()) / sigma - 1) < 0.05
    correlation = np.corrcoef(found[0].flatten(), found[1].flatten())[0, 1]
    assert correlation > 0.98


def test_contrast_is_reduced_about_the_mean_as_numpy_does() -> None:
    got = corrupt(SMOOTH, "contrast", 3, draws(torch.arange(6))).numpy().astype(float)
    x = SMOOTH.numpy().astype(float)
    mean = x.mean((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(got, mean + KINDS["contrast"][1][2] * (x - mean), atol=1.01)


def test_blur_is_a_gaussian_of_that_width() -> None:
    got = corrupt(IMAGES, "blur", 5, draws(torch.arange(6))).numpy().astype(float)
    sigma = 0.25 + KINDS["blur"][1][4] * 24
    want = IMAGES.numpy().astype(float)
    for axis in (2, 3):
        want = gaussian_filter1d(want, sigma, axis, mode="mirror", radius=int(np.ceil(3 * sigma)))
    np.testing.assert_allclose(got[:, :, 6:-6, 6:-6], want[:, :, 6:-6, 6:-6], atol=1.5)


def test_defects_wipe_out_a_patch_of_that_area() -> None:
    flat = torch.zeros(40, 1, 32, 32, dtype=torch.uint8)
    flat[:] = torch.arange(0, 256, 8, dtype=torch.uint8)[None, None, :, None]
    worse = corrupt(flat, "defects", 5, draws(torch.arange(40)))
    changed = (worse != flat).float().mean((1, 2, 3))
    area = KINDS["defects"][1][4]
    assert area * 0.7 < float(changed.median()) < 3 * area
    assert float((worse == 255).float().mean()) > 0 and float((worse == 0).float().mean()) > float(
        (flat == 0).float().mean()
    )


def test_the_chosen_images_are_the_same_for_all_and_at_most_so_many() -> None:
    test = torch.arange(100, 400)
    rows = robust.chosen(test, 50, 3)
    assert torch.equal(rows, robust.chosen(test, 50, 3)) and len(set(rows.tolist())) == 50
    assert bool(torch.isin(rows, test).all()) and torch.equal(rows, rows.sort().values)
    assert torch.equal(robust.chosen(test, 1000, 3), test)
    assert not torch.equal(robust.chosen(test, 50, 4), rows)


# --- what the report says ---------------------------------------------------------------------------------


def stored(folder: Path) -> Any:
    """Two draws of one arm on six images, of which four were made worse; a third draw was not tested on them."""
    labels = np.array([0, 1, 0, 1, 0, 1])
    all_rows, rows = np.array([3, 1, 0, 5, 4, 2]), torch.tensor([1, 2, 4, 5])
    trials, clean = [], np.eye(2, dtype=np.float32)[labels[all_rows]]
    for draw in range(3):
        name = f"draw-0{draw}-encoder.safetensors"
        trials.append({"arm": "encoder", "logits": f"trials/{name}", "accuracy": 1.0})
        if draw < 2:
            right = torch.eye(2)[torch.from_numpy(labels)[rows]]
            wrong = right.flip(1)
            noise = torch.stack([right, wrong if draw else right])  # draw 1 fails altogether at strength 2
            blur = torch.stack([right, torch.cat([right[:3], wrong[3:]])])
            (folder / "robust").mkdir(exist_ok=True)
            save_file({"noise": noise, "blur": blur, "rows": rows}, folder / "robust" / name)
    return SimpleNamespace(folder=folder, counted=trials, labels=labels, logits=lambda trial: (clean, all_rows))


def test_robustness_from_stored_logits_by_hand(tmp_path: Path) -> None:
    found = robustness(stored(tmp_path))
    arm = found["arms"]["encoder"]
    assert found["images"] == [4] and found["units"] == 2
    assert arm["kinds"] == {"noise": [1.0, 0.5], "blur": [1.0, 0.75]} and arm["clean"] == 1.0
    means = [(1 + 1 + 1 + 0.75) / 4, (1 + 0 + 1 + 0.75) / 4]
    assert arm["mean"] == pytest.approx(np.mean(means)) and arm["std"] == pytest.approx(np.std(means, ddof=1))
    assert arm["worst"] == 0.5 and arm["worst_at"] == ["noise", 2]


def test_an_arm_that_counts_beside_every_encoder_is_tested_once(tmp_path: Path) -> None:
    evidence = stored(tmp_path)
    want = robustness(evidence)
    evidence.counted = evidence.counted + [{**trial, "encoder_seed": 1} for trial in evidence.counted]
    assert robustness(evidence) == want


def test_a_damaged_file_or_one_of_other_images_counts_as_not_there(tmp_path: Path) -> None:
    evidence = stored(tmp_path)
    (tmp_path / "robust" / "draw-00-encoder.safetensors").write_bytes(b"broken")
    assert robustness(evidence)["units"] == 1
    save_file(
        {"noise": torch.zeros(2, 1, 2), "rows": torch.tensor([99])},
        tmp_path / "robust" / "draw-01-encoder.safetensors",
    )
    evidence.labels = np.zeros(100, dtype=np.int64)
    assert robustness(evidence) == {}
