"""Raw captures: what is good is read exactly, and what is broken costs only itself and is said."""

import sys

import numpy as np
import pytest
from capture_files import intel_record
from real_data import MIRROR, needs

from csi_utils import datasets
from csi_utils.files import captures
from csi_utils.sim import hardware

CAPTURES = needs("captures")

# ---- ESP32 -----------------------------------------------------------------------------------------------------

HEADER = ("type,role,mac,rssi,rate,sig_mode,mcs,bandwidth,smoothing,not_sounding,aggregation,stbc,fec_coding,sgi,"
          "noise_floor,ampdu_cnt,channel,secondary_channel,local_timestamp,ant,sig_len,rx_state,real_time_set,"
          "real_timestamp,len,CSI_DATA")


def esp32_line(values, clock=7313, rssi=-52, announced=128):
    return (f"CSI_DATA,AP,00:00:00:00:00:00,{rssi},11,1,0,1,1,1,0,0,0,0,-93,0,1,1,{clock},0,101,0,0,80.36,{announced},"
            f"[{' '.join(map(str, values))} ]")


def esp32_file(path, lines, end="\n"):
    path.write_bytes(end.join(lines).encode("latin-1"))
    return path


NUMBERS = np.arange(128) - 64


def test_esp32_pairs_are_imaginary_then_real(tmp_path, capsys):
    path = esp32_file(tmp_path / "log.csv", [esp32_line(NUMBERS), esp32_line(-NUMBERS - 1, 17313, -60, announced=384)])
    log = captures.read_esp32(path)
    assert log.csi.shape == (2, 64) and log.csi.dtype == np.complex64
    np.testing.assert_array_equal(log.csi[0].imag, NUMBERS[0::2])
    np.testing.assert_array_equal(log.csi[0].real, NUMBERS[1::2])
    np.testing.assert_array_equal(log.csi[1].real, -NUMBERS[1::2] - 1)
    np.testing.assert_allclose(log.t, [0, 0.01])
    assert log.rssi.tolist() == [-52, -60] and log.dropped == ()
    assert capsys.readouterr().out == "log.csv: 2 packets read, no line left out.\n"


BROKEN = {
    "header": (HEADER, "header"),
    "blank": ("  ", "blank"),
    "short": (esp32_line(NUMBERS[:127]), "with 127 values instead of 128"),
    "long": (esp32_line([*NUMBERS, 1]), "with 129 values instead of 128"),
    "no values": (esp32_line([]), "with 0 values instead of 128"),
    "cut in the bracket": (esp32_line(NUMBERS)[:200], "broken, cut short or run together"),
    "cut in the head": (esp32_line(NUMBERS)[:40], "without CSI_DATA and a bracket"),
    "two in one": (esp32_line(NUMBERS)[:120] + esp32_line(NUMBERS), "broken, cut short or run together"),
    "a field lost": (esp32_line(NUMBERS).replace(",-93,", ","), "broken, cut short or run together"),
    "no number": (esp32_line(NUMBERS).replace(" 10 ", " 1x0 "), "with something that is no whole number"),
    "no clock": (esp32_line(NUMBERS, clock=""), "with something that is no whole number"),
    "out of range": (esp32_line([*NUMBERS[:-1], 128]), "with a number out of its range"),
    "boot message": ("I (312) wifi:mode : softAP", "without CSI_DATA and a bracket"),
    "noise": ("\xff\xfe\x00\x85", "without CSI_DATA and a bracket"),
}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n"])
def test_one_broken_esp32_line_costs_only_itself(tmp_path, capsys, what, end):
    line, why = BROKEN[what]
    good = [esp32_line(np.roll(NUMBERS, k), clock=1000 * k) for k in range(6)]
    log = captures.read_esp32(esp32_file(tmp_path / "log.csv", [*good[:2], line, *good[2:], ""], end))
    np.testing.assert_array_equal(log.csi.imag, [np.roll(NUMBERS, k)[0::2] for k in range(6)])
    np.testing.assert_allclose(log.t, np.arange(6) * 1e-3)
    number = 5 if end == "\r\r\n" else 3  # \r\r\n ends two lines, as an editor shows it
    assert (number, why) in log.dropped and {text for _, text in log.dropped} <= {why, "blank"}
    said = capsys.readouterr().out
    assert said.startswith("log.csv: 6 packets read, ") and said.count("\n") == 1 and why in said


