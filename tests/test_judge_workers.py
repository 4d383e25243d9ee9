import os
from pathlib import Path

import pytest
import torch

from augmint.errors import InputError
from augmint.judge.workers import over_cores


def train(path: Path) -> None:
    """A training step whose result is written where it can be compared."""
    number = int(path.name)
    x = torch.randn(64, 32, generator=torch.Generator().manual_seed(number)).requires_grad_()
    (x @ x.T).square().sum().backward()
    torch.save(x.grad, path)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_result_does_not_depend_on_the_number_of_workers(tmp_path: Path, workers: int) -> None:
    told: list[int] = []
    over_cores(train, [tmp_path / str(i) for i in range(5)], workers, lambda: told.append(1))
    for i in range(5):
        x = torch.randn(64, 32, generator=torch.Generator().manual_seed(i)).requires_grad_()
        (x @ x.T).square().sum().backward()
        assert torch.equal(torch.load(tmp_path / str(i), weights_only=True), x.grad)
    assert told


def test_errors_of_the_work_come_through_and_stop_the_rest(tmp_path: Path) -> None:
    def work(item: int) -> None:
        if item == 1:
            raise InputError("no such image")
        (tmp_path / str(item)).write_text("done")

    with pytest.raises(InputError, match="no such image"):
        over_cores(work, list(range(4)), 2, lambda: None)


def test_a_killed_worker_is_a_clear_error() -> None:
    with pytest.raises(InputError, match="killed"):
        over_cores(lambda _: os._exit(9), [0, 1], 2, lambda: None)
