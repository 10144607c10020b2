"""The radio's imperfections: each can be switched off, and each does what its name says."""

from dataclasses import replace

import numpy as np
import pytest

from csi_utils.sim import channel as ch
from csi_utils.sim import hardware as hw

K = ch.SUBCARRIERS[20e6]
IDEAL = hw.Card(noise_dbm=-300.0, sto=0, cfo=0, sfo=0, agc_step_db=0, counts=0, outliers=0)


def flat(packets=200, n_tx=2, level=1e-3):
    h = np.full((packets, 30, 3, n_tx), level, np.complex64)
    return h, np.arange(packets) / 20.0


def test_an_ideal_card_scales_only():
    h, t = flat()
    report = hw.record(h, IDEAL, K, t, np.random.default_rng(0))
    np.testing.assert_allclose(report.csi, h * 10 ** (15 / 20) / np.sqrt(2), rtol=1e-5)
    assert not report.broken.any()


def test_the_phase_ramp_of_a_known_sto():
    h, t = flat(1)
    rng = np.random.default_rng(3)
    report = hw.record(h, replace(IDEAL, sto=1.0), K, t, rng)
    again = np.random.default_rng(3)
    again.standard_normal((2, *h.shape), dtype=np.float32)  # the noise is drawn first
    delta = again.standard_normal(1)[0]
    slope = np.polyfit(K, np.unwrap(np.angle(report.csi[0, :, 0, 0])), 1)[0]
    assert slope == pytest.approx(-2 * np.pi * delta / 64, rel=1e-4)


def test_chains_share_the_offsets_of_a_packet():
    h, t = flat()
    card = replace(IDEAL, sto=1.0, cfo=80e3, sfo=5.0, phase=(0.0, 1.0, -2.0))
    csi = hw.record(h, card, K, t, np.random.default_rng(0)).csi
    ratio = csi[:, :, 1] / csi[:, :, 0]
    np.testing.assert_allclose(np.angle(ratio), 1.0, atol=1e-4)
    assert np.abs(csi[:, 0, 0, 0].mean()) < 0.2 * np.abs(csi[0, 0, 0, 0])  # but the raw phase is useless


@pytest.mark.parametrize(("n_tx", "level"), [(1, 1e-3), (2, 1e-3), (2, 3e-5), (3, 1e-3)])
def test_scaling_restores_the_signal_to_noise_ratio(n_tx, level):
    h, t = flat(n_tx=n_tx, level=level)
    card = hw.Card(outliers=0)
    report = hw.record(h, card, K, t, np.random.default_rng(0))
    assert np.abs(report.csi).max() <= 128 * np.sqrt(2)
    assert (report.csi.real == np.rint(report.csi.real)).all()
    got = 20 * np.log10(np.sqrt((np.abs(hw.scaled(report)) ** 2).mean()))
    # Eq. (3) counts rounding as noise of one count squared in every antenna pair
    factor = {1: 1.0, 2: 2.0, 3: 10**0.45}[n_tx]
    received = level**2 * 10**1.5 / factor
    noise = 10**-9.2 + 3 * n_tx * received / 20.0**2
    assert got == pytest.approx(10 * np.log10(factor * received / noise), abs=1.0)


def test_automatic_gain_control_keeps_the_level_and_says_so():
    near, far = flat(level=1e-2)[0][:1], flat(level=1e-4)[0][:1]
    reports = [hw.record(h, hw.Card(outliers=0), K, np.zeros(1), np.random.default_rng(0)) for h in (near, far)]
    rms = [np.sqrt((np.abs(report.csi) ** 2).mean()) for report in reports]
    assert rms[0] == pytest.approx(rms[1], rel=0.15)
    assert reports[1].agc - reports[0].agc == pytest.approx(40, abs=1)


def test_outliers_are_rare_and_known():
    h, t = flat(5000)
    report = hw.record(h, replace(IDEAL, outliers=0.02), K, t, np.random.default_rng(0))
    assert 0.01 < report.broken.mean() < 0.03
    off = np.abs(report.csi / report.csi[~report.broken].mean((0, 1, 2, 3)) - 1).max((1, 2, 3))
    assert (off[report.broken] > 0.3).all() and (off[~report.broken] < 1e-4).all()


def test_rssi_oracle_of_the_csi_tool():
    # rssi 33, 31, 35, agc 40 is -45.93 dBm
    report = hw.Report(np.full((1, 30, 3, 1), 10 + 0j, np.complex64), np.array([[33.0, 31.0, 35.0]]), np.array([40.0]),
                       np.array([False]))
    mean_square = 3 * 100.0
    s = 10**-4.593 / mean_square
    expected = 10 * np.sqrt(s / (10**-9.2 + 3 * s))
    assert np.abs(hw.scaled(report)[0, 0, 0, 0]) == pytest.approx(expected, rel=1e-3)


def test_bad_input_is_named():
    h, t = flat(3)
    with pytest.raises(ValueError, match="outliers must be a fraction"):
        hw.Card(outliers=2)
    with pytest.raises(ValueError, match="sto must be >= 0"):
        hw.Card(sto=-1)
    with pytest.raises(ValueError, match=r"t and subcarriers must have shapes \(3,\)"):
        hw.record(h, IDEAL, K, t[:2], np.random.default_rng(0))
    empty = hw.Report(np.zeros((1, 30, 3, 1), np.complex64), np.ones((1, 3)), np.ones(1), np.array([False]))
    with pytest.raises(ValueError, match="all zero"):
        hw.scaled(empty)
