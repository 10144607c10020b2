"""The definitions of notebook 08 on inputs the notebook does not show, against scikit-learn and closed forms."""

import numpy as np
import pytest
from notebook_code import definitions
from scipy.special import hankel2, jv
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from csi_utils.sim import channel, metal

nb = definitions("08_wi_metal")
nb.wavelength = channel.SPEED_OF_LIGHT / metal.FC["lane"]
nb.frequencies = channel.frequencies(metal.FC["lane"])
nb.direct = channel.simulate(metal.HALL, metal.LANE, nb.frequencies, order=0)
nb.SIDES = np.array([3.0, 4.5, 6.0, 9.0, 12.0])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("K", [1, 2, 4, 7])
def test_lloyd_is_scikit_learn_s_from_the_same_start(seed, K):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((90, 5)) + 4 * rng.integers(0, 3, (90, 1))
    start = nb.far_apart_rows(X, K, rng)
    label, centres, story = nb.lloyd(X, start)
    library = KMeans(K, init=start, n_init=1, algorithm="lloyd", tol=0).fit(X)
    assert (label == library.labels_).all()
    np.testing.assert_allclose(centres, library.cluster_centers_, atol=1e-9)
    assert story[-1] == pytest.approx(library.inertia_)
    assert (np.diff(story) <= 1e-9).all()


def test_a_lost_centre_stays_and_the_input_is_not_changed():
    X, start = np.array([[0.0], [1.0], [2.0]]), np.array([[1.0], [50.0]])
    kept = start.copy()
    label, centres, _ = nb.lloyd(X, start)
    assert label.tolist() == [0, 0, 0] and centres[1, 0] == 50.0 and (start == kept).all()


def test_starts_are_drawn_by_squared_distance():
    X = np.array([[0.0], [1.0], [3.0]])
    picks = [nb.far_apart_rows(X, 2, np.random.default_rng(s)).ravel().tolist() for s in range(3000)]
    second = [b for a, b in picks if a == 0.0]
    assert np.mean(np.array(second) == 3.0) == pytest.approx(0.9, abs=0.03)  # 9 of 9 + 1


def test_several_starts_find_the_heaps():
    rng = np.random.default_rng(3)
    truth = np.repeat(np.arange(5), 30)
    X = 8 * rng.standard_normal((5, 3))[truth] + 0.3 * rng.standard_normal((150, 3))
    assert adjusted_rand_score(truth, nb.kmeans(X, 5, rng, starts=20)) == 1.0


def test_agreement_does_not_depend_on_the_names_of_clusters():
    truth = np.array([0, 0, 0, 1, 1])
    assert nb.agreement(truth, truth) == nb.agreement(1 - truth, truth) == 1.0
    assert nb.agreement(np.array([0, 0, 1, 1, 1]), truth) == pytest.approx(0.8)


def test_the_distance_ranks_the_far_ones_first():
    X = np.array([[0.0], [0.1], [-0.1], [5.0], [-5.0]])
    assert nb.distance_auc(X, np.array([0, 0, 0, 1, 1]), np.median(X, 0)) == 1.0


def test_a_machine_on_noise_guesses_and_on_a_rule_does_not():
    rng = np.random.default_rng(0)
    truth, people = np.tile([0, 1], 120), np.repeat(np.arange(8), 30)
    X = rng.standard_normal((240, 4))
    assert nb.by_machine(X, {"object": truth, "person": people}) == pytest.approx(0.5, abs=0.15)
    X[:, 0] += 4 * truth
    assert nb.by_machine(X, {"object": truth, "person": people}) > 0.95
    assert nb.by_machine(X, {"object": truth, "person": np.full(240, -1)}) > 0.95


@pytest.mark.parametrize("width", [0.0002, 0.0005])
def test_mathieu_s_strip_is_a_wire_when_it_is_narrow(width):
    # a strip of width w is a wire of radius w / 4 (Balanis, Antenna Theory, table 9.3); a tall one loses nothing
    wavelength, d = 0.0564, 4.0
    size = 2 * np.pi / wavelength * width / 4
    wire = abs(jv(0, size) / hankel2(0, size)) * np.sqrt(2 / (np.pi * 2 * np.pi / wavelength)) * np.sqrt(4 / d)
    assert nb.strip_on_the_line(width, 100.0, wavelength, d) == pytest.approx(wire, rel=0.005)


@pytest.mark.parametrize(("width", "fc"), [(0.02, 5.32e9), (0.035, 5.32e9), (0.1, 2.437e9)])
def test_the_simulator_s_strip_along_the_line_is_mathieu_s(width, fc):
    door = channel.Link((1.0, 4.0, 1.1), (5.0, 4.0, 1.1))
    empty = channel.simulate(metal.HALL, door, fc, order=0)
    plate = channel.Plate((3.0, 4.0, 1.1), width, 0.2, np.pi / 2)
    change = channel.simulate(metal.HALL, door, fc, [plate], order=0) - empty
    exact = nb.strip_on_the_line(width, 0.2, channel.SPEED_OF_LIGHT / fc, 4.0)
    assert 20 * np.log10(np.abs(change / empty).squeeze() / exact) == pytest.approx(0, abs=0.15)


def test_echoes_of_the_simulator_follow_the_radar_equation_with_distance():
    near, far = (nb.echo_db(nb.plate_at(reach, 0.12, 0.12)) for reach in (2.5, 5.0))
    assert near - far == pytest.approx(nb.radar_db(0.12, 0.12, 2.5) - nb.radar_db(0.12, 0.12, 5.0), abs=0.3)


@pytest.mark.parametrize(("curve", "start"), [
    ([0.5, 0.6, 0.9, 1.0, 1.0], (6.0, 9.0)), ([1.0, 1.0, 1.0, 1.0, 1.0], (3.0, 3.0)),
    ([0.5, 0.5, 0.5, 0.5, 0.6], (12.0, 12.0)), ([0.96, 0.5, 0.94, 0.96, 1.0], (6.0, 9.0))])
def test_the_start_is_where_a_curve_passes_for_good(curve, start):
    assert start[0] <= nb.start_of(np.array(curve)) <= start[1]


def test_phases_do_not_depend_on_what_the_card_adds_to_all_antennas():
    rng = np.random.default_rng(1)
    csi = rng.standard_normal((6, 30, 3, 1)) + 1j * rng.standard_normal((6, 30, 3, 1)) + 4
    data = {"csi": csi, "recording": np.repeat([0, 1], 3)}
    turned = dict(data, csi=csi * np.exp(1j * rng.uniform(-3, 3, (6, 30, 1, 1))))
    np.testing.assert_allclose(nb.phase_features(turned), nb.phase_features(data), atol=1e-9)
