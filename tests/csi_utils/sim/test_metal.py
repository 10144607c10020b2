"""The simulated set sim-metal: reproducible, free of a metal bonus, with classes that differ in the object alone."""

import numpy as np
import pytest

from csi_utils import datasets
from csi_utils.sim import channel, hardware, materials, metal

F = channel.frequencies(metal.FC["lane"])
QUIET = hardware.Card(noise_dbm=-200.0, agc_step_db=0, counts=0.0, outliers=0.0)


def small(**options):
    return metal.build("sim-metal", **({"recordings": 8, "packets": 3, "distances": (1.0, 2.0)} | options))["arrays"]


def steps(**options):
    return metal.build("sim-metal", "walk", **({"walks": 4, "frames": 12, "n_people": 4} | options))["arrays"]


@pytest.mark.parametrize(("scene", "options", "shape"), [
    ("lane", {"recordings": 8, "packets": 3, "distances": (1.0, 2.0)}, (2 * 2 * 8 * 3, 30, 3, 1)),
    ("walk", {"walks": 4, "frames": 12, "stride": 3, "n_people": 4}, (3 * 4 * 4, 30, 3, 3))])
def test_load_gives_named_axes_groups_and_finite_numbers(scene, options, shape):
    ds = datasets.load("sim-metal", scene=scene, **options)
    assert ds["csi"].shape == shape and ds["csi"].dtype == np.complex64
    assert np.isfinite(ds["csi"]).all() and (ds["gain"] > 0).all()
    assert set(ds.groups) == {"recording", "person"} and ds.axes["csi"] == ("packet", "subcarrier", "rx", "tx")
    assert len(ds["object_names"]) == ds["object"].max() + 1
    step = 0.05 if scene == "lane" else 0.03
    np.testing.assert_allclose(np.diff(ds["t"]), step, rtol=1e-9)


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    for make in (small, steps):
        one = make(seed=3)["csi"]
        assert (one == make(seed=3)["csi"]).all() and not (one == make(seed=4)["csi"]).all()


def test_every_class_stands_at_every_distance_with_the_same_people():
    meta = metal.per_recording(small())
    for key in ("distance", "person"):
        counts = [np.unique(meta[key][meta["object"] == o], return_counts=True) for o in (0, 1)]
        assert (counts[0][0] == counts[1][0]).all() and (counts[0][1] == counts[1][1]).all()
    meta = metal.per_recording(steps())
    assert all((np.bincount(meta["person"][meta["object"] == o]) == 1).all() for o in range(3))


def test_nothing_in_both_hands_is_the_same_experiment():
    a = small(objects={"nothing": None, "nothing again": None}, recordings=40, drift_db=0.0, person=False, card=QUIET)
    x = np.abs(a["csi"]) / np.sqrt((np.abs(a["csi"]) ** 2).mean((1, 2, 3), keepdims=True))
    assert np.ptp(x, axis=0).max() < 1e-3  # an empty lane is one constant channel
    assert (a["person"] == -1).all()


def seen_in_the_lane(bodies, order=0):
    return channel.simulate(metal.HALL, metal.LANE, F, bodies, order)


@pytest.mark.parametrize(("side", "reach"), [(0.12, 2.0), (0.12, 3.5), (0.2, 4.0)])
def test_a_plate_returns_what_the_radar_equation_says_and_no_more(side, reach):
    wavelength = channel.SPEED_OF_LIGHT / F.mean()
    rcs = 4 * np.pi * side**4 / wavelength**2
    direct = seen_in_the_lane([])
    echo = seen_in_the_lane([channel.Plate((3.0, 1.0 + reach, metal.HEIGHT), side, side, -np.pi / 2)]) - direct
    found = 10 * np.log10((np.abs(echo) ** 2).mean() / (np.abs(direct) ** 2).mean())
    # TX and RX are not quite at one place, and a plate of a wavelength is small for physical optics
    assert found == pytest.approx(10 * np.log10(rcs / (4 * np.pi * (reach**2 + 0.25) ** 2)), abs=1.3)


def test_water_returns_less_than_metal_of_the_same_shape_by_its_reflection():
    direct = seen_in_the_lane([])
    metal_rod, water = (seen_in_the_lane([channel.Cylinder((3.0, 3.0, 1.1), 0.15, 0.2, material)]) - direct
                        for material in ("metal", "water"))
    r0 = abs(materials.half_space(materials.permittivity("water", F.mean()), 1.0, "TE"))
    ratio = np.sqrt((np.abs(water) ** 2).mean() / (np.abs(metal_rod) ** 2).mean())
    assert 20 * np.log10(ratio / r0) == pytest.approx(0, abs=0.7)


