"""The definitions of notebook 07 on inputs the notebook does not show, against libraries, closed forms and slopes."""

import numpy as np
import pytest
import torch
from notebook_code import definitions
from sklearn.neighbors import KNeighborsClassifier
from torch import nn
from torch.nn import functional as nnf

nb = definitions("07_alae")
nb.DEVICE, nb.seed = torch.device("cpu"), 0
nb.cfg = {"width": 16, "csi_width": 16, "csi": 8, "steps": 8, "batch": 16, "paths": 6, "packets": 1}


def rows(*shape, seed=0, **kw):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **kw)


def small(pixels=30, width=12, number=3, **kw):
    return nb.ALAE(pixels, width, number, **kw)


def weights(net):
    return torch.cat([p.detach().flatten().clone() for p in net.parameters()] or [torch.zeros(1)])


# R1, layers, networks ------------------------------------------------------------------------------------------------


def test_r1_of_a_linear_discriminator_is_the_squared_length_of_its_weights():
    a, x = rows(5, dtype=torch.float64), rows(9, 5, seed=1, dtype=torch.float64).requires_grad_()
    torch.testing.assert_close(nb.penalty(x @ a, x), a.square().sum())


def test_r1_of_a_quadratic_discriminator_and_its_slope_in_closed_form():
    a, x = rows(5, dtype=torch.float64).requires_grad_(), rows(9, 5, seed=1, dtype=torch.float64).requires_grad_()
    value = nb.penalty((x @ a) ** 2 / 2, x)  # slope (a.x) a, squared length (a.x)^2 |a|^2
    along = (x @ a).detach()
    expected = (along.square().mean() * a.square().sum()).detach()
    torch.testing.assert_close(value.detach(), expected)
    slope, = torch.autograd.grad(value, a)
    by_hand = 2 * a * along.square().mean() + 2 * a.square().sum() * (along[:, None] * x).mean(0)
    torch.testing.assert_close(slope, by_hand.detach())


def test_r1_takes_pictures_of_any_shape_and_can_be_differentiated():
    x, layer = rows(4, 2, 3, 3).requires_grad_(), nn.Conv2d(2, 1, 3)
    value = nb.penalty(layer(x).flatten(1)[:, 0].tanh(), x)
    assert torch.autograd.grad(value, layer.weight)[0].norm() > 0


def test_an_equalized_layer_is_a_scaled_linear_layer():
    layer, x = nb.training.seeded(lambda: nb.Layer(40, 7, gain=1.3, rate=0.1), 1), rows(5, 40)
    plain = nn.Linear(40, 7)
    plain.weight.data = layer.weight.data * 1.3 * 0.1 / 40**0.5
    plain.bias.data = layer.bias.data * 0.1
    torch.testing.assert_close(layer(x), plain(x))
    assert float(layer.weight.detach().std()) == pytest.approx(10, rel=0.1)  # drawn with deviation 1 / rate


def test_pixel_norm_and_the_shapes_of_the_four_networks():
    assert nb.PixelNorm()(5 * rows(6, 50)).square().mean(1) == pytest.approx(np.ones(6), rel=1e-4)
    F, G, E, D = nb.networks(30, 12)
    w = F(rows(4, 50))
    assert [tuple(part.shape) for part in (G(w), E(G(w)), E.long(G(w)), D(w))] == [(4, 30), (4, 50), (4, 12), (4, 50)]
    F, _, E, _ = nb.networks(30, 12, "z")
    assert torch.equal(F(w), w) and (E(rows(50, 30)) < -0.1).any()  # free to be negative
    assert nb.networks(30, 12, narrow=5)[2].long(rows(2, 30)).shape == (2, 5)


def test_the_judge_of_codes_is_linear():
    D, a, b = nb.networks(30, 12)[3], rows(3, 50), rows(3, 50, seed=1)
    torch.testing.assert_close(D(a + b) - D(b), D(a) - D(torch.zeros(3, 50)), atol=1e-4, rtol=1e-3)


