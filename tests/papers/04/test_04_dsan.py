"""The definitions of notebook 04 on inputs the notebook does not show, against libraries, closed forms and loops."""

import ast
import functools
import json
import re

import numpy as np
import ot
import pytest
import torch
from notebook_code import NOTEBOOKS, definitions
from scipy import integrate, stats
from sklearn.metrics.pairwise import rbf_kernel
from torch.nn.functional import one_hot

from csi_utils import training
from csi_utils.networks import dense

nb = definitions("04_dsan")
LOSSES = {
    "source only": nb.source_only, "w = 0": functools.partial(nb.dsan, w=0.0), "DAN": nb.dan, "DANN": nb.dann,
    "DSAN": nb.dsan, "DSAN, shuffled": functools.partial(nb.dsan, guess=nb.shuffled),
    "DSAN, true labels": functools.partial(nb.dsan, guess=nb.given)}


def net(inputs=5, classes=3, number=0):
    """A small network with a judge, as every method can train it."""
    made = training.seeded(lambda: dense(inputs, classes), number)
    made.judge = training.seeded(lambda: torch.nn.Linear(64, 2), number)
    return made


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


def test_lmmd_in_single_precision_far_from_the_origin():
    args = batch(3, 64, 64, d=512, C=7, dtype=torch.float32)
    exact = nb.lmmd(*(part.double() for part in args))
    assert nb.lmmd(*args).item() == pytest.approx(exact.item(), rel=1e-4)


def test_kernels_are_the_libraries():
    a = np.random.default_rng(0).standard_normal((9, 4))
    mean = ot.dist(a, a).sum() / (81 - 9)
    for kernels, middle in ((5, 4), (3, 2), (1, 1)):
        expected = sum(rbf_kernel(a, gamma=1 / (mean / middle * 2**u)) for u in range(kernels))
        np.testing.assert_allclose(nb.kernel_sum(torch.tensor(a), kernels), expected, rtol=1e-12)


def test_the_bandwidth_is_a_constant_for_the_gradient_and_the_loss_has_no_scale():
    zs, zt, ys, pt = batch(1, 12, 10)
    assert nb.lmmd(zs, zt, ys, pt).item() == pytest.approx(nb.lmmd(5 * zs, 5 * zt, ys, pt).item(), rel=1e-9)
    # with the bandwidth in the gradient, the derivative by the scale would be zero
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    slope, = torch.autograd.grad(nb.mmd(zs.detach() * scale, zt.detach() * scale + 3), scale)
    assert abs(float(slope)) > 1e-3


def test_mmd_is_zero_for_one_sample_symmetric_and_one_v_statistic():
    zs, zt, *_ = batch(2, 11, 8)
    assert abs(nb.mmd(zs, zs.clone()).item()) < 1e-12
    assert nb.mmd(zs, zt).item() == pytest.approx(nb.mmd(zt, zs).item(), rel=1e-9)
    v = torch.cat([torch.full((11,), 1 / 11), torch.full((8,), -1 / 8)]).double()
    assert nb.mmd(zs, zt).item() == pytest.approx(float(v @ nb.kernel_sum(torch.cat([zs, zt]).detach()) @ v), rel=1e-6)


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


def test_labels_and_probabilities_of_another_type_give_the_same_loss():
    zs, zt, ys, pt = batch(6, 8, 9)
    expected = nb.lmmd(zs, zt, ys, pt.float().double())
    assert torch.equal(nb.lmmd(zs, zt, ys.long(), pt.float()), expected)
    assert torch.isfinite(nb.lmmd(zs.float(), zt.float(), ys.long(), pt))


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


@pytest.mark.slow
def test_the_expected_kernel_by_quadrature():
    def density(x, y):
        return stats.norm.pdf(x, 0.3, 1.2) * stats.norm.pdf(y, -1, 0.5) * np.exp(-((x - y) ** 2) / 0.7)

    expected = integrate.dblquad(density, -9, 9, -9, 9, epsabs=1e-7)[0]
    assert nb.expected_kernel(1.3, 1.2**2 + 0.5**2, 0.7) == pytest.approx(expected, abs=1e-6)
    assert nb.expected_kernel(1.3, 0.0, 0.7) == pytest.approx(np.exp(-(1.3**2) / 0.7))  # two points


