"""CORAL is skada's, and refuses what does not fit."""

import numpy as np
import pytest
import sklearn

from csi_utils.features import coral


def two_sides():
    rng = np.random.default_rng(0)
    return (rng.standard_normal((300, 4)) @ rng.standard_normal((4, 4)) + 3,
            rng.standard_normal((200, 4)) * [1, 2, 3, 4] + 5)


def test_coral_gives_the_source_the_targets_moments():
    source, target = two_sides()
    moved = coral(source, target, shrink=0.0)
    np.testing.assert_allclose(np.cov(moved.T), np.cov(target.T), atol=1e-8)
    np.testing.assert_allclose(moved.mean(0), target.mean(0), atol=1e-10)
    np.testing.assert_allclose(coral(source, target).mean(0), target.mean(0), atol=1e-10)


def test_coral_is_skadas():
    """Both whiten with the symmetric root of one covariance and colour with that of the other."""
    before = sklearn.get_config()
    da = pytest.importorskip("skada")
    sklearn.set_config(**before)  # the import turns metadata routing on, for all that comes later in this process
    source, target = two_sides()
    x = np.concatenate([source - source.mean(0), target - target.mean(0)])
    with sklearn.config_context(enable_metadata_routing=True):
        theirs = da.CORALAdapter(reg=0.0).fit_transform(x, sample_domain=np.r_[np.ones(300), -np.ones(200)])
    theirs = np.asarray(theirs)[:300] * np.sqrt(299 / 300 * 200 / 199)  # n there, n - 1 here, in the covariance
    np.testing.assert_allclose(theirs, coral(source, target, shrink=0.0) - target.mean(0), rtol=1e-6, atol=1e-8)


def test_coral_shrinks_in_units_of_the_variance_and_takes_few_rows():
    source, target = two_sides()
    moved = coral(source[:3], target[:2], shrink=1.0)  # fewer rows than features: no root without shrink
    assert moved.shape == (3, 4) and np.isfinite(moved).all()
    near = coral(1e4 * source, 1e4 * target) / 1e4  # shrink vanishes beside covariances of 1e8
    np.testing.assert_allclose(near, coral(source, target, shrink=0.0), atol=1e-4)
    one = coral(source[:, :1], target[:, :1], shrink=0.0)  # one feature: the plain standardization
    assert np.var(one, ddof=1) == pytest.approx(np.var(target[:, 0], ddof=1))


@pytest.mark.parametrize(("source", "target", "name"), [
    (np.zeros((5, 3)), np.zeros((5, 2)), "target"), (np.zeros(5), np.zeros((5, 2)), "source"),
    (np.zeros((1, 3)), np.zeros((5, 3)), "source"), (np.zeros((5, 3)), np.zeros((1, 3)), "target")])
def test_coral_refuses_parts_that_do_not_fit(source, target, name):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        coral(source, target)
