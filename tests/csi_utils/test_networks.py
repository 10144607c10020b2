"""The networks have the sizes that their descriptions give."""

import pytest
import torch
from torch import nn

from csi_utils import networks


def parameters(net):
    return sum(parameter.numel() for parameter in net.parameters())


def test_lenet_has_the_parameters_of_caffes():
    """20 and 50 kernels of 5 x 5, 500 hidden units, 10 classes: 520 + 25050 + 400500 + 5010."""
    assert parameters(networks.lenet(norm=False)) == 431_080
    assert parameters(networks.lenet()) == 431_080 + 2 * (20 + 50 + 500)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize(("size", "width"), [(28, 500), (32, 500), (16, 64), (27, 64)])
def test_lenet_takes_pictures_of_a_size(size, width, norm):
    net = networks.lenet(size=size, norm=norm, classes=7).eval()
    x = torch.rand(3, 1, size, size)
    z = net.features(x)
    assert z.shape == (3, width) and (z >= 0).all() and net(x).shape == (3, 7)
    torch.testing.assert_close(net(x), net.head(z))
    assert sum(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) for layer in net.modules()) == (3 if norm else 0)


def test_dense_is_as_wide_as_asked_and_flattens():
    net = networks.dense(12 * 30, classes=5, widths=(32, 16))
    assert [tuple(p.shape) for p in net.parameters() if p.ndim == 2] == [(32, 360), (16, 32), (5, 16)]
    assert net.features(torch.rand(4, 12, 30)).shape == (4, 16) and net(torch.rand(4, 360)).shape == (4, 5)