def test_metal_under_the_clothes_is_weaker_than_on_a_stand_and_hidden_behind_the_body():
    person = channel.Person((3.0, 3.0))

    def plate(y):
        return channel.Plate((3.0, y, metal.HEIGHT), 0.035, 0.225, -np.pi / 2)

    def change(bodies, plate):
        return np.abs(seen_in_the_lane([*bodies, plate]) - seen_in_the_lane(bodies)).mean()

    free, worn, behind = change([], plate(2.79)), change([person], plate(2.795)), change([person], plate(3.205))
    # at the skin the reflected wave all but cancels the incident one; a third of a wavelength off it adds to it
    assert worn < 0.7 * free < change([person], plate(2.76)) and behind < 0.01 * worn


def test_twins_walk_the_same_path_and_differ_by_the_object():
    plain, armed = (steps(objects={"it": thing}, card=QUIET) for thing in (None, metal.WALK_OBJECTS["metal"]))
    np.testing.assert_array_equal(plain["xy"], armed["xy"])
    ratio = 20 * np.log10(np.abs(armed["csi"]) / np.abs(plain["csi"]))
    assert 0.01 < np.sqrt((ratio**2).mean()) < 2.0  # dB: a knife is a ripple


def test_a_bottle_held_ahead_is_seen_and_one_beside_the_body_stands_in_its_shadow():
    def ripple(hand):
        plain, armed = (steps(carry="exposed", objects={"it": thing}, hand=hand, frames=60, stride=5, card=QUIET)
                        for thing in (None, metal.WALK_OBJECTS["water"]))
        return np.sqrt(((20 * np.log10(np.abs(armed["csi"]) / np.abs(plain["csi"]))) ** 2).mean())

    assert ripple((0.0, 0.4)) > 3 * ripple((0.4, 0.0))


def test_people_walk_on_and_those_who_stand_stay():
    moving, standing = (steps(carry=carry, frames=120, stride=10) for carry in ("concealed", "standing"))
    for a, low, high in ((moving, 0.9, 1.7), (standing, 0.0, 0.15)):
        y = a["xy"][:, 1].reshape(-1, 12)
        assert (np.ptp(y, axis=1) >= low).all() and (np.ptp(y, axis=1) <= high).all()


def test_the_gain_leads_back_to_the_whole_numbers_of_the_card():
    a = small()
    counts = a["csi"] / a["gain"][:, None, None, None]
    np.testing.assert_allclose(counts, np.rint(counts.real) + 1j * np.rint(counts.imag), atol=1e-2)


def test_by_recording_is_the_median_over_packets():
    data = {"recording": np.repeat(np.arange(3), 5)}
    values = np.random.default_rng(0).standard_normal((15, 2, 4))
    expected = np.array([np.median(values[5 * r : 5 * r + 5], 0).ravel() for r in range(3)])
    np.testing.assert_allclose(metal.by_recording(values, data), expected)
    with pytest.raises(ValueError, match="values.*15.*14"):
        metal.by_recording(values[:14], data)


@pytest.mark.parametrize(("options", "words"), [
    ({"name": "sim-gate"}, ["name", "sim-metal", "sim-gate"]),
    ({"scene": "sea"}, ["scene", "lane", "walk", "sea"]),
    ({"distances": (0.1,)}, ["distances", "0.5", "0.1"]),
    ({"revisit": -1.0}, ["revisit", ">= 0", "-1.0"]),
    ({"packets": 0}, ["packets", ">= 1", "0"]),
    ({"objects": {}}, ["objects", "none"]),
    ({"objects": {"knife": "metal"}}, ["objects", "Thing", "knife"]),
    ({"scene": "walk", "carry": "hidden"}, ["carry", "concealed", "hidden"]),
    ({"scene": "walk", "walks": 1.5}, ["walks", "integer", "1.5"]),
    ({"scene": "walk", "hand": (0.1, 0.0)}, ["hand", "0.3", "0.1"]),
])
def test_bad_input_is_named(options, words):
    with pytest.raises(ValueError) as error:
        metal.build(**({"name": "sim-metal"} | options))
    for word in words:
        assert word in str(error.value)
