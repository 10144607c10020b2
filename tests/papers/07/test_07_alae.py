"""The definitions of notebook 07 on inputs the notebook does not show, against libraries, closed forms and slopes."""

import numpy as np
import pytest
import torch
from notebook_code import definitions
from torch import nn

nb = definitions("07_alae")
nb.DEVICE, nb.seed, nb.REPEATS, nb.RATE = torch.device("cpu"), 0, 2, 2e-3
nb.cfg = {"width": 12, "batch": 8, "paths": 6, "looks": (2, 4)}
MODELS = ("ALAE", "no step III", "BiGAN", "AE", "LR", "separate D")


def rows(*shape, seed=0, **kw):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **kw)


def weights(net):
    return torch.cat([p.detach().flatten().clone() for p in net.parameters()] or [torch.zeros(1)])


# R1 and layers -------------------------------------------------------------------------------------------------------


def test_r1_of_a_quadratic_discriminator_and_its_slope_in_closed_form():
    a = rows(5, dtype=torch.float64).requires_grad_()
    x = rows(2, 9, 5, seed=1, dtype=torch.float64).requires_grad_()
    value = nb.squared_slope((x @ a) ** 2 / 2, x)  # slope (a.x) a, squared length (a.x)^2 |a|^2
    along = (x @ a).detach()
    torch.testing.assert_close(value.detach(), (along.square().mean() * a.square().sum()).detach())
    slope, = torch.autograd.grad(value, a)
    by_hand = 2 * a * along.square().mean() + 2 * a.square().sum() * (along[..., None] * x).mean((0, 1))
    torch.testing.assert_close(slope, by_hand.detach())


def test_an_equalized_layer_is_a_scaled_linear_layer_in_each_repeat():
    layer, x = nb.training.seeded(lambda: nb.Layer(3, 40, 7, rate=0.1), 1), rows(3, 5, 40)
    layer.bias.data = rows(3, 1, 7, seed=2)
    for repeat in range(3):
        plain = nn.Linear(40, 7)
        plain.weight.data = layer.weight.data[repeat].T * (2 / 40) ** 0.5 * 0.1
        plain.bias.data = layer.bias.data[repeat, 0] * 0.1
        torch.testing.assert_close(layer(x)[repeat], plain(x[repeat]))
    assert float(layer.weight.detach().std()) == pytest.approx(10, rel=0.1)  # drawn with deviation 1 / rate


def test_shapes_of_the_four_networks_and_the_judge_of_codes_is_linear():
    nets = nb.training.seeded(lambda: nb.four_networks(2, 12), 0)
    F, G, E, D = nets.values()
    w = F(7 * rows(2, 4, 50))
    torch.testing.assert_close(w, F(rows(2, 4, 50)))  # F takes any length for the same
    parts = (G(w), E(G(w)), E.long(G(w)), D(w))
    assert [tuple(part.shape) for part in parts] == [(2, 4, 784), (2, 4, 50), (2, 4, 12), (2, 4, 50)]
    a, b = rows(2, 3, 50), rows(2, 3, 50, seed=1)
    torch.testing.assert_close(D(a + b) - D(b), D(a) - D(torch.zeros(2, 3, 50)), atol=1e-4, rtol=1e-3)


# Steps ---------------------------------------------------------------------------------------------------------------


class Spy:
    """An optimizer's stand-in that says who moves, and when."""

    def __init__(self, adam, name, net, moves):
        self.adam, self.name, self.net, self.moves = adam, name, net, moves

    def zero_grad(self):
        self.adam.zero_grad()

    def step(self):
        before = weights(self.net)
        self.adam.step()
        if not torch.equal(before, weights(self.net)):
            self.moves.append(self.name)


@pytest.mark.parametrize(("name", "moved"), [
    ("ALAE", "EDFGEG"), ("no step III", "EDFG"), ("separate D", "TDFGEG"), ("LR", "TDGE"), ("BiGAN", "DEG"),
    ("AE", "EG"),
])
def test_each_step_moves_its_networks_and_no_other(name, moved):
    nets, adams, step = nb.start(name, 2, 12)
    before, moves = {key: weights(net) for key, net in nets.items()}, []
    spies = {key: Spy(adam, key, nets[key], moves) for key, adam in adams.items()}
    step(nets, spies, rows(2, 8, 784).abs(), 0)
    assert "".join(moves) == moved
    changed = {key for key, net in nets.items() if not torch.equal(before[key], weights(net))}
    assert changed == set(moved)


def test_all_models_begin_with_the_same_encoder_and_generator():
    E, G = (weights(nb.start("ALAE", 2, 12)[0][key]) for key in "EG")
    for name in MODELS:
        nets, *_ = nb.start(name, 2, 12)
        assert torch.equal(weights(nets["E"]), E) and torch.equal(weights(nets["G"]), G)
    x = rows(2, 50, 784)
    assert (nb.start("AE", 2, 12)[0]["E"](x) < -0.1).any()  # free to be negative


def test_the_losses_are_eqs_2_to_4_and_r1_is_due_in_every_fourth_batch():
    nets, *_ = nb.start("ALAE", 2, 12)
    F, G, E, D = (nets[name] for name in "FGED")
    x, still = rows(2, 8, 784).abs(), {name: nb.Note(name, nets, []) for name in nets}
    torch.manual_seed(3)
    z_1, z_2, z_3 = torch.randn(3, 2, 8, 50)
    with torch.no_grad():
        real, made = (torch.sigmoid(D(E(v))[..., 0]) for v in (x, G(F(z_1))))
        taken = torch.sigmoid(D(E(G(F(z_2))))[..., 0])
        known = [-(real.log().mean() + (1 - made).log().mean()), -taken.log().mean(),
                 (F(z_3) - E(G(F(z_3)))).square().mean()]
    torch.manual_seed(3)
    assert nb.alae_step(nets, still, x, 1) == pytest.approx([float(v) for v in known], rel=1e-4)
    slopes = {}
    for k in (0, 1, 2, 4):
        notes = []
        torch.manual_seed(3)
        nb.alae_step(nets, {name: nb.Note(name, nets, notes) for name in nets}, x, k)
        slopes[k] = notes[0]["E"]
    assert slopes[0] == slopes[4] != slopes[1] == slopes[2]


