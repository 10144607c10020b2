"""Networks that several notebooks train: features, where domains are compared, and a head that names the class."""

import torch
from torch import nn


class Net(nn.Module):
    """features: x (n, ...) -> z (n, width); head: z -> scores of the classes (n, classes).

    First explained in notebooks/04_dsan, section "The method".
    """

    def __init__(self, features, width, classes):
        super().__init__()
        self.features = features
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.features(x))


def lenet(size=28, norm=True, classes=10):
    """LeNet for pictures (n, 1, size, size), 28 pixels or more; a narrow one with a smaller second kernel below that.

    norm: batch norm behind each layer, as the digits networks of domain adaptation have it. Parameters without norm
    at 28 pixels: 431,080 (20 and 50 kernels of 5 x 5, 500 hidden units), as in Caffe's LeNet.
    """
    if size >= 28:
        first, second, width, kernel = 20, 50, 500, 5
    else:
        first, second, width, kernel = 8, 16, 64, 3
    side = ((size - 4) // 2 - kernel + 1) // 2

    def normal(layer):
        return layer if norm else nn.Identity()

    features = nn.Sequential(
        nn.Conv2d(1, first, 5),
        normal(nn.BatchNorm2d(first)),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(first, second, kernel),
        normal(nn.BatchNorm2d(second)),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(second * side**2, width),
        normal(nn.BatchNorm1d(width)),
        nn.ReLU(),
    )
    net = Net(features, width, classes)
    return net.to(memory_format=torch.channels_last)  # a third faster on a CPU


def dense(inputs, classes, widths=(128, 64)):
    """A fully connected network for vectors (n, inputs), with batch norm behind each hidden layer."""
    layers = [nn.Flatten()]
    for a, b in zip((inputs, *widths[:-1]), widths, strict=True):
        layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU()]
    return Net(nn.Sequential(*layers), widths[-1], classes)
