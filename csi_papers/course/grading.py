"""Grade a folder of submissions: a table of grades, and a page of feedback for each.

    csi-papers grade SUBMISSIONS

writes build/course/grades.csv (a line for each submission, and one for each file that is none), exercises.csv (a
line for each exercise), feedback/STUDENT/ASSIGNMENT.html, and the scores into nbgrader's gradebook. However a
submission misbehaves, the others are graded; what could not be run is "not graded" and never 0 points.
"""

import ast
import contextlib
import copy
import csv
import functools
import hashlib
import io
import json
import os
import re
import signal
import sys
import tempfile
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path
from queue import SimpleQueue

import nbformat

from csi_papers.course import assignments, feedback, judge, sandbox, submissions
from csi_papers.run.provenance import write, write_all
from csi_papers.run.runner import in_parallel

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass
class Answer:
    """What became of one exercise of a submission."""

    exercise: object  # assignments.Exercise
    status: str  # passed, wrong, to do, error, stopped
    lines: list  # (passed?, text) of what the checks said
    code: str  # the student's

    @property
    def points(self):
        return self.exercise.points if self.status == "passed" else 0.0

    @property
    def mistake(self):
        """What the first check that did not pass said."""
        return next((text for passed, text in self.lines if not passed), "")


def grade(one, source, bwrap=None, cpu=sandbox.CPU):
    """Grade a Submission against the course's source notebook. Returns ([Answer], remarks).

    The student's notebook runs in a process of its own, up to the last check; at each check `judge` asks that process.
    bwrap: of `sandbox.bubblewrap`. cpu: s of a student's cell, and of all calls of a check. Raises sandbox.Lost where
    nothing was seen, or a cell of the course failed before any of the student's, or was stopped: that need not be the
    student's doing.
    """
    names = judge.bench(nbformat.writes(source))
    cells, more = submissions.assemble(source, one.nb)
    found = assignments.exercises_of(source)
    given = {cell.source for cell in source.cells} - {exercise.solution.source for exercise in found}
    checks = {id(exercise.check): exercise for exercise in found}
    remarks, answers, failed, theirs = one.remarks + more, {}, {}, False
    with sandbox.Student(bwrap, cpu) as student:
        for n, cell in enumerate(cells):
            text, mine, first = cell.source, cell.source in given, _short(cell.source.strip().partition("\n")[0], 50)
            if exercise := checks.get(id(cell)):
                status, messages = judge.judge(exercise, names[exercise.id], student, cpu)
                answers[exercise.id] = _answer(exercise, status, messages, cells, failed)
                if len(answers) == len(found):
                    break
                # Of a check, the student's process knows what a student's copy defines: it may be used further down.
                text = ast.unparse(judge.checked(assignments.HIDDEN.sub("", text))[1])
            theirs |= not mine
            try:
                error = student.run(text, sandbox.WHOLE * cpu if mine else cpu)
                stopped = ""
            except sandbox.Stopped as err:
                error, stopped = "", str(err)
            if error or stopped:
                failed[n] = _short(_clean(error or stopped), 1000), "stopped" if stopped else "error"
                said = f"cell {n + 1} ({first}): {failed[n][0]}"
                if mine and (stopped or not theirs):
                    raise sandbox.Lost(f"the course's own {said}")
                remarks.append(said)
    return [answers[exercise.id] for exercise in found], remarks


def _answer(exercise, status, messages, cells, failed):
    """failed: {number of a cell: (why, status)} of those that did not run to their end."""
    own = [n for n, cell in enumerate(cells) if assignments.nbgrader(cell).get("grade_id") == exercise.id]
    lines = [(text is None, f"check {n}: {text or 'passed'}") for n, text in enumerate(messages, 1)]
    if status == "error":
        lines = [(False, text) for text in messages]
    for n in own:
        if n in failed and status in ("error", "stopped"):
            lines, status = [(False, failed[n][0])], failed[n][1]
    lines = [(passed, _clean(text)) for passed, text in lines]
    return Answer(exercise, status, lines, "\n\n".join(cells[n].source for n in own))


def _short(text, most=160):
    text = " ".join(ANSI.sub("", str(text)).split())
    return text if len(text) <= most else text[:most - 1] + "…"


def _clean(value):
    """A text that any file takes: what is no character is a question mark."""
    return str(value).encode("utf-8", "replace").decode()


def _one(source, broken, bwrap, cpu, submission):
    """([Answer] or None, remarks), whatever happens. broken: why nobody is graded, or None."""
    if submission.nb is None or broken:
        return None, submission.remarks or [broken]
    try:
        return grade(submission, source, bwrap, cpu)
    except sandbox.Lost as err:
        return None, [*submission.remarks, str(err)]
    except Exception as err:  # ours, not the student's; the batch goes on, and the teacher is told
        return None, [f"an error of the grader: {type(err).__name__}: {_short(err)}"]


