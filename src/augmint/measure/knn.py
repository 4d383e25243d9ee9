"""Exact nearest neighbours in feature space, chunked, and the accuracy of voting by them.

    distances, rows = nearest(queries, bank, k=5)              # float [Q, 5], int64 [Q, 5], nearest first
    accuracy = knn_accuracy(bank, bank_labels, queries, labels)

No index structure: below a million rows one matrix product and a two-step selection are faster than
building one, and exact. Works on the device where the features are.
"""

import torch
from torch import Tensor

from augmint.errors import InputError

CELLS = 2**24  # cells of the block of distances held at once: 64 MiB in float32
GROUPS = 64  # a row of distances is searched in groups of this many cells
SPARE = 8  # candidates beyond k that are measured again without rounding


def _check(queries: Tensor, bank: Tensor, k: int, exclude_self: bool) -> None:
    if queries.ndim != 2 or bank.ndim != 2 or queries.shape[1] != bank.shape[1]:
        raise InputError(
            f"nearest neighbours need queries [Q, D] and a bank [N, D], not {list(queries.shape)} and "
            f"{list(bank.shape)}; flatten the features first"
        )
    there = len(bank) - exclude_self
    if not 1 <= k <= there:
        raise InputError(f"asked for {k} neighbours among {there} rows; ask for 1 to {there}")
    if exclude_self and len(queries) != len(bank):
        raise InputError("exclude_self needs queries that are the bank itself, row by row")


def _smallest(scores: Tensor, k: int) -> Tensor:
    """int64 [Q, k]: columns of the k smallest scores of each row, in any order.

    The k smallest lie in the k groups with the smallest minima, so only those are looked at: a
    vectorised minimum over all cells, then a selection among few. Ten times topk on long rows.
    """
    count, width = scores.shape
    groups = width // GROUPS
    if groups <= k:
        return scores.topk(k, largest=False, sorted=False).indices
    body = scores[:, : groups * GROUPS].view(count, GROUPS, groups)  # column = cell * groups + group
    chosen = body.amin(1).topk(k, largest=False, sorted=False).indices  # [Q, k]
    offsets = torch.arange(GROUPS, device=scores.device) * groups
    columns = (chosen[:, :, None] + offsets).flatten(1)
    rest = torch.arange(groups * GROUPS, width, device=scores.device).expand(count, -1)
    columns = torch.cat([columns, rest], 1)
    return columns.gather(1, scores.gather(1, columns).topk(k, largest=False, sorted=False).indices)


def _measure(queries: Tensor, bank: Tensor, columns: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest of the candidate columns by direct differences, which do not cancel for near copies."""
    columns = columns.sort(1).values  # with the stable sort below: equal distances by row of the bank
    distances = torch.empty(columns.shape, dtype=queries.dtype, device=queries.device)
    for part in range(columns.shape[1]):
        distances[:, part] = (bank[columns[:, part]] - queries).square().sum(1).sqrt()
    distances, order = distances.sort(dim=1, stable=True)
    return distances[:, :k], columns.gather(1, order)[:, :k]


def nearest(
    queries: Tensor, bank: Tensor, k: int, exclude_self: bool = False, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """The k nearest rows of `bank` [N, D] to each of `queries` [Q, D], Euclidean and exact.

    Returns distances [Q, k] and int64 rows [Q, k], nearest first; equal distances by row.
    `exclude_self`: the queries are the bank, and no row is its own neighbour. `chunk` queries are
    compared at a time (default: so many that a block takes 64 MiB). InputError if shapes do not fit.
    """
    _check(queries, bank, k, exclude_self)
    real = torch.promote_types(torch.promote_types(queries.dtype, bank.dtype), torch.float32)
    centre = bank.to(real).mean(0)  # shorter vectors, less rounding
    bank, queries = bank.to(real) - centre, queries.to(real) - centre
    squares = bank.square().sum(1)[None]
    chunk = chunk or max(16, CELLS // len(bank))
    candidates = min(k + SPARE, len(bank) - exclude_self)
    block = torch.empty((min(chunk, max(len(queries), 1)), len(bank)), dtype=real, device=bank.device)
    found = []
    with torch.no_grad(), torch.autocast(bank.device.type, enabled=False):
        for start in range(0, len(queries), chunk):
            part = queries[start : start + chunk]
            scores = torch.addmm(squares, part, bank.T, alpha=-2, out=block[: len(part)])
            if exclude_self:
                own = torch.arange(len(part), device=bank.device)
                scores[own, own + start] = torch.inf
            found.append(_measure(part, bank, _smallest(scores, candidates), k))
    if not found:
        return queries.new_empty(0, k), torch.empty((0, k), dtype=torch.int64, device=bank.device)
    return torch.cat([d for d, _ in found]), torch.cat([rows for _, rows in found])


def knn_accuracy(bank: Tensor, bank_labels: Tensor, queries: Tensor, labels: Tensor, k: int = 5) -> float:
    """Share (0 … 1) of `queries` [Q, D] whose label the majority of their k nearest in `bank` has.

    Labels are int64, 0 … K - 1; a tied vote goes to the lower class, as in scikit-learn.
    """
    _, rows = nearest(queries, bank, min(k, len(bank)))
    classes = int(torch.cat([bank_labels, labels]).max()) + 1
    votes = torch.zeros((len(queries), classes), device=queries.device)
    votes.scatter_add_(1, bank_labels.to(queries.device)[rows], torch.ones_like(rows, dtype=votes.dtype))
    return float((votes.argmax(1) == labels.to(queries.device)).float().mean())
