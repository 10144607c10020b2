"""Checks that tell a learner what is wrong, and let an unfilled notebook run on.

    exercises.check(distance, [exercises.case([0, 0], [3, 4], expect=5.0)], points=2, name="distance")

as the last expression of a cell tagged `check`. Nothing here raises for what a learner wrote.
"""

import copy
import functools
import inspect
import reprlib
import traceback
from collections import namedtuple

import numpy as np

from . import in_notebook

MIME = "application/vnd.csi-exercise+json"
Case = namedtuple("Case", "args kwargs expect hint rtol atol")  # one call and what it must give
Property = namedtuple("Property", "test message")  # what must be true of the answer
SHORT = reprlib.Repr()  # of a value: so many items, so many characters
SHORT.maxlist = SHORT.maxtuple = SHORT.maxdict = 8
SHORT.maxstring = SHORT.maxother = 300


class _Todo:
    def __repr__(self):
        return "TODO"


TODO = _Todo()  # what a stub returns until it is filled in


class Score(float):
    """Points earned, a plain number for nbgrader: all of an exercise's, or none. There is no share for some checks,
    for shape, type and range are checks too, and a wrong answer meets some of them."""

    status, messages = "wrong", ()  # messages: of each check, None where it passed


class Raised(Exception):
    """What a learner's code raised where it ran; the message is `described`."""


def case(*args, expect, hint="", rtol=1e-6, atol=1e-9, **kwargs):
    """The answer, called with args and kwargs (a plain value: without any), must be close to `expect`, as
    numpy.allclose has it with rtol and atol."""
    return Case(args, kwargs, expect, hint, rtol, atol)


def prop(test, message):
    """test(answer) must be true of the answer itself (a function or a value); message says what was expected."""
    if not callable(test):
        raise TypeError(f"test: got {type(test).__name__}, expected a function of the answer")
    return Property(test, message)


def check(answer, cases, points=1, name=None):
    """Score an answer: prints one line a check, and returns a `Score`: points when every check passes, else 0.

    answer: a learner's function or value. cases: from `case` and `prop`. points: what the exercise is worth. name:
    of the exercise (default: the function's own). Raises TypeError or ValueError only for a malformed check.
    """
    cases = list(cases)
    if not cases or not all(isinstance(c, Case | Property) for c in cases):
        raise TypeError(f"cases: got {cases!r}, expected a non-empty list of exercises.case() and .prop()")
    if isinstance(points, bool) or not isinstance(points, int | float) or not points > 0:
        raise ValueError(f"points: got {points!r}, expected a number above 0")
    name = name or getattr(answer, "__name__", "exercise")
    messages = [_run(answer, item) for item in cases]
    passed = messages.count(None) == len(cases)
    score = Score(points if passed else 0)
    score.status = "to do" if TODO in messages else "passed" if passed else "wrong"
    score.messages = [None if message is None else str(message) for message in messages]
    if TODO in messages:
        print(f"to do: {name}")
    else:
        for number, message in enumerate(messages, 1):
            print(f"{'✓' if message is None else '✗'} {name}, check {number} of {len(cases)}: {message or 'passed'}")
    if in_notebook():
        from IPython.display import display
        said = {"name": name, "status": score.status, "score": float(score), "points": points,
                "messages": score.messages}
        display({MIME: said, "text/plain": ""}, raw=True)
    return score


def _run(answer, item):
    """None when the check passed, TODO for an unfilled stub, else a message on what is wrong."""
    if _unfilled(answer):
        return TODO
    try:
        if isinstance(item, Property):
            return None if item.test(_filled(answer)) else item.message
        # A copy, because an answer that changes its input must not spoil the next case.
        given = copy.deepcopy(item)
        got = answer(*given.args, **given.kwargs) if callable(answer) else answer
    except NotImplementedError:
        return TODO
    except Raised as err:
        return _for(item) + str(err)
    except (Exception, SystemExit) as err:  # whatever a learner's code may raise
        return f"{_for(item)}it raised {described(err)}"
    if _unfilled(got):
        return TODO
    try:
        wrong = _difference(got, item)
    except Exception as err:  # an answer may be any object at all
        wrong = f"cannot be compared ({type(err).__name__}): got {type(got).__name__}, expected {_short(item.expect)}."
    return wrong and _for(item) + wrong + (f" Hint: {item.hint}" if item.hint else "")


