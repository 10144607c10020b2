"""The definitions of notebook 02 on inputs the notebook does not show, against libraries and closed forms."""

import numpy as np
import pytest
import torch
from notebook_code import definitions
from sklearn.ensemble import IsolationForest
from sklearn.ensemble._iforest import _average_path_length
from torch import nn

from csi_utils import datasets

nb = definitions("02_adaploc")
nb.cfg, nb.seed = {"steps": 30, "trees": 10, "packets": 2, "shots": (1,)}, 0


@pytest.mark.parametrize("margin", [0.5, 2.0, 10.0])
def test_the_alignment_loss_is_torchs_contrastive_loss(margin):
    """hinge_embedding_loss on squared distances and squared hinges, pair by pair."""
    rng = torch.Generator().manual_seed(int(margin * 10))
    zs, zt = torch.randn(11, 3, generator=rng), torch.randn(8, 3, generator=rng)
    same = torch.randint(3, (11, 1), generator=rng) == torch.randint(3, (8,), generator=rng)
    d = torch.cdist(zs, zt)
    pull = nn.functional.mse_loss(d[same], torch.zeros_like(d[same])) / 2
    push = (nn.functional.hinge_embedding_loss(d[~same], -torch.ones(int((~same).sum())), margin=margin,
                                               reduction="none") ** 2).mean() / 2
    torch.testing.assert_close(nb.alignment_loss(zs, zt, same, margin), pull + push, rtol=1e-4, atol=1e-5)


def test_the_alignment_loss_has_a_slope_everywhere_and_copes_with_one_kind_of_pair():
    z = torch.zeros(4, 3, requires_grad=True)
    for same in (torch.eye(4), torch.ones(4, 4), torch.zeros(4, 4)):
        value = nb.alignment_loss(z, z.detach(), same.bool(), 1.0)
        slope, = torch.autograd.grad(value, z)
        assert torch.isfinite(value) and torch.isfinite(slope).all()


def test_a_margin_may_differ_by_pair():
    zs, zt = torch.zeros(1, 2), torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    margin = torch.tensor([[7.0, 1.0]])
    expected = (0.5 * (7 - 5) ** 2 + 0.0) / 2
    value = nb.alignment_loss(zs, zt, torch.zeros(1, 2, dtype=torch.bool), margin)
    assert float(value) == pytest.approx(expected, abs=1e-5)


def test_the_average_depth_is_the_librarys():
    sizes = np.array([1, 2, 3, 10, 256, 5000])
    np.testing.assert_allclose([nb.average_depth(n) for n in sizes], _average_path_length(sizes))


@pytest.mark.slow
def test_isolation_scores_rank_as_the_librarys():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.standard_normal((300, 5)), rng.uniform(-8, 8, (10, 5))])
    ours = nb.isolation_score(points, points, trees=200)
    library = -IsolationForest(n_estimators=200, random_state=1).fit(points).score_samples(points)
    assert np.corrcoef(ours, library)[0, 1] > 0.97 and abs(ours - library).max() < 0.06
    assert set(np.argsort(ours)[-8:]) <= set(range(300, 310))


def test_mismatch_is_none_when_aligned_and_one_when_places_are_nothing():
    z = np.random.default_rng(0).standard_normal((200, 8))
    assert nb.mismatch(z, z) == 0
    assert nb.mismatch(z, np.random.default_rng(1).standard_normal((200, 8))) == pytest.approx(1, abs=0.05)


def test_one_network_two_roles_share_all_but_the_output_layer():
    net = nb.AdaptiveNet()
    shared = {id(p) for p in net.f_M.parameters()}
    assert {name for name, p in net.named_parameters() if id(p) not in shared} == {"output.weight", "output.bias"}
    x = torch.randn(3, 12, 30)
    torch.testing.assert_close(net.eval()(x), net.output(net.f_M(x)))


def test_real_rows_keep_halves_and_places_apart():
    place = np.tile(np.repeat(np.arange(3), 10), 2).astype(np.uint8)
    dfl, rng = {"location": place, "domain": np.repeat([0, 1], 30)}, np.random.default_rng(0)
    early, late = (nb.real_rows(dfl, 1, rng, None, half=half) for half in (False, True))
    assert set(early) | set(late) == set(range(30, 60)) and not set(early) & set(late)
    assert all(early[place[early] == p].max() < late[place[late] == p].min() for p in range(3))
    assert (np.bincount(place[nb.real_rows(dfl, 0, rng, 2, half=False)]) == 2).all()


def own_file(path, **changes):
    rng = np.random.default_rng(0)
    spots = rng.uniform(0, 5, (6, 2))
    place = np.tile(np.repeat(np.arange(6), 4), 2)
    arrays = {"amp": rng.standard_normal((48, 20)) * 0.1 + spots[place] @ rng.standard_normal((2, 20)),
              "xy": spots[place], "session": np.repeat(["old", "ten"], 24)} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return datasets.load(path)


@pytest.mark.slow
def test_own_data_by_position_or_by_class(tmp_path):
    metres = nb.own_result(own_file(tmp_path / "a.npz"), k=2)
    assert metres.columns == ["mean error (m)"] and metres.loc["AdapLoc"].item() < 5
    place = np.tile(np.repeat(np.arange(6), 4), 2)
    classes = nb.own_result(own_file(tmp_path / "b.npz", xy=None, location=place), k=1)
    assert classes.columns == ["accuracy"] and 0 <= classes.loc["AdapLoc"].item() <= 1


def test_own_data_as_csi_counts_recordings(tmp_path):
    rng = np.random.default_rng(0)
    csi = (rng.standard_normal((48, 30, 3, 2)) + 1j * rng.standard_normal((48, 30, 3, 2))).astype(np.complex64)
    own = own_file(tmp_path / "a.npz", amp=None, csi=csi, recording=np.arange(48) // 2)
    x, _, _, session, order = nb.own_rows(own)
    assert x.shape == (48, 6, 30)
    assert (order[session == 1] == np.tile([0, 0, 1, 1], 6)).all()


@pytest.mark.parametrize(("changes", "message"), [
    ({"session": None}, "the array session is missing; it has amp, xy"),
    ({"xy": None}, "the array xy or location is missing"),
    ({"session": np.zeros(48, int)}, "session has one value, 0"),
    ({"xy": np.arange(96.0).reshape(48, 2)}, "24 places of the later sessions do not occur"),
])
def test_own_data_mistakes_are_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        nb.own_rows(own_file(tmp_path / "a.npz", **changes))


def test_own_data_without_a_row_left_for_the_test(tmp_path):
    with pytest.raises(ValueError, match="no row is left for the test when k = 4"):
        nb.own_result(own_file(tmp_path / "a.npz"), k=4)
