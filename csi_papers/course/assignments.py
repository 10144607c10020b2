"""Assignments: an nbgrader course made from the instructor's notebooks alone.

    csi-papers assignments

writes build/course: source/ (with solutions and hidden tests, for the teacher), release/ (for students),
nbgrader_config.py and gradebook.db. Every notebook with graded cells is one assignment, named like its file.
"""

import ast
import builtins
import contextlib
import copy
import logging
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from csi_papers.run import notebook as checks
from csi_papers.run.provenance import write
from csi_utils import ROOT

COURSE = ROOT / "build" / "course"
STUB = "# Write your answer here."
GIVEN = {"profile": "smoke", "source": "embedded"}  # what a student's laptop and the grader run
SOLUTION = re.compile(r"^[ \t]*### BEGIN SOLUTION.*?^[ \t]*### END SOLUTION[^\n]*\n?", re.M | re.S)
HIDDEN = re.compile(r"^[ \t]*### BEGIN HIDDEN TESTS.*?^[ \t]*### END HIDDEN TESTS[^\n]*\n?", re.M | re.S)
TITLE = re.compile(r"\*\*(Exercise \d+): (.+?) \((\d+) points?\)\.?\*\*")
_CONFIG = f"""# Written by `make assignments` for nbgrader's own tools (nbgrader formgrader, nbgrader export).
c = get_config()
c.CourseDirectory.course_id = "csi-paper-notebooks"
c.ClearSolutions.code_stub = {{"python": "{STUB}"}}
# Grade with make grade: nbgrader autograde runs student code without a sandbox, and gives full marks to a check
# that never ran.
"""


@dataclass
class Exercise:
    """One graded exercise: its cells, what it is called, what it is worth."""

    id: str  # nbgrader's grade_id of the solution cell
    number: str  # "Exercise 1"
    title: str
    points: float
    text: object  # Markdown cell
    solution: object
    check: object


class Malformed(ValueError):
    """The exercises of an instructor's notebook do not fit together."""


def graded(cell):
    """Is this a check cell that gives points?"""
    return bool(cell.metadata.get("nbgrader", {}).get("grade"))


def exercises_of(nb):
    """The graded exercises of a notebook, in order. Raises Malformed where cells do not belong together."""
    by_id = {cell.metadata["nbgrader"]["grade_id"]: cell for cell in nb.cells if "nbgrader" in cell.metadata}
    found = []
    for check in filter(graded, nb.cells):
        name = check.metadata["nbgrader"]["grade_id"]
        solution = by_id.get(name.removesuffix("_check"))
        if solution is None or solution is check or not solution.metadata["nbgrader"].get("solution"):
            raise Malformed(f"{name}: no solution cell named {name.removesuffix('_check')!r} belongs to it")
        before = nb.cells[:nb.cells.index(solution)]
        texts = [cell for cell in reversed(before) if cell.cell_type == "markdown"][:2]  # a hint may stand between
        text = next((cell for cell in texts if TITLE.search(cell.source)), None)
        if text is None:
            raise Malformed(f"{name}: the text before it has no '**Exercise 1: name (2 points).**'")
        title = TITLE.search(text.source)
        found.append(Exercise(name.removesuffix("_check"), title[1], title[2],
                              check.metadata["nbgrader"]["points"], text, solution, check))
    return found


def lint(nb):
    """What is wrong with the exercises of an instructor's notebook, as sentences."""
    try:
        found = exercises_of(nb)
    except Malformed as err:
        return [str(err)]
    return [f"{one.id}: {text}" for one in found for text in _lint(one)]


def notes(nb):
    """What the exercises of a good notebook still lack, as sentences: an assignment can be made all the same."""
    return [f"{one.id}: no hidden tests on other inputs (### BEGIN HIDDEN TESTS)" for one in exercises_of(nb)
            if not HIDDEN.search(one.check.source)]


