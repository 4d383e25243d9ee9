"""Golden labels of graphlearning's PoissonMBO: python tests/golden/make_volume.py

Needs graphlearning (requirements/peers.txt). Three overlapping blobs of unequal size, two labels each.
"""

from pathlib import Path

import graphlearning
import numpy as np
from scipy import sparse
from sklearn.datasets import make_blobs
from sklearn.neighbors import kneighbors_graph

SIZES = (60, 120, 220)


def main() -> None:
    x, y = make_blobs(SIZES, 6, centers=None, cluster_std=6.0, random_state=3)
    near = kneighbors_graph(x, 8, mode="distance").tocsr()
    scale = near.max(axis=1).toarray().ravel()[np.repeat(np.arange(len(y)), 8)]
    near.data = np.exp(-4 * near.data**2 / scale**2)
    graph = sparse.csr_matrix((near + near.T) / 2)
    rows = np.concatenate([np.flatnonzero(y == c)[:2] for c in range(3)])
    prior = np.array(SIZES) / sum(SIZES)
    model = graphlearning.ssl.poisson_mbo(graph, prior)
    labels = model.fit_predict(rows, y[rows])
    plain = graphlearning.ssl.poisson(graph).fit_predict(rows, y[rows])
    print("accuracy: plain", (plain == y).mean(), "volume-constrained", (labels == y).mean(), np.bincount(labels))
    np.savez_compressed(
        Path(__file__).parent / "volume.npz",
        x=x,
        data=graph.data,
        indices=graph.indices,
        indptr=graph.indptr,
        rows=rows,
        y=y,
        plain=plain,
        labels=labels,
    )


if __name__ == "__main__":
    main()
