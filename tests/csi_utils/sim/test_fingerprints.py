"""The simulated datasets: reproducible, honest about what changed, and named like the real ones."""

import numpy as np
import pytest

from csi_utils.sim import fingerprints as simulated


@pytest.fixture(scope="module")
def lab():
    return simulated.build("sim-lab", packets=4, empty=6)


def test_shapes_axes_and_the_paper_s_360_features(lab):
    arrays, axes = lab["arrays"], lab["axes"]
    assert set(arrays) == set(axes)
    for name, array in arrays.items():
        assert array.ndim == len(axes[name]), name
    assert arrays["csi"].shape[1:] == (2, 30, 3, 2) and np.prod(arrays["csi"].shape[1:]) == 360
    assert len(arrays["csi"]) == 6 * (len(arrays["point_xy"]) + 6) * 4
    assert np.isfinite(arrays["csi"]).all() and (np.abs(arrays["csi"]) ** 2).mean() > 1


def test_a_position_belongs_to_its_point_and_the_empty_room_has_none(lab):
    a = lab["arrays"]
    off = np.linalg.norm(a["xy"] - a["point_xy"][a["point"]], axis=1)[a["present"]]
    assert np.median(off) < 0.08 and off.max() < 0.25
    assert np.isnan(a["xy"][~a["present"]]).all()
    assert not (a["reference"] & ~a["present"]).any()


def test_test_points_are_not_reference_points(lab):
    a = lab["arrays"]
    reference = np.unique(a["point"][a["reference"]])
    test = np.unique(a["point"][a["present"] & ~a["reference"]])
    assert not set(reference) & set(test)
    gap = np.linalg.norm(a["point_xy"][test][:, None] - a["point_xy"][reference], axis=-1)
    assert gap.min() > 1e-3


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_and_another_does_not(lab):
    again = simulated.build("sim-lab", packets=4, empty=6)["arrays"]["csi"]
    assert (again == lab["arrays"]["csi"]).all()
    assert not (simulated.build("sim-lab", packets=4, empty=6, seed=1)["arrays"]["csi"] == again).all()


@pytest.mark.slow
def test_each_cause_changes_the_empty_room_and_nothing_else_does():
    quiet = {"nothing": (), "nothing again": (), **{cause: (cause,) for cause in simulated.CAUSES}}
    a = simulated.build("sim-lab", quiet, packets=10, empty=30)["arrays"]
    amplitude = np.abs(a["csi"])
    mean = np.array([amplitude[(a["session"] == s) & ~a["present"]].mean(0) for s in range(len(quiet))])
    shift = np.sqrt(((mean - mean[0]) ** 2).mean((1, 2, 3, 4)))
    assert (shift[2:] > 2 * shift[1]).all(), shift


def test_causes_act_on_the_room_they_name():
    site = simulated.SITES["sim-lab"]
    assert simulated.changed_room(site, ()) == site.room
    assert simulated.changed_room(site, ("window open",)).window.open
    moved = simulated.changed_room(site, ("chair moved",)).furniture
    steps = [np.linalg.norm(a.xyz - b.xyz) for a, b in zip(moved, site.room.furniture, strict=True)]
    assert np.count_nonzero(steps) == 1 and max(steps) == pytest.approx(0.707, abs=1e-3)


@pytest.mark.slow
def test_signal_to_noise_ratio_is_what_was_asked_for(monkeypatch):
    # Without rounding, offsets and drift the empty room repeats itself but for the noise of an entry.
    kept = simulated.hardware.Card
    monkeypatch.setattr(simulated.hardware, "Card", lambda **options: kept(
        **options | {"cfo": 0.0, "sto": 0.0, "sfo": 0.0, "counts": 0.0, "agc_step_db": 0, "outliers": 0.0}))
    monkeypatch.setattr(simulated, "SLOW_DRIFT", 0.0)
    monkeypatch.setattr(simulated.hardware, "scaled", lambda report, noise: report.csi)
    for snr in (0.0, 10.0):
        a = simulated.build("sim-lab", ("survey",), packets=20, empty=200, snr_db=snr)["arrays"]
        empty = a["csi"][~a["present"]]
        for link in (0, 1):
            noise = empty[:, link].var(0).mean()
            power = (np.abs(empty[:, link].mean(0)) ** 2).mean() - noise / len(empty)
            assert 10 * np.log10(power / noise) == pytest.approx(snr, abs=0.1), (snr, link)


@pytest.mark.parametrize(("options", "words"), [
    ({"name": "sim-kitchen"}, ["name", "sim-lab", "sim-kitchen"]),
    ({"name": "sim-lab", "sessions": ("day 9",)}, ["sessions", "day 2", "day 9"]),
    ({"name": "sim-lab", "sessions": {"x": ("flood",)}}, ["causes", "gain drift", "flood"]),
    ({"name": "sim-lab", "packets": 0}, ["packets", ">= 1", "0"]),
])
def test_bad_input_is_named(options, words):
    with pytest.raises(ValueError) as error:
        simulated.build(**options)
    for word in words:
        assert word in str(error.value)


def test_more_visits_are_more_recordings_of_the_reference_points_and_nothing_else():
    one, three = (simulated.build("sim-meeting", sessions=("survey",), packets=2, empty=4, visits=v)["arrays"]
                  for v in (1, 3))
    reference = int(one["reference"].sum()) // 2
    assert len(three["csi"]) == len(one["csi"]) + 2 * 2 * reference
    visits = np.bincount(three["point"][::2][three["present"][::2]])
    assert (visits[:reference] == 3).all() and (visits[reference:] == 1).all()
    assert (three["point_xy"] == one["point_xy"]).all()
    rows = np.flatnonzero(three["point"] == 0)
    assert len(np.unique(three["recording"][rows])) == 3
    assert np.ptp(three["xy"][rows], axis=0).max() > 0.005  # a person finds the mark again, but not to the millimetre
