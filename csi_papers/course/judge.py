"""Judge answers where no student's code runs: the course's own check cells, hidden tests and all, in our process.

In a check cell the name of the student's function is bound to one that sends its arguments to the student's process
and takes back plain data. Expected values, comparison, NumPy and `exercises` are ours.
"""

import ast
import contextlib
import functools
import io
import tracemalloc

import nbformat
import numpy as np

from csi_papers.course import assignments, plain, sandbox
from csi_papers.run import notebook
from csi_utils import exercises


def checked(check):
    """The name that a check cell checks, its statements, and its last expression, `exercises.check(name, ...)`."""
    *body, last = notebook.tree(check).body
    return last.value.args[0].id, ast.Module(body, []), ast.Expression(last.value)


@functools.lru_cache(maxsize=1)
def bench(source):
    """{id of an exercise: the names that its check may use}, as the course's own notebook (its text) defines them.

    The notebook runs in this process, up to the last check.
    """
    from IPython.display import display
    nb = nbformat.reads(source, as_version=4)
    names, found = {"__name__": "__main__", "display": display}, {}
    checks = {one.check["id"]: one.id for one in assignments.exercises_of(nb)}
    with _silent():
        for cell in nb.cells:
            code = notebook.tree(cell.source) if cell.cell_type == "code" else ast.Module([], [])
            if cell["id"] in checks:
                found[checks[cell["id"]]] = dict(names)
                code = checked(cell.source)[1]
            exec(compile(code, cell["id"], "exec"), names)
            if len(found) == len(checks):
                return found


@contextlib.contextmanager
def _silent():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def judge(exercise, names, student, cpu):
    """Run one check on the answer of a `sandbox.Student`. Returns (status, messages: None for a check that passed).

    names: of `bench`. cpu: s for all calls. Raises sandbox.Lost.
    """
    name, body, last = checked(exercise.check.source)
    answer = Answer(student, name, cpu)
    try:
        value = answer.value()
    except (exercises.Raised, plain.NotPlain) as err:
        return "stopped" if answer.stopped else "error", [str(err)]
    for answer.writes in (True, False):
        try:
            with _silent():
                mine = {**names, name: value}
                exec(compile(body, exercise.id, "exec"), mine)
                score = eval(compile(last, exercise.id, "eval"), mine)
        finally:
            changed = answer.restore()
        if answer.lost:
            raise answer.lost
        status = "stopped" if answer.stopped and score.status != "passed" else score.status
        # Whose function changes its input could change what it is compared with: it has to pass without that, too.
        if status != "passed" or not changed:
            break
    return status, score.messages


class Answer:
    """What a check sees of a student's answer."""

    def __init__(self, student, name, cpu):
        self.student, self.name, self.cpu = student, name, cpu
        self.writes, self.before = True, []  # give arrays the values that the student's function gave them?
        self.stopped = self.lost = None

    def value(self):
        """The value of this name, or a function that asks the student's. Raises exercises.Raised."""
        found = self._ask({})
        if found.get("undefined") is True:
            raise exercises.Raised(f"NameError: name {self.name!r} is not defined")
        if found.get("function") is not True:
            return plain.decode(found.get("value"))

        def ask(*args, **kwargs):
            return self._call(args, kwargs)

        return ask

    def _ask(self, more):
        if self.stopped:
            raise exercises.Raised(str(self.stopped))
        try:
            left = self.student.left
            found = self.student.ask({"name": self.name, **more}, self.cpu)
            self.cpu -= left - self.student.left
        except sandbox.Stopped as err:
            self.stopped = err
            raise exercises.Raised(str(err)) from None
        except sandbox.Lost as err:
            self.stopped = self.lost = err
            raise
        if "raised" in found:
            if found.get("todo") is True:
                raise NotImplementedError
            raise exercises.Raised(str(found["raised"])[:1000])
        return found

    def _call(self, args, kwargs):
        tracing = tracemalloc.is_tracing()
        found = self._ask({"args": plain.encode(args), "kwargs": plain.encode(kwargs), "trace": tracing})
        if tracing and isinstance(peak := found.get("peak"), int):  # a check measures the memory: take as much
            np.empty(min(max(peak, 0), 1 << 30), np.uint8)
        changed = found.get("changed")
        for n, array in enumerate([*args, *kwargs.values()]):
            if self.writes and isinstance(array, np.ndarray) and isinstance(changed, dict) and str(n) in changed:
                now = plain.decode(changed[str(n)])
                if array.flags.writeable and (np.shape(now), now.dtype) == (array.shape, array.dtype):
                    self.before.append((array, array.copy()))
                    array[...] = now
        return plain.decode(found.get("value"))

    def restore(self):
        """Give arrays that the student's function changed their values again. Were there any?"""
        for array, before in reversed(self.before):
            array[...] = before
        changed, self.before = bool(self.before), []
        return changed
