"""The report of a run: index.html with every verdict, and each executed notebook as a page. No external request.

    csi-papers report build/runs/standard
"""

import html
import re
from base64 import b64decode
from collections import Counter
from pathlib import Path

from csi_papers.pages import contents
from csi_papers.run.provenance import write as write_text
from csi_utils import ROOT, verdicts

IMAGES = ("image/png", "image/jpeg", "image/svg+xml")
# TeX that latex2mathml does not know, in TeX that it knows.
UNKNOWN = {r"[bB]igg?[lr]?\b": "", "[lr]Vert": "‖", "[lr]vert": "|", "lfloor": "⌊", "rfloor": "⌋",
           "arg": r"\operatorname{arg}"}
KINDS = {"claim": "The paper's claims", "addition": "What we add"}


def write(results, out=None):
    """Write the report of a folder of results (JSON and executed notebooks). Returns the path of index.html.

    results: what `csi-papers run --out` wrote. out: a folder (default build/report). Raises
    FileNotFoundError when there is no result in it.
    """
    results, out = Path(results), Path(out or ROOT / "build" / "report")
    runs = list(contents.executed(results))
    if not runs:
        raise FileNotFoundError(f"results: none in {results.name}/, expected what `csi-papers run` writes")
    out.mkdir(parents=True, exist_ok=True)
    notebooks = [_notebook(stem, nb, run, out) for stem, nb, run in runs]
    good = sum(run["status"] == "ok" for _, _, run in runs)
    seconds = sum(run.get("seconds", 0) for _, _, run in runs)
    page = contents.render(
        "report.html.j2",
        summary=f"{good} of {len(runs)} notebooks ran and kept their bands"
                + (f"; {len(runs) - good} failed." if good < len(runs) else ".") + f" {seconds:.0f} s in all.",
        smoke=any(run.get("profile") == "smoke" for _, _, run in runs),
        legend=", ".join(f"{symbol} {verdict}" for verdict, symbol in verdicts.SYMBOLS.items()), notebooks=notebooks,
        environments=list(dict.fromkeys(shown["environment"] for shown in notebooks if shown["environment"])))
    write_text(out / "index.html", page)
    return out / "index.html"


def _notebook(stem, nb, run, out):
    """What the index shows of one notebook; its page is written on the way."""
    failed = "" if run["status"] == "ok" else run["status"].removeprefix("failed: ")
    counts = [(caption, counted(row["verdict"] for row in run["claims"] if row["kind"] == kind))
              for kind, caption in KINDS.items()]
    shown = {"stem": stem, "title": stem, "name": stem, "error": failed, "made": _made(run),
             "environment": _environment(run), "tables": tables(run["claims"]), "left_out": _left_out(run["claims"]),
             "counts": [("run", "✗ failed" if failed else "✓ ok"), *counts, ("took", f"{run.get('seconds', 0):.0f} s")]}
    if nb is not None:
        shown |= {"title": contents.title(nb), "name": contents.short_title(nb), "page": f"{stem}.html"}
        nb.metadata["title"] = shown["title"]
        claim = contents.first_sentence(contents.card(contents.card_cell(nb).source).get("Claim", ""))
        shown["claim"] = re.sub(r"[*`$]", "", claim)
        write_text(out / f"{stem}.html", page(nb))
        if found := save_figure(nb, out / stem):
            shown |= {"image": found[0].name, "alt": found[1] or f"A figure of {shown['title']}"}
    return shown


def counted(found):
    """How often each verdict was given, as text: "✓ 3, ✗ 1", or an en dash."""
    count = Counter(found)
    return ", ".join(f"{symbol} {count[verdict]}" for verdict, symbol in verdicts.SYMBOLS.items()
                     if count[verdict]) or "–"


def columns(record):
    """A record as (column, text, what stands under it) for a narrow page.

    Data and protocol stand under what we measure, band and controls under our value.
    """
    row = dict(verdicts.cells(record))
    data, controls, band = row.pop("data and protocol"), row.pop("controls"), row.pop("band")
    under = {"we measure": data}
    if record["value"] is not None:
        under["ours"] = ("band " if record["band"] else "") + band + ("" if controls == "–" else f"; {controls}")
    return [(name, text, under.get(name, "")) for name, text in row.items()]


def said_once(rows):
    """The rows of a table, dicts, with their second column (what the paper says, or our question) only where it is
    another than in the row before."""
    column = list(rows[0])[1]
    said = [None, *(row[column] for row in rows)]
    return [row | {column: ""} if row[column] == before else row for row, before in zip(rows, said, strict=False)]


