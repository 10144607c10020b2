"""Captures of every kind that people bring: made by the tests, or those of the mirror with their known counts."""

import struct
import subprocess
import sys

import numpy as np
import pytest
from capture_files import (
    NEWER,
    NUMBERS,
    SPEC,
    atheros_csi,
    atheros_record,
    espressif,
    feit_record,
    newer,
    nexmon_frame,
    pairs,
    pcap,
    picoscenes_frame,
    some_file,
    tool,
)
from real_data import MIRROR, needs

from csi_utils.files import atheros, captures, esp32, feitcsi, nexmon, packets

CAPTURES = needs("captures")


@pytest.fixture
def csiread():
    return pytest.importorskip("csiread", reason="csiread is not installed: the optional extra capture")


# ---- ESP32 -----------------------------------------------------------------------------------------------------

def plain(line, number):
    return line


def quoted(line, number):
    return '"' + line.replace('"', '""') + '"'


def semicolons(line, number):
    head, bracket, body = line.replace('"', "").partition("[")
    return head.replace("80.36", "80,36").replace(",", ";").replace("80;36", "80,36") + bracket + body


def monitored(line, number):
    return f"I ({number}) csi: {line}"


def coloured(line, number):
    return f"\x1b[0;32mI ({number}) csi: {line}\x1b[0m"


def stamped(line, number):
    return f"2026-01-01 10:00:{number:02d} {line}"


def one_column(line, number):
    return quoted(line, number) + ";;;"


CODES = {"utf-8": b"", "utf-8 with a mark": b"\xef\xbb\xbf", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}