def _each(function, tasks, jobs):
    """Yield (task, function(task)) as they end, in `jobs` processes: who kills one is not graded, the others are."""
    def fresh():
        pool = ProcessPoolExecutor(1, get_context("fork"), _prepare)
        pool.submit(int).result()  # it starts now
        return pool

    def ask(task):
        pool = free.get()
        try:
            return pool.submit(function, task).result()
        except BrokenProcessPool:
            pool = fresh()
            return None, ["the grader's process was killed (by the code, or for want of memory?)"]
        finally:
            free.put(pool)

    free = SimpleQueue()
    for _ in range(jobs):
        free.put(fresh())
    try:
        yield from in_parallel(ask, tasks, jobs)
    finally:
        for process in active_children():  # their sandboxes end with them
            process.kill()


def _prepare():
    """Make a process one where our notebooks run as a student's do."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.update(sandbox.environment(tempfile.gettempdir()))


def grade_folder(folder, course=assignments.COURSE, bwrap=None, jobs=1, say=print, cpu=sandbox.CPU):
    """Grade all that lies in a folder; write tables and feedback into the course. Returns the rows of grades.csv.

    jobs: submissions at a time. cpu: as for `grade`. First the course's own solutions have to pass here: an assignment
    whose do not is not graded. What graded.json has for the same notebook and the same edition is not run again.
    Raises FileNotFoundError when the folder or the course is not there.
    """
    folder, course = Path(folder), Path(course)
    paths = sorted((course / "source").glob("*/*.ipynb"))
    if not paths:
        raise FileNotFoundError(f"course: no assignments in {course}, expected what `make assignments` writes")
    sources = {path.stem: nbformat.read(path, as_version=4) for path in paths}
    kept, book = {}, {}  # {file: what is known of it}, of an earlier start and of this one
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads((course / "graded.json").read_text(encoding="utf-8"))

    def note(submission, answers, remarks):
        known = _known(course, submission, sources, answers, remarks) | {"key": _key(submission, sources)}
        known["row"]["file"] = file = _file(submission, folder)
        book[file] = known
        _tables(course, book, kept)
        row = known["row"]
        say(f"{row['file']}: {row['points']} {row['status']}  {row['remarks']}")

    waiting = {}
    for submission in submissions.collect(folder, sources):
        old = kept.get(_file(submission, folder), {"key": None})
        if submission.nb is None:
            note(submission, None, submission.remarks)
        elif old["key"] == _key(submission, sources) and (course / (old["row"]["feedback"] or "none")).is_file():
            book[_file(submission, folder)] = old
        else:
            waiting.setdefault(submission.assignment, []).append(submission)
    for name, found in sorted(waiting.items()):
        source = sources[name]
        [(_, (answers, said))] = _each(functools.partial(_one, source, None, bwrap, cpu),
                                       [submissions.Submission(Path(name), assignment=name, nb=source)], 1)
        if answers is not None:
            said = [f"{a.exercise.title}: {a.mistake or a.status}" for a in answers if a.status != "passed"]
        broken = f"the course's own solutions do not pass here: {'; '.join(said)}" if said else None
        for submission, (answers, remarks) in _each(functools.partial(_one, source, broken, bwrap, cpu), found, jobs):
            note(submission, answers, remarks)
    return _tables(course, book, kept)


def _file(submission, folder):
    return _clean(submission.path.relative_to(folder).as_posix())


def _key(submission, sources):
    """What a grade depends on: who handed in which file, and the course's own notebook."""
    if submission.nb is None:
        return ""
    given = f"{submission.student}\0{nbformat.writes(sources[submission.assignment])}\0".encode()
    return hashlib.sha256(given + submission.path.read_bytes()).hexdigest()


def _known(course, submission, sources, answers, remarks):
    """A row of grades.csv and its rows of exercises.csv; feedback is written."""
    row = {"student": submission.student, "assignment": submission.assignment, "points": "", "of": "",
           "status": "not graded" if submission.nb else "refused", "exercises": "", "remarks": "; ".join(remarks),
           "file": "", "feedback": ""}
    details = []
    if answers is not None:
        try:
            row["feedback"] = _keep(course, submission, sources[submission.assignment], answers, remarks)
            row |= {"points": f"{sum(a.points for a in answers):g}", "status": "graded",
                    "of": f"{sum(a.exercise.points for a in answers):g}",
                    "exercises": "; ".join(f"{a.exercise.title}: {a.points:g} ({a.status})" for a in answers)}
            details = [{"student": submission.student, "assignment": submission.assignment,
                        "exercise": a.exercise.id, "points": f"{a.points:g}", "of": f"{a.exercise.points:g}",
                        "status": a.status, "first mistake": a.mistake} for a in answers]
        except Exception as err:
            row["remarks"] = f"an error of the grader: {type(err).__name__}: {_short(err)}"
    clean = [{name: _clean(value) for name, value in line.items()} for line in (row, *details)]
    return {"row": clean[0], "details": clean[1:]}


