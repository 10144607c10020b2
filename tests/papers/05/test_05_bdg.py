"""The definitions of notebook 05 on inputs the notebook does not show, against libraries, closed forms and slopes."""

import ast
import json

import numpy as np
import pytest
import torch
from notebook_code import NOTEBOOKS, definitions
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


def computed(*names):
    """Assignments of the notebook that definitions() leaves out, for they use other names: evaluated in nb's names."""
    space = dict(vars(nb))
    for cell in json.loads((NOTEBOOKS / "05_bdg.ipynb").read_text(encoding="utf-8"))["cells"]:
        for node in ast.parse("".join(cell["source"])).body if cell["cell_type"] == "code" else ():
            targets = [part for t in getattr(node, "targets", ()) for part in getattr(t, "elts", [t])]
            if {getattr(part, "id", None) for part in targets} & set(names):
                exec(compile(ast.Module([node], []), "05_bdg", "exec"), space)
    return {name: space[name] for name in names}


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
    torch.testing.assert_close(out[0], out[1])
    torch.testing.assert_close(out[0], out[2])
    plain = F.leaky_relu(x[0] @ stack.w1[0] + stack.b1[0], 0.2) @ stack.w2[0] + stack.b2[0]
    torch.testing.assert_close(out[0], plain)


@pytest.mark.parametrize("skip", [True, False])
def test_a_generator_that_does_not_move_gives_its_input_back(skip):
    net, x = nb.Generator(2, 4, 0, torch.tensor([0.0, 1.0]), skip), torch.randn(2, 5, 4)
    torch.testing.assert_close(net(x)[0], x[0])
    assert not torch.allclose(net(x)[1], x[1])


def agree(guesses, others):
    """Equal classes, but for a row on a border: a batch of another size may be summed in another order."""
    return (guesses == others).float().mean() > 0.95


@pytest.mark.slow
def test_a_member_trains_as_it_would_alone():
    task = toy()
    first = nb.first_classifier(task, 0, 60)
    variants = {"GAN": {}, "full": FULL, "steer": FULL | {"teach": 0}}
    together = nb.adapt(task, first, variants, 0, 12)[1][-1]["mean"]
    for k, (name, switches) in enumerate(variants.items()):
        alone = nb.adapt(task, first, {name: switches}, 0, 12)[1][-1]["mean"]
        assert agree(alone[0], together[k])


def test_without_consistency_one_way_is_the_target_half_of_two_ways():
    task = toy()
    variants = {"two": MMD, "one": MMD | {"back": 0}, "tied": FULL, "tied, one": FULL | {"back": 0}}
    bridge, _ = nb.adapt(task, nb.first_classifier(task, 0, 60), variants, 0, 30)
    C_t = bridge.C_t.w1
    near = [torch.allclose(C_t[k], C_t[k + 1], rtol=1e-3, atol=1e-4) for k in (0, 2)]  # sums may be of another order
    assert near == [True, False]


def test_the_steps_move_only_their_own_networks():
    task = toy()
    bridge = nb.Bridge(task, nb.first_classifier(task, 0, 20), {"full": FULL}, 0)
    batch = [task["source"][0][None], task["source"][1][None], task["target"][0][None], task["target"][1][None]]
    nb.loss_B(bridge, *batch).sum().backward()
    assert all(p.grad is None for net in (bridge.G_s, bridge.G_t) for p in net.parameters())
    assert all(p.grad is not None for net in (bridge.C_s, bridge.C_t) for p in net.parameters())
    nb.loss_C(bridge, *batch).sum().backward()
    assert all(p.grad is not None for net in (bridge.G_s, bridge.G_t) for p in net.parameters())


WEIGHTS = {"gan": 0.875, "mean": 0.5, "class": 0.75, "con": 1.25, "cycle": 2, "identity": 3}  # exact in binary


def shaken(variants, **options):
    """A Bridge in double precision whose four nets differ from one another, and a batch with unequal sides."""
    bridge = nb.Bridge(toy(), nb.Stack(1, 2, 5, 0), variants, 0, **options)
    for k, net in enumerate((bridge.C_s, bridge.C_t, bridge.G_s, bridge.G_t)):
        net.double()
        for j, p in enumerate(net.parameters()):  # the same for every member
            p.data += 0.3 * rows(1, *p.shape[1:], seed=10 * k + j)
    batch = rows(1, 9, 2), labels(4, 1, 9), rows(1, 12, 2, seed=1), labels(4, 1, 12, seed=1)
    return bridge, [part.expand(bridge.E, *part.shape[1:]) for part in batch]


