"""What a measured value means: its band, its verdict, and the words and tables in which both are shown.

One definition for notebook, terminal, report and README: `judge` takes a mean and the half width of its interval, of
one run's repeats or of the recorded seeds.
"""

import html
import math
import statistics
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from .evaluation import interval

EVIDENCE = {
    "paper": "",
    "notes": "from the reading notes",
    "secondary": "according to a secondary source",
    "unverified": "not verified",
}
SYMBOLS = {
    "reproduced": "★", "holds here": "✓", "does not hold here": "✗", "undecided": "?",
    "not tested at this budget": "◌", "not testable": "–", "not run": "○",
}
K = 4.0  # half width of a band in standard deviations
MIN_SEEDS = 10


class BandError(ValueError):
    """A band cannot be had from these values; the message says what came and what was expected."""


def satisfies(value, criterion):
    """Does value meet a criterion like "<= 1.39", ">= 97" or "0.9..1.1"? ValueError if it cannot be read."""
    try:
        if ".." in criterion:
            low, high = map(float, criterion.split("..", 1))
            return low <= value <= high
        bound = float(criterion[2:])
        if criterion[:2] in ("<=", ">="):
            return value <= bound if criterion[:2] == "<=" else value >= bound
    except ValueError:
        pass
    raise ValueError(f"holds is {criterion!r}, expected \"<= NUMBER\", \">= NUMBER\" or \"LOW..HIGH\"")


def judge(value, half_width, measure):
    """The verdict on a value by the criterion of its measure; half_width: of its 95 % interval, None without one.

    A verdict that changes within the interval is "undecided".
    """
    ends = {satisfies(value + side * (half_width or 0.0), measure["holds"]) for side in (-1, 0, 1)}
    if len(ends) > 1:
        return "undecided"
    if not ends.pop():
        return "does not hold here"
    return "reproduced" if measure["same_data"] else "holds here"


def pooled(measure, profile):
    """(mean, half width, verdict) over the recorded seeds of a profile, or None where there are none.

    Where a measure says what its interval is `over` (persons, rounds: units that a seed does not draw anew), more seeds
    do not narrow it: the half width is then that of a run, on average.
    """
    recorded = measure["recorded"].get(profile)
    if recorded is None:
        return None
    mean, half_width = statistics.fmean(recorded["values"]), float(interval(recorded["values"]))
    if "over" in measure:
        half_width = max(half_width, statistics.fmean(recorded["intervals"]))
    return mean, half_width, judge(mean, half_width, measure)


def met_by_trivial(value, measure):
    """Does the trivial answer meet the criterion of a measure too? False where the criterion asks for a bad value."""
    asks = {"<=": "lower", ">=": "higher"}.get(measure["holds"][:2], measure["better"])  # a range asks for neither
    return value is not None and asks == measure["better"] and satisfies(value, measure["holds"])


def band(measure, recorded):
    """The band of a measure from its recorded seeds: a dict with low, high and power.

    Mean ± K standard deviations over the seeds, rounded outward to four digits, inside of what is `possible`, and no
    wider towards the controls than half-way from the mean to the best control of any seed. power: the band keeps
    every control out, and `absence` (the value that the method's absence gives) too; False where neither is declared.

    Raises BandError for fewer than two values, values that are not finite, or controls that are not beaten by a
    measure that does not say `may_fail_controls`.
    """
    values = recorded["values"]
    rivals = [v for series in recorded.get("controls", {}).values() for v in series]
    if len(values) < 2 or not all(map(math.isfinite, [*values, *rivals])):
        raise BandError(f"values: got {values} and controls {rivals}, expected at least two finite numbers")
    mean, lower = statistics.fmean(values), measure["better"] == "lower"
    half = max(K * statistics.stdev(values), 1e-9 * abs(mean))  # a value without spread keeps room for rounding
    low, high = _round(mean - half, up=False), _round(mean + half, up=True)
    power = False
    if rivals:
        best = min(rivals) if lower else max(rivals)
        floor = _round((mean + best) / 2, up=not lower)
        power = max(values) <= floor < best if lower else min(values) >= floor > best
        if power:
            low, high = (low, min(high, floor)) if lower else (max(low, floor), high)
        elif "may_fail_controls" not in measure:
            worst = max(values) if lower else min(values)
            raise BandError(f"mean {mean:.4g} and worst seed {worst:.4g} do not beat the best control {best:.4g} by "
                            "a margin; if that is the finding, declare may_fail_controls = \"reason\"")
    least, most = measure.get("possible", (-math.inf, math.inf))
    low, high = max(low, least), min(high, most)
    if "absence" in measure:
        power = (power or not rivals) and not low <= measure["absence"] <= high
    return {"low": low, "high": high, "power": power}


