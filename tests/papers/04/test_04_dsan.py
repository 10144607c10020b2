"""The definitions of notebook 04 on inputs the notebook does not show, against libraries, closed forms and loops."""

import ast
import json
import os

import numpy as np
import ot
import pandas as pd
import pytest
import torch
from notebook_code import NOTEBOOKS, definitions
from scipy import integrate, stats
from sklearn.metrics.pairwise import rbf_kernel
from torch.nn.functional import one_hot

from csi_utils import datasets, digits, training

nb = definitions("04_dsan")
nb.seed, nb.device, nb.cfg = 0, torch.device("cpu"), {"csi_steps": 20}
METHODS = ("source only", "w = 0", "DAN", "DANN", "DSAN", "DSAN, true labels", "DSAN, shuffled")


def published(zs, zt, ys, pt, C):
    """LMMD as the summary describes the published code: all differences, five exponentials, weights class by class."""
    z = torch.cat([zs, zt])
    n = len(z)
    d2 = ((z.unsqueeze(0) - z.unsqueeze(1)) ** 2).sum(2)
    b = d2.detach().sum() / (n**2 - n) / 4
    K = sum(torch.exp(-d2 / (b * 2**u)) for u in range(5))
    label, p = ys.argmax(1).numpy(), pt.detach().numpy()
    ss, tt, st = (np.zeros(shape) for shape in ((len(zs),) * 2, (len(zt),) * 2, (len(zs), len(zt))))
    common = set(label) & set(p.argmax(1))
    for c in common:
        s = (label == c) / (label == c).sum()
        t = p[:, c] / p[:, c].sum()
        ss, tt, st = ss + np.outer(s, s), tt + np.outer(t, t), st + np.outer(s, t)
    ss, tt, st = (torch.tensor(w / len(common), dtype=z.dtype) for w in (ss, tt, st))
    m = len(zs)
    return (ss * K[:m, :m]).sum() + (tt * K[m:, m:]).sum() - 2 * (st * K[:m, m:]).sum()


def batch(seed, n_s, n_t, d=6, C=4, dtype=torch.float64):
    rng = torch.Generator().manual_seed(seed)
    zs, zt = (3 * torch.randn(n, d, generator=rng, dtype=dtype) + 20 for n in (n_s, n_t))
    ys = one_hot(torch.randint(C, (n_s,), generator=rng), C).to(dtype)
    pt = torch.softmax(2 * torch.randn(n_t, C, generator=rng, dtype=dtype), 1)
    return zs.requires_grad_(), zt.requires_grad_(), ys, pt


@pytest.mark.parametrize(("n_s", "n_t", "C"), [(16, 16, 3), (7, 12, 4), (64, 64, 7), (40, 9, 10), (2, 2, 2)])
def test_lmmd_is_the_published_loss_in_value_and_gradient(n_s, n_t, C):
    args = batch(n_s + C, n_s, n_t, C=C)
    values = nb.lmmd(*args), published(*args, C)
    slopes = [torch.cat(torch.autograd.grad(value, args[:2])) for value in values]
    assert abs(values[0] / values[1] - 1) < 1e-6
    assert (slopes[0] - slopes[1]).norm() < 1e-6 * slopes[1].norm()
    torch.testing.assert_close(nb.lmmd_by_loop(*args) if n_s * n_t < 300 else values[1], values[0], rtol=1e-6, atol=0)


def test_lmmd_in_single_precision_far_from_the_origin():
    args = batch(3, 64, 64, d=512, C=7, dtype=torch.float32)
    exact = nb.lmmd(*(part.double() for part in args))
    assert nb.lmmd(*args).item() == pytest.approx(exact.item(), rel=1e-4)


def test_squared_distances_and_kernels_are_the_libraries():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((9, 4)), rng.standard_normal((5, 4)) + 2
    np.testing.assert_allclose(nb.squared_distances(torch.tensor(a), torch.tensor(b)), ot.dist(a, b), atol=1e-12)
    mean = ot.dist(a, a).sum() / (81 - 9)
    expected = sum(rbf_kernel(a, gamma=1 / (mean / 4 * 2**u)) for u in range(5))
    np.testing.assert_allclose(nb.kernel_sum(torch.tensor(a)), expected, rtol=1e-12)


def test_the_bandwidth_is_a_constant_for_the_gradient_and_the_loss_has_no_scale():
    zs, zt, ys, pt = batch(1, 12, 10)
    assert nb.lmmd(zs, zt, ys, pt).item() == pytest.approx(nb.lmmd(5 * zs, 5 * zt, ys, pt).item(), rel=1e-9)
    # with the bandwidth in the gradient, the derivative by the scale would be zero
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    slope, = torch.autograd.grad(nb.mmd(zs.detach() * scale, zt.detach() * scale + 3), scale)
    assert abs(float(slope)) > 1e-3


