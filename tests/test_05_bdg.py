"""The definitions of notebook 05 on inputs the notebook does not show, against libraries, closed forms and slopes."""

import numpy as np
import pytest
import torch
from notebook_code import definitions
from torch.nn import functional as F

nb = definitions("05_bdg")
nb.DEVICE, nb.seed = torch.device("cpu"), 0
nb.cfg = {"steps": 12, "first": 60, "looks": 3, "digits": 40, "epochs": 1}
MMD = {"mean": 1, "class": 1}
FULL = MMD | {"con": 1}


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels(classes, *shape, seed=0):
    return torch.randint(classes, shape, generator=torch.Generator().manual_seed(seed))


def toy(angle=30, sizes=(80, 60, 50), classes=4):
    sides = (nb.square(angle * (k > 0), n, np.random.default_rng(k)) for k, n in enumerate(sizes))
    return nb.pair("toy", *sides, classes)


# Losses ------------------------------------------------------------------------------------------------------------


def test_the_overall_part_is_pots_distance_of_means():
    """Wasserstein-2 of two Gaussians with one covariance is the distance of their means (POT)."""
    ot = pytest.importorskip("ot")
    f, x = rows(9, 4), rows(15, 4, seed=1)
    whole = nb.mean_gaps(f, labels(3, 9), x, labels(3, 15), 3)[0]
    covariance = np.eye(4)
    expected = ot.gaussian.bures_wasserstein_distance(f.mean(0).numpy(), x.mean(0).numpy(), covariance, covariance) ** 2
    assert float(whole) == pytest.approx(expected, rel=1e-6)


def test_the_overall_part_is_the_mmd_of_a_linear_kernel():
    f, x = rows(9, 4), rows(15, 4, seed=1)
    kernel = (f @ f.T).mean() + (x @ x.T).mean() - 2 * (f @ x.T).mean()
    torch.testing.assert_close(nb.mean_gaps(f, labels(3, 9), x, labels(3, 15), 3)[0], kernel)


def test_the_class_part_by_hand_and_for_many_members():
    f, x, y_f, y_x = rows(3, 9, 4), rows(3, 15, 4, seed=1), labels(5, 3, 9), labels(5, 3, 15, seed=1)
    found = nb.mean_gaps(f, y_f, x, y_x, 5)[1]
    for member in range(3):
        shared = set(y_f[member].tolist()) & set(y_x[member].tolist())
        means = [(f[member][y_f[member] == c].mean(0), x[member][y_x[member] == c].mean(0)) for c in shared]
        gaps = [((a - b) ** 2).sum() for a, b in means]
        torch.testing.assert_close(found[member], torch.stack(gaps).mean())


def test_one_row_in_a_class_unequal_sides_and_no_class_in_common():
    f, x = rows(1, 3).requires_grad_(), rows(6, 3, seed=1)
    whole, by_class = nb.mean_gaps(f, torch.tensor([2]), x, torch.tensor([0, 1, 2, 2, 0, 1]), 3)
    torch.testing.assert_close(by_class, ((f[0] - x[2:4].mean(0)) ** 2).sum())
    nothing = nb.mean_gaps(f, torch.tensor([0]), x, torch.ones(6, dtype=torch.int64), 3)[1]
    slope, = torch.autograd.grad(nothing + 0 * whole, f)
    assert nothing == 0 and torch.isfinite(slope).all()


def test_matching_means_pulls_toward_the_target():
    f, x = rows(8, 3).requires_grad_(), rows(8, 3, seed=1) + 5
    for part in nb.mean_gaps(f, labels(2, 8), x, labels(2, 8), 2):
        slope, = torch.autograd.grad(part, f, retain_graph=True)
        assert (slope.mean(0) < 0).all()  # lowering the loss raises the features toward 5


@pytest.mark.parametrize("head", ["second head", "extra class", "log-sum-exp"])
def test_a_classifier_discriminates_in_three_ways(head):
    out = rows(2, 7, 6)
    log_p, real = nb.split(out, head)
    torch.testing.assert_close(log_p, out[..., :5].log_softmax(-1))
    z = out[..., :5].exp().sum(-1)
    expected = {"second head": out[..., 5].sigmoid(), "extra class": 1 - out.softmax(-1)[..., 5],
                "log-sum-exp": z / (z + 1)}
    torch.testing.assert_close(real.sigmoid(), expected[head])


