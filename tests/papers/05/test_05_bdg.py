"""The definitions of notebook 05 on inputs the notebook does not show, against libraries, closed forms and slopes."""

import numpy as np
import pytest
import torch
from notebook_code import definitions
from scipy.stats import norm
from torch.nn import functional as F

nb = definitions("05_bdg")
nb.cfg = {"toys": 2, "toy_steps": 20}
MMD = {"mean": 1, "class": 1}
ALL = MMD | {"con": 1}


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels(classes, *shape, seed=0):
    return torch.randint(classes, shape, generator=torch.Generator().manual_seed(seed))


def toy(angle=30, sizes=(80, 60, 50), seed=0):
    sides = [nb.square(angle * (k > 0), n, np.random.default_rng([seed, k])) for k, n in enumerate(sizes)]
    return nb.task_of(*sides, 4)


# Known truth -------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("angle", [0, 20, 35, 50, 70])
def test_guessed_classes_by_counting(angle):
    """The closed form, against 400,000 rows whose guess is the nearest corner."""
    x, y = nb.square(angle, 400_000, np.random.default_rng(angle))
    corners = nb.square(0, 4)[0]
    guess = ((x[:, None] - corners) ** 2).sum(2).argmin(1)
    right, mean = nb.guessed_class(angle)
    assert right == pytest.approx((guess == y).mean(), abs=0.004)
    np.testing.assert_allclose(mean, x[guess == 0].mean(0), atol=0.01)


def test_a_square_turned_a_quarter_is_the_next_corner():
    corners = nb.square(0, 4)[0]
    np.testing.assert_allclose(nb.square(90, 4)[0], np.roll(corners, -1, 0), atol=1e-6)
    assert nb.square(45, 8)[1].tolist() == [0, 1, 2, 3] * 2


def test_class_means_alone_arrive_where_the_closed_form_says():
    """Guesses are the nearest corner; the generator sees L_MMD and nothing else."""
    angle, tasks = 35, []
    for repeat in range(2):
        task = toy(angle, (400, 400, 400), repeat)
        x = task["target"][0]
        corners = torch.tensor(nb.square(0, 4)[0])
        tasks.append(task | {"target": (x, torch.cdist(x, corners).argmin(1))})
    first = nb.first_classifier(tasks, [0, 1], 100)
    variants = {"means": MMD | {"gan": 0, "keep": 0, "pseudo": 0, "labels": "true"}}
    bridge, _ = nb.adapt(tasks, first, variants, [0, 1], (200,))
    x = torch.stack([task["source"][0] for task in tasks])
    with torch.no_grad():
        F_t = bridge.G_s(x)
    home = []  # the mean of each class, turned back to the first: Adam's steps make each of them restless
    for k in range(4):
        x, y = F_t[:, tasks[0]["source"][1] == k].mean((0, 1)).tolist()
        home.append(complex(x, y) * (-1j) ** k)
    expected = complex(*nb.guessed_class(angle)[1])
    assert abs(np.mean(home) - expected) < 0.3  # untrained: 1.08 away


# Losses ------------------------------------------------------------------------------------------------------------


def test_a_classifier_and_its_discriminator():
    net = nb.Stack([0, 1], 3, 6).double()
    x = rows(2, 7, 3)
    out = net(x)
    log_p, logit = nb.answers(net, x)
    torch.testing.assert_close(log_p, out[..., :5].log_softmax(-1))
    torch.testing.assert_close(logit, out[..., 5])