def tables(records):
    """The rows that were run, as [(caption, rows)]: the paper's claims, what we add; a row is (column, HTML) pairs."""
    from markupsafe import Markup
    found = []
    for kind, caption in KINDS.items():
        rows = []
        for record in records:
            if record["kind"] == kind and record["verdict"] != "not run":
                drawn = {"ours": Markup(picture(record))} if record["value"] is not None else {}
                rows.append([(name, Markup("{}{}<small>{}</small>").format(text, drawn.get(name, ""), under))
                             for name, text, under in columns(record)])
        if rows:
            found.append((caption, rows))
    return found


def _left_out(records):
    """Which rows were not run, and why: "C2, O1.real (no data); C3 (measured in profile full only)"."""
    reasons = {}
    for record in records:
        if record["verdict"] == "not run":
            reasons.setdefault(record["reason"], []).append(record["id"])
    return "; ".join(f"{', '.join(ids)} ({reason})" for reason, ids in reasons.items())


def _made(run):
    if "environment" not in run:
        return "nothing is known of this run"
    real = run["environment"]["inputs"]["real_data"]
    date = run["environment"]["date"][:16].replace("T", " ")
    return (f"profile {run['profile']}, source {run['source']}, seed {run['seed']}; real data at hand: "
            f"{', '.join(real) or 'none'}; {date} UTC; {run['seconds']:.0f} s")


def _environment(run):
    if "environment" not in run:
        return ""
    environment = run["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    commit = f"commit {environment['commit'][:12]}" if environment["commit"] else "no commit"
    machine = f"{environment['platform']}, {environment['cpus']} cores"
    return f"Python {environment['python']} on {machine}; {versions}; {commit}."


def picture(record, width=180, height=30):
    """A record's band, value and paper's number as inline SVG with a text alternative."""
    value, band, paper = record["value"], record["band"], record["paper_value"]
    shown = [x for x in (value, paper, *(band or [])) if x is not None]
    span = max(shown) - min(shown) or abs(value) or 1.0
    low, high = min(shown) - 0.1 * span, max(shown) + 0.1 * span

    def x(number):
        return None if number is None else 6 + (number - low) / (high - low) * (width - 12)

    text = f"ours {verdicts.number(value, record['unit'])}, band {verdicts.check_text(record)}"
    if paper is not None:
        text += f", the paper's {verdicts.number(paper, record['unit'])}"
    return contents.render("picture.svg.j2", text=text, width=width, height=height, middle=height / 2, value=x(value),
                           band=[x(end) for end in band or []], paper=x(paper))


def save_figure(nb, stem):
    """Write the picture of the cell tagged main-figure, else the first one, as stem.png or whatever it is.

    Returns (its path, its text), or None without any.
    """
    cells = sorted((c for c in nb.cells if c.cell_type == "code"),
                   key=lambda c: "main-figure" not in c.metadata.get("tags", []))
    for output in (output for cell in cells for output in cell.outputs):
        for kind in IMAGES:
            if content := output.get("data", {}).get(kind):
                file = stem.with_name(f"{stem.name}.{kind.split('/')[1].split('+')[0]}")
                file.write_bytes(content.encode() if kind.endswith("xml") else b64decode(content))
                return file, output.metadata.get(kind, {}).get("alt") or output.metadata.get("alt") or ""
    return None


def page(nb):
    """An executed notebook as one HTML page that needs no network."""
    from nbconvert import HTMLExporter
    return export(nb, HTMLExporter, "page.html.j2")


def export(nb, base, template, resources=None, **options):
    """A notebook as HTML by an exporter of nbconvert and a template of ours; formulas are MathML, drawn by the browser.

    Where latex2mathml cannot read a formula, the formula's TeX is shown. resources: more that the template reads.
    options: the exporter's traits.
    """
    from jinja2 import pass_context
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def inline_math(self, body):
            return _mathml(body, "inline")

        def block_math(self, body):
            return _mathml(body, "block")

        def latex_environment(self, name, body):
            return _mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", "block")

    class Exporter(base):
        @pass_context
        def markdown2html(self, context, source):
            attachments = context.get("cell", {}).get("attachments", {})
            renderer = Renderer(escape=False, attachments=attachments, anchor_link_text="")
            return MarkdownWithMath(renderer=renderer).render(source)

    exporter = Exporter(**options)
    exporter.raw_template = (contents.TEMPLATES / template).read_text(encoding="utf-8")
    return exporter.from_notebook_node(nb, resources)[0]


def _mathml(tex, display):
    try:
        from latex2mathml.converter import convert
        for name, plain in UNKNOWN.items():
            tex = re.sub(rf"\\{name}(?![A-Za-z])", lambda _, plain=plain: plain, tex)
        return convert(re.sub(r"\\tag\s*\{(.*?)\}", r"\\qquad(\1)", tex), display=display)
    except Exception:  # one of its many errors for TeX that it does not know
        tag = "code" if display == "inline" else "pre"
        return f"<{tag}>{html.escape(tex.strip())}</{tag}>"
