"""The training loop of notebook 07 beside the usual one: pictures a second, the same four networks and three steps.

Usual: a DataLoader, Adam as torch gives it, R1 in every batch as in the paper, and in each step a backward pass through
all that the loss has touched, also through networks that the step does not move. Ours: rows in memory, fused Adam, one
pass of the discriminator over real and generated pictures, gradients for the step's own networks alone, R1 in every
fourth batch. What is left of the ratio when the usual loop is as lazy is printed beside it. Run with `make benchmark`.
"""

import time

import pytest
import torch
from notebook_code import definitions
from torch.nn import functional as F

from csi_utils import training

nb = definitions("07_alae")
nb.DEVICE = torch.device("cpu")
ROWS, STEPS, BATCH = 6400, 100, 64


def usual(g, x, lazy):
    adam = lambda *nets: torch.optim.Adam([p for net in nets for p in net.parameters()], nb.RATE, nb.BETAS)  # noqa: E731
    judges, makers, coders = adam(g.E, g.D), adam(g.F, g.G), adam(g.E, g.G)

    def step(loss, optimizer):
        for other in (judges, makers, coders):
            other.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    for k, (part,) in enumerate(torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x), BATCH, shuffle=True)):
        part.requires_grad_()
        real, fake = g.judge(part), g.judge(g.sample(torch.randn(BATCH, nb.DIM)))
        loss = F.softplus(fake).mean() + F.softplus(-real).mean()
        step(loss + lazy * g.gamma / 2 * nb.penalty(real, part) if k % lazy == 0 else loss, judges)
        step(F.softplus(-g.judge(g.sample(torch.randn(BATCH, nb.DIM)))).mean(), makers)
        w = g.F(torch.randn(BATCH, nb.DIM)).detach()
        step((w - g.E(g.G(w))).square().mean(), coders)


@pytest.mark.benchmark
@pytest.mark.parametrize("width", [96, 256])
def test_pictures_a_second(width, capsys):
    x = torch.rand(ROWS, 784, generator=torch.Generator().manual_seed(0))
    loops = {"ours": lambda model: nb.train(model, x, STEPS, 0, BATCH),
             "usual": lambda model: usual(model, x, 1), "usual, lazy": lambda model: usual(model, x, nb.LAZY)}
    seconds = {name: [] for name in loops}
    with training.one_thread():
        for _ in range(5):  # alternating, so that a busy machine slows all
            for name, run in loops.items():
                model = nb.ALAE(784, width, 0)
                start = time.perf_counter()
                run(model)
                seconds[name].append(time.perf_counter() - start)
    ours, plain, lazy = (STEPS * BATCH / min(seconds[name]) for name in loops)
    with capsys.disabled():
        print(f"\nALAE, width {width}: {ours:,.0f} pictures/s, usual loop {plain:,.0f}; ratio {ours / plain:.2f} "
              f"({ours / lazy:.2f} with R1 as seldom)")
    assert ours / plain >= 1.3