# Steps ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kw", "moved"), [
    ({}, {"I": "ED", "II": "FG", "III": "EG"}), ({"detach": False}, {"I": "ED", "II": "FG", "III": "EGF"}),
    ({"pull": "E"}, {"I": "ED", "II": "FG", "III": "E"}), ({"pull": ""}, {"I": "ED", "II": "FG"}),
    ({"shared": False}, {"I": "TD", "II": "FG", "III": "EG"}),
])
def test_each_step_moves_its_networks_and_no_other(kw, moved):
    g, x = small(**kw), rows(16, 30)
    nets = {name: getattr(g, name) for name in ("F", "G", "E", "D") + (("T",) if not kw.get("shared", True) else ())}
    for k, (name, step, used) in enumerate(g.plan):
        before = {key: weights(net) for key, net in nets.items()}
        nb.descend(step(g, x, rows(16, 50, seed=k), 0), used, g.optimizers)
        changed = {key for key, net in nets.items() if not torch.equal(before[key], weights(net))}
        assert changed == set(moved[name])
    assert [name for name, _, _ in g.plan] == list(moved)


def test_step_three_has_no_gradient_at_f_unless_asked_for():
    x, z = rows(8, 30), rows(8, 50)
    for detach in (True, False):
        g = small(detach=detach)
        slopes = torch.autograd.grad(nb.step_3(g, x, z, 0), list(g.F.parameters()), allow_unused=True)
        assert all(s is None for s in slopes) == detach


def test_the_losses_are_eqs_5_to_7():
    g, x, z = small(gamma=0.0), rows(8, 30), rows(8, 50)
    with torch.no_grad():
        fake = g.G(g.F(z))
        real, made = torch.sigmoid(g.judge(x)), torch.sigmoid(g.judge(fake))
        torch.testing.assert_close(nb.step_1(g, x, z, 0), -(real.log().mean() + (1 - made).log().mean()))
        torch.testing.assert_close(nb.step_2(g, x, z, 0), -made.log().mean())
        torch.testing.assert_close(nb.step_3(g, x, z, 0), (g.F(z) - g.E(fake)).square().mean())


def test_lazy_r1_is_due_every_fourth_batch_four_times_as_heavy():
    g, x, z = small(), rows(8, 30), rows(8, 50)
    values = [float(nb.step_1(g, x, z, k).detach()) for k in range(8)]
    g.gamma = 0.0
    bare = float(nb.step_1(g, x, z, 0).detach())
    g.gamma, g.lazy = nb.GAMMA, 1
    full = float(nb.step_1(g, x, z, 3).detach())
    assert values[1:4] == pytest.approx([bare] * 3)
    assert values[0] == values[4] == pytest.approx(bare + 4 * (full - bare))


def test_an_unknown_listener_is_refused():
    with pytest.raises(ValueError, match="pull: got 'GE'"):
        small(pull="GE")


# Training ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda: small(), lambda: nb.AE(30, 12, 3), lambda: nb.BiGAN(30, 12, 3),
                                  lambda: small(code="z", shared=False, pull="E")])
def test_a_training_is_the_same_bits_again_and_another_number_is_not(make):
    x, found = rows(90, 30).abs(), []
    for number in (1, 1, 2):
        model = make()
        losses = nb.train(model, x, 7, number, 16)
        found.append((losses, weights(model.E)))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])
    assert not torch.equal(found[0][1], found[2][1])


@pytest.mark.parametrize(("step", "net"), [("I", "D"), ("II", "G")])
def test_nan_stops_the_run_and_names_the_step(step, net):
    g, wanted = small(), {"I": nb.step_1, "II": nb.step_2}[step]

    def broken(model, x, z, k):
        return wanted(model, x, z, k) * (float("nan") if k == 3 else 1.0)

    g.plan = [(name, broken if name == step else loss, nets) for name, loss, nets in g.plan]
    with pytest.raises(FloatingPointError, match=f"step {step} of batch 4: the loss is nan"):
        nb.train(g, rows(60, 30), 10, 1, 16)


def test_infinity_in_step_three_is_named_too():
    losses = torch.ones(6, 3)
    losses[4, 2] = float("inf")
    with pytest.raises(FloatingPointError, match="step III of batch 5: the loss is inf"):
        nb.watch(losses, ("I", "II", "III"), 2, 6)


