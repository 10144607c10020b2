"""Assignments: what students get, and how a folder of submissions is graded, whatever lies in it."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from csi_papers import __main__
from csi_papers.course import assignments, feedback, grading, judge, sandbox, submissions
from csi_papers.run import notebook as checks

BWRAP = sandbox.bubblewrap()
needs_bubblewrap = pytest.mark.skipif(not BWRAP, reason="bubblewrap is not here, or this machine forbids it")
FOLDER = Path(__file__).resolve().parents[3] / "notebooks"
PATHS = [path for path in sorted(FOLDER.glob("*.ipynb"))
         if any(map(assignments.graded, nbformat.read(path, as_version=4).cells))]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    assignments.make(folder, PATHS)
    return folder


def read(path):
    return nbformat.read(path, as_version=4)


def of(course, kind, stem):
    return read(course / kind / stem / f"{stem}.ipynb")


@pytest.mark.slow
@pytest.mark.parametrize("stem", [path.stem for path in PATHS])
def test_a_students_copy_has_the_tasks_and_not_the_answers(course, stem):
    source, release = of(course, "source", stem), of(course, "release", stem)
    text = "\n".join(cell.source for cell in release.cells)
    assert not any(word in text for word in ("BEGIN SOLUTION", "END SOLUTION", "HIDDEN TESTS"))
    assert 'profile = "smoke"' in text and 'source = "embedded"' in text
    found = assignments.exercises_of(release)
    assert [(one.id, one.points) for one in found] == [
        (one.id, one.points) for one in assignments.exercises_of(source)]
    for mine, theirs in zip(assignments.exercises_of(source), found, strict=True):
        # nbgrader makes the stub that the lint has looked at.
        assert theirs.solution.source.rstrip() == assignments.stub(mine.solution.source).rstrip()
        assert theirs.check.source == assignments.HIDDEN.sub("", mine.check.source).rstrip("\n")
        # The list of what is asked, and where.
        assert re.search(rf"^## +{re.escape(mine.section)}$", text, flags=re.M)
        assert f"| {mine.title} | {mine.section} | {mine.points:g} |" in release.cells[1].source
        hint = release.cells[release.cells.index(theirs.solution) - 1]
        assert ("<details><summary>A hint for exercise" in hint.source) == ("# hint:" in mine.solution.source)
        assert theirs.check.metadata["editable"] is False
    assert not any(cell.get("outputs") for cell in release.cells)
    checks.check(release)
    # A learner's copy asks the same, at the notebook's own profile.
    learners = assignments.to_learn_with(read(FOLDER / f"{stem}.ipynb"))
    assert 'profile = "standard"' in "\n".join(cell.source for cell in learners.cells)
    for mine, theirs in zip(assignments.exercises_of(learners), found, strict=True):
        assert (mine.solution.source.rstrip(), mine.check.source.rstrip()) == (
            theirs.solution.source.rstrip(), theirs.check.source.rstrip())


@pytest.mark.notebook
@pytest.mark.parametrize("stem", [path.stem for path in PATHS[:1]])
def test_a_real_notebook_is_graded_as_a_whole(course, stem):
    """The shortest one: a learner's copy runs to its end and earns nothing, the teacher's earns all."""
    source = of(course, "source", stem)
    learners = assignments.to_learn_with(read(FOLDER / f"{stem}.ipynb"))
    for nb, status in ((learners, "to do"), (source, "passed")):
        answers, remarks = grading.grade(submissions.Submission(Path(stem), "x", assignment=stem, nb=nb), source)
        assert [a.status for a in answers] == [status] * len(assignments.exercises_of(source)) and remarks == []
        assert sum(a.points for a in answers) == (status == "passed") * sum(a.exercise.points for a in answers)


# A tiny course, to try what can go wrong.

def exercise(name, number):
    meta = {"schema_version": 3, "task": False, "locked": False, "grade": False, "solution": True, "grade_id": name}
    check = meta | {"locked": True, "grade": True, "solution": False, "grade_id": f"{name}_check", "points": 2}
    return [
        new_markdown_cell(f"**Exercise {number}: {name} (2 points).** Return `x` times {number}. $x<y$"),
        new_code_cell(f"def {name}(x):\n    ### BEGIN SOLUTION\n    # hint: multiply\n"
                      f"    return {number} * np.asarray(x)\n    ### END SOLUTION\n    return exercises.TODO",
                      id=name, metadata={"nbgrader": meta, "tags": ["exercise", "solution"]}),
        new_code_cell(f"exercises.check({name}, [\n    exercises.case(FIRST, expect={number} * FIRST, hint='times'),\n"
                      "    ### BEGIN HIDDEN TESTS\n"
                      f"    exercises.case(-FIRST, expect=-{number} * FIRST, hint='also negative'),\n"
                      f"    ### END HIDDEN TESTS\n], points=2, name='{name}')",
                      id=f"{name}-check", metadata={"nbgrader": check, "tags": ["check", "hidden-check"]})]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    nb = new_notebook(cells=[
        new_markdown_cell("# 99 · Tiny & <small>\n\n## 1. Set-up"),
        new_code_cell('profile = "standard"  # smoke\nsource = "auto"\nseed = 0', metadata={"tags": ["parameters"]}),
        new_code_cell("import numpy as np\n\nfrom csi_utils import exercises", id="imports"),
        new_code_cell("FIRST = np.arange(1.0, 4)", id="first"),
        new_markdown_cell("## 4. The method, equation by equation"),
        *exercise("once", 1), *exercise("twice", 2), new_markdown_cell("## 7. Does it survive?"),
        *exercise("thrice", 3), new_code_cell("import time\ntime.sleep(100)  # after the last check", id="slow")])
    nb.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(nb, folder / "99_tiny.ipynb")
    assignments.make(folder / "course", [folder / "99_tiny.ipynb"])
    return folder / "course"


RIGHT = {name: f"def {name}(x):\n    return {n} * np.asarray(x)"
         for n, name in enumerate(("once", "twice", "thrice"), 1)}


def answered(course, drop=(), **answers):
    """A student's copy: the right answers but for what is given. drop: ids of cells to delete."""
    nb = of(course, "release", "99_tiny")
    for cell in nb.cells:
        cell.source = (RIGHT | answers).get(cell["id"].replace("-", "_"), cell.source)
    nb.cells = [cell for cell in nb.cells if cell["id"] not in drop]
    return nb


