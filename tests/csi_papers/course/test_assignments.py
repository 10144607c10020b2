"""Assignments: what students get, and how a folder of submissions is graded, whatever lies in it."""

import csv
import json
import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from csi_papers.course import assignments, feedback, grading, needed, sandbox, submissions
from csi_papers.run import notebook as checks
from csi_papers.run.runner import run_notebook
from csi_utils import exercises

FOLDER = Path(__file__).resolve().parents[3] / "notebooks"
PATHS = [path for path in sorted(FOLDER.glob("*.ipynb"))
         if any(map(assignments.graded, nbformat.read(path, as_version=4).cells))]
WHOLE = [pytest.param(path.stem, id=path.stem) for path in PATHS if path.stem[:2] in ("01", "04")]  # takes its time


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    assignments.make(folder, PATHS)
    return folder


def read(path):
    return nbformat.read(path, as_version=4)


def of(course, kind, stem):
    return read(course / kind / stem / f"{stem}.ipynb")


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
        assert mine.title in release.cells[1].source  # the list of what is asked
        hint = release.cells[release.cells.index(theirs.solution) - 1]
        assert hint.cell_type == "markdown" and "<details><summary>A hint for exercise" in hint.source
        assert theirs.check.metadata["editable"] is False
    assert not any(cell.get("outputs") for cell in release.cells)
    checks.check(release)


def submit(course, folder, stem, student, kind="release"):
    target = folder / student / f"{stem}.ipynb"
    target.parent.mkdir(parents=True)
    shutil.copy(course / kind / stem / f"{stem}.ipynb", target)
    return target


@pytest.mark.notebook
@pytest.mark.parametrize("stem", WHOLE)
def test_the_untouched_copy_runs_and_earns_nothing_and_the_teachers_earns_all(course, stem, tmp_path):
    path = course / "release" / stem / f"{stem}.ipynb"
    result = run_notebook(path, tmp_path / "run", "smoke", threads=1, graded=False)
    assert result["status"] == "ok"
    said = [out.data[exercises.MIME] for cell in read(tmp_path / "run" / f"{stem}.ipynb").cells
            for out in cell.get("outputs", []) if exercises.MIME in out.get("data", {})]
    source = of(course, "source", stem)
    found = assignments.exercises_of(source)
    assert [one["status"] for one in said] == ["to do"] * len(found)
    for student, kind, status in (("untouched", "release", "to do"), ("teacher", "source", "passed")):
        path = submit(course, tmp_path / "in", stem, student, kind)
        one = submissions.Submission(path, student, stem, read(path))
        answers, remarks = grading.grade(one, source)
        assert [a.status for a in answers] == [status] * len(found) and remarks == []
        assert sum(a.points for a in answers) == (status == "passed") * sum(one.points for one in found)


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
        new_markdown_cell("# 99 · Tiny & <small>"),
        new_code_cell('profile = "standard"  # smoke\nsource = "auto"\nseed = 0', metadata={"tags": ["parameters"]}),
        new_code_cell("import numpy as np\n\nfrom csi_utils import exercises", id="imports"),
        new_code_cell("import time\ntime.sleep(100)  # no exercise needs it", id="slow"),
        new_code_cell("FIRST = np.arange(1.0, 4)", id="first"),
        *exercise("once", 1), *exercise("twice", 2), *exercise("thrice", 3)])
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


