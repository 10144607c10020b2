"""The ledger: what is refused, what is recorded, and what close() says."""

import json
import math

import numpy as np
import pytest

from csi_utils import claims, verdicts
from csi_utils.trials import Estimate

CLAIMS = """\
title = "A tiny <paper>"

[claims.C1]
says = "Error"
value = 1.22
unit = "m"
where = "abstract"
evidence = "paper"

[claims.C2]
says = "Cannot be measured"
evidence = "notes"
not_testable = "the authors' rooms"

[additions.O1]
asks = "Does it survive a night?"

[measures."C1.error"]
dataset = "sim-lab"
what = "mean error"
unit = "m"
better = "lower"
holds = "<= 1.39"
controls = ["trivial", "shuffled"]

[measures."C1.real"]
dataset = "loc-csu"
what = "mean error on the paper's data"
unit = "m"
better = "lower"
holds = "<= 1.39"
same_data = true
needs = "loc-csu"
profiles = ["smoke", "standard"]

[measures."O1.night"]
dataset = "sim-lab"
what = "what a night costs"
unit = "m"
better = "lower"
holds = "<= 1"
profiles = ["full"]
not_tested = "one epoch is no training"
"""
VALUES = [1.30, 1.32, 1.28, 1.31, 1.29, 1.33, 1.27, 1.30, 1.31, 1.29]  # band 1.226 to 1.374


def bands(profile="smoke", **change):
    """A bands file with the two measures of a profile; change: other values of C1.error."""
    error = {"date": "2026-11-28", "seeds": list(range(10)), "values": VALUES, "trivial": [3.1] * 10,
             "shuffled": [3.0] * 10} | change
    series = ", ".join(f"{name} = {error[name]}" for name in ("trivial", "shuffled") if error[name])
    return (f'[{profile}."C1.error"]\ndate = "{error["date"]}"\nseeds = {error["seeds"]}\nvalues = {error["values"]}\n'
            f'controls = {{ {series} }}\n[{profile}."C1.real"]\nseeds = {list(range(10))}\nvalues = {VALUES}\n')


GOOD = dict(dataset="sim-lab", protocol="grid, then day 2", trivial=3.1, shuffled=3.0)


@pytest.fixture
def opened(tmp_path):
    """opened(text, bands, profile): the ledger of such files."""
    def open_ledger(text=CLAIMS, recorded=None, profile="smoke"):
        for kind, content in (("claims", text), ("bands", bands() if recorded is None else recorded)):
            (tmp_path / kind).mkdir(exist_ok=True)
            (tmp_path / kind / "99_tiny.toml").write_text(content, encoding="utf-8")
        return claims.open("tiny", profile=profile, seed=0, folder=tmp_path)
    return open_ledger


def test_verdicts_and_the_two_tables(opened, capsys):
    ledger = opened()
    ledger.record("C1.error", np.float64(1.3), **GOOD)
    ledger.record("C1.real", 1.25, dataset="loc-csu", protocol="as the paper")
    ledger.close()
    rows = ledger.records
    assert {id: row["verdict"] for id, row in rows.items()} == {
        "C1.error": "holds here", "C1.real": "reproduced", "C2": "not testable",
        "O1.night": "not tested at this budget"}
    assert rows["C1.error"]["band"] == [1.226, 1.374] and rows["C1.error"]["in_band"] and rows["C1.error"]["power"]
    assert not rows["C1.real"]["power"]  # it keeps nothing out, for it declares no control
    shown = capsys.readouterr().out
    assert "✓ holds here" in shown and "1.22 m" in shown and "(no check)" in shown
    papers, ours = verdicts.html_tables(ledger.title, list(rows.values())).split("</table>")[:2]
    assert "A tiny &lt;paper&gt;" in papers and "1.22 m (abstract)" in papers and "the paper says" in papers
    assert "a night" not in papers and "a night" in ours and "the paper says" not in ours and "our question" in ours


def test_a_row_of_another_profile_is_kept_and_shown_only_where_its_claim_has_no_other(opened, capsys):
    ledger = opened(CLAIMS.replace('not_tested = "one epoch is no training"\n', ""), bands("full"), "full")
    ledger.record("C1.error", 1.3, **GOOD)
    ledger.measuring = True  # O1.night has no band
    ledger.record("O1.night", 0.4, dataset="sim-lab", protocol="p")
    ledger.close()
    table = capsys.readouterr().out
    assert "C1.error" in table and "C1.real" not in table and ledger.records["C1.real"]["verdict"] == "not run"


def test_a_claim_that_does_not_hold_is_a_result(opened):
    values = [value + 0.15 for value in VALUES]
    ledger = opened(recorded=bands(values=values))
    ledger.record("C1.error", 1.45, **GOOD)
    ledger.not_run("C1.real", reason="no mirror")
    ledger.close()
    assert ledger.records["C1.error"]["verdict"] == "does not hold here"
    assert ledger.records["C1.real"]["verdict"] == "not run" and ledger.records["C1.real"]["reason"] == "no mirror"