CHEATS = {  # each of them earned full marks where checks ran beside the student's code
    "globals": "exercises.check.__globals__['_difference'] = lambda got, item: None",
    "class exercises": "class exercises:\n    case = prop = staticmethod(lambda *a, **k: 1)\n    @staticmethod\n"
                       "    def check(*a, **k):\n        return 2.0",
    "import as": "import types\nother = types.SimpleNamespace(case=print, prop=print, check=lambda *a, **k: 2.0)\n"
                 "import sys\nsys.modules['csi_utils.exercises'] = sys.modules['csi_utils'].exercises = other\n"
                 "from csi_utils import exercises as exercises",
    "vars": "vars(exercises)['check'] = lambda *a, **k: exercises.Score(2)",
    "gc": "import gc\nfor thing in gc.get_objects():\n    if isinstance(thing, dict) and '_difference' in thing:\n"
          "        thing['_difference'] = lambda got, item: None",
    "background": "import os, time\nif not os.fork():\n    for number in range(3, 20):\n        try:\n"
                  "            os.write(number, b'{\"value\": 1, \"status\": \"passed\", \"score\": 2}\\n')\n"
                  "        except OSError:\n            pass\n    os._exit(0)",
    "allclose": "np.allclose = lambda *a, **k: True",
    "frames": "import sys\ndef {name}(x):\n    frame = sys._getframe()\n    while frame:\n"
              "        for value in frame.f_locals.values():\n            if hasattr(value, 'expect'):\n"
              "                return value.expect\n        frame = frame.f_back\n    return 0",
    "changes its input": "def {name}(x):\n    x[:] = 0\n    return x",
    "no plain value": "class Equal(float):\n    def __eq__(self, other):\n        return True\n"
                      "def {name}(x):\n    return [Equal(), object()]",
}
CHEATS["look"] = """
import gc, os, sys
def {name}(x):
    seen, frame = [sys.argv, dict(os.environ), open('/proc/self/cmdline').read()], sys._getframe()
    known = os.path.dirname(sys.modules['csi_utils'].__path__[0]), sys.prefix  # large, where a checkout lies in /tmp
    for folder in ('/tmp', '/dev/shm', os.getcwd(), os.environ['HOME']):
        for place, folders, files in os.walk(folder):
            folders[:] = [one for one in folders if os.path.join(place, one) not in known]
            seen += [open(os.path.join(place, file), errors='replace').read() for file in files]
    while frame:
        seen.append({key: repr(value) for key, value in frame.f_locals.items() if key != 'seen'})
        frame = frame.f_back
    seen += [text for thing in gc.get_objects() if type(thing) is dict
             for text in list(thing.values()) if type(text) is str and 'seen' not in text]
    raise ValueError('found:' + ' '.join(word for word in ('also neg' + 'ative', '-FI' + 'RST') if word in repr(seen)))
"""
CHEATS["transformer"] = "get_ipython().input_transformers_post.append(lambda lines: ['2.0\\n'])"  # the last


