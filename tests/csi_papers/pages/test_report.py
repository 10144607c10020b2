"""The report: a page for a person, with failures in it, no script and no request to the network."""

import json
import re
import shutil
from html.parser import HTMLParser

import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from csi_papers import __main__
from csi_papers.pages import report

LOADS = re.compile(r"<(?:script|link|img|iframe|source)[^>]*(?:src|href)=[\"']?(?:https?:)?//|@import|url\([\"']?http")
RECORD = {"id": "C1.a", "kind": "claim", "says": "It works", "what": "error", "value": 1.5, "unit": "m",
          "where": "p. 1", "interval": 0.1, "dataset": "sim", "protocol": "a split", "reason": None, "holds": "<= 2",
          "verdict": "holds here", "paper_value": 1.2, "evidence": "paper", "controls": {"trivial": 3.0},
          "band": [1.0, 2.0], "power": True}


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


def changed(folder, stem, **environment):
    """A result whose environment says something else."""
    file = folder / f"{stem}.json"
    run = json.loads(file.read_text(encoding="utf-8"))
    run["environment"] |= environment
    file.write_text(json.dumps(run), encoding="utf-8")


@pytest.fixture
def runs(tiny_runs, tmp_path):
    """The results, to be changed."""
    shutil.copytree(tiny_runs, tmp_path / "runs")
    return tmp_path / "runs"


def test_report_shows_claims_bands_figure_and_failures(tiny_runs, tmp_path):
    index = report.write(tiny_runs, tmp_path / "report")
    text = index.read_text(encoding="utf-8")
    page = Checked(text)
    assert index.name == "index.html" and not LOADS.search(text) and "<script" not in text
    for shown in ("42 s (page 1)", "✓ holds here", "band 41.5 to 42.5 s; trivial 0 s", "1 of 2 notebooks",
                  "✗ This notebook failed", "raised ZeroDivisionError", "profile smoke", "seed 0",
                  "Good &lt;b&gt;&amp;&lt;/b&gt; plain"):
        assert shown in text, shown
    images = [attrs for tag, attrs in page.found if tag == "img"]  # small beside the title, then large
    assert images == [{"src": "good.png", "alt": text} for text in ("", 'the "main" <one>, which has a dot too')]
    assert (index.parent / "good.png").read_bytes().startswith(b"\x89PNG")
    pictures = [attrs for tag, attrs in page.found if tag == "svg"]
    assert pictures[0]["role"] == "img" and "band 41.5 to 42.5 s, the paper's 42 s" in pictures[0]["aria-label"]
    links = {attrs["href"] for tag, attrs in page.found if tag == "a"}
    for name in ("good", "error"):
        assert f"{name}.html" in links and (index.parent / f"{name}.html").is_file()


def test_it_begins_with_what_it_is_and_a_line_for_each_notebook(tiny_runs, tmp_path):
    text = report.write(tiny_runs, tmp_path).read_text(encoding="utf-8")
    first = text.split("<section")[0]
    said, failed, good = first.split("<tr><td")
    assert "This page is one run of them" in said and "are no results" in said
    for shown in ('<a href="#good"><strong>42 · Good &lt;b&gt;', ">The answer is 42.", 'href="good.html"', "✓ 1",
                  'src="good.png"'):
        assert shown in good, shown
    assert re.search(r'data-label="took">\d+ s<', good) and "✗ failed" in failed
    assert 'The paper\'s claims <span class="small">42 · Good' in text.split("<section")[2].replace("&#39;", "'")


def test_the_environment_is_told_once_where_it_is_one_and_beside_each_notebook_where_it_is_not(runs, tmp_path):
    text = report.write(runs, tmp_path / "one").read_text(encoding="utf-8")
    assert text.count(" cores; ") == 1 and "How this was made" in text
    changed(runs, "good", python="3.99.0", date="2026-01-02T03:04:05+00:00")
    text = report.write(runs, tmp_path / "two").read_text(encoding="utf-8")
    assert text.count(" cores; ") == 2 and "How this was made" not in text
    good = text.split('<section id="good">')[1].split("</section>")[0]
    assert "Python 3.99.0" in good and "2026-01-02 03:04 UTC" in good


def test_a_notebook_without_its_result_has_failed(runs, tmp_path):
    (runs / "good.json").unlink()
    text = report.write(runs, tmp_path / "out").read_text(encoding="utf-8")
    assert "0 of 2 notebooks ran" in text and "there is no good.json beside it" in text


def test_a_result_without_its_notebook_is_still_reported(runs, tmp_path):
    (runs / "error.ipynb").unlink()
    text = report.write(runs, tmp_path / "out").read_text(encoding="utf-8")
    assert "raised ZeroDivisionError" in text and 'href="error.html"' not in text


def test_our_questions_never_stand_under_what_the_paper_says():
    ours = RECORD | {"id": "O1", "kind": "addition", "says": "Does it last?", "paper_value": None}
    left_out = RECORD | {"id": "C2", "says": "More", "verdict": "not run", "reason": "no data", "value": None}
    (first, claims), (second, additions) = report.tables([RECORD, ours, left_out])
    assert (first, second) == ("The paper's claims", "What we add")
    assert [str(dict(row)["the paper says"]) for row in claims] == ["It works<small></small>"]
    assert "the paper says" not in dict(additions[0]) and "Does it last?" in dict(additions[0])["our question"]
    assert report._left_out([RECORD, ours, left_out]) == "C2 (no data)"


def test_a_notebook_page_asks_nothing_of_the_network(tiny_runs, tmp_path):
    report.write(tiny_runs, tmp_path)
    for file in tmp_path.glob("*.html"):
        assert not LOADS.search(file.read_text(encoding="utf-8")), file.name
    text = (tmp_path / "good.html").read_text(encoding="utf-8")
    texts = [attrs["alt"] for tag, attrs in Checked(text).found if tag == "img"]
    assert "holds here" in text and texts == [
        "A drawing of a dot", "the first figure of all, with a dot", 'the "main" <one>, which has a dot too']
    collapsed = text.split('<details class="code">')
    assert len(collapsed) == 2 and "collapsed code" in collapsed[1].split("</details>")[0]


def test_formulas_are_mathml_or_their_tex():
    nb = new_notebook(cells=[new_markdown_cell("Look: $a_1 < b$\n\n$$\\hat p \\tag{3}$$\n\n$\\nosuchthing{$")])
    page = report.page(nb)
    assert page.count("<math") >= 2 and 'display="block"' in page


def test_picture_keeps_everything_inside():
    for record in (RECORD, RECORD | {"band": None}, RECORD | {"value": 0.0, "band": [0.0, 0.0], "paper_value": None}):
        drawn = report.picture(record)
        xs = [float(x) for x in re.findall(r'(?:cx|x1|x)="([\d.-]+)"', drawn)]
        assert xs and all(0 <= x <= 180 for x in xs)
        assert ("<rect" in drawn) == (record["band"] is not None)


def test_command_line(tiny_runs, tmp_path, capsys):
    assert __main__.main(["report", str(tiny_runs), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "index.html").is_file()
    (tmp_path / "empty").mkdir()
    assert __main__.main(["report", str(tmp_path / "empty")]) == 1
    assert "expected what" in capsys.readouterr().err
