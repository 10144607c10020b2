"""The book: a static site of the executed notebooks and the texts in docs/, built with Sphinx, that needs no network.

    csi-papers book              # from build/runs/standard, else full or smoke, into build/book

`gather` lays the pages out as they are in the checkout (so their links hold) and writes those that no file has: the
scoreboard, the words and symbols of all notebooks, the cards of the data sets. Sphinx does the rest with docs/conf.py.
"""

import html
import itertools
import re
import shutil
import sys
from base64 import b64decode
from collections import Counter
from pathlib import Path

from csi_papers.pages import contents, report, slides
from csi_papers.pages.passages import first
from csi_utils import ROOT
from csi_utils import verdicts as scoreboard
from csi_utils.files import sources

LONG = 10  # lines of code that stay open; longer cells are collapsed
SHOWN = ("image/png", "text/html", "text/plain")


def gather(results, folder):
    """Write everything that Sphinx reads into a folder, which is emptied first. Returns it.

    Raises FileNotFoundError (no executed notebook) or ModuleNotFoundError (the extra "book" is not installed).
    """
    runs = list(contents.executed(contents.results(results)))
    mathjax = contents.vendored("static/mathjax/tex-svg.js", "sphinx-mathjax-offline")
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("notebooks/figures", "docs/papers", "data", "_static/mathjax", "_extra/slides"):
        (folder / name).mkdir(parents=True)
    shutil.copy(mathjax, folder / "_static" / "mathjax")
    shutil.copy(ROOT / "docs" / "book.css", folder / "_static")
    shutil.copy(ROOT / "docs" / "conf.py", folder)
    stems = {path.stem for path, _, _ in runs}
    for file in [*ROOT.glob("README*.md"), ROOT / "LICENSE", ROOT / "data" / "README.md", *ROOT.glob("docs/*.md"),
                 *ROOT.glob("docs/*.svg"), *ROOT.glob("docs/papers/*.md")]:
        if file.parent.name != "papers" or file.name.split(".")[0] in stems:
            to = folder / (file.name if file.name.startswith("index") else file.relative_to(ROOT))
            to.write_text(_page(file.read_text(encoding="utf-8")), encoding="utf-8")
    for path, nb, run in runs:
        (folder / "_extra" / "slides" / f"{path.stem}.html").write_text(
            slides.deck(nb, run), encoding="utf-8")
        _notebook(path.stem, nb, folder)
    pages = {"scoreboard.md": _scoreboard(runs), "words.md": _words(runs), "datasets.md": _datasets()}
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
    fill = {"run": _run(runs), "scoreboard": _counts(runs), "gallery": _gallery(runs, folder),
            "contents": _toctrees(runs, folder)}
    _fill(folder / "index.md", fill)
    _fill(folder / "index.zh.md", {"papers": _chinese(runs, folder), "contents": ""})
    return folder


def _fill(page, parts):
    text = page.read_text(encoding="utf-8")
    for name, part in parts.items():
        if f"<!-- {name} -->" not in text:
            raise ValueError(f"docs/{page.name}: lacks the line <!-- {name} -->, the place of its {name}")
        text = text.replace(f"<!-- {name} -->", part)
    page.write_text(text, encoding="utf-8")


def _page(text):
    """What a page of the checkout needs to be a page of the book."""
    return re.sub(r"\]\((?:\.\./)*docs/index", "](index", text)


# Pages of notebooks.