def test_a_dead_discriminator_stops_the_run():
    g = small()
    for p in g.D.parameters():
        p.data.zero_()
    g.plan[0] = ("I", nb.step_1, [g.F])  # nobody wakes it up: F has no part in step I
    losses = torch.stack([nb.step_1(g, rows(8, 30), rows(8, 50), 1).detach()] * 10)
    with pytest.raises(RuntimeError, match="step I, batches 1 to 10: the discriminator has collapsed"):
        nb.watch(torch.stack([losses, torch.ones(10), torch.ones(10)], 1), ("I", "II", "III"), 0, 10)


def test_a_discriminator_that_has_won_stops_the_training():
    g = small(gamma=0.0)

    def lost(model, x, z, k):
        return nb.step_2(model, x, z, k) + 30

    g.plan[1] = ("II", lost, [g.F, g.G])
    with pytest.raises(RuntimeError, match="step II, batches 1 to 9: the discriminator has won"):
        nb.train(g, rows(60, 30), 9, 1, 16)


@pytest.mark.parametrize("bad", [np.zeros((5, 30)), torch.zeros(5), torch.zeros(0, 30), torch.zeros(5, 30) / 0])
def test_bad_pictures_are_refused(bad):
    with pytest.raises(ValueError, match="x: expected a finite tensor"):
        nb.train(small(), bad, 2, 1, 4)


def test_as_many_parameters_is_as_many():
    size = lambda w: sum(p.numel() for p in nb.Encoder(784, w, None).parameters())  # noqa: E731
    for width in (32, 128, 256):
        assert 0.93 < 2 * size(nb.as_many(width)) / size(width) < 1.01


# Numbers we judge by -------------------------------------------------------------------------------------------------


def test_flip_rate_of_a_known_corruption():
    y = torch.arange(200) % 10
    other = y.clone()
    other[:30] = (other[:30] + 3) % 10
    assert nb.flip_rate(y, other) == pytest.approx(15) and nb.flip_rate(y, y) == 0


def test_path_numbers_of_a_corner_a_stop_and_a_rotation():
    corner = torch.tensor([[[0.0, 0]], [[3, 0]], [[3, 4]]])
    detour, rough = nb.path_numbers(corner)
    assert float(detour) == pytest.approx(7 / 5) and float(rough) == pytest.approx(2 * (9 + 16) / 25)
    waits = torch.tensor([[[0.0]], [[0.0]], [[1.0]]])
    assert [float(v) for v in nb.path_numbers(waits)] == pytest.approx([1, 2])
    path = rows(9, 4, 6)
    turn = torch.linalg.qr(rows(6, 6, seed=2))[0]
    for a, b in zip(nb.path_numbers(path), nb.path_numbers(7 * path @ turn), strict=True):
        torch.testing.assert_close(a, b)


def test_frechet_against_the_formula_with_a_matrix_root():
    from scipy import linalg

    rng = np.random.default_rng(0)
    f, g = rng.standard_normal((300, 4)) @ rng.standard_normal((4, 4)), rng.standard_normal((200, 4)) + 1
    a, b = np.cov(f.T), np.cov(g.T)
    expected = ((f.mean(0) - g.mean(0)) ** 2).sum() + np.trace(a + b - 2 * linalg.sqrtm(a @ b).real)
    assert nb.frechet(f, g) == pytest.approx(expected) and nb.frechet(f, f) == pytest.approx(0, abs=1e-9)
    assert np.isfinite(nb.frechet(np.c_[f, 0 * f[:, 0]], np.c_[g, 0 * g[:, 0]]))  # a dead feature


def test_classes_present_counts_one_in_a_hundred():
    present, effective = nb.classes_present(np.repeat([1, 4, 9], [500, 490, 10]))
    assert present == 3 and 2 < effective < 2.2
    assert nb.classes_present(np.zeros(50, int)) == (1, pytest.approx(1.0))


def test_one_nearest_neighbour_is_scikit_learns():
    gallery, query, y = rows(300, 8), rows(250, 8, seed=1), torch.arange(300) % 7
    expected = KNeighborsClassifier(1).fit(gallery, y).predict(query)
    assert (nb.nearest_label(gallery, y, query, chunk=64).numpy() == expected).all()


