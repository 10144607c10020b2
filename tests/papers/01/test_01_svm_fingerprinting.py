"""The definitions of notebook 01 on inputs the notebook does not show, against scikit-learn and closed forms."""

import numpy as np
import pytest
from notebook_code import definitions
from sklearn.cluster import DBSCAN
from sklearn.svm import SVR

nb = definitions("01_svm_fingerprinting")


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_what_dbscan_calls_noise(seed):
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((7, 25, 4)) * rng.choice([0.3, 3.0], (7, 25, 1))
    for eps, m_min in ((0.5, 3), (1.0, 5), (2.0, 1)):
        ours = nb.noise(points, eps, m_min)
        library = np.array([DBSCAN(eps=eps, min_samples=m_min).fit(p).labels_ == -1 for p in points])
        assert (ours == library).all()
        assert (nb.noise_by_loop(points[0], eps, m_min) == ours[0]).all()


def test_distances_are_euclidean():
    points = np.random.default_rng(0).standard_normal((3, 6, 5))
    expected = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    np.testing.assert_allclose(nb.distances(points), expected, atol=1e-7)


@pytest.mark.parametrize(("seed", "C", "epsilon", "gamma"), [
    (0, 1.0, 0.1, 0.5), (1, 10.0, 0.3, 2.0), (2, 0.1, 0.05, 1.0), (3, 100.0, 0.5, 0.1), (4, 1.0, 5.0, 1.0)])
def test_the_dual_solver_finds_the_optimum_of_libsvm(seed, C, epsilon, gamma):
    rng = np.random.default_rng(seed)
    z, y = rng.uniform(-2, 2, (50, 3)), rng.standard_normal(50)
    K = nb.rbf(z, z, gamma)
    beta, b = nb.solve_svr(K, y, C, epsilon, tolerance=1e-5)
    library = SVR(C=C, epsilon=epsilon, gamma=gamma, tol=1e-6).fit(z, y)
    theirs = np.zeros(50)
    theirs[library.support_] = library.dual_coef_[0]

    def objective(beta):  # Eq. (6)
        return -0.5 * beta @ K @ beta + y @ beta - epsilon * np.abs(beta).sum()

    assert abs(beta.sum()) < 1e-9 and np.abs(beta).max() <= C + 1e-12
    assert objective(beta) == pytest.approx(objective(theirs), abs=1e-3 * max(1, abs(objective(theirs))))
    if len(library.support_):  # else any curve within the tube is optimal
        np.testing.assert_allclose(K @ beta + b, library.predict(z), atol=0.02)


def test_a_fingerprint_is_the_mean_of_the_kept_packets():
    rng = np.random.default_rng(0)
    pairs = 5 + 0.01 * rng.standard_normal((2, 12, 8, 30))
    pairs[0, 3, 4] += 10  # one broken packet
    level = np.full((12, 1, 1), 5.0)
    clean = nb.fingerprints(pairs, level, 0.2, 3).reshape(2, 12, 30)
    np.testing.assert_allclose(clean[0, 3], np.delete(pairs[0, 3], 4, 0).mean(0))
    np.testing.assert_allclose(nb.fingerprints(pairs).reshape(2, 12, 30), pairs.mean(2))
    alone = pairs.copy()
    alone[1, 0] += np.arange(8)[:, None] * 50  # no packet has company: the pair keeps them all
    np.testing.assert_allclose(nb.fingerprints(alone, level, 0.2, 3).reshape(2, 12, 30)[1, 0], alone[1, 0].mean(0))


def test_the_knee_of_a_bent_line():
    curve = np.concatenate([np.linspace(0, 1, 90), np.linspace(1, 20, 11)[1:]])
    assert nb.knee(curve) == 89


def test_normalizing_per_antenna_cancels_a_gain():
    rng = np.random.default_rng(0)
    csi = rng.standard_normal((5, 2, 30, 3, 2)) + 1j * rng.standard_normal((5, 2, 30, 3, 2))
    gain = rng.uniform(0.1, 10, (1, 2, 1, 3, 1))
    np.testing.assert_allclose(np.abs(nb.per_antenna(csi * gain)), np.abs(nb.per_antenna(csi)), rtol=1e-12)


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
