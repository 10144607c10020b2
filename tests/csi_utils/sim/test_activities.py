"""The simulated activities: reproducible, physical, and labelled as their datasheet says."""

import numpy as np
import pytest

from csi_utils import datasets
from csi_utils.sim import activities


@pytest.fixture(scope="module")
def small():
    return activities.build("sim-activities", subjects=2, trials=3)


def test_shapes_axes_and_labels(small):
    arrays, axes = small["arrays"], small["axes"]
    assert set(arrays) == set(axes)
    for name, array in arrays.items():
        assert np.ndim(array) == len(axes[name]), name
    n = 2 * 2 * 6 * 3  # scenes, subjects, activities, trials
    assert arrays["csi"].shape == (n, 200, 30, 3, 1) and arrays["csi"].dtype == np.complex64
    assert arrays["limbs"].shape == (n, 200, 5, 3)
    assert np.isfinite(arrays["csi"]).all() and (np.abs(arrays["csi"]) ** 2).mean() > 1
    label = np.stack([arrays[key] for key in ("scene", "subject", "activity", "trial")])
    assert len(np.unique(label, axis=1).T) == n  # every combination once


def test_it_loads_by_name_with_a_card():
    ds = datasets.load("sim-activities", subjects=1, trials=2, packets=60)
    assert ds.source == "simulated" and ds.groups == ("scene", "subject") and "leaks" in " ".join(ds.card["caveats"])
    assert ds["csi"].shape[:2] == (2 * 6 * 2, 60)


def test_everybody_stays_in_the_room(small):
    a = small["arrays"]
    for s, scene in enumerate(a["scene_names"]):
        size = activities.SITES[activities.SCENES[str(scene)]].room.size
        points = a["limbs"][a["scene"] == s]
        assert (points > 0).all() and (points < np.array(size)).all()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_and_another_does_not(small):
    again = activities.build("sim-activities", subjects=2, trials=3)["arrays"]["csi"]
    assert (again == small["arrays"]["csi"]).all()
    other = activities.build("sim-activities", subjects=2, trials=3, seed=1)["arrays"]["csi"]
    assert not (other == again).all()


def test_a_visit_does_not_depend_on_who_else_came(small):
    alone = activities.build("sim-activities", subjects=1, trials=3, scenes=("meeting room",))["arrays"]["csi"]
    a = small["arrays"]
    np.testing.assert_allclose(alone, a["csi"][(a["scene"] == 1) & (a["subject"] == 0)], rtol=1e-5)


def test_standing_still_is_one_recording_cut_in_pieces(small):
    a = small["arrays"]
    names = a["activity_names"].tolist()
    for what, together in (("stand still", True), ("walk", False)):
        rows = (a["activity"] == names.index(what)) & (a["scene"] == 0) & (a["subject"] == 1)
        torso = a["limbs"][rows][:, :, 0, :2]
        gap = np.linalg.norm(torso[1:, 0] - torso[:-1, -1], axis=1)  # from the end of a cut to the next start
        assert (gap < 0.01).all() == together


def test_activities_move_what_their_names_say():
    t = np.arange(200) / activities.RATE
    who = activities.Body(1.0, 1.0, 0.6, -1)

    def reach(what):
        xyz = activities.motion(what, t, who, np.random.default_rng(0))
        return np.ptp(xyz, axis=0), xyz

    still = reach("stand still")[0]
    assert still.max() < 0.05
    walk = reach("walk")[0]
    assert 1.5 < walk[0, 0] < 3 and walk[0, 2] < 0.01
    wave = reach("wave")[0]
    assert wave[2].max() > 0.3 and wave[1].max() < 0.05 and wave[0].max() < 0.05  # right hand alone
    squat = reach("squat")[0]
    assert 0.35 < squat[0, 2] < 0.55 and squat[3:].max() < 0.05
    for what, low in (("sit down", 0.6), ("fall", 0.15)):
        xyz = reach(what)[1]
        assert xyz[0, 0, 2] > 1.0 and xyz[-1, 0, 2] < low + 0.2 and (np.diff(xyz[:, 0, 2]) < 1e-9).all()


def test_pace_and_size_are_the_subject_s():
    t = np.arange(200) / activities.RATE

    def speed(who):
        xyz = activities.motion("walk", t, who, np.random.default_rng(3))
        return np.abs(np.diff(xyz[:, 0, 0])).mean() * activities.RATE

    slow, fast = (speed(activities.Body(1.0, pace, 0.6, 1)) for pace in (0.8, 1.2))
    assert fast / slow == pytest.approx(1.5, rel=0.15) and 0.6 < slow < 1.2
    assert activities.body(0) == activities.body(0) != activities.body(1)


def test_moving_people_move_the_amplitude_more(small):
    a = small["arrays"]
    change = np.abs(a["csi"]).std(1).mean((1, 2, 3))
    names = a["activity_names"].tolist()
    mean = {what: change[a["activity"] == names.index(what)].mean() for what in names}
    assert mean["walk"] > 3 * mean["stand still"] and mean["wave"] > 1.1 * mean["stand still"]


@pytest.mark.parametrize(("options", "words"), [
    ({"name": "sim-dance"}, ["name", "sim-activities", "sim-dance"]),
    ({"scenes": ("kitchen",)}, ["scenes", "laboratory", "kitchen"]),
    ({"scenes": ()}, ["scenes"]),
    ({"subjects": 0}, ["subjects", ">= 1", "0"]),
    ({"trials": 1.5}, ["trials", "1.5"]),
    ({"packets": 10}, ["packets", ">= 50", "10"]),
])
def test_bad_input_is_named(options, words):
    with pytest.raises(ValueError) as error:
        activities.build(**{"name": "sim-activities"} | options)
    for word in words:
        assert word in str(error.value)


def test_an_unknown_activity_is_named():
    with pytest.raises(ValueError, match="walk.*dance"):
        activities.motion("dance", np.arange(100) / 50, activities.body(0), np.random.default_rng(0))
