"""Every page for people exists in English and in Chinese, and the two say the same as far as a machine can tell.

A new notebook NN_stem needs docs/papers/NN_stem.md and its .zh.md. Tables that `csi-papers docs` writes are held to
their sources in tests/csi_papers/pages/test_docs.py.
"""

import functools
import pathlib
import re

import nbformat
import pytest
from notebook_lint import headings

from csi_papers.pages import contents

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS, PAPERS = ROOT / "docs", ROOT / "docs" / "papers"
NOTEBOOKS = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
CHINESE = sorted([ROOT / "README.zh.md", *DOCS.rglob("*.zh.md")])
SECTIONS = {"md": ["One-hour plan", "Discussion questions"], "zh.md": ["卡片", "一小时安排", "讨论题"]}
CARD = {"Paper": "论文", "Papers": "论文", "Claim": "论断", "Verdict": "判定", "Prerequisites": "预备知识",
        "You will be able to": "学完之后", "Time": "用时", "Data": "数据"}
SECTION = re.compile(r"§(\d+(?:\.\d+)?)")
HAN = "\u4e00-\u9fff"
MARKS = "，。；：、？！（）“”"


def named(path):
    return path.relative_to(ROOT).as_posix()


def text(path):
    return path.read_text(encoding="utf-8")


@functools.cache
def cells(stem):
    return nbformat.read(NOTEBOOKS[stem], as_version=4).cells


def page(stem, language):
    return text(PAPERS / f"{stem}.{language}")


def section(source, name):
    return re.search(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", source, re.M | re.S).group(1)


def numbers_of(stem):
    """The numbers of the sections that a notebook has: '5', '5.1'."""
    sources = [cell.source for cell in cells(stem) if cell.cell_type == "markdown"]
    found = [h for source in sources for level in (2, 3) for h in headings(source, level)]
    return {m.group(1) for h in found if (m := re.match(r"(\d+(?:\.\d+)?)\.? ", h))}


def questions(stem, language):
    body = section(page(stem, language), SECTIONS[language][-1])
    return re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |\Z)", body, re.M | re.S)


def rows(source, header):
    """Cells of the rows of the table whose first header is `header`."""
    table = re.search(rf"^\| *{header} *\|.*\n\|[-| ]+\|\n((?:\|.*\n?)*)", source, re.M).group(1)
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.splitlines()]


def test_every_notebook_has_its_two_pages_and_every_page_its_notebook():
    assert {path.name for path in PAPERS.glob("*")} == {f"{stem}.{ending}" for stem in NOTEBOOKS for ending in SECTIONS}


def without_code(source):
    """Prose alone, for rules of typography: code, formulas and the addresses of links are one Latin letter each."""
    source = re.sub(r"^```.*?^```|^    .*$|^\|[-| ]+\|$|<!--.*?-->", "", source, flags=re.M | re.S)
    source = re.sub(r"`[^`]*`|\$[^$]*\$", "x", source)
    return re.sub(r"(!?\[[^]]*\])\([^)]*\)", lambda m: m.group(1).strip("![]"), source)


@pytest.mark.parametrize("language", SECTIONS)
@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_every_notebook_has_a_page_with_its_sections_and_three_questions(stem, language):
    source = page(stem, language)
    assert "<!--" not in source, f"docs/papers/{stem}.{language}: a note says that something is still to be checked"
    assert headings(source, 2) == SECTIONS[language], f"docs/papers/{stem}.{language}: sections in this order"
    found = questions(stem, language)
    assert [number for number, _ in found] == ["1", "2", "3"], f"docs/papers/{stem}.{language}: exactly three questions"
    for number, question in found:
        assert "§" in question, f"docs/papers/{stem}.{language}: question {number} names no section (§) of the notebook"


@pytest.mark.parametrize("language", SECTIONS)
@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_a_page_names_only_sections_that_the_notebook_has(stem, language):
    told = set(SECTION.findall(page(stem, language)))
    there = numbers_of(stem)
    unknown = sorted(told - there)
    assert not unknown, f"docs/papers/{stem}.{language} names § {', '.join(unknown)}; the notebook has {sorted(there)}"


