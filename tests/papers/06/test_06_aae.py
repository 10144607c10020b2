"""The definitions of notebook 06 on inputs the notebook does not show, against libraries, closed forms and slopes."""

import numpy as np
import pytest
import torch
from notebook_code import definitions
from scipy.spatial.distance import cdist
from scipy.stats import norm
from torch import nn
from torch.nn import functional as F

from csi_utils import training

nb = definitions("06_aae")
nb.seed = 0


def rows(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


def pictures(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def net(members=2, m=3, number=0, **options):
    return training.seeded(lambda: nb.AAE(members, 6, 2, m=m, hidden=8, **options), number)


def optimizers(model, rate=1e-2):
    judges = [*model.D_z.parameters(), *(model.D_y.parameters() if model.m else ())]
    parts = {"reconstruction": [*model.encoder.parameters(), *model.decoder.parameters()], "discriminators": judges,
             "encoder": [*model.encoder.parameters()], "classification": [*model.encoder.parameters()]}
    return {name: torch.optim.SGD(values, rate) for name, values in parts.items()}


# Rulers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d", "width"), [(9, 3, 0.7), (20, 1, 2.0), (15, 40, 5.0)])
def test_mmd_is_the_mean_over_all_pairs_but_those_of_a_row_with_itself(n, d, width):
    a, b = rows(n, d), rows(n, d, 1) + 0.5
    k = lambda u, v: np.exp(-cdist(u, v) ** 2 / (2 * width**2))  # noqa: E731
    inside = [k(s, s)[~np.eye(n, dtype=bool)].mean() for s in (a, b)]
    assert nb.mmd2(a, b, width) == pytest.approx(sum(inside) - 2 * k(a, b).mean(), abs=1e-12)


def test_the_two_sample_test_keeps_its_level_and_has_power():
    p = [nb.two_sample_p(rows(40, 2, k), rows(40, 2, 500 + k), np.random.default_rng(k), divisions=99)
         for k in range(200)]
    assert 0.01 < np.mean(np.array(p) <= 0.05) < 0.1
    assert nb.two_sample_p(rows(60, 2), rows(60, 2, 1) + 1, np.random.default_rng(0)) < 0.01


def test_holes_are_a_hundredth_for_a_match_and_see_what_is_missing():
    a, b, c = rows(800, 2), rows(800, 2, 1), rows(800, 2, 2)
    assert nb.holes(a, b, c) < 4
    assert nb.holes(a, b + 50, c) == 100
    assert nb.holes(a, b[b[:, 0] > 0], c) > 20


# Known truth -------------------------------------------------------------------------------------------------------


def test_the_best_logit_gives_the_least_loss_of_the_discriminator():
    """Eq. (2a): any other function of z does worse; and at equal distributions the loss is log 4."""
    real = torch.tensor(rows(4000, 1, 1))[None]
    fake = 1 + 0.5 * torch.tensor(rows(4000, 1, 2))[None]
    loss = lambda logit: nb.discriminator_loss(logit(real), logit(fake)).item()  # noqa: E731
    ratio = lambda z: torch.tensor(norm.logpdf(z) - norm.logpdf(z, 1, 0.5))  # noqa: E731
    best = loss(ratio)
    for wrong in (lambda z: ratio(z) + 0.3, lambda z: 0.8 * ratio(z), lambda z: -ratio(z), lambda z: 0 * z):
        assert loss(wrong) > best
    assert loss(lambda z: 0 * z) == pytest.approx(np.log(4))


# Networks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", [False, True])
def test_layers_are_torchs_layers_member_by_member(norm):
    layers, x = training.seeded(lambda: nb.Layers(3, 5, 4, 2, norm), 1), pictures(7, 5)
    for eval_mode in (False, True):
        layers.train(not eval_mode)
        own, found = [], layers(x)
        for k in range(3):
            part = nn.Sequential()
            for j, (w, b) in enumerate(zip(layers.weights, layers.biases, strict=True)):
                linear = nn.Linear(*w.shape[1:])
                linear.weight.data, linear.bias.data = w[k].T.detach(), b[k, 0].detach()
                part.append(linear)
                if j < 2 and norm:
                    batch = nn.BatchNorm1d(4)
                    if eval_mode:
                        batch.running_mean = layers.norms[j].running_mean[4 * k:4 * k + 4]
                        batch.running_var = layers.norms[j].running_var[4 * k:4 * k + 4]
                    part.append(batch)
                if j < 2:
                    part.append(nn.ReLU())
            own.append(part.train(not eval_mode)(x))
        torch.testing.assert_close(found, torch.stack(own))


def test_a_code_is_probabilities_and_numbers_and_so_is_the_prior():
    model = net(m=3).eval()
    codes = model.encode(pictures(50, 6))
    torch.testing.assert_close(codes[..., :3].sum(-1), torch.ones(2, 50))
    torch.testing.assert_close(codes[..., 3:], model.encoder(pictures(50, 6))[..., 3:])
    draws = training.seeded(lambda: model.prior(9000), 0)
    assert draws.shape == (2, 9000, 5)
    assert set(draws[..., :3].unique().tolist()) == {0, 1} and (draws[..., :3].sum(-1) == 1).all()
    assert (draws[..., :3].mean((0, 1)) - 1 / 3).abs().max() < 0.02
    assert draws[..., 3:].mean().abs() < 0.03 and (draws[..., 3:].std() - 1).abs() < 0.03
    assert net(m=0).prior(4).shape == (2, 4, 2)


def test_noise_and_blur_only_where_they_belong():
    x = pictures(20, 6)
    model = net(noise=0.5)
    assert not torch.equal(model.encode(x), model.encode(x))
    model.eval()
    assert torch.equal(model.encode(x), model.encode(x))
    model = net(blur=0.5)
    codes = model.encode(x)
    (z, y), (z_again, y_again) = model.judge(codes), model.judge(codes)
    assert torch.equal(z, z_again) and not torch.equal(y, y_again)


def test_misfit_is_the_cross_entropy_of_pixels_or_a_squared_error():
    x = pictures(4, 6)
    for pixels in (True, False):
        model = net(pixels=pixels).eval()
        codes = model.encode(x)
        out, found = model.decoder(codes).detach(), model.misfit(codes, x).detach()
        p = torch.sigmoid(out)
        expected = -(x * p.log() + (1 - x) * (1 - p).log()) if pixels else (out - x) ** 2
        torch.testing.assert_close(found, expected)


# Phases ------------------------------------------------------------------------------------------------------------


def moved(model, step):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    step()
    return {name.split(".")[0] for name, p in model.named_parameters() if not torch.equal(p, before[name])}


def only(optimizers, *names):
    """The same optimizers, of which the others stand still."""
    for name, optimizer in optimizers.items():
        optimizer.param_groups[0]["lr"] *= name in names
    return optimizers


@pytest.mark.parametrize(("phase", "parts"), [("reconstruction", {"encoder", "decoder"}), ("encoder", {"encoder"}),
                                              ("discriminators", {"D_z", "D_y"}), ("classification", {"encoder"})])
def test_each_phase_moves_its_own_networks(phase, parts):
    model = net()
    labelled = pictures(2, 5, 6, seed=1), torch.arange(5).expand(2, 5) % 3
    step = lambda: nb.training_step(model, only(optimizers(model), phase), pictures(8, 6), labelled)  # noqa: E731
    assert moved(model, step) == parts


def test_without_the_game_no_discriminator_moves_and_the_losses_are_those_of_phases_1_and_3():
    model, x, labelled = net(), pictures(8, 6), (pictures(2, 5, 6, seed=1), torch.arange(5).expand(2, 5) % 3)
    still = only(optimizers(model))
    kept = nb.no_game_step(model, still, x, labelled), nb.training_step(model, still, x, labelled)
    torch.testing.assert_close(kept[0], kept[1] * torch.tensor([1, 0, 0, 1]))
    step = lambda: nb.no_game_step(model, optimizers(model), x, labelled)  # noqa: E731
    assert moved(model, step) == {"encoder", "decoder"}


def test_the_losses_of_a_step_are_their_formulas():
    model, x = net(members=1), pictures(8, 6)
    still = only(optimizers(model))
    labelled = pictures(1, 5, 6, seed=1), torch.arange(5).expand(1, 5) % 3
    torch.manual_seed(4)
    found = nb.training_step(model, still, x, labelled)
    torch.manual_seed(4)
    y, z = model.encoder(x)[0].split([3, 2], 1)
    y, draw = y.softmax(1), model.prior(8)[0]
    D = lambda code: [torch.sigmoid(part) for part in (model.D_z(code[None, :, 3:]), model.D_y(code[None, :, :3]))]  # noqa: E731
    code = torch.cat([y, z], 1)
    fit = F.binary_cross_entropy(torch.sigmoid(model.decoder(code[None])[0]), x)
    game = -sum(a.log().mean() + (1 - b).log().mean() for a, b in zip(D(draw), D(code), strict=True))
    fool = -sum(b.log().mean() for b in D(code))
    p = model.encoder(labelled[0])[0, :, :3].softmax(1)
    cross = -np.mean([p[i, k].log().item() for i, k in enumerate(labelled[1][0].tolist())])
    torch.testing.assert_close(found[:3], torch.stack([fit, game, fool]).detach())
    assert found[3].item() == pytest.approx(cross, rel=1e-5)


def test_members_do_not_touch_each_other():
    """Two members trained together end where each ends alone, where no batch norm or noise is drawn."""
    x = pictures(64, 6)
    both = net(m=0, members=2)
    alone = net(m=0, members=1)
    for name, p in alone.named_parameters():
        p.data = both.get_parameter(name)[1:].detach().clone()
    for model in (both, alone):
        model.prior = lambda n, members=model.members: pictures(1, n, 2, seed=3).expand(members, -1, -1)
        nb.train(model, x, 0, 12)
    for name, p in alone.named_parameters():
        torch.testing.assert_close(p, both.get_parameter(name)[1:], rtol=1e-3, atol=1e-5)


def test_the_vaes_bound_is_that_of_torchs_distributions():
    model, x = training.seeded(lambda: nb.AAE(1, 6, 2, hidden=8, cloud=True), 0), pictures(9, 6)
    torch.manual_seed(2)
    found = nb.rival_step(model, only(optimizers(model)), x)[0].item()
    torch.manual_seed(2)
    mean, log_s = model.encoder(x)[0].chunk(2, 1)
    q = torch.distributions.Normal(mean, log_s.exp())
    z = mean + log_s.exp() * torch.randn(1, 9, 2)[0]
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    fit = torch.distributions.Bernoulli(logits=model.decoder(z[None])[0]).logits
    fit = F.binary_cross_entropy_with_logits(fit, x, reduction="none").sum(1).mean()
    assert found == pytest.approx((fit + kl).item(), rel=1e-5)


@pytest.mark.slow
def test_codes_move_to_the_prior_and_those_of_a_plain_autoencoder_do_not():
    x = torch.sigmoid(torch.tensor(rows(600, 2) @ rows(2, 6, 1) * 2, dtype=torch.float32))
    size = {}
    for plain in (False, True):
        model = training.seeded(lambda: nb.AAE(2, 6, 2, hidden=32, norm=True), 0)
        losses, _ = nb.train(model, x, 0, 400, step=nb.rival_step if plain else nb.training_step)
        z = model.encode(x).detach().double().numpy()
        size[plain] = np.mean([nb.mmd2(part, rows(600, 2, 5)) for part in z])
        assert losses[-20:, 0].mean() < losses[:20, 0].mean()
    assert size[False] < 0.02 < size[True]


@pytest.mark.slow
def test_a_few_labels_name_the_blobs_and_shuffled_ones_do_not():
    y = torch.arange(1200) % 3
    centres = torch.tensor(rows(3, 6, 2)) * 1.5
    x = torch.sigmoid(centres[y] + 0.3 * torch.tensor(rows(1200, 6, 3))).float()
    right = {}
    for name, labels in (("true", y[:6]), ("wrong", (y[:6] + 1) % 3)):
        model = training.seeded(lambda: nb.AAE(2, 6, 2, m=3, hidden=32, norm=True, noise=0.1), 0)
        nb.train(model, x, 0, 300, (x[:6].expand(2, -1, -1), labels.expand(2, -1)))
        right[name] = (model.encode(x)[..., :3].argmax(-1) == y).float().mean().item()
    assert right["true"] > 0.9 and right["wrong"] < 0.1


def test_training_is_the_same_twice_and_names_what_is_not_finite():
    x = pictures(300, 6)
    ends = []
    for _ in "ab":
        model = net(m=3, norm=True, noise=0.2)
        losses, looks = nb.train(model, x, 5, 7, look=lambda model: model.training, at=(2, 7))
        assert losses.shape == (7, 4) and looks == [False, False]
        ends.append(model.encode(x))
    assert torch.equal(*ends)
    with pytest.raises(FloatingPointError, match="not finite"):
        nb.train(net(m=0), torch.full((300, 6), torch.inf), 0, 2)


def test_more_labels_than_a_batch_are_taken_in_turn():
    seen = []

    def step(model, optimizers, x, few):
        seen.append(few[1])
        return torch.zeros(4)

    labelled = pictures(2, 250, 6), torch.arange(250).expand(2, 250)
    nb.train(net(), pictures(300, 6), 0, 12, labelled, step)
    assert {part.shape for part in seen} == {(2, 100)} and len(torch.cat(seen, 1).unique()) > 200


# Names, labels, places ---------------------------------------------------------------------------------------------


def test_named_takes_the_surest_picture_of_each_cluster():
    confidence = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    assert nb.named(confidence, [7, 3, 5]).tolist() == [7, 3]


def test_few_labels_are_balanced_and_follow_the_draw(monkeypatch):
    monkeypatch.setattr(nb, "y", torch.arange(500) % 10, raising=False)
    one = nb.few_labels(100, 0)
    assert np.bincount(nb.y[one]).tolist() == [10] * 10 and len(one.unique()) == 100
    assert torch.equal(one, nb.few_labels(100, 0)) and not torch.equal(one, nb.few_labels(100, 1))


def test_between_is_linear_inside_and_the_nearest_outside():
    place = np.array([[0, 0], [2, 0], [0, 2], [2, 2.0]])
    values = place @ [[1.0], [3.0]]
    new = np.array([[1, 1], [0.5, 1.0], [9, 9]])
    np.testing.assert_allclose(nb.between(place, values, new)[:, 0], [4, 3.5, 8])