def test_mmd_is_zero_for_one_sample_symmetric_and_lmmd_with_one_class():
    zs, zt, *_ = batch(2, 11, 8)
    assert abs(nb.mmd(zs, zs.clone()).item()) < 1e-12
    assert nb.mmd(zs, zt).item() == pytest.approx(nb.mmd(zt, zs).item(), rel=1e-9)
    ones = [torch.ones(n, 1, dtype=torch.float64) for n in (11, 8)]
    assert nb.lmmd(zs, zt, *ones).item() == pytest.approx(nb.mmd(zs, zt).item(), rel=1e-9)


def test_shares_of_classes_do_not_matter():
    """Twice as many copies of one class in the target: the local loss's classes stay at distance zero."""
    zs, _, ys, _ = batch(4, 12, 2, C=3)
    zs, twice = zs.detach(), torch.cat([zs, zs[ys[:, 0] > 0]]).detach()
    labels = torch.cat([ys, ys[ys[:, 0] > 0]])
    assert abs(nb.lmmd(zs, twice, ys, labels).item()) < 1e-12 < 1e-4 < nb.mmd(zs, twice).item()


def test_predictions_are_constants():
    zs, zt, ys, _ = batch(5, 9, 9)
    scores = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    value = nb.lmmd(zs, zt, ys, torch.softmax(scores, 1))
    assert torch.autograd.grad(value, scores, allow_unused=True)[0] is None


