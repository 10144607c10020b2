"""The definitions of notebook 00 on inputs the notebook does not show, against libraries and closed forms."""

import json

import numpy as np
import pytest
from notebook_code import NOTEBOOKS, definitions
from scipy import ndimage, special, stats

from csi_utils.files import captures
from csi_utils.sim import channel, hardware

nb = definitions("00_csi_primer")
K = channel.SUBCARRIERS[20e6]
WAVE = channel.SPEED_OF_LIGHT / 5.32e9
LINK = channel.Link(tx=(1.0, 2.0, 1.1), rx=(4.0, 2.5, 1.3))
# What the notebook computes before its functions run.
vars(nb).update(K=K, WAVE=WAVE, FS=400, LINK=LINK)


@pytest.mark.parametrize("k", [K, np.arange(-28, 29, 2), np.array([-9, -4, 0, 1, 30])])
def test_sanitizing_is_a_line_subtracted(k):
    phase = np.random.default_rng(0).standard_normal((7, len(k)))
    a = (phase[:, -1] - phase[:, 0]) / (k[-1] - k[0])
    np.testing.assert_allclose(nb.sanitize(phase, k), phase - np.outer(a, k) - phase.mean(1)[:, None])
    np.testing.assert_allclose(nb.sanitize_by_loop(phase, k), nb.sanitize(phase, k))
    np.testing.assert_allclose(nb.sanitize(phase, k).mean(1), -a * k.mean(), atol=1e-12)  # Eq. (5), for any phase
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


def test_one_and_two_paths():
    f = channel.frequencies(2.437e9)
    assert -20 * np.log10(abs(nb.one_path(6.0, 2.437e9))) == pytest.approx(55.748, abs=0.001)
    expected = np.exp(-2j * np.pi * f * 7.5 / channel.SPEED_OF_LIGHT) * channel.SPEED_OF_LIGHT / f / (4 * np.pi * 7.5)
    np.testing.assert_allclose(nb.one_path(7.5, f), expected)
    power = np.abs(nb.two_paths(f, 5.0, 9.0, 0.3) / nb.one_path(5.0, f)) ** 2
    np.testing.assert_allclose(power, 1.09 + 0.6 * np.cos(2 * np.pi * f * 9 / channel.SPEED_OF_LIGHT), rtol=1e-9)


def test_power_of_a_report():
    assert nb.total_dbm([33, 31, 35], 40) == pytest.approx(-45.93, abs=0.005)
    rng = np.random.default_rng(0)
    csi = np.rint(20 * (rng.standard_normal((5, 30, 2, 1)) + 1j * rng.standard_normal((5, 30, 2, 1))))
    report = hardware.Report(csi, rng.integers(20, 40, (5, 2)).astype(float), np.arange(5.0), np.zeros(5, bool))
    mean_power = (np.abs(nb.in_milliwatts(report)) ** 2).mean(1).sum((1, 2))
    np.testing.assert_allclose(10 * np.log10(mean_power), nb.total_dbm(report.rssi, report.agc))
    steps = csi * 10 ** (np.array([0, 3, -6, 10, 1]) / 20)[:, None, None, None]
    np.testing.assert_allclose(np.diff(nb.level(steps) - nb.level(csi)), [3, -9, 16, -9], atol=1e-9)


@pytest.mark.parametrize("half", [3, 50])
def test_hampel_is_that_of_scipy(half):
    rng = np.random.default_rng(half)
    x = np.cumsum(rng.standard_normal((300, 2)), 0) + 20 * (rng.random((300, 2)) < 0.03)
    clean, flags = nb.hampel(x, 2.5, half)
    for i in range(2):
        middle = ndimage.median_filter(x[:, i], 2 * half + 1, mode="mirror")
        mad = ndimage.generic_filter(x[:, i], stats.median_abs_deviation, 2 * half + 1, mode="mirror")
        expected = np.abs(x[:, i] - middle) > 2.5 * mad
        np.testing.assert_array_equal(flags[:, i], expected)
        np.testing.assert_array_equal(nb.hampel_by_loop(x[:, i], 2.5, half), expected)
        np.testing.assert_array_equal(clean[:, i], np.where(expected, middle, x[:, i]))


