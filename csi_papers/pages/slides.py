"""Slides: the marked cells of executed notebooks as reveal.js decks, one file each, that need no network.

    csi-papers slides            # from build/runs/standard, else from build/runs/smoke

A cell is marked by its slide type ("slide") in the notebook. A cell that was written to be read is too long to be
shown, so each gives one or two slides by rule (`compose`): its heading, its first sentences, its equations with the
sentence that leads to each, its drawing, its lists by their first sentences. A figure stands between the question
before it and the first sentence after it. Nothing is lost: the whole text is in the speaker's notes (key S).
"""

import itertools
import re
import struct
import sys
from base64 import b64decode
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from csi_papers.pages import contents, report
from csi_papers.pages.passages import (
    CHARS,
    blocks,
    ends,
    first,
    items,
    length,
    lines,
    sections,
    sentences,
    short_item,
    stacked,
)
from csi_papers.run.provenance import write as write_text
from csi_utils import ROOT, claims
from csi_utils import verdicts as scoreboard

LINES = 16  # of text on a slide; the page itself fits the last bit, down to 24 px
LEAD, BEFORE, QUESTION, AFTER = 300, 210, 210, 190  # characters that a passage may have on a slide
ASIDE = re.compile(r"\b(cells?|figure|table|below|above|guess|look|before you|loop)\b", re.I)  # no matter of the paper
LOOK = re.compile(r"\b(look|left|right|panel|figure|bars?|dots?|curves?|lines?|colou?r(s|ed)?|arrows?)\b", re.I)
TEMPLATE = Path(__file__).parent / "templates" / "slides.html.j2"


@dataclass
class Slide:
    """One slide. blocks: Markdown; figure: (data URI, text, width, height); table: HTML; notes: Markdown."""

    title: str
    kind: str = "text"
    blocks: list = field(default_factory=list)
    figure: tuple | None = None
    table: str = ""
    takeaway: str = ""
    notes: str = ""


# From cells to slides.

