"""Checks of exercises: names the mistake, never raises, and leaves an unfilled notebook running."""

import numpy as np
import pytest

from csi_utils import exercises
from csi_utils.exercises import TODO, case, check, prop

X = np.arange(12.0).reshape(3, 4)


def doubled(x):
    return 2 * x


CASES = [case(X, expect=2 * X), case(X - 3, expect=2 * X - 6)]


def run(capsys, answer, cases=CASES, **options):
    score = check(answer, cases, name="double", **options)
    return score, capsys.readouterr().out


def test_right_answer_earns_its_points(capsys):
    score, said = run(capsys, doubled, points=3)
    assert score == 3 and repr(score) == "3.0" and score.status == "passed" and said.count("✓") == 2


def _raise(x):
    raise NotImplementedError("fill me in")


@pytest.mark.parametrize("stub", [lambda x: TODO, lambda x: None, lambda x: ..., _raise, TODO, None, ...])
@pytest.mark.parametrize("cases", [CASES, [prop(lambda f: f(X).sum() > 0, "positive")]])
def test_unfilled_stub_is_to_do_and_earns_nothing(capsys, stub, cases):
    score, said = run(capsys, stub, cases)
    assert score == 0 and score.status == "to do" and said == "to do: double\n"


@pytest.mark.parametrize(("mutant", "diagnosis"), [
    (lambda x: np.zeros_like(x), "all zeros"),
    (lambda x: -2 * x, "the sign is wrong"),
    (lambda x: 6 * x, "off by a constant factor (yours is 3 times as large)"),
    (lambda x: 2 * x + 1, "off by a constant"),
    (lambda x: (2 * x).T, "axes are swapped"),
    (lambda x: 2 * x[:2], "wrong shape: got (2, 4), expected (3, 4)"),
    (lambda x: np.where(x > 3, np.nan, 2 * x), "values are NaN"),
    (lambda x: x ** 2, "wrong value"),
    (lambda x: x.no_such_thing, "it raised AttributeError"),
    (lambda x: "twice", "not numbers"),
    (lambda x: [[1], [1, 2]], "not an array"),
    (lambda x: object(), "not numbers"),
    (lambda x: exit(), "it raised SystemExit"),
])
def test_each_mistake_is_named(capsys, mutant, diagnosis):
    score, said = run(capsys, mutant)
    assert score == 0 and score.status == "wrong" and diagnosis in said, said
    assert "for (array[3, 4]" in said


def test_square_transpose_conjugate_and_scalar_factor_are_named(capsys):
    square = X[:, :3]
    assert "axes are swapped" in run(capsys, lambda x: x.T, [case(square, expect=square)])[1]
    wave = np.exp(1j * square)
    assert "complex conjugate" in run(capsys, lambda x: x.conj(), [case(wave, expect=wave)])[1]
    assert "off by a factor 1000" in run(capsys, lambda: 1220.0, [case(expect=1.22)])[1]


def test_points_need_every_check_and_each_check_still_speaks(capsys):
    cases = [case(1.0, expect=2.0), case(-1.0, expect=-2.0, hint="think of negative numbers"),
             prop(lambda f: f(3.0) > 0, "positive for 3")]
    score, said = run(capsys, lambda x: 2 * abs(x), cases, points=3)
    assert score == 0 and score.status == "wrong" and said.count("✓") == 2
    assert "check 2 of 3: for (-1.0): the sign is wrong" in said and "Hint: think of negative numbers" in said


def test_what_came_is_told_whole_or_by_its_length(capsys):
    """No value is cut in the middle of a number or a word."""
    names = ["the first subcarrier", "the second subcarrier", "the third subcarrier", "the fourth subcarrier"]
    assert f"got {names}, expected 1" in run(capsys, names, [case(expect=1)])[1]
    assert "got a list of 100 that begins with 0, 1, 2, expected" in run(
        capsys, list(range(100)), [case(expect="x")])[1]
    rows = [[0.1] * 9] * 20
    assert "got a list of 20 that begins with a list of 9 that begins with 0.1, 0.1, 0.1" in run(
        capsys, rows, [case(expect="x")])[1]


def test_false_property_and_a_raising_one(capsys):
    assert "must grow" in run(capsys, doubled, [prop(lambda f: f(2) < f(1), "must grow")])[1]
    assert "it raised TypeError" in run(capsys, doubled, [prop(lambda f: f(1, 2, 3), "three")])[1]


def test_plain_values_work_and_tolerance_counts(capsys):
    assert run(capsys, 1.0000001, [case(expect=1.0)])[0] == 1
    assert run(capsys, 1.01, [case(expect=1.0)])[0] == 0
    assert run(capsys, 1.01, [case(expect=1.0, atol=0.1)])[0] == 1
    assert run(capsys, "b", [case(expect="b")])[0] == 1 and run(capsys, "a", [case(expect="b")])[0] == 0
    assert run(capsys, True, [case(expect=True)])[0] == 1 and run(capsys, False, [case(expect=True)])[0] == 0
    assert run(capsys, 0.0, [case(expect=1.0)])[0] == 0


def test_an_answer_that_spoils_its_input_spoils_nothing_else(capsys):
    shared = np.ones(3)

    def spoil(x):
        x *= 2
        return x

    assert run(capsys, spoil, [case(shared, expect=np.full(3, 2.0)), case(shared, expect=np.full(3, 2.0))])[0] == 1
    assert np.all(shared == 1)


def test_torch_answers_with_gradients_are_compared(capsys):
    torch = pytest.importorskip("torch")
    weights = torch.ones(3, requires_grad=True)
    assert run(capsys, lambda x: weights * x, [case(2.0, expect=np.full(3, 2.0))])[0] == 1


def test_a_malformed_check_is_the_teachers_error():
    for cases in ([], [1], "x"):
        with pytest.raises(TypeError, match="cases: got"):
            check(doubled, cases)
    with pytest.raises(ValueError, match="points: got 0, expected a number above 0"):
        check(doubled, CASES, points=0)
    with pytest.raises(TypeError, match="test: got int"):
        exercises.prop(1, "one")


def test_keyboard_interrupt_is_not_swallowed():
    def stop(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(stop, CASES)
