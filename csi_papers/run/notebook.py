"""What the strict runner asks of a notebook before it runs, and of its parameters. No kernel is needed.

papermill passes each of these in silence: see tests/helpers/bad_notebooks.py.
"""

import ast
import re
import warnings

import nbformat

from csi_utils.claims import PROFILES
from csi_utils.datasets import SOURCES

PARAMETERS = ("profile", "source", "seed")
BANNED_TAGS = {
    "raises-exception": "hides an error",
    "skip-execution": "keeps the cell from running",
    "injected-parameters": "makes papermill replace the cell",
    "papermill-error-cell-tag": "makes papermill delete the cell",
}


class Refused(ValueError):
    """The strict runner does not run this notebook, or not with these parameters."""


def read(path):
    """Read a notebook file as version 4. Raises Refused when it is none, FileNotFoundError when it is absent."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", nbformat.warnings.DuplicateCellId)
            warnings.simplefilter("error", nbformat.warnings.MissingIDFieldWarning)
            return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise
    except Exception as err:  # nbformat raises JSON, validation, key and attribute errors alike
        raise Refused(f"not a valid notebook: {type(err).__name__}: {str(err).splitlines()[0]}") from err


def tags(cell):
    """A cell's tags, as a list."""
    return cell.metadata.get("tags", [])


def label(cell, number):
    """How a message names a cell: its number from 1 and its first line of code."""
    lines = [line for line in cell.source.splitlines() if line.strip()]
    return f"cell {number} ({lines[0].strip()[:60]})" if lines else f"cell {number}"


def tree(source):
    """The syntax tree of a cell's source; SyntaxError where it is not plain Python (top-level await is)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # said again, in the notebook, when the cell runs
        return compile(source, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def check(nb):
    """Refuse a notebook that could fail in silence. Returns the parameters cell's defaults. Raises Refused."""
    code = [(number, cell) for number, cell in enumerate(nb.cells, 1) if cell.cell_type == "code"]
    if sum(bool(cell.source.strip()) for _, cell in code) < 2:
        raise Refused("the notebook is empty: no code cell besides the parameters")
    for number, cell in enumerate(nb.cells, 1):
        for tag in set(tags(cell)) & set(BANNED_TAGS):
            raise Refused(f"{label(cell, number)} has the tag {tag}, which {BANNED_TAGS[tag]}")
        if cell.cell_type == "raw":
            raise Refused(f"{label(cell, number)} is a raw cell, which never runs")
    for number, cell in code:
        try:
            tree(cell.source)
        except SyntaxError as err:
            line = (err.text or cell.source).strip()
            what = "a shell line or a magic" if "!" in line or "%" in line else "not plain Python"
            raise Refused(f"{label(cell, number)} has {what}: {line[:80]}") from None
    tagged = [(number, cell) for number, cell in enumerate(nb.cells, 1) if "parameters" in tags(cell)]
    if len(tagged) != 1:
        raise Refused(f"{len(tagged)} cells have the tag parameters, expected one")
    if tagged[0][1] is not code[0][1]:
        raise Refused(f"{label(tagged[0][1], tagged[0][0])} holds the parameters, expected in the first code cell")
    return literals(tagged[0][1].source)


def literals(source):
    """The parameters cell as a dict. Raises Refused when a value is derived or one of PARAMETERS is missing."""
    found = {}
    for node in tree(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        plain = isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        if not plain or len(targets) > 1 or not isinstance(targets[0], ast.Name):
            raise Refused(f"the parameters cell has {ast.unparse(node)!r}, expected only NAME = LITERAL")
        name = targets[0].id
        if name in found:
            raise Refused(f"the parameters cell sets {name} twice")
        try:
            found[name] = ast.literal_eval(node.value)
        except (ValueError, TypeError):
            raise Refused(f"the parameters cell derives {name} = {ast.unparse(node.value)}, expected a literal "
                          "(papermill would not derive it again)") from None
    if missing := [name for name in PARAMETERS if name not in found]:
        raise Refused(f"the parameters cell lacks {', '.join(missing)}")
    return found


def fit(defaults, given):
    """Check the given parameters against the defaults' names and types. Returns them converted.

    A str (from the command line) is read as the default's type; an int may stand for a float. Raises Refused.
    """
    fitted = {}
    for name, value in given.items():
        if name not in defaults:
            raise Refused(f"unknown parameter {name!r}, expected one of {', '.join(defaults)}")
        fitted[name] = _as_type(name, value, defaults[name])
    for name, choices in (("profile", PROFILES), ("source", SOURCES)):
        if name in fitted and fitted[name] not in choices:
            raise Refused(f"parameter {name}: got {fitted[name]!r}, expected one of {', '.join(choices)}")
    return fitted


def _as_type(name, value, default):
    kind = type(default)
    if default is None or (kind is str and isinstance(value, str)):
        return value
    read = value
    if isinstance(value, str):
        try:
            read = ast.literal_eval(value.capitalize() if kind is bool else value)
        except (ValueError, SyntaxError):
            pass
    if kind is float and type(read) is int:
        read = float(read)
    if type(read) is not kind:
        raise Refused(f"parameter {name}: got {value!r}, expected {kind.__name__} as its default {default!r}")
    return read


# What a reader needs.

WORDS_A_MINUTE, CHARACTERS_A_MINUTE = 200, 840  # of prose; of code, twelve lines of seventy characters
NOT_READ = re.compile(r"### BEGIN (SOLUTION|HIDDEN TESTS).*?### END \1", re.DOTALL)


def reading_minutes(nb):
    """Minutes that a reader needs for a notebook: its words, its visible code, and one for each figure.

    Collapsed cells, solutions and hidden tests are not read. A figure is a cell tagged so, a cell that shows one, or an
    attached picture. A float.
    """
    minutes = 0.0
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            minutes += len(cell.source.split()) / WORDS_A_MINUTE + cell.source.count("](attachment:")
        elif cell.cell_type == "code":
            marks = set(tags(cell))
            if marks & {"figure", "main-figure"} or "plots.show(" in cell.source or "plt.show(" in cell.source:
                minutes += 1
            collapsed = cell.metadata.get("jupyter", {}).get("source_hidden")
            if not collapsed and not marks & {"hide-input", "remove-input"}:
                lines = NOT_READ.sub("", cell.source).splitlines()
                minutes += sum(len(line.rstrip()) for line in lines) / CHARACTERS_A_MINUTE
    return minutes
