import numpy as np
import pytest
import torch

from augmint.errors import UsageError
from augmint.generate import losses

REAL = np.array([0.3, -1.2, 2.1, 0.9, -0.4])
FAKE = np.array([-0.7, 1.5, 0.2])
WRONG = np.array([0.8, -0.1, 1.1, -2.0])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def oracle_d(name, real, fake, delta):
    if name == "adversarial":
        return -np.mean(np.log(sigmoid(real))) - np.mean(np.log(1 - sigmoid(fake)))
    if name == "hinge":
        return np.mean([max(0, 1 - r) for r in real]) + np.mean([max(0, 1 + f) for f in fake])
    if name == "margin":
        return np.mean([max(0, 1 - r + f - delta) for r in real for f in fake])
    return -np.mean([np.log(sigmoid(r - f)) for r in real for f in fake])


def oracle_g(name, real, fake, delta):
    if name == "adversarial":
        return -np.mean(np.log(sigmoid(fake)))
    if name == "hinge":
        return -np.mean(fake)
    return oracle_d(name, fake, real, delta)


@pytest.mark.parametrize("name", losses.LOSSES)
@pytest.mark.parametrize("delta", [0.0, 0.4])
def test_losses_agree_with_the_oracle(name, delta):
    real, fake, wrong = (torch.tensor(x) for x in (REAL, FAKE, WRONG))
    assert losses.d_loss(name, real, fake, delta=delta).item() == pytest.approx(oracle_d(name, REAL, FAKE, delta))
    both = (oracle_d(name, REAL, FAKE, delta) + oracle_d(name, REAL, WRONG, delta)) / 2
    assert losses.d_loss(name, real, fake, wrong, delta).item() == pytest.approx(both)
    assert losses.g_loss(name, fake, real, delta).item() == pytest.approx(oracle_g(name, REAL, FAKE, delta))


@pytest.mark.parametrize("name", losses.LOSSES)
def test_signs_of_the_gradients(name):
    """D is pushed up on real and down on generated and mismatched; G up on generated."""
    real, fake, wrong = (torch.tensor(x * 0.1, requires_grad=True) for x in (REAL, FAKE, WRONG))
    losses.d_loss(name, real, fake, wrong).backward()
    assert (real.grad < 0).all() and (fake.grad > 0).all() and (wrong.grad > 0).all()
    made = torch.tensor(FAKE * 0.1, requires_grad=True)
    losses.g_loss(name, made, torch.tensor(REAL * 0.1)).backward()
    assert (made.grad < 0).all()


@pytest.mark.parametrize("name", losses.LOSSES)
def test_losses_stay_finite_far_out(name):
    far = torch.tensor([1e4, -1e4])
    assert torch.isfinite(losses.d_loss(name, far, far)) and torch.isfinite(losses.g_loss(name, far, far))


def test_log_score_is_the_literal_reading():
    fake = torch.tensor(FAKE, requires_grad=True)
    score = losses.log_score(fake)
    assert score.item() == pytest.approx(np.mean(np.log(sigmoid(FAKE))))
    score.backward()
    assert (fake.grad > 0).all()


def test_steepness_of_a_quadratic():
    """D(x) = xᵀ A x has the slope (A + Aᵀ) x."""
    rng = np.random.default_rng(0)
    a, x = rng.normal(size=(4, 4)), rng.normal(size=(6, 4))
    inputs = torch.tensor(x, dtype=torch.float32, requires_grad=True)
    weights = torch.tensor(a, dtype=torch.float32, requires_grad=True)
    (slopes,) = torch.autograd.grad((((inputs @ weights) * inputs).sum(1)).sum(), inputs, create_graph=True)
    penalty = losses.steepness(slopes)
    assert penalty.item() == pytest.approx(0.5 * np.mean(np.sum((x @ (a + a.T)) ** 2, 1)), rel=1e-5)
    penalty.backward()
    assert weights.grad.abs().sum() > 0


def test_diversity_ends_where_real_neighbours_are():
    one, other = torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    other[0] = 0.1
    wanted = torch.tensor(0.2)
    assert losses.diversity(one, other, wanted).item() == pytest.approx((0.5 + 1.0) / 2)
    assert losses.diversity(one, other + 0.3, wanted).item() == 0


def test_divergence_of_normals():
    mean, log_variance = np.array([[0.5, -1.0]]), np.array([[0.2, -0.7]])
    wanted = np.mean(0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1))
    assert losses.divergence(torch.tensor(mean), torch.tensor(log_variance)).item() == pytest.approx(wanted)


def test_unknown_loss_lists_the_names():
    with pytest.raises(UsageError, match="adversarial, margin, hinge, relativistic"):
        losses.d_loss("wgan", torch.zeros(1), torch.zeros(1))