def test_records_keep_every_bit(opened):
    ledger, value = opened(), np.float64(0.1) + np.float64(1.2)
    ledger.record("C1.error", value, **GOOD)
    kept = json.loads(json.dumps(ledger.records["C1.error"]))["value"]
    assert kept == float(value) and type(kept) is float


def test_an_estimate_brings_its_interval_and_a_control_may_be_one(opened):
    ledger, estimate = opened(), Estimate(np.array([1.2, 1.3, 1.4]))
    ledger.record("C1.error", estimate, **GOOD | {"trivial": Estimate(np.array([3.0, 3.2]))})
    row = ledger.records["C1.error"]
    assert row["value"] == pytest.approx(1.3) and row["interval"] == pytest.approx(estimate.half_width)
    assert row["controls"]["trivial"] == pytest.approx(3.1)
    assert row["verdict"] == "undecided" and row["pooled"] == "holds here"  # the recorded seeds are narrower


@pytest.mark.parametrize(("change", "message"), [
    (dict(value=math.nan), "value: got nan"),
    (dict(value=math.inf), "value: got inf"),
    (dict(value=np.ones(3)), r"value: got ndarray of shape \(3,\)"),
    (dict(value="1.3"), "value: got str"),
    (dict(value=True), "value: got bool"),
    (dict(value=1 + 2j), "value: got complex"),
    (dict(interval=math.nan), "interval: got nan"),
    (dict(id="C9"), "id: got 'C9', expected one of C1.error, C1.real"),
    (dict(id="O1.night"), "id: O1.night came in profile smoke, expected only in full"),
    (dict(dataset="sim-meeting"), "dataset: got 'sim-meeting' for C1.error, expected 'sim-lab'"),
    (dict(protocol=" "), "protocol: got ' '"),
    (dict(trivial=None), "trivial: got NoneType"),
    (dict(extra=1.0), "controls: got .*extra.*expected"),
])
def test_bad_records_are_refused(opened, change, message):
    given = {"id": "C1.error", "value": 1.3} | GOOD | change
    with pytest.raises(claims.ClaimsError, match=message):
        opened().record(given.pop("id"), given.pop("value"), **given)


def test_missing_control_double_record_and_late_record(opened):
    ledger = opened()
    with pytest.raises(claims.ClaimsError, match="controls: got .*trivial.* expected .*shuffled"):
        ledger.record("C1.error", 1.3, dataset="sim-lab", protocol="p", trivial=3.0)
    with pytest.raises(claims.ClaimsError, match="may not be left out"):
        ledger.not_run("C1.error", "no time")
    ledger.record("C1.error", 1.3, **GOOD)
    with pytest.raises(claims.ClaimsError, match="already recorded"):
        ledger.record("C1.error", 1.3, **GOOD)
    with pytest.raises(claims.ClaimsError, match="reason: got ' '"):
        ledger.not_run("C1.real", " ")
    ledger.not_run("C1.real", "absent")
    ledger.close()
    with pytest.raises(claims.ClaimsError, match="came after close"):
        ledger.record("C1.real", 1.0, dataset="loc-csu", protocol="p")


@pytest.mark.parametrize(("value", "trivial", "message"), [
    (1.6, 3.1, "C1.error: 1.6 m left its band 1.226 to 1.374 m"),
    (1.1, 3.1, "left its band"),
    (1.3, 1.3, "the control trivial, 1.3 m, is not kept out"),
    (1.3, 1.374, "the control trivial"),
])
def test_close_raises_out_of_band(opened, value, trivial, message):
    ledger = opened()
    ledger.record("C1.error", value, **GOOD | {"trivial": trivial})
    ledger.not_run("C1.real", "absent")
    with pytest.raises(claims.OutOfBand, match=message):
        ledger.close()
    assert ledger.closed


def test_close_names_each_missing_measure_and_band(opened, monkeypatch):
    with pytest.raises(claims.OutOfBand, match="C1.error: neither.*C1.real: neither"):
        opened().close()

    def without_bands(profile="smoke"):
        ledger = opened(recorded=bands("standard"), profile=profile)
        ledger.record("C1.error", 1.3, **GOOD)
        return ledger

    bare = without_bands()
    bare.not_run("C1.real", "absent")
    with pytest.raises(claims.OutOfBand, match="no band yet for profile smoke: C1.error"):
        bare.close()
    with pytest.raises(claims.OutOfBand) as caught:  # a full run is kept as a record and needs no band
        without_bands("full").close()
    assert "no band" not in str(caught.value) and "O1.night: neither" in str(caught.value)
    assert "C1.real" not in str(caught.value)
    monkeypatch.setenv("CSI_CLAIMS_MEASURE", "1")
    measuring = without_bands()
    measuring.not_run("C1.real", "absent")
    measuring.close()


