"""Five networks of notebook 06 at once beside five one after the other: steps a second, the same phases.

Usual: for each network layers of torch, a DataLoader, Adam as torch gives it. Ours: a leading axis of members, rows in
memory, fused Adam. Run with `make benchmark`.
"""

import time

import pytest
import torch
from notebook_code import definitions
from torch import nn
from torch.nn import functional as F

from csi_utils import training

nb = definitions("06_aae")
ROWS, STEPS, BATCH, MEMBERS = 5_000, 50, 100, 5


def layers(a, hidden, b):
    return nn.Sequential(nn.Linear(a, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, b))


def update(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def usual(hidden, x):
    encoder, decoder, judge = layers(784, hidden, 2), layers(2, hidden, 784), layers(2, 64, 1)
    optimizers = [torch.optim.Adam(parts, 1e-3) for parts in (
        [*encoder.parameters(), *decoder.parameters()], judge.parameters(), encoder.parameters())]
    for (part,) in torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x), BATCH, shuffle=True):
        codes = encoder(part)
        update(optimizers[0], F.binary_cross_entropy_with_logits(decoder(codes), part))
        real, fake = judge(torch.randn(BATCH, 2)), judge(codes.detach())
        update(optimizers[1], F.softplus(-real).mean() + F.softplus(fake).mean())
        update(optimizers[2], F.softplus(-judge(encoder(part))).mean())


@pytest.mark.benchmark
@pytest.mark.parametrize("hidden", [64, 100])
def test_steps_a_second(hidden, capsys):
    x = torch.rand(ROWS, 784, generator=torch.Generator().manual_seed(0))
    seconds = {"ours": [], "usual": []}
    with training.one_thread():
        for _ in range(5):  # alternating, so that a busy machine slows both
            model = training.seeded(lambda: nb.AAE(MEMBERS, 784, 2, hidden=hidden), 0)
            start = time.perf_counter()
            nb.train(model, x, 0, STEPS)
            seconds["ours"].append(time.perf_counter() - start)
            start = time.perf_counter()
            for _ in range(MEMBERS):
                usual(hidden, x)
            seconds["usual"].append(time.perf_counter() - start)
    ours, plain = (MEMBERS * STEPS / min(seconds[key]) for key in ("ours", "usual"))
    with capsys.disabled():
        print(f"\nhidden {hidden}: ours {ours:.0f} steps a second, usual {plain:.0f}, {ours / plain:.1f} times")
    assert ours > plain