@pytest.mark.parametrize("side", ["zs", "zt", "pt"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(side, bad):
    zs, zt, ys, pt = (part.detach().clone() for part in batch(6, 8, 8))
    {"zs": zs, "zt": zt, "pt": pt}[side][2, 1] = bad
    with pytest.raises(FloatingPointError, match="not finite"):
        nb.lmmd(zs, zt, ys, pt)
    if side != "pt":
        with pytest.raises(FloatingPointError, match="not finite"):
            nb.mmd(zs, zt)


def test_a_class_that_is_missing_on_one_side_is_left_out():
    zs, zt, ys, _ = batch(7, 6, 6, C=3)
    ys = one_hot(torch.tensor([0, 0, 1, 1, 1, 0]), 3).double()  # no class 2
    pt = one_hot(torch.tensor([0, 0, 2, 2, 2, 0]), 3).double()  # no class 1
    K = nb.kernel_sum(torch.cat([zs, zt]))
    v = torch.cat([ys[:, 0] / 3, -pt[:, 0] / 3])
    assert nb.lmmd(zs, zt, ys, pt).item() == pytest.approx(float(v @ K @ v), rel=1e-9)  # divided by one class


def test_no_common_class_is_zero_with_a_zero_slope():
    zs, zt, *_ = batch(8, 4, 4)
    ys, pt = (one_hot(torch.full((4,), c), 4).double() for c in (0, 1))
    value = nb.lmmd(zs, zt, ys, pt)
    slope = torch.cat(torch.autograd.grad(value, (zs, zt)))
    assert float(value) == 0 and torch.equal(slope, torch.zeros_like(slope))


def test_one_sample_in_a_class_unequal_batches_and_equal_points():
    zs, zt, *_ = batch(9, 5, 3, C=2)
    ys, pt = one_hot(torch.tensor([0, 1, 1, 1, 1]), 2).double(), one_hot(torch.tensor([1, 1, 0]), 2).double()
    K = nb.kernel_sum(torch.cat([zs, zt]))
    v0 = torch.tensor([1, 0, 0, 0, 0, 0, 0, -1.0], dtype=torch.float64)
    v1 = torch.tensor([0, 1, 1, 1, 1, -2, -2, 0], dtype=torch.float64) / 4
    assert nb.lmmd(zs, zt, ys, pt).item() == pytest.approx(float(v0 @ K @ v0 + v1 @ K @ v1) / 2, rel=1e-9)
    same = torch.ones(4, 3, requires_grad=True)
    value = nb.mmd(same, same.detach())
    assert float(value) == 0 and torch.isfinite(torch.autograd.grad(value, same)[0]).all()


@pytest.mark.parametrize(("shapes", "message"), [
    (((4, 3), (4, 2), (4, 2), (4, 2)), "zs, zt"), (((0, 3), (4, 3), (0, 2), (4, 2)), "zs, zt"),
    (((4, 3), (4, 3), (5, 2), (4, 2)), "ys, pt"), (((4, 3), (4, 3), (4, 2), (4, 3)), "ys, pt"),
    (((4,), (4,), (4, 2), (4, 2)), "zs, zt")])
def test_shapes_that_do_not_fit_are_named(shapes, message):
    with pytest.raises(ValueError, match=message):
        nb.lmmd(*(torch.ones(shape) for shape in shapes))


def test_class_weights_add_up_to_one_or_to_zero():
    w = nb.class_weights(torch.tensor([[0.9, 0.1, 0.0], [0.3, 0.7, 0.0]]))
    torch.testing.assert_close(w.sum(0), torch.tensor([1.0, 1.0, 0.0]))


def test_known_value_of_the_mmd_by_quadrature():
    p, q, h = [(0.3, 1.2)], [(-1.0, 0.5), (2.0, 0.8)], 0.7

    def density(mixture, x):
        return np.mean([stats.norm.pdf(x, *part) for part in mixture])

    def expectation(a, b):
        return integrate.dblquad(lambda y, x: density(a, x) * density(b, y) * np.exp(-((x - y) ** 2) / h), -9, 9, -9, 9,
                                 epsabs=1e-6)[0]

    expected = expectation(p, p) + expectation(q, q) - 2 * expectation(p, q)
    assert nb.mmd2_of_mixtures(p, q, h) == pytest.approx(expected, abs=1e-5)


def test_v_and_u_statistic_by_loop():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(7), rng.standard_normal(5) + 1
    both = np.r_[x, y]
    K = nb.kernel(both, both, 0.5)
    v, u = nb.mmd2(K, 7)
    assert v == pytest.approx(nb.mmd2_by_loop(x, y, 0.5))
    within = [nb.kernel(z, z, 0.5)[~np.eye(len(z), dtype=bool)].mean() for z in (x, y)]
    assert u == pytest.approx(sum(within) - 2 * nb.kernel(x, y, 0.5).mean())


def test_the_permutation_test_keeps_its_level_and_finds_a_move():
    rng = np.random.default_rng(1)

    def p_values(shift):
        points = [np.r_[rng.standard_normal(15), rng.standard_normal(25) + shift] for _ in range(200)]
        return np.array([nb.permutation_test(nb.kernel(z, z, 0.5), 15, rng, 99) for z in points])

    equal = p_values(0.0)
    assert stats.kstest(equal, "uniform").pvalue > 0.001 and (equal <= 0.05).mean() < 0.11
    assert (p_values(1.5) <= 0.05).mean() > 0.9


def test_gradient_reversal():
    x = torch.randn(4, 3, requires_grad=True)
    y = nb.Reverse.apply(x, 0.7)
    assert torch.equal(y, x)
    slope, = torch.autograd.grad((y**2).sum(), x)
    torch.testing.assert_close(slope, -0.7 * 2 * x)


def test_ramp_is_half_the_way_from_minus_one_to_one_of_a_logistic_curve():
    p = np.linspace(0, 1, 7)
    np.testing.assert_allclose(nb.ramp(p), 2 * stats.logistic.cdf(10 * p) - 1)


def toy_pair(n=200, shift=1.5):
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 3
    centres = 4 * torch.eye(3, 5)
    parts = {key: centres[y] + torch.randn(n, 5, generator=rng) for key in ("source", "pool", "test")}
    return {key: (x + shift * (key != "source"), y) for key, x in parts.items()}


def test_every_method_sees_the_same_source_batches_and_starts_from_the_same_weights(monkeypatch):
    seen = {}
    real = nb.loss_of

    def spy(method, net, judge, source, target, *rest):
        seen.setdefault(method, []).append((source[0].clone(), next(net.parameters()).detach().clone()))
        return real(method, net, judge, source, target, *rest)

    monkeypatch.setattr(nb, "loss_of", spy)
    with training.one_thread():
        for method in METHODS:
            nb.adapt(method, lambda: nb.dense_net(5, 3), toy_pair(), 7, 4, 2)
    first = seen[METHODS[0]]
    for method in METHODS[1:]:
        assert len(seen[method]) == 4
        assert all(torch.equal(a[0], b[0]) for a, b in zip(seen[method], first, strict=True))
        assert torch.equal(seen[method][0][1], first[0][1])


def test_target_labels_touch_only_the_method_that_is_not_allowed():
    pair = toy_pair()
    wrong = pair | {"pool": (pair["pool"][0], (pair["pool"][1] + 1) % 3)}
    with training.one_thread():
        for method in METHODS:
            a, b = (nb.adapt(method, lambda: nb.dense_net(5, 3), part, 3, 20, 2)[0] for part in (pair, wrong))
            same = all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
            assert same == (method != "DSAN, true labels"), method


def test_w_0_is_dsan_without_the_penalty_and_the_same_seed_gives_the_same_bits(monkeypatch):
    monkeypatch.setattr(nb, "W", 0.0)
    with training.one_thread():
        runs = [nb.adapt(method, lambda: nb.dense_net(5, 3), toy_pair(), 1, 20, 2)[0]
                for method in ("w = 0", "DSAN", "DSAN")]
    for net in runs[1:]:
        assert all(torch.equal(p, q) for p, q in zip(runs[0].parameters(), net.parameters(), strict=True))


def test_a_diverging_training_stops_with_an_error():
    pair = toy_pair()
    pair["pool"][0][0, 0] = float("nan")
    with pytest.raises(FloatingPointError), training.one_thread():
        nb.adapt("DSAN", lambda: nb.dense_net(5, 3), pair, 0, 8, 2)


def test_lenet_has_the_textbook_number_of_weights_and_smaller_sisters():
    assert sum(p.numel() for p in nb.lenet(norm=False).parameters()) == 431080
    for size in (16, 28):
        assert nb.lenet(size).eval()(torch.rand(2, 1, size, size)).shape == (2, 10)


def test_own_scale_standardizes_pool_and_test_by_the_pool():
    rng = np.random.default_rng(3)
    shifts = {"source": 5, "pool": 12, "test": 12}
    parts = {name: (at + 2 * rng.standard_normal((50, 3)), np.zeros(50, int)) for name, at in shifts.items()}
    own, home = nb.standardized(parts, own=True), nb.standardized(parts)
    np.testing.assert_allclose(own["pool"][0].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(own["source"][0], home["source"][0])
    assert abs(own["test"][0].mean()) < 0.5 < 2 < home["test"][0].mean()


def test_radio_parts_keep_pool_and_test_apart():
    place, domain = np.tile(np.repeat(np.arange(3), 50), 2).astype(np.uint8), np.repeat([0, 1], 150)
    dfl = {"amp": np.arange(300 * 120).reshape(300, 120), "location": place, "domain": domain}
    parts = nb.dfl_parts(dfl, 0, 1, np.random.default_rng(0))
    assert np.bincount(parts["source"][1]).tolist() == [40] * 3 and parts["source"][0].max() < 150 * 120
    pool, test = (parts[name][0][:, 0, 0] for name in ("pool", "test"))
    assert len(pool) == len(test) == 75 and not set(pool) & set(test)
    assert all(pool[parts["pool"][1] == c].max() < test[parts["test"][1] == c].min() for c in range(3))


def test_simulated_rooms_test_off_the_grid():
    parts, places, spots = nb.sim_parts(5)
    assert parts["source"][0].shape[1:] == (12, 30)
    assert set(parts["source"][1]) == set(parts["pool"][1]) == set(range(len(places)))
    assert parts["test"][1].min() >= len(places) and np.allclose(spots[: len(places)], places)


class Given:
    """In place of a random generator: the relabellings are the rows of `v`."""

    def __init__(self, v):
        self.v = v

    def permuted(self, signs, axis):
        assert signs.shape == self.v.shape and axis == 1
        return self.v


def test_p_value_by_hand():
    far = nb.kernel(np.r_[0.0, 0, 50, 50], np.r_[0.0, 0, 50, 50])  # two pairs of equal points: 1 within, 0 between
    plus, mixed = np.array([1, 1, -1, -1]) / 2, np.array([1, -1, 1, -1]) / 2
    for count, rows in ((0, [mixed] * 4), (2, [plus, mixed, mixed, -plus]), (4, [plus] * 4)):
        assert nb.permutation_test(far, 2, Given(np.array(rows)), 4) == (1 + count) / 5
    rng = np.random.default_rng(0)
    assert nb.permutation_test(np.kron(np.eye(2), np.ones((12, 12))), 12, rng, 19) == 1 / 20  # never reached
    assert nb.permutation_test(np.ones((8, 8)), 4, rng, 19) == 1  # always reached
    assert nb.permutation_test(np.full((6, 6), 0.1), 3, rng, 9) == 1  # equal points: rounding decides nothing
    assert nb.permutation_test(far, 2, rng, 4000) == pytest.approx(2 / 6, abs=0.04)  # by 2 of the 6 ways to choose


@pytest.mark.parametrize("rule", ["global", "true", "predicted", "shuffled"])
def test_a_slide_of_one_step_follows_the_slope_of_the_published_loss(monkeypatch, rule):
    monkeypatch.setattr(nb, "CENTRES", torch.tensor([[0.0, 2], [-2, -1], [2, -1]]), raising=False)
    zs, ys, zt, yt = (part.double() if part.is_floating_point() else part for part in nb.clouds(3))
    assert [torch.bincount(y).tolist() for y in (ys, yt)] == [[20, 20, 20], [30, 18, 12]]
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    p = {"true": one_hot(yt, 3).double(), "shuffled": nb.guess(zt)[order]}.get(rule, nb.guess(zt))
    labels = (torch.ones(60, 1).double(),) * 2 if rule == "global" else (one_hot(ys, 3).double(), p)
    slope, = torch.autograd.grad(published(zs, z := zt.clone().requires_grad_(), *labels, labels[0].shape[1]), z)
    found = nb.slide(rule, *(part.float() if part.is_floating_point() else part for part in (zs, ys, zt, yt)), steps=1)
    torch.testing.assert_close(found.double(), zt - 0.2 * 60 * slope, rtol=1e-4, atol=1e-4)


def expected_loss(method, net, judge, source, target, strength, joint, order, reverse=False):
    """Eq. (5) put together from `published` and torch's own pieces; reverse: the judge's part with a minus."""
    (xs, ys), (xt, yt) = source, target
    n = len(xs)
    if method == "source only":
        return torch.nn.functional.cross_entropy(net.head(net.features(xs)), ys)
    if joint:
        both = net.features(torch.cat([xs, xt]))
        zs, zt = both[:n], both[n:]
    else:
        zs, zt = net.features(xs), net.features(xt)
    loss = -torch.log_softmax(net.head(zs), 1)[torch.arange(n), ys].mean()
    p = torch.softmax(net.head(zt), 1).detach()
    if method == "DANN":
        scores = torch.log_softmax(judge(torch.cat([zs, zt])), 1)
        wrong = -(scores[:n, 0].sum() + scores[n:, 1].sum()) / (n + len(xt))
        return loss + (-strength if reverse else 1) * wrong
    one = [torch.ones(len(x), 1, dtype=x.dtype) for x in (xs, xt)]
    labels = {"DAN": (*one, 1), "DSAN": (one_hot(ys, 3), p, 3), "DSAN, shuffled": (one_hot(ys, 3), p[order], 3),
              "DSAN, true labels": (one_hot(ys, 3), one_hot(yt, 3), 3)}.get(method)
    return loss if labels is None else loss + 0.5 * strength * published(zs, zt, *labels)


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_loss_and_slopes_of_each_method(method, joint):
    net = training.seeded(lambda: nb.dense_net(5, 3), 1).double()
    judge = training.seeded(lambda: torch.nn.Linear(64, 2), 2).double()
    pair = toy_pair(30, shift=3.0)
    source, target = ((pair[part][0].double(), pair[part][1]) for part in ("source", "pool"))
    target = target[0][:23], torch.randint(3, (23,), generator=torch.Generator().manual_seed(4))
    order = torch.randperm(23, generator=torch.Generator().manual_seed(5))
    args = method, net, judge, source, target, 0.37
    found = nb.loss_of(*args, joint, torch.Generator().manual_seed(5))
    expected = expected_loss(*args, joint, order)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    if method != "source only":
        other = expected_loss(*args, not joint, order)
        assert abs(found.item() - other.item()) > 1e-3  # else the test could not tell
    weights = list(net.parameters())
    slopes = torch.autograd.grad(found, weights, retain_graph=True)
    reverse = torch.autograd.grad(expected_loss(*args, joint, order, reverse=True), weights)
    torch.testing.assert_close(slopes, reverse, rtol=1e-6, atol=1e-9)
    if method == "DANN":  # the judge itself learns with its full, unturned slope
        slopes, plain = (torch.autograd.grad(loss, judge.parameters()) for loss in (found, expected))
        torch.testing.assert_close(slopes, plain, rtol=1e-9, atol=1e-12)


def test_schedules_optimizer_and_rows_of_a_training(monkeypatch):
    made, calls, watched, rows = [], [], [], toy_pair()
    pair = {name: (100 * k + torch.arange(200.0)[:, None] * torch.ones(5) / 1000, y)
            for k, (name, (_, y)) in enumerate(rows.items())}

    class Recorded(torch.optim.SGD):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            made.append(self)

    def spy(method, net, judge, source, target, strength, joint, rng):
        rates = {group["lr"] for group in made[0].param_groups}
        calls.append((method, net.training, source, target, strength, joint, rates))
        return sum((p**2).sum() for p in (*net.parameters(), *judge.parameters()))

    monkeypatch.setattr(torch.optim, "SGD", Recorded)
    monkeypatch.setattr(nb, "loss_of", spy)
    with training.one_thread():
        net, history = nb.adapt("DANN", lambda: nb.dense_net(5, 3), pair, 7, 14, 4,
                                lambda net: (watched.append(net.eval()), len(calls)), joint="as told")
    (optimizer,), epochs = made, np.repeat(np.arange(1, 5), 3)  # 14 // 4 = 3 steps each
    assert [seen for _, seen in history] == [3, 6, 9, 12] and len(calls) == 12 and not net.training
    assert all(seen is net for seen in watched)
    np.testing.assert_allclose([call[4] for call in calls], np.tanh(5 * epochs / 4))
    assert all(len(call[6]) == 1 for call in calls)
    np.testing.assert_allclose([max(call[6]) for call in calls], 0.03 / (1 + 10 * (epochs - 1) / 4) ** 0.75)
    assert {call[0] for call in calls} == {"DANN"} and {call[5] for call in calls} == {"as told"}
    assert all(call[1] for call in calls)  # in training mode, also after somebody watched
    group, = optimizer.param_groups
    assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.9, 5e-4, False)
    assert len(group["params"]) == len(list(net.parameters())) + 4  # the judge learns too
    for name, at in (("source", 2), ("pool", 3)):
        for call in calls:
            x, y = call[at]
            row = ((x[:, 0] - pair[name][0][0, 0]) * 1000).round().long()
            assert len(row) == 64 and 0 <= row.min() and row.max() < 200 and torch.equal(y, pair[name][1][row])


@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize(("here", "there"), [("uci-digits", "mnist-5000"), ("mnist-5000", "uci-digits")])
def test_digits_of_pool_and_test_and_of_source_and_held_are_others(here, there, framed):
    pair = nb.digit_pair(here, there, 16, 300, framed)
    images = {name: {image.numpy().tobytes() for image in x} for name, (x, _) in pair.items()}
    assert not images["pool"] & images["test"] and not images["source"] & images["held"]
    assert {name: len(x) for name, (x, _) in pair.items()} == {
        "source": 300, "held": min(1000, len(digits.load(here, "test")[0])), "pool": 300,
        "test": len(digits.load(there, "test")[0])}
    for name, whose, part in (("source", here, "train"), ("held", here, "test"), ("pool", there, "train"),
                              ("test", there, "test")):
        x, y = digits.load(whose, part, 16)
        x = torch.from_numpy(digits.framed(x, 11) if framed else x)  # 16 * 20 / 28
        near = torch.cdist(pair[name][0][:40].flatten(1), x.flatten(1)).min(1)
        assert near.values.max() < 0.02 and len(set(near.indices.tolist())) == 40
        assert torch.equal(pair[name][1][:40], torch.from_numpy(y)[near.indices])


def test_digits_of_a_large_count_have_more_tests(monkeypatch):
    asked = []
    monkeypatch.setattr(nb, "part_of", lambda *args: asked.append(args))
    nb.digit_pair("usps", "mnist", 28, 60000)
    nb.digit_pair("usps", "mnist", 16, 4000, True)
    assert asked == [("usps", "train", 28, 60000, False), ("usps", "test", 28, 1000, False),
                     ("mnist", "train", 28, 60000, False), ("mnist", "test", 28, 10000, False),
                     ("usps", "train", 16, 4000, True), ("usps", "test", 16, 1000, True),
                     ("mnist", "train", 16, 4000, True), ("mnist", "test", 16, 2000, True)]


def test_accuracy_is_the_share_of_right_rows():
    x, y = torch.eye(4), torch.tensor([0, 1, 2, 0])
    assert nb.accuracy(torch.nn.Identity(), (x, y)) == 75


def digit_job(monkeypatch, methods, options, fail=()):
    """digit_run with parts that are told apart by their values and no training; what was asked for, and the result."""
    level = {"source": 0.1, "held": 0.2, "pool": 0.3, "test": 0.4}
    parts = {name: (torch.full((1200, 1, 16, 16), value), torch.full((1200,), k))
             for k, (name, value) in enumerate(level.items())}
    asked = {"adapt": [], "pair": [], "statistics": []}

    def adapt(method, make, pair, number, steps, epochs, watch=None, joint=True):
        means = {name: pair[name][0].mean().item() for name in pair}
        asked["adapt"].append((method, means, number, steps, epochs, joint))
        if method in fail:
            raise FloatingPointError
        net = make()
        asked["norm"] = any(isinstance(layer, torch.nn.BatchNorm2d) for layer in net.modules())
        return net, [watch(net), watch(net)]

    def statistics(net, x):
        asked["statistics"].append((len(x), x.mean().item()))
        return net

    monkeypatch.setattr(nb, "digit_pair", lambda *args: (asked["pair"].append(args), parts)[1])
    monkeypatch.setattr(nb, "adapt", adapt)
    monkeypatch.setattr(nb, "accuracy", lambda net, part: round(part[0].mean().item() * 1000) + len(part[0]) / 1e4)
    monkeypatch.setattr(training, "with_target_statistics", statistics)
    with training.one_thread():
        out, seen = nb.digit_run(("usps", "mnist", 16, 50, 8, 2, 3, methods, options))
    return asked, out, seen


def test_a_digits_job_scores_and_trains_on_the_right_parts(monkeypatch):
    asked, out, seen = digit_job(monkeypatch, nb.METHODS, {})
    assert asked["pair"] == [("usps", "mnist", 16, 50, False)] and asked["norm"]
    assert [call[0] for call in asked["adapt"]] == [*nb.METHODS[:-1], "source only"]
    for k, (_, means, *rest) in enumerate(asked["adapt"]):
        assert rest == [1003, 8, 2, True]
        ceiling = k == len(nb.METHODS) - 1
        assert means == pytest.approx({"source": 0.3 if ceiling else 0.1, "held": 0.2, "pool": 0.3, "test": 0.4})
    (count, mean), = asked["statistics"]
    assert count == 1000 and mean == pytest.approx(0.3)  # of the pool, not of the test
    columns = [400.12, 200.12, 300.1]  # target test, held-out source, 1000 of the pool
    assert set(out) == {*nb.METHODS, "batch-norm statistics"}
    for method, history in out.items():
        for values in history:
            assert values == pytest.approx(columns), method
        assert len(history) == (1 if method == "batch-norm statistics" else 2)
    assert set(seen) == {"source only", "DSAN", "labels"}
    assert [set(y.tolist()) for y in seen["labels"]] == [{1}, {3}] and len(seen["labels"][0]) == 400
    assert all(z.shape == (400, 64) for z in seen["DSAN"])


def test_switches_of_a_digits_job(monkeypatch):
    options = {"framed": True, "norm": False, "joint": False}
    asked, out, _ = digit_job(monkeypatch, ("source only", "DSAN"), options, fail=("DSAN",))
    assert asked["pair"][0][-1] is True and not asked["norm"] and not asked["adapt"][0][-1]
    assert out["DSAN"] == [[10.0] * 3] and len(out["source only"]) == 2  # counts as guessing
    with pytest.raises(FloatingPointError):
        digit_job(monkeypatch, ("DSAN",), {}, fail=("DSAN",))


@pytest.fixture
def histories(monkeypatch):
    """Two tasks, two methods, two repeats, three epochs of (test, held, pool)."""
    made = {("there", "A", 0): [(1, 9, 5), (7, 2, 5), (3, 3, 9)], ("there", "A", 1): [(8, 1, 0), (2, 2, 1), (4, 8, 0)],
            ("there", "B", 0): [(0, 0, 0), (0, 0, 0), (1, 0, 0)], ("there", "B", 1): [(0, 0, 0), (0, 0, 0), (0, 0, 0)],
            ("back", "A", 0): [(0, 0, 0), (0, 0, 0), (20, 0, 0)], ("back", "A", 1): [(0, 0, 0), (0, 0, 0), (30, 0, 0)],
            ("back", "B", 0): [(0, 0, 0), (0, 0, 0), (5, 0, 0)], ("back", "B", 1): [(0, 0, 0), (0, 0, 0), (7, 0, 0)]}
    monkeypatch.setattr(nb, "found", made, raising=False)
    monkeypatch.setitem(nb.cfg, "repeats", 2)
    monkeypatch.setitem(nb.cfg, "steps", 5)
    return made


def test_the_epoch_that_counts_by_each_rule(histories):
    assert nb.curve("there", "A").shape == (2, 3, 3)
    assert nb.last("there", "A").tolist() == nb.by_rule("there", "A", "last").tolist() == [3, 4]
    assert nb.by_rule("there", "A", "source-validated").tolist() == [1, 4]
    assert nb.by_rule("there", "A", "best").tolist() == [7, 8]


class Ledger:
    def __init__(self):
        self.rows = {}

    def record(self, id, value, interval=None, **words):
        self.rows[id] = pytest.approx(value), pytest.approx(interval), words["dataset"], words["protocol"]

    def not_run(self, id, reason):
        self.rows[id] = reason


@pytest.mark.parametrize(("profile", "real"), [("full", True), ("standard", False), ("smoke", False)])
def test_paired_differences_by_direction_and_in_the_mean(monkeypatch, histories, profile, real):
    ledger = Ledger()
    for name, value in {"ledger": ledger, "real": real, "profile": profile, "TASKS": {"there": 0, "back": 1}}.items():
        monkeypatch.setattr(nb, name, value, raising=False)
    nb.paired("X", "A", "B", by_direction=True)
    nb.paired("Y", "A", "B")
    nb.paired("Z", "A")
    half = stats.t.ppf(0.975, 1) / np.sqrt(2)  # of two repeats: times their standard deviation
    values = {"X.mu": (2, 4), "X.um": (15, 23), "Y.real": (8.5, 13.5), "Z.real": (11.5, 17)}
    if real:
        assert set(ledger.rows) == set(values)
        for id, pair in values.items():
            assert ledger.rows[id][:2] == (np.mean(pair), half * np.std(pair, ddof=1))
        assert "A minus B, MNIST to USPS" in ledger.rows["X.mu"][3] and "USPS to MNIST" in ledger.rows["X.um"][3]
    else:
        assert all("not used" in ledger.rows[id] for id in values)
        small = {"X.embedded": (8.5, 13.5), "Y.embedded": (8.5, 13.5), "Z.embedded": (11.5, 17)}
        assert set(ledger.rows) - set(values) == (set(small) if profile == "smoke" else set())
        for id, pair in small.items() if profile == "smoke" else ():
            assert ledger.rows[id][:2] == (np.mean(pair), half * np.std(pair, ddof=1))


def test_activities_keep_pool_and_test_apart_and_are_other_scenes_than_the_source(monkeypatch):
    keys = np.array([(s, p, a, t) for s in range(2) for p in range(2) for a in range(1, 4) for t in range(5)])
    scene, subject, activity, trial = np.random.default_rng(0).permutation(keys).T
    n = len(scene)
    har = {"amp_q": np.broadcast_to(np.arange(n, dtype=np.int16)[:, None, None, None], (n, 2, 3, 200)),
           "scale": np.full((n, 200), 2.0), "activity": activity, "scene": scene, "subject": subject, "trial": trial}
    monkeypatch.setattr(nb, "motion_features", lambda amplitude: amplitude.mean((1, 2))[:, None])
    for here in (0, 1):
        parts = nb.har_parts(har, here, np.random.default_rng(1))
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
    a, b = (set(nb.har_parts(har, 0, np.random.default_rng(k))["source"][0].ravel().astype(int)) for k in (0, 1))
    assert len(a) == len(b) == 700 and a != b and not any(row % 2 for row in a | b)


@pytest.mark.skipif(not os.environ.get("CSI_DATA_MIRROR"), reason="CSI_DATA_MIRROR is not set: no real data")
@pytest.mark.real_data
def test_real_rows_of_pool_and_test_are_others():
    dfl, har = (datasets.load(name) for name in ("dfl-4env", "har-bedroom-meetingroom"))
    rooms = list(dfl["domain_names"])
    pairs = [nb.dfl_parts(dfl, rooms.index("EXP2_sub1"), rooms.index("EXP2_sub2"), np.random.default_rng(0)),
             nb.har_parts(har, 0, np.random.default_rng(0))]
    for parts in pairs:
        pool, test = ({row.tobytes() for row in parts[name][0]} for name in ("pool", "test"))
        assert not pool & test
        assert set(parts["pool"][1]) == set(parts["test"][1]) == set(parts["source"][1])


def test_simulated_sessions_and_layout():
    parts, *_ = nb.sim_parts(5)
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

    def adapt(method, make, data, number, steps, epochs):
        calls.append((method, data, number, steps, epochs))
        return make(), []

    monkeypatch.setattr(nb, "adapt", adapt)
    monkeypatch.setattr(training, "with_target_statistics", lambda net, x: (looked.append(x), net)[1])
    places, spots = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]])
    found = nb.csi_scores(parts, Threshold, 17, *((places, spots) if metres else ()))
    ones = parts["test"][1].mean()  # the share of class 1, which all moved points seem to be
    good, bad = (0, 5 * (1 - ones)) if metres else (100, 100 * ones)
    assert [call[0] for call in calls] == [*METHODS, "DSAN"]
    home, own = nb.standardized(parts), nb.standardized(parts, own=True)
    for k, (_, data, *rest) in enumerate(calls):
        assert rest == [17, 20, 10]
        for name, (x, y) in (home if k < len(METHODS) else own).items():
            assert torch.equal(data[name][0], x) and torch.equal(data[name][1], y)
    assert len(looked) == 1 and torch.equal(looked[0], home["pool"][0])
    assert set(found) == {*METHODS, "batch-norm statistics", "own scale", "DSAN on own scale", "1-NN",
                          "CORAL, logistic regression", "trivial"}
    for method in (*METHODS, "batch-norm statistics", "1-NN"):
        assert found[method] == pytest.approx(bad), method
    assert found["own scale"] == found["DSAN on own scale"] == pytest.approx(good)
    share = parts["source"][1].mean()
    if metres:
        assert found["CORAL, logistic regression"] < bad / 1.5
        # the mean of the places weighed by the source's shares lies on the line between them
        assert found["trivial"] == pytest.approx(5 * (ones * (1 - share) + (1 - ones) * share))
    else:
        assert found["CORAL, logistic regression"] == 100
        assert found["trivial"] == pytest.approx(100 * (ones if share > 0.5 else 1 - ones))