def described(err):
    """An exception in a line: its type, what it says, and where it was raised."""
    line = traceback.extract_tb(err.__traceback__)[-1]
    where = f" (in {line.name}: {line.line})" if line.line else ""
    return traceback.format_exception_only(err)[-1].strip() + where


def _unfilled(value):
    return value is None or value is TODO or value is Ellipsis


def _filled(answer):
    """A function that says so when it is still a stub, for properties; anything else as it is."""
    if not inspect.isfunction(answer):
        return answer

    @functools.wraps(answer)
    def asked(*args, **kwargs):
        value = answer(*args, **kwargs)
        if _unfilled(value):
            raise NotImplementedError
        return value

    return asked


def _for(item):
    if isinstance(item, Property) or not (item.args or item.kwargs):
        return ""
    given = [_short(a) for a in item.args] + [f"{k}={_short(v)}" for k, v in item.kwargs.items()]
    return f"for ({', '.join(given)}): "


def _short(value):
    """A value in a line: small ones whole, arrays by shape and range."""
    if isinstance(value, np.ndarray) and value.size > 8:
        with np.errstate(all="ignore"):
            span = f", {value.min():.4g} to {value.max():.4g}" if value.dtype.kind in "fiu" else ""
        return f"array{list(value.shape)}{span}"
    if isinstance(value, list | tuple) and len(value) > 8:
        return f"a {type(value).__name__} of {len(value)} that begins with {', '.join(map(_short, value[:3]))}"
    return " ".join(SHORT.repr(value).split())


def _difference(got, item):
    """Name what sets got apart from what was expected; None when they agree."""
    expect = item.expect
    if hasattr(got, "detach"):
        got = got.detach().cpu()
    came = f"got {_short(got)}, expected {_short(expect)}."
    try:
        got, expect = np.asarray(got), np.asarray(expect)
    except ValueError:  # ragged lists, say
        return f"not an array: {came}"
    if expect.dtype.kind not in "bifuc":
        same = expect.shape == got.shape and bool(np.all(got == expect))
        return None if same else came
    if got.dtype.kind not in "bifuc":
        return f"not numbers: {came}"
    if got.shape != expect.shape:
        if got.ndim > 1 and sorted(got.shape) == sorted(expect.shape):
            return f"axes are swapped: got shape {got.shape}, expected {expect.shape}."
        return f"wrong shape: got {got.shape}, expected {expect.shape}."
    with np.errstate(all="ignore"):
        if np.allclose(got, expect, rtol=item.rtol, atol=item.atol, equal_nan=True):
            return None
        return f"{_diagnose(got, expect, item)}: {came}"


def _diagnose(got, expect, item):
    def close(a, b):
        return a.shape == b.shape and np.allclose(a, b, rtol=max(item.rtol, 1e-4), atol=item.atol)

    if not np.all(np.isfinite(got)) and np.all(np.isfinite(expect)):
        return f"{np.sum(~np.isfinite(got))} of {got.size} values are NaN or infinite"
    if not np.any(got) and got.size:
        return "all False" if got.dtype.kind == "b" else "all zeros"
    if got.dtype.kind != "b" and expect.dtype.kind != "b":
        if close(-got, expect):
            return "the sign is wrong"
        if got.dtype.kind == "c" and close(got.conj(), expect):
            return "the complex conjugate"
        if got.ndim > 1 and close(np.swapaxes(got, -1, -2), expect):
            return "axes are swapped"
        power = np.vdot(got, got)
        factor = np.vdot(got, expect) / power if power else 0
        if expect.size > 1 and abs(factor) > 0 and close(factor * got, expect):
            return f"off by a constant factor (yours is {1 / factor:.4g} times as large)"
        if expect.size > 1 and close(got + np.mean(expect - got), expect):
            return "off by a constant"
        if expect.size == 1 and np.any(expect) and np.all(expect != got):
            return f"off by a factor {(got / expect).item():.4g}"
    return "wrong value"