@pytest.mark.parametrize(("gan", "a", "b"), [(1, 1, 1), (0.5, 0, 2), (0, 1, 0)])
def test_l_gan_is_minus_the_librarys_losses(gan, a, b):
    net = nb.Stack([0, 1], 3, 6).double()
    x, f, y, z = rows(2, 7, 3), rows(2, 4, 3, seed=1), labels(5, 2, 7), labels(5, 2, 4, seed=1)
    found = nb.L_GAN(net, (x, y, a), (f, z, b), gan)
    entropy = F.binary_cross_entropy_with_logits
    for member in range(2):
        real, fake = net(x)[member], net(f)[member]
        dis = entropy(real[:, 5], torch.ones(7).double()) + entropy(fake[:, 5], torch.zeros(4).double())
        cls = a * F.cross_entropy(real[:, :5], y[member]) + b * F.cross_entropy(fake[:, :5], z[member])
        torch.testing.assert_close(found[member], -(gan * dis + cls))


# Networks and training ---------------------------------------------------------------------------------------------


def test_members_are_ordinary_networks_and_equal_seeds_give_equal_ones():
    stack = nb.Stack([5, 6, 5], 4, 2)
    x = torch.randn(4, 4).expand(3, 4, 4)
    out = stack(x)
    torch.testing.assert_close(out[0], out[2])
    assert not torch.allclose(out[0], out[1])
    plain = F.leaky_relu(x[0] @ stack.w1[0] + stack.b1[0], 0.2) @ stack.w2[0] + stack.b2[0]
    torch.testing.assert_close(out[0], plain)


def test_a_generator_that_does_not_move_gives_its_input_back():
    net, x = nb.Generator([0, 0], 4, torch.tensor([0.0, 1.0])), torch.randn(2, 5, 4)
    torch.testing.assert_close(net(x)[0], x[0])
    assert not torch.allclose(net(x)[1], x[1])


def agree(guesses, others):
    """Equal classes, but for a row on a border: a batch of another size may be summed in another order."""
    return (guesses == others).float().mean() > 0.95


@pytest.mark.slow
def test_a_member_trains_as_it_would_alone():
    tasks = [toy(), toy(seed=1)]
    first = nb.first_classifier(tasks, [3, 4], 60)
    variants = {"GAN": {}, "all": ALL, "again": ALL | {"again": 1}}
    together = nb.adapt(tasks, first, variants, [3, 4], (25,))[1][25]
    for repeat, number in enumerate((3, 4)):
        alone_first = nb.first_classifier(tasks[repeat:repeat + 1], [number], 60)
        for k, (name, switches) in enumerate(variants.items()):
            alone = nb.adapt(tasks[repeat:repeat + 1], alone_first, {name: switches}, [number], (25,))[1][25]
            assert agree(alone[0, 0], together[k, repeat])


def test_without_consistency_one_way_is_the_target_half_of_two_ways():
    tasks = [toy()]
    variants = {"two": MMD, "one": MMD | {"back": 0}, "tied": ALL, "tied, one": ALL | {"back": 0}}
    bridge, _ = nb.adapt(tasks, nb.first_classifier(tasks, [0], 60), variants, [0], (30,))
    C_t = bridge.C_t.w1
    near = [torch.allclose(C_t[k], C_t[k + 1], rtol=1e-3, atol=1e-4) for k in (0, 2)]  # sums may be of another order
    assert near == [True, False]


def test_the_steps_move_only_their_own_networks():
    tasks = [toy()]
    bridge = nb.Bridge(nb.first_classifier(tasks, [0], 20), {"all": ALL}, [0], 2, 4)
    batch = [part[None] for side in ("source", "target") for part in tasks[0][side]]
    nb.loss_B(bridge, *batch).sum().backward()
    assert all(p.grad is None for net in (bridge.G_s, bridge.G_t) for p in net.parameters())
    assert all(p.grad is not None for net in (bridge.C_s, bridge.C_t) for p in net.parameters())
    nb.loss_C(bridge, *batch).sum().backward()
    assert all(p.grad is not None for net in (bridge.G_s, bridge.G_t) for p in net.parameters())


