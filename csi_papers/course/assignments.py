"""Assignments: an nbgrader course made from the instructor's notebooks alone.

    csi-papers assignments

writes build/course: source/ (with solutions and hidden tests, for the teacher), release/ (for students),
nbgrader_config.py and gradebook.db. Every notebook with graded cells is one assignment, named like its file.
"""

import ast
import contextlib
import copy
import logging
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat

from csi_papers.pages import contents
from csi_papers.run import notebook as checks
from csi_papers.run.provenance import write
from csi_papers.run.runner import notebooks as all_notebooks
from csi_utils import ROOT

COURSE = ROOT / "build" / "course"
STUB = "# Write your answer here."
GIVEN = {"profile": "smoke", "source": "embedded"}  # what a student's laptop and the grader run
SOLUTION = re.compile(r"^[ \t]*### BEGIN SOLUTION.*?^[ \t]*### END SOLUTION[^\n]*\n?", re.M | re.S)
HIDDEN = re.compile(r"^[ \t]*### BEGIN HIDDEN TESTS.*?^[ \t]*### END HIDDEN TESTS[^\n]*\n?", re.M | re.S)
TITLE = re.compile(r"\*\*(Exercise \d+): (.+?) \((\d+) points?\)\.?\*\*")
TODO = "return exercises.TODO"
CONFIG = f"""# Written by `make assignments` for nbgrader's own tools. Grade with `make grade`: nbgrader autograde runs
# student code without a sandbox, and gives full marks to a check that never ran.
c = get_config()
c.CourseDirectory.course_id = "csi-paper-notebooks"
c.ClearSolutions.code_stub = {{"python": "{STUB}"}}
c.CsvExportPlugin.to = "nbgrader.csv"  # grades.csv is ours
"""


@dataclass
class Exercise:
    """One graded exercise: its cells, what it is called, what it is worth."""

    id: str  # nbgrader's grade_id of the solution cell
    number: str  # "Exercise 1"
    title: str
    points: float
    section: str  # the level-2 heading that it stands under
    text: object  # Markdown cell
    solution: object
    check: object


class Malformed(ValueError):
    """The exercises of an instructor's notebook do not fit together."""


def nbgrader(cell):
    """nbgrader's metadata of a cell, {} where it has none or something else stands there."""
    found = cell.metadata.get("nbgrader")
    return found if isinstance(found, dict) else {}


def graded(cell):
    """Is this a check cell that gives points?"""
    return bool(nbgrader(cell).get("grade"))


def exercises_of(nb):
    """The graded exercises of a notebook, in order. Raises Malformed where cells do not belong together."""
    by_id = {nbgrader(cell)["grade_id"]: cell for cell in nb.cells if nbgrader(cell)}
    found = []
    for check in filter(graded, nb.cells):
        name = nbgrader(check)["grade_id"]
        solution = by_id.get(name.removesuffix("_check"))
        if solution is None or solution is check or not nbgrader(solution).get("solution"):
            raise Malformed(f"{name}: no solution cell named {name.removesuffix('_check')!r} belongs to it")
        before = [cell for cell in nb.cells[:nb.cells.index(solution)] if cell.cell_type == "markdown"]
        text = next((cell for cell in before[:-3:-1] if TITLE.search(cell.source)), None)  # a hint may stand between
        if text is None:
            raise Malformed(f"{name}: the text before it has no '**Exercise 1: name (2 points).**'")
        title = TITLE.search(text.source)
        headings = re.findall(r"^## +(.+)$", "\n".join(cell.source for cell in before), flags=re.M)
        found.append(Exercise(name.removesuffix("_check"), title[1], title[2], nbgrader(check)["points"],
                              headings[-1] if headings else "", text, solution, check))
    return found


def read(path):
    """An instructor's notebook. Raises Malformed, which names it, where no copies can be made of it."""
    try:
        nb = checks.read(path)
        for form in (nb, to_learn_with(nb)):  # are stubs and visible checks Python, too?
            checks.check(form)
        wrong = list(lint(nb))
    except (Malformed, checks.Refused) as err:
        wrong = [str(err)]
    if wrong:
        raise Malformed(f"{path.name}: {'; '.join(wrong)}")
    return nb