def test_the_squared_mmd_by_loop():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(7), rng.standard_normal(5) + 1
    points = [(a, 1 / 7) for a in x] + [(b, -1 / 5) for b in y]
    by_loop = sum(v * w * np.exp(-((a - b) ** 2) / 0.9) for a, v in points for b, w in points)
    assert nb.mmd2(x, y, 0.9) == pytest.approx(by_loop)


def test_dann_turns_the_slope_round_for_the_features_alone():
    """The judge's own slope is the plain one; that of the features is it times minus the strength."""
    class Identity(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.features, self.head = torch.nn.Identity(), torch.nn.Linear(3, 2)
            self.judge = torch.nn.Linear(3, 2)

    made = training.seeded(Identity, 0)
    xs, xt = (torch.randn(n, 3, generator=torch.Generator().manual_seed(n)).requires_grad_() for n in (4, 5))
    side = torch.tensor([0] * 4 + [1] * 5)
    plain = torch.nn.functional.cross_entropy(made.judge(torch.cat([xs, xt])), side)
    slopes = torch.autograd.grad(plain, (xt, made.judge.weight), retain_graph=True)
    found = nb.dann(made, (xs, torch.tensor([0, 1, 1, 0])), (xt,), 0.7)
    turned = torch.autograd.grad(found, (xt, made.judge.weight))
    torch.testing.assert_close(turned[0], -0.7 * slopes[0])
    torch.testing.assert_close(turned[1], slopes[1])


def test_ramp_is_half_the_way_from_minus_one_to_one_of_a_logistic_curve():
    p = np.linspace(0, 1, 7)
    np.testing.assert_allclose(nb.ramp(p), 2 * stats.logistic.cdf(10 * p) - 1)


def toy_pair(n=200, shift=1.5):
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 3
    centres = 4 * torch.eye(3, 5)
    parts = {key: centres[y] + torch.randn(n, 5, generator=rng) for key in ("source", "pool", "test")}
    return {key: (x + shift * (key != "source"), y) for key, x in parts.items()}


def test_every_method_sees_the_same_batches_and_starts_from_the_same_weights():
    seen = {}

    def spy(name):
        def loss(made, source, target, strength):
            weights = next(made.parameters()).detach().clone()
            seen.setdefault(name, []).append((source[0].clone(), target[0].clone(), weights))
            return LOSSES[name](made, source, target, strength)
        return loss

    pair = toy_pair()
    with training.one_thread():
        for name in LOSSES:
            nb.adapt(net(number=7), spy(name), pair["source"], pair["pool"], 2, 2, 7, talk=False)
    first = seen["source only"]
    for name in LOSSES:
        assert len(seen[name]) == 4
        assert all(torch.equal(a[k], b[k]) for a, b in zip(seen[name], first, strict=True) for k in (0, 1))
        assert torch.equal(seen[name][0][2], first[0][2])


def trained(loss, source, pool, seed=3):
    made = net(number=seed)
    with training.one_thread():
        nb.adapt(made, loss, source, pool, 2, 10, seed, talk=False)
    return list(made.parameters())


def same(one, other):
    return all(torch.equal(p, q) for p, q in zip(one, other, strict=True))


def test_target_labels_touch_only_the_method_that_is_not_allowed():
    (x, y), source = toy_pair()["pool"], toy_pair()["source"]
    for name, loss in LOSSES.items():
        right, wrong = (trained(loss, source, (x, labels)) for labels in (y, (y + 1) % 3))
        assert same(right, wrong) == (name != "DSAN, true labels"), name
        if name != "DSAN, true labels":
            assert same(right, trained(loss, source, (x,))), name  # labels need not be there at all


def test_w_0_is_dsan_without_the_penalty_and_the_same_seed_gives_the_same_bits():
    def no_penalty(made, source, target, strength):
        zs, _ = nb.features_of(made, source[0], target[0])
        return torch.nn.functional.cross_entropy(made.head(zs), source[1])

    pair = toy_pair()
    once, again = (trained(nb.dsan, pair["source"], pair["pool"]) for _ in range(2))
    assert same(once, again)
    zero, without = (trained(loss, pair["source"], pair["pool"]) for loss in (LOSSES["w = 0"], no_penalty))
    assert same(zero, without) and not same(zero, once)


@pytest.mark.parametrize(("name", "message"), [("DSAN", "is not finite"), ("source only", "in epoch 1")])
def test_a_diverging_training_stops_with_an_error(name, message):
    pair = toy_pair()
    for part in ("source", "pool"):
        pair[part][0][:] = float("nan")
    with pytest.raises(FloatingPointError, match=message), training.one_thread():
        nb.adapt(net(), LOSSES[name], pair["source"], pair["pool"], 2, 4, 0, talk=False)


@pytest.mark.parametrize(("n", "batch"), [(10, 3), (9, 3), (2, 5)])
def test_batches_without_end_see_every_row_and_are_those_of_the_package(n, batch):
    ours, theirs = nb.endless(n, batch, 4), training.batches((n,), batch, 12, 4)
    found = [next(ours).tolist() for _ in range(12)]
    assert found == [rows.tolist() for rows, in theirs]
    assert {row for rows in found for row in rows} == set(range(n))
    assert all(len(set(rows)) == min(n, batch) for rows in found)


@pytest.mark.parametrize(("given", "message"), [
    ({"source": (torch.ones(4, 5),)}, r"source: got lengths \[4\]"),
    ({"source": torch.ones(4, 5)}, "source: got a tensor"), ({"pool": torch.ones(4, 5)}, "pool: got a tensor"),
    ({"source": (torch.ones(4, 5), torch.ones(3).long())}, r"source: got lengths \[4, 3\]"),
    ({"epochs": 0}, "epochs, steps: got 0, 3"), ({"steps": 0}, "epochs, steps: got 2, 0")])
def test_a_training_that_cannot_be_is_named(given, message):
    pair = toy_pair()
    usual = {"source": pair["source"], "pool": pair["pool"], "epochs": 2, "steps": 3, "seed": 0}
    with pytest.raises(ValueError, match=message):
        nb.adapt(net(), nb.dsan, **usual | given)


def test_training_talks_of_every_epoch(capsys):
    pair = toy_pair()
    with training.one_thread():
        assert nb.adapt(net(), nb.dsan, pair["source"], pair["pool"], 2, 3, 0) == []
    told = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in told] == ["epoch  1 of 2", "epoch  2 of 2"]


