"""The book: a static site of the executed notebooks and the texts in docs/, built with Sphinx, that needs no network.

    csi-papers book              # from build/runs/standard, else full or smoke, into build/book

`gather` lays the pages out as they are in the checkout (so their links hold) and writes those that no file has: the
symbols of all notebooks and the cards of the data sets. Sphinx does the rest with docs/conf.py.
"""

import itertools
import os
import re
import shutil
import sys
import tempfile
from base64 import b64decode
from pathlib import Path

from csi_papers.pages import contents, report, slides
from csi_papers.run.runner import notebooks
from csi_utils import ROOT
from csi_utils.files import sources

SHOWN = ("image/png", "text/html", "text/plain")
TEXTS = ("README*.md", "LICENSE", "data/README.md", "docs/*.md", "docs/*.toml", "docs/*.svg", "docs/papers/*.md")


def gather(results, folder):
    """Write everything that Sphinx reads into a new folder. Returns it.

    Raises FileNotFoundError (no executed notebook) or ModuleNotFoundError (the extra "book" is not installed).
    """
    runs = [(stem, nb, run) for stem, nb, run in contents.executed(contents.results(results)) if nb is not None]
    mathjax = contents.vendored("static/mathjax/tex-svg.js", "sphinx-mathjax-offline")
    folder = Path(folder)
    for name in ("notebooks/deeper", "figures", "docs/papers", "data", "_static/mathjax", "_extra/slides"):
        (folder / name).mkdir(parents=True)
    shutil.copy(mathjax, folder / "_static" / "mathjax")
    shutil.copy(ROOT / "docs" / "book.css", folder / "_static")
    shutil.copy(ROOT / "docs" / "conf.py", folder)
    stems = {stem for stem, _, _ in runs}
    absent = {path.stem for path in notebooks()} - stems
    for file in itertools.chain(*map(ROOT.glob, TEXTS)):
        if file.name.split(".")[0] not in absent:
            to = folder / (file.name if file.name.startswith("index") else file.relative_to(ROOT))
            text = re.sub(r"\]\((?:\.\./)*docs/index", "](index", file.read_text(encoding="utf-8"))
            to.write_text(_without(absent, text), encoding="utf-8")
    for stem, nb, run in runs:
        deck = folder / "_extra" / "slides" / f"{stem}.html"
        deck.write_text(slides.deck(nb, run), encoding="utf-8")
        _notebook(stem, nb, folder, absent)
    (folder / "symbols.md").write_text(_symbols(runs), encoding="utf-8")
    (folder / "datasets.md").write_text(_datasets(), encoding="utf-8")
    index = folder / "index.md"
    text = index.read_text(encoding="utf-8")
    for name, part in (("run", _run(runs)), ("gallery", _gallery(runs, folder)), ("contents", _toctrees(runs, folder))):
        if f"<!-- {name} -->" not in text:
            raise ValueError(f"docs/index.md: lacks the line <!-- {name} -->, the place of its {name}")
        text = text.replace(f"<!-- {name} -->", part)
    index.write_text(text, encoding="utf-8")
    return folder


def _without(absent, text):
    """A text whose links to notebooks that were not run are no links."""
    names = "|".join(absent) or "$^"
    return re.sub(rf"\[([^\]]*)\]\([^)]*\b(?:{names})\.[^)]*\)", r"\1", text)


# Pages of notebooks.

def _notebook(stem, nb, folder, absent):
    """Write a page's notebook: drawings and figures with their texts, long code collapsed, links to its other forms."""
    import nbformat
    tables, place = itertools.count(1), contents.place(stem)
    up = "../" * place.count("/")
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = _without(absent, cell.source)
            for name, bundle in cell.pop("attachments", {}).items():
                (folder / "figures" / f"{stem}-{name}").write_bytes(b64decode(next(iter(bundle.values()))))
                cell.source = cell.source.replace(f"attachment:{name}", f"{up}figures/{stem}-{name}")
            continue
        tags = cell.metadata.setdefault("tags", [])
        if "solution" in tags or cell.metadata.get("jupyter", {}).get("source_hidden"):
            tags.append("hide-input")
        cell.outputs = [out for one in cell.outputs if (out := _output(one, tables))]
        texts = [out.metadata.get("image/png", {}).get("alt") or out.metadata.get("alt") for out in cell.outputs
                 if "image/png" in out.get("data", {})]
        if any(texts):
            cell.metadata["mystnb"] = {"image": {"alt": "; ".join(filter(None, texts))}}
    others = [f'<a href="{up}slides/{stem}.html">Slides</a>']
    for ending, name in ((".md", "Plan for an hour, and questions"), (".zh.md", "中文")):
        if (folder / "docs" / "papers" / f"{stem}{ending}").is_file():
            others.append(f"[{name}]({up}docs/papers/{stem}{ending})")
    first_cell = contents.card_cell(nb)
    nb.cells = [first_cell, *(cell for cell in nb.cells if cell is not first_cell)]  # a page begins with its title
    head, _, rest = first_cell.source.partition("\n")
    first_cell.source = f"{head}\n\n{' · '.join(others)}\n{rest}"
    nbformat.write(nb, folder / f"{place}.ipynb")


