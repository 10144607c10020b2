"""The definitions of notebook 09 on inputs that the notebook does not show, against closed forms and libraries."""

import numpy as np
import pytest
import torch
from notebook_code import definitions
from real_data import MIRROR, REAL
from scipy.ndimage import binary_dilation
from scipy.stats import variation as of_scipy

from csi_utils import datasets

nb = definitions("09_crowd_counting")


def a_recording(seconds=20.0, rate=45, count=3, room="A", entries=90):
    """Every entry a sine of its own depth: its variation is known."""
    t = np.arange(0, seconds, 1 / rate)
    depth = np.linspace(0.05, 0.4, entries)
    amplitude = 5 * (1 + depth * np.sin(2 * np.pi * 0.5 * t)[:, None] * np.where(np.arange(entries) % 2, 1, -1))
    return nb.Recording(amplitude, t, count, room)


def test_within_counts_answers_after_rounding():
    answers, counts = np.array([0.4, 2.6, 5.0, -0.4]), np.array([1, 1, 2, 0])
    assert [nb.within(answers, counts, m) for m in (0, 1, 2, 3)] == [25, 50, 75, 100]


def test_the_variation_is_the_standard_deviation_over_the_mean():
    windows = np.random.default_rng(0).uniform(1, 3, (5, 40, 90))
    np.testing.assert_allclose(nb.variation(windows), of_scipy(windows, axis=1), rtol=1e-12)


def test_the_variation_of_a_sine_is_its_depth_over_root_two():
    recording = a_recording()
    windows, start = nb.cut(recording)
    assert windows.shape[1:] == (40, 90) and start.tolist() == [2.0 * i for i in range(len(start))]
    # the entries swing against each other, and nearly cancel in the packet's mean that is divided out
    np.testing.assert_allclose(nb.variation(windows).mean(0), np.linspace(0.05, 0.4, 90) / np.sqrt(2), rtol=0.05)


def test_neither_gain_nor_gain_steps_nor_the_packet_rate_matter():
    plain, rng = a_recording(), np.random.default_rng(0)
    gains = 10 ** (rng.integers(-3, 4, (len(plain.t), 1)) / 20)
    stepped = plain._replace(amplitude=plain.amplitude * gains)
    np.testing.assert_allclose(nb.cut(stepped)[0], nb.cut(plain)[0], rtol=1e-5)
    faster = nb.variation(nb.cut(a_recording(rate=90))[0])
    np.testing.assert_allclose(faster[:8], nb.variation(nb.cut(plain)[0])[:8], rtol=0.01)


def test_a_hole_in_the_recording_leaves_out_the_windows_that_touch_it():
    whole = a_recording(seconds=40)
    keep = (whole.t < 15) | (whole.t > 21)
    _, start = nb.cut(whole._replace(amplitude=whole.amplitude[keep], t=whole.t[keep]))
    assert start.tolist() == [0, 2, 4, 6, 8, 10, 22, 24, 26, 28, 30, 32, 34, 36]


@pytest.mark.parametrize(("change", "message"), [
    ({"amplitude": np.ones((900, 84))}, r"amplitude: got shape \(900, 84\) of 3 people .* expected \(packet, 90\)"),
    ({"amplitude": np.ones(900)}, r"amplitude: got shape \(900,\)"),
    ({"amplitude": np.zeros((0, 90)), "t": np.zeros(0)}, "count: a recording of 3 people in room A without packets"),
    ({"t": np.arange(7.0)}, r"t: got shape \(7,\) of 3 people in room A, expected one time for each of 900 packets"),
    ({"t": -np.arange(900.0)}, "expected one time for each of 900 packets, not falling"),
    ({"t": np.linspace(0, 3.2, 900)}, r"t: a recording of 3 people in room A of 3.2 s, expected a window of 4.0 s"),
])
def test_bad_recordings_are_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        nb.cut(a_recording()._replace(**change))


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_packets_that_are_no_numbers_are_counted(value):
    recording = a_recording()
    recording.amplitude[[5, 70]] = value
    with pytest.raises(ValueError, match=r"amplitude: 2 packets of 3 people in room A hold NaN.*first: packet 5"):
        nb.table_of([recording])


