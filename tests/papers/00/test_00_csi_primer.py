"""The definitions of notebook 00 on inputs the notebook does not show, against libraries and closed forms."""

import numpy as np
import pytest
from notebook_code import definitions
from scipy import optimize, special

from csi_utils.sim import channel, echoes, hardware

nb = definitions("00_csi_primer")
C = channel.SPEED_OF_LIGHT
K = channel.SUBCARRIERS[20e6]
WAVE = C / 5.32e9
LINK = channel.Link(tx=(1.0, 2.0, 1.1), rx=(4.0, 2.5, 1.3), n_rx=3)
FREE = channel.Room((30.0, 30.0, 30.0), dict.fromkeys(channel.FACES, channel.Wall("air")))
# What the notebook computes before its functions run.
vars(nb).update(C=C, K=K, WAVE=WAVE, LINK=LINK, FREE=FREE, t=np.arange(400) / 400)


@pytest.mark.parametrize("k", [K, np.arange(-28, 29, 2), np.array([-9, -4, 0, 1, 30])])
def test_sanitizing_is_a_line_subtracted(k):
    phase = np.random.default_rng(0).standard_normal((7, len(k)))
    for i, row in enumerate(phase):
        a = (row[-1] - row[0]) / (k[-1] - k[0])
        by_hand = [value - a * index - sum(row) / len(row) for value, index in zip(row, k, strict=True)]
        np.testing.assert_allclose(nb.sanitize(phase, k)[i], by_hand)
        np.testing.assert_allclose(nb.sanitize(phase, k)[i].mean(), -a * k.mean(), atol=1e-12)  # Eq. (5)
    expected = [row - np.polyval(np.polyfit(k, row, 1), k) for row in phase]
    np.testing.assert_allclose(nb.sanitize_fit(phase, k), expected, atol=1e-12)


def test_the_residue_of_one_sample_is_that_of_the_card():
    line = -2 * np.pi / 64 * K[None] * np.array([[1.0], [-2.0]]) + 0.3
    np.testing.assert_allclose(nb.sanitize(line, K), np.outer([0.04254, -0.08508], np.ones(30)), atol=1e-5)
    np.testing.assert_allclose(nb.sanitize_fit(line, K), 0, atol=1e-12)


def test_known_offsets_turn_and_tilt():
    h = channel.simulate(channel.Room(size=(6.0, 6.0, 3.0)), LINK, channel.frequencies())[0, :, 0, 0]
    delta, known = nb.known_offsets(h, 4000, np.random.default_rng(1))
    undone = known * np.exp(2j * np.pi * K * delta[:, None] / 64)
    turn = (undone * h.conj()).sum(1)
    noise = undone * (np.abs(turn) / turn)[:, None] - h
    assert 10 * np.log10((np.abs(h) ** 2).mean() / (np.abs(noise) ** 2).mean()) == pytest.approx(25, abs=0.3)


def test_one_and_two_paths_against_the_card_and_the_image_of_an_upright_current():
    assert -20 * np.log10(abs(nb.one_path(6.0, 2.437e9))) == pytest.approx(55.748, abs=0.001)
    f = np.array([2.437e9, 5.32e9])
    over_wall = nb.two_paths(4.0, np.hypot(4, 2), -1, f) / nb.one_path(4.0, f)
    np.testing.assert_allclose(20 * np.log10(np.abs(over_wall)), [-0.651, 4.901], atol=1e-3)  # physics card
    low = channel.Link(tx=(12.0, 15.0, 1.5), rx=(18.0, 15.0, 0.7))
    floor = channel.Room(FREE.size, FREE.walls | {"floor": channel.Wall("metal", np.inf)})
    found = channel.simulate(floor, low, f, order=1)[0, :, 0, 0]
    d, longer = np.hypot(6, 0.8), np.hypot(6, 2.2)
    np.testing.assert_allclose(found, nb.two_paths(d, longer, +1, f), rtol=0.01)
    assert (np.abs(found - nb.two_paths(d, longer, -1, f)) > 0.5 * np.abs(found)).all()


def test_power_of_a_report():
    assert nb.total_dbm([33, 31, 35], 40) == pytest.approx(-45.93, abs=0.005)
    rng = np.random.default_rng(0)
    csi = np.rint(20 * (rng.standard_normal((5, 30, 2, 1)) + 1j * rng.standard_normal((5, 30, 2, 1))))
    report = hardware.Report(csi, rng.integers(20, 40, (5, 2)).astype(float), np.arange(5.0), np.zeros(5, bool))
    mean_power = (np.abs(nb.in_milliwatts(report)) ** 2).mean(1).sum((1, 2))
    np.testing.assert_allclose(10 * np.log10(mean_power), nb.total_dbm(report.rssi, report.agc))
    steps = csi * 10 ** (np.array([0, 3, -6, 10, 1]) / 20)[:, None, None, None]
    np.testing.assert_allclose(np.diff(nb.level(steps) - nb.level(csi)), [3, -9, 16, -9], atol=1e-9)