@pytest.mark.parametrize("code", [*CODES, "utf-16 without a mark"])
@pytest.mark.parametrize("dress", [plain, quoted, semicolons, monitored, coloured, stamped, one_column])
@pytest.mark.parametrize("line", [tool, espressif])
def test_a_log_is_read_in_every_dress(tmp_path, code, dress, line):
    n = 128 if line is tool else 384
    text = "".join(dress(line([*NUMBERS[k:], *NUMBERS][:n], clock=1000 * k), k) + "\r\n" for k in range(4))
    if code == "utf-16 without a mark":
        content = text.encode("utf-16-le")
    else:
        content = CODES[code] + text.encode(code.split()[0])
    (tmp_path / "log.csv").write_bytes(content)
    log = captures.read_esp32(tmp_path / "log.csv")
    assert log.csi.shape == (4, n // 2) and log.dropped == ()
    for k in range(4):
        np.testing.assert_array_equal(log.csi[k].imag, [*NUMBERS[k:], *NUMBERS][:n][0::2])
        np.testing.assert_array_equal(log.csi[k].real, [*NUMBERS[k:], *NUMBERS][:n][1::2])
    np.testing.assert_allclose(log.t, np.arange(4) * 1e-3)


LOW, HIGH = np.r_[0:32, -32:0], np.r_[0:64, -64:0]
TABLE = [  # mode, wide, stbc, second, values, {field: indices}: the table of ESP-IDF's guide
    (0, 0, 0, 0, 128, {"LLTF": LOW}), (1, 0, 0, 0, 256, {"LLTF": LOW, "HT-LTF": LOW}),
    (1, 0, 1, 0, 384, {"LLTF": LOW, "HT-LTF": LOW, "STBC-HT-LTF": LOW}),
    (0, 0, 0, 2, 128, {"LLTF": np.r_[0:64]}), (1, 0, 0, 2, 256, {"LLTF": np.r_[0:64], "HT-LTF": np.r_[0:64]}),
    (1, 0, 1, 2, 380, {"LLTF": np.r_[0:64], "HT-LTF": np.r_[0:63], "STBC-HT-LTF": np.r_[0:63]}),
    (1, 1, 0, 2, 384, {"LLTF": np.r_[0:64], "HT-LTF": HIGH}),
    (1, 1, 1, 2, 612, {"LLTF": np.r_[0:64], "HT-LTF": np.r_[0:61, -60:0], "STBC-HT-LTF": np.r_[0:61, -60:0]}),
    (0, 0, 0, 1, 128, {"LLTF": np.r_[-64:0]}), (1, 0, 0, 1, 256, {"LLTF": np.r_[-64:0], "HT-LTF": np.r_[-64:0]}),
    (1, 0, 1, 1, 376, {"LLTF": np.r_[-64:0], "HT-LTF": np.r_[-62:0], "STBC-HT-LTF": np.r_[-62:0]}),
    (1, 1, 0, 1, 384, {"LLTF": np.r_[-64:0], "HT-LTF": HIGH}),
    (1, 1, 0, 1, 128, {"LLTF": np.r_[-64:0]}), (1, 1, 0, 1, 256, {"HT-LTF": HIGH})]  # one field switched off


@pytest.mark.parametrize("row", TABLE, ids=[f"{row[:5]}" for row in TABLE])
@pytest.mark.parametrize("line", [tool, espressif])
def test_fields_and_subcarriers_are_those_of_the_guide(tmp_path, line, row):
    mode, wide, stbc, second, n, expected = row
    text = [line(NUMBERS[:n], clock=1000 * k, mode=mode, wide=wide, stbc=stbc, second=second) for k in range(2)]
    (tmp_path / "log.csv").write_text("\n".join(text))
    log = captures.read_esp32(tmp_path / "log.csv")
    assert list(dict.fromkeys(log.field.tolist())) == list(expected)
    np.testing.assert_array_equal(log.subcarrier_index, np.concatenate(list(expected.values())))
    used = {name: log.subcarrier_index[(log.field == name) & ~log.null] for name in expected}
    middle = {0: 0, 1: -32, 2: 32}[second]
    if "LLTF" in used:
        assert np.abs(used["LLTF"] - middle).max() <= 26 and middle not in used["LLTF"]
    if "HT-LTF" in used:
        assert np.abs(used["HT-LTF"]).max() == (58 if wide else 28 if not second else 60)


def test_the_field_is_chosen_by_name_and_ascending(tmp_path):
    (tmp_path / "log.csv").write_text("\n".join(espressif(NUMBERS[:384], clock=1000 * k) for k in range(3)))
    wide = captures.read(tmp_path / "log.csv")
    assert wide.csi.shape == (3, 128, 1, 1) and wide.bandwidth == 4e7 and "HT-LTF of the fields" in wide.remark
    assert (np.diff(wide.subcarrier_index) == 1).all() and wide.subcarrier_index[0] == -64
    at = np.flatnonzero(wide.subcarrier_index == 5)[0]
    assert wide.csi[0, at, 0, 0] == NUMBERS[2 * 69 + 1] + 1j * NUMBERS[2 * 69]  # 64 of LLTF, then 0..5
    assert wide.fc == 2452e6  # channel 11 with the second one below it
    narrow = captures.read(tmp_path / "log.csv", field="LLTF")
    assert narrow.csi.shape == (3, 64, 1, 1) and narrow.subcarrier_index.tolist() == list(range(64))
    with pytest.raises(ValueError, match="field: got 'STBC-HT-LTF', but its lines hold LLTF and HT-LTF"):
        captures.read(tmp_path / "log.csv", field="STBC-HT-LTF")


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize(("n", "field", "tones", "used"), [
    (106, "LLTF", 53, 52), (114, "HT-LTF", 57, 56), (228, "HT-LTF", 57, 56), (234, "HT-LTF", 117, 114),
    (468, "HT-LTF", 117, 114), (490, "HE-LTF", 245, 242), (128, "LLTF", 64, 52), (384, "HT-LTF", 128, 114)])
def test_newer_chips_by_header_or_number_of_fields(tmp_path, header, n, field, tones, used):
    lines = [NEWER] * header + [newer(NUMBERS[:n], clock=1000 * k, agc=36 + k) for k in range(3)]
    (tmp_path / "log.csv").write_text("\n".join(lines))
    log = captures.read(tmp_path / "log.csv")
    assert log.csi.shape == (3, tones, 1, 1) and (~log.null).sum() == used
    assert log.gain.tolist() == [41, 42, 43]  # the amplifier, and a quarter of a dB for each step of the transform's
    assert [why for _, why in log.dropped] == ["header"] * header
    assert set(captures.read_esp32(tmp_path / "log.csv").field) >= {field}


def test_other_columns_of_a_header_are_found_by_name(tmp_path):
    numbers = ",".join(map(str, NUMBERS[:128]))
    (tmp_path / "log.csv").write_text(f"type,seq,rssi,local_timestamp,extra,channel,data\nCSI_DATA,1,-40,55,9,6,"
                                      f'"[{numbers}]"')
    log = captures.read_esp32(tmp_path / "log.csv")
    assert log.csi.shape == (1, 64) and log.rssi[0] == -40


def test_zeros_show_an_ascending_order(tmp_path):
    values = np.array(NUMBERS[:128]).reshape(64, 2) + 60
    values[esp32.unused("LLTF", np.arange(-32, 32))] = 0
    (tmp_path / "log.csv").write_text("\n".join(tool(values.ravel().tolist(), clock=k) for k in range(3)))
    assert captures.read_esp32(tmp_path / "log.csv").subcarrier_index.tolist() == list(range(-32, 32))


def test_lines_of_another_layout_are_left_out_and_said(tmp_path, capsys):
    lines = [espressif(NUMBERS[:384], clock=k) for k in range(3)] + [espressif(NUMBERS[:128], clock=9, mode=0)]
    lines += [espressif(NUMBERS[:384], clock=7, second=1), tool(NUMBERS[:127]), espressif(NUMBERS[:52], clock=8)]
    (tmp_path / "log.csv").write_text("\n".join(lines))
    log = captures.read_esp32(tmp_path / "log.csv")
    assert log.csi.shape == (3, 192)
    assert [why for _, why in log.dropped] == [
        "with 128 values instead of 384",
        "with LLTF -64..-1 + HT-LTF -64..63, where most have LLTF 0..63 + HT-LTF -64..63",
        "with 127 values instead of 384", "with 52 values instead of 384"]
    assert "4 lines left out" in capsys.readouterr().out


def test_several_senders_are_said(tmp_path):
    lines = [tool(NUMBERS[:128], clock=k).replace("00:00:00:00:00:00", f"00:00:00:00:00:0{k % 2}") for k in range(4)]
    (tmp_path / "log.csv").write_text("\n".join(lines))
    assert captures.read(tmp_path / "log.csv").remark == "packets of 2 senders, each over its own channel"


def test_a_long_file_without_a_readable_line_is_given_up(tmp_path):
    (tmp_path / "log.csv").write_text("CSI_DATA, and then nothing\n" * (2 * esp32.PATIENCE))
    with pytest.raises(ValueError, match=f"{esp32.PATIENCE} without CSI_DATA"):
        captures.read_esp32(tmp_path / "log.csv")


@CAPTURES
@pytest.mark.parametrize(("name", "packets_", "edges"), [
    ("esp32_example_100hz_pitraffic.csv", 833, (-32, 31)), ("esp32_csitool_empty_03.csv", 162, (0, 63)),
    ("esp32_example_csi.csv", 13, (-64, -1))])
def test_subcarriers_of_esp32_captures_have_their_zeros_where_the_guide_says(name, packets_, edges):
    log = captures.read(MIRROR / "captures" / name)
    assert log.csi.shape == (packets_, 64, 1, 1) and (log.subcarrier_index[0], log.subcarrier_index[-1]) == edges
    amplitude = np.abs(log.csi[:, :, 0, 0]).mean(0)
    assert amplitude[~log.null].min() > 0.4 * np.median(amplitude[~log.null])
    assert np.median(amplitude[log.null]) == 0


# ---- nexmon ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("nano", [False, True])
@pytest.mark.parametrize("tones", SPEC)
@pytest.mark.parametrize("chip", [0x65, 0x01])
def test_nexmon_chips_with_whole_numbers(tmp_path, order, nano, tones, chip):
    rng = np.random.default_rng(0)
    sent = [pairs(rng, tones) for _ in range(3)]
    (tmp_path / "a.pcap").write_bytes(pcap([nexmon_frame(values.view("<u4"), tones, chip, seq=k)
                                            for k, values in enumerate(sent)], order, nano))
    got = captures.read(tmp_path / "a.pcap")
    assert got.kind == "nexmon" and got.csi.shape == (3, tones, 1, 1) and got.bandwidth == tones * 312500
    assert got.subcarrier_index.tolist() == list(range(-tones // 2, tones // 2))
    for k, values in enumerate(sent):
        np.testing.assert_array_equal(np.fft.ifftshift(got.csi[k, :, 0, 0]), values[:, 0] + 1j * values[:, 1])
    np.testing.assert_allclose(got.t, [0, 0.001, 0.002])
    assert got.rssi.tolist() == [-60] * 3 and got.null[tones // 2] and got.null[0]
    assert (~got.null).sum() == {64: 56, 128: 114, 256: 242, 512: 484}[tones]


@pytest.mark.parametrize(("chip", "mantissa", "exponent", "name"), [(0x03, 9, 5, "4358"), (0x6A, 12, 6, "4366c0")])
@pytest.mark.parametrize("tones", [64, 256])
def test_nexmon_floating_point_is_that_of_csiread_but_for_its_scale(tmp_path, csiread, chip, mantissa, exponent, name,
                                                                   tones):
    rng = np.random.default_rng(1)
    # Exponents near each other: csiread cuts off what is small beside the largest value of a frame.
    words = rng.integers(0, 1 << 2 * mantissa, (4, tones)) << exponent | rng.integers(0, 3, (4, tones))
    frames = [nexmon_frame(line.astype(np.uint32), tones, chip, seq=k) for k, line in enumerate(words)]
    (tmp_path / "a.pcap").write_bytes(pcap(frames))
    theirs = csiread.Nexmon(str(tmp_path / "a.pcap"), name, tones * 5 // 16, if_report=False)
    theirs.read()
    ours = np.fft.ifftshift(captures.read(tmp_path / "a.pcap").csi[:, :, 0, 0], axes=1)
    for mine, other in zip(ours, theirs.csi, strict=True):
        step = 2.0 ** np.round(np.log2(np.abs(mine).max() / np.abs(other).max()))
        np.testing.assert_allclose(mine.real / step, other.real, atol=1)
        np.testing.assert_allclose(mine.imag / step, other.imag, atol=1)


def test_nexmon_frames_of_other_lengths_and_other_protocols(tmp_path):
    rng = np.random.default_rng(2)
    good = [nexmon_frame(pairs(rng, 64).view("<u4"), 64, seq=k, more=bytes(4 * (k == 2))) for k in range(4)]
    other = [bytes(30), bytes(200), nexmon_frame(pairs(rng, 256).view("<u4"), 256), good[0][:150],
             nexmon_frame(pairs(rng, 64).view("<u4"), 64, chip=0x99),
             nexmon_frame(pairs(rng, 64).view("<u4"), 64, spec=0)]
    (tmp_path / "a.pcap").write_bytes(pcap([*good[:1], *other, *good[1:], good[0]], cut=10))
    got = captures.read(tmp_path / "a.pcap")
    assert got.csi.shape == (4, 64, 1, 1) and got.remark.startswith("1 frames longer than their values")
    assert [why for _, why in got.dropped] == [
        "of another protocol", "of another protocol",
        "with 256 subcarriers of chip 0x0065, where most have 64 of 0x0065",
        "with 22 values instead of 64", "of the unknown chip 0x0099", "with the unknown bandwidth 0x0000",
        "cut short: 316 bytes announced, 306 left"]


def test_nexmon_cores_and_streams_are_antennas_of_one_packet(tmp_path):
    rng = np.random.default_rng(3)
    sent = {(k, core, stream): pairs(rng, 64) for k in range(3) for core in range(2) for stream in range(2)}
    frames = [nexmon_frame(values.view("<u4"), 64, seq=k, core=core, stream=stream)
              for (k, core, stream), values in sent.items()]
    del frames[5]  # of the second packet
    (tmp_path / "a.pcap").write_bytes(pcap(frames))
    got = captures.read(tmp_path / "a.pcap")
    assert got.csi.shape == (2, 64, 2, 2)
    assert [why for _, why in got.dropped] == ["of a packet without all of 2 cores x 2 streams"] * 3
    values = sent[2, 1, 0]
    np.testing.assert_array_equal(np.fft.ifftshift(got.csi[1, :, 1, 0]), values[:, 0] + 1j * values[:, 1])


@CAPTURES
@pytest.mark.parametrize(("name", "frames", "tones", "chip"), [
    ("nexmon_43455c0.pcap", 566, 256, "43455c0"), ("nexmon_4366c0.pcap", 293, 256, "4366c0"),
    ("nexmon_csu_test_204_1_100.pcap", 100, 64, "43455c0")])
def test_nexmon_captures(name, frames, tones, chip, csiread):
    path = MIRROR / "captures" / name
    got = captures.read(path)
    assert got.csi.shape == (frames, tones, 1, 1) and got.dropped == ()
    assert got.remark == ("18 frames longer than their values; the rest was passed over" if frames == 566 else "")
    log = csiread.Nexmon(str(path), chip, tones * 5 // 16, if_report=False)
    log.read()
    ours = np.fft.ifftshift(got.csi[..., 0, 0], axes=1)
    if chip == "43455c0":
        np.testing.assert_array_equal(ours, log.csi)
    else:  # the same, but for the scale of a frame and what csiread cuts off
        for mine, other in zip(ours, log.csi, strict=True):
            step = 2.0 ** np.round(np.log2(np.abs(mine).max() / np.abs(other).max()))
            np.testing.assert_allclose(mine.real / step, other.real, atol=1)


@CAPTURES
def test_nexmon_captures_equal_the_converter_of_the_data_set():
    from csi_utils.files import converters

    content = (MIRROR / "captures/nexmon_csu_test_204_1_100.pcap").read_bytes()
    iq, t = converters.read_nexmon(content)
    got = captures.read(MIRROR / "captures/nexmon_csu_test_204_1_100.pcap")
    np.testing.assert_array_equal(np.fft.ifftshift(got.csi[..., 0, 0], axes=1), iq[..., 0] + 1j * iq[..., 1])
    np.testing.assert_allclose(got.t, t)


# ---- Atheros ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("tones", "n_rx", "n_tx"), [(56, 3, 2), (56, 1, 1), (114, 2, 2), (114, 3, 1)])
def test_atheros_values_come_back(tmp_path, csiread, order, tones, n_rx, n_tx, monkeypatch):
    monkeypatch.setattr(atheros, "_AT_ONCE", 2)
    rng = np.random.default_rng(4)
    sent = [atheros_csi(rng, tones, n_rx, n_tx) for _ in range(5)]
    # A payload beyond csiread's buffer of 4096 bytes ends the process when csiread is given it.
    (tmp_path / "a.dat").write_bytes(b"\xff" * (order == ">") + b"".join(
        atheros_record(csi, 1000 * k, order, payload=[0, 1040, 9000, 3, 0][k]) for k, csi in enumerate(sent)))
    got = captures.read(tmp_path / "a.dat")
    assert got.kind == "atheros" and got.dropped == () and got.fc == 2437e6
    np.testing.assert_array_equal(got.csi, np.array(sent))
    np.testing.assert_allclose(got.t, np.arange(5) * 1e-3)
    assert len(got.subcarrier_index) == tones and 0 not in got.subcarrier_index and got.rssi.tolist() == [-43] * 5


def test_broken_atheros_records_cost_only_themselves(tmp_path, csiread):
    rng = np.random.default_rng(5)
    good = [atheros_record(atheros_csi(rng), 1000 * k) for k in range(4)]
    wrong = atheros_record(atheros_csi(rng), tones=57)
    empty = struct.pack("<H", 25) + bytes(25)
    (tmp_path / "a.dat").write_bytes(good[0] + wrong + good[1] + empty + atheros_record(atheros_csi(rng, 114, 1, 1))
                                     + good[2] + good[3][:300])
    got = captures.read(tmp_path / "a.dat")
    assert got.csi.shape == (3, 56, 3, 2)
    assert [why for _, why in got.dropped] == ["with 3 rx x 2 tx x 57 tones", "without CSI",
                                               "with 1 rx x 1 tx x 114, where most have 3 x 2 x 56",
                                               f"cut short: {len(good[3]) - 2} bytes announced, 298 left"]


@CAPTURES
def test_the_atheros_capture(csiread):
    path = MIRROR / "captures/atheros_ath_csi_1.dat"
    got = captures.read(path)
    assert got.csi.shape == (401, 56, 3, 2) and got.dropped == ()
    log = csiread.Atheros(str(path), nrxnum=3, ntxnum=2, if_report=False)
    log.read()
    np.testing.assert_array_equal(got.csi, log.csi)
    assert (np.diff(got.t) > 0).all()


# ---- PicoScenes ------------------------------------------------------------------------------------------------

def test_picoscenes_frames_of_an_ax200_come_back(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "csiread", None)  # needs none
    rng = np.random.default_rng(8)
    sent = [rng.integers(-99, 99, (56, 2, 1)) + 1j * rng.integers(-99, 99, (56, 2, 1)) for _ in range(4)]
    (tmp_path / "a.csi").write_bytes(b"".join(picoscenes_frame(csi, 2**32 - 1500 + 1000 * k & 2**32 - 1)
                                              for k, csi in enumerate(sent)))
    got = captures.read(tmp_path / "a.csi")
    np.testing.assert_array_equal(got.csi, sent)
    np.testing.assert_allclose(got.t, np.arange(4) * 1e-3)


@CAPTURES
def test_picoscenes_of_an_intel_5300(csiread):
    got = captures.read(MIRROR / "captures/picoscenes_iwl5300_example.csi")
    assert got.csi.shape == (99, 30, 2, 1) and len(got.dropped) == 13  # 112 frames in all
    assert {why for _, why in got.dropped} == {
        "with 2 rx x 2 tx x 30 at 20 MHz, where most have 2 x 1 x 30 at 20 MHz",
        "with 1 rx x 1 tx x 30 at 20 MHz, where most have 2 x 1 x 30 at 20 MHz"}
    assert (np.diff(got.t) >= 0).all() and got.gain.tolist() == [63] * 99 and got.fc == 2437e6
    log = csiread.Picoscenes(str(MIRROR / "captures/picoscenes_iwl5300_example.csi"), {"CSI": [30, 2, 2]},
                             if_report=False)
    log.read()
    one = log.raw["CSI"]["Info"]["NumRx"] + log.raw["CSI"]["Info"]["NumTx"] == 3
    np.testing.assert_array_equal(got.csi, log.raw["CSI"]["CSI"][one][..., :1][:len(got.csi)])


@CAPTURES
def test_picoscenes_of_an_ax200_has_its_weak_pilots_where_the_standard_says():
    got = captures.read(MIRROR / "captures/picoscenes_ax200_example.csi")
    assert got.csi.shape == (778, 56, 2, 1) and len(got.dropped) == 107  # 885 frames in all
    assert {why for _, why in got.dropped} == {"with 2 rx x 1 tx x 52 tones at 20 MHz"}
    assert got.subcarrier_index[got.null].tolist() == [-21, -7, 7, 21] and (np.diff(got.t) > 0).all()
    amplitude = np.abs(got.csi).mean((0, 3))
    for rx in range(2):
        assert (amplitude[got.null, rx] < 0.6 * np.median(amplitude[:, rx])).all()
        assert np.abs(np.diff(amplitude[~got.null, rx])).max() < 0.1 * np.median(amplitude[:, rx])  # no jump elsewhere


@CAPTURES
def test_picoscenes_of_an_intel_5300_has_the_subcarriers_of_its_own_tool(csiread):
    index = [captures.read(MIRROR / "captures" / name).subcarrier_index.tolist()
             for name in ("picoscenes_iwl5300_example.csi", "intel5300_los_40.dat")]
    assert index[0] == index[1]


@CAPTURES
def test_a_process_that_dies_is_an_error_with_the_name_of_the_file(tmp_path, monkeypatch, csiread):
    path = MIRROR / "captures/picoscenes_iwl5300_example.csi"
    die = tmp_path / "die.py"
    die.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **rest: run([sys.executable, str(die)], **rest))
    with pytest.raises(ValueError, match=r"picoscenes_iwl5300_example\.csi: csiread could not read it: signal 11"):
        captures.read(path)


@CAPTURES
def test_a_broken_picoscenes_frame_costs_only_itself(tmp_path, csiread):
    content = bytearray((MIRROR / "captures/picoscenes_iwl5300_example.csi").read_bytes())
    content[1984 + 4:1984 + 8] = bytes(4)  # the third frame loses its mark
    (tmp_path / "a.csi").write_bytes(bytes(content[:-50]))
    got = captures.read(tmp_path / "a.csi")
    assert len(got.csi) + len(got.dropped) == 112
    whys = " ".join(why for _, why in got.dropped)
    assert "of bytes that are no frame" in whys and "cut short" in whys


# ---- FeitCSI ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("style", "width", "tones", "pilots"), [
    (1, 0, 52, 4), (2, 0, 56, 4), (3, 0, 56, 4), (2, 1, 114, 6), (3, 2, 242, 8), (3, 3, 484, 16), (4, 0, 242, 8),
    (4, 1, 484, 16), (4, 2, 996, 16), (4, 3, 1992, 32)])
@pytest.mark.parametrize("us", [0, 1_700_000_000_000_000])
def test_feitcsi_by_its_documented_header(tmp_path, style, width, tones, pilots, us):
    rng = np.random.default_rng(6)
    sent = rng.integers(-999, 999, (3, tones, 2, 1)) + 1j * rng.integers(-999, 999, (3, tones, 2, 1))
    (tmp_path / "a.csi").write_bytes(b"".join(feit_record(
        csi, (2**32 - 100 + 320_000 * k) % 2**32, us and us + 1000 * k, style, width) for k, csi in enumerate(sent)))
    got = captures.read(tmp_path / "a.csi")
    np.testing.assert_array_equal(got.csi, sent)
    np.testing.assert_allclose(got.t, [0, 0.001, 0.002], atol=1e-9)
    assert got.bandwidth == 2e7 * 2**width and got.rssi.tolist() == [-48] * 3
    assert got.null.sum() == pilots and (np.diff(got.subcarrier_index) > 0).all() and 0 not in got.subcarrier_index
    assert (got.subcarrier_index == -got.subcarrier_index[::-1]).all() and (got.null == got.null[::-1]).all()


def test_feitcsi_of_mixed_kinds_and_a_number_of_tones_that_fits_no_table(tmp_path):
    csi = np.ones((50, 1, 1))
    records = [feit_record(csi, k) for k in range(3)] + [feit_record(np.ones((56, 1, 1)), 9, style=2, width=0)]
    (tmp_path / "a.csi").write_bytes(b"".join(records) + records[0][:200])
    got = captures.read(tmp_path / "a.csi")
    assert got.csi.shape == (3, 50, 1, 1) and got.subcarrier_index is None
    assert got.remark == "50 subcarriers fit no table of 80 MHz"
    assert [why for _, why in got.dropped] == ["with 1 rx x 1 tx x 56 tones at 20 MHz", "cut short: 200 bytes left"]


@CAPTURES
@pytest.mark.parametrize(("name", "records", "width"), [("feitcsi_VHT80_5500.csi", 40, 8e7),
                                                        ("feitcsi_HESU20_5500.csi", 28, 2e7)])
def test_feitcsi_captures_have_their_weak_pilots_where_the_standard_says(name, records, width):
    got = captures.read(MIRROR / "captures" / name)
    assert got.csi.shape == (records, 242, 2, 1) and got.dropped == () and got.bandwidth == width
    amplitude = np.abs(got.csi).mean((0, 2, 3))
    assert amplitude[got.null].max() < 0.1 * amplitude[~got.null].min()
    assert (np.diff(got.t) > 0).all() and 1 < got.t[-1] < 10


# ---- Which file is which ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", packets.READABLE)
@pytest.mark.parametrize("reader", packets.READABLE)
def test_a_file_given_to_the_reader_of_another_is_named(tmp_path, kind, reader, csiread):
    (tmp_path / "a.bin").write_bytes(some_file(kind))
    assert packets.kind_of(tmp_path / "a.bin") == kind
    read = getattr(captures, f"read_{reader}")
    if kind != reader:
        with pytest.raises(ValueError, match=rf"a\.bin: this looks like .*, which read_{kind} reads; expected"):
            read(tmp_path / "a.bin")
    else:
        assert len(read(tmp_path / "a.bin").csi) == 1


@CAPTURES
def test_every_capture_of_the_mirror_is_recognized():
    for path in (MIRROR / "captures").iterdir():
        if path.suffix != ".md":
            assert packets.kind_of(path) == path.name.split("_")[0]


@pytest.mark.parametrize(("content", "message"), [
    (b"", "an empty file"), (b"\x0a\x0d\x0d\x0a" + bytes(40), "a pcapng file: write it as pcap first"),
    (b"PK\x03\x04" + bytes(40), "an .npz"), (b"\x89HDF\r\n\x1a\n", "an HDF5 file"), (b"MATLAB 5.0", "a MATLAB file"),
    (b"\x1f\x8b\x08" + bytes(9), "unpack it first"), (pcap([bytes(100)]), "a pcap without nexmon frames"),
    (b"hello, is anybody there?", "not recognized by its first bytes, b'hello, is anybod'"),
    (bytes(300), "not recognized by its first bytes"), (b"\xff" * 300, "not recognized by its first bytes")])
def test_other_files_are_named_too(tmp_path, content, message):
    (tmp_path / "a.bin").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.bin: .*{message}.*Expected one of: a log of an ESP32"):
        captures.read(tmp_path / "a.bin")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        captures.read(tmp_path / "b.bin")


def test_the_readers_say_without_csiread_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "csiread", None)
    (tmp_path / "a.dat").write_bytes(some_file("atheros"))
    with pytest.raises(ModuleNotFoundError, match=r'an Atheros log is read by csiread.*pip install "csi-paper-noteb'):
        captures.read(tmp_path / "a.dat")
    (tmp_path / "a.pcap").write_bytes(some_file("nexmon"))
    assert len(captures.read(tmp_path / "a.pcap").csi) == 1
    assert feitcsi.TICK * 320e6 == 1 and nexmon.unpack_float([0], 9, 5)[0] == 0
