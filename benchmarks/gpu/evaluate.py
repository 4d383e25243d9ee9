"""What a frozen encoder is worth with all labels: nearest neighbours and a linear layer.

features = embed(network, images, compute)                          # float32 [N, D] on the device, length 1
scores = neighbours(bank, bank_labels, queries, labels)              # {"knn5": 0.90, "knn200": 0.89}
accuracy = linear(network, images, labels, judged, judged_labels, compute, epochs=60)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augmint.augment.batches import random_boxes
from augmint.augment.geometry import crop
from augmint.measure.knn import knn_accuracy
from augmint.represent.optimise import warm_cosine
from augmint.seeding import Draws
from augmint.train import Compute, set_rate
from augmint.train.loop import Rows

TEMPERATURE = 0.1  # of the weighted vote
BATCH = 1024
RATE = 1.0  # of the linear layer at a batch of 256


def _hidden(network: nn.Module, images: Tensor, compute: Compute) -> Tensor:
    with torch.no_grad(), compute.autocast():
        found: Tensor = network(images)
    return found.float()


def embed(network: nn.Module, images: Tensor, compute: Compute) -> Tensor:
    """Features of uint8 images [N, C, H, W]; the network takes floats 0 … 1."""
    network.eval()
    parts = [_hidden(network, part.to(compute.device).float() / 255, compute) for part in images.split(BATCH)]
    return F.normalize(torch.cat(parts), dim=1)


def weighted_vote(bank: Tensor, bank_labels: Tensor, queries: Tensor, labels: Tensor, k: int) -> float:
    """Accuracy of k neighbours whose votes weigh exp(cos / 0.1) (Wu et al., CVPR 2018, section 3.4)."""
    right, classes, k = 0, int(bank_labels.max()) + 1, min(k, len(bank))
    for part, wanted in zip(queries.split(BATCH), labels.split(BATCH), strict=True):
        cosines, rows = (part @ bank.T).topk(k, dim=1)
        votes = torch.zeros(len(part), classes, device=part.device)
        votes.scatter_add_(1, bank_labels[rows], (cosines / TEMPERATURE).exp())
        right += int((votes.argmax(1) == wanted).sum())
    return right / len(queries)


def neighbours(bank: Tensor, bank_labels: Tensor, queries: Tensor, labels: Tensor) -> dict[str, float]:
    """Majority of 5 neighbours, weighted vote of 200."""
    bank_labels, labels = bank_labels.to(bank.device), labels.to(bank.device)
    return {
        "knn5": knn_accuracy(bank, bank_labels, queries, labels, 5),
        "knn200": weighted_vote(bank, bank_labels, queries, labels, 200),
    }


def linear(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    judged: Tensor,
    judged_labels: Tensor,
    compute: Compute,
    epochs: int,
    batch: int = BATCH,
) -> float:
    """Accuracy of a linear layer on the frozen network, trained on crops (0.2 to 1) and flips, judged on whole images.

    SGD with Nesterov momentum 0.9, cosine from 1.0 · batch / 256, no weight decay; the last weights count.
    """
    device, batch = compute.device, min(batch, len(images))
    images, labels = images.to(device), labels.to(device)
    network.eval()
    size = _hidden(network, images[:2].float() / 255, compute).shape[1]
    layer = nn.Linear(size, int(labels.max()) + 1).to(device)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    rate = RATE * batch / 256
    optimiser = torch.optim.SGD(layer.parameters(), rate, momentum=0.9, nesterov=True)
    rows, steps = Rows(len(images), 0, "linear", device), epochs * (len(images) // batch)
    for step in range(steps):
        set_rate(optimiser, rate * warm_cosine(step / steps, 0.0))
        chosen = rows.at(step, batch)
        unit = Draws(0, "linear", step, chosen).uniform("crop", 5)
        views = images[chosen].float() / 255
        views = crop(views, random_boxes(unit, (0.2, 1.0), 4 / 3, *views.shape[2:]), unit[:, 4] < 0.5)
        optimiser.zero_grad()
        torch.autograd.backward(F.cross_entropy(layer(_hidden(network, views, compute)), labels[chosen]))
        optimiser.step()
    right = 0
    for part, wanted in zip(judged.split(BATCH), judged_labels.split(BATCH), strict=True):
        answers = layer(_hidden(network, part.to(device).float() / 255, compute)).argmax(1)
        right += int((answers == wanted.to(device)).sum())
    return right / len(judged)
