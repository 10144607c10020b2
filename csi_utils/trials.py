"""Methods side by side: in each repeat all of them see the same data, so that what one gains over another is paired.

    scores = trials.run({"SVR": svr, "5-NN": neighbours}, draw, repeats=8, seed=seed, better="lower")
    scores.table("{:.2f} ± {:.2f} m")              # a pandas DataFrame: method x case
    scores.mean("SVR", "day 2")                    # an Estimate: mean and half width of its 95 % interval
    scores.gain("SVR", over="5-NN", case="day 2")  # paired; above 0 when SVR is the better one
    scores.at(-1).mean("SVR", "day 2")             # where a score is an array (one number an epoch, say): its last
    ledger.record("C3", scores.mean("SVR", "day 2"), ...)   # takes value and interval from the Estimate

First explained in notebooks/01_svm_fingerprinting, section "Reproduction".
"""

from dataclasses import dataclass

import numpy as np

from . import training
from .evaluation import interval


@dataclass(frozen=True)
class Estimate:
    """A mean over repeats (or people, rooms, sessions: what `values` has one number for) and its 95 % interval."""

    values: np.ndarray  # (repeat,)

    @property
    def mean(self):
        return float(np.mean(self.values))

    @property
    def half_width(self):
        """Half width of the interval (Student's t); None for a single value."""
        return float(interval(self.values)) if len(self.values) > 1 else None

    def __format__(self, form):
        form = form or ".2f"
        spread = "" if self.half_width is None else f" ± {self.half_width:{form}}"
        return f"{self.mean:{form}}{spread}"

    __str__ = __repr__ = lambda self: format(self, "")


class Scores:
    """Scores of methods, one array (method, repeat, ...) for each case; made by `run`.

    values: {case: array}. `scores["SVR"]` and `scores["SVR", "day 2"]` give one method's numbers, (repeat, ...).
    """

    def __init__(self, methods, values, better):
        self.methods, self.values, self.better = list(methods), values, better

    @property
    def cases(self):
        return list(self.values)

    def __getitem__(self, key):
        method, case = key if isinstance(key, tuple) else (key, None)
        if case is None and len(self.values) == 1:
            case = self.cases[0]
        if case not in self.values:
            raise KeyError(f"case: got {case!r}, expected one of {', '.join(map(str, self.cases))}")
        if method not in self.methods:
            raise KeyError(f"method: got {method!r}, expected one of {', '.join(self.methods)}")
        return self.values[case][self.methods.index(method)]

    def at(self, *index):
        """The same trials with one entry of every score that is an array: at(-1), at(-1, 0), ...; Scores."""
        return Scores(self.methods, {case: values[:, :, *index] for case, values in self.values.items()}, self.better)

    def mean(self, method, case=None):
        """The method's mean score as an Estimate. Where a score is an array, its mean is one repeat's number; where
        there are several cases and none is named, the mean over them is."""
        scores = [self[method, one] for one in (self.cases if case is None else [case])]
        return Estimate(np.mean([values.reshape(len(values), -1).mean(1) for values in scores], 0))

    def gain(self, method, over, case=None):
        """What `method` gains over another on the same repeats, as an Estimate; above 0 when it is the better one."""
        difference = self.mean(method, case).values - self.mean(over, case).values
        return Estimate(difference if self.better == "higher" else -difference)

    def table(self, form="{:.2f} ± {:.2f}"):
        """Mean and interval of every method (rows) and case (columns), as text. form: what to make of the two."""
        import pandas as pd

        def text(method, case):
            found = self.mean(method, case)
            return form.format(found.mean, found.half_width or 0.0)

        return pd.DataFrame({case: {method: text(method, case) for method in self.methods} for case in self.cases})


def run(methods, draw, repeats, seed=0, better="higher", jobs=None, label="repeats"):
    """Scores of every method on the same data, repeat by repeat, in parallel processes.

    methods: {name: method}; method(data, number) gives one score, or {case: score}; a score is a number or an array.
    draw: draw(number) gives the data of one repeat, for all methods; they must leave it as it is. number: the seed of
    a repeat, 1000 * (seed + 1) + repeat. better: "higher" or "lower". jobs: see `training.repeat`.

    Returns Scores. Raises ValueError for an unknown `better`, no method, or methods that answer for other cases.
    """
    if better not in ("higher", "lower"):
        raise ValueError(f"better: got {better!r}, expected 'higher' or 'lower'")
    if not methods or repeats < 1:
        raise ValueError(f"methods, repeats: expected one or more, got {list(methods)} and {repeats}")

    def one(number):
        data = draw(number)
        answers = [method(data, number) for method in methods.values()]
        return [score if isinstance(score, dict) else {"score": score} for score in answers]

    found = training.repeat(one, _numbers(seed, repeats), jobs=jobs, label=label)
    cases = list(found[0][0])
    for row in found:
        for name, scores in zip(methods, row, strict=True):
            if list(scores) != cases:
                raise ValueError(f"methods: {name} answers for {list(scores)}, expected {cases}")
    by_case = {case: np.array([[scores[case] for scores in row] for row in found], float) for case in cases}
    return Scores(methods, {case: values.swapaxes(0, 1) for case, values in by_case.items()}, better)


def draws(draw, repeats, seed=0, jobs=None, label="data"):
    """{number: draw(number)} for the repeats of `run`, in parallel: data that several runs share.

    data = trials.draws(draw, repeats=8, seed=seed);   scores = trials.run(methods, data.get, repeats=8, seed=seed)
    """
    numbers = _numbers(seed, repeats)
    return dict(zip(numbers, training.repeat(draw, numbers, jobs=jobs, label=label), strict=True))


def _numbers(seed, repeats):
    return [1000 * (seed + 1) + repeat for repeat in range(repeats)]
