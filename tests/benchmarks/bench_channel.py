"""How fast the simulator is: positions a second on one core, for one fingerprint of 2 x 3 x 30 at order 2.

Run with `make benchmark`. The series itself in place of its table is measured beside it.
"""

import time

import numpy as np
import pytest

from csi_utils.sim import channel, echoes

pytestmark = pytest.mark.benchmark
POSITIONS = 20_000


def best(work, rounds=3):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def series(pattern, angle, curvature):
    """Sum of the series, term by term."""
    n = pattern.n
    twice = np.where(n == 0, 1, 2) * pattern.coefficients
    turn = np.exp(-1j * n**2 * curvature[..., None] / (2 * pattern.k))
    return (twice * turn * np.cos(n * angle[..., None])).sum(-1).astype(np.complex64)


def test_positions_a_second(monkeypatch, capsys):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    furniture = tuple(channel.Scatterer((x, y, 0.8), 0.5) for x, y in [(2, 3), (5, 8), (1, 9), (6, 2)])
    room, link = channel.Room(furniture=furniture), channel.Link((0.5, 5.5, 1.1), (6.5, 5.5, 1.1), 2, 3)
    places = np.random.default_rng(0).uniform([0.3, 0.3], [6.7, 10.7], (POSITIONS, 2))
    f = channel.frequencies()
    with threadpoolctl.threadpool_limits(1):
        fast = best(lambda: channel.simulate(room, link, f, [channel.Person(places)]))
        monkeypatch.setattr(echoes.Pattern, "__call__", series)
        exact = best(lambda: channel.simulate(room, link, f, [channel.Person(places[:500])]), 1) * POSITIONS / 500
    with capsys.disabled():
        print(f"\n{POSITIONS / fast:,.0f} positions a second and core; {exact / fast:.1f} times as fast as with the "
              f"series")
    assert POSITIONS / fast >= 20_000