@pytest.mark.parametrize("rule", ["global", "true", "predicted"])
def test_a_slide_of_one_step_follows_the_slope_of_the_published_loss(monkeypatch, rule):
    monkeypatch.setattr(nb, "CENTRES", torch.tensor([[0.0, 2], [-2, -1], [2, -1]]), raising=False)
    zs, ys, zt, yt = (part.double() if part.is_floating_point() else part for part in nb.clouds(3))
    assert [torch.bincount(y).tolist() for y in (ys, yt)] == [[20, 20, 20], [30, 18, 12]]
    guess = torch.softmax(-torch.cdist(zt, nb.CENTRES.double()) ** 2 / 0.8, 1)
    p = one_hot(yt, 3).double() if rule == "true" else guess
    labels = (torch.ones(60, 1).double(),) * 2 if rule == "global" else (one_hot(ys, 3).double(), p)
    slope, = torch.autograd.grad(published(zs, z := zt.clone().requires_grad_(), *labels, labels[0].shape[1]), z)
    found = nb.slide(rule, *(part.float() if part.is_floating_point() else part for part in (zs, ys, zt, yt)), steps=1)
    torch.testing.assert_close(found.double(), zt - 0.2 * 60 * slope, rtol=1e-4, atol=1e-4)


def test_the_toy_has_the_shares_that_are_asked_for(monkeypatch):
    monkeypatch.setattr(nb, "CENTRES", torch.tensor([[0.0, 2], [-2, -1], [2, -1]]), raising=False)
    assert torch.bincount(nb.clouds(3, nb.EQUAL)[3]).tolist() == [20] * 3
    assert torch.equal(nb.clouds(3, nb.EQUAL)[0], nb.clouds(3)[0])  # the same source


def test_what_a_copy_of_dsan_needs_is_what_the_text_names():
    """The functions named in section 4.5 train by themselves, with these imports and nothing else."""
    notebook = json.loads((NOTEBOOKS / "04_dsan.ipynb").read_text(encoding="utf-8"))
    source = {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}
    named = re.search(r"take (.*?), with", source["sec-loop"])[1]
    names = re.findall(r"`(\w+)`", named)
    space = {}
    exec("import numpy as np\nimport torch\nfrom torch.nn.functional import cross_entropy, one_hot", space)
    for text in source.values():
        for name in names:
            if f"def {name}(" in text:
                node, = (n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name == name)
                exec(ast.get_source_segment(text, node), space)
    pair = toy_pair()
    with training.one_thread():
        space["adapt"](net(), space["dsan"], pair["source"], (pair["pool"][0],), 2, 2, 0, talk=False)