def p_and_D(net, x, member, head):
    """Probabilities of the classes, of "real" and of "generated" of one member: plain, as section 5.2 says them."""
    out = net(x)[member]
    a, z = out[:, :-1], out[:, :-1].exp().sum(1)
    not_D = {"second head": 1 / (1 + out[:, -1].exp()), "extra class": out.softmax(1)[:, -1],
             "log-sum-exp": 1 / (1 + z)}[head]
    return a.exp() / z[:, None], 1 - not_D, not_D


def eq_6(bridge, member, w, x_s, y_s, x_t, y_hat, head="second head", saturating=False, reading="ours"):
    """What B and C lower, Eq. (6'), for one member: written by halves, without the notebook's losses."""
    F_t, F_s = bridge.G_s(x_s), bridge.G_t(x_t)
    p = {name + at: p_and_D(net, x, member, head) for name, net in (("s", bridge.C_s), ("t", bridge.C_t))
         for at, x in (("X_s", x_s), ("X_t", x_t), ("F_s", F_s), ("F_t", F_t))}
    log_D = lambda key: p[key][1].log().mean()  # noqa: E731
    log_not_D = lambda key: p[key][2].log().mean()  # noqa: E731
    L = lambda key, y: sum(p[key][0][i, c].log() for i, c in enumerate(y[member].tolist())) / y.shape[1]  # noqa: E731
    real, fake = {"ours": (("sX_s", "tX_t"), ("sF_s", "tF_t")), "review": (("sX_s", "tF_t"), ("sF_t", "tF_s"))}[reading]
    y_of = {"X_s": y_s, "X_t": y_hat, "F_s": y_hat, "F_t": y_s}
    taught = lambda key: w["teach"] if key[1:] in ("X_t", "F_s") else 1  # noqa: E731
    halves = dict(zip("st", (w["back"], 1), strict=True))
    con = w["con"] * (p["tF_s"][0] - p["sF_s"][0]).abs().sum() / x_t.shape[1]
    B = C = con
    for r, f in zip(real, fake, strict=True):
        L_r, L_f = (taught(key) * L(key, y_of[key[1:]]) for key in (r, f))
        B = B - halves[r[0]] * (w["gan"] * (log_D(r) + log_not_D(f)) + L_r + L_f)
        C = C + halves[r[0]] * (w["gan"] * (log_not_D(f) if saturating else -log_D(f)) - w["sign"] * L_f)
    for half, f, y_f, x, y_x in (("s", F_s, y_hat, x_s, y_s), ("t", F_t, y_s, x_t, y_hat)):
        f, y_f, x, y_x = f[member], y_f[member], x[member], y_x[member]
        gaps = [((f[y_f == c].mean(0) - x[y_x == c].mean(0)) ** 2).sum() for c in range(4)
                if (y_f == c).any() and (y_x == c).any()]
        mmd = w["mean"] * ((f.mean(0) - x.mean(0)) ** 2).sum() + w["class"] * sum(gaps) / len(gaps)
        C = C + halves[half] * mmd
    off = lambda a, b: (a - b)[member].abs().mean()  # noqa: E731
    C = C + w["cycle"] * (off(bridge.G_t(F_t), x_s) + off(bridge.G_s(F_s), x_t))
    return B, C + w["identity"] * (off(bridge.G_t(x_s), x_s) + off(bridge.G_s(x_t), x_t))


@pytest.mark.parametrize("options", [
    {}, {"head": "extra class"}, {"head": "log-sum-exp"}, {"saturating": True}, {"reading": "review"},
    {"reading": "review", "head": "extra class", "saturating": True}], ids=str)
def test_the_losses_are_eq_6_for_every_switch(options):
    members = [WEIGHTS | {"teach": 1, "back": 1, "sign": 1} | change for change in (
        {}, {"teach": 0}, {"gan": 0}, {"back": 0}, {"sign": -1}, {"sign": 0, "teach": 0}, {"teach": 0, "back": 0},
        {"mean": 0}, {"class": 0}, {"con": 0}, {"cycle": 0}, {"identity": 0}, {"moves": 0})]
    bridge, batch = shaken({str(k): switches for k, switches in enumerate(members)}, **options)
    found = nb.loss_B(bridge, *batch), nb.loss_C(bridge, *batch)
    expected = [eq_6(bridge, k, switches, *batch, **options) for k, switches in enumerate(members)]
    for step, by_hand in zip(found, zip(*expected, strict=True), strict=True):
        torch.testing.assert_close(step, torch.stack(by_hand))


