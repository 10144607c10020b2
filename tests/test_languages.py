"""Every page for people exists in English and in Chinese, and the two say the same as far as a machine can tell.

A new notebook NN_stem needs docs/papers/NN_stem.md, a row in the tables of README.md and docs/course.md, a column in
docs/glossary.md, and the same in the .zh.md of each: the tests say which is missing.
"""

import functools
import pathlib
import re

import nbformat
import pytest
from notebook_lint import headings

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS, PAPERS = ROOT / "docs", ROOT / "docs" / "papers"
NOTEBOOKS = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
PAGES = sorted({path.name.split(".")[0] for path in PAPERS.glob("*.md")})
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
    """The page of a notebook; skipped where the notebook is not here yet, failed where the page is missing."""
    path = PAPERS / f"{stem}.{language}"
    if stem not in NOTEBOOKS:
        pytest.skip(f"{path.relative_to(ROOT)} waits for notebooks/{stem}.ipynb")
    if not path.exists():
        pytest.fail(f"write {path.relative_to(ROOT)}, with the sections {', '.join(SECTIONS[language])}; "
                    "docs/papers/01_svm_fingerprinting has an example in both languages")
    return text(path)


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


def without_code(source):
    """Prose alone, for rules of typography: code, formulas and the addresses of links are one Latin letter each."""
    source = re.sub(r"^```.*?^```|^    .*$|^\|[-| ]+\|$|<!--.*?-->", "", source, flags=re.M | re.S)
    source = re.sub(r"`[^`]*`|\$[^$]*\$", "x", source)
    return re.sub(r"(!?\[[^]]*\])\([^)]*\)", lambda m: m.group(1).strip("![]"), source)


@pytest.mark.parametrize("language", SECTIONS)
@pytest.mark.parametrize("stem", sorted({*NOTEBOOKS, *PAGES}))
def test_every_notebook_has_a_page_with_its_sections_and_three_questions(stem, language):
    source = page(stem, language)
    assert "<!--" not in source, f"docs/papers/{stem}.{language}: a note says that something is still to be checked"
    assert headings(source, 2) == SECTIONS[language], f"docs/papers/{stem}.{language}: sections in this order"
    found = questions(stem, language)
    assert [number for number, _ in found] == ["1", "2", "3"], f"docs/papers/{stem}.{language}: exactly three questions"
    for number, question in found:
        assert "§" in question, f"docs/papers/{stem}.{language}: question {number} names no section (§) of the notebook"


@pytest.mark.parametrize("language", SECTIONS)
@pytest.mark.parametrize("stem", sorted({*NOTEBOOKS, *PAGES}))
def test_a_page_names_only_sections_that_the_notebook_has(stem, language):
    told = set(SECTION.findall(page(stem, language)))
    there = numbers_of(stem)
    unknown = sorted(told - there)
    assert not unknown, f"docs/papers/{stem}.{language} names § {', '.join(unknown)}; the notebook has {sorted(there)}"


@pytest.mark.parametrize("language", SECTIONS)
@pytest.mark.parametrize("stem", sorted({*NOTEBOOKS, *PAGES}))
def test_the_plan_fills_one_hour(stem, language):
    plan = rows(page(stem, language), "minutes" if language == "md" else "分钟")
    times = [tuple(map(int, row[0].split("–"))) for row in plan]
    assert times[0][0] == 0 and times[-1][1] == 60
    assert all(a < b for a, b in times)
    assert all(before[1] == after[0] for before, after in zip(times, times[1:], strict=False)), times


@pytest.mark.parametrize("stem", sorted({*NOTEBOOKS, *PAGES}))
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
    card = next(cell.source for cell in cells(stem) if "| **Claim**" in cell.source)
    marks = r"\d+(?:\.\d+)*|`[^`]+`"  # numbers and names, which need no translation
    pattern = r"^\| \*\*(.+?)\*\* \| (.*) \|$"
    english, chinese = (re.findall(pattern, s, re.M) for s in (card, section(page(stem, "zh.md"), "卡片")))
    assert [CARD[name] for name, _ in english] == [name for name, _ in chinese]
    for (name, one), (_, other) in zip(english, chinese, strict=True):
        lost = sorted(set(re.findall(marks, one)) - set(re.findall(marks, other)))
        assert not lost, f"docs/papers/{stem}.zh.md, card, row {CARD[name]}: the notebook's card says {', '.join(lost)}"