def expected_loss(name, made, source, target, strength, order, w=0.5, reverse=False):
    """Eq. (5) put together from `published` and torch's own pieces; reverse: the judge's part with a minus."""
    (xs, ys), (xt, yt) = source, target
    n = len(xs)
    if name == "source only":
        return torch.nn.functional.cross_entropy(made.head(made.features(xs)), ys)
    both = made.features(torch.cat([xs, xt]))
    zs, zt = both[:n], both[n:]
    loss = -torch.log_softmax(made.head(zs), 1)[torch.arange(n), ys].mean()
    p = torch.softmax(made.head(zt), 1).detach()
    if name == "DANN":
        scores = torch.log_softmax(made.judge(torch.cat([zs, zt])), 1)
        wrong = -(scores[:n, 0].sum() + scores[n:, 1].sum()) / (n + len(xt))
        return loss + (-strength if reverse else 1) * wrong
    one = [torch.ones(len(x), 1, dtype=x.dtype) for x in (xs, xt)]
    labels = {"DAN": (*one, 1), "DSAN": (one_hot(ys, 3), p, 3), "DSAN, shuffled": (one_hot(ys, 3), p[order], 3),
              "DSAN, true labels": (one_hot(ys, 3), one_hot(yt, 3), 3)}.get(name)
    return loss if labels is None else loss + w * strength * published(zs, zt, *labels)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_slopes_of_each_method(name):
    made = net(number=1).double()
    pair = toy_pair(30, shift=3.0)
    source, target = ((pair[part][0].double(), pair[part][1]) for part in ("source", "pool"))
    target = target[0][:23], torch.randint(3, (23,), generator=torch.Generator().manual_seed(4))
    order = torch.randperm(23, generator=torch.Generator().manual_seed(5))
    with torch.random.fork_rng():
        torch.manual_seed(5)
        found = LOSSES[name](made, source, target, 0.37)
    args = name, made, source, target, 0.37, order
    assert found.item() == pytest.approx(expected_loss(*args).item(), rel=1e-9)
    weights = [*made.features.parameters(), *made.head.parameters()]
    slopes = torch.autograd.grad(found, weights, retain_graph=True)
    reverse = torch.autograd.grad(expected_loss(*args, reverse=True), weights)
    torch.testing.assert_close(slopes, reverse, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["DAN", "DSAN"])
def test_the_weight_of_the_penalty(name):
    made, pair = net(number=1), toy_pair(30)
    loss = {"DAN": nb.dan, "DSAN": nb.dsan}[name]
    none, some, more = (loss(made, pair["source"], pair["pool"], 0.5, w=w).item() for w in (0, 1, 3))
    assert some > none and more - none == pytest.approx(3 * (some - none), rel=1e-4)


def test_schedules_optimizer_and_rows_of_a_training(monkeypatch):
    made, calls, watched, rows = [], [], [], toy_pair()
    pair = {name: (100 * k + torch.arange(200.0)[:, None] * torch.ones(5) / 1000, y)
            for k, (name, (_, y)) in enumerate(rows.items())}

    class Recorded(torch.optim.SGD):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            made.append(self)

    def spy(model, source, target, strength):
        rates = {group["lr"] for group in made[0].param_groups}
        calls.append((model.training, source, target, strength, rates))
        return sum((p**2).sum() for p in model.parameters())

    monkeypatch.setattr(torch.optim, "SGD", Recorded)
    model = net(number=7)
    with training.one_thread():
        history = nb.adapt(model, spy, pair["source"], pair["pool"], 4, 3, 7, talk=False,
                           watch=lambda model: (watched.append(model.eval()), len(calls)))
    (optimizer,), done = made, np.arange(12) / 12
    assert [seen for _, seen in history] == [3, 6, 9, 12] and len(calls) == 12 and not model.training
    assert all(seen is model for seen in watched)
    np.testing.assert_allclose([call[3] for call in calls], np.tanh(5 * done))
    assert all(len(call[4]) == 1 for call in calls)
    np.testing.assert_allclose([max(call[4]) for call in calls], 0.03 / (1 + 10 * done) ** 0.75)
    assert all(call[0] for call in calls)  # in training mode, also after somebody watched
    group, = optimizer.param_groups
    assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.9, 5e-4, False)
    assert len(group["params"]) == len(list(model.parameters()))  # the judge learns too
    for name, at in (("source", 1), ("pool", 2)):
        for call in calls:
            x, y = call[at]
            row = ((x[:, 0] - pair[name][0][0, 0]) * 1000).round().long()
            assert len(row) == 64 and 0 <= row.min() and row.max() < 200 and torch.equal(y, pair[name][1][row])


