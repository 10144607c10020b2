"""Grade a folder of submissions: a table of grades, and a page of feedback for each.

    csi-papers grade SUBMISSIONS

writes build/course/grades.csv (a line for each submission, and one for each file that is none), exercises.csv (a
line for each exercise), feedback/STUDENT/ASSIGNMENT.html, and the scores into nbgrader's gradebook. However a
submission misbehaves, the others are graded.
"""

import csv
import io
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from csi_papers.course import assignments, needed, sandbox, submissions
from csi_papers.run.provenance import write
from csi_papers.run.runner import in_parallel
from csi_utils import ROOT, exercises

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass
class Answer:
    """What became of one exercise of one submission."""

    exercise: object  # assignments.Exercise
    status: str  # passed, wrong, to do, error, stopped
    passed: int  # checks
    checks: int
    lines: list  # (True, False or None, text)
    code: str  # the student's

    @property
    def points(self):
        return self.exercise.points if self.status == "passed" else 0.0


def grade(one, source, sandboxed=None, cell_timeout=sandbox.CELL, total_timeout=sandbox.TOTAL):
    """Grade a Submission against the course's source notebook. Returns ([Answer], remarks).

    sandboxed and the limits: as in `sandbox.run`. Never raises for what a student wrote.
    """
    cells, remarks = submissions.assemble(source, one.nb)
    found = assignments.exercises_of(source)
    mine = {id(cell) for cell in source.cells}
    theirs = [cell.source for cell in cells if id(cell) not in mine]
    given = {cell.source for cell in source.cells}
    sources = [cell.source for cell in cells]
    where = {one.id: next(n for n, cell in enumerate(cells) if cell is one.check) for one in found}
    wanted = set(where.values()) | {n for n, cell in enumerate(cells) if _answers(cell, found)}
    chosen = needed.needed(sources, wanted)
    result = sandbox.run([sources[n] for n in chosen], sandboxed, cell_timeout, total_timeout)
    if len(chosen) < len(cells) and _name_missing(result):
        chosen = list(range(len(cells)))  # reading the names was not enough
        result = sandbox.run(sources, sandboxed, cell_timeout, total_timeout)
    at = {n: k for k, n in enumerate(chosen)}
    remarks = [*one.remarks, *remarks, *_happened(cells, chosen, result, found)]
    if touched := submissions.tampering([text for text in theirs if text not in given]):
        remarks.append(touched)
    return [_answer(exercise, cells, at, result) for exercise in found], remarks


def _answers(cell, found):
    name = (cell.metadata.get("nbgrader") or {}).get("grade_id") if isinstance(
        cell.metadata.get("nbgrader"), dict) else None
    return any(name == one.id or cell.get("id") == one.solution["id"] for one in found)


def _name_missing(result):
    return any("NameError" in str(output) for outputs in result["outputs"] for output in outputs)


def _happened(cells, chosen, result, found):
    """What a teacher should know beside the points, a line each."""
    if "lost" in result:
        yield f"nothing could be graded: {result['lost']}"
    graded = {id(one.check) for one in found}
    names = {id(one.check): f"the check of {one.title}" for one in found}
    for n, why in sorted(result["skipped"].items()):
        cell = cells[chosen[n]]
        yield f"{names.get(id(cell)) or _called(cell)}: {why}"
    for n, outputs in zip(chosen, result["outputs"], strict=True):
        for output in outputs:
            if output["output_type"] == "error" and id(cells[n]) not in graded:
                yield f"{_called(cells[n])} raised {output['ename']}: {_short(output['evalue'])}"


def _called(cell):
    line = next((line.strip() for line in cell.source.splitlines() if line.strip()), "an empty cell")
    return f"the cell '{_short(line, 50)}'"


def _short(text, most=160):
    text = " ".join(ANSI.sub("", str(text)).split())
    return text if len(text) <= most else text[:most - 1] + "…"


def _answer(exercise, cells, at, result):
    """Read one check cell's outputs. Points need the check's own signal; no signal, no points."""
    code = "\n\n".join(cell.source for cell in cells if _answers(cell, [exercise]))
    number = next(n for n, cell in enumerate(cells) if cell is exercise.check)
    outputs = result["outputs"][at[number]]
    skipped = [result["skipped"][at[n]] for n, cell in enumerate(cells)
               if (cell is exercise.check or _answers(cell, [exercise])) and at.get(n) in result["skipped"]]
    signals = [output["data"][exercises.MIME] for output in outputs if exercises.MIME in output.get("data", {})]
    text = "".join(output["text"] for output in outputs if output["output_type"] == "stream"
                   and output["name"] == "stdout")
    errors = [output for output in outputs if output["output_type"] == "error"]
    lines = [({"✓": True, "✗": False}.get(line[:1]), line.lstrip("✓✗ ")) for line in text.splitlines()
             if line.startswith(("✓", "✗", "to do"))]
    if skipped:
        return Answer(exercise, "stopped", 0, 0, [(False, why) for why in skipped], code)
    if errors or not signals:
        why = [f"{err['ename']}: {_short(err['evalue'])}" for err in errors] or ["the check gave no result"]
        return Answer(exercise, "error", 0, 0, [*lines, *((False, text) for text in why)], code)
    last = signals[-1]  # what the check itself says comes last
    good = (len(signals) == 1 and last.get("status") == "passed" and last.get("score") == exercise.points
            and last.get("points") == exercise.points)
    status = "passed" if good else "to do" if last.get("status") == "to do" else "wrong"
    return Answer(exercise, status, int(last.get("passed", 0)), int(last.get("checks", 0)), lines, code)