@pytest.mark.notebook
@needs_bubblewrap
def test_code_that_cheats_earns_nothing(tiny):
    """One process takes them all, one after the other; and hidden tests are nowhere to be found in it."""
    source = of(tiny, "source", "99_tiny")
    exercise, names = assignments.exercises_of(source)[0], judge.bench(nbformat.writes(source))["once"]
    said = {}
    with sandbox.Student(BWRAP, cpu=99) as student:  # a busy machine must not stop a cheat before it fails
        student.run("import numpy as np\nfrom csi_utils import exercises", 99)
        for what, code in ({"right": "def {name}(x):\n    return x"} | CHEATS).items():
            student.run(("def {name}(x):\n    return 0 * x\n" + code).replace("{name}", "once"), 99)
            said[what] = judge.judge(exercise, names, student, 99)
    assert {what: status for what, (status, _) in said.items() if what != "right"} == dict.fromkeys(CHEATS, "wrong")
    assert said["right"] == ("passed", [None, None])
    assert said["look"][1][0].partition("it raised ")[2].startswith("ValueError: found: (in once"), said["look"]


@pytest.mark.notebook
def test_a_batch_of_everything(tiny, tmp_path, monkeypatch, capsys):
    """One row for each file, the right points, and every line a person can act on."""
    monkeypatch.setenv("COURSE_SECRET", "hunter2")
    inbox = tmp_path / "inbox"
    inbox.mkdir()

    def hand_in(student, nb, name="{}_99_tiny.ipynb"):
        path = inbox / name.format(student)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(nb), encoding="utf-8")

    hand_in("ann", answered(tiny), "{}/99_tiny/99_tiny.ipynb")
    hand_in("Bo Li_1234_assignsubmission_file_", answered(tiny, twice="def twice(x):\n    return np.abs(2 * x)"),
            "{}/homework.ipynb")
    hand_in("loop", answered(tiny, once="def once(x):\n    while True:\n        pass"))
    hand_in("exit", answered(tiny, once="import sys\ndef once(x):\n    sys.exit(0)", twice="import os\nos._exit(0)",
                             thrice="def thrice(x):\n    return 3 * np.asarray(x)\nexit()"))
    hand_in("kill", answered(tiny, once="import os\nos.kill(os.getpid(), 9)"))
    hand_in("half", answered(tiny, once="def once(x):\n    return '\\ud800'  # \ud800"))
    hand_in("secret", answered(tiny, once="import os\ndef once(x):\n    raise ValueError(str(dict(os.environ)))"))
    hand_in("gone", answered(tiny, drop=("once-check", "twice", "twice-check", "hint-once")))
    hand_in("cheat", answered(tiny, once="exercises.check = lambda *a, **k: exercises.Score(2)\nonce = 1",
                              twice_check="exercises.Score(2)"))
    nb = answered(tiny, once="def once(x):\n    return helper(x)", thrice="def thrice(x)\n    return 3 * x")
    nb.cells.insert(5, new_code_cell("def helper(x):\n    return 1 * np.asarray(x)"))
    for cell in nb.cells:  # as an older editor saves it
        cell["id"] = cell["id"] + "x"
    hand_in("helper", nb)
    nb = answered(tiny)
    next(cell for cell in nb.cells if cell["id"] == "imports").metadata["nbgrader"] = {"grade_id": ["a", "list"]}
    hand_in("list", nb)
    # No cell of theirs is left out, whatever it looks like.
    nb = answered(tiny, once="rows = [1]\ndef once(x):\n    return np.asarray(x) * len(rows)")
    nb.cells.insert([cell["id"] for cell in nb.cells].index("once") + 1, new_code_cell("rows.append(1)"))
    hand_in("rows", nb)
    (inbox / "ugo_99_tiny.ipynb").write_text("{'cells': [")
    (inbox / "vic_99_tiny.ipynb").write_text('{"a": 1}')
    (inbox / "wes_99_tiny.pdf").write_bytes(b"%PDF")
    with open(inbox / "xia_99_tiny.ipynb", "wb") as file:
        file.truncate(100 << 20)
    Path(os.fsdecode(os.fsencode(inbox) + b"/\xff\xfe_99_tiny.ipynb")).write_text("{}")
    (inbox / "yan_99_tiny.ipynb").write_bytes(b"\xff\xfe\x00")
    hand_in("", answered(tiny), "homework{}.ipynb")
    hand_in("zoe", new_notebook(cells=[new_code_cell("1")]))
    (inbox / ".DS_Store").write_text("")

    rows = grading.grade_folder(inbox, tiny, BWRAP, jobs=2, cpu=3)
    with open(tiny / "grades.csv", encoding="utf-8-sig", newline="") as file:
        assert list(csv.DictReader(file)) == rows
    table = {row["student"] or row["file"]: row for row in rows}
    assert {name: row["points"] for name, row in table.items()} == {
        "ann": "6", "Bo Li": "4", "loop": "4", "exit": "2", "kill": "4", "half": "4", "secret": "4", "gone": "4",
        "cheat": "4", "helper": "4", "list": "6", "rows": "4",
        "homework.ipynb": "", **{name: "" for name in table if name.endswith(("tiny.ipynb", "tiny.pdf"))}}
    assert not [row for row in rows if row["student"] and row["status"] != "graded"]
    for name, words in {
            "Bo Li": ("named homework.ipynb; by its cells it is 99_tiny", "twice: 0 (wrong)"),
            "loop": ("once: 0 (stopped)",),
            "exit": ("once: 0 (wrong)", "twice: 0 (stopped)", "thrice: 2 (passed)", "it ended Python"),
            "kill": ("it ended Python", "once: 0 (stopped)"), "half": ("once: 0 (wrong)",),
            "gone": ("missing cells were put back: once_check, twice_check", "twice: 0 (error)"),
            "cheat": ("once: 0 (wrong)", "the course's own were run: twice_check"),
            "helper": ("SyntaxError", "thrice: 0 (error)"), "rows": ("once: 0 (wrong)",),
            "ugo_99_tiny.ipynb": ("JSONDecodeError",), "vic_99_tiny.ipynb": ("not a notebook",),
            "wes_99_tiny.pdf": ("does not end in .ipynb",), "xia_99_tiny.ipynb": ("100 MB",),
            "yan_99_tiny.ipynb": ("not text",), "zoe_99_tiny.ipynb": ("graded cells of no assignment",),
            "homework.ipynb": ("is no student",)}.items():
        said = f"{table[name]['exercises']} {table[name]['remarks']}"
        assert all(word in said for word in words), said
    assert "hunter2" not in (tiny / "feedback" / "secret" / "99_tiny.html").read_text(encoding="utf-8")
    assert "hunter2" not in (tiny / "exercises.csv").read_text(encoding="utf-8")
    assert capsys.readouterr().out.count("\n") == len(rows) == 20
    from nbgrader.api import Gradebook
    with Gradebook(f"sqlite:///{tiny / 'gradebook.db'}") as book:
        assert {s.student.id: s.score for s in book.assignment_submissions("99_tiny")}["Bo Li"] == 4
    subprocess.run([sys.executable, "-m", "nbgrader", "export"], cwd=tiny, capture_output=True, check=True)
    assert "Bo Li" in (tiny / "nbgrader.csv").read_text() and len(rows_of(tiny)) == len(rows)  # grades.csv is ours
    text = (tiny / "autograded" / "Bo Li" / "99_tiny" / "99_tiny.ipynb").read_text(encoding="utf-8")  # for formgrader
    assert "np.abs(2 * x)" in text and "✗ check 2" in text and "HIDDEN" not in text
    page = (tiny / "feedback" / "Bo Li" / "99_tiny.html").read_text(encoding="utf-8")
    assert "<strong>4</strong> of 6 points" in page and "also negative" in page and "return np.abs(2 * x)" in page
    assert "99 · Tiny &amp; &lt;small&gt;" in page and "http" not in page and "HIDDEN" not in page