def code_blocks(source):
    """Indented commands, without what stands beside them, which is translated."""
    return [re.split(r" {2,}|#", line.strip())[0].strip() for line in source.splitlines() if re.match(r"    \S", line)]


def test_the_two_readmes_have_the_same_commands_notebooks_pictures_and_links():
    english, chinese = text(ROOT / "README.md"), text(ROOT / "README.zh.md")
    assert "](README.zh.md)" in english.split("\n## ")[0], "README.md: a link to README.zh.md belongs at its top"
    assert "](README.md)" in chinese.split("\n## ")[0]
    english = re.sub(r"<!-- scoreboard: .*<!-- scoreboard end -->", "", english, flags=re.S)  # one scoreboard is enough
    assert code_blocks(english) == code_blocks(chinese), "README.zh.md: the same commands in the same order"
    inline = [set(re.findall(r"`([^`]+)`", source)) for source in (english, chinese)]
    assert inline[0] == inline[1], f"between backticks in one README alone: {sorted(inline[0] ^ inline[1])}"
    assert [row[0] for row in rows(english, "notebook")] == [row[0] for row in rows(chinese, "notebook")]
    differ = sorted({row[0].strip("`") for row in rows(chinese, "notebook")} ^ set(NOTEBOOKS))
    assert not differ, f"README.zh.md: the table of notebooks differs in {', '.join(differ)}"
    links = [re.findall(r"\]\(([^)]+)\)", source) for source in (english, chinese)]
    own = {"README.md", "README.zh.md", "README.md#the-scoreboard"}
    plain = [{re.sub(r"\.zh\.md", ".md", link) for link in found} - own for found in links]
    assert plain[0] == plain[1], f"links in one README alone: {sorted(plain[0] ^ plain[1])}"
    assert len(headings(english, 2)) == len(headings(chinese, 2)), "README.zh.md: the same sections"


def test_the_glossaries_list_the_same_terms_and_every_notebooks_symbols():
    tables = {}
    for language, first in (("md", 0), ("zh.md", 1)):
        source = text(DOCS / f"glossary.{language}")
        body = re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \| (\d\d) \|$", source, re.M)
        tables[language] = {(row[first], row[1 - first]): row[2] for row in body}
        assert len(tables[language]) == len(body) > 50, "a term is there twice"
        columns = re.search(r"^\| (?:symbol|符号) \| (.+) \|$", source, re.M).group(1).split(" | ")
        lacks = sorted({stem[:2] for stem in NOTEBOOKS} - set(columns))
        assert not lacks, f"docs/glossary.{language}: the table of symbols lacks a column for {', '.join(lacks)}"
    differ = set(tables["md"].items()) ^ set(tables["zh.md"].items())
    assert not differ, f"in one glossary alone: {sorted(differ)}"
    symbols = [[re.sub(r"\s", "", row[0]) for row in rows(text(DOCS / f"glossary.{language}"), name)]
               for language, name in (("md", "symbol"), ("zh.md", "符号"))]
    assert symbols[0] == symbols[1]


@pytest.mark.parametrize("language", ["md", "zh.md"])
def test_the_course_has_the_points_of_every_notebook(language):
    source = text(DOCS / f"course.{language}")
    table = re.findall(r"^\| (\d\d) \| (\d+) \| (\d+) \| .+ \|$", source, re.M)
    told = {number: (int(exercises), int(points)) for number, exercises, points in table}
    for stem in NOTEBOOKS:
        marks = [cell.metadata.get("nbgrader", {}) for cell in cells(stem)]
        graded = [mark["points"] for mark in marks if mark.get("grade")]
        want = len(graded), int(sum(graded))
        must = f"| {stem[:2]} | {want[0]} | {want[1]} | hours |"
        assert told.get(stem[:2]) == want, f"docs/course.{language}: exercises and points of {stem} are {must}"


def test_no_page_of_the_book_is_missing_its_twin():
    for path in DOCS.rglob("*.md"):
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
        waits = path.parent == PAPERS and path.name.split(".")[0] not in NOTEBOOKS and target.endswith(".ipynb")
        assert "://" in target or waits or (path.parent / target).exists(), f"{path.relative_to(ROOT)}: no {target}"


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