def _round(value, up, digits=4):
    exact = Decimal(repr(value))
    quantum = Decimal(1).scaleb(exact.adjusted() - digits + 1)
    return float(exact.quantize(quantum, rounding=ROUND_CEILING if up else ROUND_FLOOR))


def keeps_out(found, better, control):
    """Does a band keep this control value out, on its worse side?"""
    return control > found["high"] if better == "lower" else control < found["low"]


def number(value, unit):
    """A number with its unit, or an en dash: "1.22 m"."""
    return "–" if value is None else f"{value:.4g} {unit or ''}".strip()


def ours_text(row):
    """Our value with its interval, or an en dash: "1.23 ± 0.08 m"."""
    if row.get("interval") is None:
        return number(row["value"], row["unit"])
    digits = max(0, 1 - math.floor(math.log10(row["interval"]))) if row["interval"] > 1e-9 else 2
    return f"{row['value']:.{digits}f} ± {row['interval']:.{digits}f} {row['unit']}".strip()


def band_text(row):
    """ "1.1 to 1.4 m", "no band yet", or an en dash for a row without a value of ours."""
    if row["value"] is None or row["band"] is None:
        return "–" if row["value"] is None else "no band yet"
    return f"{row['band'][0]:.4g} to {number(row['band'][1], row['unit'])}"


def check_text(row):
    """The band, and whether it is a check: a band that would let a control through is only reported."""
    return band_text(row) + ("" if row["power"] or row["band"] is None else " (no check)")


def paper_text(row):
    """The paper's number with its evidence in words, as the rules of the paper cards ask."""
    if row["paper_value"] is None:
        return "–"
    words = ", ".join(filter(None, [EVIDENCE[row["evidence"]], row["where"]]))
    return f"{number(row['paper_value'], row['unit'])} ({words})"


def verdict_text(row):
    """A symbol and a word, never a colour alone; a remark where the trivial answer meets the criterion too, and the
    verdict over the recorded seeds where it is another one."""
    remark = ", and so does the trivial answer" if row.get("trivial_holds") and row["verdict"] == "holds here" else ""
    if row.get("pooled") not in (None, row["verdict"]):
        remark += f" (over the recorded seeds: {SYMBOLS[row['pooled']]} {row['pooled']})"
    return f"{SYMBOLS[row['verdict']]} {row['verdict']}{remark}"


def cells(row):
    """One record as (column, text) pairs: of a paper's claim, or of what we add."""
    controls = ", ".join(f"{name} {number(value, row['unit'])}" for name, value in row["controls"].items())
    ours = [("we measure", (row["what"] or "–") + (f" (holds if {row['holds']})" if row["holds"] else "")),
            ("ours", ours_text(row)), ("controls", controls or "–"), ("band", check_text(row)),
            ("verdict", verdict_text(row)),
            ("data and protocol", ", ".join(filter(None, [row["dataset"], row["protocol"], row["reason"]])))]
    if row["kind"] == "addition":
        return [("row", row["id"]), ("our question", row["says"]), *ours]
    evidence = EVIDENCE[row["evidence"]] if row["paper_value"] is None else ""  # else it stands beside the number
    said = row["says"] + (f" ({evidence})" if evidence else "")
    return [("row", row["id"]), ("the paper says", said), ("its number", paper_text(row)), *ours]


def html_tables(title, records):
    """The ledger as two HTML tables, the paper's claims and what we add, with captions for screen readers."""
    tables = ""
    for kind, caption in (("claim", f"The paper's claims. {title}"), ("addition", "What we add")):
        if rows := [cells(row) for row in records if row["kind"] == kind]:
            tables += html_table(rows, f"<caption>{html.escape(caption)}</caption>", ' style="text-align:left"')
    return tables  # to the left, for notebook pages align tables to the right


def html_table(rows, caption="", style=""):
    """Rows of (column, text) pairs as an HTML table. caption: HTML. style: an attribute of every cell."""
    head = "".join(f'<th scope="col"{style}>{name}</th>' for name, _ in rows[0])
    lines = ["".join(f"<td{style}>{html.escape(text)}</td>" for _, text in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def text_table(records):
    """The same for a terminal, without the long columns."""
    rows = [(r["id"], number(r["paper_value"], r["unit"]), ours_text(r), check_text(r), r["dataset"] or "–",
             verdict_text(r)) for r in records]
    return in_columns([("row", "paper", "ours", "band", "data", "verdict"), *rows])


def in_columns(rows):
    """Rows of texts as lines, each column as wide as its longest text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
