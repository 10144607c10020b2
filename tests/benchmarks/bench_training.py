"""training.fit beside the usual loop (DataLoader, default Adam): samples a second on the same data, same losses.

Run with `make benchmark`. One thread each.
"""

import time

import numpy as np
import pytest
import torch
from torch import nn

from csi_utils import training

ROWS, EPOCHS = 4096, 3


def cnn():  # the layers of notebook 02
    return nn.Sequential(
        nn.Conv1d(12, 32, 5, padding=2), nn.BatchNorm1d(32), nn.ReLU(),
        nn.Conv1d(32, 16, 5, padding=2, stride=2), nn.BatchNorm1d(16), nn.ReLU(),
        nn.Flatten(), nn.Linear(240, 64), nn.ReLU(), nn.Linear(64, 10))


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(360, 128), nn.ReLU(), nn.Linear(128, 10))


def usual(model, loss, data, batch, seed):
    """What most notebooks do. The rows are visited in the order of training.fit, so that losses can be compared."""
    optimizer, order, losses = torch.optim.Adam(model.parameters(), lr=1e-3), torch.Generator().manual_seed(seed), []
    model.train()
    for _ in range(EPOCHS):
        rows = torch.randperm(ROWS, generator=order).tolist()
        total = 0.0
        for x, y in torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data), batch, sampler=rows):
            optimizer.zero_grad()
            value = loss(model, x, y)
            value.backward()
            optimizer.step()
            total += value.item() * len(x)
        losses.append(total / ROWS)
    return losses


@pytest.mark.benchmark
@pytest.mark.parametrize("batch", [64, 256])
@pytest.mark.parametrize("make", [cnn, mlp])
def test_samples_a_second(make, batch, capsys):
    rng = np.random.default_rng(0)
    data = (torch.tensor(rng.standard_normal((ROWS, 12, 30)), dtype=torch.float32), torch.arange(ROWS) % 10)

    def loss(model, x, y):
        return nn.functional.cross_entropy(model(x), y)

    seconds = {"fit": [], "usual": []}
    with training.one_thread():
        for _ in range(5):  # alternating, so that a busy machine slows both
            model = training.seeded(make, 0)
            start = time.perf_counter()
            ours = training.fit(model, loss, data, epochs=EPOCHS, batch=batch, seed=0).loss
            seconds["fit"].append(time.perf_counter() - start)
            model = training.seeded(make, 0)
            start = time.perf_counter()
            theirs = usual(model, loss, data, batch, 0)
            seconds["usual"].append(time.perf_counter() - start)
    np.testing.assert_allclose(ours, theirs, rtol=2e-3)
    fit, plain = (EPOCHS * ROWS / min(seconds[key]) for key in ("fit", "usual"))
    with capsys.disabled():
        print(f"\n{make.__name__}, batch {batch}: {fit:,.0f} samples/s, usual loop {plain:,.0f}; "
              f"ratio {fit / plain:.2f}")