def grade_folder(folder, course=assignments.COURSE, sandboxed=None, jobs=1, say=print, **limits):
    """Grade all that lies in a folder; write tables and feedback into the course. Returns the rows of grades.csv.

    jobs: submissions at a time. limits: cell_timeout, total_timeout in s. Raises FileNotFoundError when the folder
    or the course is not there.
    """
    import nbformat

    from csi_papers.course import feedback
    course = Path(course)
    paths = sorted((course / "source").glob("*/*.ipynb"))
    if not paths:
        raise FileNotFoundError(f"course: no assignments in {course}, expected what `make assignments` writes")
    sources = {path.stem: nbformat.read(path, as_version=4) for path in paths}
    found, refused = submissions.collect(folder, sources)
    rows, details = [], []

    def one(submission):
        try:
            return grade(submission, sources[submission.assignment], sandboxed, **limits)
        except Exception as err:  # ours, not the student's; the batch goes on, and the teacher is told
            return None, [f"not graded, an error of the grader: {type(err).__name__}: {_short(err)}"]

    for submission, (answers, remarks) in in_parallel(one, found, jobs):
        page = Path("feedback", submission.student, f"{submission.assignment}.html")
        row = {"student": submission.student, "assignment": submission.assignment, "points": "", "of": "",
               "status": "not graded", "exercises": "", "remarks": "; ".join(remarks),
               "file": submission.path.relative_to(folder).as_posix(), "feedback": ""}
        if answers is not None:
            (course / page).parent.mkdir(parents=True, exist_ok=True)
            write(course / page, feedback.page(submission, sources[submission.assignment], answers, remarks))
            row |= {"points": f"{sum(a.points for a in answers):g}",
                    "of": f"{sum(a.exercise.points for a in answers):g}", "status": "graded",
                    "exercises": "; ".join(f"{a.exercise.title}: {_said(a)}" for a in answers),
                    "feedback": page.as_posix()}
            details += [{"student": submission.student, "assignment": submission.assignment,
                         "exercise": a.exercise.id, "points": f"{a.points:g}", "of": f"{a.exercise.points:g}",
                         "status": a.status, "checks passed": a.passed, "checks": a.checks,
                         "first message": next((text.removeprefix(f"{a.exercise.title}, ")
                                                for ok, text in a.lines if ok is False), "")} for a in answers]
            _into_gradebook(course, submission, answers)
        rows.append(row)
        say(f"{row['student']}, {row['assignment']}: {row['points'] or '–'} of {row['of'] or '–'}"
            + (f"  ({row['remarks']})" if remarks else ""))
    for path, why, student, name in refused:
        rows.append({"student": student, "assignment": name, "points": "", "of": "", "status": "not graded",
                     "exercises": "", "remarks": why, "file": path.as_posix(), "feedback": ""})
        say(f"{path}: not graded: {why}")
    rows.sort(key=lambda row: (row["assignment"] or "~", row["student"].casefold(), row["file"]))
    details.sort(key=lambda row: (row["assignment"], row["student"].casefold()))
    _table(course / "grades.csv", rows)
    _table(course / "exercises.csv", details)
    return rows


def _said(answer):
    if answer.status == "passed":
        return f"{answer.points:g} of {answer.exercise.points:g}"
    checks = f", {answer.passed} of {answer.checks} checks" if answer.checks and answer.status == "wrong" else ""
    return f"0 of {answer.exercise.points:g} ({answer.status}{checks})"


def _table(path, rows):
    """A CSV that spreadsheets open as it is meant: marked as UTF-8, and no text that one would compute."""
    text = io.StringIO()
    if rows:
        table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows({k: f"'{v}" if str(v)[:1] in ("=", "+", "-", "@", "\t") else v for k, v in row.items()}
                        for row in rows)
    write(path, "\ufeff" + text.getvalue())


def _into_gradebook(course, submission, answers):
    """Keep the scores where nbgrader's own tools look for them."""
    from nbgrader.api import Gradebook
    from sqlalchemy.exc import SAWarning
    name = submission.assignment
    assignments.find_alembic()
    with (warnings.catch_warnings(),
          Gradebook(f"sqlite:///{(course / 'gradebook.db').resolve()}") as book):
        warnings.simplefilter("ignore", SAWarning)  # about the order in which nbgrader adds what it adds
        book.update_or_create_student(submission.student)
        book.update_or_create_submission(name, submission.student)
        for answer in answers:
            mark = book.find_grade(f"{answer.exercise.id}_check", name, name, submission.student)
            mark.auto_score, mark.needs_manual_grade = answer.points, mark.manual_score is not None
        book.db.commit()


def command(args):
    """`csi-papers grade`, from parsed arguments. Returns the exit status: 0 when the batch came to its end."""
    course = Path(args.course or assignments.COURSE)
    inside = args.sandbox != "none" and bool(sandbox.bubblewrap())
    if not inside:
        print("NO SANDBOX: " + ("as you asked" if args.sandbox == "none" else
              "bubblewrap (bwrap) is not here, or this machine forbids it") +
              ". Submissions run as you: they could read your files. Use a machine, a container or an account "
              "that holds nothing you would miss; see docs/assignments.md.", file=sys.stderr)
        if args.sandbox == "require":
            return 2
    try:
        if not any((course / "source").glob("*/*.ipynb")):
            assignments.make(course)
        rows = grade_folder(args.submissions, course, inside, args.jobs)
    except (FileNotFoundError, assignments.Malformed) as err:
        print(err, file=sys.stderr)
        return 1
    graded = sum(row["status"] == "graded" for row in rows)
    shown = course.relative_to(ROOT) if course.is_relative_to(ROOT) else course
    print(f"{graded} graded, {len(rows) - graded} not; {shown}/grades.csv, exercises.csv and feedback/")
    return 0
