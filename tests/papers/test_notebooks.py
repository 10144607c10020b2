"""Every notebook of the collection: structure, and a smoke run without network. Each lint rule is proven to fire."""

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path

import executed
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from notebook_lint import ALONE, CARD, SECTIONS, lint

from csi_utils import claims

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
PATHS = sorted([*FOLDER.glob("*.ipynb"), *FOLDER.glob("deeper/*.ipynb")])
RUFF = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")


def named(path):
    return path.relative_to(FOLDER).with_suffix("").as_posix()


notebook = pytest.mark.parametrize("path", PATHS, ids=named)


@notebook
def test_structure(path):
    found = lint(nbformat.read(path, as_version=4), path.stem, deeper=path.parent.name == "deeper")
    assert not found, "\n".join(found)


@notebook
@pytest.mark.parametrize("rule", [("format", "--diff"), ("check", "--select", "E501")], ids=["format", "E501"])
def test_the_code_is_formatted_at_88_columns(path, rule):
    done = subprocess.run([RUFF, *rule, "--isolated", "--line-length", "88", path], capture_output=True, text=True)
    assert done.returncode == 0, f"ruff format --line-length 88 {named(path)}.ipynb\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("stranger", [False, True], ids=["alone", "beside a stranger's package"])
def test_a_notebook_without_our_csi_utils_says_what_to_install(stranger, tmp_path):
    """`test_structure` asks every notebook to begin so."""
    if stranger:
        (tmp_path / "csi_utils").mkdir()
        (tmp_path / "csi_utils" / "__init__.py").write_text("")
    python = [sys.executable, "-S", "-c", f"import sys\nsys.path.insert(0, '.')\n{ALONE}"]  # without installed packages
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    said = subprocess.run(python, cwd=tmp_path, env=env, capture_output=True, text=True).stderr
    assert said.splitlines()[-1].startswith("ImportError: This notebook needs the csi_utils that comes with it: clone")
    assert said.count("Traceback") == 1


@notebook
def test_what_needs_real_data_is_stated_as_not_run_without_them(path):
    """Else a run without the data fails, and only at the profile that asks for them."""
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    needs = [mid for mid, measure in claims.load(path.stem)["measures"].items() if "needs" in measure]
    assert not needs or "ledger.not_run(" in text, f"{needs} need data, and nothing says so where there are none"


@notebook
def test_its_ledger_names_it(path):
    """The claims of a notebook lie in data/claims under its own name."""
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    assert claims.load(path.stem)["measures"]
    assert f'claims.open("{path.stem}"' in text or f'claims.open("{path.stem[3:]}"' in text


@pytest.mark.notebook
@notebook
def test_smoke_run(path, tmp_path_factory):
    result = executed.smoke(path, tmp_path_factory)
    assert result["status"] == "ok"
    assert result["claims"] and result["environment"]["inputs"]["parameters"]["source"] == "embedded"


# The rules, on made-up notebooks.

CARD_TABLE = "# 99 · A paper\n\n| | |\n|---|---|\n" + "\n".join(f"| **{name}** | Words. |" for name in CARD)
SETUP = 'SIZES = {"smoke": {"n": 1, "k": 2}, "standard": {"n": 2, "k": 2},\n    "full": {"n": 3, "k": 3.5}}'
SOLUTION = "def f(x):\n    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION\n    return exercises.TODO"
CHECK = """hidden = []
### BEGIN HIDDEN TESTS
hidden = [exercises.case(2, expect=2)]
### END HIDDEN TESTS
exercises.check(f, [exercises.case(1, expect=1), *hidden], points=2)"""


def add(nb, source, *tags, **metadata):
    nb.cells.append(new_code_cell(source, metadata={"tags": list(tags), **metadata}))


def start(nb):
    add(nb, 'profile = "smoke"\nsource = "auto"\nseed = 0', "parameters")
    add(nb, f'{ALONE}\nledger = claims.open("x", profile, seed)\n{SETUP}', "setup")


def good(deeper=False):
    """A good notebook."""
    card = CARD_TABLE.replace("99 ·", "99, deeper ·") if deeper else CARD_TABLE
    nb = new_notebook(cells=[new_markdown_cell(card)], metadata={"edition": 2})
    sections = ("Set-up", "Solved by hand", "Results") if deeper else SECTIONS
    for number, name in enumerate(sections, 1):
        more = "\n\n### Symbols\n\nNone." if name == "What we learned" else ""
        nb.cells.append(new_markdown_cell(f"## {number}. {name}{more}"))
        if number == 1:
            start(nb)
        if number == 4:
            nb.cells.append(new_markdown_cell("**Exercise 1: the same (2 points).** Return it."))
            add(nb, SOLUTION, "exercise", "solution", nbgrader={"grade_id": "f", "solution": True, "grade": False})
            add(nb, CHECK, "check", "hidden-check", nbgrader={"grade_id": "f_check", "grade": True, "points": 2})
        if number == 6:
            add(nb, 'plots.show(fig, alt="A curve that falls from left to right")', "figure", "main-figure",
                "hide-input", jupyter={"source_hidden": True})
    add(nb, "ledger.close()", "ledger")
    return nb