def test_pem_is_the_share_of_a_dilated_picture():
    windows = np.random.default_rng(1).uniform(0.2, 2.5, (3, 40, 5))
    ours = nb.dilated_share(windows)
    for n in range(3):
        shares = []
        for k in range(5):
            relative = windows[n, :, k] / windows[n, :, k].mean()
            image = np.zeros((60, 40), bool)
            image[np.clip((relative * 20).astype(int), 0, 59), np.arange(40)] = True
            shares.append(binary_dilation(image, np.ones((7, 7))).mean())
        assert ours[n, 0] == pytest.approx(np.mean(shares))
    calm = nb.dilated_share(np.ones((1, 40, 5)))
    assert calm[0, 0] == pytest.approx(7 / 60)  # a line, seven rows thick


@pytest.mark.parametrize(("persons", "off"), [(3, 0.025), (8, 0.006)])
def test_the_grey_curve_follows_a_saturating_one(persons, off):
    """A difference stands for a derivative in GM(2,1), so a slow curve is followed better than a fast one."""
    people = np.arange(9)
    level = 0.1 + 0.3 * (1 - np.exp(-people / persons))
    curve = nb.grey_curve(level)
    np.testing.assert_allclose(curve, level, atol=off)
    assert (np.diff(curve) > 0).all() and curve[0] == level[0]


def test_pem_answers_with_the_nearest_count_of_the_curve():
    people = np.repeat(np.arange(7), 4)
    pem = (0.1 + 0.3 * (1 - np.exp(-people / 8)))[:, None]
    learn = {"PEM": pem, "count": people}
    np.testing.assert_array_equal(nb.answers("PEM, grey model", learn, learn, 0), people)
    far = {"PEM": np.array([[0.0], [9.0]])}
    np.testing.assert_array_equal(nb.answers("PEM, grey model", learn, far, 0), [0, 6])


def test_the_trivial_guess_is_the_middle_of_the_best_constants():
    learn, test = {"count": np.repeat(np.arange(7), 5)}, {"count": np.zeros(3)}
    np.testing.assert_array_equal(nb.answers("trivial guess", learn, test, 0), [3, 3, 3])


@pytest.mark.parametrize(("kind", "expected"), [("regression", 1.5), ("classification", 1.0986)])
def test_the_losses_are_those_of_equation_3(kind, expected):
    """An untrained answer of 0 for counts 1 and sqrt(2); three classes that are equally probable."""
    flat = torch.zeros(2, 1 if kind == "regression" else 3)
    count = torch.tensor([1.0, 2**0.5]) if kind == "regression" else torch.tensor([0, 2])
    loss = nb.Counter(kind).loss(lambda x: flat, None, count)
    assert float(loss) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_a_counter_learns_what_can_be_learnt_and_scales_its_input_by_the_training_rows(kind):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4, 300)
    x = 1e3 + 50 * counts[:, None] + rng.standard_normal((300, 5))
    counter = nb.Counter(kind).fit(x[:200], counts[:200], 0)
    assert nb.within(counter.answer(x[200:]), counts[200:], 0) > 95
    np.testing.assert_allclose(counter.scaler.mean_, x[:200].mean(0))
    assert len(counter.history.loss) == 24 and counter.history.validation == []