def compose(nb):
    """The slides of an executed notebook, a list of `Slide`."""
    cells = [cell for cell in nb.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    slides, title = [], ""
    for number, cell in enumerate(cells):
        start = title
        title = ([text.lstrip("# ") for kind, text in _read(cell) if kind == "heading"] or [title])[-1]
        if cell is contents.card_cell(nb):
            slides += _opening(nb)  # marked or not
        elif not _marked(cell):
            continue
        elif cell.cell_type == "code":
            before = [c for c in cells[max(0, number - 4):number] if any(kind == "text" for kind, _ in _read(c))]
            after = [c for c in cells[number + 1:number + 2] if c.cell_type == "markdown"]
            slides += _results(cell, before[-1:], after, title)
        else:
            code = itertools.takewhile(lambda c: c.cell_type == "code", cells[number + 1:])
            slides += _prose(cell, start, any(map(_marked, code)))
    return slides


def _read(cell):
    return blocks(cell.source) if cell.cell_type == "markdown" else []


def _marked(cell):
    return cell.metadata.get("slideshow", {}).get("slide_type") in ("slide", "subslide", "fragment")


def _opening(nb):
    card = contents.card(nb)
    shown = [("text", f"**The paper's claim.** {first(card.get('Claim', ''), 330)}"),
             ("text", f"**What we find.** {first(verdict(card), 430)}"),
             ("more", f"**You will be able to** {card.get('You will be able to', '')}")]
    _shorten(shown, LINES)
    return [Slide(contents.title(nb), "title", [("text", card.get("Papers") or card.get("Paper") or "")]),
            Slide("The claim, and our verdict", blocks=shown, notes=contents.card_cell(nb).source)]


def verdict(card):
    """The card's verdict, without its pointer to the table of results."""
    return re.sub(r"[^.;]*\*Results\*[^.;]*\.", "", card.get("Verdict", "")).strip()


def _prose(cell, title, leads):
    """The slides of a marked Markdown cell. leads: its end leads to the next cell, a marked one, which shows it."""
    parts = sections(cell.source)
    if len(parts) > 1 and not parts[0][0] and not any(kind == "equation" for kind, _ in parts[0][1]):
        parts = parts[1:]  # it speaks of what stands before this cell
    if leads and parts[-1][1] and parts[-1][1][-1][0] == "text":
        name, content = parts.pop()
        if any(kind in ("equation", "list", "image") for kind, _ in content):
            parts.append((name, content[:-1]))
    slides, carried = [], []
    for number, (name, content) in enumerate(parts):
        if number + 1 < len(parts) and len(content) < 2 and all(kind == "text" for kind, _ in content):
            carried += [(kind, first(text, LEAD)) for kind, text in content]  # opens the next section
            continue
        shown = carried + [block for block in _cut(content, bool(name)) if block[1]]
        slides += _pages(name or title, shown, cell)
        carried = []
    for slide in slides[:1]:
        slide.notes = cell.source
    return slides


def _cut(content, titled):
    """What of a section's blocks may be shown; "before", "more" and "rest" are texts of falling importance."""
    shown = []
    for number, (kind, text) in enumerate(content):
        following = content[number + 1][0] if number + 1 < len(content) else ""
        if kind == "text":
            if following in ("equation", "list"):
                shown.append(("before" if number else kind, ends(text, BEFORE if number else LEAD, titled or number)))
            elif not number:
                shown.append((kind, first(text, LEAD)))
            else:
                short = first(text, AFTER)
                bold = "**" in short[:60]
                if bold or not ASIDE.search(short):
                    shown.append(("more" if bold else "rest", short))
        elif kind == "list":
            shown.append((kind, "\n".join(map(short_item, items(text)))))
        elif kind in ("equation", "image"):
            shown.append((kind, stacked(text) if kind == "equation" else text))
        elif kind == "table" and text.count("\n") < 9 and max(map(length, text.split("\n"))) < 1.1 * CHARS:
            shown.append((kind, text))
    return shown


def _shorten(shown, room):
    """Drop the least important blocks, the last first, until the rest fits into so many lines."""
    for kind in ("rest", "more", "before", "table"):
        for number in range(len(shown) - 1, 0, -1):
            if sum(map(lines, shown)) > room and shown[number][0] == kind:
                del shown[number]
    while sum(map(lines, shown)) > room and len(shown) > 1 and shown[-1][0] == "text":
        del shown[-1]


def _pages(title, shown, cell):
    """One slide, or two where equations, lists and drawings need more than one can hold."""
    if not shown:
        return []
    many = sum(lines(block) for block in shown if block[0] not in ("rest", "more")) > LINES
    _shorten(shown, 2 * LINES - 4 if many else LINES)
    pages = [shown]
    if sum(map(lines, shown)) > LINES and len(shown) > 1:
        cuts = [cut for cut in range(1, len(shown))
                if shown[cut][0] not in ("equation", "list") or shown[cut - 1][0] not in ("before", "text")]
        if not cuts:
            cuts = range(1, len(shown))
        best = min(cuts, key=lambda cut: max(sum(map(lines, shown[:cut])), sum(map(lines, shown[cut:]))))
        pages = [shown[:best], shown[best:]]
    slides = []
    for page in pages:
        slide = Slide(title)
        for kind, text in page:
            if kind == "image" and (found := _attachment(cell, text)):
                slide.kind, slide.figure = "drawing", found
            else:
                slide.blocks.append((kind, text))
        slides.append(slide)
    return slides


def _attachment(cell, text):
    alt, name = re.match(r"!\[(.*?)\]\((?:attachment:)?(.*?)\)", text, flags=re.S).groups()
    bundle = cell.get("attachments", {}).get(name)
    if not bundle:
        return None
    kind, data = next(iter(bundle.items()))
    view = re.search(rb'viewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"', b64decode(data))
    width, height = map(float, view.groups()) if view else (16, 9)
    return f"data:{kind};base64,{data}", alt, width, height


def _results(cell, before, after, title):
    """The slides of a marked code cell: its figures, its table, or the ledger."""
    notes = "\n\n".join(c.source for c in before + after)
    question = takeaway = ""
    if texts := [text for c in before for kind, text in blocks(c.source) if kind == "text"]:
        texts = [text for text in texts if "second figure" not in text] or [""]
        if blocks(before[-1].source)[0][1] == texts[0]:  # it opens the cell: it speaks of what stands before that
            texts = texts[1:] or texts
        asking = [text for text in texts if text.startswith("**") and "?" in text.split("**")[1]]
        question = _question((asking or [text for text in texts if LOOK.search(text)] or texts)[-1])
    if (opening := [block for c in after for block in blocks(c.source)][:1]) and opening[0][0] == "text":
        short = first(opening[0][1], AFTER)
        takeaway = short if length(short) <= 1.2 * AFTER else ""
    asks = [("text", question)] if question else []
    slides, pictures = [], any("image/png" in out.get("data", {}) for out in cell.outputs)
    for out in cell.outputs:
        data = out.get("data", {})
        if claims.MIME in data:
            slides += _ledger(data[claims.MIME]["records"], title)
        elif picture := data.get("image/png"):
            width, height = struct.unpack(">II", b64decode(picture)[16:24])
            alt = out.metadata.get("image/png", {}).get("alt") or out.metadata.get("alt") or f"A figure of {title}"
            slides.append(Slide(title, "figure beside" if width < 1.8 * height else "figure", asks,
                                (report.data_uri("image/png", picture), alt, width, height)))
        elif "text/html" in data and not pictures and _small(data["text/html"]):
            slides.append(Slide(title, "table", asks,
                                table=re.sub(r"<style.*?</style>", "", data["text/html"], flags=re.S)))
    for slide in slides[:1]:
        slide.notes = notes
        slide.takeaway = slide.takeaway or takeaway
    return slides


def _question(text):
    """What to look at, from the paragraph before a figure: its beginning, or where it says "look"; and what it asks."""
    parts = sentences(" ".join(text.split()))
    asked = [part for part in parts[1:] if part.rstrip("*_ ").endswith("?")][-1:]
    looks = [part for part in parts if re.search(r"\blook (at|for|where|which|right|left|how)\b", part, re.I)][:1]
    chosen = looks if looks and not text.startswith("**") else parts[:1]
    short = " ".join(dict.fromkeys(chosen + asked))
    return re.sub(":$", ".", short if length(short) <= QUESTION else (asked or chosen or [""])[0])


def _small(table):
    rows = re.findall(r"<tr.*?</tr>", table, flags=re.S)
    texts = [[len(re.sub("<.*?>", "", cell).strip()) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, flags=re.S)]
             for row in rows]
    wide = [max(column) for column in zip(*(row for row in texts if len(row) == max(map(len, texts))), strict=True)]
    return 1 < len(rows) <= 11 and sum(wide) + 3 * len(wide) < 92