def _tables(course, book, kept):
    """Write both tables, and what a second start needs to know. Returns the rows of grades.csv."""
    rows = sorted((known["row"] for known in book.values()),
                  key=lambda row: (row["assignment"] or "~", row["student"].casefold(), row["file"]))
    details = sorted((line for known in book.values() for line in known["details"]),
                     key=lambda row: (row["assignment"], row["student"].casefold()))
    write_all({course / "grades.csv": _table(rows), course / "exercises.csv": _table(details),
               course / "graded.json": json.dumps(kept | book)})
    return rows


def _table(rows):
    """A CSV, as text, that spreadsheets open as it is meant: marked as UTF-8, and no text that one would compute."""
    text = io.StringIO()
    if rows:
        table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows({k: f"'{v}" if str(v)[:1] in ("=", "+", "-", "@", "\t") else v for k, v in row.items()}
                        for row in rows)
    return "\ufeff" + text.getvalue()


def _keep(course, submission, source, answers, remarks):
    """Write the page of feedback (returns its path), and what nbgrader's own tools look for: a notebook, the scores."""
    from nbgrader.api import Gradebook
    from sqlalchemy.exc import SAWarning
    name, student = submission.assignment, submission.student
    page = Path("feedback", student, f"{name}.html")
    (course / page).parent.mkdir(parents=True, exist_ok=True)
    title = re.search(r"^# (.+)", source.cells[0].source, flags=re.M)
    write(course / page, feedback.page(title[1] if title else name, student, answers, remarks))
    # What nbgrader's formgrader shows: nothing that a student's code printed, and no test that they may not see.
    cells = [source.cells[0]]
    for answer in answers:
        solution, check = copy.deepcopy(answer.exercise.solution), copy.deepcopy(answer.exercise.check)
        solution.source, check.source = answer.code, assignments.HIDDEN.sub("", check.source)
        said = "".join(f"{'✓' if passed else '✗'} {line}\n" for passed, line in answer.lines) or answer.status
        check.outputs = [nbformat.v4.new_output("stream", text=said)]
        cells += [answer.exercise.text, solution, check]
    graded = course / "autograded" / student / name / f"{name}.ipynb"
    graded.parent.mkdir(parents=True, exist_ok=True)
    write(graded, nbformat.writes(nbformat.v4.new_notebook(cells=cells, metadata=source.metadata)))
    assignments.find_alembic()
    with warnings.catch_warnings(), Gradebook(f"sqlite:///{(course / 'gradebook.db').resolve()}") as book:
        warnings.simplefilter("ignore", SAWarning)  # about the order in which nbgrader adds what it adds
        book.update_or_create_student(student)
        book.update_or_create_submission(name, student)
        for answer in answers:
            mark = book.find_grade(f"{answer.exercise.id}_check", name, name, student)
            mark.auto_score, mark.needs_manual_grade = answer.points, mark.manual_score is not None
        book.db.commit()
    return page.as_posix()


def command(args):
    """`csi-papers grade`, from parsed arguments. Returns the exit status.

    0: every notebook that was handed in is graded. 1: one is not. 2: there is no sandbox, and nobody said "none".
    """
    course = Path(args.course or assignments.COURSE)
    bwrap = None if args.sandbox == "none" else sandbox.bubblewrap()
    if not bwrap:
        print("NO SANDBOX: bubblewrap (bwrap) is not wanted, not here, or forbidden on this machine. Submissions would "
              "run as you, read and change your files. On a machine or in a container that holds nothing you would "
              "miss, say SANDBOX=none (--sandbox none); see docs/assignments.md.", file=sys.stderr)
        if args.sandbox != "none":
            return 2
    try:
        rows = grade_folder(args.submissions, course, bwrap, args.jobs, cpu=args.cpu)
    except FileNotFoundError as err:
        print(err, file=sys.stderr)
        return 1
    number = Counter(row["status"] for row in rows)
    print(f"{number['graded']} graded, {number['not graded']} handed in and NOT graded, {number['refused']} other "
          f"files: see {course / 'grades.csv'}")
    return int(number["not graded"] > 0)