def grade_command(course, folder, **options):
    options = {"submissions": folder, "course": course, "jobs": 1, "sandbox": "none", "cpu": 30} | options
    return grading.command(SimpleNamespace(**options))


def rows_of(course):
    with open(course / "grades.csv", encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def inbox(tiny, tmp_path):
    """One right submission, and nothing graded yet."""
    (tiny / "graded.json").unlink(missing_ok=True)
    nbformat.write(answered(tiny), tmp_path / "ann_99_tiny.ipynb")
    return tmp_path


@pytest.mark.notebook
@pytest.mark.parametrize("inside", [pytest.param(BWRAP, marks=needs_bubblewrap), None])
def test_a_broken_sandbox_grades_nobody_0_points(tiny, inbox, monkeypatch, inside):
    monkeypatch.setattr(grading.sandbox, "bubblewrap", lambda: inside)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert grade_command(tiny, inbox) == 1
    [row] = rows_of(tiny)
    assert (row["points"], row["status"]) == ("", "not graded") and "/nowhere/python" in row["remarks"]


@pytest.mark.notebook
def test_where_a_package_is_missing_nobody_is_graded(tiny, inbox, monkeypatch):
    """The course's own solutions are tried first: where they do not pass, the place is broken and not the answer."""
    run = sandbox.Student.run
    monkeypatch.setattr(sandbox.Student, "run", lambda self, source, cpu: run(
        self, f"import sys\nsys.modules['numpy'] = None\n{source}", cpu))
    assert grade_command(tiny, inbox) == 1
    [row] = rows_of(tiny)
    assert row["status"] == "not graded" and "own solutions do not pass here: the course's own cell" in row["remarks"]
    assert "ModuleNotFoundError" in row["remarks"]


def test_a_cell_of_the_course_that_is_stopped_costs_no_points(tiny, monkeypatch):
    """Also behind a student's cell; an error there may be the student's doing, and is a remark."""
    source, nb = of(tiny, "source", "99_tiny"), answered(tiny)
    nb.cells.insert(2, new_code_cell("x = 1", id="theirs"))
    one = submissions.Submission(Path("x"), "x", assignment="99_tiny", nb=nb)
    what = {}

    def run(self, text, cpu):
        if text.startswith("FIRST") and what["stopped"]:
            raise sandbox.Stopped(what["stopped"])
        return "NameError: np" if text.startswith("FIRST") else ""

    monkeypatch.setattr(sandbox.Student, "run", run)
    monkeypatch.setattr(sandbox.Student, "ask", lambda *args: {"undefined": True})
    what["stopped"] = "stopped: it computed for 30 s"
    with pytest.raises(sandbox.Lost, match="course's own cell 4 .FIRST = .*: stopped"):
        grading.grade(one, source)
    what["stopped"] = ""
    answers, remarks = grading.grade(one, source)
    assert [a.status for a in answers] == ["error"] * 3 and "NameError: np" in remarks[0]
    nb.cells.pop(2)
    with pytest.raises(sandbox.Lost, match="course's own cell 3 .FIRST = .*: NameError: np"):
        grading.grade(one, source)


@pytest.fixture
def all_pass(monkeypatch):
    """Grading without running anything: every answer passes."""
    monkeypatch.setattr(grading, "grade", lambda one, source, *args, **limits: (
        [grading.Answer(exercise, "passed", [], "") for exercise in assignments.exercises_of(source)], []))


def test_a_crash_of_the_grader_does_not_end_well(tiny, inbox, monkeypatch, all_pass):
    nbformat.write(answered(tiny), inbox / "bob_99_tiny.ipynb")
    page = feedback.page
    monkeypatch.setattr(feedback, "page", lambda title, student, *args: page(title, student, *args) if student == "ann"
                        else 1 / 0)
    assert grade_command(tiny, inbox) == 1
    assert {row["student"]: (row["points"], row["status"]) for row in rows_of(tiny)} == {
        "ann": ("6", "graded"), "bob": ("", "not graded")}
    monkeypatch.setattr(grading, "grade", lambda *args, **options: 1 / 0)
    (tiny / "graded.json").unlink()
    assert grade_command(tiny, inbox) == 1
    assert all("an error of the grader: ZeroDivisionError" in row["remarks"] for row in rows_of(tiny))


def _dies(task):
    """A grader's process that is killed at one of its tasks."""
    if task == "bomb":
        os.kill(os.getpid(), signal.SIGKILL)
    return task, []


@pytest.mark.parametrize("jobs", [1, 2])
def test_who_kills_the_graders_process_is_not_graded_and_the_others_are(jobs):
    found = dict(grading._each(_dies, ["ann", "bomb", "bob", "cleo"], jobs))
    answers, remarks = found.pop("bomb")
    assert answers is None and "the grader's process was killed" in remarks[0]
    assert found == {name: (name, []) for name in ("ann", "bob", "cleo")}


def test_a_teachers_limit_reaches_the_students_process(tiny, inbox, monkeypatch, all_pass):
    """make grade CPU=7: the command that make writes, and the limit that each submission is graded with."""
    root = FOLDER.parent
    said = subprocess.run(["make", "-n", "grade", f"SUBMISSIONS={inbox}", "CPU=7"], cwd=root, capture_output=True,
                          text=True, check=True).stdout
    assert "--cpu 7" in said and "--sandbox require" in said
    grade, limits = grading.grade, tiny / "limits"
    monkeypatch.setattr(grading, "grade", lambda one, source, bwrap, cpu: (
        limits.write_text(f"{cpu}"), grade(one, source))[1])
    arguments = ["grade", str(inbox), "--course", str(tiny), "--cpu", "7", "--sandbox", "none"]
    assert __main__.main(arguments) == 0 and limits.read_text() == "7"


def test_graded_is_0_and_a_file_that_is_no_submission_changes_nothing(tiny, inbox, capsys, all_pass):
    (inbox / "notes.txt").write_text("late: bob")
    assert grade_command(tiny, inbox) == 0
    assert {row["file"]: row["status"] for row in rows_of(tiny)} == {"ann_99_tiny.ipynb": "graded",
                                                                     "notes.txt": "refused"}
    assert "1 graded, 0 handed in and NOT graded, 1 other files" in capsys.readouterr().out


def test_a_second_start_goes_on_and_the_first_has_lost_nothing(tiny, inbox, monkeypatch, all_pass):
    """Tables are there after each submission; what is graded is not run again, unless it is another notebook."""
    grade, ran = grading.grade, tiny / "ran"
    nbformat.write(answered(tiny), inbox / "bob_99_tiny.ipynb")

    def stop(row):
        raise KeyboardInterrupt

    def noted(one, *args):
        with open(ran, "a", encoding="utf-8") as file:
            file.write(f"{one.student or 'course'} ")
        return grade(one, *args)

    monkeypatch.setattr(grading, "grade", noted)
    with pytest.raises(KeyboardInterrupt):
        grading.grade_folder(inbox, tiny, say=stop)
    assert [row["status"] for row in rows_of(tiny)] == ["graded"]
    ran.write_text("")
    assert [row["status"] for row in grading.grade_folder(inbox, tiny)] == ["graded"] * 2
    assert ran.read_text() in ("course bob ", "course ann ")
    nbformat.write(answered(tiny, once="def once(x):\n    return 1"), inbox / "bob_99_tiny.ipynb")
    ran.write_text("")
    assert len(grading.grade_folder(inbox, tiny)) == 2 and ran.read_text() == "course bob "


def test_asking_for_a_sandbox_that_is_not_there_is_refused(tiny, inbox, monkeypatch):
    monkeypatch.setattr(sandbox, "bubblewrap", lambda: None)
    (tiny / "grades.csv").unlink(missing_ok=True)
    assert grade_command(tiny, inbox, sandbox="require") == 2 and not (tiny / "grades.csv").exists()


@pytest.mark.notebook
@pytest.mark.parametrize("inside", [pytest.param(BWRAP, marks=needs_bubblewrap), None])
def test_what_a_students_process_can_and_cannot(tmp_path, monkeypatch, inside):
    """Few variables, no network; loops and waiting end, in time that it computes and not in time that it lasts."""
    monkeypatch.setenv("COURSE_SECRET", "hunter2")
    monkeypatch.setattr(sandbox, "MEMORY", 1 << 30)
    (tmp_path / "other.ipynb").write_text("the other student's answer")
    with sandbox.Student(inside, cpu=1) as student:
        def run(text, cpu=30):
            try:
                return student.run(text, cpu) or "fine"
            except sandbox.Stopped as err:
                return f"Stopped: {err}"

        assert run("import os\nassert 'HOME' in os.environ and 'COURSE_SECRET' not in os.environ") == "fine"
        assert run("import socket\nsocket.create_connection(('192.0.2.1', 80), 2)") != "fine"
        assert run("print('x' * 10**7)\nexit()\nx = 1") == "fine" and run("raise SystemExit") != "fine"
        assert run("while True:\n    pass", 1).startswith("Stopped: stopped: it computed for 1 s")
        assert run("import time\ntime.sleep(600)", 1).startswith("Stopped: stopped: it computed for 1 s")
        assert run("x += 1\nassert x == 2") == "fine"  # what was there before is there still
        assert run("import os\nos._exit(0)").startswith("Stopped: it ended Python")
        assert run("assert x == 2") == "fine"
        if inside:
            for path in (tmp_path / "other.ipynb", FOLDER / PATHS[0].name):
                assert run(f"open({str(path)!r})").startswith("FileNotFoundError")
            for path in ("/x", "/dev/x", "/usr/x"):
                assert run(f"open({path!r}, 'w')") != "fine"
            assert run("import csi_utils; open(csi_utils.__file__, 'a')") != "fine"
            assert run("assert len([p for p in os.listdir('/proc') if p.isdigit()]) < 9") == "fine"
            for folder in ("/tmp", "/dev/shm"):
                assert "No space left" in run(f"for n in range(2):\n    with open(f'{folder}/{{n}}', 'wb') as f:\n"
                                              "        f.write(bytes(150 << 20))")
            assert "more than 1 GB" in run("y = b'x' * (1500 << 20)\nimport time\ntime.sleep(60)")


@pytest.mark.notebook
def test_time_that_is_used_up_costs_no_points():
    with sandbox.Student(None, cpu=0.1) as student, pytest.raises(sandbox.Lost, match="time for the submission was"):
        student.left = 0
        student.run("1", 1)


def test_a_second_copy_of_one_student_is_told_and_the_newer_one_counts(tiny, tmp_path):
    for age, name in enumerate(("eve_99_tiny.ipynb", "eve/99_tiny.ipynb")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        nbformat.write(answered(tiny), path)
        os.utime(path, (1e9 + age, 1e9 + age))
    found = submissions.collect(tmp_path, {"99_tiny": of(tiny, "source", "99_tiny")})
    assert {s.path.name: (s.nb is None, s.student, s.remarks) for s in found} == {
        "99_tiny.ipynb": (False, "eve", []),
        "eve_99_tiny.ipynb": (True, "eve", ["older than 99_tiny.ipynb of the same student"])}


def test_names_of_learning_platforms():
    for name, student in {"lin_99_tiny.ipynb": "lin", "lin-99_tiny-1.ipynb": "lin", "王芳_99_tiny.ipynb": "王芳",
                          "linmei_late_8812_99120_99_tiny-1.ipynb": "linmei", "Mei Lin/99_tiny.ipynb": "Mei Lin",
                          "linmei_LATE_8812_99120_99_tiny-1.ipynb": "linmei", "O'Neil/99_tiny.ipynb": "O'Neil",
                          "Lin, Mei (b) [2]/a.ipynb": "Lin, Mei (b) [2]", "D’Arcy_99_tiny.ipynb": "D’Arcy",
                          "99_tiny/mei/99_tiny.ipynb": "mei", "mei/99_tiny/x.ipynb": "mei",
                          "Mei Lin_77_assignsubmission_file_/a.ipynb": "Mei Lin", "lin_a.ipynb": "lin"}.items():
        assert submissions._student(Path(name), "99_tiny")[0] == student, name
    for name in ("99_tiny.ipynb", "=x_99_tiny.ipynb", "../99_tiny.ipynb", "a.ipynb"):
        with pytest.raises(submissions.Unusable, match="is no student"):
            submissions._student(Path(name), "99_tiny")


def test_two_students_of_one_name_are_two_and_a_byte_order_mark_is_read(tiny, tmp_path):
    text = nbformat.writes(answered(tiny))
    for name in ("Mei Lin_77", "Mei Lin_78", "Bo Li_79"):
        folder = tmp_path / f"{name}_assignsubmission_file_"
        folder.mkdir()
        (folder / "99_tiny.ipynb").write_text(text, encoding="utf-8-sig")
    found = submissions.collect(tmp_path, {"99_tiny": of(tiny, "source", "99_tiny")})
    assert [(s.student, s.nb is not None) for s in found] == [
        ("Bo Li", True), ("Mei Lin (77)", True), ("Mei Lin (78)", True)]


def test_no_folder_and_no_course_are_said(tmp_path, tiny):
    with pytest.raises(FileNotFoundError, match="no folder"):
        grading.grade_folder(tmp_path / "nowhere", tiny)
    with pytest.raises(FileNotFoundError, match="make assignments"):
        grading.grade_folder(tmp_path, tmp_path)


def test_no_cell_of_a_table_is_computed_by_a_spreadsheet():
    assert grading._table([{"a": "=1+1", "b": "x"}]) == "\ufeffa,b\n'=1+1,x\n"


def test_the_page_shows_code_as_code(tiny):
    one = assignments.exercises_of(of(tiny, "source", "99_tiny"))[0]
    text = "<script>alert('1')</script>"
    page = feedback.page(text, text, [grading.Answer(one, "wrong", [(False, text)], text)], [text])
    assert "<script" not in page and page.count("&lt;script&gt;") == 6


def test_malformed_exercises_are_told(tiny, tmp_path):
    source = read(tiny.parent / "99_tiny.ipynb")

    def lint(old, new):
        nb = nbformat.from_dict(json.loads(json.dumps(source)))
        for cell in nb.cells:
            cell.source = cell.source.replace(old, new)
        nbformat.write(nb, tmp_path / "99_tiny.ipynb")
        try:
            return assignments.read(tmp_path / "99_tiny.ipynb") and ""
        except assignments.Malformed as err:
            return str(err)

    assert lint("", "") == "" and lint("**Exercise 1: once", "**Task 1: once").startswith("99_tiny.ipynb: once_check: ")
    assert "points differ: 2 for nbgrader, [2] in exercises.check, 3 in its text" in lint(
        "once (2 points)", "once (3 points)")
    assert "points differ" in lint("], points=2", "], points=3")
    assert "the text before it has no" in lint("**Exercise 1: once", "**Task 1: once")
    assert "stands return 0, expected return exercises.TODO" in lint("return exercises.TODO", "return 0")
    assert "after ### END SOLUTION stands nothing" in lint("### BEGIN SOLUTION", "")
    assert "not plain Python" in lint("exercises.case(FIRST", "exercises.case((FIRST")
    assert "not plain Python" in lint(  # the check without its hidden tests
        "hint='times'),\n    ### BEGIN HIDDEN TESTS", "hint='times'\n    ### BEGIN HIDDEN TESTS\n    ),")
    assert "go together" in lint("HIDDEN TESTS", "MORE TESTS")