def table(windows=40, recordings=4):
    start = np.tile(2.0 * np.arange(windows), recordings)
    recording = np.repeat(np.arange(recordings), windows)
    room = np.where(recording < recordings // 2, "A", "B")
    return {"start": start, "recording": recording, "room": room, "count": recording % 2}


def test_the_split_in_time_shares_no_second_and_leaves_a_gap():
    whole = table()
    first, last = nb.time_split(whole, share=0.65, gap=8.0)
    assert not (first & last).any()
    for recording in range(4):
        rows = whole["recording"] == recording
        ends = whole["start"][first & rows].max() + nb.WINDOW
        begins = whole["start"][last & rows].min()
        assert 8 <= begins - ends <= 12 and first[rows].sum() > last[rows].sum() > 8


def test_a_recording_too_short_for_a_split_is_named():
    whole = table()
    short = nb.pick(whole, (whole["recording"] != 2) | (whole["start"] < 12))
    with pytest.raises(ValueError, match=r"table: recording 2 is too short .* 4.0 s on each side of a gap of 8.0 s"):
        nb.time_split(short)


def test_scrambled_counts_are_those_of_the_room_dealt_anew():
    whole = table(recordings=12)
    whole["count"] = whole["recording"] % 6
    moved = 0
    for number in range(5):
        dealt = nb.scrambled(whole, number)["count"]
        for room in "AB":
            here = whole["room"] == room
            np.testing.assert_array_equal(np.sort(dealt[here]), np.sort(whole["count"][here]))
        assert all(len(np.unique(dealt[whole["recording"] == r])) == 1 for r in range(12))
        moved += (dealt != whole["count"]).mean() / 5
    assert moved > 0.6


def test_scores_are_by_recording():
    test = {"recording": np.array([3, 3, 7, 7]), "count": np.array([1, 1, 4, 4])}
    scores = nb.by_recording(np.array([1.2, 2.0, 6.0, 9.0]), test)
    np.testing.assert_array_equal(scores, [[50, 0], [100, 0], [100, 50]])


def test_presence_by_one_threshold():
    v = np.array([0.02, 0.03, 0.2, 0.22, 0.3])[:, None]
    learn = {"one number": v, "count": np.array([0, 0, 1, 1, 4])}
    test = {"one number": np.array([0.04, 0.2, 0.05, 0.4])[:, None], "count": np.array([0, 0, 1, 3])}
    assert nb.presence(learn, learn) == 100 and nb.presence(learn, test) == 50


@pytest.mark.parametrize(("way", "reach"), [(nb.walker, 1.4), (nb.sitter, 0.2)])
def test_walkers_walk_at_a_walking_pace_and_sitters_stay(way, reach):
    xy = way(600, (5.0, 6.0, 2.7), np.random.default_rng(0))
    assert xy.shape == (600, 2) and (xy > 0.3).all() and (xy < np.array([5.0, 6.0]) - 0.3).all()
    speed = np.linalg.norm(np.diff(xy, axis=0), axis=1) * nb.RATE
    assert speed.max() < reach and (np.ptp(xy, axis=0).max() > 2) == (way is nb.walker)


def test_simulated_recordings_shake_more_with_more_walkers():
    rng = np.random.default_rng(0)
    shaken = [nb.variation(nb.cut(nb.record("small", count, 40, rng))[0]).mean() for count in (0, 1, 6)]
    assert shaken[0] < 0.03 < shaken[1] < shaken[2]


def test_what_the_simulator_gives_fits_the_window():
    recording = nb.record("large", 2, 20, np.random.default_rng(0), way=nb.sitter, along_wall=True)
    assert recording.amplitude.shape == (200, nb.ENTRIES) and recording[2:] == (2, "large")
    assert nb.cut(recording)[0].shape == (8, 40, 90)


@REAL
@pytest.mark.real_data
def test_the_real_recordings_come_whole(monkeypatch):
    monkeypatch.setenv("CSI_DATA_MIRROR", str(MIRROR))
    data = datasets.load("crowd-rooms")
    recordings = nb.real_recordings(data)
    assert [r.count for r in recordings] == [*range(9), *range(8)] and recordings[9].room == "B"
    assert sum(len(r.t) for r in recordings) == len(data["time_s"])
    _, start = nb.cut(recordings[14])  # five people in room B, with a hole of 15.4 s near the end
    assert recordings[14].t[-1] > 135 and start.max() + nb.WINDOW < 121