def test_a_batch_of_everything(tiny, tmp_path, monkeypatch, capsys):
    """One row for each file, the right points, and every line a person can act on."""
    monkeypatch.setenv("COURSE_SECRET", "hunter2")
    inbox = tmp_path / "inbox"
    inbox.mkdir()

    def hand_in(student, nb, name="{}_99_tiny.ipynb"):
        path = inbox / name.format(student)
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(nb, path)

    hand_in("ann", answered(tiny), "{}/99_tiny/99_tiny.ipynb")
    hand_in("Bo Li_1234_assignsubmission_file_", answered(tiny, twice="def twice(x):\n    return np.abs(2 * x)"),
            "{}/homework.ipynb")
    hand_in("loop", answered(tiny, once="def once(x):\n    while True:\n        pass"))
    hand_in("exit", answered(tiny, once="import sys\ndef once(x):\n    sys.exit(0)", twice="import os\nos._exit(0)"))
    hand_in("kill", answered(tiny, once="import os\nos.kill(os.getppid(), 9)"))
    hand_in("secret", answered(tiny, once="import os\ndef once(x):\n    raise ValueError(str(dict(os.environ)))"))
    hand_in("gone", answered(tiny, drop=("imports", "once-check", "twice", "hint-once")))
    hand_in("cheat", answered(tiny, once="exercises.check = lambda *a, **k: exercises.Score(2)\nonce = 1",
                              twice_check="exercises.Score(2)"))
    nb = answered(tiny, once="def once(x):\n    return helper(x)", thrice="def thrice(x)\n    return 3 * x")
    nb.cells.insert(5, new_code_cell("def helper(x):\n    return 1 * np.asarray(x)"))
    for cell in nb.cells:  # as an older editor saves it
        cell["id"] = cell["id"] + "x"
    hand_in("helper", nb)
    (inbox / "ugo_99_tiny.ipynb").write_text("{'cells': [")
    (inbox / "vic_99_tiny.ipynb").write_text('{"a": 1}')
    (inbox / "wes_99_tiny.pdf").write_bytes(b"%PDF")
    with open(inbox / "xia_99_tiny.ipynb", "wb") as file:
        file.truncate(100 << 20)
    (inbox / "yan_99_tiny.ipynb").write_bytes(b"\xff\xfe\x00")
    hand_in("", answered(tiny), "homework{}.ipynb")
    hand_in("zoe", new_notebook(cells=[new_code_cell("1")]))
    (inbox / ".DS_Store").write_text("")

    rows = grading.grade_folder(inbox, tiny, jobs=2, cell_timeout=4)
    with open(tiny / "grades.csv", encoding="utf-8-sig", newline="") as file:
        assert list(csv.DictReader(file)) == rows
    table = {row["student"] or row["file"]: row for row in rows}
    assert {name: row["points"] for name, row in table.items()} == {
        "ann": "6", "Bo Li": "4", "loop": "4", "exit": "2", "kill": "0", "secret": "4", "gone": "4", "cheat": "0",
        "helper": "4", "ugo": "", "vic": "", "wes": "", "xia": "", "yan": "", "zoe": "", "homework.ipynb": ""}
    for name, words in {
            "Bo Li": ("named homework.ipynb; by its cells it is 99_tiny", "twice: 0 of 2 (wrong, 1 of 2 checks)"),
            "loop": ("no answer within 4 s", "once: 0 of 2 (stopped)"),
            "exit": ("once: 0 of 2 (wrong, 0 of 2 checks)", "twice: 0 of 2 (stopped)", "it ended Python"),
            "kill": ("nothing could be graded: the run was ended from inside",),
            "gone": ("missing cells were put back: imports, once_check, twice", "twice: 0 of 2 (to do)"),
            "cheat": ("changes exercises.check: read the code", "the course's own were run: twice_check"),
            "helper": ("SyntaxError", "thrice: 0 of 2 (error)"),
            "ugo": ("not JSON",), "vic": ("not a notebook",), "wes": ("does not end in .ipynb",), "xia": ("100 MB",),
            "yan": ("not text",), "zoe": ("no graded cell of 99_tiny",), "homework.ipynb": ("is no student",)}.items():
        said = f"{table[name]['exercises']} {table[name]['remarks']}"
        assert all(word in said for word in words), said
    assert "hunter2" not in (tiny / "feedback" / "secret" / "99_tiny.html").read_text(encoding="utf-8")
    assert "hunter2" not in (tiny / "exercises.csv").read_text(encoding="utf-8")
    assert capsys.readouterr().out.count("\n") == len(rows) == 16
    from nbgrader.api import Gradebook
    with Gradebook(f"sqlite:///{tiny / 'gradebook.db'}") as book:
        assert {s.student.id: s.score for s in book.assignment_submissions("99_tiny")}["Bo Li"] == 4
    page = (tiny / "feedback" / "Bo Li" / "99_tiny.html").read_text(encoding="utf-8")
    assert "<strong>4</strong> of 6 points" in page and "also negative" in page and "return np.abs" not in page
    body = page.partition("<body")[2]
    assert "99 · Tiny &amp; &lt;small&gt;" in body and "http" not in body.replace("http://www.w3.org", "")


def test_nothing_is_lost_that_names_do_not_show(tiny):
    """A name that only exec makes: the cells that were left out are run after all."""
    nb = answered(tiny, once="def once(x):\n    return hidden(x)")
    slow = next(cell for cell in nb.cells if cell["id"] == "slow")
    slow.source = 'exec("def hidden(x):\\n    return 1 * np.asarray(x)")'
    answers, _ = grading.grade(submissions.Submission(Path("x"), "x", "99_tiny", nb), of(tiny, "source", "99_tiny"))
    assert [a.status for a in answers] == ["passed"] * 3


def test_asking_for_a_sandbox_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(sandbox, "bubblewrap", lambda: None)
    with pytest.raises(RuntimeError, match="sandbox: asked for"):
        sandbox.run(["1"], sandbox=True)


def test_student_code_sees_few_variables_and_no_network(monkeypatch):
    monkeypatch.setenv("COURSE_SECRET", "hunter2")
    result = sandbox.run(["import os; print(dict(os.environ))", "import socket",
                          "socket.create_connection(('192.0.2.1', 80), 2)", "print('x' * 10**6)"])
    text = [json.dumps(outputs) for outputs in result["outputs"]]
    assert "HOME" in text[0] and "hunter2" not in text[0] and '"error"' in text[2] and len(text[3]) < 10**6


