"""The definitions of notebook 02 on inputs the notebook does not show, against libraries and closed forms."""

import functools

import numpy as np
import pytest
import torch
from notebook_code import definitions
from scipy.spatial.distance import cdist
from sklearn.ensemble import IsolationForest
from torch import nn

from csi_utils import datasets

nb = definitions("02_adaploc")
nb.STEPS, nb.seed = 30, 0


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


def test_the_alignment_loss_is_contrastive_by_loops():
    rng = np.random.default_rng(0)
    zs, zt = rng.standard_normal((6, 3)), rng.standard_normal((5, 3))
    place_s, place_t = np.arange(6) % 3, np.arange(5) % 3
    d, together, apart = cdist(zs, zt), [], []
    for i in range(6):
        for j in range(5):
            if place_s[i] == place_t[j]:
                together.append(d[i, j] ** 2 / 2)
            else:
                apart.append(max(0, 1.5 - d[i, j]) ** 2 / 2)
    value = nb.alignment_loss(torch.tensor(zs), torch.tensor(zt), torch.tensor(place_s[:, None] == place_t), 1.5)
    assert float(value) == pytest.approx(np.mean(together) + np.mean(apart))


def batches(seed=0):
    rng = torch.Generator().manual_seed(seed)
    x, y, place = torch.randn(8, 12, 30, generator=rng), torch.randn(8, 2, generator=rng), torch.arange(8) % 4
    return (x[:5], y[:5], place[:5]), (x[5:], y[5:], place[5:])


def test_in_the_main_reading_target_positions_act_on_nothing_and_places_only_through_the_alignment():
    source, (x, y, place) = batches()
    net = nb.AdaptiveNet()
    value = nb.adaploc(net, source, (x, y, place))
    assert value == nb.adaploc(net, source, (x, y + 9, place))
    assert value != nb.adaploc(net, source, (x, y, place + 1))
    off = functools.partial(nb.adaploc, weight=0.0)
    assert off(net, source, (x, y, place)) == off(net, source, (x, y, place + 1))
    other = functools.partial(off, target_in_L_R=True)
    assert other(net, source, (x, y, place)) != other(net, source, (x, y + 9, place))


def test_the_second_reading_is_the_mean_of_both_sessions():
    source, target = batches(1)
    net = nb.AdaptiveNet().eval()  # no batch statistics: rows do not see each other
    expected = (nb.source_only(net, source, target) + nb.target_only(net, source, target)) / 2
    torch.testing.assert_close(nb.adaploc(net, source, target, weight=0.0, target_in_L_R=True), expected)


def test_partners_are_of_the_same_place_and_all_are_met():
    order, target = torch.Generator().manual_seed(0), torch.tensor([2, 0, 2, 5, 0, 2])
    place = torch.tensor([0, 2, 5]).repeat(300)
    rows = nb.partners(place, target, order)
    assert torch.equal(target[rows], place)
    share = torch.bincount(rows, minlength=6) / 300
    torch.testing.assert_close(share, torch.tensor([1 / 3, 0.5, 1 / 3, 1.0, 0.5, 1 / 3]), atol=0.1, rtol=0)


def test_a_place_without_a_target_row_meets_any():
    rows = nb.partners(torch.full((400,), 7), torch.tensor([0, 9, 3]), torch.Generator().manual_seed(0))
    assert set(rows.tolist()) == {0, 1, 2}