def test_no_gradient_reaches_f_in_steps_i_and_iii():
    nets, *_ = nb.start("ALAE", 1, 12)
    notes = []
    nb.alae_step(nets, {name: nb.Note(name, nets, notes) for name in nets}, rows(1, 8, 784).abs(), 0)
    assert [note["used"] for note in notes] == list("EDFGEG")
    assert [note["F"] is None for note in notes] == [True, True, False, False, True, True]
    assert notes[2]["D"] > 0 and notes[4]["D"] is None


def test_a_repeat_alone_is_the_same_as_beside_others():
    """Repeats share nothing: the losses' means over repeats only scale their slopes."""
    both = nb.training.seeded(lambda: nb.four_networks(2, 12), 0)
    x = rows(2, 8, 784).abs()
    code = both["E"](x)
    for repeat in range(2):
        alone = nb.four_networks(1, 12)["E"]
        for p, q in zip(alone.parameters(), both["E"].parameters(), strict=True):
            p.data = q.data[repeat:repeat + 1]
        torch.testing.assert_close(alone(x[repeat:repeat + 1])[0], code[repeat])


# Training ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def digits_at_hand(monkeypatch):
    x, y = torch.rand(60, 784, generator=torch.Generator().manual_seed(1)), torch.arange(60) % 10
    judge = nn.Sequential(nn.Linear(784, 10))
    monkeypatch.setattr(nb, "x_train", x, raising=False)
    monkeypatch.setattr(nb, "y_train", y, raising=False)
    monkeypatch.setattr(nb, "x_test", x[:20], raising=False)
    monkeypatch.setattr(nb, "y_test", y[:20], raising=False)
    monkeypatch.setattr(nb, "GALLERY", 40, raising=False)
    monkeypatch.setattr(nb, "judge", judge, raising=False)
    monkeypatch.setattr(nb, "JUDGED", nb.told(x[:20]), raising=False)


@pytest.mark.parametrize("name", MODELS)
def test_a_training_is_the_same_bits_again(name, digits_at_hand):
    found = [nb.train(name, 2, 12, (2, 4)) for _ in range(2)]
    for _, losses, seen in found:
        assert losses.shape[0] == 4 and np.isfinite(losses).all() and seen.shape == (2, 2, 2)
    assert (found[0][1] == found[1][1]).all()
    assert torch.equal(weights(found[0][0]["E"]), weights(found[1][0]["E"]))


def test_a_loss_that_is_not_finite_stops_the_run_and_is_named(digits_at_hand, monkeypatch):
    def broken(nets, adams, x, k, third):
        return (float("nan"),)

    monkeypatch.setattr(nb, "alae_step", broken)
    with pytest.raises(FloatingPointError, match="ALAE: a loss is not finite by 2"):
        nb.train("ALAE", 2, 12, (2, 4))


# Numbers we judge by -------------------------------------------------------------------------------------------------


def test_detour_of_a_corner_a_stop_and_a_rotation():
    corner = torch.tensor([[[[0.0, 0]], [[3, 0]], [[3, 4]]]])  # (1, 3, 1, 2)
    assert float(nb.detour(corner)) == pytest.approx(7 / 5)
    waits = torch.tensor([[[[0.0]], [[0.0]], [[1.0]]]])
    assert float(nb.detour(waits)) == pytest.approx(1)
    path, turn = rows(1, 9, 4, 6), torch.linalg.qr(rows(6, 6, seed=2))[0]
    torch.testing.assert_close(nb.detour(path), nb.detour(7 * path @ turn))


def test_ways_share_their_ends_and_run_straight_in_w():
    nets, *_ = nb.start("ALAE", 2, 12)
    nets["G"] = nb.layers(2, [50, 784], [1])  # a linear generator: straight stays straight
    found = nb.ways(nets, 5, K=4)
    for pictures in found.values():
        assert pictures.shape == (2, 5, 6, 784)
        torch.testing.assert_close(pictures[:, 0], found["W"][:, 0], atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(pictures[:, -1], found["W"][:, -1], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(nb.detour(found["W"]), torch.ones(2, 6), atol=1e-3, rtol=1e-3)
    assert (nb.detour(found["Z"]) > 1.05).all()


# What is recorded ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("digits", "unfit", "kept"), [
    ("mnist", "", ("record", 3.0)), ("mnist", "not tested: too early", ("not_run", "not tested: too early")),
    ("mnist-5000", "", ("not_run", "mnist is not available in this run")),
])
def test_a_measure_is_recorded_or_the_reason_why_it_is_not(digits, unfit, kept, monkeypatch):
    found = []

    class Ledger:
        measures = {"C1": {"profiles": ["full"]}}

        def record(self, id, value, **rest):
            found.append(("record", value))

        def not_run(self, id, reason):
            found.append(("not_run", reason))

    monkeypatch.setattr(nb, "ledger", Ledger(), raising=False)
    monkeypatch.setattr(nb, "DIGITS", digits, raising=False)
    for profile in ("standard", "full"):  # at standard C1 is not measured
        monkeypatch.setattr(nb, "profile", profile, raising=False)
        nb.put("C1", 3.0, "words", unfit=unfit)
    assert found == [kept]
