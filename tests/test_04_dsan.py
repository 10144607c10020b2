"""The definitions of notebook 04 on inputs the notebook does not show, against libraries, closed forms and loops."""

import ast
import json

import numpy as np
import ot
import pytest
import torch
from notebook_code import NOTEBOOKS, definitions
from scipy import integrate, stats
from sklearn.metrics.pairwise import rbf_kernel
from torch.nn.functional import one_hot

from csi_utils import training

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


def test_coral_is_skadas_up_to_the_ridge():
    from skada import CORALAdapter

    rng = np.random.default_rng(2)
    xs = rng.standard_normal((400, 4)) @ rng.standard_normal((4, 4))
    xt = rng.standard_normal((300, 4)) * [1, 2, 3, 4] + 5
    np.testing.assert_allclose(nb.coral(xs, xt).mean(0), xt.mean(0), atol=1e-9)
    x, domain = np.r_[xs - xs.mean(0), xt - xt.mean(0)], np.r_[np.ones(400), -2 * np.ones(300)]
    theirs = np.asarray(CORALAdapter(reg=None).fit_transform(x, sample_domain=domain))[:400]
    ours = nb.coral(1e4 * xs, 1e4 * xt) / 1e4 - xt.mean(0)  # the ridge vanishes beside covariances of 1e8
    np.testing.assert_allclose(ours, theirs, atol=5e-3 * np.abs(theirs).max())


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


@pytest.mark.parametrize("name", ["confident_weights", "bandwidth", "p_by_class"])
def test_an_exercise_without_its_solution_says_to_do(name):
    notebook = json.loads((NOTEBOOKS / "04_dsan.ipynb").read_text(encoding="utf-8"))
    source = next("".join(cell["source"]) for cell in notebook["cells"] if f"def {name}(" in "".join(cell["source"]))
    begin, end = source.index("    ### BEGIN SOLUTION"), source.index("### END SOLUTION")
    space = {"exercises": __import__("csi_utils.exercises", fromlist=["TODO"])}
    exec(compile(ast.parse(source[:begin] + source[end:]), name, "exec"), space)
    assert repr(space[name](*[None] * space[name].__code__.co_argcount)) == "TODO"
