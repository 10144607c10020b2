"""The ledger and its bands: what is refused, what the verdicts are, and that bands follow from their seeds."""

import math
import tomllib
from pathlib import Path

import numpy as np
import pytest

from csi_papers.run import bands
from csi_utils import claims
from csi_utils import verdicts as scoreboard

TOML = """\
# A comment that must survive.
[tiny]
notebook = "good"
title = "A tiny <paper>"

[tiny.claims.C1]
says = "Error"
value = 1.22
unit = "m"
where = "abstract"
evidence = "paper"

[tiny.claims.C2]
says = "Cannot be measured"
evidence = "notes"
not_testable = "the authors' rooms"

[tiny.measures."C1.error"]  # and this one
dataset = "sim-lab"
what = "mean error"
unit = "m"
better = "lower"
holds = "<= 1.39"
controls = ["trivial", "shuffled"]

[tiny.measures."C1.real"]
dataset = "loc-csu"
what = "mean error on the paper's data"
unit = "m"
better = "lower"
holds = "<= 1.39"
same_data = true
needs = "loc-csu"
profiles = ["smoke", "standard"]
"""
BANDS = """
[tiny.measures."C1.error".bands.smoke]
low = 1.1
high = 1.5
[tiny.measures."C1.real".bands.smoke]
low = 1.0
high = 2.0
"""
GOOD = dict(dataset="sim-lab", protocol="grid, then day 2", trivial=3.1, shuffled=3.0)


def ledger_of(tmp_path, text=TOML + BANDS, profile="smoke", **options):
    file = tmp_path / "claims.toml"
    file.write_text(text, encoding="utf-8")
    return claims.open("tiny", profile=profile, seed=0, path=file, **options)


@pytest.fixture
def ledger(tmp_path):
    return ledger_of(tmp_path)


def test_verdicts_and_table(ledger, capsys):
    ledger.record("C1.error", np.float64(1.3), **GOOD)
    ledger.record("C1.real", 1.2, dataset="loc-csu", protocol="as the paper")
    ledger.close()
    rows = ledger.records
    assert [rows[i]["verdict"] for i in ("C1.error", "C1.real", "C2")] == ["holds here", "reproduced", "not testable"]
    assert rows["C1.error"]["band"] == [1.1, 1.5] and rows["C1.error"]["in_band"]
    shown = capsys.readouterr().out
    assert "✓ holds here" in shown and "1.22 m" in shown
    page = scoreboard.html_table(ledger.title, list(rows.values()))
    assert "A tiny &lt;paper&gt;" in page and "1.22 m (abstract)" in page


def test_a_row_of_another_profile_is_kept_and_not_shown(tmp_path, capsys):
    band = '\n[tiny.measures."C1.error".bands.full]\nlow = 1.1\nhigh = 1.5\n'
    ledger = ledger_of(tmp_path, TOML + band, profile="full")
    ledger.record("C1.error", 1.3, **GOOD)
    ledger.close()
    shown = capsys.readouterr().out
    assert "C1.error" in shown and "C1.real" not in shown and ledger.records["C1.real"]["verdict"] == "not run"


def test_a_claim_that_does_not_hold_is_a_result(ledger):
    ledger.record("C1.error", 1.45, **GOOD)
    ledger.not_run("C1.real", reason="no mirror")
    ledger.close()
    assert ledger.records["C1.error"]["verdict"] == "does not hold here"
    assert ledger.records["C1.real"]["verdict"] == "not run"


def test_records_keep_every_bit(ledger):
    value = np.float64(0.1) + np.float64(1.2)
    ledger.record("C1.error", value, **GOOD)
    assert ledger.records["C1.error"]["value"] == float(value) and type(ledger.records["C1.error"]["value"]) is float


@pytest.mark.parametrize(("change", "message"), [
    (dict(value=math.nan), "value: got nan"),
    (dict(value=math.inf), "value: got inf"),
    (dict(value=np.ones(3)), r"value: got ndarray of shape \(3,\)"),
    (dict(value="1.3"), "value: got str"),
    (dict(value=True), "value: got bool"),
    (dict(value=1 + 2j), "value: got complex"),
    (dict(id="C9"), "id: got 'C9', expected one of C1.error, C1.real"),
    (dict(dataset="sim-meeting"), "dataset: got 'sim-meeting' for C1.error, expected 'sim-lab'"),
    (dict(protocol=" "), "protocol: got ' '"),
    (dict(trivial=None), "trivial: got NoneType"),
    (dict(extra=1.0), "controls: got .*extra.*expected"),
])
def test_bad_records_are_refused(ledger, change, message):
    given = {"id": "C1.error", "value": 1.3} | GOOD | change
    with pytest.raises(claims.ClaimsError, match=message):
        ledger.record(given.pop("id"), given.pop("value"), **given)


