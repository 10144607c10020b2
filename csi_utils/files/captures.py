"""Raw capture files of WiFi receivers -> arrays.

`read` recognizes a file by its first bytes and gives its `Packets`, whatever the receiver; `read_intel5300` and
`read_esp32` give what is particular to these two. Packed formats are unpacked by csiread, an optional extra. What
cannot be read is left out, counted and said, and does not take the rest of the file with it.
"""

import os
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from csi_utils.files import atheros, esp32, feitcsi, nexmon, picoscenes
from csi_utils.files.packets import OTHER, READABLE, Packets, existing, kind_of, no_csiread, reasons, said, seconds
from csi_utils.sim import hardware

_INTEL_CODE, _OTHER_CODE = 0xBB, 0xC1  # CSI; the frame itself, which a changed tool logs too
_AT_ONCE = 2000  # records that csiread unpacks at a time: it keeps 3 x 3 antennas in double precision
# Subcarriers of the 30 groups, by the tool's own FAQ: 20 MHz, 40 MHz.
_INTEL_INDEX = {20: np.r_[-28:-1:2, -1, 1:28:2, 28], 40: np.arange(-58, 59, 4)}
_HT40 = 0x800  # in the rate of a record


@dataclass(frozen=True)
class Intel5300:
    """csi: complex64 (packet, subcarrier, rx, tx), whole counts of the receiver, or sqrt(SNR) where it was scaled;
    t: (packet,) s from the first packet; rssi: (packet, 3) dB over the AGC's reference at the ports A, B, C, 0 where
    a port is not used; agc: (packet,) dB; noise: (packet,) dBm, -127 where it was not measured; dropped: tuple of
    (record number from 0, why); rate: (packet,) as the tool gives it."""

    csi: np.ndarray
    t: np.ndarray
    rssi: np.ndarray
    agc: np.ndarray
    noise: np.ndarray
    dropped: tuple
    rate: np.ndarray


@dataclass(frozen=True)
class ESP32:
    """csi: complex64 (packet, subcarrier), whole counts, in the order of the file, 64 subcarriers in most logs; t:
    (packet,) s from the first packet; rssi: (packet,) dBm; dropped: tuple of (line number from 1, why). Of each
    subcarrier: its signed index; its training field, LLTF, HT-LTF, STBC-HT-LTF or HE-LTF; whether it is null, which
    is unused by the standard or reported as invalid. gain: (packet,) dB, where the log has it, else None."""

    csi: np.ndarray
    t: np.ndarray
    rssi: np.ndarray
    dropped: tuple
    subcarrier_index: np.ndarray
    field: np.ndarray
    null: np.ndarray
    gain: np.ndarray | None
    channel: int | None
    secondary: int
    senders: int


def read_intel5300(path, scaled=False) -> Intel5300:
    """A log of the Linux 802.11n CSI tool, e.g. made by its log_to_file.

    scaled: give csi in units of sqrt(SNR), as hardware.scaled does, with the noise field of each packet (-92 dBm
    where it reads -127). The receive antennas are put back in the order of the ports A, B, C; the spatial mapping
    of two or three streams is not removed. Where records differ in their number of antennas or streams, the
    commonest kind is kept; the others and the broken ones are in `dropped`, and one printed sentence says how many.
    The clock of a card may step back, and so may t.
    Raises ModuleNotFoundError without csiread, FileNotFoundError, and ValueError naming the file when it holds no
    record.
    """
    log, dropped = _intel(path, scaled)
    print(said(Path(path), len(log.csi), dropped, "record"))
    return log


