"""Plain rivals of the feature generator: what needs no network.

    more, labels = gaussian_features(features, labels, per_class=20, seed=0, classes=10)
    more, labels = smote_features(features, labels, per_class=20, seed=0, classes=10)
    more, soft = mixup_features(features, labels, count=200, seed=0, classes=10)
    rows, labels = real_neighbours(features, labelled_rows, labels, each=5)
    rows, labels = real_walks(near, labelled_rows, labels, each=80, hops=16, seed=0)

Features are float [N, D]; made ones are float32 on the CPU.
"""

import numpy as np
import torch
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import Tensor

from augmint import seeding
from augmint.errors import InputError
from augmint.generate.pairs import wander
from augmint.measure.knn import nearest
from augmint.seeding import Draws

CHUNK = 4000  # features drawn at a time: each needs a number for every row that the covariance is taken from


def gaussian_features(
    features: Tensor, labels: Tensor, per_class: int, seed: int, classes: int
) -> tuple[Tensor, Tensor]:
    """`per_class` draws from one Gaussian per class: float32 [M, D] and int64 [M].

    Means are those of the labelled rows of `features` [N, D]; the covariance is shared, shrunk (Ledoit & Wolf,
    2004), and taken over all rows about the mean of all in their class; an unlabelled row (label -1) belongs to the
    nearest labelled mean. After "distribution calibration" (Yang et al., ICLR 2021), which borrows its covariance
    from classes with many images. Classes without a label get none. InputError if nothing is labelled.
    """
    rows = features.double().cpu().numpy()
    known = labels.cpu().numpy()
    present = np.flatnonzero(np.bincount(known[known >= 0], minlength=classes))
    if len(present) == 0:
        raise InputError("no label among the features; Gaussian features need at least one")
    means = np.stack([rows[known == c].mean(0) for c in present])
    to_mean = ((rows**2).sum(1)[:, None] - 2 * rows @ means.T + (means**2).sum(1)).argmin(1)
    of = np.where(known >= 0, np.searchsorted(present, known), to_mean)
    rests = rows - np.stack([rows[of == c].mean(0) for c in range(len(present))])[of]
    shrunk = ledoit_wolf_shrinkage(rests, assume_centered=True)
    # mixtures of the rests have their covariance; what is shrunk is noise of their mean variance
    random = seeding.generator(seed, "gaussian-features")
    spread, noise = np.sqrt((1 - shrunk) / len(rests)), np.sqrt(shrunk * (rests**2).mean())
    parts = np.array_split(np.repeat(means, per_class, 0), -(-len(present) * per_class // CHUNK))
    for part in parts:
        part += random.standard_normal((len(part), len(rests))) @ rests * spread
    for part in parts:
        part += random.standard_normal(part.shape) * noise
    made = torch.cat([torch.from_numpy(part).float() for part in parts])
    return made, torch.from_numpy(np.repeat(present, per_class))


def smote_features(
    features: Tensor, labels: Tensor, per_class: int, seed: int, classes: int, k: int = 5
) -> tuple[Tensor, Tensor]:
    """`per_class` points of each class on lines between a labelled row and one of its k nearest of the same class
    (Chawla et al., "SMOTE", JAIR 2002): float32 [M, D] and int64 [M].

    A class with a single label gives that row again. `labels` int64 [N], −1 = unlabelled. InputError if nothing is
    labelled.
    """
    known, rows, made = labels.cpu(), features.float().cpu(), []
    present = [c for c in range(classes) if bool((known == c).any())]
    if not present:
        raise InputError("no label among the features; SMOTE needs at least one")
    for c in present:
        own, random = rows[known == c], seeding.generator(seed, "smote", c)
        start = torch.from_numpy(random.integers(len(own), size=per_class))
        if len(own) == 1:
            made.append(own[start])
            continue
        near = nearest(own, own, min(k, len(own) - 1), exclude_self=True)[1]
        end = near[start, torch.from_numpy(random.integers(near.shape[1], size=per_class))]
        way = torch.from_numpy(random.random((per_class, 1), dtype=np.float32))
        made.append(own[start] + way * (own[end] - own[start]))
    return torch.cat(made), torch.tensor(present).repeat_interleave(per_class)


def mixup_features(
    features: Tensor, labels: Tensor, count: int, seed: int, classes: int, alpha: float = 0.2
) -> tuple[Tensor, Tensor]:
    """`count` mixtures λ h + (1 − λ) h′ of labelled rows, λ ~ Beta(α, α), with the labels mixed alike: float32 [M, D]
    and soft float32 [M, classes] (Verma et al., "Manifold mixup", ICML 2019, on the last features). InputError if
    nothing is labelled."""
    own = torch.nonzero(labels.cpu() >= 0)[:, 0]
    if len(own) == 0:
        raise InputError("no label among the features; mixup needs at least one")
    random = seeding.generator(seed, "mixup-features")
    one, two = (own[torch.from_numpy(random.integers(len(own), size=count))] for _ in range(2))
    share = torch.from_numpy(random.beta(alpha, alpha, size=(count, 1))).float()
    rows, soft = features.float().cpu(), torch.nn.functional.one_hot(labels.cpu().clamp(min=0), classes).float()
    return share * rows[one] + (1 - share) * rows[two], share * soft[one] + (1 - share) * soft[two]


def real_neighbours(
    features: Tensor, rows: Tensor, labels: Tensor, each: int, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Real rows that inherit the label of a labelled one: int64 [M] rows of `features` [N, D] and int64 [M] labels.

    `rows` int64 [P] are labelled `labels` [P]; each gives its label to its `each` nearest others that may be used
    (`allowed` bool [N]; never a labelled one). A row claimed by several goes to the nearest of them.
    """
    free = torch.ones(len(features), dtype=torch.bool) if allowed is None else allowed.clone()
    free[rows] = False
    bank = torch.nonzero(free)[:, 0]
    if len(bank) == 0 or len(rows) == 0:
        return rows[:0], labels[:0]
    distances, found = nearest(features[rows].float(), features[bank].float(), min(each, len(bank)))
    order = distances.flatten().argsort(stable=True)
    places, given = found.flatten()[order], labels.repeat_interleave(found.shape[1])[order]
    first = torch.full((len(bank),), len(places)).scatter_reduce(0, places, torch.arange(len(places)), "amin")
    claimed = torch.nonzero(first < len(places))[:, 0]
    return bank[claimed], given[first[claimed]]


def real_walks(
    near: Tensor, rows: Tensor, labels: Tensor, each: int, hops: int, seed: int, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Real rows where walks over the graph end, with the label that each began at: int64 [M] and int64 [M].

    `rows` int64 [P] are labelled `labels` [P]; from each start `each` walks of `hops` steps to a random one of `near`
    int64 [N, k]. Ends that may not be used (`allowed` bool [N]) or are labelled themselves are left out; a row where
    several walks end counts for each.
    """
    free = torch.ones(len(near), dtype=torch.bool) if allowed is None else allowed.clone()
    free[rows] = False
    start, given = rows.repeat(each), labels.repeat(each)
    ends = wander(near, start, hops, Draws(seed, "real-walks", 0, torch.arange(len(start))))
    return ends[free[ends]], given[free[ends]]
