"""The words and tables in which a claim's record is shown: notebook, terminal and report say the same."""

import html
from collections import Counter

EVIDENCE = {
    "paper": "",
    "notes": "from the reading notes",
    "secondary": "according to a secondary source",
    "unverified": "not verified",
    "own": "our own statement",
}
SYMBOLS = {
    "reproduced": "★", "holds here": "✓", "does not hold here": "✗", "undecided": "?", "not testable": "–",
    "not run": "○",
}


def number(value, unit):
    """A number with its unit, or an en dash: "1.22 m"."""
    return "–" if value is None else f"{value:.4g} {unit or ''}".strip()


def ours_text(row):
    """Our value with its interval, or an en dash: "1.23 ± 0.08 m"."""
    if row.get("interval") is None:
        return number(row["value"], row["unit"])
    return f"{row['value']:.4g} ± {row['interval']:.2g} {row['unit']}"


def controls_text(row):
    """What the controls reached: "trivial 1.37 m, shuffled 1.53 m", or an en dash."""
    return ", ".join(f"{name} {number(value, row['unit'])}" for name, value in row["controls"].items()) or "–"


def band_text(row):
    """ "1.1 to 1.4 m", "no band yet", or an en dash for a row without a value of ours."""
    if row["value"] is None:
        return "–"
    if row["band"] is None:
        return "no band yet"
    return f"{row['band'][0]:.4g} to {number(row['band'][1], row['unit'])}"


def paper_text(row):
    """The paper's number with its evidence in words, as the rules of the paper cards ask."""
    if row["paper_value"] is None:
        return "–"
    words = ", ".join(filter(None, [EVIDENCE[row["evidence"]], row["where"]]))
    return f"{number(row['paper_value'], row['unit'])} ({words})"


def verdict_text(row):
    """A symbol and a word, never a colour alone; and a remark where the trivial answer meets the criterion too."""
    remark = ", and so does the trivial answer" if row.get("trivial_holds") and row["verdict"] == "holds here" else ""
    return f"{SYMBOLS[row['verdict']]} {row['verdict']}{remark}"


COLUMNS = ("claim", "what", "paper", "ours", "controls", "band", "data and protocol", "verdict")


def cells(row):
    """One record as the strings of a table row, in the order of COLUMNS."""
    data = ", ".join(filter(None, [row["dataset"], row["protocol"], row["reason"]]))
    criterion = f" (holds if {row['holds']})" if row["holds"] else ""
    return (row["id"], (row["what"] or row["says"]) + criterion, paper_text(row), ours_text(row), controls_text(row),
            band_text(row), data, verdict_text(row))


def html_table(title, records):
    """The ledger's table as HTML; header cells and a caption for screen readers."""
    left = ' style="text-align:left"'  # notebook pages align tables to the right
    head = "".join(f'<th scope="col"{left}>{c}</th>' for c in COLUMNS)
    body = ""
    for row in records:
        body += "<tr>" + "".join(f"<td{left}>{html.escape(c)}</td>" for c in cells(row)) + "</tr>"
    return (f"<table><caption>{html.escape(title)}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>")


def text_table(records):
    """The same for a terminal, without the long columns."""
    rows = [("claim", "paper", "ours", "band", "data", "verdict")]
    rows += [(r["id"], number(r["paper_value"], r["unit"]), ours_text(r), band_text(r),
              r["dataset"] or "–", verdict_text(r)) for r in records]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def markdown_table(ledgers, profile):
    """The scoreboard of README.md, from claims.toml alone: a folded table a notebook, one row a measure with a band."""
    parts = []
    for ledger in sorted(ledgers.values(), key=lambda ledger: ledger["notebook"]):
        rows = [row for mid, measure in ledger["measures"].items()
                if (row := _markdown_row(ledger, mid, measure, profile))]
        if not rows:
            continue
        count = Counter(verdict for _, verdict in rows)
        summary = ", ".join(f"{SYMBOLS[verdict]} {count[verdict]}" for verdict in SYMBOLS if count[verdict])
        head = ("| claim | paper says | we measure | ours (band) | data | verdict |", "|---|---|---|---|---|---|")
        parts.append("\n".join([f"<details><summary><code>{ledger['notebook']}</code>: {ledger['title']}: {summary}"
                                "</summary>", "", *head, *(text for text, _ in rows), "", "</details>"]))
    return "\n\n".join(parts)


def _markdown_row(ledger, mid, measure, profile):
    """(table row, verdict), or None without a band."""
    from .claims import claim_of, judge, met_by_trivial

    claim, band = ledger["claims"][claim_of(mid)], measure["bands"].get(profile)
    if band is None:
        return None
    source = f" ({EVIDENCE[claim['evidence']]})" if EVIDENCE[claim["evidence"]] else ""
    paper = f": {number(claim['value'], claim['unit'])}{source}" if "value" in claim else ""
    spread = 2.26 * band["sd"] / len(band["values"]) ** 0.5  # 95 % interval of the mean over ten seeds
    trivial = band["controls"].get("trivial", [])
    row = {"verdict": judge(band["mean"], measure, spread),
           "trivial_holds": met_by_trivial(sum(trivial) / len(trivial) if trivial else None, measure)}
    ours = f"{number(band['mean'], measure['unit'])} ({band['low']:.3g} to {band['high']:.3g})"
    return (f"| {mid} | {claim['says']}{paper} | {measure['what']} | {ours} | {measure['dataset']} | "
            f"{verdict_text(row)} |", row["verdict"])
