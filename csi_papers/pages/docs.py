"""`csi-papers docs`: the tables in README and docs/ that follow from other files.

The glossary in two languages is made from docs/terms.toml, the course's table of points from cards and exercises,
README's rows and the scoreboard from cards, claims and recorded seeds.
"""

import re
import tomllib

import nbformat

from csi_papers.pages import contents, scoreboard
from csi_papers.run.provenance import write as write_text
from csi_utils import ROOT

ENDINGS = "md", "zh.md"  # English, Chinese: the order of every pair in terms.toml
HEADS = {
    "terms": (("English", "中文", "meaning", "first"), ("中文", "English", "含义", "首见")),
    "symbols": (("symbol", "what it means, by notebook"), ("符号", "在各 notebook 中的含义")),
    "points": (("notebook", "about", "builds on", "exercises", "points", "time"),
               ("notebook", "内容", "先读", "练习数", "分值", "用时")),
}


def pages(root=ROOT):
    """{path: text} of every page with such a table, as it should be. Raises ValueError for a page without its marks."""
    terms = tomllib.loads((root / "docs" / "terms.toml").read_text(encoding="utf-8"))
    found = {}
    for language, ending in enumerate(ENDINGS):
        for page, tables in (("glossary", {"terms": _terms(terms, language), "symbols": _symbols(terms, language)}),
                             ("course", {"points": _points(root, language)})):
            path = root / "docs" / f"{page}.{ending}"
            found[path] = path.read_text(encoding="utf-8")
            for name, table in tables.items():
                found[path] = _filled(found[path], name, table, path.name)
        path = root / f"README.{ending}"
        found[path] = _filled(path.read_text(encoding="utf-8"), "papers", scoreboard.papers(language), path.name)
    found[root / "docs" / "scoreboard.md"] = scoreboard.scoreboard()
    return found


def _filled(text, name, table, page):
    marks = rf"(<!-- {name}: .*? -->\n).*?(<!-- {name} end -->)"
    if not re.search(marks, text, re.S):
        raise ValueError(f"{page}: expected <!-- {name}: who writes it --> and <!-- {name} end -->")
    return re.sub(marks, lambda m: f"{m[1]}\n{table}\n{m[2]}", text, flags=re.S)


def _terms(terms, language):
    parts = []
    for key, title in terms["sections"].items():
        rows = []
        for english, term in sorted(terms[key].items(), key=lambda item: item[0].casefold()):
            names = [english, term["zh"]] if language == 0 else [term["zh"], english]
            rows.append([*names, term["says"][language], term["first"]])
        parts.append(f"### {title[language]}\n\n{contents.table(HEADS['terms'][language], rows)}")
    return "\n".join(parts)


def _symbols(terms, language):
    rows = []
    for symbol, by_notebook in terms["symbols"].items():
        numbers = {}  # meaning -> notebooks in which the letter has it
        for number, says in sorted(by_notebook.items()):
            numbers.setdefault(says[language], []).append(number)
        rows.append([symbol, " · ".join(f"**{', '.join(where)}** {says}" for says, where in numbers.items())])
    return contents.table(HEADS["symbols"][language], rows)


def _points(root, language):
    paths = sorted((root / "notebooks").glob("*.ipynb"))
    rows = []
    for path in paths:
        nb, page = nbformat.read(path, as_version=4), root / "docs" / "papers" / f"{path.stem}.{ENDINGS[language]}"
        graded = [cell.metadata["nbgrader"]["points"] for cell in nb.cells
                  if cell.metadata.get("nbgrader", {}).get("grade")]
        title, card = contents.short_title(nb), contents.card(nb.cells[0].source)
        before = [other.stem[:2] for other in paths if re.search(rf"\b{other.stem[:2]}\b", card["Prerequisites"])]
        if language == 0:
            about, time = title.split(" · ")[-1], re.split(r"\. |\.$", card["Time"])[0]
        else:
            chinese = page.read_text(encoding="utf-8")
            about = re.search(r"^# .*?讨论：(.*)$", chinese, re.M)[1]
            time = contents.card(chinese)["用时"].split("。")[0]
        rows.append([f"[{path.stem[:2]}](papers/{page.name})", about, ", ".join(before) or "–", str(len(graded)),
                     f"{sum(graded):g}", time])
    return contents.table(HEADS["points"][language], rows)


def command(args):
    """`csi-papers docs`, from parsed arguments."""
    for path, text in pages().items():
        write_text(path, text)
        print(f"written: {path.relative_to(ROOT)}")