@pytest.mark.skipif(not sandbox.bubblewrap(), reason="bubblewrap is not here, or this machine forbids it")
def test_in_the_sandbox_there_is_nothing_to_find_and_nothing_to_break(tmp_path):
    (tmp_path / "other.ipynb").write_text("the other student's answer")
    result = sandbox.run([f"open({str(tmp_path / 'other.ipynb')!r})", f"open({str(FOLDER / PATHS[0].name)!r})",
                          "import csi_utils; open(csi_utils.__file__, 'a')",
                          "import os; print(len([p for p in os.listdir('/proc') if p.isdigit()]) < 9)"])
    names = [outputs[0].get("ename") for outputs in result["outputs"][:3]]
    assert names[:2] == ["FileNotFoundError"] * 2 and names[2] in ("OSError", "PermissionError")
    assert result["outputs"][3][0]["text"] == "True\n"


def test_a_second_copy_of_one_student_is_told_and_the_newer_one_counts(tiny, tmp_path):
    for age, name in enumerate(("eve_99_tiny.ipynb", "eve/99_tiny.ipynb")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        nbformat.write(answered(tiny), path)
        import os
        os.utime(path, (1e9 + age, 1e9 + age))
    found, refused = submissions.collect(tmp_path, {"99_tiny": of(tiny, "source", "99_tiny")})
    assert [s.path.name for s in found] == ["99_tiny.ipynb"] and "older than 99_tiny.ipynb" in refused[0][1]


def test_names_of_learning_platforms():
    for name, student in {"lin_99_tiny.ipynb": "lin", "lin-99_tiny-1.ipynb": "lin", "王芳_99_tiny.ipynb": "王芳",
                          "linmei_late_8812_99120_99_tiny-1.ipynb": "linmei", "Mei Lin/99_tiny.ipynb": "Mei Lin",
                          "99_tiny/mei/99_tiny.ipynb": "mei", "mei/99_tiny/x.ipynb": "mei",
                          "Mei Lin_77_assignsubmission_file_/a.ipynb": "Mei Lin", "lin_a.ipynb": "lin"}.items():
        assert submissions._student(Path(name), "99_tiny") == student, name
    for name in ("99_tiny.ipynb", "=x_99_tiny.ipynb", "../99_tiny.ipynb", "a.ipynb"):
        with pytest.raises(submissions.Unusable, match="is no student"):
            submissions._student(Path(name), "99_tiny")


def test_no_folder_and_no_course_are_said(tmp_path, tiny):
    with pytest.raises(FileNotFoundError, match="no folder"):
        grading.grade_folder(tmp_path / "nowhere", tiny)
    with pytest.raises(FileNotFoundError, match="make assignments"):
        grading.grade_folder(tmp_path, tmp_path)


def test_no_cell_of_a_table_is_computed_by_a_spreadsheet(tmp_path):
    grading._table(tmp_path / "t.csv", [{"a": "=1+1", "b": "x"}])
    assert (tmp_path / "t.csv").read_text(encoding="utf-8-sig") == "a,b\n'=1+1,x\n"


def test_the_page_shows_code_as_code():
    text = feedback._text("<script>`$x$\\")
    assert "<" not in text and "`" not in text and "\\" not in text and "$" not in feedback._html(text).source


@pytest.mark.parametrize(("cells", "expected"), [
    (["x = 1", "y = 2", "z = x"], [0, 2]),
    (["x = 1", "x[0] = 5", "y = 2", "x"], [0, 1, 3]),
    (["def f():\n    return g", "g = 1", "h = 2", "f()"], [0, 1, 3]),
    (["x = 1", "x = 2", "x"], [1, 2]), (["x = 1", "x = x + 1", "x"], [0, 1, 2]), (["x = 1", "x += 1", "x"], [0, 1, 2]),
    (["i = 1", "[i for i in range(3)]", "a = [i for i in range(3)]\na"], [2]),
    (["k = 1", "def f(n=k):\n    return n", "f()"], [0, 1, 2]), (["import numpy as np", "!ls", "np"], [0, 1, 2]),
    (["i = 9", "for i in range(3):\n    print(i)"], [1]), (["a = 1", "class C:\n    b = a", "C()"], [0, 1, 2]),
])
def test_cells_that_are_needed(cells, expected):
    assert needed.needed(cells, {len(cells) - 1}) == expected


def test_malformed_exercises_are_told(tiny):
    source = of(tiny, "source", "99_tiny")

    def lint(old, new):
        nb = nbformat.from_dict(json.loads(json.dumps(source)))
        for cell in nb.cells:
            cell.source = cell.source.replace(old, new)
        return " ".join(assignments.lint(nb))

    assert lint("", "") == ""
    assert "points differ: 2 for nbgrader, [2] in exercises.check, 3 in the text" in lint(
        "once (2 points)", "once (3 points)")
    assert "points differ" in lint("], points=2", "], points=3")
    assert "the text before it has no" in lint("**Exercise 1: once", "**Task 1: once")
    assert "no ### BEGIN SOLUTION" in lint("### BEGIN SOLUTION", "")
    assert "the check is not Python" in lint("exercises.case(FIRST", "exercises.case((FIRST")
    assert "the check without hidden tests is not Python" in lint(
        "hint='times'),\n    ### BEGIN HIDDEN TESTS", "hint='times'\n    ### BEGIN HIDDEN TESTS\n    ),")
    assert "go together" in lint("HIDDEN TESTS", "MORE TESTS")