def task(seed=0):
    rng = torch.Generator().manual_seed(seed)
    place = torch.arange(40) % 8
    y = torch.stack([place % 4, place // 4], 1).float()
    x = 0.1 * torch.randn(40, 2, 8, generator=rng) + y[:, :, None]
    rows = (x, y, place)
    return nb.with_source_net({"source": rows, "target": {1: tuple(part[:8] for part in rows)}, "unlabelled": x,
                               "test": (x, y), "home": x}, 0)


def test_a_training_repeats_itself_and_fine_tuning_starts_from_the_source_model():
    one = task()
    nets = [nb.adapted(one, 3, nb.adaploc, steps=5) for _ in range(2)]
    assert nb.scores(nets[0], one) == nb.scores(nets[1], one)
    warm = nb.adapted(one, 3, nb.target_only, steps=1, warm=True)
    start = nb.new_net(one, 3)
    start.load_state_dict(one["weights"])
    apart = [float((a - b).detach().abs().max()) for a, b in zip(warm.parameters(), start.parameters(), strict=True)]
    assert 0 < max(apart) < 0.002  # a step of half the size


def test_shuffled_places_are_a_permutation_of_the_places():
    seen = []

    def spy(net, source, target):
        seen.append(target[2])
        return nb.adaploc(net, source, target)

    one = task()
    nb.adapted(one, 3, spy, steps=1, shuffled=True)
    assert set(seen[0].tolist()) <= set(range(8))
    assert not torch.equal(nb.adapted(one, 3, nb.adaploc, steps=3, shuffled=True).output.weight,
                           nb.adapted(one, 3, nb.adaploc, steps=3).output.weight)


def test_a_position_is_found_again_where_nothing_changed():
    one = task()
    net = nb.new_net(one, 0).eval()
    assert nb.scores(net, one)[1] == 0
    one["home"] = one["home"].roll(1, 0)  # each position's fingerprint is now its neighbour's
    assert nb.scores(net, one)[1] > 0.5


def test_the_forest_throws_out_what_the_library_does():
    rng = np.random.default_rng(0)
    train, x = rng.standard_normal((500, 6)), 1.5 * rng.standard_normal((200, 6))
    library = IsolationForest(n_estimators=40, contamination=0.02, random_state=0).fit(train)
    np.testing.assert_array_equal(nb.odd(train, x, 40), library.predict(x) == -1)


def test_a_fingerprint_is_the_mean_of_the_packets_that_stay(monkeypatch):
    rng = np.random.default_rng(0)
    csi = rng.standard_normal((8, 2, 30, 3, 2)) + 0j
    arrays = {"csi": csi, "recording": np.repeat([0, 1], 4), "session": np.zeros(8, int)}
    monkeypatch.setattr(nb, "odd", lambda train, x, trees: np.arange(8) == 1)
    found, first = nb.fingerprints(arrays, 5)
    amplitude = np.abs(csi).transpose(0, 1, 3, 4, 2).reshape(8, 12, 30)
    np.testing.assert_allclose(found[0], amplitude[[0, 2, 3]].mean(0), rtol=1e-6)
    np.testing.assert_allclose(found[1], amplitude[4:].mean(0), rtol=1e-6)
    assert list(first) == [0, 4]


def test_each_repeat_has_its_own_room_with_the_same_walls_and_links():
    nb.lab = nb.simulated.SITES["sim-lab"]
    one, two = nb.another_lab(1), nb.another_lab(2)
    assert one.links == two.links and one.room.walls == two.room.walls
    assert one.room.window != two.room.window
    assert not np.allclose(one.room.furniture[0].xyz, two.room.furniture[0].xyz)
    assert one.room.window == nb.another_lab(1).room.window


def test_one_network_two_roles_share_all_but_the_output_layer():
    net = nb.AdaptiveNet()
    shared = {id(p) for p in net.f_M.parameters()}
    assert {name for name, p in net.named_parameters() if id(p) not in shared} == {"output.weight", "output.bias"}
    x = torch.randn(3, 12, 30)
    torch.testing.assert_close(net.eval()(x), net.output(net.f_M(x)))
    for tones in (20, 30, 56):
        assert nb.AdaptiveNet(4, tones)(torch.randn(3, 4, tones)).shape == (3, 2)


def test_halves_and_places_are_kept_apart():
    place = np.tile(np.repeat(np.arange(3), 10), 2).astype(np.uint8)
    dfl = {"location": place, "domain": np.repeat([0, 1], 30), "domain_names": np.array(["a", "b"])}
    rng = np.random.default_rng(0)
    early, late = (nb.half(dfl, "b", rng, late=late) for late in (False, True))
    assert set(early) | set(late) == set(range(30, 60)) and not set(early) & set(late)
    assert all(early[place[early] == p].max() < late[place[late] == p].min() for p in range(3))
    assert (np.bincount(place[nb.half(dfl, "a", rng, late=False, most=2)]) == 2).all()


def own_file(path, **changes):
    rng = np.random.default_rng(0)
    spots = rng.uniform(0, 5, (6, 2))
    place = np.tile(np.repeat(np.arange(6), 4), 2)
    arrays = {"amp": rng.standard_normal((48, 20)) * 0.1 + spots[place] @ rng.standard_normal((2, 20)),
              "xy": spots[place], "session": np.repeat(["old", "ten"], 24)} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return datasets.load(path)


def test_own_data_by_position_or_by_class(tmp_path):
    place = np.tile(np.repeat(np.arange(6), 4), 2)
    for changes, limit in (({}, 2.0), ({"xy": None, "location": place}, None)):
        task = nb.with_source_net(nb.own_task(own_file(tmp_path / "a.npz", **changes), k=2), 0)
        assert [len(task[name][0]) for name in ("source", "test")] == [24, 12] and len(task["target"][1][0]) == 12
        for model in (nb.adapted(task, 0, nb.adaploc), nb.after_coral(task, 0), nb.neighbours(task, 0),
                      *(nb.finished(task, 0, how) for how in ("source model", "own scale", "batch-norm statistics"))):
            score, again = nb.scores(model, task)
            assert np.isnan(again) and (score < 6 if limit else 0 <= score <= 100)
        assert nb.scores(nb.neighbours(task, 0), task)[0] < 0.5 if limit else True


def test_own_data_as_csi_counts_recordings(tmp_path):
    rng = np.random.default_rng(0)
    csi = (rng.standard_normal((48, 30, 3, 2)) + 1j * rng.standard_normal((48, 30, 3, 2))).astype(np.complex64)
    own = own_file(tmp_path / "a.npz", amp=None, csi=csi, recording=np.arange(48) // 2)
    task = nb.own_task(own, k=1)
    assert task["source"][0].shape == (24, 6, 30)
    assert len(task["target"][1][0]) == len(task["test"][0]) == 12  # two packets of each of six recordings


def test_the_scale_of_the_target_undoes_a_change_of_scale():
    one = task()
    moved = {**one, "unlabelled": 3 * one["unlabelled"] + 5, "test": (3 * one["test"][0] + 5, one["test"][1])}
    own_scale = (one["test"][0] - one["unlabelled"].mean(0)) / one["unlabelled"].std(0)
    as_it_is = {**one, "test": (own_scale, one["test"][1])}
    here, there = (nb.finished(case, 0, how) for case, how in ((as_it_is, "source model"), (moved, "own scale")))
    assert nb.scores(here, as_it_is)[0] == pytest.approx(nb.scores(there, moved)[0], rel=1e-3)


def test_one_visit_s_scale_is_that_of_the_labelled_visit():
    one = task()
    x, _ = one["test"]
    labelled = one["target"][1][0]
    expected = nb.finished(one, 0, "source model")((x - labelled.mean(0)) / labelled.std(0))
    torch.testing.assert_close(nb.finished(one, 0, "own scale, one visit")(x), expected)


def test_alignment_on_own_scale_is_alignment_of_a_scaled_session():
    one = task()
    mean, deviation = one["unlabelled"].mean(0), one["unlabelled"].std(0)
    x, y, place = one["target"][1]
    scaled = {**one, "target": {1: ((x - mean) / deviation, y, place)}}
    by_hand = nb.adapted(scaled, 3, nb.adaploc, steps=5)
    x, _ = one["test"]
    found = nb.adapted(one, 3, nb.adaploc, steps=5, own_scale=True)(x)
    torch.testing.assert_close(found, by_hand((x - mean) / deviation))
    assert not torch.allclose(found, nb.adapted(one, 3, nb.adaploc, steps=5)(x))


@pytest.mark.parametrize(("changes", "message"), [
    ({"session": None}, "the array session is missing; it has amp, xy"),
    ({"xy": None}, "the array xy or location is missing"),
    ({"session": np.zeros(48, int)}, "session has one value, 0"),
    ({"xy": np.arange(96.0).reshape(48, 2)}, "24 places of the later sessions do not occur"),
])
def test_own_data_mistakes_are_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        nb.own_task(own_file(tmp_path / "a.npz", **changes), k=1)


def test_own_data_without_a_row_left_for_the_test(tmp_path):
    with pytest.raises(ValueError, match="no row is left for the test when k = 4"):
        nb.own_task(own_file(tmp_path / "a.npz"), k=4)