@pytest.mark.parametrize("f", [2.437e9, 5.32e9])
def test_the_series_of_the_notebook_is_that_of_the_package_and_the_simulator_follows(f):
    tx, rx = np.array([13.0, 15.0]), np.array([17.5, 16.0])
    xy = np.array([15.0, 15.0]) + np.random.default_rng(0).uniform(-1.5, 1.5, (40, 2))
    xy = xy[np.min([np.linalg.norm(xy - end, axis=1) for end in (tx, rx)], 0) > 0.6]
    found = nb.exact(xy, tx, rx, f)
    k, a = 2 * np.pi * f / C, echoes.series("muscle", 0.2, f)
    n = np.arange(1 - len(a), len(a))
    for place, field in zip(xy, found, strict=True):  # both signs of n, one place at a time
        ways = tx - place, rx - place
        r1, r2 = (np.linalg.norm(way) for way in ways)
        theta = np.arctan2(*ways[0][::-1]) - np.arctan2(*ways[1][::-1])
        series = (a[np.abs(n)] * special.hankel2(np.abs(n), k * r1) * special.hankel2(np.abs(n), k * r2)
                  * np.exp(1j * n * theta)).sum()
        d = np.linalg.norm(rx - tx)
        expected = 1 + np.sqrt(d / (r1 + r2)) * series / special.hankel2(0, k * d)
        assert field == pytest.approx(expected, abs=1e-3)
    assert np.abs(nb.simulated(xy, tx, rx, f) - found).max() < 0.03


def test_the_strip_is_babinet():
    scale = np.sqrt(2 * 4 / (WAVE * 3 * 1))
    s, c = special.fresnel(np.array([0.1 - 0.2, 0.1 + 0.2]) * scale)
    blocked = (1 + 1j) / 2 * (np.diff(c) - 1j * np.diff(s))[0]
    assert nb.strip(0.1, 1, 3, 5.32e9) == pytest.approx(1 - blocked, abs=1e-9)


def test_the_way_over_the_skin_is_the_shortest():
    tx, rx, place = np.array([1.0, 3.0]), np.array([5.0, 3.5]), np.array([2.5, 4.4])

    def way(angle):
        point = place + 0.3 * np.array([np.cos(angle), np.sin(angle)])
        return np.linalg.norm(point - tx) + np.linalg.norm(point - rx)

    expected = optimize.minimize_scalar(way, bounds=(np.pi, 2 * np.pi), method="bounded").fun
    assert nb.skin_path(place[None], tx, rx, 0.3) == pytest.approx([expected], abs=5e-5)
    axis = np.linalg.norm(place - tx) + np.linalg.norm(place - rx)
    assert nb.skin_path(place[None], tx, rx, 0) == pytest.approx([axis])
    d = np.linalg.norm(rx - tx)
    assert nb.half_waves(np.array([d, d + WAVE]), tx, rx, 5.32e9) == pytest.approx([0, 2], abs=1e-9)


@pytest.mark.parametrize("speed", [-2.4, -0.7, 0.5, 1.6])
def test_signed_doppler_of_known_paths(speed):
    t = np.arange(400) / 400
    dynamic = np.exp(-2j * np.pi * speed * t / WAVE)[:, None, None]
    offsets = np.exp(2j * np.pi * np.random.default_rng(0).random((400, 1, 1)))
    csi = (np.array([1.0, 1.5j, 2.0]) + np.array([0.3, 0.2, -0.25]) * dynamic) * offsets
    seen = nb.speeds_of(csi, 400)
    assert seen["CSI ratio"] == pytest.approx(speed, abs=0.02)
    assert abs(seen["power"]) == pytest.approx(abs(speed), abs=0.02)
    np.testing.assert_allclose(nb.combine(csi)["CSI ratio"], nb.combine(csi / offsets)["CSI ratio"])  # clocks cancel


def test_a_slow_rate_inverts_the_direction():
    t = np.arange(0, 1, 1 / 50)
    csi = np.array([1.0, 1.5j, 2.0]) + np.array([0.3, 0.2, -0.25]) * np.exp(-2j * np.pi * 2.0 * t / WAVE)[:, None, None]
    assert nb.speeds_of(csi, 50)["CSI ratio"] == pytest.approx(2.0 - 50 * WAVE, abs=0.03)  # 2 m/s comes as -0.82


def test_the_strongest_antenna_divides():
    csi = np.ones((4, 3, 3)) * np.array([2.0, 5.0, 1.0])
    np.testing.assert_allclose(nb.combine(csi)["CSI ratio"], np.ones((4, 3, 2)) * np.array([0.4, 0.2]))
    assert np.isfinite(nb.combine(np.zeros((4, 3, 3)))["CSI ratio"]).all()