def test_a_control_that_is_not_beaten_may_pass_where_that_is_the_finding(opened):
    text = CLAIMS.replace('controls = ["trivial", "shuffled"]',
                          'controls = ["trivial", "shuffled"]\nmay_fail_controls = "the trivial answer is as good"')
    ledger = opened(text, bands(trivial=[1.3] * 10))
    ledger.record("C1.error", 1.3, **GOOD | {"trivial": 1.3})
    ledger.not_run("C1.real", "absent")
    ledger.close()
    assert ledger.records["C1.error"]["power"] is False and ledger.records["C1.error"]["trivial_holds"]


@pytest.mark.parametrize(("old", "new", "message"), [
    ('title = "A tiny <paper>"', "", "99_tiny: title is None"),
    ('evidence = "paper"', 'evidence = "unverified"', "unverified.*never printed"),
    ('evidence = "paper"', 'evidence = "hearsay"', "evidence is 'hearsay', expected one of paper"),
    ('holds = "<= 1.39"', 'holds = "about 1"', "holds is 'about 1', expected"),
    ('better = "lower"', 'better = "less"', "better is 'less'"),
    ('unit = "m"\nwhere', 'where', "unit is None"),
    ('not_testable = "the authors\' rooms"', "", "C2: got neither"),
    ('[measures."C1.error"]', '[measures."C7.error"]', "no claim or addition 'C7'; expected one of C1, C2, O1"),
    ('asks = "Does it survive a night?"', 'says = "It survives"', r"additions.O1: asks is None"),
    ('[additions.O1]', '[additions.C1]', "additions.C1: there is a claim C1 too"),
    ('same_data = true', 'same_data = "yes"', "same_data is 'yes'"),
    ('profiles = ["smoke", "standard"]', 'profiles = ["fast"]', "profile is 'fast'"),
    ('needs = "loc-csu"', 'possible = [1, 0]', r"possible is \[1, 0\], expected \[lowest, highest\]"),
    ('needs = "loc-csu"', 'absence = "none"', "absence is 'none'"),
    ('[claims.C1]', '[claims.C1', "claims/99_tiny.toml: not valid TOML"),
])
def test_a_wrong_claims_file_is_refused(opened, old, new, message):
    assert old in CLAIMS
    with pytest.raises(claims.ClaimsError, match=message):
        opened(CLAIMS.replace(old, new, 1))


@pytest.mark.parametrize(("recorded", "message"), [
    (bands("fast"), "profile is 'fast'"),
    (bands().replace("C1.error", "C1.mistake"), "C1.mistake: no such measure; expected one of C1.error"),
    (bands(shuffled=None), r"controls are \['trivial'\], the measure declares \['shuffled', 'trivial'\]"),
    (bands(seeds=[*range(9), 0]), "got 9 seeds .* expected 10"),
    (bands(values=VALUES[:9]), "expected 10 seeds or more and one value for each"),
    (bands().replace("controls =", "intervals = [0.1, 0.1]\ncontrols ="), "got 2 intervals, expected one for each"),
    (bands(shuffled=[1.0] * 10), "do not beat the best control 1 "),
    (bands().replace("[1.3,", "[nan,", 1), "expected at least two finite numbers"),
    ("[smoke", "bands/99_tiny.toml: not valid TOML"),
])
def test_a_wrong_bands_file_is_refused(opened, recorded, message):
    with pytest.raises(claims.ClaimsError, match=message):
        opened(recorded=recorded)


def test_open_names_what_was_wrong(opened, tmp_path):
    opened()
    for arguments, message in [(("huge", "smoke", 0), "name: no ledger 'huge'; expected one of 99_tiny"),
                               (("tiny", "fast", 0), "profile: got 'fast'"),
                               (("99_tiny", "smoke", "0"), "seed: got '0', expected an int"),
                               (("tiny", "smoke", True), "seed: got True, expected an int")]:
        with pytest.raises(claims.ClaimsError, match=message):
            claims.open(*arguments, folder=tmp_path)
    with pytest.raises(FileNotFoundError, match="no file claims/98_other.toml"):
        claims.load("98_other", tmp_path)
    assert list(claims.load_all(tmp_path)) == ["99_tiny"]


def test_a_number_in_another_unit_never_stands_beside_the_papers(opened):
    ledger = opened(CLAIMS.replace('what = "mean error"\nunit = "m"', 'what = "ratio"\nunit = "1"'))
    ledger.record("C1.error", 1.3, **GOOD)
    assert ledger.records["C1.error"]["paper_value"] is None


def test_the_ledgers_of_this_repository_are_valid_and_belong_to_notebooks():
    notebooks = {path.stem for path in (claims.ROOT / "notebooks").rglob("*.ipynb")}
    ledgers = claims.load_all()
    assert ledgers and set(ledgers) <= notebooks
    assert {path.stem for path in (claims.ROOT / "data" / "bands").glob("*.toml")} <= set(ledgers)
