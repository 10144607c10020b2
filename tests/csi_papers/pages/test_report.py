"""The report: a page for a person, with failures in it, no script and no request to the network."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from csi_papers import __main__
from csi_papers.pages import report
from csi_papers.run.runner import run_many

BAD = Path(__file__).parents[2] / "bad_notebooks"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
LOADS = re.compile(r"<(?:script|link|img|iframe|source)[^>]*(?:src|href)=[\"']?(?:https?:)?//|@import|url\([\"']?http")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    run_many([BAD / "good.ipynb", BAD / "error.ipynb"], folder, quiet=True)
    nb = nbformat.read(folder / "good.ipynb", as_version=4)
    nb.cells[0].source = "# Good <b>&</b> plain\n\nInline $a_1 < b$ and\n\n$$x^2 \\tag{3}$$"
    first = new_output("display_data", {"image/png": PIXEL}, metadata={"image/png": {"alt": "the first"}})
    main = new_output("display_data", {"image/png": PIXEL}, metadata={"image/png": {"alt": 'the "main" <one>'}})
    nb.cells += [new_code_cell("1", outputs=[first]),
                 new_code_cell("2", outputs=[main], metadata={"tags": ["main-figure"]})]
    nbformat.write(nb, folder / "good.ipynb")
    return folder


class Checked(HTMLParser):
    """Every tag that is opened is closed, every image has its text."""

    VOID = {"meta", "img", "br", "link", "rect", "line", "circle", "hr", "input"}

    def __init__(self, text):
        super().__init__()
        self.open, self.found = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_report_shows_claims_bands_figure_and_failures(folder, tmp_path):
    index = report.write(folder, tmp_path / "report")
    text = index.read_text(encoding="utf-8")
    page = Checked(text)
    assert index.name == "index.html" and not LOADS.search(text) and "<script" not in text
    for shown in ("42 s (page 1)", "✓ holds here", "41.5 to 42.5 s", "1 of 2 notebooks", "✗ This notebook failed",
                  "raised ZeroDivisionError", "profile smoke", "Good &lt;b&gt;"):
        assert shown in text, shown
    images = [attrs for tag, attrs in page.found if tag == "img"]
    assert [image["alt"] for image in images] == ['the "main" <one>'] and images[0]["src"].startswith("data:image/png")
    pictures = [attrs for tag, attrs in page.found if tag == "svg"]
    assert pictures[0]["role"] == "img" and "band 41.5 to 42.5 s, the paper's 42 s" in pictures[0]["aria-label"]
    links = {attrs["href"] for tag, attrs in page.found if tag == "a"}
    for name in ("good", "error"):
        assert f"{name}.html" in links and (index.parent / f"{name}.html").is_file()


def test_a_notebook_page_asks_nothing_of_the_network(folder, tmp_path):
    report.write(folder, tmp_path)
    for file in tmp_path.glob("*.html"):
        assert not LOADS.search(file.read_text(encoding="utf-8")), file.name
    text = (tmp_path / "good.html").read_text(encoding="utf-8")
    assert "holds here" in text and [a["alt"] for t, a in Checked(text).found if t == "img"] == [
        "the first", 'the "main" <one>']


def test_formulas_are_mathml_or_their_tex():
    nb = new_notebook(cells=[new_markdown_cell("Look: $a_1 < b$\n\n$$\\hat p \\tag{3}$$\n\n$\\nosuchthing{$")])
    page = report.page(nb)
    try:
        import latex2mathml.converter  # noqa: F401
    except ImportError:
        assert "<code>a_1 &lt; b</code>" in page
    else:
        assert page.count("<math") >= 2 and 'display="block"' in page


def test_picture_keeps_everything_inside():
    record = {"value": 1.3, "band": [1.1, 1.5], "paper_value": 1.22, "unit": "m"}
    xs = [float(x) for x in re.findall(r'(?:cx|x1|x)="([\d.-]+)"', report.picture(record))]
    assert xs and all(0 <= x <= 180 for x in xs)
    assert report.picture(record | {"value": None}) == "–"
    assert "<rect" not in report.picture(record | {"band": None})
    report.picture({"value": 0.0, "band": [0.0, 0.0], "paper_value": None, "unit": "m"})  # no width at all


def test_command_line(folder, tmp_path, capsys):
    assert __main__.main(["report", str(folder), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "index.html").is_file()
    (tmp_path / "empty").mkdir()
    assert __main__.main(["report", str(tmp_path / "empty")]) == 1
    assert "expected what" in capsys.readouterr().err


def test_a_result_without_its_notebook_is_still_reported(folder, tmp_path):
    refused = json.loads((folder / "error.json").read_text()) | {"notebook": "lost", "status": "failed: refused: x"}
    (tmp_path / "lost.json").write_text(json.dumps(refused))
    assert "refused: x" in report.write(tmp_path, tmp_path / "out").read_text()
