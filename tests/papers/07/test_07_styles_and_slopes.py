"""The definitions of the deeper notebook of ALAE: what it takes over, its switches, Eq. (5) and the style generator."""

import torch
from notebook_code import definitions, sources
from torch.nn import functional as nnf

nb = definitions("deeper/07_styles_and_slopes")
nb.seed, nb.REPEATS, nb.RATE = 0, 2, 2e-3
TAKEN = ("squared_slope", "Layer", "layers", "PixelNorm", "Encoder", "four_networks", "descend")


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def adams(nets):
    return {key: torch.optim.Adam(net.parameters(), 2e-3, (0.0, 0.99)) for key, net in nets.items()}


def weights(net):
    return torch.cat([p.detach().flatten().clone() for p in net.parameters()])


def test_what_it_takes_over_is_notebook_07s():
    main, here = sources("07_alae"), sources("deeper/07_styles_and_slopes")
    for name in TAKEN:
        assert here[name] == main[name], name


def test_its_step_without_switches_is_notebook_07s():
    main, found = definitions("07_alae"), []
    for notebook in (main, nb):
        nets = nb.training.seeded(lambda notebook=notebook: notebook.four_networks(2, 8), 3)
        made, losses = adams(nets), []
        torch.manual_seed(5)
        for k in range(5):
            losses.append(notebook.alae_step(nets, made, rows(2, 6, 784, seed=k).abs(), k))
        found.append((losses, weights(nets["E"]), weights(nets["F"])))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1]) and torch.equal(found[0][2], found[1][2])


def test_switches_change_what_they_say():
    moved, kinds = {}, {"usual": {}, "off": {"gamma": 0.0}, "every": {"lazy": 1}, "listens": {"listens": True}}
    for name, switches in kinds.items():
        nets = nb.training.seeded(lambda: nb.four_networks(1, 8), 3)
        made = adams(nets)
        torch.manual_seed(5)
        nb.alae_step(nets, made, rows(1, 6, 784).abs(), 1, **switches)
        moved[name] = {key: weights(net) for key, net in nets.items()}
    assert torch.equal(moved["usual"]["D"], moved["off"]["D"])  # batch 1: R1 is not due
    assert not torch.equal(moved["usual"]["D"], moved["every"]["D"])
    assert torch.equal(moved["usual"]["D"], moved["listens"]["D"])
    assert not torch.equal(moved["usual"]["F"], moved["listens"]["F"])


def test_style_statistics_and_normalization_are_torchs_instance_norm():
    y = 3 * rows(4, 5, 6, 7) - 2
    torch.testing.assert_close(nb.normalized(y), nnf.instance_norm(y), atol=1e-5, rtol=1e-4)
    mean, deviation = nb.statistics(y)
    torch.testing.assert_close(mean, y.flatten(2).mean(2))
    torch.testing.assert_close(deviation, y.flatten(2).std(2, unbiased=False), atol=1e-4, rtol=1e-4)


def test_the_style_encoder_is_eq_5_and_a_mixture_is_neither_of_its_parents():
    E, G, x = nb.StyleEncoder(), nb.StyleGenerator(), rows(1, 3, 1024)
    y, w = x[0].view(3, 1, 32, 32), 0
    for conv, C in zip(E.convs, E.C, strict=True):
        y = conv(y)
        style = torch.cat([y.mean((2, 3)), (y.var((2, 3), unbiased=False) + 1e-5).sqrt()], 1)
        w = w + style @ (C.weight[0] * C.scale) + C.bias[0]
        y = nnf.avg_pool2d(nnf.instance_norm(y), 2)
    torch.testing.assert_close(E(x)[0], w, atol=1e-4, rtol=1e-3)
    a, b = rows(1, 3, 50), rows(1, 3, 50, seed=1)
    torch.testing.assert_close(G(a), G(torch.cat([a] * 4)))
    mixed = G(torch.cat([a, a, b, b]))
    assert mixed.shape == (1, 3, 1024) and not torch.allclose(mixed, G(a)) and not torch.allclose(mixed, G(b))
    torch.testing.assert_close(mixed.mean(-1), G(b).mean(-1), atol=1e-4, rtol=1e-3)


def test_an_equalized_convolution_is_a_scaled_convolution():
    conv, y = nb.Conv(3, 5), rows(2, 3, 8, 8)
    expected = nnf.leaky_relu(nnf.conv2d(y, conv.weight * (2 / 27) ** 0.5, conv.bias, padding=1), 0.2)
    torch.testing.assert_close(conv(y), expected)