def test_the_esp32_report_counts_and_gives_the_first_line(tmp_path, capsys):
    lines = [HEADER, esp32_line(NUMBERS), "", BROKEN["short"][0], esp32_line(NUMBERS), BROKEN["short"][0]]
    log = captures.read_esp32(esp32_file(tmp_path / "log.csv", lines))
    assert [line for line, _ in log.dropped] == [1, 3, 4, 6] and len(log.csi) == 2
    assert capsys.readouterr().out == ("log.csv: 2 packets read, 4 lines left out: 2 with 127 values instead of 128 "
                                       "(first at line 4); 1 header (line 1); 1 blank (line 3).\n")


def test_the_esp32_clock_may_start_anew_and_step_back(tmp_path):
    clocks = [2**32 - 1500, 2**32 - 500, 500, 400]
    log = captures.read_esp32(esp32_file(tmp_path / "log.csv", [esp32_line(NUMBERS, clock) for clock in clocks]))
    np.testing.assert_allclose(log.t, [0, 0.001, 0.002, 0.0019])


@pytest.mark.parametrize(("content", "message"), [
    (b"", "the file is empty"), (b"\n\n", "2 blank"), (b"<html>log in</html>", "1 without CSI_DATA"),
    (HEADER.encode(), "1 header"), (bytes(range(256)), "without"),
    (BROKEN["short"][0].encode(), "1 with 127 values, which fit no training fields that we know")])
def test_an_esp32_file_with_nothing_readable_is_refused_by_name(tmp_path, content, message):
    (tmp_path / "log.csv").write_bytes(content)
    with pytest.raises(ValueError, match=rf"log\.csv: no line of an ESP32 log is readable: .*{message}"):
        captures.read_esp32(tmp_path / "log.csv")


@CAPTURES
@pytest.mark.parametrize(("name", "packets", "dropped"), [
    ("esp32_example_100hz_pitraffic.csv", 833, ((1, "header"), (19, "with 127 values instead of 128"))),
    ("esp32_csitool_empty_03.csv", 162, tuple((line, "blank") for line in range(2, 325, 2))),
    ("esp32_example_csi.csv", 13, ())])
def test_esp32_captures(name, packets, dropped):
    log = captures.read_esp32(MIRROR / "captures" / name)
    assert log.csi.shape == (packets, 64) and log.dropped == dropped and (np.diff(log.t) > 0).all()
    assert (log.rssi < 0).all()


@CAPTURES
def test_an_esp32_capture_equals_its_rows_of_the_mirror():
    log = captures.read_esp32(MIRROR / "captures/esp32_csitool_empty_03.csv")
    with np.load(MIRROR / "datasets/metal_foil_esp32_tiny.npz") as file:
        rows, rssi, clock = (file[key][445:607] for key in ("csi_int8", "rssi_dbm", "local_timestamp_us"))
    np.testing.assert_array_equal(log.csi, rows[:, 1::2] + 1j * rows[:, 0::2])
    np.testing.assert_array_equal(log.rssi, rssi)
    np.testing.assert_allclose(log.t, (clock - clock[0]) * 1e-6, atol=1e-9)


def test_captures_become_a_persons_own_data_as_the_readme_says(tmp_path):
    for k, name in enumerate(("empty", "walking")):
        esp32_file(tmp_path / f"{name}.csv", [esp32_line(NUMBERS, 1000 * j) for j in range(2 + k)])
    logs = [captures.read(tmp_path / name) for name in ("empty.csv", "walking.csv")]
    csi = np.concatenate([log.csi for log in logs])
    number = np.repeat(np.arange(len(logs)), [len(log.t) for log in logs])
    np.savez_compressed(tmp_path / "my.npz", csi=csi, recording=number, activity=np.array(["empty", "walking"])[number])
    ds = datasets.load(tmp_path / "my.npz")
    assert ds.groups == ("recording",) and ds["activity"].tolist() == ["empty"] * 2 + ["walking"] * 3


# ---- Intel 5300 ------------------------------------------------------------------------------------------------

def some_csi(rng, n_rx=3, n_tx=1):
    return rng.integers(-100, 100, (30, n_rx, n_tx)) + 1j * rng.integers(-100, 100, (30, n_rx, n_tx))


@pytest.fixture
def csiread():
    return pytest.importorskip("csiread", reason="csiread is not installed: the optional extra capture")