def test_a_switch_that_is_not_named_is_on_its_usual_side():
    """Teach, two ways, GAN, the sign of the classifiers; no MMD, no consistency, no cycle, no refreshing."""
    usual = {"gan": 1, "teach": 1, "moves": 1, "back": 1, "sign": 1}
    bridge = shaken({"bare": {}})[0]
    assert {name: float(value) for name, value in bridge.w.items()} == dict.fromkeys(nb.SWITCHES, 0) | usual
    assert (bridge.head, bridge.reading, bridge.saturating, bridge.G_s.skip) == ("second head", "ours", False, True)


def test_steer_teaches_no_classifier_from_guesses_and_its_generators_read_them_in_the_means_alone():
    bridge, (x_s, y_s, x_t, y_hat) = shaken({"teach": FULL, "steer": FULL | {"teach": 0}, "no means": {"teach": 0}})
    other = (y_hat + 1) % 4
    change = [loss(bridge, x_s, y_s, x_t, other) - loss(bridge, x_s, y_s, x_t, y_hat)
              for loss in (nb.loss_B, nb.loss_C)]
    assert [[bool(v != 0) for v in part] for part in change] == [[True, False, False], [True, True, False]]


def test_flipping_the_sign_flips_the_pull_of_the_labels_on_the_generators():
    alone = {"gan": 0}
    bridge, batch = shaken({"like C": alone, "flipped": alone | {"sign": -1}, "no term": alone | {"sign": 0}})
    nb.loss_C(bridge, *batch).sum().backward()
    for p in bridge.G_s.parameters():
        assert p.grad[0].any()
        torch.testing.assert_close(p.grad[1], -p.grad[0])
        assert not p.grad[2].any()


@pytest.mark.parametrize(("reading", "head"), [("ours", "second head"), ("review", "extra class")])
def test_what_the_two_classifiers_answer(reading, head):
    bridge, (_, _, x_t, _) = shaken({"a": {}, "b": {"moves": 0}}, reading=reading, head=head)
    found, moved = nb.probabilities(bridge, x_t[0]), bridge.G_t(x_t)
    for member in range(2):
        for name, net, x in (("C_s", bridge.C_s, moved), ("C_t", bridge.C_t, x_t if reading == "ours" else moved)):
            torch.testing.assert_close(found[name][member], p_and_D(net, x, member, head)[0])


def test_the_options_of_section_9_reach_the_networks():
    task, options = toy(), {"head": "extra class", "reading": "review", "saturating": True, "skip": False}
    bridge, seen = nb.adapt(task, nb.first_classifier(task, 0, 20), {"a": {}, "still": {"moves": 0}}, 0, 3, **options)
    assert {name: getattr(bridge, name) for name in ("head", "reading", "saturating")} == {
        name: options[name] for name in ("head", "reading", "saturating")}
    x = task["test"][0].expand(2, -1, -1)
    for G in (bridge.G_s, bridge.G_t):
        torch.testing.assert_close(G(x), torch.stack([G.net(x)[0], x[1]]))
    p = nb.probabilities(bridge, x[0])
    for name, q in (p | {"mean": p["C_t"] + p["C_s"]}).items():
        assert agree(seen[0][name], q.argmax(-1))


@pytest.mark.slow
def test_refreshing_takes_up_the_mean_answer_every_20_steps_and_the_others_keep_the_guesses(monkeypatch):
    task, steer = toy(40), FULL | {"teach": 0}
    first = nb.first_classifier(task, 0, 60)
    variants, batches, loss_B = {"fixed": steer, "refreshed": steer | {"refresh": 1}}, [], nb.loss_B
    monkeypatch.setattr(nb, "loss_B", lambda *args: batches.append(args[3:]) or loss_B(*args))
    after_20 = nb.adapt(task, first, variants, 0, nb.REFRESH)[0]
    batches.clear()
    nb.adapt(task, first, variants, 0, nb.REFRESH + 3)
    changed = 0
    for step, (x_t, y_hat) in enumerate(batches, 1):
        with torch.no_grad():
            guess = nb.split(first(x_t[:1]))[0][0].argmax(-1)
        assert agree(y_hat[0], guess)
        answer = sum(nb.probabilities(after_20, x_t[0]).values()).argmax(-1)[1]
        assert agree(y_hat[1], guess if step <= 20 else answer)
        changed += int((y_hat[1] != guess).sum())
    assert len(batches) == 23 and changed > 3


