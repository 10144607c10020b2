"""Every notebook of the collection: structure, and a smoke run without network. Each lint rule is proven to fire."""

import copy
from pathlib import Path

import executed
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from notebook_lint import MAX_CELLS, SECTIONS, lint, recorded_twice

from csi_utils import claims

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = [pytest.param(path, id=path.stem) for path in sorted(FOLDER.glob("*.ipynb"))] or [
    pytest.param(None, marks=pytest.mark.skip(reason="notebooks/ has no notebook yet"))]


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_structure(path):
    found = lint(nbformat.read(path, as_version=4))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_its_ledger_names_it(path):
    """A claim in data/claims.toml belongs to the notebook that opens its ledger."""
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    ledgers = claims.load()
    opened = [name for name in ledgers if f'claims.open("{name}"' in text]
    assert opened and all(ledgers[name]["notebook"] == path.stem for name in opened)


@pytest.mark.notebook
@pytest.mark.parametrize("path", NOTEBOOKS)
def test_smoke_run(path, tmp_path_factory):
    result = executed.smoke(path, tmp_path_factory)
    assert result["status"] == "ok"
    assert result["claims"] and result["environment"]["inputs"]["parameters"]["source"] == "embedded"


def test_the_same_seed_gives_the_same_bits_in_a_tiny_notebook(tmp_path):
    first, second = recorded_twice(Path(__file__).parents[1] / "bad_notebooks" / "spread.ipynb", tmp_path, measure=True)
    assert first and first == second


# The rules, on a made-up notebook.

CARD = "# A paper\n\n**Claim.** One. **Verdict.** Two. **Prerequisites.** Three. **Time.** Four. **Data.** Five."
SETUP = 'SIZES = {"smoke": {"n": 1, "k": 2}, "standard": {"n": 2, "k": 2}, "full": {"n": 3, "k": 3.5}}'


def good():
    nb = new_notebook(cells=[new_markdown_cell(CARD)])
    for number, name in enumerate(SECTIONS, 1):
        nb.cells.append(new_markdown_cell(f"## {number}. {name}\n\n```\n## not a heading\n```"))
        if number == 1:
            nb.cells.append(new_code_cell('profile = "smoke"\nsource = "auto"\nseed = 0',
                                          metadata={"tags": ["parameters"]}))
            nb.cells.append(new_code_cell(f'ledger = claims.open("x", profile, seed)\n{SETUP}',
                                          metadata={"tags": ["setup"]}))
        if number == 4:
            nb.cells.append(new_code_cell('plots.show(fig, alt="A curve that falls from left to right")',
                                          metadata={"tags": ["figure", "main-figure"]}))
        if number == 10:
            nb.cells.append(new_code_cell("### BEGIN SOLUTION\nx = 1\n### END SOLUTION",
                                          metadata={"tags": ["exercise", "solution"]}))
            nb.cells.append(new_code_cell("exercises.check(x, [exercises.case(expect=1)])",
                                          metadata={"tags": ["check"]}))
    return nb


def test_a_good_notebook_has_nothing_to_complain_about():
    assert lint(good()) == []


def find(nb, text):
    return next(cell for cell in nb.cells if text in cell.source)


def code(text, *tags):
    return lambda nb: nb.cells.append(new_code_cell(text, metadata={"tags": list(tags)}))


def swap(old, new):
    def change(nb):
        cell = find(nb, old)
        cell.source = cell.source.replace(old, new)
    return change


def put(key, value, where="SIZES"):
    return lambda nb: find(nb, where).update({key: value})


def drop(text):
    return lambda nb: nb.cells.remove(find(nb, text))


@pytest.mark.parametrize(("change", "message"), [
    (swap("# A paper\n", "A paper\n"), "does not begin with a level-1 title"),
    (lambda nb: nb.cells.append(new_markdown_cell("# Again")), "not exactly one level-1"),
    (swap("**Verdict.** Two.", ""), "the card lacks Verdict"),
    (drop("## 3. Symbols"), "level-2 heading 3 is '4. Known truth', expected '## 3. Symbols"),
    (swap("## 5. The method", "## The method"), "level-2 heading 5 is 'The method'"),
    (lambda nb: nb.cells.append(new_markdown_cell("## 13. More")), "'13. More' is one too many"),
    (drop("## 12. Results"), "level-2 heading 12 is 'the end'"),
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
    (lambda nb: nb.cells.append(new_markdown_cell("See /Users/me/x.")), "an absolute path: /Users/"),
    (code("from numpy import *"), "import *"),
    (code("try:\n    x = 1\nexcept:\n    pass"), "a bare except"),
    (code("warnings.filterwarnings('ignore')"), "a blanket warnings filter"),
    (code("warnings.simplefilter(action='ignore')"), "a blanket warnings filter"),
    (lambda nb: nb.cells.extend(new_code_cell("x = 1") for _ in range(MAX_CELLS)), f"expected at most {MAX_CELLS}"),
    (code("x = 1\n" * 26), "26 lines, expected at most 25"),
    (drop("plots.show"), None),
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
    (swap("### BEGIN SOLUTION\nx = 1\n### END SOLUTION", "### END SOLUTION\nx = 1\n### BEGIN SOLUTION"),
     "are not balanced"),
    (swap("exercises.check(x", "score = exercises.check(x"), "is not the last expression"),
    (lambda nb: find(nb, "exercises.check").metadata.update(tags=[]), "not tagged check"),
    (swap('claims.open("x", profile, seed)', "None"), "no ledger is opened"),
    (code("x = 1", "main-figure"), "more than one cell is tagged main-figure"),
    (swap('"full": {"n": 3, "k": 3.5}', '"full": {"n": 1, "k": 3.5}'), "n in SIZES shrinks from standard to full"),
    (swap('"standard": {"n": 2, "k": 2}', '"standard": {"n": 1, "k": 2}'), "nothing in SIZES grows from smoke"),
    (swap('"full": {"n": 3, "k": 3.5}', '"full": {"n": 3}'), "not the same keys"),
    (swap(', "full": {"n": 3, "k": 3.5}', ""), "SIZES is not a literal"),
    (swap('"n": 1, "k"', '"n": len(x), "k"'), "SIZES is not a literal"),
    (swap("SIZES", "COSTS"), "SIZES is set 0 times"),
    (put("attachments", {"a.svg": {"image/svg+xml": "<svg/>"}}, where="## 2."), "a.svg is not base64"),
])
def test_each_rule_fires(change, message):
    nb = good()
    before = copy.deepcopy(nb)
    change(nb)
    assert nb != before
    found = lint(nb)
    if message is None:  # a notebook may do without
        assert found == []
    else:
        assert any(message in text for text in found), found


@pytest.mark.parametrize("harmless", [
    "warnings.filterwarnings('ignore', category=FutureWarning)", "warnings.simplefilter('ignore', FutureWarning)",
    "x = 7 % 5", "a = 'https://example.org/home/x'", "try:\n    x = 1\nexcept ValueError:\n    pass", "x = y/var/z",
])
def test_what_is_fine_is_not_told(harmless):
    nb = good()
    code(harmless)(nb)
    assert lint(nb) == []


def test_alt_may_be_positional_and_may_hold_values():
    nb = good()
    swap('alt="A curve that falls from left to right"', 'f"A curve that falls to {x:.1f} m"')(nb)
    assert lint(nb) == []