def test_missing_control_double_record_and_late_record(ledger):
    with pytest.raises(claims.ClaimsError, match="controls: got .*trivial.* expected .*shuffled"):
        ledger.record("C1.error", 1.3, dataset="sim-lab", protocol="p", trivial=3.0)
    ledger.record("C1.error", 1.3, **GOOD)
    with pytest.raises(claims.ClaimsError, match="already recorded"):
        ledger.record("C1.error", 1.3, **GOOD)
    with pytest.raises(claims.ClaimsError, match="may not be left out"):
        ledger_error = claims.Ledger("tiny", dict(title="", claims=ledger.claims, measures=ledger.measures), "smoke",
                                     0, False)
        ledger_error.not_run("C1.error", "no time")
    ledger.not_run("C1.real", "absent")
    ledger.close()
    with pytest.raises(claims.ClaimsError, match="came after close"):
        ledger.record("C1.real", 1.0, dataset="loc-csu", protocol="p")


@pytest.mark.parametrize(("value", "trivial", "message"), [
    (1.6, 3.1, "C1.error: 1.6 m left its band 1.1 to 1.5 m"),
    (1.05, 3.1, "left its band"),
    (1.3, 1.4, "the control trivial, 1.4 m, is not kept out"),
    (1.3, 1.5, "the control trivial"),
])
def test_close_raises_out_of_band(ledger, value, trivial, message):
    ledger.record("C1.error", value, **GOOD | {"trivial": trivial})
    ledger.not_run("C1.real", "absent")
    with pytest.raises(claims.OutOfBand, match=message):
        ledger.close()
    assert ledger.closed


def test_close_names_each_missing_measure_and_band(tmp_path, monkeypatch):
    with pytest.raises(claims.OutOfBand, match="C1.error: neither.*C1.real: neither"):
        ledger_of(tmp_path).close()
    bare = ledger_of(tmp_path, TOML)
    bare.record("C1.error", 1.3, **GOOD)
    bare.not_run("C1.real", "absent")
    with pytest.raises(claims.OutOfBand, match="no band yet for profile smoke"):
        bare.close()
    monkeypatch.setenv("CSI_CLAIMS_MEASURE", "1")
    measuring = ledger_of(tmp_path, TOML)
    measuring.record("C1.error", 1.3, **GOOD)
    measuring.not_run("C1.real", "absent")
    measuring.close()


def test_band_of_another_profile_does_not_count(tmp_path):
    other = ledger_of(tmp_path, profile="full")
    other.record("C1.error", 1.3, **GOOD)
    with pytest.raises(claims.ClaimsError, match="expected only in smoke, standard"):
        other.record("C1.real", 1.3, dataset="loc-csu", protocol="p")
    with pytest.raises(claims.OutOfBand, match="no band yet for profile full") as caught:
        other.close()
    assert "C1.real" not in str(caught.value)  # it is not measured in this profile


@pytest.mark.parametrize(("old", "new", "message"), [
    ('evidence = "paper"', 'evidence = "unverified"', "unverified.*never printed"),
    ('evidence = "paper"', 'evidence = "hearsay"', "evidence is 'hearsay', expected one of paper"),
    ('holds = "<= 1.39"', 'holds = "about 1"', "holds is 'about 1', expected"),
    ('better = "lower"', 'better = "less"', "better is 'less'"),
    ('unit = "m"\nwhere', 'where', "unit is None"),
    ('not_testable = "the authors\' rooms"', "", "C2: got neither"),
    ('[tiny.measures."C1.error"]', '[tiny.measures."C7.error"]', "no claim 'C7'"),
    ('same_data = true', 'same_data = "yes"', "same_data is 'yes'"),
    ('profiles = ["smoke", "standard"]', 'profiles = ["fast"]', "profile is 'fast'"),
    ('[tiny.claims.C1]', '[tiny.claims.C1', "not valid TOML"),
])
def test_a_wrong_claims_file_is_refused(tmp_path, old, new, message):
    assert old in TOML
    with pytest.raises(claims.ClaimsError, match=message):
        ledger_of(tmp_path, TOML.replace(old, new, 1))


