"""The definitions of notebook 06 deeper on inputs the notebook does not show."""

import numpy as np
import pytest
import torch
from notebook_code import definitions, sources
from scipy.stats import gaussian_kde, multivariate_normal
from torch.nn import functional as F

from csi_utils import training

nb = definitions("deeper/06_style_and_switch")
nb.seed = nb.number = 0


def test_its_layers_are_word_for_word_those_of_notebook_06():
    assert sources("deeper/06_style_and_switch")["Layers"] == sources("06_aae")["Layers"]


def net(**options):
    return training.seeded(lambda: nb.AAE(2, 2, 8, **options), 0)


def pictures(n, seed=0):
    return torch.rand(n, 784, generator=torch.Generator().manual_seed(seed))


def optimizers(model):
    parts = {"reconstruction": [*model.encoder.parameters(), *model.decoder.parameters()],
             "discriminator": model.D.parameters(), "encoder": model.encoder.parameters()}
    return {name: torch.optim.SGD(values, 0.0) for name, values in parts.items()}


def test_the_layers_are_those_of_notebook_06():
    other, x = definitions("06_aae"), pictures(9)
    one, two = (training.seeded(lambda which=which: which.Layers(3, 784, 8, 2, True), 1) for which in (nb, other))
    torch.testing.assert_close(one(x), two(x))


def test_the_label_goes_to_the_decoder_or_to_the_discriminator_and_nowhere_else():
    codes, y, other = torch.randn(2, 6, 2), torch.arange(6), torch.arange(6) + 1
    for told, switch in ((False, False), (True, False), (False, True)):
        model = net(told=told, switch=switch)
        assert torch.equal(model.decode(codes, y), model.decode(codes, other)) != told
        assert torch.equal(model.judge(codes, y), model.judge(codes, other)) != switch


@pytest.mark.parametrize("options", [{}, {"told": True}, {"switch": True}])
def test_the_losses_of_a_step_are_their_formulas(options):
    model, x, y = net(**options), pictures(12), torch.arange(12) % 10
    draws = torch.randn(2, 12, 2)
    found = nb.step(model, optimizers(model), x, y, lambda *args: draws)
    codes = model.encoder(x)
    p, q = torch.sigmoid(model.judge(draws, y)), torch.sigmoid(model.judge(codes, y))
    fit = F.binary_cross_entropy(torch.sigmoid(model.decode(codes, y)), x.expand(2, -1, -1))
    expected = [fit, -(p.log().mean() + (1 - q).log().mean()), -q.log().mean()]
    torch.testing.assert_close(found, torch.stack(expected).detach(), rtol=1e-4, atol=1e-5)


def test_petals_lie_where_their_label_says():
    label = torch.arange(2200) % 11
    draws = training.seeded(lambda: nb.petals(net(), label, 2200), 0).numpy()
    assert draws.shape == (2, 2200, 2)
    found = nb.petal_of(draws)
    known = label.numpy() < nb.UNKNOWN
    assert (found == label.numpy())[:, known].mean() > 0.9
    assert (np.bincount(found[0, ~known], minlength=10) > 5).all()
    five = training.seeded(lambda: nb.petals(net(), torch.full((20000,), 5), 20000), 0)[0]
    torch.testing.assert_close(five.mean(0), torch.tensor([-3.0, 0.0]), atol=0.03, rtol=0)
    torch.testing.assert_close(five.std(0), torch.tensor([0.7, 0.25]), atol=0.02, rtol=0)


def test_parzen_is_scipys_kernel_density():
    rng = np.random.default_rng(0)
    samples, x = rng.standard_normal((40, 3)), rng.standard_normal((7, 3))
    for sigma in (0.3, 1.0):
        around = multivariate_normal(np.zeros(3), sigma**2 * np.eye(3))
        by_hand = np.mean([np.log(np.mean(around.pdf(row - samples))) for row in x])
        assert nb.parzen(torch.tensor(x), torch.tensor(samples), sigma) == pytest.approx(by_hand, rel=1e-6)
    kde = gaussian_kde(samples[:, :1].T)
    width = float(np.sqrt(kde.covariance[0, 0]))
    found = nb.parzen(torch.tensor(x[:, :1]), torch.tensor(samples[:, :1]), width)
    assert found == pytest.approx(np.log(kde(x[:, 0])).mean(), rel=1e-6)


def test_training_sees_each_members_own_labels(monkeypatch):
    monkeypatch.setattr(nb, "x", pictures(300), raising=False)
    seen = []

    def step(model, optimizers, x, y, prior):
        seen.append(y.shape)
        return torch.zeros(3)

    monkeypatch.setattr(nb, "step", step)
    nb.train(net(), torch.zeros(300, dtype=int), 4)
    nb.train(net(), torch.zeros(2, 300, dtype=int), 4)
    assert seen == [(100,)] * 4 + [(2, 100)] * 4
