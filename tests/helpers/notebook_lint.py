"""The structure that every notebook of the collection keeps: `lint(nb, stem)` gives what is wrong, a sentence each.

Notebooks have the form of the second edition, and the metadata `edition` 2.
"""

import ast
import base64
import binascii
import functools
import re
import symtable

from csi_papers.course.assignments import Malformed, exercises_of
from csi_papers.run import notebook as checks

SECTIONS = ("Set-up", "The problem and the idea", "Known truth", "The method", "The data and its trap", "Reproduction",
            "Does it survive?", "What we chose", "What we learned", "Results")
CARD = ("Paper", "Claim", "Prerequisites", "You will be able to", "Time", "Data")
MINUTES, MINUTES_DEEPER, MAX_COLUMNS, MAX_FUNCTIONS, MAX_SLIDES = 60, 45, 88, 25, 15
TAGS = {"parameters", "setup", "exercise", "solution", "check", "hidden-check", "figure", "main-figure", "claim",
        "ledger", "slow", "hide-input"}
MIN_ALT = 20
# A machine's own folders; a relative path or a URL is none of these.
ABSOLUTE = re.compile(r"(?<![\w./:~-])(?:/(?:home|Users|root|tmp|mnt|work|content|usr|var|opt|private)/|~/)"
                      r"|\b[A-Za-z]:\\\\?\w")