@pytest.mark.slow
def test_the_classifiers_rest_in_step_c_and_train_in_step_b(monkeypatch):
    tasks, seen = [toy()], []
    loss_C = nb.loss_C

    def spy(bridge, *batch):
        seen.append([p.requires_grad for net in (bridge.C_s, bridge.C_t, bridge.G_s) for p in net.parameters()])
        return loss_C(bridge, *batch)

    monkeypatch.setattr(nb, "loss_C", spy)
    first = nb.first_classifier(tasks, [0], 20)
    bridge, _ = nb.adapt(tasks, first, {"all": ALL}, [0], (3,))
    assert seen == [[False] * 8 + [True] * 4] * 3
    assert not torch.equal(bridge.C_t.w1, first.w1) and not torch.equal(bridge.C_s.w1, first.w1)


WEIGHTS = {"gan": 0.875, "mean": 0.5, "class": 0.75, "con": 1.25, "cycle": 2, "keep": 0.625}  # exact in binary


def shaken(variants):
    """A Bridge in double precision whose four nets differ from one another, and a batch with unequal sides."""
    bridge = nb.Bridge(nb.Stack([0], 2, 5), variants, [0], 2, 4)
    for k, net in enumerate((bridge.C_s, bridge.C_t, bridge.G_s, bridge.G_t)):
        net.double()
        for j, p in enumerate(net.parameters()):  # the same for every member
            p.data += 0.3 * rows(1, *p.shape[1:], seed=10 * k + j)
    batch = rows(1, 9, 2), labels(4, 1, 9), rows(1, 12, 2, seed=1), labels(4, 1, 12, seed=1)
    return bridge, [part.expand(len(variants), *part.shape[1:]) for part in batch]


def eq_6(bridge, member, w, x_s, y_s, x_t, y_hat):
    """What B and C lower, Eq. (6'), for one member: written by halves, without the notebook's losses."""
    F_t, F_s = bridge.G_s(x_s), bridge.G_t(x_t)
    p = {}
    for name, net in (("s", bridge.C_s), ("t", bridge.C_t)):
        for at, x in (("X_s", x_s), ("X_t", x_t), ("F_s", F_s), ("F_t", F_t)):
            out = net(x)[member]
            p[name + at] = out[:, :4].softmax(1), 1 / (1 + (-out[:, 4]).exp())
    y_of = {"X_s": y_s, "X_t": y_hat, "F_s": y_hat, "F_t": y_s}
    con = w["con"] * (p["tF_s"][0] - p["sF_s"][0]).abs().sum() / x_t.shape[1]
    B = C = con
    for real, fake, half in (("sX_s", "sF_s", w["back"]), ("tX_t", "tF_t", 1)):
        L = {}
        for key in (real, fake):
            y = y_of[key[1:]][member]
            taught = w["pseudo"] if key[1:] in ("X_t", "F_s") else 1
            L[key] = taught * sum(p[key][0][i, c].log() for i, c in enumerate(y.tolist())) / len(y)
        dis = p[real][1].log().mean() + (1 - p[fake][1]).log().mean()
        B = B - half * (w["gan"] * dis + L[real] + L[fake])
        C = C - half * (w["gan"] * p[fake][1].log().mean() + w["keep"] * L[fake])
    for half, f, y_f, x, y_x in ((w["back"], F_s, y_hat, x_s, y_s), (1, F_t, y_s, x_t, y_hat)):
        f, y_f, x, y_x = f[member], y_f[member], x[member], y_x[member]
        gaps = [((f[y_f == c].mean(0) - x[y_x == c].mean(0)) ** 2).sum() for c in range(4)
                if (y_f == c).any() and (y_x == c).any()]
        C = C + half * (w["mean"] * ((f.mean(0) - x.mean(0)) ** 2).sum() + w["class"] * sum(gaps) / len(gaps))
    return B, C


def cycle(bridge, member, x):
    """Eq. (7), for sides of equal size."""
    x_s, _, x_t, _ = x
    off = lambda a, b: (a - b)[member].abs().mean()  # noqa: E731
    there = off(bridge.G_t(bridge.G_s(x_s)), x_s) + off(bridge.G_s(bridge.G_t(x_t)), x_t)
    return 10 * there + 5 * (off(bridge.G_t(x_s), x_s) + off(bridge.G_s(x_t), x_t))


