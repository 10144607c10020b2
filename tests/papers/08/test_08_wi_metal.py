"""The definitions of notebook 08 on inputs the notebook does not show, against scikit-learn and closed forms."""

import numpy as np
import pytest
from notebook_code import definitions
from scipy import stats
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

nb = definitions("08_wi_metal")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("K", [1, 2, 4, 7])
def test_lloyd_is_scikit_learn_s_from_the_same_start(seed, K):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((90, 5)) + 4 * rng.integers(0, 3, (90, 1))
    start = nb.plus_plus(X, K, rng)
    label, centres, story = nb.lloyd(X, start)
    library = KMeans(K, init=start, n_init=1, algorithm="lloyd", tol=0).fit(X)
    assert (label == library.labels_).all()
    np.testing.assert_allclose(centres, library.cluster_centers_, atol=1e-9)
    assert story[-1][2] == pytest.approx(library.inertia_)
    assert (np.diff([sse for _, _, sse in story]) <= 1e-9).all()


def test_distances_and_sse_agree_with_the_loop():
    rng = np.random.default_rng(0)
    X, centres = rng.standard_normal((25, 4)), rng.standard_normal((3, 4))
    expected = ((X[:, None] - centres) ** 2).sum(-1)
    np.testing.assert_allclose(nb.squared(X, centres), expected, atol=1e-12)
    label = expected.argmin(1)
    assert nb.sse_by_loop(X, label, centres) == pytest.approx(nb.sse(X, label, centres)) == pytest.approx(
        expected.min(1).sum())


def test_a_lost_centre_stays_and_the_input_is_not_changed():
    X, start = np.array([[0.0], [1.0], [2.0]]), np.array([[1.0], [50.0]])
    kept = start.copy()
    label, centres, _ = nb.lloyd(X, start)
    assert label.tolist() == [0, 0, 0] and centres[1, 0] == 50.0 and (start == kept).all()


def test_plus_plus_draws_by_squared_distance():
    X = np.array([[0.0], [1.0], [3.0]])
    picks = [nb.plus_plus(X, 2, np.random.default_rng(s)).ravel().tolist() for s in range(3000)]
    second = [b for a, b in picks if a == 0.0]
    assert np.mean(np.array(second) == 3.0) == pytest.approx(0.9, abs=0.03)  # 9 of 9 + 1
    assert all(a != b for a, b in picks)


def test_several_starts_find_the_heaps():
    rng = np.random.default_rng(3)
    truth = np.repeat(np.arange(5), 30)
    X = 8 * rng.standard_normal((5, 3))[truth] + 0.3 * rng.standard_normal((150, 3))
    assert adjusted_rand_score(truth, nb.kmeans(X, 5, rng, starts=20)[0]) == 1.0


def test_agreement_does_not_depend_on_the_names_of_clusters():
    truth = np.array([0, 0, 0, 1, 1])
    assert nb.agreement(1 - truth, truth) == nb.agreement(truth, truth) == 1.0
    assert nb.agreement(np.zeros(5, int), truth) == pytest.approx(0.6)


def test_the_gap_finds_one_heap_and_three():
    rng = np.random.default_rng(1)
    one = rng.uniform(size=(120, 2))
    three = np.repeat([[0.0, 0.0], [10.0, 0.0], [5.0, 9.0]], 40, 0) + 0.5 * rng.standard_normal((120, 2))
    assert nb.chosen_by_gap(*nb.gap(one, np.random.default_rng(0))) == 1
    assert nb.chosen_by_gap(*nb.gap(three, np.random.default_rng(0))) == 3