def test_three_components_are_the_truncated_svd():
    x = np.random.default_rng(0).standard_normal((50, 8))
    u, s, v = np.linalg.svd(x - x.mean(0), full_matrices=False)
    np.testing.assert_allclose(nb.keep_three(x), x.mean(0) + (u[:, :3] * s[:3]) @ v[:3], atol=1e-9)


def test_the_strip_is_babinet():
    scale = np.sqrt(2 * 4 / (WAVE * 3 * 1))
    s, c = special.fresnel(np.array([0.1 - 0.2, 0.1 + 0.2]) * scale)
    blocked = (1 + 1j) / 2 * (np.diff(c) - 1j * np.diff(s))[0]
    assert nb.strip_gain(0.4, 1, 3, 0.1, 5.32e9) == pytest.approx(1 - blocked, abs=1e-9)
    assert nb.fresnel_radius(1, 5, 5, 5.32e9) == pytest.approx(0.375, abs=5e-4)
    assert nb.fresnel_radius(4, 2, 1, 5.32e9) == pytest.approx(2 * nb.fresnel_radius(1, 1, 2, 5.32e9))


def test_path_length_goes_over_the_chest():
    xy = np.random.default_rng(0).uniform(1, 5, (6, 2))
    chest = np.column_stack([xy, np.full(6, 0.65 * 1.7)])
    expected = np.linalg.norm(chest - LINK.tx, axis=1) + np.linalg.norm(chest - LINK.rx, axis=1)
    np.testing.assert_allclose(nb.path_length(xy), expected)


@pytest.mark.parametrize("speed", [-2.4, -0.7, 0.5, 1.6])
def test_signed_doppler_of_known_paths(speed):
    t = np.arange(400) / 400
    dynamic = np.exp(-2j * np.pi * speed * t / WAVE)[:, None, None]
    offsets = np.exp(2j * np.pi * np.random.default_rng(0).random((400, 1, 1)))
    csi = (np.array([1.0, 1.5j, 2.0]) + np.array([0.3, 0.2, -0.25]) * dynamic) * offsets
    seen = {name: -nb.doppler(z) * WAVE for name, z in nb.combine(csi).items()}
    assert seen["CSI ratio"] == pytest.approx(speed, abs=0.02)
    assert abs(seen["power"]) == pytest.approx(abs(speed), abs=0.02)
    np.testing.assert_allclose(nb.combine(csi)["CSI ratio"], nb.combine(csi / offsets)["CSI ratio"])  # clocks cancel


def test_the_strongest_antenna_divides():
    csi = np.ones((4, 3, 3)) * np.array([2.0, 5.0, 1.0])
    np.testing.assert_allclose(nb.combine(csi)["CSI ratio"], np.ones((4, 3, 1)) * np.array([0.4, 0.2]))
    assert np.isfinite(nb.combine(np.zeros((4, 3, 3)))["CSI ratio"]).all()


def test_the_written_lines_are_read_back(tmp_path):
    rng = np.random.default_rng(0)
    csi = rng.integers(-128, 128, (5, 64)) + 1j * rng.integers(-128, 128, (5, 64))
    lines = [nb.esp32_line(row, -40 - n, n / 50) for n, row in enumerate(csi)]
    lines[3] = lines[3][:200]
    (tmp_path / "log.csv").write_text("\n".join(lines), encoding="ascii")
    found = captures.read_esp32(tmp_path / "log.csv")
    np.testing.assert_array_equal(found.csi, csi[[0, 1, 2, 4]])
    np.testing.assert_allclose(found.t, [0, 0.02, 0.04, 0.08])
    assert [number for number, _ in found.dropped] == [4]
    ours, dropped = nb.read_lines(lines)
    np.testing.assert_array_equal(ours, found.csi)
    assert dropped == [4]