def test_open_names_what_was_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a claims file"):
        claims.open("tiny", "smoke", 0, path=tmp_path / "absent.toml")
    (tmp_path / "claims.toml").write_text(TOML)
    for arguments, message in [(("huge", "smoke", 0), "name: no ledger 'huge'"), (("tiny", "fast", 0), "profile: got"),
                               (("tiny", "smoke", "0"), "seed: got '0', expected an int")]:
        with pytest.raises(claims.ClaimsError, match=message):
            claims.open(*arguments, path=tmp_path / "claims.toml")


def test_a_number_in_another_unit_never_stands_beside_the_papers(tmp_path):
    text = TOML.replace('what = "mean error"\nunit = "m"', 'what = "ratio"\nunit = "1"')
    ledger = ledger_of(tmp_path, text + BANDS)
    ledger.record("C1.error", 1.3, **GOOD)
    assert ledger.records["C1.error"]["paper_value"] is None


@pytest.mark.parametrize(("evidence", "words"), [
    ("paper", "1.22 m (abstract)"), ("notes", "1.22 m (from the reading notes, abstract)"),
    ("secondary", "1.22 m (according to a secondary source, abstract)"),
])
def test_evidence_is_said_in_words(tmp_path, evidence, words):
    ledger = ledger_of(tmp_path, TOML.replace('evidence = "paper"', f'evidence = "{evidence}"') + BANDS)
    ledger.record("C1.error", 1.3, **GOOD)
    assert scoreboard.paper_text(ledger.records["C1.error"]) == words


# Bands

SEEDS = list(range(10))
VALUES = [1.30, 1.32, 1.28, 1.31, 1.29, 1.33, 1.27, 1.30, 1.31, 1.29]
CONTROLS = {"trivial": [3.0] * 10, "shuffled": [2.9 + 0.01 * i for i in SEEDS]}


def test_band_is_mean_and_k_sd_rounded_outward():
    band = bands.compute(VALUES, CONTROLS)
    assert band["mean"] == pytest.approx(1.3) and band["sd"] == pytest.approx(np.std(VALUES, ddof=1))
    assert 0 <= band["high"] - (band["mean"] + 4 * band["sd"]) < 1e-3
    assert 0 <= band["mean"] - 4 * band["sd"] - band["low"] < 1e-3
    assert band["floor"] == pytest.approx((1.3 + 2.9) / 2, abs=1e-3) and band["beats_controls"]


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_band_is_cut_before_it_lets_a_control_in(better):
    sign = 1 if better == "lower" else -1
    values = [sign * v for v in VALUES]
    band = bands.compute(values, {"trivial": [sign * 1.38] * 10}, better)
    assert claims.excludes(band, better, sign * 1.38)
    assert band["low"] <= min(values) and max(values) <= band["high"]
    assert not claims.excludes(bands.compute(values, {}, better), better, sign * 1.35)
    floor = bands.compute(values, {"trivial": [sign * 2.89991] * 10}, better)["floor"]
    assert 0 < sign * ((sign * 2.89991 + band["mean"]) / 2 - floor) < 2e-3  # rounded away from the control


def test_a_measure_that_does_not_beat_its_controls_must_say_so():
    with pytest.raises(bands.BandError, match="do not beat the best control 1.29"):
        bands.compute(VALUES, {"trivial": [1.29] * 10})
    with pytest.raises(bands.BandError, match="do not beat"):  # the mean is better, a seed is not
        bands.compute(VALUES, {"trivial": [1.325] * 10})
    assert bands.compute(VALUES, {"trivial": [1.29] * 10}, may_fail=True)["beats_controls"] is False


def test_a_value_without_spread_has_room_for_rounding():
    band = bands.compute([360.0] * 10)
    assert band["low"] < 360 < band["high"] and band["high"] - band["low"] < 1


def written(tmp_path, values=VALUES, controls=CONTROLS, **change):
    file = tmp_path / "claims.toml"
    file.write_text(TOML, encoding="utf-8")
    full = bands.compute(values, controls, may_fail=True) | dict(
        k=4.0, seeds=SEEDS, values=values, controls=controls, rule=bands.RULE, date="2026-11-21") | change
    bands.write({("tiny", "C1.error"): full}, "smoke", file)
    return file


