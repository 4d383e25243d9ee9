"""How many labels something is worth: by hand, at the ends, and by simulation with a known truth."""

import math

import numpy as np
import pytest

from augmint.measure.worth import labels_worth, needed

COUNTS = [1, 4, 10, 40]


def test_between_two_counts_by_hand() -> None:
    curve = np.array([0.5, 0.7, 0.8, 0.9])
    assert needed(COUNTS, curve, 0.75) == pytest.approx((math.log(4) + math.log(10)) / 2)
    assert needed(COUNTS, curve, 0.7) == pytest.approx(math.log(4))
    assert needed(COUNTS, curve, 0.5) == 0.0 and needed(COUNTS, curve, 0.9) == pytest.approx(math.log(40))
    assert needed(COUNTS, curve, 0.49) == -math.inf and needed(COUNTS, curve, 0.91) == math.inf


def test_a_dip_in_the_curve_is_levelled_and_the_fewest_labels_count() -> None:
    assert needed(COUNTS, np.array([0.5, 0.8, 0.7, 0.9]), 0.75) == pytest.approx(math.log(4))


def test_ends_beyond_the_curve_are_not_extrapolated() -> None:
    curve = np.array([[0.5, 0.52], [0.7, 0.71], [0.8, 0.82], [0.9, 0.92]])
    above, below = labels_worth(COUNTS, curve, [0.95, 0.96]), labels_worth(COUNTS, curve, [0.2, 0.3])
    assert (above.labels, above.beyond) == (None, 1) and (below.labels, below.beyond) == (None, -1)
    near = labels_worth(COUNTS, curve, [0.905, 0.91])
    assert near.labels is not None and near.labels < 40 and near.high is None


def test_wrong_shapes_are_refused() -> None:
    for counts, curve, reached in (([1], [[0.5]], [0.5]), ([4, 1], [[0.5], [0.6]], [0.5]), ([1, 4], [[0.5]], [0.5])):
        with pytest.raises(ValueError, match="rising counts"):
            labels_worth(counts, curve, reached)


@pytest.mark.parametrize("draws", [8, 10, 20])
def test_the_interval_covers_the_truth(draws: int) -> None:
    """The curve is straight over the logarithm; draws are lucky for both arms alike, each has noise of its own."""
    generator = np.random.default_rng(draws)
    truth, rounds, covered = math.log(7), 1000, 0
    level = 0.5 + 0.1 * np.log(COUNTS)
    for _ in range(rounds):
        luck = generator.normal(0, 0.02, draws)
        curve = level[:, None] + luck * 0.7 + generator.normal(0, 0.01, (4, draws))
        reached = 0.5 + 0.1 * truth + luck * 0.7 + generator.normal(0, 0.01, draws)
        found = labels_worth(COUNTS, curve, reached)
        low, high = (math.log(v) if v is not None else None for v in (found.low, found.high))
        covered += found.beyond == 0 and (low is None or low <= truth) and (high is None or truth <= high)
    assert abs(covered / rounds - 0.95) < 3 * math.sqrt(0.95 * 0.05 / rounds) + 0.005