def _lint(one):
    if len(SOLUTION.findall(one.solution.source)) < 1:
        yield "no ### BEGIN SOLUTION and ### END SOLUTION"
        return
    for what, source in (("solution", one.solution.source), ("stub", stub(one.solution.source)),
                         ("check", one.check.source),
                         ("check without hidden tests", HIDDEN.sub("", one.check.source))):
        try:
            compile(source, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except SyntaxError as err:
            yield f"the {what} is not Python: {err}"
            return
    yield from _drift(one.solution.source)
    printed = float(TITLE.search(one.text.source)[3])
    called = [call for call in ast.walk(checks.tree(one.check.source)) if isinstance(call, ast.Call)
              and ast.unparse(call.func) == "exercises.check"]
    given = [ast.literal_eval(word.value) for call in called for word in call.keywords if word.arg == "points"]
    if given != [one.points] or printed != one.points:
        yield f"points differ: {one.points} for nbgrader, {given} in exercises.check, {printed:g} in the text"
    if bool(HIDDEN.search(one.check.source)) != ("hidden-check" in checks.tags(one.check)):
        yield "the tag hidden-check and ### BEGIN HIDDEN TESTS go together"


def stub(source):
    """What a student gets of a solution cell; the same that nbgrader makes of it (a test holds the two together)."""
    return SOLUTION.sub(lambda m: re.match(r"[ \t]*", m[0])[0] + STUB + "\n", source)


def _drift(source):
    """Lines of the stub that the solution never runs must still be a line of it, a comment, or an ellipsis.

    All else of a stub is shared with the solution, letter by letter. `...` and `exercises.TODO` stand for anything:
    `return exercises.TODO` matches a `return` of the solution.
    """
    lines = source.splitlines()
    solved = {line.strip() for block in SOLUTION.findall(source) for line in block.splitlines()}
    only = {n for first, last in _unreachable(checks.tree(source)) for n in range(first, last + 1)}
    wild = re.compile(r"\.\.\.|exercises\.TODO")
    kept = set(stub(source).splitlines())
    has_hole = False
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if line not in kept or not text or text.startswith("#"):
            continue
        hole = bool(wild.search(text))
        has_hole |= hole
        if (number in only or hole) and text != "..." and not any(
                re.fullmatch(".+".join(map(re.escape, wild.split(text))), other) for other in solved):
            yield f"the stub has drifted from the solution: {text!r} matches none of its lines"
    if not has_hole:
        yield "the stub does not return exercises.TODO, so an unfilled exercise is not 'to do'"


def _unreachable(tree):
    """(first, last) line of what follows a return or raise in the same block."""
    for node in ast.walk(tree):
        for body in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            ends = [n for n, item in enumerate(body) if isinstance(item, ast.Return | ast.Raise)] if isinstance(
                body, list) else []
            if ends:
                yield from ((item.lineno, item.end_lineno) for item in body[ends[0] + 1:])


def source_notebook(nb, stem):
    """The teacher's version in the course: sizes for a laptop, how to hand in, a collapsed hint for each exercise."""
    nb = copy.deepcopy(nb)
    found = exercises_of(nb)
    for one in found:
        nb.cells.insert(nb.cells.index(one.solution), _markdown(f"hint-{one.id.replace('_', '-')}", hint(one)))
    for cell in nb.cells:
        if "parameters" in checks.tags(cell):
            for name, value in GIVEN.items():
                cell.source = re.sub(rf"^{name} = .*?(?=  #|$)", f'{name} = "{value}"', cell.source, flags=re.M)
    nb.cells.insert(1, _markdown("assignment", _how_to(found, stem)))
    nb.metadata.pop("papermill", None)
    return nb


def _markdown(name, text):
    import nbformat
    cell = nbformat.v4.new_markdown_cell(text)
    cell["id"] = name
    return cell


def _how_to(found, stem):
    rows = "\n".join(f"| {one.number} | {one.title} | {one.points:g} |" for one in found)
    return f"""**Your assignment.** Read as far as you like; what is graded is in section 10, where it says `{STUB}`

| exercise | | points |
|---|---|---|
{rows}
| **together** | | **{sum(one.points for one in found):g}** |

- Keep the names and arguments of the functions, and leave the cells with the checks as they are. New cells are welcome.
- The cell below an answer checks it and says what is wrong. An exercise gives its points when *all* its checks pass; \
grading adds a few checks on other inputs.
- Before you hand in: *Kernel → Restart Kernel and Run All Cells*. It takes well under a minute, for this copy is set \
to the small `smoke` profile and simulated data; nothing is downloaded.
- Hand in this file as `{stem}.ipynb`, in a folder with your name; or as one file named \
`yourname_{stem}.ipynb`."""


def hint(one):
    """A collapsed hint: what the solution's comments of the form `# hint: ...` say, and which names it calls."""
    blocks = SOLUTION.findall(one.solution.source)
    said = re.findall(r"#+ *hint: *(.+)", "".join(blocks), flags=re.I)
    lines = [line for block in blocks for line in block.splitlines()[1:-1]
             if line.strip() and not line.strip().startswith("#")]
    calls = list(dict.fromkeys(_called(one.solution.source)))
    text = f"One solution has {len(lines)} line{'s' * (len(lines) != 1)}"
    text += f" and calls {', '.join(f'`{name}`' for name in calls)}." if calls else " and calls nothing."
    return f"<details><summary>A hint for {one.number.lower()}</summary>\n\n{' '.join([*said, text])}\n\n</details>"


def _called(source):
    """Names of what is called, in order; a method of something that the code itself made is `.method`."""
    tree = checks.tree(source)
    own = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for name in sorted(calls, key=lambda name: (name.end_lineno, name.end_col_offset)):
        if isinstance(name, ast.Name) and name.id not in vars(builtins):
            yield name.id
        elif isinstance(name, ast.Attribute):
            known = re.fullmatch(r"(\w+)(\.\w+)*", text := ast.unparse(name)) and text.partition(".")[0] not in own
            yield text if known else f".{name.attr}"


def make(course=COURSE, notebooks=None):
    """Write the course. Returns {assignment: [Exercise]}. Raises Malformed for a notebook that cannot be one.

    What is there already is written anew; submissions and grades in it stay.
    """
    import nbformat
    course = Path(course)
    course.mkdir(parents=True, exist_ok=True)
    write(course / "nbgrader_config.py", _CONFIG)
    made, found = {}, [Path(p) for p in notebooks] if notebooks else sorted((ROOT / "notebooks").glob("*.ipynb"))
    for path in found:
        nb = checks.read(path)
        if not any(map(graded, nb.cells)):
            continue
        if wrong := lint(nb):
            raise Malformed(f"{path.name}: {'; '.join(wrong)}")
        made[path.stem] = exercises_of(nb)
        folder = course / "source" / path.stem
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / path.name, nbformat.writes(source_notebook(nb, path.stem)))
    for kind in ("source", "release"):  # of a notebook that has gone
        for folder in (course / kind).glob("*"):
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
    beside = os.path.dirname(os.path.abspath(sys.executable))
    if beside not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join(filter(None, [beside, os.environ.get("PATH")]))


def command(args):
    """`csi-papers assignments`, from parsed arguments. Returns the exit status."""
    try:
        made = make(args.out or COURSE)
    except (Malformed, checks.Refused) as err:
        print(err, file=sys.stderr)
        return 1
    for name, found in made.items():
        print(f"{name}: {len(found)} exercises, {sum(one.points for one in found):g} points")
    print(f"{len(made)} assignments; hand out {Path(args.out or COURSE) / 'release'}, keep source to yourself")
    return 0