# How the set-up begins: a notebook that came alone, or beside a stranger's package, says what it needs.
ALONE = """\
from importlib import import_module

try:
    import_module("csi_utils.claims")
except ImportError:
    raise ImportError(
        "This notebook needs the csi_utils that comes with it: clone its repository "
        "and run `pip install -e .` in it. The index has another package of that name."
    ) from None
"""
PAIRS = (("### BEGIN SOLUTION", "### END SOLUTION"), ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"))


def lint(nb, stem, deeper=False):
    """What is wrong with a notebook, as sentences; an empty list for a good one. deeper: it lies in deeper/."""
    try:
        checks.check(nb)
        refused = []
    except checks.Refused as err:
        refused = [str(err)]
    if not nb.cells:
        return refused
    return [*refused, *_whole(nb), *_second(nb, deeper), *_sizes(nb),
            *(f"{checks.label(cell, n)}: {text}" for n, cell in enumerate(nb.cells, 1) for text in _cell(nb, n - 1))]


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
    if nb.cells[0].cell_type != "markdown" or not headings(nb.cells[0].source.split("\n\n")[0], 1):
        yield "the first cell does not begin with a level-1 title"
    if sum(len(headings(source, 1)) for source in _markdown(nb)) != 1:
        yield "not exactly one level-1 heading"
    if not any(cell.source.startswith(ALONE) and "setup" in checks.tags(cell) for cell in nb.cells):
        yield "the cell tagged setup does not begin with notebook_lint.ALONE, which says where csi_utils is from"
    if not any("claims.open(" in cell.source for cell in nb.cells if cell.cell_type == "code"):
        yield "no ledger is opened"
    marked = [cell.metadata.get("slideshow", {}).get("slide_type") in ("slide", "subslide") for cell in nb.cells
              if cell is not nb.cells[0] and "ledger" not in checks.tags(cell)]
    if sum(marked) > MAX_SLIDES - 3:
        yield f"{sum(marked)} cells are slides, expected at most {MAX_SLIDES - 3} besides title and tables"
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


def _sections(nb, expected):
    """Are the level-2 headings these, numbered from 1? A heading may go on after its name."""
    found = [heading for source in _markdown(nb) for heading in headings(source, 2)]
    for number, name in enumerate(expected, 1):
        got = found[number - 1] if number <= len(found) else "the end"
        if not got.startswith(f"{number}. {name}") and (name, got) != ("Results", "Results"):
            yield f"level-2 heading {number} is {got!r}, expected '## {number}. {name}...'"
            return
    if len(found) > len(expected):
        yield f"level-2 heading {found[len(expected)]!r} is one too many"


def _second(nb, deeper):
    """What the second form asks for."""
    if nb.metadata.get("edition") != 2:
        yield f"the metadata edition is {nb.metadata.get('edition')!r}, expected 2"
    own = [h for source in _markdown(nb) for h in headings(source, 2)]
    yield from _sections(nb, ("Set-up", *[""] * (len(own) - 2), "Results") if deeper else SECTIONS)
    source = "\n".join(_markdown(nb))
    if not deeper and not re.search(r"^## 9\..*^### Symbols$.*^## 10\.", source, re.M | re.S):
        yield "no subsection '### Symbols' in section 9"
    first = nb.cells[0].source
    if not re.match(r"# \d\d,? deeper · \S" if deeper else r"# \d\d · \S", first):
        yield f"the title is {first[:30]!r}, expected '# NN{', deeper' if deeper else ''} · Title'"
    rows = [name.removesuffix("s") if name == "Papers" else name
            for name in re.findall(r"^\| \*\*(.+?)\*\* \| .* \|$", first, re.M)]
    if rows != list(CARD):
        yield f"the rows of the card are {', '.join(rows) or '(none)'}, expected {', '.join(CARD)}"
    minutes, limit = checks.reading_minutes(nb), MINUTES_DEEPER if deeper else MINUTES
    if minutes > limit:
        yield f"{minutes:.0f} minutes to read, expected at most {limit}"
    if (count := sum(_functions(cell.source) for cell in nb.cells if cell.cell_type == "code")) > MAX_FUNCTIONS:
        yield f"{count} functions and classes, expected at most {MAX_FUNCTIONS}"
    if not (nb.cells[-1].source.endswith("ledger.close()") and "ledger" in checks.tags(nb.cells[-1])):
        yield "the last cell is not ledger.close(), tagged ledger"
    for number, cell in enumerate(nb.cells, 1):
        yield from (f"{checks.label(cell, number)}: {text}" for text in _second_cell(cell))
    yield from _exercises(nb, deeper)


def _functions(source):
    """Functions and classes of a cell; a method is part of its class."""
    found = [node for node in ast.walk(_tree(source)) if isinstance(node, _FUNCTION | ast.ClassDef)]
    methods = [part for node in found if isinstance(node, ast.ClassDef) for part in node.body
               if isinstance(part, _FUNCTION)]
    return len(found) - len(methods)


def _second_cell(cell):
    for name, bundle in cell.get("attachments", {}).items():
        if list(bundle) != ["image/png"]:
            yield f"the attachment {name} is {', '.join(bundle)}, expected image/png: JupyterLab shows no other drawing"
    if cell.cell_type != "code":
        return
    if wide := [line for line in cell.source.splitlines() if len(line) > MAX_COLUMNS]:
        yield f"a line of {len(wide[0])} characters, expected at most {MAX_COLUMNS}: {wide[0].strip()[:40]}..."
    tags, hidden = set(checks.tags(cell)), bool(cell.metadata.get("jupyter", {}).get("source_hidden"))
    if hidden != ("hide-input" in tags):
        yield "jupyter.source_hidden and the tag hide-input go together"
    if tags & {"figure", "main-figure"} and not hidden:
        yield "the code of a figure is not collapsed (jupyter.source_hidden and the tag hide-input)"


def _exercises(nb, deeper):
    """Text, solution and check stand together, and what comes after them does not depend on them."""
    try:
        found = exercises_of(nb)
    except Malformed as err:
        yield str(err)
        return
    if not found and not deeper:
        yield "no exercise"
    own = [id(cell) for one in found for cell in (one.solution, one.check)]
    for number, cell in enumerate(nb.cells, 1):
        if set(checks.tags(cell)) & {"exercise", "solution", "hidden-check"} and id(cell) not in own:
            yield f"{checks.label(cell, number)}: tagged as part of an exercise, and of none that gives points"
    for number, one in enumerate(found, 1):
        start = nb.cells.index(one.text)
        if nb.cells[start:start + 3] != [one.text, one.solution, one.check]:
            yield f"{one.id}: text, solution and check do not follow each other"
        if one.number != f"Exercise {number}":
            yield f"{one.id}: is called {one.number}, expected Exercise {number}"
        for cell, want in ((one.solution, {"exercise", "solution"}), (one.check, {"check", "hidden-check"})):
            if lacks := want - set(checks.tags(cell)):
                yield f"{one.id}: a cell lacks the tag {', '.join(sorted(lacks))}"
        open_names = _names(one.solution.source)[0] | _names(one.check.source)[0]
        for cell in nb.cells[start + 3:]:
            sets, reads = _names(cell.source) if cell.cell_type == "code" else (set(), set())
            if needs := reads & open_names - sets:
                yield f"{one.id}: {checks.label(cell, nb.cells.index(cell) + 1)} needs {', '.join(sorted(needs))} of it"
            open_names -= sets


def _names(source):
    """Names of the notebook that a cell sets, and those that it reads, also within functions."""
    try:
        table = symtable.symtable(source, "cell", "exec")
    except SyntaxError:  # told by checks.check
        return set(), set()
    sets = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    reads, todo = {s.get_name() for s in table.get_symbols() if s.is_referenced()}, table.get_children()
    while todo:
        inner = todo.pop()
        reads |= {s.get_name() for s in inner.get_symbols() if s.is_global() and s.is_referenced()}
        todo += inner.get_children()
    return sets, reads


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
    for begin, end in PAIRS:
        if [m for m in re.findall(f"{begin}|{end}", cell.source)] != [begin, end] * cell.source.count(begin):
            yield f"{begin} and {end} are not balanced"
    yield from _code(cell)
    yield from _figure(nb, index)


_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


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