def _intel(path, scaled):
    try:
        import csiread
    except ModuleNotFoundError as problem:
        raise no_csiread("an Intel 5300 log") from problem
    path = existing(path, "intel5300")
    records, why = _intel_records(path.read_bytes())
    if not records:
        raise ValueError(f"{path}: no record of the Linux 802.11n CSI tool in its {path.stat().st_size} bytes"
                         + (f": {reasons(sorted(why.items()), 'record')}" if why else ""))
    # csiread trusts a file, and a broken one can end the process: it is given the sound records of one kind only.
    n_rx, n_tx = common = Counter(kind for kind, _ in records.values()).most_common(1)[0][0]
    why |= {number: f"with {kind[0]} rx x {kind[1]} tx, where most have {n_rx} x {n_tx}"
            for number, (kind, _) in records.items() if kind != common}
    numbers = np.array([number for number, (kind, _) in records.items() if kind == common])
    csi, facts = np.empty((len(numbers), 30, n_rx, n_tx), np.complex64), []
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound.dat"
        for start in range(0, len(numbers), _AT_ONCE):
            part = numbers[start:start + _AT_ONCE]
            sound.write_bytes(b"".join(records[number][1] for number in part.tolist()))
            log = csiread.Intel(os.fspath(sound), nrxnum=3, ntxnum=3, if_report=False)
            log.read()
            # csiread puts chain i at antenna perm[i]. With fewer than three chains the used antennas are kept.
            used = np.sort(log.perm[:, :n_rx], axis=1)
            csi[start:start + len(part)] = np.take_along_axis(log.csi[..., :n_tx], used[:, None, :, None], axis=2)
            facts.append(np.stack([log.timestamp_low, log.rssi_a, log.rssi_b, log.rssi_c, log.agc, log.noise,
                                   log.rate]))
    del records
    keep = csi.any((1, 2, 3))
    why |= {number: "with nothing but zeros" for number in numbers[~keep].tolist()}
    if not keep.any():
        raise ValueError(f"{path}: none of its records is readable: {reasons(sorted(why.items()), 'record')}")
    csi = csi if keep.all() else csi[keep]
    clock, *rssi, agc, noise, rate = np.concatenate(facts, axis=1)[:, keep]
    rssi, agc, noise = np.stack(rssi, axis=1).astype(float), agc.astype(float), noise.astype(float)
    if scaled:
        # A port that is not used reads 0 dB, and must add no power.
        report = hardware.Report(csi, np.where(rssi == 0, -np.inf, rssi), agc, np.zeros(len(csi), bool))
        csi = hardware.scaled(report, np.where(noise == -127, hardware.NOISE_FLOOR_DBM, noise))
    dropped = tuple(sorted(why.items()))
    return Intel5300(csi, seconds(clock), rssi, agc, noise, dropped, rate), dropped


def _intel_records(content):
    """The records of a log: ({number: ((rx, tx), bytes)} of the sound ones, {number: why} of the others).

    A record is its length (2 bytes, big-endian, of all that follows), the code 0xbb, 20 bytes of header and the
    packed values. Records of code 0xc1 (no CSI) are passed over and not counted. Where a length is wrong, the next
    sound record is looked for, and what lies between counts as one.
    """
    sound, why, start, number = {}, {}, 0, 0
    while start + 3 <= len(content):
        end, code = start + 2 + int.from_bytes(content[start:start + 2], "big"), content[start + 2]
        kind, problem = _intel_kind(content[start:end])
        in_step = end == len(content) or content[end + 2:end + 3] in (b"\xbb", b"\xc1")
        if kind:
            sound[number] = kind, content[start:end]
        elif not in_step:
            end = start
            while (end := content.find(b"\xbb", end + 3) - 2) > 0:
                if _intel_kind(content[end:end + 2 + int.from_bytes(content[end:end + 2], "big")])[0]:
                    break
            end = end if end > 0 else len(content)
            why[number] = f"with {end - start} bytes that are no record, or cut short"
        elif code != _OTHER_CODE:
            why[number] = problem if code == _INTEL_CODE else f"with the unknown code {code:#04x}"
        number += bool(kind) or number in why
        start = end
    return sound, why


def _intel_kind(record):
    """((rx, tx), None) of a sound record with its length and code, else (None, why not)."""
    if len(record) < 23 or record[2] != _INTEL_CODE or int.from_bytes(record[:2], "big") != len(record) - 2:
        return None, "cut short"
    n_rx, n_tx, selection = record[11], record[12], record[18]
    size = (30 * (16 * n_rx * n_tx + 3) + 7) // 8
    if not (1 <= n_rx <= 3 and 1 <= n_tx <= 3 and len(record) == 23 + size
            and int.from_bytes(record[19:21], "little") == size):
        return None, f"with {len(record)} bytes, which do not fit {n_rx} rx x {n_tx} tx"
    chains = [selection >> 2 * chain & 3 for chain in range(n_rx)]
    if len(set(chains)) < n_rx or 3 in chains:
        return None, f"with impossible antennas {chains}"
    return (n_rx, n_tx), None


def read_esp32(path) -> ESP32:
    """A log of the ESP32-CSI-Tool or of Espressif's esp-csi: lines CSI_DATA,...,[numbers], pairs (imaginary, real).

    The text may be in UTF-8, UTF-16 or Latin-1, with a monitor's prefixes and colours, or come out of a spreadsheet
    with quotes, semicolons or tabs. Which training fields and subcarriers a line holds follows from what it says of
    mode, bandwidth and secondary channel, on newer chips from the number of its values. Lines of the commonest layout
    are kept; blank, short and broken lines and headers are left out: `dropped` says which and why, and one printed
    sentence says how many. The hardware addresses are not kept.
    Raises FileNotFoundError, and ValueError naming the file when no line is readable or it is of another kind.
    """
    path = existing(path, "esp32")
    log = _esp32(path)
    print(said(path, len(log.csi), log.dropped, "line"))
    return log


