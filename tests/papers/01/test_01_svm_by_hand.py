"""The solver of the deeper notebook against libsvm, and its copy of notebook 01's chain against the original."""

import numpy as np
import pytest
from notebook_code import definitions
from sklearn.svm import SVR

main, nb = definitions("01_svm_fingerprinting"), definitions("deeper/01_svm_by_hand")


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


@pytest.mark.slow
def test_a_problem_without_an_answer_is_said_to_have_none():
    with pytest.raises(RuntimeError, match="100,000 steps"):
        nb.solve_svr(np.eye(3), np.array([0.0, np.nan, 1.0]), 1.0, 0.1)


def test_the_chain_is_that_of_notebook_01():
    rng = np.random.default_rng(0)
    csi = 10 + rng.standard_normal((96, 2, 30, 3, 2)) + 1j * rng.standard_normal((96, 2, 30, 3, 2))
    csi[5] += 20 * rng.standard_normal((2, 30, 3, 2))
    recording = np.repeat(np.arange(12), 8)
    pairs = main.antenna_pairs(csi, recording)
    np.testing.assert_array_equal(nb.antenna_pairs(csi, recording), pairs)
    level, _, radius = main.find_radius(pairs, 3)
    np.testing.assert_array_equal(nb.find_radius(pairs, 3)[0], level)
    assert nb.find_radius(pairs, 3)[1] == radius
    X = main.fingerprints(pairs, level, radius, 3)
    np.testing.assert_array_equal(nb.fingerprints(pairs, level, radius, 3), X)
    np.testing.assert_allclose(nb.fingerprints(pairs, level, None, 3), pairs.mean(2).reshape(12, -1))
    assert not np.allclose(X, pairs.mean(2).reshape(12, -1))
    xy = rng.uniform(0, 5, (12, 2))
    for kernel in nb.GRIDS:
        guess = main.fit_locator(X, xy, kernel=kernel).predict(X)
        np.testing.assert_allclose(nb.fit_locator(X, xy, kernel=kernel).predict(X), guess, rtol=1e-9)