def test_an_unknown_head_is_refused():
    with pytest.raises(KeyError):
        nb.split(rows(2, 3), "third head")


def test_discrimination_is_minus_the_binary_cross_entropy_and_slopes_the_right_way():
    real, fake = rows(9).requires_grad_(), rows(4, seed=1).requires_grad_()
    value = nb.discrimination(real, fake)
    entropy = F.binary_cross_entropy_with_logits
    expected = -entropy(real, torch.ones_like(real)) - entropy(fake, torch.zeros_like(fake))
    torch.testing.assert_close(value, expected)
    up, down = torch.autograd.grad(value, (real, fake))
    assert (up > 0).all() and (down < 0).all()
    assert torch.isfinite(nb.discrimination(torch.tensor([1e4, -1e4]), torch.tensor([1e4, -1e4])))


@pytest.mark.parametrize("saturating", [False, True])
def test_both_forms_of_fooling_raise_the_logits_of_generated_rows(saturating):
    fake = rows(6).requires_grad_()
    slope, = torch.autograd.grad(nb.fooling(fake, saturating), fake)
    assert (slope < 0).all()


def test_consistency_cycle_and_identity_by_hand():
    p, q = rows(4, 3).log_softmax(-1), rows(4, 3, seed=1).log_softmax(-1)
    by_row = [(a.exp() - b.exp()).abs().sum() for a, b in zip(p, q, strict=True)]
    torch.testing.assert_close(nb.disagreement(p, q), sum(by_row) / 4)
    assert nb.disagreement(p, p) == 0
    x = rows(2, 5, 3)
    torch.testing.assert_close(nb.cycle_loss(lambda z: z + 2, lambda z: z - 2, x), torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(nb.cycle_loss(lambda z: z + 2, lambda z: z - 1, x), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(nb.identity_loss(lambda z: z - 3, x), torch.full((2,), 3.0, dtype=torch.float64))


# Networks and training ---------------------------------------------------------------------------------------------


def test_members_start_equal_and_are_ordinary_networks():
    stack = nb.Stack(3, 4, 2, number=5)
    x = torch.randn(4, 4).expand(3, 4, 4)
    out = stack(x)
    assert torch.equal(out[0], out[1]) and torch.equal(out[0], out[2])
    plain = F.leaky_relu(x[0] @ stack.w1[0] + stack.b1[0], 0.2) @ stack.w2[0] + stack.b2[0]
    torch.testing.assert_close(out[0], plain)


@pytest.mark.parametrize("skip", [True, False])
def test_a_generator_that_does_not_move_gives_its_input_back(skip):
    net, x = nb.Generator(2, 4, 0, torch.tensor([0.0, 1.0]), skip), torch.randn(2, 5, 4)
    torch.testing.assert_close(net(x)[0], x[0])
    assert not torch.allclose(net(x)[1], x[1])


def test_a_member_trains_as_it_would_alone():
    task = toy()
    first = nb.first_classifier(task, 0, 60)
    variants = {"GAN": {}, "full": FULL, "steer": FULL | {"teach": 0}}
    together = nb.adapt(task, first, variants, 0, 12)[1][-1]["mean"]
    for k, (name, switches) in enumerate(variants.items()):
        alone = nb.adapt(task, first, {name: switches}, 0, 12)[1][-1]["mean"]
        assert (alone[0] == together[k]).float().mean() > 0.98  # sums of another order may flip a row on the border


def test_without_consistency_one_way_is_the_target_half_of_two_ways():
    task = toy()
    variants = {"two": MMD, "one": MMD | {"back": 0}, "tied": FULL, "tied, one": FULL | {"back": 0}}
    bridge, _ = nb.adapt(task, nb.first_classifier(task, 0, 60), variants, 0, 30)
    C_t = bridge.C_t.w1
    assert torch.equal(C_t[0], C_t[1]) and not torch.equal(C_t[2], C_t[3])


def test_the_steps_move_only_their_own_networks():
    task = toy()
    bridge = nb.Bridge(task, nb.first_classifier(task, 0, 20), {"full": FULL}, 0)
    batch = [task["source"][0][None], task["source"][1][None], task["target"][0][None], task["target"][1][None]]
    nb.loss_B(bridge, *batch).sum().backward()
    assert all(p.grad is None for net in (bridge.G_s, bridge.G_t) for p in net.parameters())
    assert all(p.grad is not None for net in (bridge.C_s, bridge.C_t) for p in net.parameters())
    nb.loss_C(bridge, *batch).sum().backward()
    assert all(p.grad is not None for net in (bridge.G_s, bridge.G_t) for p in net.parameters())


def test_the_losses_are_the_sum_of_their_terms():
    """Eq. (6') by torch's own losses, for one member with every term."""
    task = toy()
    bridge = nb.Bridge(task, nb.first_classifier(task, 0, 20), {"all": FULL | {"cycle": 2, "identity": 3}}, 0)
    x_s, y_s, x_t, y_hat = (part[None] for part in (*task["source"], *task["target"]))
    F_t, F_s = bridge.G_s(x_s), bridge.G_t(x_t)
    out = {"s": bridge.C_s(x_s)[0], "fs": bridge.C_s(F_s)[0], "t": bridge.C_t(x_t)[0], "ft": bridge.C_t(F_t)[0],
           "tfs": bridge.C_t(F_s)[0]}
    ce = lambda name, y: F.cross_entropy(out[name][:, :-1], y[0])  # noqa: E731
    bce = lambda name, real: F.binary_cross_entropy_with_logits(  # noqa: E731
        out[name][:, -1], torch.full((len(out[name]),), real))
    con = (out["tfs"][:, :-1].softmax(1) - out["fs"][:, :-1].softmax(1)).abs().sum(1).mean()
    B = ce("s", y_s) + ce("fs", y_hat) + ce("t", y_hat) + ce("ft", y_s) + con
    B = B + bce("s", 1.0) + bce("fs", 0.0) + bce("t", 1.0) + bce("ft", 0.0)
    torch.testing.assert_close(nb.loss_B(bridge, x_s, y_s, x_t, y_hat)[0], B)
    gaps = sum(part[0] for a in ((F_s, y_hat, x_s, y_s), (F_t, y_s, x_t, y_hat)) for part in nb.mean_gaps(*a, 4))
    cycle = (bridge.G_t(F_t) - x_s).abs().mean() + (bridge.G_s(F_s) - x_t).abs().mean()
    same = (bridge.G_t(x_s) - x_s).abs().mean() + (bridge.G_s(x_t) - x_t).abs().mean()
    C = ce("fs", y_hat) + ce("ft", y_s) + bce("fs", 1.0) + bce("ft", 1.0) + gaps + con + 2 * cycle + 3 * same
    torch.testing.assert_close(nb.loss_C(bridge, x_s, y_s, x_t, y_hat)[0], C)


def test_pseudo_labels_of_three_kinds():
    task = toy()
    first = nb.first_classifier(task, 0, 60)
    found = nb.pseudo_labels(task, first, {"a": {}, "b": {"labels": "true"}, "c": {"labels": "shuffled"}}, 3)
    assert torch.equal(found[1], task["target"][1])
    assert torch.equal(found[0].sort()[0], found[2].sort()[0]) and not torch.equal(found[0], found[2])
    with pytest.raises(KeyError):
        nb.pseudo_labels(task, first, {"a": {"labels": "none"}}, 3)


def test_class_means_with_true_labels_find_the_turn_and_equal_seeds_equal_bits():
    task = toy(60, (200, 200, 200))
    first = nb.first_classifier(task, 0, 60)
    variants = {"true": FULL | {"teach": 0, "labels": "true"}, "C_0": FULL | {"teach": 0}}
    runs = [nb.adapt(task, first, variants, 0, 80)[1][-1]["mean"] for _ in "ab"]
    right, guessed = (float(v) for v in nb.score(runs[0], task))
    assert right > 90 and guessed < 40 and torch.equal(*runs)


# Bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda s, t, v: s[0].__setitem__((0, 0), np.nan), "source: 1 of 80 rows hold NaN or infinite"),
    (lambda s, t, v: t[0].__setitem__((slice(0, 3), 1), np.inf), "target: 3 of 60 rows hold NaN or infinite"),
    (lambda s, t, v: s[1].__setitem__(0, 9), "labels run from 0 to 9, expected 0 to 3"),
    (lambda s, t, v: s[1].__setitem__(slice(None), 1), r"classes \[0, 2, 3\] are tested but have no source row"),
])
def test_bad_rows_are_named(spoil, message):
    sides = [nb.square(0, n, np.random.default_rng(k)) for k, n in enumerate((80, 60, 50))]
    spoil(*sides)
    with pytest.raises(ValueError, match=message):
        nb.pair("toy", *sides, 4)


