"""The definitions of notebook 09 on inputs that the notebook does not show, against closed forms."""

import numpy as np
import pytest
from notebook_code import definitions

nb = definitions("09_crowd_counting")
nb.size = {"visits": 20_000}


def test_the_error_of_estimates_is_their_root_mean_square():
    assert nb.error(nb.TRUTH + np.array([3.0, -4.0])) == pytest.approx(np.sqrt(12.5))


def test_the_mean_of_independent_readings_follows_equation_2():
    errors = nb.mean_of_first(nb.draw(7), 7)
    expected = 1 / np.sqrt(nb.READINGS)
    np.testing.assert_allclose(list(errors.values()), expected, rtol=0.03)


def test_the_newest_reading_alone_gains_nothing():
    errors = nb.newest_alone(nb.draw(7), 7)
    np.testing.assert_allclose(list(errors.values()), 1, rtol=0.03)


def test_no_mean_removes_a_common_offset():
    errors = nb.mean_of_first(nb.draw_with_offset(7), 7)
    assert errors[64] == pytest.approx(np.sqrt(0.5**2 + 1 / 64), rel=0.03)
