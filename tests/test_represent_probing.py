import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from augmint.represent.probing import leave_one_out, probe


@pytest.mark.parametrize("k", [1, 5])
def test_leave_one_out_equals_scikit_learn(k: int) -> None:
    x, y = make_blobs(90, 5, centers=4, cluster_std=6.0, random_state=0)
    want = cross_val_score(KNeighborsClassifier(k), x, y, cv=LeaveOneOut()).mean()
    assert leave_one_out(torch.from_numpy(x), torch.from_numpy(y), k) == pytest.approx(want, abs=0.02)


def test_probe_equals_scikit_learn() -> None:
    x, y = make_blobs(300, 5, centers=4, cluster_std=5.0, random_state=1)
    a, b = torch.from_numpy(x).float(), torch.from_numpy(y).long()
    found = probe(a[:100], b[:100], a[100:], b[100:])
    assert found["knn"] == pytest.approx(
        KNeighborsClassifier(5).fit(x[:100], y[:100]).score(x[100:], y[100:]), abs=0.01
    )
    assert found["judged"] == 200 and probe(a[:100], b[:100])["judged"] == 100