def test_good_notebooks_have_nothing_to_complain_about():
    assert lint(good(), "99_x") == lint(good(deeper=True), "99_x", deeper=True) == []


def test_an_empty_notebook_is_refused_and_no_more():
    assert len(lint(new_notebook(), "99_x")) == 1


def find(nb, text):
    return next(cell for cell in nb.cells if text in cell.source)


def code(text, *tags):
    """A change that puts a code cell before the last cell."""
    return lambda nb: nb.cells.insert(len(nb.cells) - 1, new_code_cell(text, metadata={"tags": list(tags)}))


def prose(text):
    return lambda nb: nb.cells.insert(len(nb.cells) - 1, new_markdown_cell(text))


def swap(before, after):
    def change(nb):
        cell = find(nb, before)
        cell.source = cell.source.replace(before, after)
    return change


def put(key, value, where="SIZES"):
    return lambda nb: find(nb, where).update({key: value})


def drop(text):
    return lambda nb: nb.cells.remove(find(nb, text))


def meta(where, **values):
    return lambda nb: find(nb, where).metadata.update(values)


def fires(nb, stem, change, message, deeper=False):
    before = copy.deepcopy(nb)
    change(nb)
    assert nb != before
    found = lint(nb, stem, deeper)
    if message is None:  # a notebook may do without
        assert found == []
    else:
        assert any(message in text for text in found), found


@pytest.mark.parametrize(("change", "message"), [
    (lambda nb: nb.metadata.update(edition=1), "the metadata edition is 1"),
    (drop("## 3. Known"), "level-2 heading 3 is '4. The method', expected '## 3. Known truth"),
    (swap("## 4. The method", "## 4. The method, equation by equation"), None),
    (swap("## 10. Results", "## 10. Ledger"), "level-2 heading 10 is '10. Ledger'"),
    (prose("## 11. More"), "'11. More' is one too many"),
    (swap("### Symbols", "Symbols"), "no subsection '### Symbols'"),
    (swap("# 99 · A paper", "# A paper"), "the title is '# A paper"),
    (swap("| **Paper** |", "| **Papers** |"), None),
    (swap("| **Time** |", "| **Verdict** | It holds. |\n| **Time** |"), "the rows of the card are Paper, Claim,"),
    (swap("| **Data** | Words. |", ""), "You will be able to, Time, expected"),
    (prose("word " * 12_000), "minutes to read, expected at most 60"),
    (code("\n".join(f"def f{n}():\n    pass" for n in range(25))), "26 functions and classes"),
    (code("class A:\n" + "\n".join(f"    def f{n}(self):\n        pass" for n in range(25))), None),
    (drop("ledger.close()"), "the last cell is not ledger.close()"),
    (meta("ledger.close()", tags=[]), "the last cell is not ledger.close()"),
    (put("attachments", {"a.svg": {"image/svg+xml": "PHN2Zy8+"}}, where="## 2."), "svg+xml, expected image/png"),
    (put("attachments", {"a.png": {"image/png": "PHN2Zy8+"}}, where="## 2."), None),
    (code(f"x = '{'a' * 83}'"), "a line of 89 characters"),
    (meta("plots.show", jupyter={}), "jupyter.source_hidden and the tag hide-input go together"),
    (meta("plots.show", jupyter={}, tags=["figure"]), "the code of a figure is not collapsed"),
    (drop("hidden = []"), "tagged as part of an exercise, and of none"),
    (lambda nb: [nb.cells.remove(find(nb, text)) for text in ("**Exercise", "def f(x)", "hidden = []")], "no exercise"),
    (meta("hidden = []", nbgrader={"grade_id": "g_check", "grade": True, "points": 2}), "no solution cell named 'g'"),
    (swap("**Exercise 1:", "**Exercise 2:"), "is called Exercise 2, expected Exercise 1"),
    (lambda nb: nb.cells.insert(nb.cells.index(find(nb, "hidden = []")), new_code_cell("x = 1")), "do not follow each"),
    (meta("hidden = []", tags=["check"]), "a cell lacks the tag hidden-check"),
    (meta("def f(x)", tags=["solution"]), "a cell lacks the tag exercise"),
    (code("y = f(3)"), "(y = f(3)) needs f of it"),
    (code("def g():\n    return f(3)"), "needs f of it"),
    (code("print(hidden)"), "needs hidden of it"),
    (code("def f(x):\n    return 2 * x\n\n\ny = f(3)"), None),
])
def test_each_rule_of_the_second_form_fires(change, message):
    fires(good(), "99_x", change, message)


@pytest.mark.parametrize(("change", "message"), [
    (drop("## 3. Results"), "level-2 heading 2 is '2. Solved by hand', expected '## 2. Results"),
    (swap("## 2. Solved", "## Solved"), "level-2 heading 2 is 'Solved by hand'"),
    (swap("# 99, deeper ·", "# 99 ·"), "expected '# NN, deeper · Title'"),
    (prose("word " * 9_100), "minutes to read, expected at most 45"),
])
def test_each_rule_of_the_notebooks_in_deeper_fires(change, message):
    fires(good(deeper=True), "99_x", change, message, deeper=True)


