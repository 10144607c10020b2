"""The definitions of notebook 01 on inputs the notebook does not show, against scikit-learn and closed forms."""

import numpy as np
import pytest
from notebook_code import definitions
from sklearn.cluster import DBSCAN
from sklearn.dummy import DummyRegressor

from csi_utils import datasets

nb = definitions("01_svm_fingerprinting")


def test_antenna_pairs_keep_a_recording_and_a_pair_together():
    csi = np.arange(2 * 4 * 2 * 30 * 3 * 2).reshape(8, 2, 30, 3, 2) * (1 + 0j)  # two recordings of four packets
    pairs = nb.antenna_pairs(csi, np.repeat([7, 9], 4))
    assert pairs.shape == (2, 12, 4, 30)
    for recording, packet, link, rx, tx in ((0, 0, 0, 0, 0), (1, 2, 1, 2, 1), (0, 3, 1, 0, 1)):
        pair = 6 * link + 2 * rx + tx
        expected = csi[4 * recording + packet, link, :, rx, tx].real
        np.testing.assert_array_equal(pairs[recording, pair, packet], expected)


@pytest.mark.parametrize("seed", range(5))
def test_outliers_are_what_dbscan_calls_noise(seed):
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((7, 25, 4)) * rng.choice([0.3, 3.0], (7, 25, 1))
    for eps, m_min in ((0.5, 3), (1.0, 5), (2.0, 1)):
        ours = nb.outliers(points, eps, m_min)
        library = np.array([DBSCAN(eps=eps, min_samples=m_min).fit(p).labels_ == -1 for p in points])
        assert (ours == library).all()


def test_distances_are_euclidean():
    points = np.random.default_rng(0).standard_normal((3, 6, 5))
    expected = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    np.testing.assert_allclose(nb.distances(points), expected, atol=1e-7)


def test_a_fingerprint_is_the_mean_of_the_kept_packets():
    rng = np.random.default_rng(0)
    pairs = 5 + 0.01 * rng.standard_normal((2, 12, 8, 30))
    pairs[0, 3, 4] += 10  # one broken packet
    pairs[1, 0] += np.arange(8)[:, None] * 50  # no packet has company: the pair keeps them all
    clean = nb.fingerprints(pairs, np.full((12, 1, 1), 5.0), 0.2, 3).reshape(2, 12, 30)
    np.testing.assert_allclose(clean[0, 3], np.delete(pairs[0, 3], 4, 0).mean(0))
    np.testing.assert_allclose(clean[1, 0], pairs[1, 0].mean(0))
    np.testing.assert_allclose(clean[1, 5], pairs[1, 5].mean(0))


def test_the_radius_is_at_the_knee():
    pairs = 3 + 0.01 * np.random.default_rng(0).standard_normal((10, 12, 6, 30))
    pairs[2, :, 5] += 6
    _, curve, radius = nb.find_radius(pairs, 3)
    below = curve[0] + (curve[-1] - curve[0]) * np.linspace(0, 1, len(curve)) - curve
    assert radius == curve[np.argmax(below)]
    assert radius in curve and np.mean(curve <= radius) > 0.9 and radius < curve[-1] / 5


def test_removing_the_level_cancels_a_gain_of_one_receive_antenna():
    rng = np.random.default_rng(0)
    csi = rng.standard_normal((5, 2, 30, 3, 2)) + 1j * rng.standard_normal((5, 2, 30, 3, 2))
    gain = rng.uniform(0.1, 10, (5, 2, 1, 3, 1))
    np.testing.assert_allclose(abs(nb.level_removed(csi * gain)), abs(nb.level_removed(csi)), rtol=1e-12)
    assert not np.allclose(abs(nb.level_removed(csi)), abs(csi))


def test_cross_validation_never_has_a_point_on_both_sides(monkeypatch):
    rng = np.random.default_rng(0)
    places = np.repeat(rng.uniform(0, 5, (12, 2)), 10, 0)
    seen = []

    class Recorder(nb.GridSearchCV):
        def fit(self, X, y, groups):
            seen.extend(self.cv.split(X, y, groups))
            return super().fit(X, y, groups=groups)

    monkeypatch.setattr(nb, "GridSearchCV", Recorder)
    nb.fit_locator(rng.standard_normal((120, 20)), places)
    assert len(seen) == 5
    for train, valid in seen:
        assert not set(map(tuple, places[train])) & set(map(tuple, places[valid]))


def room():
    """A survey of four points and two visits to two positions off the grid, with the empty room."""
    session = np.repeat([0, 1, 2], [5, 4, 4])
    reference = np.array([1, 1, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0], bool)
    present = np.array([1, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0], bool)
    xy = np.arange(26.0).reshape(13, 2)
    grid = (session == 0) & reference
    return {"visits": ("survey", "later", "day 2"), "session": session, "reference": reference, "present": present,
            "xy": xy, "grid": grid, "survey": session == 0, "X": xy.copy(), "X, no level": xy + 100}


