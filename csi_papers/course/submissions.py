"""Find the submissions in a folder, and put the course's own checks into them.

What is taken, whatever else lies in the folder: STUDENT/ASSIGNMENT/NOTEBOOK.ipynb (nbgrader), one folder for each
student, or one folder of STUDENT_ASSIGNMENT.ipynb; names as Moodle and Canvas make them are understood.
"""

import json
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from csi_papers.course.assignments import HIDDEN, graded, nbgrader
from csi_papers.run import notebook as checks

LARGEST = 30 << 20  # bytes; a notebook of ours with all its figures has 3 MB
IGNORED = re.compile(r"^(\.|__MACOSX$|__pycache__$|Thumbs\.db$|desktop\.ini$)")
NAME = re.compile(r"[^\W_]([\w .,@+'’()\[\]-]*[\w.)\]])?")
# What learning platforms put behind a name; the number is the student's (Canvas) or the submission's (Moodle).
PLATFORM = re.compile(r"(_(?P<moodle>\d+)_assignsubmission_file|(_late)?_(?P<canvas>\d+)_\d+)_?$", re.I)


class Unusable(ValueError):
    """A file that cannot be graded; the message is its line in the report."""


@dataclass
class Submission:
    """One file of the folder: a notebook of a student, or refused: nb is then None, and the remark says why."""

    path: Path
    student: str = ""
    number: str = ""  # of the student or the submission, as the learning platform has it
    assignment: str = ""
    nb: object = None
    remarks: list = field(default_factory=list)


def collect(folder, sources):
    """A list of Submissions, one for each file.

    folder: where they lie. sources: {assignment: the course's source notebook}. Raises FileNotFoundError when the
    folder is not there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"submissions: no folder {folder}")
    found, newest = [], {}
    for path in sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()):
        inside = path.relative_to(folder)
        if any(map(IGNORED.match, inside.parts)):
            continue
        try:
            one = _read(path, inside, sources)
        except Unusable as err:
            one = Submission(path, remarks=[str(err)])
        except Exception as err:  # unreadable, gone, or what nobody has thought of
            one = Submission(path, remarks=[f"not read: {type(err).__name__}: {' '.join(str(err).split())[:120]}"])
        found.append(one)
    numbers = {}
    for one in found:
        numbers.setdefault((one.student.casefold(), one.assignment), set()).add(one.number)
    for one in found:
        if one.number and len(numbers[one.student.casefold(), one.assignment] - {""}) > 1:  # two students of one name
            one.student = f"{one.student} ({one.number})"
        if one.nb:
            key = one.student.casefold(), one.assignment
            older, newest[key] = sorted((newest.get(key, one), one), key=lambda s: s.path.stat().st_mtime)
            if older is not newest[key]:
                older.nb, older.remarks = None, [f"older than {newest[key].path.name} of the same student"]
    return found


def _read(path, inside, sources):
    """A file as a submission. inside: its path in the folder. Raises Unusable."""
    if path.is_symlink() or not path.is_file():
        raise Unusable("a link or a special file, expected a notebook")
    if path.suffix != ".ipynb":
        raise Unusable("not a notebook: its name does not end in .ipynb")
    size = path.stat().st_size
    if size > LARGEST:
        raise Unusable(f"{size / 2**20:.0f} MB, expected at most {LARGEST >> 20} MB: clear the outputs")
    nb = _notebook(path)
    assignment, remarks = _assignment(inside, nb, sources)
    return Submission(path, *_student(inside, assignment), assignment, nb, remarks)


def _notebook(path):
    """Read with patience: old versions, missing and doubled ids are not the student's fault."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each is about the file's format, and mended by nbformat
            if not isinstance(data := json.loads(text), dict) or not {"nbformat", "metadata"} <= data.keys():
                raise TypeError("this JSON is something else")
            nb = nbformat.reads(text, as_version=4)
        for cell in nb.cells:
            if not isinstance(cell.source, str) or not isinstance(cell.metadata, dict):
                raise TypeError("a cell without text or metadata")
            cell.source = cell.source.encode("utf-8", "replace").decode()  # half of a pair of code units is no text
    except UnicodeDecodeError:
        raise Unusable("not a notebook: it is not text (UTF-8)") from None
    except Exception as err:  # nbformat raises JSON, validation, key and attribute errors alike
        raise Unusable(f"not a notebook: {type(err).__name__}: {' '.join(str(err).split())[:120]}") from None
    return nb


def _assignment(inside, nb, sources):
    """Which assignment, by the graded cells in it, and by its name where two have cells of one name; and remarks."""
    fitting = [name for name, source in sources.items() if _ids(nb) & _ids(source)]
    named = [name for name in fitting if name.casefold() in str(inside).casefold()]
    if len(named or fitting) != 1:
        raise Unusable(f"another notebook: it has graded cells of {', '.join(fitting) or 'no assignment'}, expected "
                       f"those of one among {', '.join(sources)}")
    return (named or fitting)[0], [] if named else [f"named {inside.name}; by its cells it is {fitting[0]}"]


def _student(inside, assignment):
    """The student: the first folder, else what stands before the assignment in the file's name; and their number."""
    if len(inside.parts) > 1:
        name = inside.parts[0]
        if name == assignment:  # ASSIGNMENT/STUDENT/..., or a folder for each assignment
            return _student(Path(*inside.parts[1:]), assignment)
    else:
        at = inside.stem.casefold().find(assignment.casefold())
        name = inside.stem[:at] if at >= 0 else inside.stem.partition("_")[0] if "_" in inside.stem else ""
    added = PLATFORM.search(name.rstrip("_- "))
    name = (name[:added.start()] if added else name).rstrip("_- ")
    if not NAME.fullmatch(name) or len(name) > 100:
        raise Unusable(f"wrong name: {name!r} is no student, expected STUDENT_{assignment}.ipynb or "
                       f"STUDENT/{assignment}.ipynb")
    return name, (added["moodle"] or added["canvas"]) if added else ""


def _id(cell):
    """What the course calls a cell: nbgrader's id, or "parameters"; None for any other."""
    name = nbgrader(cell).get("grade_id", "parameters" if "parameters" in checks.tags(cell) else None)
    return name if isinstance(name, str) else None


def _ids(nb):
    return {_id(cell) for cell in nb.cells} - {None, "parameters"}


def assemble(source, submitted):
    """The code cells that are graded, and remarks.

    The student's notebook as it stands, but that the parameters and the checks are the course's own (the very cells
    of source), with the hidden tests. One that was deleted is put back: parameters first, a check behind its answer
    or, where that was deleted too, behind the check before.
    """
    cells, remarks = [cell for cell in submitted.cells if cell.cell_type == "code"], []
    changed, deleted, last = [], [], -1
    for mine in source.cells:
        name = _id(mine)
        if not graded(mine) and name != "parameters":
            continue
        places = {_id(cell): n for n, cell in reversed(list(enumerate(cells)))}
        if name in places:
            theirs, cells[places[name]] = cells[places[name]], mine
            if graded(mine) and HIDDEN.sub("", theirs.source).strip() != HIDDEN.sub("", mine.source).strip():
                changed.append(name)
        else:
            cells.insert(places.get(name.removesuffix("_check"), last) + 1, mine)
            deleted.append(name)
        last = next(n for n, cell in enumerate(cells) if cell is mine)
    if deleted:
        remarks.append(f"missing cells were put back: {', '.join(deleted)}")
    if changed:
        remarks.append(f"checks were changed, and the course's own were run: {', '.join(changed)}")
    return cells, remarks
