"""The report of a run: index.html with the scoreboard, and each executed notebook as a page. No external request.

    csi-papers report build/runs/standard
"""

import html
import json
import re
import sys
from pathlib import Path

from csi_papers.run.provenance import write as write_text
from csi_utils import ROOT
from csi_utils import verdicts as scoreboard

IMAGES = ("image/png", "image/jpeg", "image/svg+xml")
# The template of nbconvert's lab pages, without what it would load from the network and with the figures' alt text.
_PAGE = """{% extends 'lab/index.html.j2' %}
{% block html_head_js_requirejs %}{% endblock %}
{% block html_head_js_mathjax %}<style>body.jp-Notebook { max-width: 60rem; margin: auto }
.jp-RenderedHTMLCommon table { display: block; overflow-x: auto } math[display=block] { margin: 1em 0 }
body { --jp-mirror-editor-number-color: #060; --jp-mirror-editor-operator-color: #7a0fbf;
--jp-mirror-editor-comment-color: #2f6262; --jp-cell-prompt-not-active-opacity: 1;
--jp-cell-prompt-not-active-font-color: #595959 }
.ansi-red-fg, .ansi-red-intense-fg { color: #a31515 !important } .ansi-green-fg { color: #00632b !important }
.ansi-cyan-fg { color: #005b66 !important } .ansi-yellow-fg { color: #6b4c00 !important }
.ansi-blue-fg { color: #0b4f8a !important }</style>
{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block jupyter_widgets %}{% endblock %}
{% block data_png scoped %}<img src="data:image/png;base64,{{ output.data['image/png'] | e }}"
alt="{{ (output | get_metadata('alt', 'image/png') or output.data.get('text/plain', '')) | e }}">{% endblock %}"""
_INDEX = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>CSI paper notebooks: report</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 84rem; margin: 0 auto;
  padding: 1rem; overflow-wrap: break-word }
