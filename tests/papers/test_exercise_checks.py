"""The exercises of every notebook: the solution passes, the stub is to do, and each wrong answer fails its own check.

Wrong answers live in tests/papers/NN/wrong_answers.toml. Of the notebook, its parameters, imports, functions, classes
and all-capitals constants are there when an exercise runs. What else an exercise needs is said at the top of that file:
the cells `needs = ["id of a cell", ...]` are run whole, in the notebook's order.
"""

import ast
import contextlib
import io
import tomllib
from pathlib import Path

import nbformat
import pytest
from notebook_code import is_definition

from csi_papers.course import assignments
from csi_papers.run.notebook import tags
from csi_papers.run.runner import notebooks
from csi_utils import exercises

HERE = Path(__file__).parent
PATHS = {path.stem: path for path in notebooks()
         if any(map(assignments.graded, nbformat.read(path, as_version=4).cells))}
MUTANTS = {stem: tomllib.loads(file.read_text(encoding="utf-8")) for stem in PATHS
           if (file := HERE / stem[:2] / "wrong_answers.toml").is_file()}
NEEDS = {stem: set(found.pop("needs", [])) for stem, found in MUTANTS.items()}
ALL = [pytest.param(stem, exercise, n, id=f"{stem}-{exercise}-{mutant['mistake']}")
       for stem in PATHS for exercise, mutants in MUTANTS.get(stem, {}).items()
       for n, mutant in enumerate(mutants)]
notebook = pytest.mark.parametrize("stem", PATHS)


class Sheet:
    """The exercises of one notebook, ready to be answered."""

    _made = {}

    def __init__(self, stem):
        nb = assignments.source_notebook(nbformat.read(PATHS[stem], as_version=4), stem)
        self.exercises = assignments.exercises_of(nb)
        own = [cell["id"] for one in self.exercises for cell in (one.solution, one.check)]
        needs = NEEDS.get(stem, set())
        assert needs <= {cell["id"] for cell in nb.cells}, f"needs: no such cell in {stem}"
        self.names = {"__name__": "__main__"}
        with contextlib.redirect_stdout(io.StringIO()):
            for cell in nb.cells:
                if cell.cell_type == "code" and cell["id"] not in own:
                    tree = ast.parse(cell.source)
                    if "parameters" not in tags(cell) and cell["id"] not in needs:
                        tree.body = list(filter(is_definition, tree.body))
                    exec(compile(tree, f"{stem}:{cell['id']}", "exec"), self.names)

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
    nb = nbformat.read(PATHS[stem], as_version=4)
    assert list(assignments.lint(nb)) == []


@notebook
def test_exercises_have_hidden_tests_and_wrong_answers(stem):
    """A notebook without them is listed as skipped; one that has some has them all."""
    nb = nbformat.read(PATHS[stem], as_version=4)
    found = assignments.exercises_of(nb)
    if stem not in MUTANTS:
        pytest.skip(f"no wrong_answers.toml yet: two wrong answers for each of {len(found)} exercises")
    assert [one.id for one in found if not assignments.HIDDEN.search(one.check.source)] == []
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