def test_unequal_widths_and_empty_sides_are_named():
    x, y = nb.square(0, 8, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"target: expected features \(n, 2\)"):
        nb.pair("toy", (x, y), (x[:, :1], y), (x, y), 4)
    with pytest.raises(ValueError, match="test: expected features"):
        nb.pair("toy", (x, y), (x, y), (x[:0], y[:0]), 4)


def test_a_class_missing_in_the_target_and_sides_smaller_than_a_batch():
    x, y = nb.square(30, 40, np.random.default_rng(0))
    task = nb.pair("toy", nb.square(0, 80, np.random.default_rng(1)), (x[y != 2], y[y != 2]), (x, y), 4)
    small = nb.pair("toy", nb.square(0, 80, np.random.default_rng(1)), (x[:5], y[:5]), (x, y), 4)
    for case in (task, small):
        variants = {"full": FULL, "steer": FULL | {"teach": 0}}
        bridge, seen = nb.adapt(case, nb.first_classifier(case, 0, 40), variants, 0, 15, looks=3)
        assert len(seen) == 3 and seen[0]["mean"].shape == (2, 40)
        assert all(torch.isfinite(p).all() for p in nb.probabilities(bridge, case["test"][0]).values())


def test_unknown_switches_are_named():
    task = toy()
    with pytest.raises(ValueError, match=r"unknown switches \['gna'\]"):
        nb.Bridge(task, nb.first_classifier(task, 0, 5), {"a": {"gna": 1}}, 0)


