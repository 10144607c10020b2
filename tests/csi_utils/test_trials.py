"""Methods side by side on the same data: paired gains and their intervals are those of scipy's paired t-test."""

import numpy as np
import pytest
from scipy import stats

from csi_utils import trials


def draw(number):
    return np.random.default_rng(number).normal(3.0, 1.0, 40)


def mean_of(data, number):
    return data.mean()


def median_of(data, number):
    return float(np.median(data))


METHODS = {"mean": mean_of, "median": median_of}


@pytest.mark.parametrize(("better", "sign"), [("higher", 1), ("lower", -1)])
def test_a_gain_is_that_of_the_paired_t_test(better, sign):
    scores = trials.run(METHODS, draw, repeats=6, better=better, jobs=1)
    test = stats.ttest_rel(scores["mean"], scores["median"])
    low, high = test.confidence_interval(0.95)
    gain = scores.gain("mean", over="median")
    assert gain.mean == pytest.approx(sign * (low + high) / 2) and gain.half_width == pytest.approx((high - low) / 2)
    assert scores.gain("median", over="mean").mean == pytest.approx(-gain.mean)
    unpaired = stats.ttest_ind(scores["mean"], scores["median"]).confidence_interval(0.95)
    assert 2 * gain.half_width < unpaired.high - unpaired.low  # the same data for both: that is what pairing is for


def test_a_mean_has_student_s_interval():
    scores = trials.run(METHODS, draw, repeats=5, jobs=1)
    values = [draw(1000 + repeat).mean() for repeat in range(5)]
    np.testing.assert_allclose(scores["mean"], values)
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    found = scores.mean("mean")
    assert found.mean == pytest.approx((low + high) / 2) and found.half_width == pytest.approx((high - low) / 2)
    assert f"{found:.1f}" == f"{found.mean:.1f} ± {found.half_width:.1f}" and str(found) == f"{found:.2f}"
    one = trials.run(METHODS, draw, repeats=1, jobs=1).mean("mean")
    assert one.half_width is None and f"{one:.1f}" == f"{one.mean:.1f}"


def test_all_methods_see_the_same_data_and_the_number_of_the_repeat():
    seen = []

    def look(data, number):
        seen.append((number, id(data), data.tolist()))
        return 0.0

    trials.run({"a": look, "b": look}, draw, repeats=3, seed=1, jobs=1)
    assert [number for number, _, _ in seen] == [2000, 2000, 2001, 2001, 2002, 2002]
    assert all(first == second for first, second in zip(seen[::2], seen[1::2], strict=True))
    assert seen[0][2] == draw(2000).tolist() != seen[2][2]


@pytest.mark.slow
def test_the_results_do_not_depend_on_the_number_of_processes():
    def pick(number):  # with all that they use: a worker cannot import a test
        import numpy

        return numpy.random.default_rng(number).normal(size=20)

    def both(data, number):
        return {"near": data[:10].sum(), "far": data[10:] * number}

    alone, together = (trials.run({"a": both, "b": both}, pick, repeats=4, jobs=jobs) for jobs in (1, 2))
    for case, shape in (("near", (4,)), ("far", (4, 10))):
        assert alone["a", case].shape == shape
        np.testing.assert_allclose(alone["a", case], together["a", case], rtol=1e-12)
        np.testing.assert_allclose(alone["a", case], alone["b", case], rtol=1e-12)


def test_cases_and_arrays():
    def halves(data, number):
        return {"day 1": data[:20], "day 2": data[20:]}

    def shifted(data, number):
        return {"day 1": data[:20] + 1, "day 2": data[20:] + 3}

    scores = trials.run({"a": halves, "b": shifted}, draw, repeats=3, jobs=1)
    assert scores.cases == ["day 1", "day 2"] and scores["a", "day 2"].shape == (3, 20)
    np.testing.assert_allclose(scores.mean("a", "day 1").values, [draw(1000 + k)[:20].mean() for k in range(3)])
    np.testing.assert_allclose(scores.gain("b", over="a", case="day 2").values, 3)
    np.testing.assert_allclose(scores.gain("b", over="a").values, 2)  # over both days
    np.testing.assert_allclose(scores.at(-1)["a", "day 1"], [draw(1000 + k)[19] for k in range(3)])
    table = scores.at(0).table("{:.1f} | {:.1f}")
    first = scores.at(0).mean("b", "day 2")
    assert list(table.index) == ["a", "b"] and list(table.columns) == ["day 1", "day 2"]
    assert table.loc["b", "day 2"] == f"{first.mean:.1f} | {first.half_width:.1f}"


def test_draws_are_the_data_of_a_run():
    data = trials.draws(draw, repeats=3, seed=2, jobs=1)
    assert list(data) == [3000, 3001, 3002]
    drawn = trials.run(METHODS, draw, repeats=3, seed=2, jobs=1)
    shared = trials.run(METHODS, data.get, repeats=3, seed=2, jobs=1)
    np.testing.assert_allclose(drawn["mean"], shared["mean"])


@pytest.mark.parametrize(("change", "message"), [
    ({"better": "smaller"}, "better: got 'smaller', expected 'higher' or 'lower'"),
    ({"methods": {}}, r"methods, repeats: expected one or more, got \[\] and 3"),
    ({"repeats": 0}, "expected one or more, got .* and 0"),
    ({"methods": METHODS | {"odd": lambda data, number: {"day 2": 1.0}}},
     r"methods: odd answers for \['day 2'\], expected \['score'\]")])
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        trials.run(**{"methods": METHODS, "draw": draw, "repeats": 3, "jobs": 1} | change)


def test_unknown_methods_and_cases_are_named():
    scores = trials.run(METHODS, draw, repeats=2, jobs=1)
    with pytest.raises(KeyError, match="method: got 'mode', expected one of mean, median"):
        scores.mean("mode")
    with pytest.raises(KeyError, match="case: got 'day 2', expected one of score"):
        scores["mean", "day 2"]


def test_an_error_of_a_method_is_raised():
    def broken(data, number):
        raise ZeroDivisionError("in repeat 1000")

    with pytest.raises(ZeroDivisionError, match="in repeat 1000"):
        trials.run({"a": broken}, draw, repeats=2, jobs=1)