@pytest.mark.parametrize(("change", "message"), [
    (swap("# 99 · A paper\n", "A paper\n"), "does not begin with a level-1 title"),
    (prose("# Again"), "not exactly one level-1"),
    (put("outputs", [nbformat.v4.new_output("stream", text="x")]), "outputs or an execution count"),
    (put("execution_count", 3), "outputs or an execution count"),
    (lambda nb: nb.cells[-1].update(id=nb.cells[0].id), "ids are missing or not unique"),
    (code("x = 1", "fancy"), "tag fancy is not one of ours"),
    (code("x = 1", "raises-exception"), "the tag raises-exception"),
    (code("x = 1", "parameters"), "2 cells have the tag parameters"),
    (swap("seed = 0", "seed = 1 - 1"), "derives seed"),
    (swap("seed = 0", "sead = 0"), "lacks seed"),
    (code("!ls"), "a shell line or a magic"),
    (code("%matplotlib inline"), "a shell line or a magic"),
    (code("%%bash\nls"), "a shell line or a magic"),
    (code("open('/home/me/data.npz')"), "an absolute path: /home/"),
    (code(r"open('C:\\data\\x')"), "an absolute path"),
    (code("open('~/data')"), "an absolute path: ~/"),
    (prose("See /Users/me/x."), "an absolute path: /Users/"),
    (code("from numpy import *"), "import *"),
    (code("try:\n    x = 1\nexcept:\n    pass"), "a bare except"),
    (code("warnings.filterwarnings('ignore')"), "a blanket warnings filter"),
    (code("warnings.simplefilter(action='ignore')"), "a blanket warnings filter"),
    (swap('alt="A curve that falls from left to right"', 'alt="A curve"'), "without a literal alt"),
    (swap(', alt="A curve that falls from left to right"', ""), "without a literal alt"),
    (swap('alt="A curve that falls from left to right"', "alt=text"), "without a literal alt"),
    (swap("plots.show", "plt.plot"), "tagged figure without plots.show"),
    (lambda nb: find(nb, "plots.show").metadata.update(tags=[]), "plots.show in a cell that is not tagged"),
    (code("plt.show()"), "plt.show() gives a figure no alt text"),
    (code("x = input()"), "input() waits"),
    (lambda nb: nb.cells.extend(new_code_cell(source, metadata={"tags": tags}) for source, tags in [
        ("x = 1", []), ('plots.show(fig, alt="A curve that falls from left to right")', ["figure"])]),
     "a figure without prose"),
    (swap("### END SOLUTION", ""), "are not balanced"),
    (swap(SOLUTION, SOLUTION.replace("BEGIN", "X").replace("END", "BEGIN").replace("X", "END")), "are not balanced"),
    (swap("exercises.check(f", "score = exercises.check(f"), "is not the last expression"),
    (lambda nb: find(nb, "exercises.check").metadata.update(tags=[]), "not tagged check"),
    (swap('claims.open("x", profile, seed)', "None"), "no ledger is opened"),
    (lambda nb: nb.cells.extend(new_markdown_cell("Words.", metadata={"slideshow": {"slide_type": "slide"}})
                                for _ in range(13)), "13 cells are slides, expected at most 12"),
    (swap(ALONE, ""), "does not begin with notebook_lint.ALONE"),
    (code("x = 1", "main-figure"), "more than one cell is tagged main-figure"),
    (swap('"full": {"n": 3, "k": 3.5}', '"full": {"n": 1, "k": 3.5}'), "n in SIZES shrinks from standard to full"),
    (swap('"standard": {"n": 2, "k": 2}', '"standard": {"n": 1, "k": 2}'), "nothing in SIZES grows from smoke"),
    (swap('"full": {"n": 3, "k": 3.5}', '"full": {"n": 3}'), "not the same keys"),
    (swap(',\n    "full": {"n": 3, "k": 3.5}', ""), "SIZES is not a literal"),
    (swap('"n": 1, "k"', '"n": len(x), "k"'), "SIZES is not a literal"),
    (swap("SIZES", "COSTS"), "SIZES is set 0 times"),
    (put("attachments", {"a.svg": {"image/svg+xml": "<svg/>"}}, where="## 2."), "a.svg is not base64"),
])
def test_each_rule_of_both_forms_fires(change, message):
    fires(good(), "99_x", change, message)


@pytest.mark.parametrize("harmless", [
    "warnings.filterwarnings('ignore', category=FutureWarning)", "warnings.simplefilter('ignore', FutureWarning)",
    "x = 7 % 5", "a = 'https://example.org/home/x'", "try:\n    x = 1\nexcept ValueError:\n    pass", "x = y/var/z",
])
def test_what_is_fine_is_not_told(harmless):
    nb = good()
    code(harmless)(nb)
    assert lint(nb, "99_x") == []


def test_alt_may_be_positional_and_may_hold_values():
    nb = good()
    swap('alt="A curve that falls from left to right"', 'f"A curve that falls to {x:.1f} m"')(nb)
    assert lint(nb, "99_x") == []