def test_a_diverging_run_says_so():
    task = toy()
    first = nb.first_classifier(task, 0, 5)
    with torch.no_grad():
        first.w1.fill_(float("inf"))
    with pytest.raises(FloatingPointError, match="not finite after step 4 of 4"):
        nb.adapt(task, first, {"GAN": {}}, 0, 4)


# Data --------------------------------------------------------------------------------------------------------------


def test_coral_is_skadas():
    """Both whiten with the symmetric root of one covariance and colour with that of the other."""
    da = pytest.importorskip("skada")
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((300, 4)) @ rng.standard_normal((4, 4)), rng.standard_normal((200, 4)) * [1, 2, 3, 4] + 2
    moved = nb.coral(a, b, shrink=0.0)
    np.testing.assert_allclose(np.cov(moved.T), np.cov(b.T), atol=1e-8)
    np.testing.assert_allclose(moved.mean(0), b.mean(0), atol=1e-10)
    x, domain = np.concatenate([a - a.mean(0), b - b.mean(0)]), np.r_[np.ones(300), -np.ones(200)]
    theirs = da.CORALAdapter(reg=0.0).fit_transform(x, sample_domain=domain)
    theirs = np.asarray(theirs)[:300] * np.sqrt(299 / 300 * 200 / 199)  # n there, n - 1 here, in the covariance
    np.testing.assert_allclose(theirs, moved - b.mean(0), rtol=1e-6, atol=1e-8)


def test_reduced_standardizes_by_itself_or_by_the_source_and_decodes():
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((5, 60))
    make = lambda n, shift: (rng.standard_normal((n, 5)) @ mix + shift, np.arange(n) % 3)  # noqa: E731
    source, target, test = make(90, 0.0), make(80, 4.0), make(40, 4.0)
    own, same = (nb.reduced("x", source, target, test, 3, own=flag) for flag in (True, False))
    gap = [float((task["source"][0].mean(0) - task["target"][0].mean(0)).norm()) for task in (own, same)]
    assert gap[0] < 1e-4 < 0.1 < gap[1]
    for task in (own, same):
        np.testing.assert_allclose(task["decode"](task["test"][0].numpy()), test[0], atol=1e-3)


def test_competitors_on_a_task_that_is_easy_and_one_that_is_not():
    task = toy(0, (200, 200, 200))
    found = nb.competitors(task)
    assert found.pop("largest class") == pytest.approx(25) and min(found.values()) > 98
    assert nb.competitors(toy(90, (200, 200, 200)))["logistic regression"] < 5


def test_lab_rows_keep_visits_apart():
    x, zone, session, mark, point = nb.lab_rows(7)
    assert x.shape == (3 * (7 * 99 + 60), 360) and np.isfinite(x).all() and set(zone) == set(range(6))
    for k in range(3):
        here = session == k
        assert (np.bincount(point[here & mark])[:99] == 5).all()
        assert (~mark & here).sum() == 2 * 99 + 60  # two more visits, and the positions off the grid
