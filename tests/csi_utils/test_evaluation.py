import numpy as np
import pytest
from scipy import stats

from csi_utils import evaluation


def test_the_interval_is_students():
    values = np.random.default_rng(0).standard_normal((6, 2))
    low, high = stats.t.interval(0.95, 5, values.mean(0), stats.sem(values, 0))
    np.testing.assert_allclose(evaluation.interval(values), (high - low) / 2)


def test_one_repeat_has_no_interval():
    with pytest.raises(ValueError, match="two repeats or more, got 1"):
        evaluation.interval([1.0])


def test_distance_and_text():
    np.testing.assert_allclose(evaluation.distance([[3, 4], [0, 0]], np.zeros((2, 2))), [5, 0])
    assert evaluation.shown([1.0, 1.0]) == "1.00 ± 0.00 m"
