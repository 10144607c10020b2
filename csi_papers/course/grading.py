"""Grade a folder of submissions: a table of grades, and a page of feedback for each.

    csi-papers grade SUBMISSIONS

writes build/course/grades.csv (a line for each submission, and one for each file that is none), exercises.csv (a
line for each exercise), feedback/STUDENT/ASSIGNMENT.html, and the scores into nbgrader's gradebook. However a
submission misbehaves, the others are graded; what could not be run is "not graded" and never 0 points.

nbgrader's own autograde, feedback and export (0.9.6) were tried with a preprocessor that runs the cells in our sandbox:
what it could not grade (a doubled cell, two deleted ones) stands as 0.0 in its database and its CSV, which a comma in a
name breaks. Its feedback shows hidden tests, loads MathJax from a server and carries along a student's <script>.
"""

import csv
import io
import re
import sys
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import nbformat

from csi_papers.course import assignments, feedback, sandbox, submissions
from csi_papers.run.provenance import write
from csi_papers.run.runner import in_parallel
from csi_utils import exercises

LIMIT = 60  # s of a cell that the student wrote, and of a check; the course's own cells may take what is left
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


def grade(one, source, bwrap=None, limit=LIMIT, total=sandbox.TOTAL):
    """Grade a Submission against the course's source notebook. Returns ([Answer], remarks).

    The whole notebook runs, up to the last check. bwrap: of `sandbox.bubblewrap`. limit, total: s of a student's cell
    and of all. Raises sandbox.Lost where nothing was seen, or a cell of the course failed before any of the student's,
    or was stopped: that need not be the student's doing.
    """
    cells, remarks = submissions.assemble(source, one.nb)
    found = assignments.exercises_of(source)
    checks = [next(n for n, cell in enumerate(cells) if cell is exercise.check) for exercise in found]
    cells = cells[:max(checks) + 1]
    given = {cell.source for cell in source.cells} - {exercise.solution.source for exercise in found}
    own = [cell.source in given and n not in checks for n, cell in enumerate(cells)]
    ran = sandbox.run([cell.source for cell in cells], [total if mine else limit for mine in own], bwrap, total)
    remarks, theirs = one.remarks + remarks, False
    for n, (cell, mine, (outputs, stopped)) in enumerate(zip(cells, own, ran, strict=True)):
        theirs |= not mine
        first = next((line for line in cell.source.splitlines() if line.strip()), "")
        said = f"cell {n + 1} ({_short(first, 50)}): {stopped or '; '.join(_errors(outputs))}"
        if mine and (stopped or _errors(outputs) and not theirs):
            raise sandbox.Lost(f"the course's own {said}")
        if stopped or _errors(outputs) and n not in checks:
            remarks.append(said)
        if not mine and n not in checks and (touched := submissions.TAMPERING.search(cell.source)):
            remarks.append(f"it says {touched[0].strip()}: read the code before you trust the points")
    return [_answer(exercise, n, cells, ran) for exercise, n in zip(found, checks, strict=True)], remarks


def _errors(outputs):
    return [f"{out['ename']}: {_short(out['evalue'])}" for out in outputs if out["output_type"] == "error"]


def _short(text, most=160):
    text = " ".join(ANSI.sub("", str(text)).split())
    return text if len(text) <= most else text[:most - 1] + "…"


def _answer(exercise, number, cells, ran):
    """Read the outputs of one check, cell `number`. Points need the check's own signal; no signal, no points."""
    answers = [n for n, cell in enumerate(cells) if assignments.nbgrader(cell).get("grade_id") == exercise.id]
    code, outputs = "\n\n".join(cells[n].source for n in answers), ran[number][0]
    if why := [ran[n][1] for n in (*answers, number) if ran[n][1]]:
        return Answer(exercise, "stopped", [(False, text) for text in why], code)
    signals = [output["data"][exercises.MIME] for output in outputs if exercises.MIME in output.get("data", {})]
    if why := _errors(outputs) or ([] if signals else ["the check gave no result"]):
        return Answer(exercise, "error", [(False, text) for text in why], code)
    last = signals[-1]  # what the check itself says comes last
    lines = [(text is None, f"check {n}: {text or 'passed'}") for n, text in enumerate(last["messages"], 1)]
    if len(signals) > 1 or last["score"] != exercise.points or last["points"] != exercise.points:
        return Answer(exercise, "to do" if last["status"] == "to do" else "wrong", lines, code)
    return Answer(exercise, "passed", lines, code)