def test_the_losses_are_eq_6_for_every_switch():
    members = [WEIGHTS | {"cycle": 0, "pseudo": 1, "back": 1} | change for change in (
        {}, {"pseudo": 0}, {"gan": 0}, {"back": 0}, {"keep": 0}, {"pseudo": 0, "back": 0}, {"mean": 0}, {"class": 0},
        {"con": 0}, {"moves": 0})]
    bridge, batch = shaken({str(k): switches for k, switches in enumerate(members)})
    found = nb.loss_B(bridge, *batch), nb.loss_C(bridge, *batch)
    expected = [eq_6(bridge, k, switches, *batch) for k, switches in enumerate(members)]
    for step, by_hand in zip(found, zip(*expected, strict=True), strict=True):
        torch.testing.assert_close(step, torch.stack(by_hand))


def test_cyclegans_terms_come_on_top():
    bridge, (x_s, y_s, x_t, y_hat) = shaken({"with": {"cycle": 2}, "without": {}})
    batch = x_s, y_s, x_t[:, :9], y_hat[:, :9]
    value = nb.loss_C(bridge, *batch)
    torch.testing.assert_close(value[0] - value[1], 2 * cycle(bridge, 0, batch))


def test_a_switch_that_is_not_named_is_on_its_usual_side():
    """Two ways, GAN, guesses teach; no MMD, no consistency, no cycle, labels guessed once."""
    usual = {"gan": 1, "keep": 1, "pseudo": 1, "moves": 1, "back": 1}
    bridge = shaken({"bare": {}})[0]
    assert {name: float(value) for name, value in bridge.w.items()} == dict.fromkeys(nb.SWITCHES, 0) | usual


def test_what_the_two_classifiers_answer():
    bridge, (_, _, x_t, _) = shaken({"a": {}, "b": {"moves": 0}})
    moved = bridge.G_t(x_t)
    expected = (bridge.C_t(x_t)[..., :4].softmax(-1) + bridge.C_s(moved)[..., :4].softmax(-1)) / 2
    torch.testing.assert_close(bridge.probabilities(x_t), expected)


@pytest.mark.slow
def test_labels_are_guessed_again_every_20_steps_and_the_others_keep_the_guesses(monkeypatch):
    tasks = [toy(40)]
    first = nb.first_classifier(tasks, [0], 60)
    variants, batches, loss_B = {"once": ALL, "again": ALL | {"again": 1}}, [], nb.loss_B
    monkeypatch.setattr(nb, "loss_B", lambda *args: batches.append(args[3:]) or loss_B(*args))
    after_20 = nb.adapt(tasks, first, variants, [0], (nb.REFRESH,))[0]
    batches.clear()
    nb.adapt(tasks, first, variants, [0], (nb.REFRESH + 3,))
    changed = 0
    for step, (x_t, y_hat) in enumerate(batches, 1):
        with torch.no_grad():
            guess = nb.answers(first, x_t[:1])[0][0].argmax(-1)
        assert agree(y_hat[0], guess)
        answer = after_20.probabilities(x_t).argmax(-1)[1]
        assert agree(y_hat[1], guess if step <= 20 else answer)
        changed += int((y_hat[1] != guess).sum())
    assert len(batches) == 23 and changed > 3


def test_pseudo_labels_of_three_kinds():
    tasks = [toy(), toy(seed=1)]
    first = nb.first_classifier(tasks, [3, 4], 60)
    kinds = {"a": {}, "b": {"labels": "true"}, "c": {"labels": "shuffled"}}
    guess, true, mixed = nb.pseudo_labels(first, tasks, kinds, [3, 4]).reshape(3, 2, -1)
    assert torch.equal(true, torch.stack([task["target"][1] for task in tasks]))
    assert torch.equal(guess.sort()[0], mixed.sort()[0]) and not torch.equal(guess, mixed)
    with pytest.raises(KeyError):
        nb.pseudo_labels(first, tasks, {"a": {"labels": "none"}}, [3, 4])


