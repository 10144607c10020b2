"""The training loop of notebook 06 beside the usual one: pictures a second, the same networks, losses of the same kind.

Usual: a DataLoader, Adam as torch gives it; for each phase an encoder pass, a backward pass and a step. Ours: rows in
memory, fused Adam, one encoder pass for all phases, one backward pass for encoder and decoder. Run with
`make benchmark`.
"""

import time

import pytest
import torch
from notebook_code import definitions
from torch.nn import functional as F

from csi_utils import training

nb = definitions("06_aae")
nb.DEVICE = torch.device("cpu")
ROWS, STEPS, BATCH = 10_000, 100, 100


def usual(model, x):
    adam = lambda parts: torch.optim.Adam(parts, 2e-3, betas=(0.5, 0.999))  # noqa: E731
    code, judges = adam([*model.encoder.parameters(), *model.decoder.parameters()]), adam(model.judges.parameters())
    encoder = adam(model.encoder.parameters())
    one, zero, bce = torch.ones(BATCH, 1), torch.zeros(BATCH, 1), F.binary_cross_entropy_with_logits
    for (part,) in torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x), BATCH, shuffle=True):
        code.zero_grad()  # reconstruction
        loss = bce(model.decoder(model.encoder(part)), part, reduction="sum") / BATCH
        loss.backward()
        code.step()
        judges.zero_grad()  # the discriminator
        fake = model.encoder(part).detach()
        loss_d = bce(model.judges["z"](torch.randn(BATCH, 2)), one) + bce(model.judges["z"](fake), zero)
        loss_d.backward()
        judges.step()
        encoder.zero_grad()  # the encoder fools it
        loss_g = bce(model.judges["z"](model.encoder(part)), one)
        loss_g.backward()
        encoder.step()
        loss.item(), loss_d.item(), loss_g.item()


@pytest.mark.benchmark
@pytest.mark.parametrize("hidden", [64, 128])
def test_pictures_a_second(hidden, capsys):
    x = torch.rand(ROWS, 784, generator=torch.Generator().manual_seed(0))
    seconds = {"ours": [], "usual": []}
    with training.one_thread():
        for _ in range(5):  # alternating, so that a busy machine slows both
            model = training.seeded(lambda: nb.AAE(784, 2, hidden=hidden), 0)
            start = time.perf_counter()
            nb.train(model, x, nb.gaussian, 0, STEPS)
            seconds["ours"].append(time.perf_counter() - start)
            model = training.seeded(lambda: nb.AAE(784, 2, hidden=hidden), 0)
            start = time.perf_counter()
            usual(model, x)
            seconds["usual"].append(time.perf_counter() - start)
    ours, plain = (STEPS * BATCH / min(seconds[key]) for key in ("ours", "usual"))
    with capsys.disabled():
        print(f"\nAAE, {hidden} units: {ours:,.0f} pictures/s, usual loop {plain:,.0f}; ratio {ours / plain:.2f}")
    assert ours / plain >= 1.3