def grade_folder(folder, course=assignments.COURSE, bwrap=None, jobs=1, say=print, **limits):
    """Grade all that lies in a folder; write tables and feedback into the course. Returns the rows of grades.csv.

    jobs: submissions at a time. limits: limit, total in s. Before that, the course's own solutions have to pass here:
    an assignment whose do not is not graded. Raises FileNotFoundError when the folder or the course is not there.
    """
    course = Path(course)
    paths = sorted((course / "source").glob("*/*.ipynb"))
    if not paths:
        raise FileNotFoundError(f"course: no assignments in {course}, expected what `make assignments` writes")
    sources = {path.stem: nbformat.read(path, as_version=4) for path in paths}
    found = submissions.collect(folder, sources)
    broken, rows, details = {}, [], []

    def one(submission):
        if submission.nb is None or broken.get(submission.assignment):
            return None, submission.remarks or [broken[submission.assignment]]
        try:
            return grade(submission, sources[submission.assignment], bwrap, **limits)
        except sandbox.Lost as err:
            return None, [*submission.remarks, str(err)]
        except Exception as err:  # ours, not the student's; the batch goes on, and the teacher is told
            return None, [f"an error of the grader: {type(err).__name__}: {_short(err)}"]

    def solved(name):
        answers, said = one(submissions.Submission(Path(name), "", name, sources[name]))
        if answers is not None:
            said = [f"{a.exercise.title}: {a.mistake or a.status}" for a in answers if a.status != "passed"]
        return f"the course's own solutions do not pass here: {'; '.join(said)}" if said else None

    broken = dict(in_parallel(solved, sorted({submission.assignment for submission in found if submission.nb}), jobs))
    for submission, (answers, remarks) in in_parallel(one, found, jobs):
        row = {"student": submission.student, "assignment": submission.assignment, "points": "", "of": "",
               "status": "not graded" if submission.nb else "refused", "exercises": "", "remarks": "; ".join(remarks),
               "file": submission.path.relative_to(folder).as_posix(), "feedback": ""}
        if answers is not None:
            try:
                row["feedback"] = _keep(course, submission, sources[submission.assignment], answers, remarks)
                row |= {"points": f"{sum(a.points for a in answers):g}", "status": "graded",
                        "of": f"{sum(a.exercise.points for a in answers):g}",
                        "exercises": "; ".join(f"{a.exercise.title}: {a.points:g} ({a.status})" for a in answers)}
                details += [{"student": submission.student, "assignment": submission.assignment,
                             "exercise": a.exercise.id, "points": f"{a.points:g}", "of": f"{a.exercise.points:g}",
                             "status": a.status, "first mistake": a.mistake} for a in answers]
            except Exception as err:
                row["remarks"] = f"an error of the grader: {type(err).__name__}: {_short(err)}"
        rows.append(row)
        say(f"{row['file']}: {row['points']} {row['status']}  {row['remarks']}")
    rows.sort(key=lambda row: (row["assignment"] or "~", row["student"].casefold(), row["file"]))
    _table(course / "grades.csv", rows)
    _table(course / "exercises.csv", sorted(details, key=lambda row: (row["assignment"], row["student"].casefold())))
    return rows


def _table(path, rows):
    """A CSV that spreadsheets open as it is meant: marked as UTF-8, and no text that one would compute."""
    text = io.StringIO()
    if rows:
        table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows({k: f"'{v}" if str(v)[:1] in ("=", "+", "-", "@", "\t") else v for k, v in row.items()}
                        for row in rows)
    write(path, "\ufeff" + text.getvalue())


def _keep(course, submission, source, answers, remarks):
    """Write the page of feedback (returns its path), and the scores to where nbgrader's own tools look for them."""
    from nbgrader.api import Gradebook
    from sqlalchemy.exc import SAWarning
    name, student = submission.assignment, submission.student
    page = Path("feedback", student, f"{name}.html")
    (course / page).parent.mkdir(parents=True, exist_ok=True)
    title = re.search(r"^# (.+)", source.cells[0].source, flags=re.M)
    write(course / page, feedback.page(title[1] if title else name, student, answers, remarks))
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

    0: every notebook that was handed in is graded. 1: one is not. 2: a sandbox is required and not to be had.
    """
    course = Path(args.course or assignments.COURSE)
    bwrap = None if args.sandbox == "none" else sandbox.bubblewrap()
    if not bwrap:
        print("NO SANDBOX: bubblewrap (bwrap) is not wanted, not here, or forbidden on this machine. Submissions run "
              "as you and could read your files: use a machine or a container that holds nothing you would miss, see "
              "docs/assignments.md.", file=sys.stderr)
        if args.sandbox == "require":
            return 2
    try:
        rows = grade_folder(args.submissions, course, bwrap, args.jobs)
    except FileNotFoundError as err:
        print(err, file=sys.stderr)
        return 1
    number = Counter(row["status"] for row in rows)
    print(f"{number['graded']} graded, {number['not graded']} handed in and NOT graded, {number['refused']} other "
          f"files: see {course / 'grades.csv'}")
    return int(number["not graded"] > 0)