def test_a_method_on_digits_trains_and_is_scored_on_the_right_parts(digit_job):
    asked, found = digit_job(nb, nb.dsan)
    call, = asked["adapt"]
    assert call.loss is nb.dsan and call.means == pytest.approx((0.1, 0.3)) and call.rest == [2, 4, 1003, False]
    judge = call.model.judge
    assert judge[0].in_features == call.model.head.in_features and judge[2].out_features == 2
    np.testing.assert_allclose(found["there"], [[400.12, 300.1]] * 2)  # the test, and 1000 images of the pool
    assert not asked["statistics"]


def test_controls_and_ceiling_on_digits(digit_job):
    asked, _ = digit_job(nb, nb.source_only, statistics=True)
    assert asked["statistics"] == [(1000, pytest.approx(0.3))] * 2  # of the pool, not of the test
    asked, _ = digit_job(nb, nb.source_only, teacher="pool")
    assert asked["adapt"][0].means == pytest.approx((0.3, 0.3))


def test_what_is_guessed_once_comes_from_the_source_and_the_pool_and_is_what_the_loss_then_gets(digit_job):
    asked, _ = digit_job(nb, nb.dsan, once=True)
    first, second = asked["adapt"]
    assert first.loss is nb.source_only and second.loss is nb.dsan and first.rest == second.rest == [2, 4, 1003, False]
    assert first.means == second.means == pytest.approx((0.1, 0.3)) and first.model is not second.model
    assert asked["statistics"] == [(1000, pytest.approx(0.3))]
    guesses = training.predict(first.model, torch.full((2, 1, 16, 16), 0.3)).argmax(1)
    assert torch.equal(second.pool[1].unique(), guesses.unique())  # and not the true label, which is 2


def test_without_self_pairs_nothing_is_left_when_nothing_differs():
    """The solution of exercise 3 is right on average, and the V-statistic is too large; and it is its own formula."""
    exercise, values, plain = nb.lmmd_without_self_pairs, [], []
    rng = np.random.default_rng(0)
    for _ in range(300):
        z = rng.standard_normal((20, 2))
        K = np.exp(-((z[:, None] - z) ** 2).sum(2))
        ws, wt = rng.dirichlet(np.ones(8), 3).T, rng.dirichlet(np.ones(12), 3).T
        values.append(exercise(K, ws, wt))
        v = np.concatenate([ws, -wt])
        plain.append(np.mean(np.diag(v.T @ K @ v)))
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * error < 0.1 < np.mean(plain)
    s, t, n = ws[:, 0], wt[:, 0], 8
    within = [(w @ part @ w - (w**2) @ np.diag(part)) / (1 - w @ w) for w, part in ((s, K[:n, :n]), (t, K[n:, n:]))]
    expected = sum(within) - 2 * s @ K[:n, n:] @ t
    assert exercise(K, ws[:, :1], wt[:, :1]) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["confident_weights", "bandwidth", "lmmd_without_self_pairs"])
def test_an_exercise_without_its_solution_says_to_do(name):
    notebook = json.loads((NOTEBOOKS / "04_dsan.ipynb").read_text(encoding="utf-8"))
    source = next("".join(cell["source"]) for cell in notebook["cells"] if f"def {name}(" in "".join(cell["source"]))
    begin, end = source.index("    ### BEGIN SOLUTION"), source.index("### END SOLUTION")
    space = {"exercises": __import__("csi_utils.exercises", fromlist=["TODO"])}
    exec(compile(ast.parse(source[:begin] + source[end:]), name, "exec"), space)
    assert repr(space[name](*[None] * space[name].__code__.co_argcount)) == "TODO"