def test_the_unexplained_share_is_0_for_a_perfect_way_back_and_1_for_a_constant():
    class Pair:
        def __init__(self, E):
            self.G, self.E = lambda w: 3 * w, E

    w = 5 + 2 * rows(400, 50)
    for E, share in ((lambda x: x / 3, 0.0), (lambda x: w.mean(0).expand(x.shape), 1.0), (lambda x: x / 3 + 2, 1.0)):
        assert nb.unexplained(Pair(E), w) == pytest.approx(share, abs=0.01)


def test_paths_share_their_ends_and_start_and_stop_there():
    g = small(784, 16)
    ways = nb.interpolate(g, 5, K=4)
    for way in ways.values():
        assert way.shape == (5, 6, 784)
        torch.testing.assert_close(way[0], ways["W"][0], atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(way[-1], ways["W"][-1], atol=1e-4, rtol=1e-3)


# Style ---------------------------------------------------------------------------------------------------------------


def test_style_statistics_and_normalization_are_torchs_instance_norm():
    y = 3 * rows(4, 5, 6, 7) - 2
    torch.testing.assert_close(nb.normalized(y), nnf.instance_norm(y), atol=1e-5, rtol=1e-4)
    mean, deviation = nb.statistics(y)
    torch.testing.assert_close(mean, y.flatten(2).mean(2))
    torch.testing.assert_close(deviation, y.flatten(2).std(2, unbiased=False), atol=1e-4, rtol=1e-4)


def test_an_equalized_convolution_is_a_scaled_convolution():
    conv, y = nb.Conv(27, 5, 2**0.5), rows(2, 3, 8, 8)
    weight = conv.weight.view(5, 3, 3, 3) * 2**0.5 / 27**0.5
    torch.testing.assert_close(conv(y), nnf.leaky_relu(nnf.conv2d(y, weight, conv.bias, padding=1), 0.2))


def test_the_style_encoder_is_eq_8_and_the_generator_takes_a_code_for_each_layer():
    E, G, x = nb.StyleEncoder(), nb.StyleGenerator(), rows(3, 1024)
    y, w = x.view(3, 1, 32, 32), 0
    for conv, C in zip(E.convs, E.C, strict=True):
        y = conv(y)
        w = w + C(torch.cat([y.mean((2, 3)), (y.var((2, 3), unbiased=False) + 1e-5).sqrt()], 1))
        y = nnf.avg_pool2d(nnf.instance_norm(y), 2)
    torch.testing.assert_close(E(x), w, atol=1e-4, rtol=1e-3)
    a, b = rows(3, 50), rows(3, 50, seed=1)
    torch.testing.assert_close(G(a), G(torch.stack([a] * 4)))
    mixed = G(torch.stack([a, a, b, b]))
    assert mixed.shape == (3, 1024) and not torch.allclose(mixed, G(a)) and not torch.allclose(mixed, G(b))


# CSI -----------------------------------------------------------------------------------------------------------------


def test_a_swap_takes_the_first_coordinates_of_the_order_and_leaves_its_input():
    own, donor = np.zeros((2, 5)), np.ones((2, 5))
    mixed = nb.swapped(own, donor, np.array([3, 0, 1, 2, 4]), 0.4)
    assert mixed.tolist() == [[1, 0, 0, 1, 0]] * 2 and not own.any()
    none, everything = (nb.swapped(own, donor, np.arange(5), share) for share in (0, 1))
    assert (none == own).all() and (everything == donor).all()


def test_csi_rows_are_standardized_by_the_rows_that_train_and_balanced():
    x, place, day, late = nb.csi_rows("sim-lab", 3)
    assert np.allclose(x[~late].mean(0), 0, atol=1e-9) and set(day) == {0, 1}
    counts = np.unique(np.stack([place, day, late]), axis=1, return_counts=True)[1]
    assert set(counts) == {2, 3}  # three earlier visits of a mark, two later ones, on each day


def test_the_coders_of_fingerprints_go_there_and_back():
    x = np.random.default_rng(0).standard_normal((80, 60))
    found = nb.coders(x, 2)
    assert list(found) == ["raw amplitudes", "principal components", "AE", "ALAE", "ALAE, random w"]
    for encode, decode in found.values():
        code = encode(x[:7])
        assert len(code) == 7 and decode(code).shape == (7, 60) and np.isfinite(decode(code)).all()
    assert np.allclose(found["raw amplitudes"][1](found["raw amplitudes"][0](x)), x)
