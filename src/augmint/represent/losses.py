"""Contrastive losses as pure functions.

loss = nt_xent(first, second, temperature=0.2)    # projections of two views, [N, D] each
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross-entropy (Chen et al., SimCLR, ICML 2020, equation 1), a scalar.

    `first` and `second` are projections [N, D] of two views of the same N images. Row i of one has row i
    of the other as its positive and the remaining 2N − 2 rows as negatives; the mean is over all 2N
    anchors. Computed in float32 whatever the precision around it.
    """
    with torch.autocast(first.device.type, enabled=False):
        z = F.normalize(torch.cat([first, second]).float(), dim=1)
        logits = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
        count = len(first)
        positive = torch.arange(2 * count, device=z.device).roll(count)
        return F.cross_entropy(logits, positive)
