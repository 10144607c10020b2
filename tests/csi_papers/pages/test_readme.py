"""The README tells the truth: its files, commands and anchors exist; its rows and the scoreboard follow from data.

That the tables are up to date is asked in test_docs.
"""

import re

import pytest

from csi_papers import __main__
from csi_papers.pages import contents, scoreboard
from csi_utils import ROOT, claims, verdicts

READMES = ("README.md", "README.zh.md")


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", READMES)
def test_it_is_short_and_has_a_row_for_each_paper(name):
    readme = text(name)
    assert len(readme.encode()) <= 12_000
    named = re.findall(r"^\| \[\d\d · .*?\]\(notebooks/(\d\d_\w+)\.ipynb\)", readme, re.M)
    assert named == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    deeper = {path.name for path in (ROOT / "notebooks" / "deeper").glob("*.ipynb")}
    assert set(re.findall(r"\(notebooks/deeper/(.*?)\)", readme)) == deeper


@pytest.mark.parametrize("name", [*READMES, "docs/scoreboard.md"])
def test_links_and_anchors_exist(name):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text(name)):
        path, _, anchor = target.partition("#")
        file = ((ROOT / name).parent / path).resolve()
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^##+ (.+)$", file.read_text(encoding="utf-8"), re.M)
            assert anchor in [heading.lower().replace(" ", "-") for heading in headings], target


def test_one_time_is_named_for_make_run():
    """In README, in the guide that asks for it, and in the error of a command that needs it."""
    for name in (*READMES, "docs/reading-group.md", "docs/reading-group.zh.md", "csi_papers/pages/contents.py"):
        about = [line for line in text(name).splitlines() if re.search(r"make run\b.*(minutes|分钟)", line)]
        assert about and re.search(r"\b25 (minutes|分钟)", about[0]), name


@pytest.mark.parametrize("name", READMES)
def test_make_targets_and_commands_exist(name):
    makefile, readme = text("Makefile"), text(name)
    for target in re.findall(r"(?:^ +|`)make (\w+)", readme, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
    commands = set(re.findall(r"csi-papers (\w+)", readme))
    assert {"run", "docs", "new"} <= commands
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            __main__.main([command, "--help"])
        assert ended.value.code == 0, command


def test_the_first_sentence_is_found_in_both_languages():
    for text, first in {
        "Located to 1.22 m, Fig. 3 says. Then more.": "Located to 1.22 m, Fig. 3 says.",
        "It draws \"good samples\". The rest.": "It draws \"good samples\".",
        "No full stop": "No full stop",
        "误差是 1.22 m。还有更多。": "误差是 1.22 m。",
    }.items():
        assert contents.first_sentence(text) == first


@pytest.mark.parametrize(("time", "says"), [
    ("An hour. It runs in about 20 s (`smoke`), 1.5 minutes (`standard`), 6 (`full`) on two cores.", "1.5 minutes"),
    ("It runs in 20 s (`smoke`), a minute (`standard`) or four (`full`).", "a minute"),
    ("On two cores it runs in about 5 s (`smoke`, `standard`, `full`).", "about 5 s"),
    ("双核运行约 20 秒（`smoke`）、一到两分钟（`standard`）、一小时（`full`）。", "一到两分钟"),
    ("An hour.", "–"),
])
def test_the_time_at_standard_is_read_from_the_card(time, says):
    assert scoreboard.runs_in(time) == says


LEDGER = """
title = "Made up"
[claims.C1]
says = "It works | a little"
value = 2
unit = "m"
where = "p. 3"
evidence = "paper"
[claims.C2]
says = "It works at scale"
evidence = "paper"
[claims.C3]
says = "It works on the moon"
evidence = "paper"
not_testable = "a moon"
[additions.O1]
asks = "Does it last?"
""" + "".join(f"""
[measures."{name}"]
dataset = "sim"
what = "error"
unit = "m"
better = "lower"
holds = "<= 2"
{more}
""" for name, more in {
    "C1.standard": 'controls = ["trivial"]', "C1.smoke-only": 'profiles = ["smoke"]',
    "C2": 'profiles = ["full"]\nnot_tested = "300 epochs"', "O1": 'profiles = ["full"]'}.items())
BANDS = """
[standard."C1.standard"]
seeds = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
values = [1.0, 1.1, 1.0, 1.1, 1.0, 1.1, 1.0, 1.1, 1.0, 1.1]
controls = { trivial = [3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 4.0] }
"""


@pytest.fixture
def ledger(tmp_path):
    for kind, content in (("claims", LEDGER), ("bands", BANDS)):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "99_made_up.toml").write_text(content, encoding="utf-8")
    return claims.load("99_made_up", tmp_path)


def test_a_row_of_the_scoreboard_is_that_of_the_recorded_seeds(ledger):
    rows = {row["id"]: row for row in scoreboard.records(ledger)}
    verdict = {name: row["verdict"] for name, row in rows.items()}
    assert verdict == {"C1.standard": "holds here", "C2": "not tested at this budget", "C3": "not testable",
                       "O1": "not run"}  # a measure of another profile alone is left out, unless there is no other
    first = rows["C1.standard"]
    mean, interval, pooled = verdicts.pooled(ledger["measures"]["C1.standard"], "standard")
    assert (first["value"], first["interval"], first["verdict"]) == (mean, interval, pooled)
    assert first["controls"] == {"trivial": 3.1} and first["band"][0] <= 1.05 <= first["band"][1] and first["power"]
    assert rows["O1"]["reason"] == "measured in profile full only" and rows["O1"]["kind"] == "addition"


def test_a_row_of_full_alone_shows_the_kept_run(ledger, monkeypatch):
    kept = {"profile": "full", "date": "2026-11-28", "values": {
        mid: {"value": 0.9, "interval": 0.1, "verdict": "holds here"} for mid in ("C1.standard", "O1")}}
    monkeypatch.setattr(scoreboard.record, "load", lambda stem: kept)
    rows = {row["id"]: row for row in scoreboard.records(ledger)}
    assert (rows["O1"]["value"], rows["O1"]["verdict"]) == (0.9, "holds here")
    assert rows["O1"]["reason"] == "one run of the profile full, 2026-11-28"
    assert rows["C1.standard"]["value"] != 0.9  # recorded seeds come first


def test_the_scoreboard_shows_claims_and_additions_apart(ledger, monkeypatch):
    monkeypatch.setattr(claims, "load_all", lambda: {"99_made_up": ledger})
    page = scoreboard.scoreboard()
    paper, ours = page.split("### The paper's claims")[1].split("### What we add")
    assert "It works \\| a little | 2 m (p. 3)" in paper and "trivial 3.1 m" in paper
    assert re.search(r"1\.05\d* ± ", paper)
    assert "Does it last?" in ours and "Does it last?" not in paper and "the paper says" not in ours
    for line in page.splitlines():
        assert not line.startswith("|") or len(re.findall(r"(?<!\\)\|", line)) in (6, 7), line