@pytest.mark.parametrize("language", SECTIONS)
def test_the_course_names_only_sections_that_its_notebooks_have(language):
    weeks = rows(text(DOCS / f"course.{language}"), "week" if language == "md" else "周")
    found = [(row[2][:2], number) for row in weeks for number in SECTION.findall(row[2])]
    assert found
    for notebook, number in found:
        stem = next(stem for stem in NOTEBOOKS if stem.startswith(notebook))
        assert number in numbers_of(stem), f"docs/course.{language}: {stem} has no §{number}"


@pytest.mark.parametrize("language", SECTIONS)
@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_the_plan_fills_one_hour(stem, language):
    plan = rows(page(stem, language), "minutes" if language == "md" else "分钟")
    times = [tuple(map(int, row[0].split("–"))) for row in plan]
    assert times[0][0] == 0 and times[-1][1] == 60
    assert all(a < b for a, b in times)
    assert all(before[1] == after[0] for before, after in zip(times, times[1:], strict=False)), times


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_both_pages_point_to_the_same_places(stem):
    english, chinese = page(stem, "md"), page(stem, "zh.md")
    for (_, one), (_, other) in zip(questions(stem, "md"), questions(stem, "zh.md"), strict=True):
        assert sorted(SECTION.findall(one)) == sorted(SECTION.findall(other)), one
    plans = rows(english, "minutes"), rows(chinese, "分钟")
    for one, other in zip(*plans, strict=True):
        assert one[0] == other[0] and SECTION.findall(one[-1]) == SECTION.findall(other[-1]), (one, other)
    for source in (english, chinese):
        assert f"](../../notebooks/{stem}.ipynb)" in source


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_the_chinese_card_has_the_rows_and_the_numbers_of_the_notebooks_card(stem):
    english = contents.card(cells(stem)[0].source)
    chinese = contents.card(section(page(stem, "zh.md"), "卡片"))
    marks = r"\d+(?:\.\d+)*|`[^`]+`"  # numbers and names, which need no translation
    assert [CARD[name] for name in english] == list(chinese)
    for name, one in english.items():
        lost = sorted(set(re.findall(marks, one)) - set(re.findall(marks, chinese[CARD[name]])))
        assert not lost, f"docs/papers/{stem}.zh.md, card, row {CARD[name]}: the notebook's card says {', '.join(lost)}"


def code_blocks(source):
    """Indented commands, without what stands beside them, which is translated."""
    return [re.split(r" {2,}|#", line.strip())[0].strip() for line in source.splitlines() if re.match(r"    \S", line)]


def test_the_two_readmes_have_the_same_commands_notebooks_pictures_and_links():
    english, chinese = text(ROOT / "README.md"), text(ROOT / "README.zh.md")
    assert "](README.zh.md)" in english.split("\n## ")[0], "README.md: a link to README.zh.md belongs at its top"
    assert "](README.md)" in chinese.split("\n## ")[0]
    assert code_blocks(english) == code_blocks(chinese), "README.zh.md: the same commands in the same order"
    inline = [set(re.findall(r"`([^`]+)`", source)) for source in (english, chinese)]
    assert inline[0] == inline[1], f"between backticks in one README alone: {sorted(inline[0] ^ inline[1])}"
    links = [re.findall(r"\]\(([^)]+)\)", source) for source in (english, chinese)]
    own = {"README.md", "README.zh.md"}
    plain = [{re.sub(r"\.zh\.md", ".md", link) for link in found} - own for found in links]
    assert plain[0] == plain[1], f"links in one README alone: {sorted(plain[0] ^ plain[1])}"
    assert len(headings(english, 2)) == len(headings(chinese, 2)), "README.zh.md: the same sections"


def test_no_page_of_the_book_is_missing_its_twin():
    for path in set(DOCS.rglob("*.md")) - {DOCS / "scoreboard.md"}:  # numbers, which need no translation
        name = path.name.removesuffix(".md").removesuffix(".zh")
        other = path.with_name(f"{name}.md" if path.name.endswith(".zh.md") else f"{name}.zh.md")
        assert other.exists(), f"write {other.relative_to(ROOT)}, the twin of {path.relative_to(ROOT)}"


