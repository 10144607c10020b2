"""What is in the notebooks, for slides, book and the table of contents; read from them, so a new one joins."""

import json
import re
from importlib import metadata
from pathlib import Path

from csi_papers.run.provenance import write as write_text
from csi_utils import ROOT

PROFILES = ("standard", "full", "smoke")  # whose results are shown, the first that is there


def results(folder=None):
    """The folder with executed notebooks: the one given, else build/runs/standard, full or smoke.

    Raises FileNotFoundError that names the command, when there is none.
    """
    tried = [Path(folder)] if folder else [ROOT / "build" / "runs" / profile for profile in PROFILES]
    for path in tried:
        if any(path.glob("*.ipynb")):
            return path
    where = f"{tried[0]} holds" if folder else "build/runs holds"
    raise FileNotFoundError(f"{where} no executed notebook. Make them first: make run (about 10 minutes), or "
                            "make run PROFILE=smoke (about 2 minutes)")


def executed(folder):
    """(path, notebook, result of the run) for each executed notebook of a folder, in order."""
    import nbformat
    for path in sorted(Path(folder).glob("*.ipynb")):
        said = path.with_suffix(".json")
        yield (path, nbformat.read(path, as_version=4),
               json.loads(said.read_text(encoding="utf-8")) if said.is_file() else {})


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


def card(nb):
    """The card under the title: {"Claim": Markdown, ...}."""
    rows = re.findall(r"^\| \*\*(.+?)\*\* \| (.*) \|$", card_cell(nb).source, flags=re.M)
    return {name: text.strip() for name, text in rows}


def section(nb, number):
    """The Markdown cells of a level-2 section by its number, joined."""
    found, inside = [], False
    for cell in nb.cells:
        if cell.cell_type != "markdown":
            continue
        for part in re.split(r"(?m)^(?=## )", cell.source):
            if part.startswith("## "):
                inside = bool(re.match(rf"## {number}\. ", part))
            if inside:
                found.append(part)
    return "\n\n".join(found)


START = """# Start here

Each notebook below is one paper: its idea, its equations, its data, and a test of what it claims. Click a title to
open it.

| notebook | what you need | what you will be able to | time |
|---|---|---|---|
{rows}

**New to this? Take {first}.** Then go on downwards, or to whatever you are curious about.

## How to read a notebook

1. **Run it once from top to bottom**: menu *Run*, then *Run All Cells*. It takes a minute or two, and the pictures
   appear as it goes.
2. **Read section 2** (the idea, without code), and write down your guess where it asks for one.
3. Go through the rest cell by cell: **Shift + Enter** runs a cell and moves on. A grey box is code; its answer stands
   below it.
4. **Change something and look.** JupyterLab saves as you go; `git checkout notebooks` brings the notebooks back as you
   got them.
5. **Section 10 has exercises** that check themselves: write your code where the cell asks for it, run the cell below,
   and read what it says.

## Good to know

- Words that you do not know are explained in section 3 of each notebook.
- The symbols in the last table: ✓ holds here, ✗ does not hold here, ? undecided, – not testable, ○ not run. A ✗ is a
  result, not an error.
- Too slow? In the first grey box write `profile = "smoke"` in the place of `profile = "standard"` and run again. Its
  numbers prove nothing, but everything can be seen.
- Where real data are not to be had, the notebook says so and goes on with simulated ones. That is no error.
- To run everything and get one page of results, close this and type `make run`.
"""


def start_here(folder):
    """The table of contents of a folder of notebooks, as Markdown for somebody who has never seen one."""
    import nbformat
    rows, first = [], None
    for path in sorted(Path(folder).glob("*.ipynb")):
        nb = nbformat.read(path, as_version=4)
        said, name = card(nb), f"[{title(nb)}]({path.name})"
        first = first or f"[{title(nb).split(' ')[0]}]({path.name})"
        time = re.split(r"\. |\.$", said.get("Time", "–"))[0]
        rows.append(f"| {name} | {said.get('Prerequisites', '–')} | {said.get('You will be able to', '–')} | {time} |")
    if not rows:
        raise FileNotFoundError(f"{Path(folder).name} holds no notebook")
    return START.format(rows="\n".join(rows), first=first)


def command(args):
    """`csi-papers start`, from parsed arguments. Returns the exit status."""
    path = ROOT / "notebooks" / "START_HERE.md"
    write_text(path, start_here(path.parent))
    print(f"table of contents: {path}")
    return 0


def vendored(ending, distribution):
    """The file of an installed distribution whose path ends so. Raises ModuleNotFoundError with the command."""
    try:
        for file in metadata.files(distribution) or []:
            if str(file).endswith(ending):
                return Path(file.locate())
    except metadata.PackageNotFoundError:
        pass
    raise ModuleNotFoundError(f'{distribution} is not installed: .venv/bin/pip install -e ".[book]"')
