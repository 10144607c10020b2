"""The definitions of the deeper notebook of DSAN: what it takes over, its test, its switches and its radio data."""

import os

import numpy as np
import pytest
import torch
from notebook_code import definitions, sources
from scipy import stats

from csi_utils import datasets, training

nb = definitions("deeper/04_frames_and_other_data")
TAKEN = ("kernel_sum", "lmmd", "mmd", "ramp", "features_of", "predicted", "dsan", "source_only", "dan",
         "endless", "adapt")


def test_what_is_taken_over_is_word_for_word_that_of_notebook_04():
    here, there = sources("deeper/04_frames_and_other_data"), sources("04_dsan")
    assert {name: here[name] for name in TAKEN} == {name: there[name] for name in TAKEN}


def test_draws_of_a_mixture_have_its_mean_and_variance():
    x = nb.draw([(-0.9, 0.4359), (0.9, 0.4359)], 40000, np.random.default_rng(0))
    assert abs(x.mean()) < 0.03 and abs(x.var() - 1) < 0.03 and np.mean(np.abs(x) < 0.2) < 0.1  # two humps


def test_the_permutation_test_keeps_its_level_and_finds_a_move():
    rng = np.random.default_rng(1)

    def p_values(shift):
        points = [np.r_[rng.standard_normal(15), rng.standard_normal(25) + shift] for _ in range(200)]
        return np.array([nb.permutation_test(np.exp(-((z[:, None] - z) ** 2) / 0.5), 15, rng, 99) for z in points])

    equal = p_values(0.0)
    assert stats.kstest(equal, "uniform").pvalue > 0.001 and (equal <= 0.05).mean() < 0.11
    assert (p_values(1.5) <= 0.05).mean() > 0.9


class Given:
    """In place of a random generator: the relabellings are the rows of `v`."""

    def __init__(self, v):
        self.v = v

    def permuted(self, signs, axis):
        assert signs.shape == self.v.shape and axis == 1
        return self.v


def test_p_value_by_hand():
    far = np.kron(np.eye(2), np.ones((2, 2)))  # two pairs of equal points: 1 within, 0 between
    plus, mixed = np.array([1, 1, -1, -1]) / 2, np.array([1, -1, 1, -1]) / 2
    for count, rows in ((0, [mixed] * 4), (2, [plus, mixed, mixed, -plus]), (4, [plus] * 4)):
        assert nb.permutation_test(far, 2, Given(np.array(rows)), 4) == (1 + count) / 5
    rng = np.random.default_rng(0)
    assert nb.permutation_test(np.kron(np.eye(2), np.ones((12, 12))), 12, rng, 19) == 1 / 20  # never reached
    assert nb.permutation_test(np.ones((8, 8)), 4, rng, 19) == 1  # always reached
    assert nb.permutation_test(np.full((6, 6), 0.1), 3, rng, 9) == 1  # equal points: rounding decides nothing
    assert nb.permutation_test(far, 2, rng, 4000) == pytest.approx(2 / 6, abs=0.04)  # by 2 of the 6 ways to choose


def test_each_domain_by_itself_is_dsan_but_for_batch_norm():
    rng = torch.Generator().manual_seed(0)
    xs, xt = torch.randn(20, 5, generator=rng), 3 + torch.randn(16, 5, generator=rng)
    source, target = (xs, torch.arange(20) % 3), (xt,)
    made = training.seeded(lambda: nb.dense(5, 3), 0)
    joint, separate = (loss(made, source, target, 0.7).item() for loss in (nb.dsan, nb.dsan_each_by_itself))
    assert abs(joint - separate) > 1e-3
    made.eval()  # running averages: both pass in the same way
    joint, separate = (loss(made, source, target, 0.7).item() for loss in (nb.dsan, nb.dsan_each_by_itself))
    assert joint == pytest.approx(separate, rel=1e-5)


def test_switches_on_digits(digit_job):
    def with_norm(call):
        return any(isinstance(layer, torch.nn.BatchNorm2d) for layer in call.model.modules())

    asked, found = digit_job(nb, [nb.source_only, nb.dsan], norm=False)
    assert [call.loss for call in asked["adapt"]] == [nb.source_only, nb.dsan]  # a warm start
    for call in asked["adapt"]:
        assert call.means == pytest.approx((0.1, 0.3)) and call.rest == [2, 4, 1003, False] and not with_norm(call)
    np.testing.assert_allclose(found["there"], [[400.12, 200.12]] * 2)  # the target's test, held-out source
    asked, _ = digit_job(nb, [nb.source_only], statistics=True)
    assert asked["statistics"] == [(1000, pytest.approx(0.3))] * 2 and with_norm(asked["adapt"][0])
    _, found = digit_job(nb, [nb.dsan], fail=True)
    assert found["there"] == [(10.0, 10.0)] * 2  # a loss that is not finite counts as guessing