def test_written_bands_keep_comments_and_every_bit_and_follow(tmp_path):
    file = written(tmp_path)
    text = file.read_text(encoding="utf-8")
    assert "# A comment that must survive." in text and "# and this one" in text
    start, end = text.index('[tiny.measures."C1.error".bands.smoke]'), text.index('[tiny.measures."C1.real"]')
    assert text[:start] + text[end:] == TOML
    assert tomllib.loads(text)["tiny"]["measures"]["C1.error"]["bands"]["smoke"]["values"] == VALUES
    measure = claims.load(file)["tiny"]["measures"]["C1.error"]
    assert bands.follows(measure) and bands.audit(file) == []
    bands.write({("tiny", "C1.error"): measure["bands"]["smoke"] | {"k": 5.0}}, "smoke", file)  # over the old one
    assert claims.load(file)["tiny"]["measures"]["C1.error"]["bands"]["smoke"]["k"] == 5.0


@pytest.mark.parametrize(("change", "message"), [
    (dict(high=2.5), "high is 2.5, its seeds give"),
    (dict(mean=1.0), "mean is 1.0"),
    (dict(seeds=SEEDS[:9] + [0]), "9 seeds, expected 10"),
    (dict(values=VALUES[:9]), "not one for each seed"),
    (dict(controls={"trivial": CONTROLS["trivial"]}), "the measure declares"),
    (dict(high=3.5), "the control trivial would pass"),
    (dict(controls=CONTROLS | {"shuffled": [1.0] * 10}), "do not beat the best control"),
    (dict(beats_controls=False), "may_fail_controls is not declared"),
])
def test_audit_sees_a_band_that_was_touched_by_hand(tmp_path, change, message):
    found = bands.audit(written(tmp_path, **change))
    assert found and message in "; ".join(found)


def test_the_bands_of_this_repository_follow_from_their_seeds():
    if not claims.CLAIMS_TOML.is_file():
        pytest.skip("data/claims.toml is not there yet")
    assert bands.audit() == []


def test_every_ledger_belongs_to_a_notebook():
    if not claims.CLAIMS_TOML.is_file():
        pytest.skip("data/claims.toml is not there yet")
    notebooks = Path(claims.CLAIMS_TOML).parent.parent / "notebooks"
    for name, ledger in claims.load().items():
        assert (notebooks / f"{ledger['notebook']}.ipynb").is_file(), name


def test_measured_bands_judge_the_next_run(tmp_path):
    """The whole way: ten seeds, bands written, then the same notebook holds them and another one does not."""
    import shutil

    from csi_papers.run.runner import run_notebook
    here = Path(__file__).parents[1] / "bad_notebooks"
    shutil.copy(here / "spread.ipynb", tmp_path)
    shutil.copy(here / "spread.toml", tmp_path)
    before = run_notebook(tmp_path / "spread.ipynb", tmp_path / "out")
    assert "no band yet" in before["status"]
    found = bands.measure([tmp_path / "spread.ipynb"], "smoke", SEEDS, path=tmp_path / "spread.toml",
                          out_dir=tmp_path / "runs", say=lambda *_: None)
    band = found["spread", "C1"]
    assert len(set(band["values"])) == 10 and bands.audit(tmp_path / "spread.toml") == []
    after = run_notebook(tmp_path / "spread.ipynb", tmp_path / "out", seed=3)
    assert after["status"] == "ok" and after["claims"][0]["value"] == band["values"][3]
    shifted = run_notebook(tmp_path / "spread.ipynb", tmp_path / "out", parameters={"shift": 5.0})
    assert "left its band" in shifted["status"]
    with pytest.raises(bands.BandError, match="expected 10 or more"):
        bands.measure([tmp_path / "spread.ipynb"], "smoke", [1, 2])


@pytest.mark.parametrize(("value", "interval", "verdict"), [
    (1.0, None, "holds here"), (1.0, 0.3, "holds here"), (1.0, 0.5, "undecided"), (1.5, 0.2, "undecided"),
    (1.5, 0.05, "does not hold here"), (1.5, None, "does not hold here")])
def test_a_verdict_that_changes_within_its_interval_is_undecided(value, interval, verdict):
    assert claims.judge(value, {"holds": "<= 1.39", "same_data": False}, interval) == verdict


def test_the_trivial_answer_is_marked_only_where_the_criterion_asks_for_a_good_value():
    assert claims.met_by_trivial(1.37, {"holds": "<= 1.39", "better": "lower"})
    assert not claims.met_by_trivial(1.40, {"holds": "<= 1.39", "better": "lower"})
    assert not claims.met_by_trivial(7.0, {"holds": "<= 75", "better": "higher"})  # asks for a bad accuracy
    assert not claims.met_by_trivial(None, {"holds": "<= 1.39", "better": "lower"})
    assert claims.met_by_trivial(50.0, {"holds": "46..56", "better": "higher"})
    assert not claims.met_by_trivial(60.0, {"holds": "46..56", "better": "higher"})