def test_errors_train_on_the_survey_alone_and_test_off_the_grid_visit_by_visit():
    seen = []

    class Fit:
        def predict(self, X):
            return X + [3, 4]

    def fit(X, xy):
        seen.append((X, xy))
        return Fit()

    found = nb.errors({"a": room()}, 2003, fit=fit)
    assert list(found) == [("a", "later"), ("a", "day 2")]
    assert all(np.allclose(values, [5, 5]) for values in found.values())
    np.testing.assert_array_equal(seen[0][1], room()["xy"][:4])
    nb.errors({"a": room()}, 2003, fit=fit, feature="X, no level", shuffle=True)
    np.testing.assert_array_equal(seen[1][0], room()["xy"][:4] + 100)
    np.testing.assert_array_equal(seen[1][1], np.random.default_rng(3).permutation(room()["xy"][:4]))
    middle = nb.errors({"a": room()}, 2003, fit=DummyRegressor().fit)
    from_the_middle = room()["xy"][6:8] - room()["xy"][:4].mean(0)
    np.testing.assert_allclose(middle["a", "later"], np.linalg.norm(from_the_middle, axis=1))


def test_presence_is_judged_off_the_grid_and_in_the_empty_room():
    found = nb.by_visit(room(), np.arange(13))
    assert {visit: values.tolist() for visit, values in found.items()} == {"later": [6, 7, 8], "day 2": [10, 11, 12]}


def test_quality_of_a_detector():
    there = np.array([True, True, True, False, False])
    found = nb.quality(np.array([[1.0, 2.0, -1.0, 0.5, -2.0], [-1.0, -1.0, -1.0, -2.0, -2.0]]), there)
    np.testing.assert_allclose(found["precision (%)"], [200 / 3, 0])
    np.testing.assert_allclose(found["recall (%)"], [200 / 3, 0])
    np.testing.assert_allclose(found["false alarms (%)"], [50, 0])
    np.testing.assert_allclose(found["AUC"], [5 / 6, 1])


def test_the_plain_distance_is_0_at_the_farthest_empty_recording_of_the_survey():
    lab = room() | {"X": 10 + np.random.default_rng(0).standard_normal((13, 5))}
    lab["X"][4] = 10.0  # the empty room: one recording in the survey, and one at the end of each visit
    lab["X"][[8, 12]] = [[10.0], [12.0]]
    found = nb.plain_distance({"sim-lab": lab}, 0)
    np.testing.assert_allclose([found["later"][-1], found["day 2"][-1]], [0, 0.2])


def test_the_damage_of_broken_packets_that_a_mean_is_free_of():
    pairs = np.ones((3, 12, 4, 30))
    broken = np.zeros((3, 12, 4), bool)
    broken[0, :6, 1] = True
    pairs[broken] = 9.0
    plain = pairs.mean(2).reshape(3, 360)
    assert nb.damage_removed(pairs, plain, broken) == 0
    assert nb.damage_removed(pairs, np.ones((3, 360)), broken) == 100
    np.testing.assert_allclose(nb.damage_removed(pairs, (1 + plain) / 2, broken), 50)


def test_own_recordings_are_split_by_session_by_place_or_by_order(tmp_path, capsys):
    rng = np.random.default_rng(0)
    xy = np.repeat(rng.uniform(0, 5, (30, 2)), 8, 0)
    amp = np.abs(10 + xy @ rng.standard_normal((2, 20)) + 0.01 * rng.standard_normal((240, 20)))
    np.savez(tmp_path / "by_place.npz", amp=amp, xy=xy)
    found = nb.own_result(datasets.load(str(tmp_path / "by_place.npz")))
    assert found["SVR, mean error (m)"] < found["middle, mean error (m)"] / 2
    fake = np.abs(10 + np.repeat(rng.standard_normal((30, 20)), 8, 0) + 0.01 * rng.standard_normal((240, 20)))
    np.savez(tmp_path / "memory.npz", amp=fake, xy=xy)  # by order this would be all but perfect
    found = nb.own_result(datasets.load(str(tmp_path / "memory.npz")))
    assert found["SVR, mean error (m)"] > found["middle, mean error (m)"] / 2
    place = np.repeat(np.arange(6), 8)
    amp = amp[:48]
    np.savez(tmp_path / "place.npz", amp=amp, location=place, session=np.tile([0, 1], 24))
    capsys.readouterr()
    assert nb.own_result(datasets.load(str(tmp_path / "place.npz"))) == {"SVC, accuracy": 1.0, "guessing": 1 / 6}
    assert "upper bound" not in capsys.readouterr().out
    np.savez(tmp_path / "order.npz", amp=amp, location=place)
    assert nb.own_result(datasets.load(str(tmp_path / "order.npz"))) == {"SVC, accuracy": 1.0, "guessing": 1 / 6}
    assert "upper bound" in capsys.readouterr().out
    np.savez(tmp_path / "one.npz", amp=amp, location=place, session=np.zeros(48, int))
    with pytest.raises(ValueError, match="fall on one side of the split"):
        nb.own_result(datasets.load(str(tmp_path / "one.npz")))
