"""Scores that are arrays, and means over cases: what a trial of networks records, an entry for each epoch."""

import numpy as np

from csi_utils import trials


def climbs(data, number):
    return {"there": data + np.arange(6.0).reshape(3, 2), "back": np.full((3, 2), 10.0 * data)}


def stays(data, number):
    return {"there": np.zeros((3, 2)), "back": np.ones((3, 2))}


def scores(better="higher"):
    return trials.run({"climbs": climbs, "stays": stays}, lambda number: float(number - 3000), 3, 2, better, jobs=1)


def test_one_entry_of_every_array():
    last = scores().at(-1, 0)
    np.testing.assert_array_equal(last["climbs", "there"], [4, 5, 6])
    np.testing.assert_array_equal(scores().at(-1)["climbs", "there"], [[4, 5], [5, 6], [6, 7]])
    assert last.methods == ["climbs", "stays"] and last.cases == ["there", "back"]


def test_without_a_case_means_and_gains_are_over_all_of_them_repeat_by_repeat():
    last = scores().at(-1, 0)
    np.testing.assert_allclose(last.mean("climbs").values, [2, 7.5, 13])
    np.testing.assert_allclose(last.gain("climbs", over="stays").values, [1.5, 7, 12.5])
    np.testing.assert_allclose(last.gain("climbs", over="stays", case="back").values, [-1, 9, 19])
    np.testing.assert_allclose(scores("lower").at(-1, 0).gain("climbs", over="stays").values, [-1.5, -7, -12.5])


def test_an_array_that_is_not_cut_gives_its_mean():
    np.testing.assert_allclose(scores().mean("climbs", "there").values, [2.5, 3.5, 4.5])
