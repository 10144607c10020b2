"""The tables that `csi-papers docs` writes: up to date here, and right on made-up files."""

import pathlib
import tomllib

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from csi_papers.pages import docs
from csi_utils import ROOT

TERMS = tomllib.loads((ROOT / "docs" / "terms.toml").read_text(encoding="utf-8"))


def test_every_table_is_up_to_date():
    old = [path.relative_to(ROOT).as_posix() for path, page in docs.pages().items()
           if path.read_text(encoding="utf-8") != page]
    assert not old, f"write them anew: csi-papers docs ({', '.join(old)})"


def test_every_term_is_whole_and_comes_from_a_notebook_that_exists():
    numbers = {path.name[:2] for path in (ROOT / "notebooks").glob("*.ipynb")}
    for section in TERMS["sections"]:
        for name, term in TERMS[section].items():
            assert sorted(term) == ["first", "says", "zh"], f"docs/terms.toml, {section}, {name}: {sorted(term)}"
            assert len(term["says"]) == 2 and all(term["says"]), name
            assert term["first"] in numbers, f"docs/terms.toml, {name}: there is no notebook {term['first']}"
    for symbol, meanings in TERMS["symbols"].items():
        assert set(meanings) <= numbers and all(len(pair) == 2 for pair in meanings.values()), symbol
    assert set(TERMS) == {"sections", "symbols", *TERMS["sections"]}


def test_no_term_is_there_twice():
    for language in (0, 1):
        names = [[name, term["zh"]][language] for section in TERMS["sections"] for name, term in TERMS[section].items()]
        assert sorted({*names}) == sorted(names)


SMALL = """
[sections]
radio = ["Radio", "无线电"]
[radio.link]
zh = "链路"
says = ["Two radios.", "两台设备。"]
first = "01"
[radio.Antenna]
zh = "天线"
says = ["A rod.", "一根杆。"]
first = "00"
[symbols.'$x$']
01 = ["place", "位置"]
00 = ["packet", "数据包"]
02 = ["packet", "数据包"]
"""


def test_the_glossary_of_a_small_file():
    terms = tomllib.loads(SMALL)
    assert docs._terms(terms, 0).splitlines() == [
        "### Radio", "", "| English | 中文 | meaning | first |", "|---|---|---|---|",
        "| Antenna | 天线 | A rod. | 00 |", "| link | 链路 | Two radios. | 01 |"]
    assert "| 链路 | link | 两台设备。 | 01 |" in docs._terms(terms, 1)
    assert "| $x$ | **00, 02** packet · **01** place |" in docs._symbols(terms, 0)
    assert "| $x$ | **00, 02** 数据包 · **01** 位置 |" in docs._symbols(terms, 1)


@pytest.fixture
def small(tmp_path):
    """A checkout with two notebooks, of which the second builds on the first and has an exercise of 2 points."""
    for folder in ("notebooks", "docs/papers"):
        (tmp_path / folder).mkdir(parents=True)
    for stem, needs in (("01_one", "Patience."), ("02_two", "Notebook 01; not 2010.")):
        cards = [f"# {stem[:2]} · Two things: more\n\n| | |\n|---|---|\n| **Prerequisites** | {needs} |\n"
                 "| **Time** | An hour, two alone. It runs. |",
                 f"# {stem[:2]} · 讨论：题目\n\n| **用时** | 一小时。运行。 |"]
        cells = [new_markdown_cell(cards[0])]
        if stem == "02_two":
            cells.append(new_code_cell("check", metadata={"nbgrader": {"grade": True, "points": 2}}))
            cells.append(new_code_cell("solve", metadata={"nbgrader": {"grade": False, "solution": True}}))
        nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / f"{stem}.ipynb")
        (tmp_path / "docs" / "papers" / f"{stem}.zh.md").write_text(cards[1], encoding="utf-8")
    return pathlib.Path(tmp_path)


def test_the_points_of_a_small_checkout(small):
    assert docs._points(small, 0).splitlines()[2:] == [
        "| [01](papers/01_one.md) | Two things | – | 0 | 0 | An hour, two alone |",
        "| [02](papers/02_two.md) | Two things | 01 | 1 | 2 | An hour, two alone |"]
    assert docs._points(small, 1).splitlines()[3] == "| [02](papers/02_two.zh.md) | 题目 | 01 | 1 | 2 | 一小时 |"


def test_a_table_is_put_between_its_marks_and_a_page_without_them_is_named():
    page = "# A\n\n<!-- terms: who -->\n\nold\n\n<!-- terms end -->\nend"
    assert docs._filled(page, "terms", "new\n", "a.md") == page.replace("old\n", "new\n")
    with pytest.raises(ValueError, match=r"a\.md: expected <!-- points: who writes it -->"):
        docs._filled(page, "points", "new\n", "a.md")