def test_gains_on_radio_are_better_to_the_right(monkeypatch):
    columns = {("sim-lab, window", "A"): [3.0, 4.0], ("sim-lab, window", "B"): [5.0, 4.5],
               ("dfl 1", "A"): [70, 80], ("dfl 1", "B"): [60, 75], ("dfl 2", "A"): [50, 50], ("dfl 2", "B"): [52, 40]}
    ledger, radio = Ledger(), pd.DataFrame(columns)
    groups = {"sim-lab, window": ["sim-lab, window"], "dfl, mean": ["dfl 1", "dfl 2"]}
    for name, value in {"ledger": ledger, "radio": radio, "GROUPS": groups}.items():
        monkeypatch.setattr(nb, name, value, raising=False)
    monkeypatch.setitem(nb.cfg, "csi_repeats", 2)
    assert nb.radio_gain("sim-lab, window", "A", "B").tolist() == [2, 0.5]  # metres saved
    assert nb.radio_gain("dfl, mean", "A", "B").tolist() == [4, 7.5]  # points, mean of the changes
    for id, name in (("s", "sim-lab, window"), ("d", "dfl, mean"), ("h", "har, mean")):
        nb.radio_claim(id, name, "A", "B", "set")
    half = stats.t.ppf(0.975, 1) / np.sqrt(2)
    assert ledger.rows["s"][:3] == (1.25, half * np.std([2, 0.5], ddof=1), "set")
    assert ledger.rows["d"][0] == 5.75 and "not used" in ledger.rows["h"]


@pytest.mark.parametrize("name", ["confident_weights", "bandwidth", "p_by_class"])
def test_an_exercise_without_its_solution_says_to_do(name):
    notebook = json.loads((NOTEBOOKS / "04_dsan.ipynb").read_text(encoding="utf-8"))
    source = next("".join(cell["source"]) for cell in notebook["cells"] if f"def {name}(" in "".join(cell["source"]))
    begin, end = source.index("    ### BEGIN SOLUTION"), source.index("### END SOLUTION")
    space = {"exercises": __import__("csi_utils.exercises", fromlist=["TODO"])}
    exec(compile(ast.parse(source[:begin] + source[end:]), name, "exec"), space)
    assert repr(space[name](*[None] * space[name].__code__.co_argcount)) == "TODO"