def test_pseudo_labels_of_three_kinds():
    task = toy()
    first = nb.first_classifier(task, 0, 60)
    found = nb.pseudo_labels(task, first, {"a": {}, "b": {"labels": "true"}, "c": {"labels": "shuffled"}}, 3)
    assert torch.equal(found[1], task["target"][1])
    assert torch.equal(found[0].sort()[0], found[2].sort()[0]) and not torch.equal(found[0], found[2])
    with pytest.raises(KeyError):
        nb.pseudo_labels(task, first, {"a": {"labels": "none"}}, 3)


@pytest.mark.slow
def test_class_means_with_true_labels_find_the_turn_and_equal_seeds_equal_bits():
    task = toy(60, (200, 200, 200))
    first = nb.first_classifier(task, 0, 60)
    variants = {"true": FULL | {"teach": 0, "labels": "true"}, "C_0": FULL | {"teach": 0}}
    runs = [nb.adapt(task, first, variants, 0, 80)[1][-1]["mean"] for _ in "ab"]
    right, guessed = (float(v) for v in nb.score(runs[0], task))
    assert right > 90 and guessed < 40 and torch.equal(*runs)


# The six rows, and the tables -----------------------------------------------------------------------------------------


def test_the_letters_are_the_six_rows_of_the_digest():
    """One way is C_t alone, two ways are the mean answer; then what is added to the GAN: MMD, consistency."""
    ways, mmd, con = {"C_t": "one", "mean": "two"}, {"mean": 1, "class": 1}, {"con": 1}
    digest = {"a": ("one", {}, 81.1), "b": ("one", mmd, 87.4), "c": ("two", {}, 82.9), "d": ("two", con, 82.5),
              "e": ("two", mmd, 88.3), "f": ("two", mmd | con, 88.5)}
    ROWS = computed("ROWS")["ROWS"]
    assert digest == {letter: (ways[reader], ROWS[name], nb.PAPER[letter])
                      for letter, (name, reader) in nb.LETTERS.items()}
    assert list(nb.LETTERS) == list(nb.LABELS) == list("abcdef")
    said = {letter: (text.startswith("one"), "MMD" in text or letter == "f") for letter, text in nb.LABELS.items()}
    assert said == {letter: (way == "one", "mean" in added) for letter, (way, added, _) in digest.items()}
    assert nb.row("b", ", steer") == ("GAN + MMD, steer", "C_t") and nb.row("f") == ("full", "mean")


def test_the_variants_differ_from_the_rows_in_what_their_names_say():
    found = computed("ROWS", "KNOWN", "VARIANTS", "SCALES", "BOTH", "TERMS", "FLIPPED", "TURNED", "OPTIONS")
    ROWS, VARIANTS, TURNED = (found[name] for name in ("ROWS", "VARIANTS", "TURNED"))
    for name, switches in ROWS.items():
        assert VARIANTS[name] == switches and VARIANTS[f"{name}, steer"] == switches | {"teach": 0}
        assert TURNED[name] == switches | {"sign": -1}
        assert TURNED[f"{name}, steer"] == switches | {"sign": -1, "teach": 0}
    for tail, steer in (("", {}), (", steer", {"teach": 0})):
        for kind in ("true", "shuffled"):
            assert VARIANTS[f"full, {kind} labels{tail}"] == FULL | {"labels": kind} | steer
    still = {"gan": 0, "moves": 0}
    assert VARIANTS["self-training"] == still and VARIANTS["source only, equal steps"] == still | {"teach": 0}
    assert VARIANTS["self-training, refreshed"] == still | {"refresh": 1}
    assert VARIANTS["full, refreshed"] == FULL | {"refresh": 1}
    assert found["TERMS"]["MMD without GAN, steer"] == MMD | {"gan": 0, "teach": 0}
    assert all(v["teach"] == 0 for v in (found["TERMS"] | found["SCALES"]).values())
    assert list(found["OPTIONS"].values()) == [
        {"head": "extra class"}, {"head": "log-sum-exp"}, {"skip": False}, {"reading": "review"}, {"saturating": True},
        {}]


