"""Find the submissions in a folder, and put a submission together with the course's own cells.

What is taken, whatever else lies in the folder: STUDENT/ASSIGNMENT/NOTEBOOK.ipynb (nbgrader), one folder for each
student, or one folder of STUDENT_ASSIGNMENT.ipynb; names as Moodle and Canvas make them are understood.
"""

import ast
import json
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from csi_papers.run import notebook as checks

LARGEST = 30 << 20  # bytes; a notebook of ours with all its figures has 3 MB
IGNORED = re.compile(r"^(\.|__MACOSX$|__pycache__$|Thumbs\.db$|desktop\.ini$)")
NAME = re.compile(r"[^\W_]([\w .@+-]*\w)?")
# What learning platforms put behind a name.
PLATFORM = re.compile(r"(_\d+_assignsubmission_file|(_late)?_\d+_\d+)_?$")


class Unusable(ValueError):
    """A file that cannot be graded; the message is its line in the report."""


@dataclass
class Submission:
    """One notebook of one student."""

    path: Path
    student: str
    assignment: str
    nb: object
    remarks: list = field(default_factory=list)


def collect(folder, sources):
    """(submissions, [(path, why, student, assignment)] of what is none, by its name alone), both sorted.

    folder: where they lie. sources: {assignment: the course's source notebook}. Raises FileNotFoundError when the
    folder is not there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"submissions: no folder {folder}")
    found, refused = {}, []
    for path in sorted(_files(folder)):
        try:
            one = _read(path, path.relative_to(folder), sources)
        except Unusable as err:
            refused.append((path.relative_to(folder), str(err), *_by_name(path.relative_to(folder), sources)))
            continue
        key = one.student.casefold(), one.assignment
        if key in found:
            older, one = sorted((found[key], one), key=lambda s: s.path.stat().st_mtime)
            why = f"older than {one.path.name} of the same student"
            refused.append((older.path.relative_to(folder), why, older.student, older.assignment))
        found[key] = one
    return sorted(found.values(), key=lambda s: (s.assignment, s.student)), refused


def _files(folder):
    for path in folder.iterdir():
        if IGNORED.match(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        else:
            yield path


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
    student = _student(inside, assignment)
    return Submission(path, student, assignment, nb, remarks)


def _notebook(path):
    """Read with patience: old versions, missing and doubled ids are not the student's fault."""
    import nbformat
    try:
        text = path.read_text(encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each is about the file's format, and mended by nbformat
            if not isinstance(data := json.loads(text), dict) or not {"nbformat", "metadata"} <= data.keys():
                raise TypeError("this JSON is something else")
            nb = nbformat.reads(text, as_version=4)
        for cell in nb.cells:
            if not isinstance(cell.source, str) or not isinstance(cell.metadata, dict):
                raise TypeError("a cell without text or metadata")
    except UnicodeDecodeError:
        raise Unusable("not a notebook: it is not text (UTF-8)") from None
    except OSError as err:
        raise Unusable(f"cannot be read: {err.strerror}") from None
    except Exception as err:  # nbformat raises JSON, validation, key and attribute errors alike
        kind = "not JSON" if isinstance(err, json.JSONDecodeError) else "not a notebook"
        raise Unusable(f"{kind}: {' '.join(str(err).split())[:120]}") from None
    return nb


def _by_name(inside, sources):
    """(student, assignment) as far as the name tells, for a file that cannot be read."""
    assignment = next((name for name in sources if name.casefold() in str(inside).casefold()), "")
    try:
        return _student(inside, assignment or "an assignment"), assignment
    except Unusable:
        return "", assignment


def _assignment(inside, nb, sources):
    """Which assignment, by the name of the file or its folder, else by the graded cells in it."""
    named = [name for name in sources if name.casefold() in inside.name.casefold()]
    named = named or [name for name in sources if name in inside.parts[:-1]]
    known = {name: _ids(source) for name, source in sources.items()}
    cells = _ids(nb)
    by_cells = [name for name in sources if known[name] & cells]
    if named and (by_cells == named[:1] or not by_cells):
        if not by_cells:
            raise Unusable(f"wrong name or another notebook: it has no graded cell of {named[0]}")
        return named[0], []
    if len(by_cells) == 1:
        return by_cells[0], [f"named {inside.name}; by its cells it is {by_cells[0]}"]
    raise Unusable(f"wrong name: no assignment in it, expected one of {', '.join(sources)}")


def _ids(nb):
    return {cell.metadata["nbgrader"].get("grade_id") for cell in nb.cells
            if isinstance(cell.metadata.get("nbgrader"), dict)} - {None}


def _student(inside, assignment):
    """The student: the first folder, else what stands before the assignment in the file's name."""
    if len(inside.parts) > 1:
        name = inside.parts[0]
        if name == assignment:  # ASSIGNMENT/STUDENT/..., or a folder for each assignment
            return _student(Path(*inside.parts[1:]), assignment)
    else:
        at = inside.stem.casefold().find(assignment.casefold())
        name = inside.stem[:at] if at >= 0 else inside.stem.partition("_")[0] if "_" in inside.stem else ""
    name = PLATFORM.sub("", name.rstrip("_- ")).rstrip("_- ")
    if not NAME.fullmatch(name) or len(name) > 100:
        raise Unusable(f"wrong name: {name!r} is no student, expected STUDENT_{assignment}.ipynb or "
                       f"STUDENT/{assignment}.ipynb")
    return name


def assemble(source, submitted):
    """The notebook that is graded, as a list of cells, and remarks.

    The student's cells in the student's order, as "Restart and Run All" would run them; but the parameters and the
    checks are the course's own, with the hidden tests, and what was deleted is put back after its predecessor.
    """
    keys = [_keys(cell) for cell in source.cells]
    owner, taken, remarks = {}, set(), []
    for place in range(3):  # by id, by nbgrader's id, by text
        index = {key[place]: n for n, key in reversed(list(enumerate(keys))) if key[place] is not None}
        for number, cell in enumerate(submitted.cells):
            n = index.get(_keys(cell)[place])
            if number not in owner and n is not None and n not in taken:
                owner[number] = n
                taken.add(n)
    cells, edited = [], []
    for number, cell in enumerate(submitted.cells):
        mine = source.cells[owner[number]] if number in owner else None
        if mine is not None and _locked(mine):
            if _visible(mine) != _visible(cell):
                edited.append(_name(mine))
            cells.append((owner[number], mine))
        else:
            cells.append((owner.get(number), cell))
    missing = [n for n in range(len(keys)) if n not in taken and source.cells[n].cell_type == "code"]
    for n in missing:
        before = [at for at, (m, _) in enumerate(cells) if m is not None and m < n]
        cells.insert(max(before, key=lambda at: cells[at][0]) + 1 if before else 0, (n, _unsolved(source.cells[n])))
    if missing:
        remarks.append(f"missing cells were put back: {', '.join(_name(source.cells[n]) for n in missing)}")
    if edited := [name for name in edited if name != "parameters"]:
        remarks.append(f"checks were changed, and the course's own were run: {', '.join(edited)}")
    return [cell for _, cell in cells if cell.cell_type == "code"], remarks


def _keys(cell):
    nbgrader = cell.metadata.get("nbgrader")
    return (cell.get("id"), nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None,
            (cell.cell_type, _unsolved(cell).source.strip()) if cell.source.strip() else None)


def _locked(cell):
    from csi_papers.course.assignments import graded
    return graded(cell) or "parameters" in checks.tags(cell)


def _visible(cell):
    from csi_papers.course.assignments import HIDDEN
    return HIDDEN.sub("", cell.source).strip()


def _unsolved(cell):
    """A cell of the course as the student got it."""
    from csi_papers.course.assignments import stub
    if not isinstance(cell.metadata.get("nbgrader"), dict) or not cell.metadata["nbgrader"].get("solution"):
        return cell
    return type(cell)(cell, source=stub(cell.source))


def _name(cell):
    return (cell.metadata.get("nbgrader") or {}).get("grade_id") or (
        "parameters" if "parameters" in checks.tags(cell) else cell.get("id", "a cell"))


def tampering(sources):
    """A remark where code sets an attribute of a module or speaks of the checks' own signals, else None."""
    imported, set_ = {"exercises"}, set()
    for source in sources:
        if "csi-exercise" in source:
            return "it prints what only a check prints: read the code before you trust the points"
        try:
            nodes = list(ast.walk(ast.parse(source)))
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                imported |= {(name.asname or name.name).partition(".")[0] for name in node.names}
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                set_.add(ast.unparse(node))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "setattr" and node.args:
                set_.add(f"{ast.unparse(node.args[0])}.")
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == "exercises":
                set_.add("exercises.")
    touched = sorted(name for name in set_ if name.partition(".")[0] in imported)
    return f"it changes {', '.join(touched)}: read the code before you trust the points" if touched else None