def _notebook(stem, nb, folder):
    """Write a page's notebook: drawings and figures with their texts, long code collapsed, links to its other forms."""
    tables = itertools.count(1)
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            for name, bundle in cell.pop("attachments", {}).items():
                file = f"figures/{stem}-{name}"
                (folder / "notebooks" / file).write_bytes(b64decode(next(iter(bundle.values()))))
                cell.source = cell.source.replace(f"attachment:{name}", file)
            continue
        tags = cell.metadata.setdefault("tags", [])
        if len(cell.source.splitlines()) > LONG or {"setup", "solution"} & set(tags):
            tags.append("hide-input")
        cell.outputs = [out for one in cell.outputs if (out := _output(one, tables))]
        texts = [out.metadata.get("image/png", {}).get("alt") or out.metadata.get("alt") for out in cell.outputs
                 if "image/png" in out.get("data", {})]
        if any(texts):
            cell.metadata["mystnb"] = {"image": {"alt": "; ".join(filter(None, texts))}}
    others = [f'<a href="../slides/{stem}.html">Slides</a>']
    if (folder / "docs" / "papers" / f"{stem}.md").is_file():
        others.append(f"[Plan for an hour, and questions](../docs/papers/{stem}.md)")
    if (folder / "docs" / "papers" / f"{stem}.zh.md").is_file():
        others.append(f"[中文](../docs/papers/{stem}.zh.md)")
    first_cell = contents.card_cell(nb)
    nb.cells = [first_cell, *(cell for cell in nb.cells if cell is not first_cell)]  # a page begins with its title
    head, _, rest = first_cell.source.partition("\n")
    first_cell.source = f"{head}\n\n{' · '.join(others)}\n{rest}"
    import nbformat
    nbformat.write(nb, folder / "notebooks" / f"{stem}.ipynb")


def _output(out, tables):
    """An output as the book shows it, or None: one form of each, no progress bars. tables: numbers for their names."""
    if out.output_type == "stream":
        out.text = re.sub(r"^(csi_utils \S+ from ).*[/\\](?=csi_utils$)", r"\1", out.text, flags=re.M)
        out.text = "\n".join(line.rsplit("\r", 1)[-1] for line in out.text.removesuffix("\r").split("\n"))
        return out if out.text.strip() and out.name == "stdout" else None
    if data := out.get("data"):
        kind = next((kind for kind in SHOWN if kind in data), None)
        if kind is None:
            return None
        text = data[kind]
        if kind == "text/html":
            text = f'<div class="scroll" role="region" aria-label="Table {next(tables)}" tabindex="0">{text}</div>'
        out.data = {kind: text}
    return out


# Pages that no file has.

def _run(runs):
    said = [run for _, _, run in runs if run]
    if not said:
        return ""
    profiles, seeds = ({str(run[key]) for run in said} for key in ("profile", "seed"))
    real = sorted({name for run in said for name in run["environment"]["inputs"]["real_data"]})
    text = (f"*This book shows a run of {max(run['environment']['date'] for run in said)[:10]}: profile "
            f"{', '.join(sorted(profiles))}, seed {', '.join(sorted(seeds))}; real data: {', '.join(real) or 'none'}.*")
    if "smoke" in profiles:
        text += ("\n\n:::{warning}\nThe profile *smoke* proves the wiring. Its numbers come from few repeats and are "
                 "no results; `make run` gives those of the profile *standard*.\n:::")
    if failed := [run["notebook"] for run in said if run["status"] != "ok"]:
        text += f"\n\n:::{{warning}}\nThe run of {', '.join(failed)} failed; what did not run is missing.\n:::"
    return text