def test_compare_by_hand(monkeypatch):
    """Four test rows of the classes 0 to 3, C_0 right on three; two members, two looks."""
    task, asked = {"test": (torch.eye(4), torch.arange(4))}, []
    first = lambda x: torch.tensor([[[9.0, 0, 0, 0, 0], [0, 9, 0, 0, 0], [0, 0, 9, 0, 0], [9, 0, 0, 0, 99]]])  # noqa: E731
    seen = [{"C_t": torch.tensor([[0, 0, 0, 0], [1, 1, 1, 1]]), "mean": torch.tensor([[3, 2, 1, 0], [0, 1, 0, 0]])},
            {"C_t": torch.tensor([[0, 1, 2, 3], [1, 0, 3, 3]]), "mean": torch.tensor([[0, 1, 0, 0], [0, 1, 2, 0]])}]
    monkeypatch.setattr(nb, "adapt", lambda *args, **options: asked.append((args[2:], options)) or (None, seen))
    out, way = nb.compare(task, first, 7, {"u": {}, "v": {}}, head="extra class")
    assert asked == [(({"u": {}, "v": {}}, 7, 12, 3), {"head": "extra class"})]
    assert out == {("u", "C_t"): 100, ("v", "C_t"): 25, ("u", "mean"): 50, ("v", "mean"): 75, ("C_0", "mean"): 75,
                   ("u", "as C_0"): 75, ("v", "as C_0"): 100}
    assert way == {("u", 0): 0, ("v", 0): 50, ("u", 1): 50, ("v", 1): 75}


def test_values_differences_and_letters_by_hand(monkeypatch):
    ROWS = computed("ROWS")["ROWS"]
    names = [name + tail for tail in ("", ", steer") for name in ROWS]
    draw = np.random.default_rng(0)
    scores = {("d", scale, task, name, reader): draw.random(3) for scale in ("own", "other") for task in ("x", "y")
              for name in names for reader in ("C_t", "C_s", "mean")}
    for name, value in (("scores", scores), ("TASKS", {"d": ["x", "y"]}), ("DIGITS", "d")):
        monkeypatch.setattr(nb, name, value, raising=False)
    mean = lambda name, reader, scale: (  # noqa: E731
        scores["d", scale, "x", name, reader] + scores["d", scale, "y", name, reader]) / 2
    np.testing.assert_allclose(nb.values("d", "GAN"), mean("GAN", "mean", "own"))
    np.testing.assert_allclose(nb.values("d", "full", "C_s", "other"), mean("full", "C_s", "other"))
    np.testing.assert_allclose(nb.values("d", "full", "C_t", task="y"), scores["d", "own", "y", "full", "C_t"])
    np.testing.assert_allclose(nb.difference("d", ("full", "mean", "other"), ("GAN", "C_t")),
                               mean("full", "mean", "other") - mean("GAN", "C_t", "own"))
    monkeypatch.setitem(nb.cfg, "option_repeats", 2)
    expected = {letter + tail.replace(",", ""): mean(name + tail, reader, "other")[:2].mean()
                for tail in ("", ", steer") for letter, (name, reader) in nb.LETTERS.items()}
    assert nb.letters("other") == pytest.approx(expected) and len(expected) == 12


def test_a_repeat_hands_every_option_to_compare(monkeypatch):
    names = "ROWS", "KNOWN", "VARIANTS", "SCALES", "BOTH", "TERMS", "FLIPPED", "TURNED", "OPTIONS"
    found, calls, task = computed(*names), [], lambda name: {"name": name}

    def compare(task, first, number, variants, **options):
        calls.append((task["name"], list(variants.values()), options))
        return {("GAN", "mean"): float(len(calls))}, {("GAN", 0): 0.0}

    stubs = found | {
        "compare": compare, "first_classifier": lambda *args: None, "competitors": lambda task: {"1-NN": 1.0},
        "SURF": {"own": [], "source": [task("never")]}, "DIGITS": "d", "PAIR": ("p", "q"), "dfl": None,
        "digit_tasks": lambda a, b, number: ({"own": task(a + b), "source": task(a + b + " raw")}, {"net": 2.0}),
        "lab_tasks": lambda number, own: [task("lab" if own else "lab raw")]}
    for name, value in stubs.items():
        monkeypatch.setattr(nb, name, value, raising=False)
    monkeypatch.setitem(nb.cfg, "option_repeats", 1)
    out, ways = nb.one_repeat(0)
    plain = list((found["ROWS"] | nb.steered(found["ROWS"])).values())
    expected = [(pair, list(found["TURNED"].values()) if name == found["FLIPPED"] else plain, settings)
                for pair in ("pq", "qp") for name, settings in found["OPTIONS"].items()]
    usual = [list(found["VARIANTS"].values()), list((found["VARIANTS"] | found["TERMS"]).values())]
    mains = [call for call in calls if call[1] in usual or "raw" in call[0]]
    assert [call for call in calls if call not in mains] == expected
    raw = list(found["SCALES"].values())
    assert mains == [("pq", usual[1], {}), ("pq raw", raw, {}), ("qp", usual[1], {}), ("qp raw", raw, {}),
                     ("lab", usual[0], {}), ("lab raw", raw, {})]
    at = {key: calls[int(value) - 1] for key, value in out.items() if key[3:] == ("GAN", "mean")}
    assert {key[1] for key in at} == {"own", "source", *found["OPTIONS"]}
    for (_, scale, name, *_), call in at.items():
        assert call[2] == found["OPTIONS"].get(scale, {}) and call[0] == name and ("raw" in name) == (scale == "source")
    assert out["d", "own", "pq", "net", "mean"] == 2 and out["sim-lab", "own", "lab", "1-NN", "mean"] == 1
    assert set(ways) == {("d", "pq", "GAN", 0), ("d", "qp", "GAN", 0), ("sim-lab", "lab", "GAN", 0)}
    calls.clear()
    nb.one_repeat(1)
    assert len(calls) == len(mains)


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


