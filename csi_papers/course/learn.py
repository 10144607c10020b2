"""Learners' copies of the notebooks, which `make lab` opens. What a person has changed is never overwritten.

    csi-papers learn

writes build/learn: each notebook as a student gets it (stubs, hints, no hidden tests), but with its own profile, and
START_HERE.md. The file .written.json keeps the SHA-256 of each copy as it was written: a copy that is no longer so is
a person's, and stays. A new edition of its notebook is then written beside it, as NN_name.new.ipynb.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import nbformat

from csi_papers.course import assignments
from csi_papers.pages import contents
from csi_papers.run.provenance import write
from csi_utils import ROOT

LEARN = ROOT / "build" / "learn"
NEW, SAME, RENEWED, YOURS = "new", "as it was", "a new edition", "changed by you, and left alone"


def make(folder=LEARN, source=ROOT / "notebooks"):
    """Write the copies. Returns {path in the folder: what became of it}.

    source: the folder of instructors' notebooks, deeper/ in it too. Raises Malformed and Refused as for assignments.
    """
    folder, source, said = Path(folder), Path(source), {}
    paths = [*sorted(source.glob("*.ipynb")), *sorted(source.glob("deeper/*.ipynb"))]
    copies = {path.relative_to(source): assignments.to_learn_with(assignments.read(path)) for path in paths}
    texts = {path: nbformat.writes(nb) for path, nb in copies.items()}
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / ".written.json"
    record = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    with tempfile.TemporaryDirectory() as fresh:  # a copy that a person broke must not break the table of contents
        for path, text in texts.items():
            said |= _put(folder, path, text, record)
            write(file, json.dumps(record, indent=1))  # at once: the next one may fail
            _put(Path(fresh), path, text, {})
        write(folder / "START_HERE.md", contents.start_here(fresh))
    return said


def _put(folder, path, text, record):
    """Write one copy, into record too, or leave it. Returns {path: what became of it}, with the one beside it."""
    target, key = folder / path, path.as_posix()
    new = hashlib.sha256(text.encode("utf-8")).hexdigest()
    there = hashlib.sha256(target.read_bytes()).hexdigest() if target.exists() else None
    if there in (None, new, record.get(key)):
        record[key] = new
        if there == new:
            return {path: SAME}
        target.parent.mkdir(exist_ok=True)
        write(target, text)
        return {path: RENEWED if there else NEW}
    if record.get(key) == new:
        return {path: YOURS}
    return {path: YOURS} | _put(folder, path.with_name(f"{path.stem}.new.ipynb"), text, record)


def command(args):
    """`csi-papers learn`, from parsed arguments. Returns the exit status."""
    folder = Path(args.out or LEARN)
    try:
        said = make(folder)
    except (ValueError, OSError) as err:  # a notebook of ours is malformed, a record or a folder is broken
        print(f"no copies to learn with in {folder}: {err}", file=sys.stderr)
        return 1
    print("".join(f"{path}: {what}\n" for path, what in said.items() if what != SAME) + f"to learn with: {folder}")
    return 0