def test_the_vote_is_the_binomial_tail():
    for m in (1, 5, 31):
        for p in (0.3, 0.511, 0.8):
            assert nb.vote(p, m) == pytest.approx(stats.binom.sf(m // 2, m, p))
    assert nb.effective_votes(10, 0.0) == 10 and nb.effective_votes(10, 1.0) == 1


@pytest.mark.parametrize(("rho", "p"), [(0.0, 0.6), (0.1, 0.6), (0.3, 0.8), (1.0, 0.5)])
def test_correlation_of_votes_is_recovered(rho, p):
    rng = np.random.default_rng(2)
    copy = rng.random((20000, 15)) < np.sqrt(rho)
    right = np.where(copy, rng.random((20000, 1)) < p, rng.random((20000, 15)) < p)
    assert nb.correlation(right) == pytest.approx(rho, abs=0.01)


def test_dealing_keeps_each_class_and_breaks_the_walks():
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 50)
    right = np.repeat(rng.random((100, 1)) < np.where(label, 0.9, 0.5)[:, None], 21, 1)
    dealt = nb.deal(right, label, rng)
    for c in (0, 1):
        assert dealt[label == c].sum() == right[label == c].sum()
    assert nb.correlation(right) > 0.9 and nb.correlation(dealt[label == 0]) < 0.05
    assert nb.voted(np.array([[True, False], [True, True], [False, False]])) == 0.5  # a tie counts half


def test_the_start_size_is_where_the_curve_passes_for_good():
    sides = np.array(nb.SIDES)
    curve = np.where(sides < 12, 0.5, 1.0)
    assert nb.start_size(curve, 0.75) == pytest.approx(np.sqrt(9 * 12))
    bumpy = curve.copy()
    bumpy[1] = 1.0  # an early bump does not count
    assert nb.start_size(bumpy, 0.75) == pytest.approx(np.sqrt(9 * 12))
    assert nb.start_size(np.ones(len(sides)), 0.75) == sides[0]
    assert nb.start_size(np.zeros(len(sides)), 0.75) == sides[-1]


def test_features_do_not_see_the_random_phase_of_a_packet():
    rng = np.random.default_rng(0)
    from csi_utils import datasets
    data = datasets.load("sim-metal", recordings=2, packets=4, distances=(2.0,), n_people=2)
    turn = np.exp(1j * (rng.uniform(-3, 3, (len(data["csi"]), 1)) + rng.normal(size=(len(data["csi"]), 1)) * 0.05
                        * data["subcarrier_index"]))[:, :, None, None]
    turned = {"csi": data["csi"] * turn, "recording": data["recording"], "subcarrier_index": data["subcarrier_index"]}
    for feature in (nb.amplitude, nb.antenna_difference, nb.clean_phase):
        before, after = feature(data), feature(turned)
        assert before.shape == (4, 90)
        np.testing.assert_allclose(after, before, atol=1e-4)


def test_a_ring_is_found_by_distance_to_the_middle_with_and_without_labels():
    rng = np.random.default_rng(4)
    turn = rng.uniform(0, 2 * np.pi, 96)
    ring = 5 + np.stack([np.cos(turn), np.sin(turn)], 1)
    X, truth = np.vstack([5 + 0.05 * rng.standard_normal((96, 2)), ring]), np.repeat([0, 1], 96)
    assert nb.reference_distance(X, truth) == nb.reference_distance(X, truth, median=True) == 1.0
    assert 0.6 < nb.agreement(nb.kmeans(X, 2, rng)[0], truth) < 0.8  # what a straight cut can give
    # with more metal than nothing, all on one side, the median is metal; the reference is not
    moved = np.vstack([X[:48], 9 + 0.05 * rng.standard_normal((144, 2))])
    few = np.repeat([0, 1], [48, 144])
    assert nb.reference_distance(moved, few) == 1.0 and nb.reference_distance(moved, few, median=True) < 0.1


def test_move_gives_lonely_centres_the_farthest_rows():
    rng = np.random.default_rng(0)
    X, centres = rng.standard_normal((60, 3)), np.vstack([rng.standard_normal((4, 3)), np.full((2, 3), 99.0)])
    label = nb.squared(X, centres).argmin(1)
    assert set(label) == {0, 1, 2, 3}
    got = nb.move(X, label, centres)
    np.testing.assert_allclose(got[:4], [X[label == j].mean(0) for j in range(4)])
    far = np.sort(np.linalg.norm(X - centres[label], axis=1))[::-1]
    for row, want in zip(got[4:], far, strict=False):
        own = label[(row == X).all(1)][0]
        assert np.linalg.norm(row - centres[own]) == want


@pytest.mark.parametrize(("rho", "p"), [(0.05, 0.8), (0.2, 0.6), (1.0, 0.3)])
def test_votes_worth_is_eq_13(rho, p):
    rng = np.random.default_rng(3)
    copy = rng.random((20000, 25)) < np.sqrt(rho)
    right = np.where(copy, rng.random((20000, 1)) < p, rng.random((20000, 25)) < p)
    assert nb.votes_worth(right) == pytest.approx(nb.effective_votes(25, rho), rel=0.06)
    assert nb.votes_worth(right) == pytest.approx(nb.effective_votes(25, nb.correlation(right)))
    assert np.isnan(nb.votes_worth(np.zeros((3, 4), bool))) and np.isnan(nb.votes_worth(np.ones((3, 4), bool)))
