"""Five trainings of notebook 07 side by side, as its layers have them, against the same five one after the other.

Small networks are short of work: a step is spent on calls and not on arithmetic. With a leading axis of repeats one
call serves all five. Run with `make benchmark`.
"""

import time

import pytest
import torch
from notebook_code import definitions

from csi_utils import training

nb = definitions("07_alae")
nb.DEVICE, nb.seed, nb.RATE = torch.device("cpu"), 0, 4e-3
REPEATS, STEPS, BATCH = 5, 60, 32


def seconds(repeats, width):
    nets, adams, step = nb.start("ALAE", repeats, width)
    x = torch.rand(repeats, BATCH, 784, generator=torch.Generator().manual_seed(0))
    start = time.perf_counter()
    for k in range(STEPS):
        step(nets, adams, x.clone(), k)
    return time.perf_counter() - start


@pytest.mark.benchmark
@pytest.mark.parametrize("width", [64, 256])
def test_side_by_side_is_no_slower(width, capsys):
    with training.one_thread():
        pairs = [(seconds(REPEATS, width), sum(seconds(1, width) for _ in range(REPEATS))) for _ in range(3)]
    beside, after = (min(column) for column in zip(*pairs, strict=True))
    with capsys.disabled():
        print(f"\nALAE, width {width}: {1000 * beside / STEPS:.1f} ms a step for {REPEATS} repeats side by side, "
              f"{1000 * after / STEPS:.1f} one after the other; ratio {after / beside:.2f}")
    assert after / beside >= 1