def lint(nb):
    """Yield what is wrong with the exercises of an instructor's notebook, in sentences. Raises Malformed, as above."""
    for one in exercises_of(nb):
        # What stands outside the solution's block, stub and solution share; but what follows it, only the stub runs.
        after = SOLUTION.split(one.solution.source)[1:][-1:] or [""]
        left = [line.strip() for line in after[0].splitlines() if line.strip() and not line.strip().startswith("#")]
        if left != [TODO]:
            yield f"{one.id}: after ### END SOLUTION stands {'; '.join(left) or 'nothing'}, expected {TODO}"
        body = checks.tree(one.check.source).body
        if not re.match(r"exercises\.check\(\w+, ", ast.unparse(body[-1:])):
            yield f"{one.id}: its check does not end in exercises.check(name, [...])"
        called = [call for call in ast.walk(ast.Module(body, [])) if isinstance(call, ast.Call)
                  and ast.unparse(call.func) == "exercises.check"]
        given = [ast.literal_eval(word.value) for call in called for word in call.keywords if word.arg == "points"]
        printed = float(TITLE.search(one.text.source)[3])
        if given != [one.points] or printed != one.points:
            yield (f"{one.id}: points differ: {one.points} for nbgrader, {given} in exercises.check, {printed:g} in "
                   "its text")
        if bool(HIDDEN.search(one.check.source)) != ("hidden-check" in checks.tags(one.check)):
            yield f"{one.id}: the tag hidden-check and ### BEGIN HIDDEN TESTS go together"


def stub(source):
    """What a student gets of a solution cell; the same that nbgrader makes of it (a test holds the two together)."""
    return SOLUTION.sub(lambda m: re.match(r"[ \t]*", m[0])[0] + STUB + "\n", source)


def with_hints(nb):
    """A copy with a collapsed hint before each solution: what its comments of the form `# hint: ...` say."""
    nb = copy.deepcopy(nb)
    for one in exercises_of(nb):
        if said := re.findall(r"# *hint: *(.+)", one.solution.source, flags=re.I):
            text = f"<details><summary>A hint for {one.number.lower()}</summary>\n\n{' '.join(said)}\n\n</details>"
            nb.cells.insert(nb.cells.index(one.solution), _markdown(f"hint-{one.id.replace('_', '-')}", text))
    return nb


def to_learn_with(nb):
    """A learner's copy: stubs in the place of solutions, hints, no hidden tests."""
    nb = with_hints(nb)
    for one in exercises_of(nb):
        one.solution.source = stub(one.solution.source)
        one.check.source = HIDDEN.sub("", one.check.source)
    return nb


def source_notebook(nb, stem):
    """The teacher's version in the course: sizes for a laptop, how to hand in, hints."""
    nb = with_hints(nb)
    for cell in nb.cells:
        if "parameters" in checks.tags(cell):
            for name, value in GIVEN.items():
                cell.source = re.sub(rf"^{name} = .*?(?=  #|$)", f'{name} = "{value}"', cell.source, flags=re.M)
    text = contents.render("assignment.md.j2", exercises=exercises_of(nb), stem=stem, stub=STUB)
    nb.cells.insert(1, _markdown("assignment", text.rstrip()))
    nb.metadata.pop("papermill", None)
    return nb


def _markdown(name, text):
    cell = nbformat.v4.new_markdown_cell(text)
    cell["id"] = name
    return cell


def make(course=COURSE, notebooks=None):
    """Write the course. Returns {assignment: [Exercise]}. Raises Malformed for a notebook that cannot be one.

    What is there already is written anew; submissions and grades in it stay.
    """
    course = Path(course)
    course.mkdir(parents=True, exist_ok=True)
    write(course / "nbgrader_config.py", CONFIG)
    made = {}
    for path in map(Path, notebooks or all_notebooks()):
        nb = read(path)
        if found := exercises_of(nb):
            made[path.stem] = found
            folder = course / "source" / path.stem
            folder.mkdir(parents=True, exist_ok=True)
            write(folder / path.name, nbformat.writes(source_notebook(nb, path.stem)))
    for folder in (*course.glob("source/*"), *course.glob("release/*")):  # of a notebook that has gone
        if folder.is_dir() and folder.name not in made:
            shutil.rmtree(folder)
    _release(course, made)
    return made


def _release(course, names):
    """Let nbgrader make the students' copies, and know the assignments."""
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import PyFileConfigLoader
    config = PyFileConfigLoader("nbgrader_config.py", str(course)).load_config()
    config.CourseDirectory.root = str(course.resolve())
    logging.getLogger("traitlets").setLevel(logging.ERROR)
    find_alembic()
    api = NbGraderAPI(config=config, log_level=logging.ERROR)
    for name in names:
        with contextlib.redirect_stderr(None):
            result = api.generate_assignment(name, force=True)
        if not result["success"]:
            raise Malformed(f"{name}: nbgrader: {result.get('log') or ''}{result.get('error') or ''}")


def find_alembic():
    """nbgrader runs the program alembic by its name, also where this Python's environment is not activated."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(dict.fromkeys([os.path.dirname(os.path.abspath(sys.executable)), *folders]))


def command(args):
    """`csi-papers assignments`, from parsed arguments. Returns the exit status."""
    course = Path(args.out or COURSE)
    try:
        for name, found in make(course).items():
            print(f"{name}: {len(found)} exercises, {sum(one.points for one in found):g} points")
    except Malformed as err:
        print(err, file=sys.stderr)
        return 1
    print(f"hand out {course / 'release'}, keep {course / 'source'} to yourself")
    return 0
