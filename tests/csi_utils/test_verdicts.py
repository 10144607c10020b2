"""From values to bands and verdicts: the rules of the ledger, each on numbers that can be checked by hand."""

import statistics

import pytest
from scipy import stats

from csi_utils import verdicts

VALUES = [1.30, 1.32, 1.28, 1.31, 1.29, 1.33, 1.27, 1.30, 1.31, 1.29]


def measure(**change):
    return {"better": "lower", "holds": "<= 1.39", "same_data": False, "controls": []} | change


def band(values=VALUES, controls=None, **change):
    return verdicts.band(measure(**change), {"values": values, "controls": controls or {}})


def test_a_band_is_mean_and_four_standard_deviations_rounded_outward():
    found, half = band(controls={"trivial": [3.0] * 10}), 4 * statistics.stdev(VALUES)
    assert 0 <= found["high"] - (1.3 + half) < 1e-3 and 0 <= 1.3 - half - found["low"] < 1e-3
    assert found["power"]


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_a_band_is_cut_before_it_lets_a_control_in(better):
    sign = 1 if better == "lower" else -1
    values = [sign * value for value in VALUES]
    found = band(values, {"trivial": [sign * 1.38] * 10, "shuffled": [sign * 2.0] * 10}, better=better)
    assert verdicts.keeps_out(found, better, sign * 1.38) and found["power"]
    assert found["low"] <= min(values) and max(values) <= found["high"]
    edge = found["high"] if sign == 1 else found["low"]
    assert 0 <= sign * ((sign * (1.3 + 1.38) / 2) - edge) < 1e-3  # half-way, rounded away from the control
    uncut = band(values, better=better)
    assert not verdicts.keeps_out(uncut, better, sign * 1.35) and not uncut["power"]


@pytest.mark.parametrize("control", [1.29, 1.325])  # better than the mean; better than a seed, though not than the mean
def test_a_measure_that_does_not_beat_its_controls_must_say_so(control):
    controls = {"trivial": [control] * 10}
    with pytest.raises(verdicts.BandError, match=f"do not beat the best control {control}"):
        band(controls=controls)
    assert band(controls=controls, may_fail_controls="the finding") == band() | {"power": False}


def test_a_band_stays_inside_of_what_is_possible():
    values = [99.5, 99.8, 99.2, 99.9, 99.6, 99.4, 99.7, 99.3, 99.9, 99.7]
    assert band(values)["high"] > 100
    assert band(values, possible=[0, 100]) == band(values) | {"high": 100}
    assert band([0.01 * value for value in range(10)], possible=[0, 1])["low"] == 0


@pytest.mark.parametrize(("absence", "power"), [(1.5, True), (1.0, True), (1.33, False)])
def test_a_band_without_controls_has_power_when_it_excludes_what_absence_gives(absence, power):
    assert band(absence=absence) == band() | {"power": power}


def test_with_controls_and_absence_both_must_be_kept_out():
    controls = {"trivial": [3.0] * 10}
    assert band(controls=controls, absence=1.5)["power"]
    assert not band(controls=controls, absence=1.3)["power"]
    assert not band(controls={"trivial": [1.29] * 10}, may_fail_controls="x", absence=1.5)["power"]


def test_a_value_without_spread_has_room_for_rounding():
    found = band([360.0] * 10)
    assert found["low"] < 360 < found["high"] and found["high"] - found["low"] < 1


@pytest.mark.parametrize(("values", "controls"), [([1.0], {}), ([1.0, float("nan")], {}),
                                                  ([1.0, 2.0], {"trivial": [float("inf")]})])
def test_no_band_of_too_few_or_infinite_values(values, controls):
    with pytest.raises(verdicts.BandError, match="expected at least two finite numbers"):
        band(values, controls)


@pytest.mark.parametrize(("value", "criterion", "met"), [
    (1.39, "<= 1.39", True), (1.4, "<= 1.39", False), (97, ">= 97", True), (96.9, ">= 97", False),
    (0.9, "0.9..1.1", True), (1.2, "0.9..1.1", False), (-0.5, "-1..0", True)])
def test_criteria(value, criterion, met):
    assert verdicts.satisfies(value, criterion) is met