@pytest.mark.parametrize("n_tx", [1, 2, 3])
@pytest.mark.parametrize("ports", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (1, 0, 2)])
def test_intel_values_come_back_in_the_order_of_the_antennas(tmp_path, csiread, n_tx, ports):
    rng = np.random.default_rng(n_tx)
    sent = [some_csi(rng, n_tx=n_tx) for _ in range(4)]
    (tmp_path / "log.dat").write_bytes(b"".join(
        intel_record(csi, ports, clock=2**32 - 2000 + 1000 * k & 2**32 - 1, noise=-90 - k, agc=40 + k)
        for k, csi in enumerate(sent)))
    log = captures.read_intel5300(tmp_path / "log.dat")
    assert log.csi.dtype == np.complex64 and log.csi.shape == (4, 30, 3, n_tx) and log.dropped == ()
    for chain, port in enumerate(ports):
        np.testing.assert_array_equal(log.csi[:, :, port], np.array(sent)[:, :, chain])
    np.testing.assert_allclose(log.t, [0, 0.001, 0.002, 0.003])
    np.testing.assert_array_equal(log.rssi, [[33, 31, 35]] * 4)
    assert log.noise.tolist() == [-90, -91, -92, -93] and log.agc.tolist() == [40, 41, 42, 43]


@pytest.mark.parametrize("n_tx", [1, 2, 3])
@pytest.mark.parametrize(("noise", "read_as"), [(-127, -92.0), (-88, -88.0)])
def test_intel_scaling_is_that_of_the_paper_and_of_hardware(tmp_path, csiread, n_tx, noise, read_as):
    csi = some_csi(np.random.default_rng(3), n_tx=n_tx)
    (tmp_path / "log.dat").write_bytes(intel_record(csi, (0, 1, 2), noise=noise))
    ours = captures.read_intel5300(tmp_path / "log.dat", scaled=True).csi
    s = 10 ** -4.5927 / (np.abs(csi) ** 2).sum() * 30  # rssi 33, 31, 35 and agc 40 are -45.93 dBm
    expected = csi * np.sqrt(s / (10 ** (read_as / 10) + s * 3 * n_tx)) * {1: 1, 2: 2**0.5, 3: 10**0.225}[n_tx]
    np.testing.assert_allclose(ours[0], expected, rtol=1e-4)
    report = hardware.Report(csi[None].astype(np.complex64), np.array([[33.0, 31, 35]]), np.array([40.0]), None)
    np.testing.assert_allclose(ours, hardware.scaled(report, read_as), rtol=1e-6)


def test_a_port_that_is_not_used_adds_no_power_and_takes_no_column(tmp_path, csiread):
    csi = some_csi(np.random.default_rng(4), n_rx=2)
    (tmp_path / "log.dat").write_bytes(intel_record(csi[:, ::-1], (2, 0, 1), rssi=(1, 0, 1), agc=40))
    ours = captures.read_intel5300(tmp_path / "log.dat", scaled=True)
    assert ours.csi.shape == (1, 30, 2, 1) and ours.rssi.tolist() == [[1, 0, 1]]
    s = 2 * 10 ** (0.1 - 8.4) / (np.abs(csi) ** 2).sum() * 30
    np.testing.assert_allclose(ours.csi[0], csi * np.sqrt(s / (10**-9.2 + s * 2)), rtol=1e-5)


def test_intel_records_of_another_kind_are_left_out_and_said(tmp_path, csiread, capsys):
    rng = np.random.default_rng(5)
    sent = [some_csi(rng, n_tx=2), some_csi(rng, n_tx=1), np.zeros((30, 3, 2), complex), some_csi(rng, n_tx=2)]
    content = b"".join(intel_record(csi, (0, 1, 2), clock=1000 * k) for k, csi in enumerate(sent))
    (tmp_path / "log.dat").write_bytes(content + intel_record(sent[0], (0, 1, 2))[:150])  # cut at the end
    log = captures.read_intel5300(tmp_path / "log.dat", scaled=True)
    assert log.csi.shape == (2, 30, 3, 2) and np.isfinite(log.csi).all()
    np.testing.assert_allclose(log.t, [0, 0.003])
    assert log.dropped == ((1, "with 3 rx x 1 tx, where most have 3 x 2"), (2, "with nothing but zeros"),
                           (4, "with 150 bytes that are no record, or cut short"))
    assert capsys.readouterr().out.startswith("log.dat: 2 packets read, 3 records left out: 1 with 3 rx x 1 tx")


@pytest.mark.parametrize(("change", "why"), [
    ({3 + 8: 7}, "with 215 bytes, which do not fit 7 rx x 1 tx"), ({3 + 9: 0}, "do not fit 3 rx x 0 tx"),
    ({0: 255}, "with 222 bytes that are no record"), ({1: 1}, "with 222 bytes that are no record"),
    ({2: 0}, "with the unknown code 0x00"),
    ({3 + 15: 0b111111}, r"impossible antennas [3, 3, 3]"), ({3 + 15: 0}, "impossible antennas [0, 0, 0]"),
    ({19: 1}, "do not fit 3 rx x 1 tx")])
