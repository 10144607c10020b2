"""The definitions of notebook 06 on inputs the notebook does not show, against libraries, closed forms and slopes."""

import numpy as np
import pytest
import torch
from notebook_code import definitions
from scipy.stats import gaussian_kde, multivariate_normal
from sklearn.metrics.pairwise import rbf_kernel

from csi_utils import training

nb = definitions("06_aae")
nb.DEVICE, nb.seed = torch.device("cpu"), 0


def rows(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


def toy(n=200, d=6, seed=0):
    return torch.rand(n, d, generator=torch.Generator().manual_seed(seed))


def net(seed=0, **shape):
    return training.seeded(lambda: nb.AAE(6, 2, **{"hidden": 16} | shape), seed)


def moved(model, step):
    """Names of the parts of the network that a step changes."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    step()
    return {name.split(".")[0] for name, p in model.named_parameters() if not torch.equal(p, before[name])}


# Rulers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m", "d", "width"), [(9, 14, 3, 0.7), (20, 20, 1, 2.0), (5, 30, 40, 5.0)])
def test_mmd_is_that_of_scikit_learns_kernel(n, m, d, width):
    a, b = rows(n, d), rows(m, d, 1) + 0.5
    k = lambda u, v: rbf_kernel(u, v, gamma=1 / (2 * width**2))  # noqa: E731
    off = lambda s: (k(s, s).sum() - len(s)) / (len(s) * (len(s) - 1))  # noqa: E731
    assert nb.mmd2(a, b, width) == pytest.approx(off(a) + off(b) - 2 * k(a, b).mean(), abs=1e-12)


def test_mmd_of_one_distribution_is_zero_on_average_and_of_two_is_not():
    found = [nb.mmd2(rows(50, 2, k), rows(50, 2, 1000 + k)) for k in range(100)]
    assert abs(np.mean(found)) < 0.003 and min(found) < 0 < max(found)
    assert nb.mmd2(rows(100, 2), rows(100, 2, 1) + 3) > 0.3


def test_the_two_sample_test_keeps_its_level_and_has_power():
    p = [nb.two_sample_p(rows(40, 2, k), rows(40, 2, 500 + k), np.random.default_rng(k), draws=99) for k in range(200)]
    assert 0.01 < np.mean(np.array(p) <= 0.05) < 0.1
    assert nb.two_sample_p(rows(60, 2), rows(60, 2, 1) + 1, np.random.default_rng(0)) < 0.01
    with pytest.raises(ValueError, match=r"b: got shape \(5, 2\), expected \(6, 2\)"):
        nb.two_sample_p(rows(6, 2), rows(5, 2), np.random.default_rng(0))


def test_one_nn_and_holes():
    a, b, c = rows(500, 2), rows(500, 2, 1), rows(500, 2, 2)
    assert abs(nb.one_nn(a, b) - 0.5) < 0.08 and nb.one_nn(a, b + 50) == 1
    assert nb.holes(a, b, c) < 5 and nb.holes(a, b + 50, c) == 100
    assert nb.holes(a, b[b[:, 0] > 0], c) > 20


def test_parzen_is_scipys_kernel_density():
    samples, x = rows(40, 3), rows(7, 3, 1)
    for sigma in (0.3, 1.0):
        around = multivariate_normal(np.zeros(3), sigma**2 * np.eye(3))
        by_hand = np.mean([np.log(np.mean(around.pdf(row - samples))) for row in x])
        assert nb.parzen(x, samples, [sigma])[0] == pytest.approx(by_hand, rel=1e-4)
    one = rows(60, 1)
    kde = gaussian_kde(one.T)
    width = float(np.sqrt(kde.covariance[0, 0]))
    assert nb.parzen(x[:, :1], one, [width])[0] == pytest.approx(np.log(kde(x[:, 0])).mean(), rel=1e-4)


def test_parzen_stays_finite_and_names_bad_input():
    assert np.isfinite(nb.parzen(rows(4, 784), 5 + rows(9, 784, 1), [0.01, 1])).all()
    with pytest.raises(ValueError, match="samples, sigmas: expected rows of"):
        nb.parzen(rows(4, 3), rows(9, 2), [1.0])
    with pytest.raises(ValueError, match="widths above 0"):
        nb.parzen(rows(4, 3), rows(9, 3), [0.0])


def test_the_best_discriminator_of_two_equal_gaussians_knows_nothing():
    assert nb.js_value(0.0) == pytest.approx(-np.log(4), abs=1e-6)
    assert nb.js_value(12.0) == pytest.approx(0, abs=1e-3)


# Priors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", [nb.gaussian, nb.mixture, nb.swiss_roll])
def test_priors_have_shapes_and_follow_the_seed(prior):
    a, b, c = (training.seeded(lambda: prior(300, 2), s) for s in (0, 0, 1))
    assert a.shape == (300, 2) and torch.equal(a, b) and not torch.equal(a, c) and torch.isfinite(a).all()


def test_moments_of_the_priors():
    z = training.seeded(lambda: nb.gaussian(20000, 5), 0)
    assert z.shape == (20000, 5) and z.mean(0).abs().max() < 0.03 and (z.std(0) - 1).abs().max() < 0.03
    petal = training.seeded(lambda: nb.mixture(20000, 2, torch.full((20000,), 5)), 0)  # the petal at 180 degrees
    assert torch.allclose(petal.mean(0), torch.tensor([-3.0, 0.0]), atol=0.03)
    assert torch.allclose(petal.std(0), torch.tensor([0.7, 0.25]), atol=0.02)


@pytest.mark.parametrize(("prior", "place"), [(nb.mixture, nb.petal_of), (nb.swiss_roll, nb.tenth_of)])
def test_the_switch_sends_draws_to_their_part(prior, place):
    label = torch.arange(2200) % 11
    found = place(training.seeded(lambda: prior(2200, 2, label), 0).numpy())
    known = label.numpy() < 10
    assert (found == label.numpy())[known].mean() > 0.9
    assert (np.bincount(found[~known], minlength=10) > 5).all()


def test_log_densities_are_those_of_scipy():
    z = rows(30, 2) * 2
    assert np.allclose(nb.log_gaussian(torch.tensor(z)), multivariate_normal(np.zeros(2)).logpdf(z))
    density = 0
    for k in range(10):
        c, s = np.cos(0.2 * np.pi * k), np.sin(0.2 * np.pi * k)
        turn = np.array([[c, -s], [s, c]])
        density += multivariate_normal(turn @ [3, 0], turn @ np.diag([0.49, 0.0625]) @ turn.T).pdf(z) / 10
    assert np.allclose(nb.log_mixture(torch.tensor(z)), np.log(density))


# Phases ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [{}, {"m": 3}, {"m": 3, "heads": True}, {"told": 4}, {"variational": True}])
def test_shapes_and_the_loss_of_reconstruction(shape):
    model, x = net(**shape), toy()
    told = torch.rand(200, 4) if "told" in shape else None
    log_prior = nb.log_gaussian if "variational" in shape else None
    loss, y, z = training.seeded(lambda: nb.reconstruction(model, x, told, log_prior=log_prior), 1)
    assert loss.shape == () and y.shape == (200, shape.get("m", 0)) and z.shape == (200, 2)
    if not log_prior:
        p = torch.sigmoid(model.decode(y, z, told)).clamp(1e-9, 1 - 1e-9)
        torch.testing.assert_close(loss, -(x * p.log() + (1 - x) * (1 - p).log()).sum(1).mean(), rtol=1e-4, atol=1e-4)


def test_the_extra_term_of_the_vae_is_the_kl_divergence_on_average():
    model, x = net(variational=True), toy(4000)
    priors = (nb.log_gaussian, lambda z: 0 * z[:, 0])
    terms = [training.seeded(lambda p=p: nb.reconstruction(model, x, log_prior=p)[0].detach(), 3) for p in priors]
    _, mean, s = model.encode(x)
    log_q = (-0.5 * np.log(2 * np.pi) - 0.5 - s).sum(1).mean()
    kl = (0.5 * (mean**2 + (2 * s).exp() - 1) - s).sum(1).mean()
    assert float(terms[0] - terms[1]) == pytest.approx(float((kl - log_q).detach()), abs=0.03)


@pytest.mark.parametrize("m", [0, 3])
def test_each_phase_moves_its_own_part_only(m):
    model, x = net(m=m), toy()
    code = [p for name, p in model.named_parameters() if not name.startswith("judges")]
    ours, theirs = (torch.optim.Adam(parts, 1e-2) for parts in (code, model.judges.parameters()))

    def step(optimizer, loss):
        model.zero_grad()
        loss.backward()
        optimizer.step()

    _, y, z = nb.reconstruction(model, x)
    real, fake = training.seeded(lambda: nb.drawn(model, nb.gaussian, y, z), 0)
    assert moved(model, lambda: step(theirs, nb.judge(model, real, fake)[0])) == {"judges"}
    assert moved(model, lambda: step(ours, nb.reconstruction(model, x)[0])) == {"encoder", "decoder"}
    _, y, z = nb.reconstruction(model, x)
    _, fake = training.seeded(lambda: nb.drawn(model, nb.gaussian, y, z), 0)
    assert moved(model, lambda: step(ours, sum(nb.fool(model, fake).values()))) == {"encoder"}
    assert all(p.grad is None or not p.grad.any() for p in model.judges.parameters())
    if m:
        assert moved(model, lambda: step(ours, nb.classification(model, x, torch.arange(200) % m))) == {"encoder"}


def test_judge_says_how_often_it_is_right():
    model = net()
    with torch.no_grad():
        for p in model.judges["z"].parameters():
            p.zero_()
        model.judges["z"][-1].bias.fill_(3.0)  # everything is called a draw
    loss, right = nb.judge(model, {"z": torch.zeros(5, 2)}, {"z": torch.zeros(7, 2)})
    assert right["z"] == 0.5 and loss.item() == pytest.approx(np.log1p(np.exp(-3)) + np.log1p(np.exp(3)), rel=1e-5)


def test_labels_reach_the_discriminator_as_a_switch():
    model = net(switch=11)
    label = torch.arange(22) % 11
    real, fake = training.seeded(lambda: nb.drawn(model, nb.mixture, torch.zeros(22, 0), torch.zeros(22, 2), label), 0)
    for codes in (real, fake):
        assert codes["z"].shape == (22, 13) and torch.equal(codes["z"][:, 2:].argmax(1), label)


def test_the_class_prior_is_even_and_one_hot():
    model = net(m=4)
    y, z = torch.full((4000, 4), 0.25), torch.zeros(4000, 2)
    real, _ = training.seeded(lambda: nb.drawn(model, nb.gaussian, y, z), 0)
    assert set(real["y"].unique().tolist()) == {0.0, 1.0} and (real["y"].sum(1) == 1).all()
    assert (real["y"].mean(0) - 0.25).abs().max() < 0.03


def test_heads_are_pushed_apart_only_below_the_threshold():
    W = torch.tensor([[0.0, 0.0], [1.0, 0.0], [100.0, 0.0]], requires_grad=True)
    loss = nb.heads_apart(W, 5.0)
    loss.backward()
    assert loss.item() == pytest.approx(4.0) and W.grad[0, 0] > 0 > W.grad[1, 0] and not W.grad[2].any()


# Training ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"apart": True}])
def test_training_is_deterministic_and_leaves_the_random_state_alone(changes):
    def once():
        model = net(m=3, norm=True)
        few = toy(20), torch.arange(20) % 3
        log = nb.train(model, toy(), nb.gaussian, 5, 30, few=few, noise=0.1, noise_y=0.1, **changes)
        return log, model.state_dict()

    torch.manual_seed(9)
    state = torch.get_rng_state()
    (a, one), (b, two) = once(), once()
    assert torch.equal(state, torch.get_rng_state())
    np.testing.assert_array_equal(a, b)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert a.shape == (30, 7) and np.isfinite(a).all()


@pytest.mark.slow
def test_training_lowers_the_reconstruction_and_matches_the_prior():
    x = torch.tensor(rows(2000, 6) @ rows(6, 6, 1), dtype=torch.float32)
    model = net(hidden=32)
    log = nb.train(model, x, nb.gaussian, 0, 600, pixels=False)
    assert log[-50:, 0].mean() < 0.7 * log[:20, 0].mean() and np.isnan(log[:, 3]).all() and np.isnan(log[:, 4]).all()
    with torch.no_grad():
        z = model.encode(x)[1].numpy().astype(float)
    assert nb.mmd2(z[:500], rows(500, 2, 3)) < 0.05


def test_without_a_prior_the_discriminator_is_never_touched():
    model = net()
    assert "judges" not in moved(model, lambda: nb.train(model, toy(), None, 0, 10))


def test_labels_only_leaves_the_decoder_alone():
    model = net(m=3)
    log, few = [], (toy(20), torch.arange(20) % 3)
    parts = moved(model, lambda: log.append(nb.train(model, toy(), None, 0, 10, few=few, unlabelled=False)))
    assert parts == {"encoder"} and np.isnan(log[0][:, :4]).all() and np.isfinite(log[0][:, 4]).all()


def test_a_loss_that_is_not_finite_stops_the_run_with_phase_and_step():
    model = net()
    with torch.no_grad():
        model.decoder[-1].bias.fill_(float("nan"))
    with pytest.raises(nb.Stopped, match="reconstruction: the loss is not finite in step 1$"):
        nb.train(model, toy(), nb.gaussian, 0, 40)
    model = net()
    with torch.no_grad():
        model.judges["z"][-1].bias.fill_(float("nan"))
    with pytest.raises(nb.Stopped, match="regularization: D: the loss is not finite in step 1$"):
        nb.train(model, toy(), nb.gaussian, 0, 40)


def test_the_step_is_the_first_bad_one():
    log = np.full((60, 7), np.nan)
    log[:, 0] = 1.0
    log[33:, 4] = np.inf
    with pytest.raises(nb.Stopped, match="classification: the loss is not finite in step 34$"):
        nb.watch(log, 60)


def test_a_discriminator_that_wins_or_is_dead_stops_the_run():
    healthy = np.tile([100.0, 1.3, 0.8, 0.9, np.nan, 0.6, 0.55], (200, 1))
    nb.watch(healthy, 200)
    for k, name in enumerate("zy"):
        won, dead = healthy.copy(), healthy.copy()
        won[100:, 2 + k], won[100:, 5 + k], dead[100:, 5 + k] = 6.0, 1.0, 0.5
        with pytest.raises(nb.Stopped, match=f"regularization: D_{name} has won by step 200"):
            nb.watch(won, 200)
        with pytest.raises(nb.Stopped, match=f"regularization: D_{name} is dead by step 200"):
            nb.watch(dead, 200)
        nb.watch(won, 200, strict=False)
        nb.watch(won[:150], 150)  # not yet a whole window


def test_a_dead_discriminator_is_found_in_a_real_run():
    model = net()
    with torch.no_grad():
        for p in model.judges["z"].parameters():
            p.zero_()
    with pytest.raises(nb.Stopped, match="D_z is dead by step 100"):
        nb.train(model, toy(), nb.gaussian, 0, 120, judge_rate=0.0)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"unknown settings \['adversery'\]"):
        nb.train(net(), toy(), nb.gaussian, 0, 5, adversery=1.0)
    x = toy()
    x[:3, 1] = np.nan
    with pytest.raises(ValueError, match="x: 3 of 200 rows hold NaN or infinite"):
        nb.train(net(), x, nb.gaussian, 0, 5)


# What is made of it ------------------------------------------------------------------------------------------------


def test_a_cluster_is_named_by_its_most_confident_picture():
    sure = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4], [0.95, 0.05, 0.0]])
    assert nb.named(sure, np.array([4, 5, 6, 7])).tolist() == [7, 5, 6]


def test_between_is_linear_inside_and_nearest_outside():
    place = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
    values = place @ [[1.0, 10.0], [2.0, 20.0]]
    np.testing.assert_allclose(nb.between(place, values, np.array([[1.0, 1.0], [0.5, 1.0]])), [[3, 30], [2.5, 25]])
    np.testing.assert_allclose(nb.between(place, values, np.array([[9.0, 0.0]])), [[2, 20]])


def test_outlier_scores_find_far_packets():
    nb.cfg = {"lab_steps": 60}
    known = rows(300, 8) @ rows(8, 12, 5)
    parts = {"usual": rows(100, 8, 1) @ rows(8, 12, 5), "far": 30 + rows(100, 12, 2)}
    found = nb.outlier_scores(known, parts, 0)
    assert found["far", "reconstruction"] > 0.95 and found["far", "nearest packet"] == 1.0
    assert {part for part, _ in found} == {"far"}