def test_own_scale_standardizes_pool_and_test_by_the_pool():
    rng = np.random.default_rng(3)
    shifts = {"source": 5, "pool": 12, "test": 12}
    parts = {name: (at + 2 * rng.standard_normal((50, 3)), np.zeros(50, int)) for name, at in shifts.items()}
    own, home = nb.standardized(parts, own=True), nb.standardized(parts)
    np.testing.assert_allclose(own["pool"][0].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(own["source"][0], home["source"][0])
    assert abs(own["test"][0].mean()) < 0.5 < 2 < home["test"][0].mean()


def test_radio_parts_keep_pool_and_test_apart():
    place, domain = np.tile(np.repeat(np.arange(3), 50), 4).astype(np.uint8), np.repeat([0, 1, 2, 3], 150)
    rooms = ["EXP2_sub1", "EXP2_sub2", "EXP3-r1_sub1", "EXP3-r1_sub2"]
    dfl = {"amp": np.arange(600 * 120).reshape(600, 120), "location": place, "domain": domain, "domain_names": rooms}
    found = nb.dfl_parts(dfl, 1000)
    assert len(found) == 4
    parts, classes, metres = found["EXP2, session 1 to 2"]
    assert classes == 18 and metres is None
    assert np.bincount(parts["source"][1]).tolist() == [40] * 3 and parts["source"][0].max() < 150 * 120
    pool, test = (parts[name][0][:, 0, 0] for name in ("pool", "test"))
    assert len(pool) == len(test) == 75 and not set(pool) & set(test)
    assert all(pool[parts["pool"][1] == c].max() < test[parts["test"][1] == c].min() for c in range(3))
    back = found["EXP2, session 2 to 1"][0]
    assert back["source"][0].min() >= 150 * 120 > back["test"][0].max()
    again, other = (nb.dfl_parts(dfl, number)["EXP2, session 1 to 2"][0]["source"][0] for number in (1000, 1001))
    np.testing.assert_array_equal(again, parts["source"][0])
    assert not np.array_equal(other, again)


def test_simulated_rooms_test_off_the_grid():
    (parts, classes, (places, spots)), = nb.sim_parts(5).values()
    assert parts["source"][0].shape[1:] == (12, 30) and classes == len(places)
    assert set(parts["source"][1]) == set(parts["pool"][1]) == set(range(len(places)))
    assert parts["test"][1].min() >= len(places) and np.allclose(spots[: len(places)], places)
    data = datasets.load("sim-lab", sessions=("survey", "window"), packets=3, empty=0, visits=5, seed=5)
    csi, recording = np.abs(data["csi"]), np.asarray(data["recording"])
    for name, session, reference in (("source", 0, True), ("pool", 1, True), ("test", 1, False)):
        rows = (data["session"] == session) & (data["reference"] == reference)
        chosen = np.unique(recording[rows])
        assert len(parts[name][0]) == len(chosen)
        for k in (0, len(chosen) // 2, len(chosen) - 1):
            packets = csi[recording == chosen[k]].reshape(3, 2, 30, 6)
            expected = np.array([[packets[:, i, f, j].mean() for f in range(30)] for i in range(2) for j in range(6)])
            np.testing.assert_allclose(parts[name][0][k], expected, rtol=1e-5)
            assert set(data["point"][recording == chosen[k]]) == {parts[name][1][k]}


def test_activities_keep_pool_and_test_apart_and_are_other_scenes_than_the_source(monkeypatch):
    keys = np.array([(s, p, a, t) for s in range(2) for p in range(2) for a in range(1, 4) for t in range(5)])
    scene, subject, activity, trial = np.random.default_rng(0).permutation(keys).T
    n = len(scene)
    har = {"amp_q": np.broadcast_to(np.arange(n, dtype=np.int16)[:, None, None, None], (n, 2, 3, 200)),
           "scale": np.full((n, 200), 2.0), "activity": activity, "scene": scene, "subject": subject, "trial": trial}
    monkeypatch.setattr(nb, "motion_features", lambda amplitude: amplitude.mean((1, 2))[:, None])
    for here, (parts, classes, metres) in enumerate(nb.har_parts(har, 1001).values()):
        assert classes == 11 and metres is None
        row = {name: (x[:, 0] / 2).astype(int) for name, (x, _) in parts.items()}  # which rows of the set
        assert all(np.array_equal(y, activity[row[name]] - 1) for name, (_, y) in parts.items())
        assert not set(row["pool"]) & set(row["test"])
        assert sorted([*row["pool"], *row["test"]]) == np.flatnonzero(scene != here).tolist()
        assert sorted(row["source"]) == np.flatnonzero(scene == here).tolist()
        assert set(trial[row["pool"]]) == {0, 1} and set(trial[row["test"]]) == {2, 3, 4}


def test_activities_draw_700_rows_of_the_source_anew(monkeypatch):
    n = 1680
    har = {"amp_q": np.broadcast_to(np.arange(n, dtype=np.int16)[:, None, None, None], (n, 1, 1, 200)),
           "scale": np.ones((n, 200)), "activity": np.ones(n, int), "scene": np.arange(n) % 2,
           "subject": np.zeros(n, int), "trial": np.arange(n)}
    monkeypatch.setattr(nb, "motion_features", lambda amplitude: amplitude.mean((1, 2))[:, None])
    a, b = (set(nb.har_parts(har, number)["bedroom to meeting room"][0]["source"][0].ravel().astype(int))
            for number in (1000, 1001))
    assert len(a) == len(b) == 700 and a != b and not any(row % 2 for row in a | b)


@pytest.mark.skipif(not os.environ.get("CSI_DATA_MIRROR"), reason="CSI_DATA_MIRROR is not set: no real data")
@pytest.mark.real_data
def test_real_rows_of_pool_and_test_are_others():
    dfl, har = (datasets.load(name) for name in ("dfl-4env", "har-bedroom-meetingroom"))
    pairs = [*nb.dfl_parts(dfl, 1000).values(), *nb.har_parts(har, 1000).values()]
    for parts, *_ in pairs[::3]:
        pool, test = ({row.tobytes() for row in parts[name][0]} for name in ("pool", "test"))
        assert not pool & test
        assert set(parts["pool"][1]) == set(parts["test"][1]) == set(parts["source"][1])


class Threshold(torch.nn.Module):
    """Class 1 above zero, surely."""

    def forward(self, x):
        return 1000 * torch.cat([-x, x], 1)


def moved_by_ten():
    rng = np.random.default_rng(0)
    x = {name: np.sign(rng.standard_normal((n, 1))) * (1 + 0.2 * rng.random((n, 1)))
         for name, n in (("source", 40), ("pool", 31), ("test", 20))}
    return {name: (part + 10 * (name != "source"), (part[:, 0] > 0).astype(int)) for name, part in x.items()}


@pytest.mark.parametrize("metres", [False, True])
def test_radio_scores_each_method_on_its_own_scale(monkeypatch, metres):
    parts, calls, looked = moved_by_ten(), [], []

    def adapt(model, loss, source, pool, epochs, steps, seed, talk):
        calls.append((loss, source, pool, epochs, steps, seed, talk))

    monkeypatch.setattr(nb, "adapt", adapt)
    monkeypatch.setattr(nb, "dense", lambda inputs, classes: Threshold())
    monkeypatch.setattr(training, "with_target_statistics", lambda model, x: (looked.append(x), model)[1])
    places, spots = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]])
    cases = {"case": (parts, 2, (places, spots) if metres else None)}
    ones = parts["test"][1].mean()  # the share of class 1, which all moved points seem to be
    good, bad = (0, 5 * (1 - ones)) if metres else (100, 100 * ones)
    assert nb.on_radio(cases, 17, nb.dsan, 20)["case"] == pytest.approx(bad)
    assert nb.on_radio(cases, 17, nb.dsan, 20, statistics=True)["case"] == pytest.approx(bad)
    assert nb.on_radio(cases, 17, nb.dsan, 20, own=True)["case"] == pytest.approx(good)
    home, own = nb.standardized(parts), nb.standardized(parts, own=True)
    for (loss, source, pool, *rest), data in zip(calls, (home, home, own), strict=True):
        assert loss is nb.dsan and rest == [10, 20, 17, False]
        assert torch.equal(source[0], data["source"][0]) and torch.equal(pool[0], data["pool"][0])
    assert len(looked) == 1 and torch.equal(looked[0], home["pool"][0])
    for own in (False, True):  # CORAL, and own scale alone
        linear = nb.linear(cases, 17, own)["case"]
        assert linear < bad / 1.5 if metres else linear == 100