def _esp32(path):
    log = esp32.read(path)
    if not len(log.values):
        raise ValueError(f"{path}: no line of an ESP32 log is readable: "
                         + (reasons(log.dropped, "line") or "the file is empty"))
    csi = np.empty((len(log.values), log.values.shape[1] // 2), np.complex64)
    csi.imag, csi.real = log.values[:, 0::2], log.values[:, 1::2]
    index, null, start = [], [], 0
    for name, indices in log.fields:
        amplitude = np.abs(csi[:1000, start:start + len(indices)]).mean(0)
        index.append(esp32.in_order(name, indices, amplitude))
        null.append(esp32.unused(name, index[-1]))
        start += len(indices)
    null = np.concatenate(null)
    null[:2] |= log.first_word
    return ESP32(csi, seconds(log.clock), log.rssi.astype(float), tuple(log.dropped), np.concatenate(index),
                 np.repeat([name for name, _ in log.fields], [len(indices) for _, indices in log.fields]), null,
                 log.gain, log.channel, log.secondary, log.senders)


def esp32_lines(content: bytes):
    """The bytes of an ESP32-CSI-Tool log -> what its good lines hold, and why the others are none: values (packet,
    128) int8, rssi (packet,) int8, clock (packet,) uint32, and a list of (line number from 1, why)."""
    return esp32.strict_lines(content)


def read(path, field=None) -> Packets:
    """The packets of a capture, recognized by its first bytes: any of `packets.READABLE`.

    field: the training field of an ESP32 log, "HT-LTF" for one; by default the one with most subcarriers. Of the
    receivers that report subcarriers in another order, the order is made ascending.
    Raises FileNotFoundError; ModuleNotFoundError where csiread is needed and absent; ValueError naming the file when
    it is of no kind that is known, or holds nothing readable, or has no such field.
    """
    path = existing(path)
    kind = kind_of(path)
    if kind not in READERS:
        if kind in OTHER:
            raise ValueError(f"{path}: this is {OTHER[kind]}, no capture that can be read. Expected one of: "
                             + ", ".join(READABLE.values()))
        raise ValueError(f"{path}: not recognized by its first bytes, {path.open('rb').read(16)!r}. Expected one of: "
                         + ", ".join(READABLE.values()))
    found = READERS[kind](path, field) if kind == "esp32" else READERS[kind](path)
    found.null[~found.csi.any((0, 2, 3))] = True  # a tone without a single value
    return found


def _esp32_packets(path, field=None):
    log = _esp32(path)
    names = list(dict.fromkeys(log.field.tolist()))
    if field is None:
        field = max(names, key=lambda name: (log.field == name).sum())
    if field not in names:
        raise ValueError(f"{path}: field: got {field!r}, but its lines hold {' and '.join(names)}")
    here = np.flatnonzero(log.field == field)
    here = here[np.argsort(log.subcarrier_index[here], kind="stable")]
    index = log.subcarrier_index[here]
    wide = len(here) > 100 and index.min() < 0 < index.max() and field != "HE-LTF"
    centre = esp32.frequency(log.channel)
    if centre and log.secondary:  # then index 0 is the middle of both channels
        centre += {1: 1e7, 2: -1e7}.get(log.secondary, 0)
    remarks = [f"{field} of the fields {', '.join(names)}"] if len(names) > 1 else []
    if log.senders > 1:
        remarks.append(f"packets of {log.senders} senders, each over its own channel")
    csi = log.csi[:, here][:, :, None, None]
    return Packets("esp32", csi, log.t, index, log.null[here], log.rssi, log.gain, centre, 4e7 if wide else 2e7, "line",
                   log.dropped, "; ".join(remarks))


def _intel_packets(path):
    log, dropped = _intel(path, False)
    wide = (log.rate & _HT40) != 0
    index = _INTEL_INDEX[40 if wide.all() else 20]
    power = np.where(log.rssi == 0, 0, 10 ** (log.rssi / 10)).sum(1)
    rssi = 10 * np.log10(np.maximum(power, 1e-9)) - 44 - log.agc  # 44 dB: the tool's own constant
    mixed = wide.any() and not wide.all()
    return Packets("intel5300", log.csi, log.t, None if mixed else index, np.zeros(30, bool), rssi, log.agc,
                   bandwidth=None if mixed else 4e7 if wide.all() else 2e7, dropped=dropped,
                   remark="packets of 20 and of 40 MHz: their subcarriers are not the same" if mixed else "")


READERS = {"esp32": _esp32_packets, "intel5300": _intel_packets, "nexmon": nexmon.read_nexmon,
           "atheros": atheros.read_atheros, "picoscenes": picoscenes.read_picoscenes, "feitcsi": feitcsi.read_feitcsi}
read_nexmon, read_atheros = nexmon.read_nexmon, atheros.read_atheros
read_picoscenes, read_feitcsi = picoscenes.read_picoscenes, feitcsi.read_feitcsi
