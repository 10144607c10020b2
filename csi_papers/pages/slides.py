"""Slides: a reveal.js deck of each executed notebook, one HTML file that needs no network.

    csi-papers slides            # from build/runs/standard, else full or smoke, into build/slides

A cell is on the slides when its metadata says so (slideshow.slide_type: slide, subslide or fragment), never with its
code; the text of the cells between is in the speaker's notes (key S). nbconvert's exporter does the work. A title comes
first, and the ledger is a table of the columns that can be read from the back.
"""

import re
import sys
from copy import deepcopy
from pathlib import Path

from csi_papers.pages import contents, report
from csi_papers.run.provenance import write as write_text
from csi_utils import ROOT, claims, verdicts

SHOWN = ("slide", "subslide", "fragment")
LONGEST = 6  # rows of the ledger on a slide
WORDS = 60  # on a slide; what is longer is shortened, and whole in the notes
PICTURE = re.compile(r"!\[.*?\]\(.*?\)")
WHOLE = re.compile(r"\s*(?:$|[|#$]|!\[)")  # lines that are no sentences: tables, headings, formulas, pictures
COLUMNS = ("row", "the paper says", "our question", "its number", "ours", "verdict")  # of the ledger


def deck(nb, run):
    """An executed notebook's deck as one HTML text. run: the result of the run, for the title.

    Raises ModuleNotFoundError, naming the command, when the extra "book" is not installed.
    """
    from nbconvert import SlidesExporter
    vendored = contents.vendored("revealjs/dist/reveal.js", "sphinx-revealjs").parents[1]
    files = {"reveal": "dist/reveal.js", "css": "dist/reveal.css", "notes": "plugin/notes/notes.js"}
    parts = {name: (vendored / file).read_text(encoding="utf-8").replace("</script", "<\\/script")
             for name, file in files.items()}
    return report.export(arranged(nb, run), SlidesExporter, "slides.html.j2", {"deck": parts}, exclude_input=True,
                         exclude_input_prompt=True, exclude_output_prompt=True)


def arranged(nb, run):
    """A copy of a notebook whose cells are the slides and their notes; a slide without a heading gets its section's."""
    nb = deepcopy(nb)
    nb.metadata["title"] = contents.title(nb)
    cells, section = [_cell(_title(nb, run))], ""
    for cell in nb.cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        shown = kind in SHOWN and cell is not contents.card_cell(nb)
        if cell.cell_type == "code":
            outputs = [out.get("data", {}) for out in cell.outputs]
            shown = shown and any({"image/png", "text/html"} & set(data) for data in outputs)
            if shown and (closed := [data[claims.MIME] for data in outputs if claims.MIME in data]):
                cells += [_cell(table) for table in ledger(closed[0]["records"])]
                continue
            if any("image/png" in data for data in outputs):  # a table beside the picture stands in the notebook
                cell.outputs = [out for out in cell.outputs if "image/png" in out.get("data", {})]
        if not shown:
            cell.metadata["slideshow"] = {"slide_type": "notes" if cell.cell_type == "markdown" else "skip"}
        elif kind != "fragment" and not cell.source.startswith("#"):
            cells.append(_cell(f"## {section}", kind))
            cell.metadata["slideshow"] = {"slide_type": "-"}
        cells.append(cell)
        if shown and cell.cell_type == "markdown":
            whole, cell.source = cell.source, short(cell.source)
            cells += [_cell(PICTURE.sub("", whole), "notes")] if whole != cell.source else []
        if cell.cell_type == "markdown":
            section = (re.findall(r"^##+ (.+)$", cell.source, flags=re.M) or [section])[-1]
    nb.cells = cells
    return nb


def words(text):
    """How many words of a Markdown text are read on a slide; a formula is one, a table and a picture's text none."""
    text = re.sub(r"^\|.*$", "", PICTURE.sub("", text), flags=re.M)
    return len(re.sub(r"\$\$.*?\$\$|\$.*?\$", "x", text, flags=re.S).split())


def short(text):
    """A text of more than WORDS as a slide shows it: the first sentences of paragraphs and items, as many as fit."""
    if words(text) <= WORDS:
        return text
    lines = []
    for line in text.splitlines():
        mark = re.match(r"\s*(?:[-*] |\d+\. )?", line).group()
        shown = line if WHOLE.match(line) else mark + contents.first_sentence(line[len(mark):])
        if WHOLE.match(line) or words("\n".join([*lines, shown])) <= WORDS:
            lines.append(shown)
    return "\n".join(lines)


def _cell(text, kind="slide"):
    from nbformat.v4 import new_markdown_cell
    return new_markdown_cell(text, metadata={"slideshow": {"slide_type": kind}})


def _title(nb, run):
    card = contents.card(contents.card_cell(nb).source)
    paper = card.get("Papers") or card.get("Paper") or ""
    titles = ", ".join(re.findall(r"(?<!\*)\*[^*]+\*(?!\*)", paper))
    lines = [f"# {contents.title(nb)}", paper if words(paper) < WORDS / 2 else titles]
    if run["status"] != "ok":
        lines.append("**The run of this notebook failed**, so its deck lacks what did not run.")
    if "profile" in run:
        proves = "; they prove the wiring and are no results" if run["profile"] == "smoke" else ""
        lines.append(f"Numbers of this deck: profile {run['profile']}, seed {run['seed']}{proves}.")
    return "\n\n".join(lines)


def ledger(records):
    """The ledger as slides: the paper's claims, and what we add, in the columns that are read from the back."""
    slides = []
    for kind, caption in report.KINDS.items():
        rows = []
        for record in records:
            if record["kind"] == kind and record["verdict"] not in ("not run", "not tested at this budget"):
                cells = {name: text for name, text in verdicts.cells(record) if name in COLUMNS}
                if "its number" in cells:
                    cells["its number"] = cells["its number"].split(" (")[0]  # its source stands in the notebook
                rows.append(cells | {"ours": cells["ours"].replace(" ", "\N{NO-BREAK SPACE}"),
                                     "verdict": cells["verdict"].replace("over the recorded seeds", "seeds")})
        if all(row.get("its number") == "–" for row in rows):
            rows = [{name: text for name, text in row.items() if name != "its number"} for row in rows]
        if rows:
            shown = [cells.items() for cells in report.said_once(rows[:LONGEST])]
            more = f"\n\nAnd {len(rows) - LONGEST} more in the notebook." if rows[LONGEST:] else ""
            slides.append(f"## {caption}\n\n{verdicts.html_table(shown)}{more}")
    return slides


def write(results=None, out=None):
    """Write a deck for each executed notebook of a folder (default: the last run). Returns the paths.

    Raises FileNotFoundError, naming the command that makes them, when there is no executed notebook.
    """
    results, out = contents.results(results), Path(out or ROOT / "build" / "slides")
    out.mkdir(parents=True, exist_ok=True)
    made = []
    for stem, nb, run in contents.executed(results):
        if run["status"] != "ok":
            print(f"{stem}: {run['status']}", file=sys.stderr)
        if nb is not None:
            write_text(out / f"{stem}.html", deck(nb, run))
            made.append(out / f"{stem}.html")
    return made


def command(args):
    """`csi-papers slides`, from parsed arguments."""
    for path in write(args.results, args.out):
        print(f"slides: {path}")