@pytest.mark.slow
def test_true_labels_find_the_turn_and_equal_seeds_equal_bits():
    tasks = [toy(60, (200, 200, 200))]
    first = nb.first_classifier(tasks, [0], 60)
    variants = {"true": ALL | {"labels": "true"}, "C_0": ALL}
    runs = [nb.adapt(tasks, first, variants, [0], (80,))[1][80] for _ in "ab"]
    right, guessed = (100 * (guess[0] == tasks[0]["test"][1]).float().mean() for guess in runs[0])
    assert right > 90 and guessed < 40 and torch.equal(*runs)


def test_scores_of_c_0_come_first_and_by_hand(monkeypatch):
    tasks = [toy(0, (80, 60, 4)), toy(0, (80, 60, 4), seed=1)]
    y = tasks[0]["test"][1]
    seen = {5: torch.stack([y, (y + 1) % 4]).repeat(2, 1, 1), 9: torch.stack([y, y]).repeat(2, 1, 1)}
    monkeypatch.setattr(nb, "adapt", lambda *args: ("bridge", seen))
    monkeypatch.setattr(nb, "seed", 0, raising=False)
    found, bridge = nb.compared(tasks, {"u": {}, "v": {}}, 100, (5, 9))
    assert bridge == "bridge" and found.shape == (3, 2, 2)
    np.testing.assert_array_equal(found[1:], [[[100, 100], [0, 100]]] * 2)
    assert (found[0] > 70).all()  # the square has not turned


# Bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda s, t, v: s[0].__setitem__((0, 0), np.nan), "source: features are NaN or infinite"),
    (lambda s, t, v: t[0].__setitem__((slice(0, 3), 1), np.inf), "target: features are NaN or infinite"),
    (lambda s, t, v: s[1].__setitem__(0, 9), "source: labels are not within 0 to 3"),
    (lambda s, t, v: s[1].__setitem__(slice(None), 1), r"classes \[0, 2, 3\] have no source row"),
])
def test_bad_rows_are_named(spoil, message):
    sides = [nb.square(0, n, np.random.default_rng(k)) for k, n in enumerate((80, 60, 50))]
    spoil(*sides)
    with pytest.raises(ValueError, match=message):
        nb.task_of(*sides, 4)


def test_unequal_widths_and_empty_sides_are_named():
    x, y = nb.square(0, 8, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"target: got \(8, 1\), expected \(n, 2\)"):
        nb.task_of((x, y), (x[:, :1], y), (x, y), 4)
    with pytest.raises(ValueError, match="test: got"):
        nb.task_of((x, y), (x, y), (x[:0], y[:0]), 4)
    with pytest.raises(ValueError, match="target: 8 rows, labels"):
        nb.task_of((x, y), (x, y[:5]), (x, y), 4)


@pytest.mark.slow
def test_a_class_missing_in_the_target_and_sides_smaller_than_a_batch():
    x, y = nb.square(30, 40, np.random.default_rng(0))
    old = nb.square(0, 80, np.random.default_rng(1))
    for target in ((x[y != 2], y[y != 2]), (x[:5], y[:5])):
        tasks = [nb.task_of(old, target, (x, y), 4)]
        variants = {"once": ALL, "again": ALL | {"again": 1}}
        bridge, seen = nb.adapt(tasks, nb.first_classifier(tasks, [0], 40), variants, [0], (5, 10, 25))
        assert len(seen) == 3 and seen[5].shape == (2, 1, 40)
        assert torch.isfinite(bridge.probabilities(torch.stack([tasks[0]["test"][0]] * 2))).all()


def test_unknown_switches_are_named():
    tasks = [toy()]
    with pytest.raises(ValueError, match=r"a: unknown switches \['gna'\]"):
        nb.adapt(tasks, nb.first_classifier(tasks, [0], 5), {"a": {"gna": 1}}, [0], (3,))


