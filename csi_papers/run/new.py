"""`csi-papers new NN_short_name`: the seven files of a paper, from a template that runs and is green."""

import re
from pathlib import Path

from csi_utils import ROOT

from .provenance import write

TEMPLATE = Path(__file__).resolve().parents[1] / "templates" / "paper"
STEM = re.compile(r"\d\d(_[a-z0-9]+)+")


def stamp(stem, folder=ROOT):
    """Write the files of a new paper into a checkout. Returns their paths, relative to it.

    stem: NN_short_name, two digits and small letters. Raises ValueError, and writes nothing, for another form, and for
    a number or a short name that a paper has already.
    """
    if not STEM.fullmatch(stem):
        raise ValueError(f"name: got {stem!r}, expected two digits and a short name, like 09_short_name")
    folder, number = Path(folder), stem[:2]
    if not (folder / "notebooks").is_dir():
        raise ValueError(f"folder: {folder} has no notebooks/, expected a checkout of the collection")
    for other in sorted((folder / "notebooks").glob("**/[0-9][0-9]_*.ipynb")):
        if other.parent.name != "deeper" and other.stem[:2] == number:
            raise ValueError(f"name: {stem} has the number of {other.stem}, expected another one")
        if other.stem[3:] == stem[3:]:
            raise ValueError(f"name: {stem} has the short name of {other.stem}, expected another one")

    def named(text):
        return re.sub(r"\bNN\b", number, text.replace("NN_short_name", stem))

    texts = {}
    for file in sorted(TEMPLATE.rglob("*.*")):
        if "__pycache__" not in file.parts:
            texts[named(file.relative_to(TEMPLATE).as_posix())] = named(file.read_text(encoding="utf-8"))
    if there := [name for name in texts if (folder / name).exists()]:
        raise ValueError(f"name: {', '.join(there)} is there already, expected a name without files")
    written = []
    try:
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write(folder / name, text)
            written.append(folder / name)
    except OSError:
        for path in written:
            path.unlink()
        raise
    return list(texts)
