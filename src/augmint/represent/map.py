"""Features in two dimensions: principal components always, t-SNE of up to 2,000 images beside them.

places = sample(labels, few, seed=0)                      # which images, labelled and unlabelled
flat = principal(features[places])                   # float32 [n, 2]
clusters = tsne(features[places], flat, seed=0)      # float32 [n, 2], None for fewer than 10 images
"""

import numpy as np
import torch
from sklearn.manifold import TSNE
from torch import Tensor

from augmint.represent.watch import stratified
from augmint.seeding import key, permutation

POINTS = 2000
FEWEST = 10  # below, a picture of neighbourhoods means nothing
STEPS = 500  # half of scikit-learn's default: 4 s of one core for 2,000 points
PERPLEXITY = 30.0


def sample(labels: Tensor, few: Tensor, seed: int, limit: int = POINTS) -> Tensor:
    """int64, sorted: up to `limit` places of `labels` (int64 [N], -1 = unlabelled): up to half of them labelled, those
    that are also `few` (bool [N]) first and every class in turn, the others unlabelled at random; each kind takes what
    the other leaves."""
    known, rest = (torch.nonzero(mask)[:, 0] for mask in (labels >= 0, labels < 0))
    left = count = min(len(known), max(limit // 2, limit - len(rest)))
    chosen = [rest[permutation(len(rest), seed, "map/unlabelled")[: limit - count]]]
    for kind in (known[few[known]], known[~few[known]]):
        chosen.append(kind[stratified(labels[kind], left, seed, "map/labelled")])
        left -= len(chosen[-1])
    return torch.cat(chosen).sort().values


def principal(features: Tensor) -> tuple[Tensor, float]:
    """The first two principal components of [n, D] as float32 [n, 2], and the share (0 … 1) of the variance in them.

    The largest loading of each is positive, so that the picture does not flip. Zeros where there is no variance.
    """
    x = features.double() - features.double().mean(0)
    _, values, directions = torch.linalg.svd(x, full_matrices=False)
    directions = directions[:2]
    sign = directions.gather(1, directions.abs().argmax(1, keepdim=True)).sign()
    flat = torch.nn.functional.pad(x @ (directions * sign).T, (0, 2 - len(directions)))
    total = float(values.square().sum())
    return flat.float(), float(values[:2].square().sum()) / total if total > 0 else 0.0


def tsne(features: Tensor, start: Tensor, seed: int) -> Tensor | None:
    """t-SNE (van der Maaten & Hinton, JMLR 2008; Barnes-Hut) of [n, D] from the principal components `start` [n, 2].

    float32 [n, 2]; None for fewer than 10 points, or if they do not differ.
    """
    spread = float(start[:, 0].std(correction=0))
    if len(features) < FEWEST or spread < 1e-6:
        return None
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    first = (start / spread * 1e-4).numpy().astype(np.float32)
    state = key(seed, "tsne") % 2**32
    made = TSNE(2, perplexity=perplexity, init=first, max_iter=STEPS, random_state=state, n_jobs=1)
    return torch.from_numpy(made.fit_transform(features.float().numpy())).float()