def test_a_diverging_run_says_so():
    tasks = [toy()]
    first = nb.first_classifier(tasks, [0], 5)
    with torch.no_grad():
        first.w1.fill_(float("inf"))
    with pytest.raises(FloatingPointError, match="not finite after step 4"):
        nb.adapt(tasks, first, {"GAN": {}}, [0], (4,))


# Data --------------------------------------------------------------------------------------------------------------


def test_reduced_standardizes_by_itself_or_by_the_source():
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((5, 60))
    make = lambda n, shift: (rng.standard_normal((n, 5)) @ mix + shift, np.arange(n) % 3)  # noqa: E731
    source, target, test = make(90, 0.0), make(80, 4.0), make(40, 4.0)
    own, same = (nb.reduced(source, target, test, 3, own=flag) for flag in (True, False))
    gap = [float((task["source"][0].mean(0) - task["target"][0].mean(0)).norm()) for task in (own, same)]
    assert gap[0] < 1e-4 < 0.1 < gap[1]
    assert own["test"][0].shape == (40, 32) and own["classes"] == 3
    # the test rows are on the scale of the rows that were adapted to
    again = nb.reduced(source, target, target, 3)
    torch.testing.assert_close(again["target"][0], again["test"][0])


def test_dfl_adapts_to_the_earlier_half_of_each_place_and_tests_the_later_one(monkeypatch):
    """A made set, its amplitudes the row numbers: three places, 50 to 1001 rows, in mixed order."""
    names, sizes = ["EXP3-r1_sub2", "EXP2_sub1", "EXP1", "EXP2_sub2", "EXP3-r1_sub1"], (50, 63, 1001)
    order = np.random.default_rng(0).permutation(5 * sum(sizes))
    domain, place = np.arange(5).repeat(sum(sizes))[order], np.tile(np.arange(3).repeat(sizes), 5)[order]
    data = {"amp": np.arange(len(domain))[:, None], "location": place, "domain": domain, "domain_names": names}
    monkeypatch.setattr(nb, "dfl", data, raising=False)
    monkeypatch.setattr(nb, "reduced", lambda *args: args)
    tasks = nb.dfl_tasks(0, own=False)
    assert list(tasks) == [f"{room}: {way}" for room in ("EXP2", "EXP3-r1") for way in ("1→2", "2→1")]
    for title, (source, target, test, *rest) in tasks.items():
        assert rest == [18, False]
        room, here, there = title[:-5], title[-3], title[-1]
        known, early, late = (x[:, 0].astype(int) for x, _ in (source, target, test))
        for session, (x, y) in zip((here, there, there), (source, target, test), strict=True):
            assert (domain[x[:, 0].astype(int)] == names.index(f"{room}_sub{session}")).all()
            assert (place[x[:, 0].astype(int)] == y).all() and len(np.unique(x)) == len(x)
        assert np.bincount(source[1]).tolist() == [40] * 3 and len(early) == min(800, 25 + 32 + 501)
        for k, size in enumerate(sizes):
            assert (early[target[1] == k]).max() < (late[test[1] == k]).min()
            assert (test[1] == k).sum() == size // 2 and (target[1] == k).sum() == size - size // 2
        assert (np.diff(late) > 0).all() and not (np.diff(early) > 0).all() and not (np.diff(known) > 0).all()
    again = nb.dfl_tasks(1)["EXP2: 1→2"]
    assert set(again[0][0].ravel()) != set(tasks["EXP2: 1→2"][0][0].ravel())
    assert np.array_equal(again[2][0], tasks["EXP2: 1→2"][2][0])


def test_the_nearest_corner_is_the_best_guess_and_known_curves_meet_at_45():
    right, mean = nb.guessed_class(45)
    assert right == pytest.approx(norm.cdf(0) * norm.cdf(np.sqrt(8) / 0.5))
    assert mean[0] == pytest.approx(mean[1])  # a draw: the bridge does not turn