def skeleton(path):
    """What must be alike in two languages: headings, list items and rows of tables; commands; links; numbers."""
    source, own = text(path), path.name.replace(".zh", "")
    lines = [re.match(r"#+ |(?:- |\d+\. )|\|", line) for line in source.splitlines()]
    links = {re.sub(r"\.zh\.md$", ".md", link) for link in re.findall(r"\]\(([^)#\s]+)", source)} - {own}
    return {"headings, lists, tables": [m.group() for m in lines if m], "commands": code_blocks(source), "links": links,
            "numbers": {n for n in re.findall(r"\d+(?:\.\d+)?", without_code(source)) if len(n) > 1}}


@pytest.mark.parametrize("path", [p for p in CHINESE if p.parent == DOCS and not p.name.startswith("index")], ids=named)
def test_twins_have_the_same_headings_lists_tables_commands_links_and_numbers(path):
    english = path.with_name(path.name.replace(".zh", ""))
    one, other = skeleton(english), skeleton(path)
    for what in one:
        assert one[what] == other[what], f"{named(english)} and {named(path)} differ in {what}"


@pytest.mark.parametrize("path", sorted([*DOCS.rglob("*.md"), ROOT / "README.zh.md"]), ids=named)
def test_pages_have_one_title_no_jump_between_headings_and_links_that_exist(path):
    source = re.sub(r"^(```|:::).*?^\1", "", text(path), flags=re.M | re.S)
    levels = [len(marks) for marks in re.findall(r"^(#+) ", source, re.M)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False)), levels
    if path.stem.split(".")[0] == "index":  # the book's front page: its links are seen when the book is built
        return
    for target in re.findall(r"\]\(([^)#\s]+)", source):
        assert "://" in target or (path.parent / target).exists(), f"{named(path)}: no {target}"


WRONG = {
    rf"[{HAN}][,.;:!?]|[,;:!?][{HAN}]": "a half-width mark beside a Chinese character",
    rf"[{HAN}]\(|\)[{HAN}]|\([^)]*[{HAN}][^)]*\)": "half-width brackets around Chinese",
    rf"[{HAN}][A-Za-z0-9]|[A-Za-z0-9%][{HAN}]": "no space between a Chinese and a Latin character",
    rf"[{HAN}{MARKS}]\n *[{HAN}（“]": "a line break within Chinese, which a browser shows as a space",
    r"\"": "straight quotation marks; Chinese has “ and ”",
}


def faults(source):
    """What is wrong with the typography of a Chinese page: (what, where)."""
    prose = without_code(source)
    for pattern, what in WRONG.items():
        yield from ((what, prose[max(m.start() - 12, 0) : m.end() + 12]) for m in re.finditer(pattern, prose))
    # CommonMark shows asterisks where they stand between a punctuation mark inside and a letter outside
    for m in re.finditer(r"(\*{1,2})(?=\S)(.+?)(?<=\S)\1", prose):
        before, after = prose[: m.start()][-1:], prose[m.end() :][:1]
        opens = m.group(2)[0] not in MARKS or not before.isalnum()
        if not opens or (m.group(2)[-1] in MARKS and after.isalnum()):
            yield "emphasis that shows as asterisks", m.group()


@pytest.mark.parametrize("path", CHINESE, ids=named)
def test_chinese_typography(path):
    assert not list(faults(text(path))), named(path)


@pytest.mark.parametrize(("wrong", "right"), [
    ("幅度,相位", "幅度，相位"), ("网卡(Intel)", "网卡（Intel）"), ("用CSI定位", "用 CSI 定位"),
    ("幅度\n相位", "幅度和\nCSI"), ("**对照。**然后", "*对照*，**对照**。**对照**然后"),
    ("要**（对照）**", "**对照**（*对照*）"), ('"对照"', "“对照”")], ids=range(7))
def test_the_typography_check_can_fail(wrong, right):
    assert list(faults(wrong)) and not list(faults(right))
