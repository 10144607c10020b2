"""The exercises of every notebook: the solution passes, the stub is to do, and each wrong answer fails its own check.

Wrong answers live in tests/papers/NN/wrong_answers.toml. Cells that the exercises need are run once; then only they run.
"""

import ast
import contextlib
import io
import tomllib
from pathlib import Path

import nbformat
import pytest

from csi_papers.course import assignments
from csi_papers.course.needed import needed
from csi_utils import exercises

HERE = Path(__file__).parent
PATHS = [path for path in sorted((HERE.parents[1] / "notebooks").glob("*.ipynb"))
         if any(map(assignments.graded, nbformat.read(path, as_version=4).cells))]
MUTANTS = {path.stem: tomllib.loads(file.read_text(encoding="utf-8")) for path in PATHS
           if (file := HERE / path.stem[:2] / "wrong_answers.toml").is_file()}
ALL = [pytest.param(path.stem, exercise, n, id=f"{path.stem}-{exercise}-{mutant['mistake']}")
       for path in PATHS for exercise, mutants in MUTANTS.get(path.stem, {}).items()
       for n, mutant in enumerate(mutants)]
notebook = pytest.mark.parametrize("stem", [path.stem for path in PATHS])


class Sheet:
    """The exercises of one notebook, ready to be answered."""

    _made = {}

    def __init__(self, stem):
        nb = nbformat.read(HERE.parents[1] / "notebooks" / f"{stem}.ipynb", as_version=4)
        self.nb = assignments.source_notebook(nb, stem)
        self.exercises = assignments.exercises_of(self.nb)
        code = [cell for cell in self.nb.cells if cell.cell_type == "code"]
        own = [id(cell) for one in self.exercises for cell in (one.solution, one.check)]
        wanted = {n for n, cell in enumerate(code) if id(cell) in own}
        self.names = {"__name__": "__main__"}
        with contextlib.redirect_stdout(io.StringIO()):
            for n in needed([cell.source for cell in code], wanted):
                if n not in wanted:
                    exec(compile(code[n].source, f"{stem}:{code[n]['id']}", "exec"), self.names)

    @classmethod
    def of(cls, stem):
        if stem not in cls._made:
            cls._made[stem] = cls(stem)
        return cls._made[stem]

    def answer(self, answers=None, visible_only=False):
        """{exercise: (Score, what was printed)} with the solutions, or `answers` {exercise: code} in their place."""
        names, found = dict(self.names), {}
        for one in self.exercises:
            exec((answers or {}).get(one.id, one.solution.source), names)
            said = io.StringIO()
            source = assignments.HIDDEN.sub("", one.check.source) if visible_only else one.check.source
            tree = ast.parse(source)
            last = ast.Expression(tree.body.pop().value)
            with contextlib.redirect_stdout(said):
                exec(compile(tree, one.id, "exec"), names)
                score = eval(compile(last, one.id, "eval"), names)
            found[one.id] = score, said.getvalue()
        return found


@notebook
def test_exercises_fit_together(stem):
    nb = nbformat.read(HERE.parents[1] / "notebooks" / f"{stem}.ipynb", as_version=4)
    assert assignments.lint(nb) == []


@notebook
def test_exercises_have_hidden_tests_and_wrong_answers(stem):
    """A notebook without them is listed as skipped; one that has some has them all."""
    nb = nbformat.read(HERE.parents[1] / "notebooks" / f"{stem}.ipynb", as_version=4)
    found, lacking = assignments.exercises_of(nb), assignments.notes(nb)
    if stem not in MUTANTS:
        pytest.skip(f"no tests/papers/{stem[:2]}/wrong_answers.toml yet: two wrong answers for each of {len(found)} exercises"
                    + "".join(f"; {text}" for text in lacking))
    assert lacking == []
    assert {name: len(mutants) >= 2 for name, mutants in MUTANTS[stem].items()} == {one.id: True for one in found}


@notebook
@pytest.mark.parametrize("visible_only", [False, True])
def test_the_solutions_earn_full_marks(stem, visible_only):
    sheet = Sheet.of(stem)
    found = sheet.answer(visible_only=visible_only)
    assert {name: float(score) for name, (score, _) in found.items()} == {
        one.id: one.points for one in sheet.exercises}, found


@notebook
def test_the_stubs_are_to_do_and_earn_nothing(stem):
    sheet = Sheet.of(stem)
    found = sheet.answer({one.id: assignments.stub(one.solution.source) for one in sheet.exercises})
    assert all(score == 0 and score.status == "to do" and said.splitlines()[-1].startswith("to do: ")
               for score, said in found.values()), found


@pytest.mark.parametrize(("stem", "exercise", "number"), ALL)
def test_a_wrong_answer_fails_its_own_check_which_names_the_mistake(stem, exercise, number):
    mutant = MUTANTS[stem][exercise][number]
    found = Sheet.of(stem).answer({exercise: mutant["code"]})
    score, said = found.pop(exercise)
    assert score == 0 and score.status == "wrong" and isinstance(score, exercises.Score), said
    assert any(mutant["says"] in line for line in said.splitlines() if line.startswith("✗")), said
    assert not {name: lines for name, (other, lines) in found.items() if other.status != "passed"}


# The rule that stub and solution cannot drift apart, on made-up cells.

GOOD = """def f(x):
    ### BEGIN SOLUTION
    y = np.mean(x)
    return 2 * y
    ### END SOLUTION
    return exercises.TODO
"""


def drifts(source):
    return list(assignments._drift(source))


@pytest.mark.parametrize("source", [
    GOOD, GOOD.replace("return exercises.TODO", "# think of the mean\n    y = np.mean(...)\n    return ..."),
    GOOD.replace("return exercises.TODO", "y = ...\n    return ...  "), GOOD.replace("return exercises.TODO", "..."),
    "### BEGIN SOLUTION\nx = 5\n### END SOLUTION\nx = ...\n",
])
def test_stub_lines_that_match(source):
    assert drifts(source) == []


@pytest.mark.parametrize(("new", "message"), [
    ("y = np.median(...)\n    return ...", "'y = np.median(...)' matches none"),
    ("y = np.mean(x)\n    z = y + 1\n    return ...", "'z = y + 1' matches none"),
    ("yield ...", "'yield ...' matches none"),
    ("return 0", "'return 0' matches none"), ("return 2 * y", "the stub does not return exercises.TODO"),
])
def test_stub_lines_that_have_drifted(new, message):
    found = drifts(GOOD.replace("return exercises.TODO", new))
    assert any(message in text for text in found), found
