"""What passes between the grader and a student's process, and what a check makes of it. No process is started here."""

import base64
import json
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from csi_papers.course import inside, judge, plain
from csi_utils import exercises

CHECK = """given = np.arange(3.0)
exercises.check(answer, [
    exercises.case(np.arange(4.0), expect=np.arange(4.0) * 2),
    exercises.prop(lambda f: np.allclose(f(given), 2 * given), "twice"),
], points=2)"""


class Here:
    """A student's names, asked as in their process."""

    left = 99

    def __init__(self, code):
        self.names = {"np": np, "exercises": exercises}
        exec(code, self.names)

    def ask(self, request, cpu):
        try:
            said = inside._ask(json.loads(json.dumps(request)), self.names)
        except plain.NotPlain as err:
            said = {"raised": str(err)}
        return json.loads(json.dumps(said))


def judged(code, check=CHECK):
    exercise = SimpleNamespace(id="answer", check=SimpleNamespace(source=check))
    return judge.judge(exercise, {"np": np, "exercises": exercises}, Here(code), 9)


@pytest.mark.parametrize("value", [
    None, True, 3, 0.1, float("inf"), "é", 1 + 2j, np.float32(0.1), np.arange(6).reshape(2, 3)[:, ::-1],
    np.zeros((0, 3)), np.array(["a", "été"]), np.array([True, False]), torch.arange(3.0), [1, (2, [None])],
    {"a": np.ones(2), 3: "b"}])
def test_plain_values_come_back_as_they_were(value):
    again = plain.decode(json.loads(json.dumps(plain.encode(value))))
    assert isinstance(again, type(value)) or isinstance(value, complex)
    assert repr(again) == repr(np.complex128(value) if isinstance(value, complex) else value)


def test_a_generator_draws_what_it_would_have_drawn():
    generator = np.random.default_rng(3)
    generator.random()
    assert plain.decode(json.loads(json.dumps(plain.encode(generator)))).random() == generator.random()


@pytest.mark.parametrize("value", [object(), np.array([object()]), {1, 2}, exercises, lambda: 1, np.zeros(2, "f4,i4")])
def test_nothing_else_is_sent(value):
    with pytest.raises(plain.NotPlain):
        plain.encode([value])


@pytest.mark.parametrize("data", [
    [1], {}, {"array": 1}, {"array": ["|O", [1], ""]}, {"array": ["<f8", [10**9], ""]}, {"array": ["<f8", [-1], ""]},
    {"call": "x"}, {"dict": [[{"list": []}, 1]]}, {"generator": {}}, {"list": [{"pickle": "x"}]}])
def test_what_is_no_value_is_refused_whoever_made_it(data):
    with pytest.raises(plain.NotPlain):
        plain.decode(data)


def test_no_byte_is_true_and_false():
    two = plain.decode({"array": ["|b1", [2], base64.b64encode(b"\x02\x00").decode()]})
    assert two.tolist() == [True, False] and (two == np.array([True, False])).all()


def test_a_check_asks_and_compares_outside():
    assert judged("def answer(x):\n    return 2 * x") == ("passed", [None, None])
    assert judged("def answer(x):\n    return exercises.TODO")[0] == "to do"
    assert judged("answer = exercises.TODO")[0] == "to do"
    assert judged("x = 1") == ("error", ["NameError: name 'answer' is not defined"])
    status, said = judged("def answer(x):\n    return object()")
    assert status == "wrong" and "a object" in said[0]


def test_who_changes_an_input_changes_it_for_the_check_and_gains_nothing():
    """The second check compares with what the function left of its input, and must pass without that, too."""
    assert judged("def answer(x):\n    return 2 * x if len(x) == 4 else x.fill(0) or x")[0] == "wrong"
    assert judged("def answer(x):\n    y = 2 * x\n    x.sort()\n    return y")[0] == "passed"
    left = CHECK.replace("np.allclose(f(given), 2 * given)", "f(given) is not None and given[1] == 1")
    assert judged("def answer(x):\n    y = 2 * x\n    x += 1\n    return y", left)[0] == "wrong"


def test_memory_that_the_function_takes_is_told():
    """A check that measures memory (04 has one) measures it in our process: as much is taken there for a moment."""
    for size, least, most in ((10, 0, 1e6), (10**7, 7e7, 9e7)):
        student = Here(f"def answer(x):\n    return float(np.ones({size}).sum())")
        request = {"name": "answer", "args": plain.encode((1,)), "kwargs": plain.encode({}), "trace": True}
        assert least <= student.ask(request, 9)["peak"] < most
        tracemalloc.start()
        try:
            told = SimpleNamespace(left=9, ask=lambda *_, size=size: {"value": 1.0, "peak": size * 8})
            answer = judge.Answer(told, "answer", 9)
            answer._call((1,), {})
            assert least <= tracemalloc.get_traced_memory()[1] < most
        finally:
            tracemalloc.stop()