def test_a_broken_intel_record_costs_only_itself(tmp_path, csiread, change, why):
    """csiread itself ends the process on some of these."""
    good = [intel_record(some_csi(np.random.default_rng(k)), (0, 1, 2), clock=1000 * k) for k in range(3)]
    bad, other = bytearray(good[1]), b"\0\5\xc1abcd"  # no CSI: passed over and not counted
    for place, value in change.items():
        bad[place] = value
    (tmp_path / "log.dat").write_bytes(other + good[0] + bytes(bad) + other + good[2])
    log = captures.read_intel5300(tmp_path / "log.dat")
    [(number, said)] = log.dropped
    assert number == 1 and why in said
    np.testing.assert_array_equal(log.csi[1], some_csi(np.random.default_rng(2)))
    np.testing.assert_allclose(log.t, [0, 0.002])


@pytest.mark.parametrize("content", [b"", b"hello", bytes(500), b"\xff" * 500, (HEADER + "\n").encode() * 20])
def test_a_file_without_intel_records_is_refused_by_name(tmp_path, csiread, content):
    (tmp_path / "log.dat").write_bytes(content)
    with pytest.raises(ValueError, match=r"log\.dat: "):
        captures.read_intel5300(tmp_path / "log.dat")


def test_a_log_of_zeros_is_refused_by_name(tmp_path, csiread):
    (tmp_path / "log.dat").write_bytes(intel_record(np.zeros((30, 3, 1), complex), (0, 1, 2)))
    with pytest.raises(ValueError, match=r"log\.dat: none of its records is readable: 1 with nothing but zeros"):
        captures.read_intel5300(tmp_path / "log.dat")


def test_without_csiread_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "csiread", None)
    with pytest.raises(ImportError, match=r'pip install "csi-paper-notebooks\[capture\]", or pip install csiread'):
        captures.read_intel5300(tmp_path / "log.dat")


@pytest.mark.parametrize("read", [captures.read_esp32, captures.read_intel5300])
def test_a_file_that_is_not_there(tmp_path, read, request):
    if read is captures.read_intel5300:
        request.getfixturevalue("csiread")
    with pytest.raises(FileNotFoundError, match=r"path: there is no file .*nothing\.dat"):
        read(tmp_path / "nothing.dat")


@CAPTURES
@pytest.mark.parametrize(("name", "packets", "n_tx"), [("intel5300_los_40.dat", 1119, 1),
                                                       ("intel5300_sample_0x1_ap.dat", 540, 2)])
def test_intel_captures(name, packets, n_tx, csiread):
    path = MIRROR / "captures" / name
    raw, scaled = captures.read_intel5300(path), captures.read_intel5300(path, scaled=True)
    assert raw.csi.shape == scaled.csi.shape == (packets, 30, 3, n_tx) and raw.dropped == ()
    log = csiread.Intel(str(path), nrxnum=3, ntxnum=n_tx, if_report=False)
    log.read()
    np.testing.assert_array_equal(raw.csi, log.csi)
    np.testing.assert_allclose(scaled.csi, log.get_scaled_csi(), rtol=1e-5)


@CAPTURES
def test_an_intel_log_gives_the_amplitudes_of_the_mirror(csiread):
    """A public recording with all six permutations, two single-stream records and a gap, against a table of others."""
    path = MIRROR / "upstream-samples/crowd/WiFi-CrowdCounting/RoomB/5p"
    if not path.is_file():
        pytest.skip("the mirror holds no such sample")
    log = captures.read_intel5300(path, scaled=True)
    assert [number for number, _ in log.dropped] == [779, 2540]
    amp = np.abs(log.csi @ (np.array([[1, 1], [1, -1]]) / np.sqrt(2)))[:, ::2]  # without the spatial mapping
    with np.load(MIRROR / "datasets/crowd_3rooms_intel5300.npz") as file:
        amp_q, scale, time = (file[key][126569:131826] for key in ("amp_q", "scale", "time_s"))
    error = np.abs(amp - amp_q * scale.astype(float)[:, None, None, None]).max((1, 2, 3)) / amp.max((1, 2, 3))
    assert error.max() < 0.0025
    np.testing.assert_allclose(log.t, time, atol=1e-5)
