"""What is in the notebooks, for README, slides, book and the table of contents; read from them, so a new one joins."""

import json
import re
from importlib import metadata
from pathlib import Path

from csi_papers.run.provenance import write as write_text
from csi_utils import ROOT

TEMPLATES = Path(__file__).parent / "templates"
PROFILES = ("standard", "full", "smoke")  # whose results are shown, the first that is there


def render(template, **values):
    """A template of ours, filled in; in HTML and SVG what is not `Markup` is escaped."""
    import jinja2
    escaped = jinja2.select_autoescape(("html.j2", "svg.j2"))
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=escaped, trim_blocks=True,
                                     keep_trailing_newline=True)
    return environment.get_template(template).render(values)


def results(folder=None):
    """The folder with executed notebooks: the one given, else build/runs/standard, full or smoke.

    Raises FileNotFoundError that names the command, when there is none.
    """
    tried = [Path(folder)] if folder else [ROOT / "build" / "runs" / profile for profile in PROFILES]
    for path in tried:
        if any(path.glob("*.ipynb")):
            return path
    where = f"{tried[0]} holds" if folder else "build/runs holds"
    raise FileNotFoundError(f"{where} no executed notebook. Make them first: make run (about 25 minutes), or "
                            "make run PROFILE=smoke (some minutes)")


def executed(folder):
    """(stem, notebook, result of the run) for each notebook of a folder of results, in the order of reading.

    A notebook that is missing is None. A result that is missing is a failure: nothing says that it ran to its end.
    """
    import nbformat
    folder = Path(folder)
    stems = {file.stem for kind in ("*.ipynb", "*.json") for file in folder.glob(kind)}
    for stem in sorted(stems, key=lambda stem: (stem[:2], place(stem))):
        notebook, result = folder / f"{stem}.ipynb", folder / f"{stem}.json"
        nb = nbformat.read(notebook, as_version=4) if notebook.is_file() else None
        run = {"notebook": stem, "claims": [], "status": f"failed: there is no {stem}.json beside it, the run's result"}
        if result.is_file():
            run = json.loads(result.read_text(encoding="utf-8"))
        yield stem, nb, run


def place(stem):
    """Where a notebook stands in the checkout, without its ending: notebooks/STEM or notebooks/deeper/STEM."""
    deeper = (ROOT / "notebooks" / "deeper" / f"{stem}.ipynb").is_file()
    return f"notebooks/deeper/{stem}" if deeper else f"notebooks/{stem}"


def card_cell(nb):
    """The cell with the title; the first one, but in a notebook that failed, where the error stands before it."""
    return next((cell for cell in nb.cells if cell.cell_type == "markdown" and cell.source.startswith("# ")),
                nb.cells[0])


def title(nb):
    """The level-1 heading, without markup."""
    found = re.search(r"^# +(.+)$", card_cell(nb).source, flags=re.M)
    return re.sub(r"[*`]", "", found.group(1)).strip() if found else "Untitled"


def short_title(nb):
    """The title up to its first question mark or colon, for a narrow table of contents: "01 · Where is the person?"."""
    return re.match(r"[^:?]*\??", title(nb)).group().strip()


def card(text):
    """The rows of a card, a table whose first column is bold: {"Claim": Markdown, ...}."""
    return {name: row.strip() for name, row in re.findall(r"^\| \*\*(.+?)\*\* \| (.*) \|$", text, flags=re.M)}


def first_sentence(text):
    """The first sentence of a text in English or Chinese."""
    return re.match(r".*?(?:[.?!](?=\s+[A-Z*(\"“])|。|$)", text).group()


def table(head, rows):
    """A table in Markdown."""
    lines = [f"| {' | '.join(row)} |\n" for row in (head, *rows)]
    return "".join([lines[0], "|---" * len(head) + "|\n", *lines[1:]])


def symbols(nb):
    """The table of symbols: the first one under a heading that begins with "Symbols"; empty where there is none."""
    text = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    found = re.search(r"^#+ (?:\d+\. )?Symbols.*?(^\|.*?)(?:^[^|]|\Z)", text, flags=re.M | re.S)
    return found.group(1).strip() if found else ""


def start_here(folder):
    """The table of contents of a folder of notebooks, as Markdown for somebody who has never seen one.

    folder: notebooks/, or a copy of it for learners; links are relative to it, and deeper/ comes after each paper.
    """
    import nbformat

    from csi_utils import verdicts
    folder, rows, first = Path(folder), [], None
    paths = [*folder.glob("*.ipynb"), *(folder / "deeper").glob("*.ipynb")]
    for path in sorted(paths, key=lambda path: (path.name[:2], path.parent != folder, path.name)):
        nb = nbformat.read(path, as_version=4)
        said, link = card(card_cell(nb).source), path.relative_to(folder).as_posix()
        first = first or f"[{title(nb).split(' ')[0]}]({link})"
        name = f"[{title(nb)}]({link})" if path.parent == folder else f"deeper: [{title(nb).split(' · ')[-1]}]({link})"
        time = re.split(r"\. |\.$", said.get("Time", "–"))[0]
        rows.append(f"| {name} | {said.get('Prerequisites', '–')} | {said.get('You will be able to', '–')} | {time} |")
    if not rows:
        raise FileNotFoundError(f"{folder.name} holds no notebook")
    undo = "move a notebook away and start `make lab` again, and you get it back as it was."
    if folder.resolve() == ROOT / "notebooks":
        undo = "`git checkout notebooks` brings the notebooks back as you got them."
    marks = ", ".join(f"{symbol} {verdict}" for verdict, symbol in verdicts.SYMBOLS.items())
    return render("start_here.md.j2", rows="\n".join(rows), first=first, undo=undo, marks=marks)


def command(args):
    """`csi-papers start`, from parsed arguments."""
    path = ROOT / "notebooks" / "START_HERE.md"
    write_text(path, start_here(path.parent))
    print(f"table of contents: {path}")


def vendored(ending, distribution):
    """The file of an installed distribution whose path ends so. Raises ModuleNotFoundError with the command."""
    try:
        for file in metadata.files(distribution) or []:
            if str(file).endswith(ending):
                return Path(file.locate())
    except metadata.PackageNotFoundError:
        pass
    raise ModuleNotFoundError(f'{distribution} is not installed: .venv/bin/pip install -e ".[book]"')