@pytest.mark.parametrize("criterion", ["", "about 1", "< 3", "<= many", "1..", "1-2"])
def test_a_criterion_that_cannot_be_read(criterion):
    with pytest.raises(ValueError, match="holds is"):
        verdicts.satisfies(1.0, criterion)


@pytest.mark.parametrize(("value", "half_width", "verdict"), [
    (1.0, None, "holds here"), (1.0, 0.3, "holds here"), (1.0, 0.5, "undecided"), (1.5, 0.2, "undecided"),
    (1.5, 0.05, "does not hold here"), (1.5, None, "does not hold here")])
def test_a_verdict_that_changes_within_its_interval_is_undecided(value, half_width, verdict):
    assert verdicts.judge(value, half_width, measure()) == verdict
    same = verdicts.judge(value, half_width, measure(same_data=True))
    assert same == ("reproduced" if verdict == "holds here" else verdict)


def test_the_pooled_verdict_is_that_of_the_mean_over_the_recorded_seeds_with_its_interval():
    low, high = stats.t.interval(0.95, 9, loc=statistics.fmean(VALUES), scale=stats.sem(VALUES))
    recorded = {"smoke": {"values": VALUES}}
    mean, half_width, verdict = verdicts.pooled(measure(recorded=recorded), "smoke")
    assert (mean, half_width) == (pytest.approx((low + high) / 2), pytest.approx((high - low) / 2))
    assert verdict == "holds here"
    assert verdicts.pooled(measure(recorded=recorded, holds="<= 1.301"), "smoke")[2] == "undecided"
    assert verdicts.pooled(measure(recorded=recorded), "full") is None


def test_seeds_that_do_not_draw_the_units_anew_do_not_narrow_the_interval():
    recorded = {"smoke": {"values": VALUES, "intervals": [0.5] * len(VALUES)}}
    mean, half_width, verdict = verdicts.pooled(measure(recorded=recorded, over="rounds"), "smoke")
    assert (half_width, verdict) == (0.5, "undecided")
    assert verdicts.pooled(measure(recorded=recorded), "smoke")[1] < 0.1


def test_the_trivial_answer_is_marked_only_where_the_criterion_asks_for_a_good_value():
    assert verdicts.met_by_trivial(1.37, {"holds": "<= 1.39", "better": "lower"})
    assert not verdicts.met_by_trivial(1.40, {"holds": "<= 1.39", "better": "lower"})
    assert not verdicts.met_by_trivial(7.0, {"holds": "<= 75", "better": "higher"})  # asks for a bad accuracy
    assert not verdicts.met_by_trivial(None, {"holds": "<= 1.39", "better": "lower"})
    assert verdicts.met_by_trivial(50.0, {"holds": "46..56", "better": "higher"})
    assert not verdicts.met_by_trivial(60.0, {"holds": "46..56", "better": "higher"})


def row(**change):
    return {"value": 1.3, "unit": "m", "interval": None, "band": [1.2, 1.4], "power": True, "trivial_holds": False,
            "pooled": None, "verdict": "holds here", "paper_value": 1.22, "where": "abstract",
            "evidence": "paper"} | change


@pytest.mark.parametrize(("evidence", "words"), [
    ("paper", "1.22 m (abstract)"), ("notes", "1.22 m (from the reading notes, abstract)"),
    ("secondary", "1.22 m (according to a secondary source, abstract)")])
def test_evidence_is_said_in_words(evidence, words):
    assert verdicts.paper_text(row(evidence=evidence)) == words


def test_words_of_a_row():
    assert verdicts.ours_text(row(interval=0.081)) == "1.300 ± 0.081 m" and verdicts.ours_text(row()) == "1.3 m"
    assert verdicts.check_text(row()) == "1.2 to 1.4 m"
    assert verdicts.check_text(row(power=False)) == "1.2 to 1.4 m (no check)"
    assert verdicts.check_text(row(band=None)) == "no band yet" and verdicts.check_text(row(value=None)) == "–"
    assert verdicts.verdict_text(row(trivial_holds=True)) == "✓ holds here, and so does the trivial answer"
    assert verdicts.verdict_text(row(pooled="undecided")).endswith("(over the recorded seeds: ? undecided)")
