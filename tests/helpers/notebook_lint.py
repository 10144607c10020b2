"""The structure that every notebook of the collection keeps: `lint(nb)` gives what is wrong, a sentence each."""

import ast
import base64
import binascii
import functools
import re

from csi_papers.course.assignments import HIDDEN
from csi_papers.run import notebook as checks
from csi_papers.run.runner import run_notebook

SECTIONS = ("Parameters and setup", "The problem and the idea", "Symbols", "Known truth", "The method", "The data",
            "Reproduction", "Does it survive?", "Paper, code and us", "Exercises", "What we learned", "Results")
CARD = ("Claim", "Verdict", "Prerequisites", "Time", "Data")
TAGS = {"parameters", "setup", "exercise", "solution", "check", "hidden-check", "figure", "main-figure", "claim",
        "ledger", "slow"}
MAX_CELLS, MAX_LINES, MIN_ALT = 70, 25, 20
# A machine's own folders; a relative path or a URL is none of these.
ABSOLUTE = re.compile(r"(?<![\w./:~-])(?:/(?:home|Users|root|tmp|mnt|work|content|usr|var|opt|private)/|~/)"
                      r"|\b[A-Za-z]:\\\\?\w")
PAIRS = (("### BEGIN SOLUTION", "### END SOLUTION"), ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"))


def lint(nb):
    """What is wrong with a notebook, as sentences; an empty list for a good one."""
    try:
        checks.check(nb)
        refused = []
    except checks.Refused as err:
        refused = [str(err)]
    return [*refused, *_whole(nb), *_headings(nb), *_sizes(nb),
            *(f"{checks.label(cell, n)}: {text}" for n, cell in enumerate(nb.cells, 1) for text in _cell(nb, n - 1))]


def recorded_twice(path, folder, **options):
    """Run a notebook twice; returns what each run recorded, [(id, value)], to be compared to the last bit."""
    return [[(r["id"], r["value"]) for r in run_notebook(path, folder / name, **options)["claims"]] for name in "ab"]


def headings(source, level):
    """The headings of a level in Markdown, outside fenced code."""
    outside = re.sub(r"^(```|~~~).*?^\1", "", source, flags=re.M | re.S)
    return re.findall(rf"^{'#' * level} +(.+?) *$", outside, flags=re.M)


def _markdown(nb):
    return [cell.source for cell in nb.cells if cell.cell_type == "markdown"]


def _whole(nb):
    ids = [cell.get("id") for cell in nb.cells]
    if None in ids or len(set(ids)) < len(ids):
        yield "cell ids are missing or not unique"
    if len(nb.cells) > MAX_CELLS:
        yield f"{len(nb.cells)} cells, expected at most {MAX_CELLS}"
    if not any("claims.open(" in cell.source for cell in nb.cells if cell.cell_type == "code"):
        yield "no ledger is opened"
    if sum("main-figure" in checks.tags(cell) for cell in nb.cells) > 1:
        yield "more than one cell is tagged main-figure"
    for name, content in drawings(nb).items():
        if not content:
            yield f"the attachment {name} is not base64: JupyterLab shows a broken picture"


def drawings(nb):
    """name -> bytes of every attached picture; empty where it is not the base64 that Jupyter expects."""
    found = {}
    for cell in nb.cells:
        for name, bundle in cell.get("attachments", {}).items():
            try:
                found[name] = base64.b64decode(next(iter(bundle.values())), validate=True)
            except (binascii.Error, ValueError):
                found[name] = b""
    return found


def _headings(nb):
    if not nb.cells or nb.cells[0].cell_type != "markdown" or not headings(nb.cells[0].source.split("\n\n")[0], 1):
        yield "the first cell does not begin with a level-1 title"
    if sum(len(headings(source, 1)) for source in _markdown(nb)) != 1:
        yield "not exactly one level-1 heading"
    found = [heading for source in _markdown(nb) for heading in headings(source, 2)]
    expected = [f"{number}. {name}" for number, name in enumerate(SECTIONS, 1)]
    if found[-1:] == ["Results"]:  # the ledger's table may stand without a number
        expected[-1] = "Results"
    for number, want in enumerate(expected):
        if number >= len(found) or not found[number].startswith(want):
            got = found[number] if number < len(found) else "the end"
            yield f"level-2 heading {number + 1} is {got!r}, expected '## {want}...'"
            break
    if len(found) > len(expected):
        yield f"level-2 heading {found[len(expected)]!r} is one too many"
    card = ""
    for cell in nb.cells:
        if cell.cell_type != "markdown" or headings(cell.source, 2):
            break
        card += cell.source
    if missing := [word for word in CARD if not re.search(rf"\b{word}", card)]:
        yield f"the card lacks {', '.join(missing)}"


def _sizes(nb):
    """The costs of the profiles grow: SIZES in the cell tagged setup."""
    setups = [cell.source for cell in nb.cells if cell.cell_type == "code" and "setup" in checks.tags(cell)]
    found = [node.value for source in setups for node in _nodes(source, ast.Assign)
             if isinstance(node.targets[0], ast.Name) and node.targets[0].id == "SIZES"]
    if len(found) != 1:
        yield f"SIZES is set {len(found)} times in cells tagged setup, expected once"
        return
    try:
        sizes = ast.literal_eval(found[0])
        steps = [sizes[profile] for profile in checks.PROFILES]
        costs = [{k: v for k, v in step.items() if isinstance(v, int | float) and not isinstance(v, bool)}
                 for step in steps]
    except (ValueError, KeyError, TypeError, AttributeError):
        yield "SIZES is not a literal {'smoke': {...}, 'standard': {...}, 'full': {...}}"
        return
    if len(sizes) != 3 or any(step.keys() != steps[0].keys() for step in steps):
        yield "SIZES has not the same keys for smoke, standard and full"
        return
    for small, large, names in ((costs[0], costs[1], "smoke to standard"), (costs[1], costs[2], "standard to full")):
        shrinks = [key for key in small if key in large and small[key] > large[key]]
        if shrinks:
            yield f"{', '.join(shrinks)} in SIZES shrinks from {names}"
        if not any(small[key] < large.get(key, small[key]) for key in small):
            yield f"nothing in SIZES grows from {names}"


def _cell(nb, index):
    cell = nb.cells[index]
    if extra := set(checks.tags(cell)) - TAGS:
        yield f"tag {', '.join(sorted(extra))} is not one of ours"
    if ABSOLUTE.search(cell.source):
        yield f"an absolute path: {ABSOLUTE.search(cell.source).group()}"
    if cell.cell_type != "code":
        return
    if cell.outputs or cell.execution_count is not None:
        yield "outputs or an execution count are stored"
    lines = len(HIDDEN.sub("", cell.source).splitlines())  # hidden tests are the grader's, and in no student's copy
    if lines > MAX_LINES:
        yield f"{lines} lines, expected at most {MAX_LINES}"
    for begin, end in PAIRS:
        if [m for m in re.findall(f"{begin}|{end}", cell.source)] != [begin, end] * cell.source.count(begin):
            yield f"{begin} and {end} are not balanced"
    yield from _code(cell)
    yield from _figure(nb, index)


def _nodes(source, kind):
    return [node for node in ast.walk(_tree(source)) if isinstance(node, kind)]


@functools.cache
def _tree(source):
    try:
        return checks.tree(source)
    except SyntaxError:  # told by checks.check
        return ast.Module([], [])


def _called(call):
    return ast.unparse(call.func)


def _code(cell):
    for node in _nodes(cell.source, ast.ImportFrom):
        if node.names[0].name == "*":
            yield "import *"
    for node in _nodes(cell.source, ast.ExceptHandler):
        if node.type is None or ast.unparse(node.type) == "BaseException":
            yield "a bare except"
    for call in _nodes(cell.source, ast.Call):
        name, given = _called(call), {keyword.arg for keyword in call.keywords}
        if name.rpartition(".")[2] in ("filterwarnings", "simplefilter"):
            # filterwarnings(action, message, category, module), simplefilter(action, category)
            if len(call.args) < 2 and not given & {"message", "category", "module"}:
                yield "a blanket warnings filter"
        if name in ("input", "plt.show", "fig.show"):
            yield "input() waits for a person" if name == "input" else f"{name}() gives a figure no alt text"
    checked = [call for call in _nodes(cell.source, ast.Call) if _called(call) == "exercises.check"]
    if checked:
        last = _tree(cell.source).body[-1]
        if not isinstance(last, ast.Expr) or last.value not in checked:
            yield "exercises.check is not the last expression, so it gives no points"
        if not set(checks.tags(cell)) & {"check", "hidden-check"}:
            yield "exercises.check in a cell that is not tagged check"


def _figure(nb, index):
    cell = nb.cells[index]
    shows = [call for call in _nodes(cell.source, ast.Call) if _called(call) == "plots.show"]
    tagged = bool(set(checks.tags(cell)) & {"figure", "main-figure"})
    if shows and not tagged:
        yield "plots.show in a cell that is not tagged figure"
    if not tagged:
        return
    if not shows:
        yield "tagged figure without plots.show(fig, alt=...)"
    for call in shows:
        alt = [keyword.value for keyword in call.keywords if keyword.arg == "alt"] or call.args[1:2]
        if not alt or len(_literal_text(alt[0]).strip()) < MIN_ALT:
            yield f"plots.show without a literal alt of at least {MIN_ALT} characters"
    beside = nb.cells[max(0, index - 1):index] + nb.cells[index + 1:index + 2]
    if not any(other.cell_type == "markdown" for other in beside):
        yield "a figure without prose before or after it"


def _literal_text(node):
    """The fixed part of a string or f-string."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_literal_text(part) for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
