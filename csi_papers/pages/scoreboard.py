"""The pages that follow from notebooks and recorded seeds: README's row for each paper, and docs/scoreboard.md.

A verdict here is that of the recorded seeds at the standard profile, by the same rule as in a notebook
(`csi_utils.verdicts.judge`).
"""

import re
import statistics

from csi_papers.pages import contents
from csi_papers.pages.report import KINDS, columns, counted, said_once
from csi_papers.run import notebook, record
from csi_utils import ROOT, claims, verdicts

PROFILE = "standard"
NAMES = (  # English, Chinese
    {"claim": "Claim", "time": "Time", "minutes": "min", "deeper": "deeper: ", "discuss": "discuss",
     "head": ("notebook", "the paper's claim", "its claims here", "what we add", "to read", "to run")},
    {"claim": "论断", "time": "用时", "minutes": "分钟", "deeper": "深入：", "discuss": "讨论",
     "head": ("notebook", "论文的论断", "论断的判定", "我们补充的", "阅读", "运行")},
)


def records(ledger):
    """The rows of a notebook's ledger over its recorded seeds, in the form of a run's records.

    ledger: from `claims.load`. A row of another profile is left out, unless its claim has no other row.
    """
    rows, kept = [], record.load(ledger["notebook"]) or {"values": {}}
    for cid, claim in ledger["claims"].items():
        own = {mid: measure for mid, measure in ledger["measures"].items() if claims.claim_of(mid) == cid}
        meant = {mid: m for mid, m in own.items() if PROFILE in m["profiles"] or "not_tested" in m}
        for mid, measure in (meant or own).items():
            row = claims.row(mid, claim, measure, **_found(measure))
            if row["value"] is None and mid in kept["values"]:
                once = {"interval": None, "controls": {}} | kept["values"][mid]
                row |= once | {"reason": f"one run of the profile {kept['profile']}, {kept['date']}"}
            rows.append(row)
        if "not_testable" in claim:
            rows.append(claims.row(cid, claim, {}, verdict="not testable", reason=claim["not_testable"]))
    return rows


def _found(measure):
    if over_seeds := verdicts.pooled(measure, PROFILE):
        band, controls = measure["bands"][PROFILE], measure["recorded"][PROFILE]["controls"]
        controls = {name: statistics.fmean(values) for name, values in controls.items()}
        return {**dict(zip(("value", "interval", "verdict"), over_seeds, strict=True)), "controls": controls,
                "band": [band["low"], band["high"]], "power": band["power"],
                "trivial_holds": verdicts.met_by_trivial(controls.get("trivial"), measure)}
    if PROFILE not in measure["profiles"]:
        return claims.unmeasured(measure)
    return {"verdict": "not run", "reason": "no seeds are recorded"}


def scoreboard():
    """docs/scoreboard.md as Markdown: two tables a notebook, what the paper claims and what we add."""
    legend = ", ".join(f"{symbol} {verdict}" for verdict, symbol in verdicts.SYMBOLS.items())
    parts = [contents.render("scoreboard.md.j2", profile=PROFILE, legend=legend)]
    in_order = sorted(claims.load_all().items(), key=lambda item: (item[0][:2], contents.place(item[0])))
    for stem, ledger in in_order:
        parts.append(f"## {stem}\n\n[{ledger['title']}](../{contents.place(stem)}.ipynb)\n")
        rows = records(ledger)
        for kind, caption in KINDS.items():
            table = [{name: _plain(text) + (f"<br>{_plain(under)}" if under else "")
                      for name, text, under in columns(row)} for row in rows if row["kind"] == kind]
            if table:
                cells = [row.values() for row in said_once(table)]
                parts.append(f"### {caption}\n\n{contents.table(table[0], cells)}")
    return "\n".join(parts)


def _plain(text):
    """Text that no Markdown takes for a mark of its own."""
    return re.sub(r"([|$*<\\])", r"\\\1", text)


def papers(language):
    """README's table, a row for each paper of notebooks/. language: 0 English, 1 Chinese, by its discussion page."""
    folder, names, rows = ROOT / "notebooks", NAMES[language], []
    for path in sorted(folder.glob("*.ipynb")):
        nb, found = notebook.read(path), records(claims.load(path.stem))
        card = contents.card(contents.card_cell(nb).source)
        page = ROOT / "docs" / "papers" / f"{path.stem}.{('md', 'zh.md')[language]}"
        if language == 1:
            card = contents.card(page.read_text(encoding="utf-8"))
        name = f"[{contents.short_title(nb)}](notebooks/{path.name}) · [{names['discuss']}](docs/papers/{page.name})"
        for deeper in sorted((folder / "deeper").glob(f"{path.name[:2]}*.ipynb")):
            more = notebook.read(deeper)
            about = contents.short_title(more).split(" · ")[-1]
            name += (f"<br>{names['deeper']}[{about}](notebooks/deeper/{deeper.name}), "
                     f"{notebook.reading_minutes(more):.0f} {names['minutes']}")
        counts = [counted(row["verdict"] for row in found if row["kind"] == kind) for kind in KINDS]
        rows.append([name, contents.first_sentence(card[names["claim"]]),
                     f"[{counts[0]}](docs/scoreboard.md#{path.stem})", counts[1],
                     f"{notebook.reading_minutes(nb):.0f} {names['minutes']}", runs_in(card.get(names["time"], ""))])
    return contents.table(names["head"], rows)


def runs_in(time):
    """How long a notebook runs at the standard profile, in the words of its card's row on time; an en dash without."""
    found = re.search(r"([^,()、，。（）]*)[(（][^()（）]*`standard`", time)
    return re.split(r"\bin\b|\bor\b", found[1])[-1].strip() if found else "–"