h1 { line-height: 1.2 } h2 { margin-top: 2.5rem } a { color: #0b4f8a }
table { border-collapse: collapse; width: 100% } caption { text-align: left; padding: .5rem 0 }
th, td { text-align: left; vertical-align: top; padding: .45rem .6rem; border-bottom: 1px solid #ccc }
td { font-size: .9rem } td.nowrap { white-space: nowrap }
td.id { min-width: 6rem; max-width: 8rem; overflow-wrap: anywhere } td.says { min-width: 10rem }
small, .small { font-size: .85rem; color: #444 }
img { max-width: 100%; height: auto; border: 1px solid #ddd } figure { margin: 1rem 0 } svg { display: block }
.failed { border-left: .4rem solid #a33b00; padding: .5rem 1rem; background: #fbf1ec }
@media (max-width: 52rem) {
  thead { position: absolute; clip-path: inset(50%); height: 1px; overflow: hidden }
  tr { display: block; border-bottom: 2px solid #888; padding: .5rem 0 }
  td, td.nowrap, td.id, td.says { display: block; border: 0; padding: .1rem 0; white-space: normal;
                                   max-width: none }
  td::before { content: attr(data-label) ": "; font-weight: 600 }
}
</style></head><body><main>
<h1>CSI paper notebooks: what the papers claim, and what we measure</h1>
<p>{{ summary }}</p>
<p class="small">{{ made }}</p>
{% if rows %}
<table><caption>Scoreboard. In the bars: the band that our value must fall in (grey bar), our value (dot), and the
paper's number where there is one (tick).</caption>
<thead><tr>{% for name in columns %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead><tbody>
{% for row in rows %}<tr>{% for name, cell in row %}
<td data-label="{{ name }}"
 class="{{ {'claim': 'id', 'what it says': 'says', 'ours': 'nowrap'}.get(name, '') }}">{{ cell }}</td>
{%- endfor %}</tr>
{% endfor %}</tbody></table>
{% else %}<p>No claim was recorded.</p>{% endif %}
{% for nb in notebooks %}
<section id="{{ nb.stem }}"><h2>{{ nb.title }}</h2>
{% if nb.error %}<div class="failed"><strong>✗ This notebook failed.</strong> {{ nb.error }}</div>{% endif %}
{% if nb.image %}<figure><img src="{{ nb.image }}" alt="{{ nb.alt }}">
<figcaption class="small">{{ nb.alt }}</figcaption></figure>{% endif %}
<p>{% if nb.page %}<a href="{{ nb.page }}">Read the executed notebook {{ nb.stem }}</a> · {% endif %}
{{ nb.seconds }} s</p></section>
{% endfor %}
<h2>How this was made</h2><p class="small">{{ environment }}</p>
</main></body></html>
"""


def write(results, out=None):
    """Write the report of a folder of results (JSON and executed notebooks). Returns the path of index.html.

    results: what `csi-papers run --out` wrote. out: a folder (default build/report). Raises
    FileNotFoundError when there is no result in it.
    """
    import jinja2
    results, out = Path(results), Path(out or ROOT / "build" / "report")
    runs = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(results.glob("*.json"))]
    if not runs:
        raise FileNotFoundError(f"results: none in {results.name}/, expected what `csi-papers run` writes")
    out.mkdir(parents=True, exist_ok=True)
    notebooks = [_notebook(run, results, out) for run in runs]
    rows = [_row(run, record) for run in runs for record in run["claims"]]
    failed = sum(run["status"] != "ok" for run in runs)
    template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(_INDEX)
    page = template.render(
        summary=f"{len(runs) - failed} of {len(runs)} notebooks ran and kept their bands"
                + (f"; {failed} failed." if failed else "."),
        made=_made(runs), columns=[name for name, _ in rows[0]] if rows else [], rows=rows, notebooks=notebooks,
        environment=_environment(runs[-1]["environment"]))
    write_text(out / "index.html", page)
    return out / "index.html"


def _made(runs):
    said = []
    for key in ("profile", "source", "seed"):
        said.append(f"{key} {', '.join(str(v) for v in dict.fromkeys(run[key] for run in runs))}")
    real = dict.fromkeys(name for run in runs for name in run["environment"]["inputs"]["real_data"])
    dates = sorted(run["environment"]["date"] for run in runs)
    return (f"{'; '.join(said)}; real data: {', '.join(real) or 'none'}; {dates[-1]}; "
            f"{sum(run['seconds'] for run in runs):.0f} s in all.")


def _environment(environment):
    versions = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    commit = f"commit {environment['commit'][:12]}" if environment["commit"] else "no commit"
    machine = f"{environment['platform']}, {environment['cpus']} cores"
    return f"Python {environment['python']} on {machine}; {versions}; {commit}."


def _row(run, record):
    from markupsafe import Markup
    data = ", ".join(filter(None, [record["dataset"], record["protocol"], record["reason"]]))
    claim = Markup('<a href="#{}">{}</a>').format(run["notebook"], record["id"])
    what = record["says"] + (f": {record['what']}" if record["what"] else "")
    what += f" (holds if {record['holds']})" if record["holds"] else ""
    return [("claim", claim), ("what it says", what), ("paper", scoreboard.paper_text(record)),
            ("ours", scoreboard.ours_text(record)), ("controls", scoreboard.controls_text(record)),
            ("band", Markup(picture(record))),
            ("verdict", scoreboard.verdict_text(record)), ("data and protocol", data),
            ("seconds", f"{run['seconds']:.0f}")]


def picture(record, width=180, height=30):
    """A record's band, value and paper's number as inline SVG with a text alternative; a dash without a value."""
    value, band, paper = record["value"], record["band"], record["paper_value"]
    if value is None:
        return "–"
    shown = [x for x in (value, paper, *(band or [])) if x is not None]
    span = max(shown) - min(shown) or abs(value) or 1.0
    low, high = min(shown) - 0.1 * span, max(shown) + 0.1 * span

    def x(number):
        return 6 + (number - low) / (high - low) * (width - 12)

    text = f"ours {scoreboard.number(value, record['unit'])}, band {scoreboard.band_text(record)}"
    middle, marks = height / 2, f'<line x1="6" x2="{width - 6}" y1="{height / 2}" y2="{height / 2}" stroke="#999"/>'
    if band:
        marks += (f'<rect x="{x(band[0]):.1f}" y="{middle - 6}" width="{max(1.5, x(band[1]) - x(band[0])):.1f}" '
                  'height="12" fill="#c9c9c9" stroke="#666"/>')
    if paper is not None:
        text += f", the paper's {scoreboard.number(paper, record['unit'])}"
        marks += (f'<line x1="{x(paper):.1f}" x2="{x(paper):.1f}" y1="2" y2="{height - 2}" stroke="#a33b00" '
                  'stroke-width="3"/>')
    marks += f'<circle cx="{x(value):.1f}" cy="{middle}" r="5" fill="#0b4f8a" stroke="#fff"/>'
    return (f'<svg role="img" aria-label="{html.escape(text)}" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}"><title>{html.escape(text)}</title>{marks}</svg>'
            f'<small>{html.escape(scoreboard.band_text(record))}</small>')


def _notebook(run, results, out):
    stem = run["notebook"]
    shown = {"stem": stem, "title": stem, "seconds": f"{run['seconds']:.1f}",
             "error": run["status"].removeprefix("failed: ") if run["status"] != "ok" else ""}
    file = results / f"{stem}.ipynb"
    if not file.is_file():
        return shown
    import nbformat
    nb = nbformat.read(file, as_version=4)
    headings = (line[2:] for cell in nb.cells if cell.cell_type == "markdown" for line in cell.source.splitlines()
                if line.startswith("# "))
    shown["title"] = next(headings, stem)
    nb.metadata["title"] = shown["title"]
    write_text(out / f"{stem}.html", page(nb))
    shown["page"] = f"{stem}.html"
    return shown | _figure(nb, shown["title"])


def _figure(nb, title):
    if found := main_figure(nb):
        kind, picture, alt = found
        return {"image": data_uri(kind, picture), "alt": alt or f"A figure of {title}"}
    return {}


def main_figure(nb):
    """(type, content, text) of the picture of the cell tagged main-figure, else of the first one; None without any."""
    cells = sorted((c for c in nb.cells if c.cell_type == "code"),
                   key=lambda c: "main-figure" not in c.metadata.get("tags", []))
    for output in (output for cell in cells for output in cell.outputs):
        for kind in IMAGES:
            if picture := output.get("data", {}).get(kind):
                return kind, picture, output.metadata.get(kind, {}).get("alt") or output.metadata.get("alt") or ""
    return None


def data_uri(kind, picture):
    """A picture of a notebook's output as a URI that needs no file."""
    from base64 import b64encode
    text = b64encode(picture.encode()).decode() if kind.endswith("xml") else "".join(picture.split())
    return f"data:{kind};base64,{text}"


def page(nb):
    """An executed notebook as one HTML page that needs no network: formulas are MathML, drawn by the browser.

    Without the package latex2mathml, and where it cannot read a formula, the formula's TeX is shown.
    """
    from jinja2 import pass_context
    from nbconvert import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def inline_math(self, body):
            return _mathml(body, "inline")

        def block_math(self, body):
            return _mathml(body, "block")

        def latex_environment(self, name, body):
            return _mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", "block")

    class Exporter(HTMLExporter):
        @pass_context
        def markdown2html(self, context, source):
            attachments = context.get("cell", {}).get("attachments", {})
            renderer = Renderer(escape=False, attachments=attachments, anchor_link_text="")
            return MarkdownWithMath(renderer=renderer).render(source)

    exporter = Exporter()
    exporter.raw_template = _PAGE
    return exporter.from_notebook_node(nb)[0]


def _mathml(tex, display):
    try:
        from latex2mathml.converter import convert
        return convert(re.sub(r"\\tag\s*\{(.*?)\}", r"\\qquad(\1)", tex), display=display)
    except Exception:  # not installed, or one of its many errors for TeX that it does not know
        tag = "code" if display == "inline" else "pre"
        return f"<{tag}>{html.escape(tex.strip())}</{tag}>"


def command(args):
    """`csi-papers report`, from parsed arguments. Returns the exit status."""
    try:
        print(f"report: {write(args.results, args.out)}")
    except FileNotFoundError as err:
        print(err, file=sys.stderr)
        return 1
    return 0