@pytest.mark.slow
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


def test_dfl_adapts_to_the_earlier_half_of_each_place_and_tests_the_later_one(monkeypatch):
    """A made set, its amplitudes the row numbers: three places, 50 to 1001 rows, in mixed order."""
    names, sizes = ["EXP3-r1_sub2", "EXP2_sub1", "EXP1", "EXP2_sub2", "EXP3-r1_sub1"], (50, 63, 1001)
    order = np.random.default_rng(0).permutation(5 * sum(sizes))
    domain, place = np.arange(5).repeat(sum(sizes))[order], np.tile(np.arange(3).repeat(sizes), 5)[order]
    data = {"amp": np.arange(len(domain))[:, None], "location": place, "domain": domain, "domain_names": names}
    monkeypatch.setattr(nb, "dfl", data, raising=False)
    monkeypatch.setattr(nb, "reduced", lambda *args: args)
    tasks = nb.dfl_tasks(0, own=False)
    titles = [f"{room}: {way}" for room in ("EXP2", "EXP3-r1") for way in ("1→2", "2→1")]
    assert [task[0] for task in tasks] == titles and all(task[4:] == (18, False) for task in tasks)
    for title, source, target, test, *_ in tasks:
        room, here, there = title[:-5], title[-3], title[-1]
        known, early, late = (x[:, 0].astype(int) for x, _ in (source, target, test))
        for session, (x, y) in zip((here, there, there), (source, target, test), strict=True):
            assert (domain[x[:, 0].astype(int)] == names.index(f"{room}_sub{session}")).all()
            assert (place[x[:, 0].astype(int)] == y).all() and len(np.unique(x)) == len(x)
        assert np.bincount(source[1]).tolist() == [40] * 3 and len(early) == 25 + 32 + 501
        for k, size in enumerate(sizes):
            assert (early[target[1] == k]).max() < (late[test[1] == k]).min()
            assert (test[1] == k).sum() == size // 2 and (target[1] == k).sum() == size - size // 2
        assert (np.diff(late) > 0).all() and not (np.diff(early) > 0).all() and not (np.diff(known) > 0).all()
    again = nb.dfl_tasks(1)
    assert set(again[0][1][0].ravel()) != set(tasks[0][1][0].ravel())
    assert np.array_equal(again[0][3][0], tasks[0][3][0])


def test_dfl_adapts_to_800_rows_at_most(monkeypatch):
    n = 1700
    data = {"amp": np.arange(4 * n)[:, None], "location": np.zeros(4 * n), "domain": np.repeat(np.arange(4), n),
            "domain_names": [f"{room}_sub{k}" for room in ("EXP2", "EXP3-r1") for k in (1, 2)]}
    monkeypatch.setattr(nb, "dfl", data, raising=False)
    monkeypatch.setattr(nb, "reduced", lambda *args: args)
    for _, source, target, test, *_ in nb.dfl_tasks(0):
        assert [len(part[1]) for part in (source, target, test)] == [40, 800, 850]


@pytest.mark.slow
def test_lab_rows_keep_visits_apart():
    x, zone, session, mark, point = nb.lab_rows(7)
    assert x.shape == (3 * (7 * 99 + 60), 360) and np.isfinite(x).all() and set(zone) == set(range(6))
    for k in range(3):
        here = session == k
        assert (np.bincount(point[here & mark])[:99] == 5).all()
        assert (~mark & here).sum() == 2 * 99 + 60  # two more visits, and the positions off the grid