def _output(out, tables):
    """An output as the book shows it, or None: one form of each, no progress bars. tables: numbers for their names."""
    if out.output_type == "stream":
        out.text = "\n".join(line.rsplit("\r", 1)[-1] for line in out.text.removesuffix("\r").split("\n"))
        out.text = out.text.replace(f"{ROOT}{os.sep}", "")  # a machine's own folder is nobody's business
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
    """What was run, on the landing page; a warning where results prove little, or are missing."""
    said = [run for _, _, run in runs if "environment" in run]
    text = ""
    if said:
        profiles, seeds = (", ".join(sorted({str(run[key]) for run in said})) for key in ("profile", "seed"))
        real = sorted({name for run in said for name in run["environment"]["inputs"]["real_data"]})
        text = (f"*This book shows a run of {max(run['environment']['date'] for run in said)[:10]}: profile "
                f"{profiles}, seed {seeds}; real data: {', '.join(real) or 'none'}.*")
    if any(run["profile"] == "smoke" for run in said):
        text += ("\n\n:::{warning}\nThe profile *smoke* proves the wiring. Its numbers come from few repeats and are "
                 "no results; `make run` gives those of the profile *standard*.\n:::")
    for stem, _, run in runs:
        if run["status"] != "ok":
            text += f"\n\n:::{{warning}}\n{stem} {run['status']}. What did not run is missing.\n:::"
    return text


def _gallery(runs, folder):
    """One figure for each paper, with its claim; the verdicts are not given away."""
    parts = []
    for stem, nb, _ in runs:
        lines = [f"### [{contents.title(nb)}]({contents.place(stem)}.ipynb)", ""]
        if found := report.save_figure(nb, folder / "figures" / f"{stem}-main"):
            lines += [f"```{{image}} figures/{found[0].name}", f":alt: {' '.join(found[1].split())}", "```", ""]
        claim = contents.card(contents.card_cell(nb).source).get("Claim", "")
        parts.append("\n".join([*lines, f"**The claim.** {claim}", ""]))
    return "\n".join(parts)


def _toctrees(runs, folder):
    """The table of contents; pages that are not there are left out."""
    def tree(caption, pages):
        there = [f"{title} <{name}>" for title, name in pages
                 if (folder / f"{name}.md").is_file() or (folder / f"{name}.ipynb").is_file()]
        return "\n".join(["```{toctree}", ":hidden:", ":titlesonly:", f":caption: {caption}", "", *there, "```"])

    stems = [stem for stem, _, _ in runs]
    return "\n\n".join([
        tree("Notebooks", [(contents.short_title(nb), contents.place(stem)) for stem, nb, _ in runs]),
        tree("Results and data", [("Scoreboard", "docs/scoreboard"), ("Data sets", "datasets"),
                                  ("Datasheets", "data/README")]),
        tree("Words", [("Glossary", "docs/glossary"), ("Symbols by notebook", "symbols")]),
        tree("Teaching", [("Reading group", "docs/reading-group"), ("Course", "docs/course"),
                          ("Assignments", "docs/assignments"),
                          *((f"Discuss {stem[:2]}", f"docs/papers/{stem}") for stem in stems)]),
        tree("About", [("This project", "README"), ("How to add a paper", "docs/add-a-paper")]),
        tree("中文", [("中文首页", "index.zh"), ("项目说明", "README.zh"), ("读书会", "docs/reading-group.zh"),
                    ("课程", "docs/course.zh"), ("作业", "docs/assignments.zh"), ("术语与符号", "docs/glossary.zh"),
                    ("怎样添加一篇论文", "docs/add-a-paper.zh"),
                    *((f"讨论 {stem[:2]}", f"docs/papers/{stem}.zh") for stem in stems)])])


def _symbols(runs):
    """The tables of symbols of all notebooks."""
    parts = ["# Symbols by notebook\n\nWhere two notebooks use a letter for two things, both are here. The "
             "[glossary](docs/glossary.md) has the common words in two languages."]
    for stem, nb, _ in runs:
        if table := contents.symbols(nb):
            parts.append(f"## [{contents.short_title(nb)}]({contents.place(stem)}.ipynb)\n\n{table}")
    return "\n\n".join(parts)


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
    ModuleNotFoundError when the extra "book" is not installed, ValueError for a folder that holds anything but a book.
    """
    contents.vendored("sphinx/application.py", "sphinx")
    from sphinx.cmd.build import main
    out = Path(out or ROOT / "build" / "book")
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()) and not (out / ".buildinfo").is_file():
        raise ValueError(f"out: {out} holds other files, and a book replaces what is there; name a new folder")
    with tempfile.TemporaryDirectory(prefix="csi-book-") as scratch:
        pages, made = gather(results, Path(scratch) / "pages"), Path(scratch) / "book"
        status = main(["-b", "html", "-W", "--keep-going", *(["-q"] if quiet else []), str(pages), str(made)])
        shutil.rmtree(out)
        shutil.move(made, out)
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