def _ledger(records, title):
    """The ledger as tables: a row for each claim, with a line for each measure as long as they are few."""
    groups = {}
    for record in records:
        groups.setdefault(record["id"].partition(".")[0], []).append(record)
    rows = []
    for name, group in groups.items():
        paper = [scoreboard.number(r["paper_value"], r["unit"]) for r in group if r["paper_value"] is not None]
        ours = [f"{scoreboard.SYMBOLS[r['verdict']]} "
                + (f"{scoreboard.ours_text(r)}, {r['dataset']}" if r["value"] is not None else r["verdict"])
                for r in group]
        if len(group) > 3:
            counts = Counter(r["verdict"] for r in group).most_common()
            ours = [f"{len(group)} measures: " + ", ".join(f"{scoreboard.SYMBOLS[v]} {n}" for v, n in counts)]
        rows.append({"id": name, "says": group[0]["says"], "paper": paper[0] if paper else "–", "ours": ours,
                     "high": max(-(-len(group[0]["says"]) // 44), len(ours)) + 0.45})
    pages, room = [[]], 0
    for row in rows:
        if room + row["high"] > LINES - 1 and pages[-1]:
            pages.append([])
            room = 0
        pages[-1].append(row)
        room += row["high"]
    legend = "   ".join(f"{symbol} {verdict}" for verdict, symbol in scoreboard.SYMBOLS.items()
                        if any(r["verdict"] == verdict for r in records))
    return [Slide(title, "ledger", table=page, takeaway=legend) for page in pages]


# From slides to a file.

def deck(nb, run=None):
    """An executed notebook's deck as one HTML text that needs no network and no other file.

    run: what the runner said of it, for the title slide; its profile and its seed are shown.
    """
    import jinja2
    from markupsafe import Markup
    from nbconvert.filters import markdown2html
    vendored = contents.vendored("revealjs/dist/reveal.js", "sphinx-revealjs").parents[1]
    parts = {"reveal": vendored / "dist" / "reveal.js", "css": vendored / "dist" / "reveal.css",
             "notes": vendored / "plugin" / "notes" / "notes.js",
             "mathjax": contents.vendored("static/mathjax/tex-svg.js", "sphinx-mathjax-offline")}
    embedded = {name: Markup(file.read_text(encoding="utf-8").replace("</script", "<\\/script"))
                for name, file in parts.items()}

    def render(text):
        text = re.sub(r"!\[.*?\]\(.*?\)", "", text, flags=re.S)  # in the notes: the drawing is on the slide
        return Markup(markdown2html(re.sub(r"^#+ +(.*)$", r"**\1**", text, flags=re.M)))

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(title=contents.title(nb), slides=compose(nb), md=render, run=run, Markup=Markup,
                           **embedded)


def write(results=None, out=None):
    """Write a deck for each executed notebook of a folder (default: the last run). Returns the paths.

    Raises FileNotFoundError, naming the command that makes them, when there is no executed notebook.
    """
    results, out = contents.results(results), Path(out or ROOT / "build" / "slides")
    out.mkdir(parents=True, exist_ok=True)
    made = []
    for path, nb, run in contents.executed(results):
        if run.get("status", "ok") != "ok":
            print(f"{path.stem}: its run failed, so its deck lacks what did not run", file=sys.stderr)
        write_text(out / f"{path.stem}.html", deck(nb, run))
        made.append(out / f"{path.stem}.html")
    return made


def command(args):
    """`csi-papers slides`, from parsed arguments. Returns the exit status."""
    try:
        for path in write(args.results, args.out):
            print(f"slides: {path}")
    except (FileNotFoundError, ModuleNotFoundError) as err:
        print(err, file=sys.stderr)
        return 1
    return 0