def _counts(runs):
    """The landing page's scoreboard: verdicts by paper."""
    said = [verdict for verdict in scoreboard.SYMBOLS
            if any(record["verdict"] == verdict for _, _, run in runs for record in run.get("claims", []))]
    rows = [["notebook", *(f"{scoreboard.SYMBOLS[verdict]} {verdict}" for verdict in said)]]
    for path, nb, run in runs:
        count = Counter(record["verdict"] for record in run.get("claims", []))
        rows.append([f"[{contents.short_title(nb)}](notebooks/{path.stem}.ipynb)",
                     *(str(count[verdict] or "") for verdict in said)])
    rows.insert(1, ["---", *("--:" for _ in said)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _gallery(runs, folder):
    """One figure for each paper, with its claim and our verdict."""
    parts = []
    for path, nb, _ in runs:
        card, stem = contents.card(nb), path.stem
        found = report.main_figure(nb)
        lines = [f"### [{contents.title(nb)}](notebooks/{stem}.ipynb)", ""]
        if found:
            kind, picture, alt = found
            name = f"notebooks/figures/{stem}-main.{kind.split('/')[1].split('+')[0]}"
            (folder / name).write_bytes(picture.encode() if kind.endswith("xml") else b64decode(picture))
            lines += [f"```{{image}} {name}", f":alt: {' '.join(alt.split())}", "```", ""]
        lines += [f"**The claim.** {first(card.get('Claim', ''), 260)}", "",
                  f"**Our verdict.** {first(slides.verdict(card), 320)}", ""]
        parts.append("\n".join(lines))
    return "\n".join(parts)


def _toctrees(runs, folder):
    """The table of contents; pages that are not there are left out."""
    def tree(caption, pages):
        there = [f"{title} <{name}>" if title else name for title, name in pages
                 if (folder / f"{name}.md").is_file() or (folder / f"{name}.ipynb").is_file()]
        return "\n".join(["```{toctree}", ":hidden:", ":titlesonly:", f":caption: {caption}", "", *there, "```"])

    stems = [(path.stem, contents.short_title(nb)) for path, nb, _ in runs]
    return "\n\n".join([
        tree("Notebooks", [(title, f"notebooks/{stem}") for stem, title in stems]),
        tree("Results and data", [("Scoreboard", "scoreboard"), ("Data sets", "datasets"),
                                  ("Datasheets", "data/README")]),
        tree("Words", [("Glossary", "docs/glossary"), ("Words and symbols by notebook", "words")]),
        tree("Teaching", [("Reading group", "docs/reading-group"), ("Course", "docs/course"),
                          ("Assignments", "docs/assignments"),
                          *((f"Discuss {stem[:2]}", f"docs/papers/{stem}") for stem, _ in stems)]),
        tree("About", [("This project", "README")]),
        tree("中文", [("中文首页", "index.zh"), ("项目说明", "README.zh"), ("读书会", "docs/reading-group.zh"),
                    ("课程", "docs/course.zh"), ("作业", "docs/assignments.zh"), ("术语与符号", "docs/glossary.zh"),
                    *((f"讨论 {stem[:2]}", f"docs/papers/{stem}.zh") for stem, _ in stems)])])


def _chinese(runs, folder):
    rows = []
    for path, nb, _ in runs:
        page = folder / "docs" / "papers" / f"{path.stem}.zh.md"
        if page.is_file():
            heading = re.search(r"^# +(.+)$", page.read_text(encoding="utf-8"), flags=re.M).group(1)
            rows.append(f"- [{heading}](docs/papers/{path.stem}.zh.md)（notebook：[{contents.title(nb)}]"
                        f"(notebooks/{path.stem}.ipynb)）")
    return "\n".join(rows)


def _scoreboard(runs):
    """Every claim of every notebook."""
    parts = ["# Scoreboard", "", "In the bars: the band that our value must fall in (grey bar), our value (dot), and "
             "the paper's number where there is one (tick). *Holds here* means: on our data, the statement holds.", ""]
    head = "".join(f'<th scope="col">{name}</th>' for name in ("claim", "what it says", "paper", "ours", "verdict"))
    for path, nb, run in runs:
        if not run.get("claims"):
            continue
        parts += [f"## [{contents.title(nb)}](notebooks/{path.stem}.ipynb)", "",
                  f'<table class="claims"><caption>The claims of notebook {path.stem[:2]}</caption><thead><tr>{head}'
                  "</tr></thead><tbody>", *map(_claim, run["claims"]), "</tbody></table>", ""]
    return "\n".join(parts)


def _claim(record):
    """A row of the scoreboard: what belongs together stands together, for a narrow page."""
    what = record["says"] + (f": {record['what']}" if record["what"] else "")
    what += f" (holds if {record['holds']})" if record["holds"] else ""
    data = ", ".join(filter(None, [record["dataset"], record["protocol"], record["reason"]]))
    ours, controls = scoreboard.ours_text(record), scoreboard.controls_text(record)
    if controls != "–":
        ours += f"; {controls}"
    cells = {"what it says": f"{html.escape(what)}<small>{html.escape(data)}</small>",
             "paper": html.escape(scoreboard.paper_text(record)), "ours": html.escape(ours),
             "verdict": f"{html.escape(scoreboard.verdict_text(record))}{_bar(record)}"}
    return (f'<tr><th scope="row">{html.escape(record["id"]).replace(".", ".<wbr>")}</th>'
            + "".join(f'<td data-label="{name}">{cell}</td>' for name, cell in cells.items()) + "</tr>")


def _bar(record):
    return "" if record["value"] is None else report.picture(record, width=150)


def _words(runs):
    """The symbols and the words of the trade from section 3 of every notebook."""
    symbols, words = [], []
    for path, nb, _ in runs:
        text, link = contents.section(nb, 3), f"[{path.stem[:2]}](notebooks/{path.stem}.ipynb)"
        for line in text.splitlines():
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if len(cells) == 5 and cells[0] not in ("symbol", "---"):
                symbols.append([cells[0], cells[4], cells[3], cells[1], link])
        for item in re.findall(r"^- (.*\*\*.*)$", text, flags=re.M):
            for piece in re.split(r"(?<=[.;?)]) (?=\*\*)", item):
                if name := re.search(r"\*\*(.+?)\*\*", piece):
                    words.append((re.sub(r"[^\w ]", "", name.group(1)).casefold(), piece, link))
    rows = ["# Words and symbols by notebook", "", "As section 3 of each notebook gives them; where two notebooks use "
            "a letter for two things, both are here. The [glossary](docs/glossary.md) has the common terms in two "
            "languages.",
            "", "## Symbols", "", "| symbol | meaning | unit | in the code | notebook |", "|---|---|---|---|---|",
            *(f"| {' | '.join(row)} |" for row in symbols), "", "## Words", ""]
    return "\n".join([*rows, *(f"- {piece} ({link})" for _, piece, link in sorted(words))])


def _datasets():
    """The cards of the real data sets, as the code reads them."""
    parts = ["# Data sets", "", "Simulated sets are computed when they are asked for; the [datasheets](data/README.md) "
             "describe them and the real ones, array by array. The cards below are what the code reads "
             "(`data/datasets.toml`). No real data lie in this repository.", ""]
    for name, entry in sources.registry().items():
        parts += [f"## {name}", "", f"{entry['title']}.", "", "| | |", "|---|---|"]
        for key in ("task", "hardware", "licence", "redistribution", "citation", "honest_split"):
            if entry.get(key):
                parts.append(f"| **{key.replace('_', ' ')}** | {str(entry[key]).replace('|', chr(92) + '|')} |")
        parts += ["", "Caveats:", "", *(f"- {text}" for text in entry.get("caveats", [])), ""]
    return "\n".join(parts)


def build(results=None, out=None, quiet=True):
    """Build the book. Returns (path of index.html, number of warnings).

    Raises FileNotFoundError, naming the command that makes them, when there is no executed notebook, and
    ModuleNotFoundError when the extra "book" is not installed.
    """
    contents.vendored("sphinx/application.py", "sphinx")
    from sphinx.cmd.build import main
    out = Path(out or ROOT / "build" / "book")
    pages = gather(results, out.parent / f"{out.name}-pages")
    shutil.rmtree(out, ignore_errors=True)
    status = main(["-b", "html", "-W", "--keep-going", *(["-q"] if quiet else []),
                   "-d", str(out.parent / f"{out.name}-trees"), str(pages), str(out)])
    return out / "index.html", status


def command(args):
    """`csi-papers book`, from parsed arguments. Returns the exit status."""
    try:
        index, status = build(args.results, args.out)
    except (FileNotFoundError, ModuleNotFoundError, ValueError) as err:
        print(err, file=sys.stderr)
        return 1
    print(f"book: {index}" if not status else "the book was built with the warnings above; none is allowed")
    return int(bool(status))