def test_the_written_records_are_read_back(tmp_path):
    pytest.importorskip("csiread")
    rng = np.random.default_rng(1)
    csi = rng.integers(-128, 128, (6, 30, 3, 1)) + 1j * rng.integers(-128, 128, (6, 30, 3, 1))
    records = [nb.intel_record(row, (33, 31, 35), 40 + n, n / 100, n) for n, row in enumerate(csi)]
    assert len(records[0]) == 3 + 20 + 192
    (tmp_path / "log.dat").write_bytes(b"".join(records))
    found = captures.read_intel5300(tmp_path / "log.dat")
    np.testing.assert_array_equal(found.csi, csi)
    np.testing.assert_allclose(found.t, np.arange(6) / 100)
    np.testing.assert_array_equal(found.agc, 40 + np.arange(6))
    np.testing.assert_array_equal(found.rssi, np.tile([33, 31, 35], (6, 1)))


def test_a_capture_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"capture: got .*\.pcap.*expected a file that ends in \.dat or \.csv"):
        nb.read_capture(str(tmp_path / "my.pcap"))
    with pytest.raises(FileNotFoundError, match=r"my\.csv"):
        nb.read_capture(str(tmp_path / "my.csv"))


def verdict(check, name, answer):
    """What the check cell of the notebook says of an answer: passed or wrong."""
    notebook = json.loads((NOTEBOOKS / "00_csi_primer.ipynb").read_text(encoding="utf-8"))
    source = next("".join(cell["source"]) for cell in notebook["cells"] if cell["id"] == check)
    before, _, last = source.rpartition("exercises.check(")
    names = {**vars(nb), name: answer}
    exec(f"{before}RESULT = exercises.check({last}", names)
    return names["RESULT"].status


def lengths(xyz, tx, rx):
    return np.linalg.norm(xyz - tx, axis=1) + np.linalg.norm(xyz - rx, axis=1)


def in_place(phase, k):
    phase -= phase - nb.sanitize_together(phase.copy(), k)
    return phase


def truth(path=lengths, seconds=lambda t: t[-1] - t[0]):
    return lambda xyz, t, tx, rx, wavelength: -np.diff(path(xyz, tx, rx)[[0, -1]])[0] / seconds(t) / wavelength


WRONG = {
    "ex1-check sanitize_together": [
        lambda phase, k: 0 * phase, lambda phase, k: 2 * phase - nb.sanitize_together(phase, k), in_place,
        lambda phase, k: np.stack([nb.sanitize_fit(x, k) for x in phase.transpose(2, 0, 1)], 2),
        lambda phase, k: phase - (phase.mean(2) - nb.sanitize(phase.mean(2), k - np.mean(k)))[..., None]],
    "ex2-check doppler_truth": [
        lambda *given: 0.0, lambda *given: -nb.doppler_truth(*given), truth(seconds=lambda t: 2.0),
        truth(lambda xyz, tx, rx: lengths(xyz, 0, rx)), truth(lambda xyz, tx, rx: lengths(xyz, 0, [3, 0, 0])),
        truth(seconds=lambda t: (len(t) - 1) * (t[1] - t[0]))],
    "ex3-check read_lines": [
        lambda lines: (np.zeros((len(lines), 64), complex), []),
        lambda lines: (1j * nb.read_lines(lines)[0].conj(), nb.read_lines(lines)[1]),
        lambda lines: (nb.read_lines(lines)[0].conj(), nb.read_lines(lines)[1]),
        lambda lines: nb.read_lines([line.replace("OTHER", "CSI_DATA") for line in lines])],
}


@pytest.mark.parametrize("exercise", WRONG)
def test_exercises_accept_the_solution_alone(exercise):
    check, name = exercise.split()
    assert verdict(check, name, getattr(nb, name)) == "passed"
    assert [verdict(check, name, answer) for answer in WRONG[exercise]] == ["wrong"] * len(WRONG[exercise])
