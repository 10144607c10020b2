"""Raw capture files of two receivers -> arrays: Intel 5300 (Linux 802.11n CSI tool) and ESP32 (ESP32-CSI-Tool).

The Intel log is unpacked by csiread, an optional extra; the ESP32 log is text and needs nothing. What cannot be
read is left out, counted and said, and does not take the rest of the file with it.
"""

import os
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from csi_utils.sim import hardware

_INTEL_CODE, _OTHER_CODE = 0xBB, 0xC1  # CSI; the frame itself, which a changed tool logs too
ESP32_VALUES = 128  # 64 subcarriers, two values each
_FIELDS = 25  # before the bracket: type, role, mac, rssi, ..., real_timestamp, len
_RSSI, _CLOCK = 3, 18


@dataclass(frozen=True)
class Intel5300:
    """csi: complex64 (packet, subcarrier, rx, tx), whole counts of the receiver, or sqrt(SNR) where it was scaled;
    t: (packet,) s from the first packet; rssi: (packet, 3) dB over the AGC's reference at the ports A, B, C, 0 where
    a port is not used; agc: (packet,) dB; noise: (packet,) dBm, -127 where it was not measured; dropped: tuple of
    (record number from 0, why)."""

    csi: np.ndarray
    t: np.ndarray
    rssi: np.ndarray
    agc: np.ndarray
    noise: np.ndarray
    dropped: tuple


@dataclass(frozen=True)
class ESP32:
    """csi: complex64 (packet, 64), whole counts, in the order of the file; t: (packet,) s from the first packet;
    rssi: (packet,) dBm; dropped: tuple of (line number from 1, why)."""

    csi: np.ndarray
    t: np.ndarray
    rssi: np.ndarray
    dropped: tuple


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
    try:
        import csiread
    except ModuleNotFoundError as problem:
        raise ModuleNotFoundError('an Intel 5300 log is read by csiread, which is not installed: '
                                  'pip install "csi-paper-notebooks[capture]", or pip install csiread',
                                  name="csiread") from problem
    path = _existing(path)
    records, why = _intel_records(path.read_bytes())
    if not records:
        raise ValueError(f"{path}: no record of the Linux 802.11n CSI tool in its {path.stat().st_size} bytes"
                         + (f": {_reasons(sorted(why.items()), 'record')}" if why else ""))
    # csiread trusts a file, and a broken one can end the process: it is given the sound records of one kind only.
    n_rx, n_tx = common = Counter(kind for kind, _ in records.values()).most_common(1)[0][0]
    why |= {number: f"with {kind[0]} rx x {kind[1]} tx, where most have {n_rx} x {n_tx}"
            for number, (kind, _) in records.items() if kind != common}
    numbers = np.array([number for number, (kind, _) in records.items() if kind == common])
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound.dat"
        sound.write_bytes(b"".join(records[number][1] for number in numbers.tolist()))
        log = csiread.Intel(os.fspath(sound), nrxnum=3, ntxnum=3, if_report=False)
        log.read()
    # csiread puts chain i at antenna perm[i]. With fewer than three chains the antennas that were used are kept.
    used = np.sort(log.perm[:, :n_rx], axis=1)
    csi = np.take_along_axis(log.csi[..., :n_tx], used[:, None, :, None], axis=2)
    keep = csi.any((1, 2, 3))
    why |= {number: "with nothing but zeros" for number in numbers[~keep].tolist()}
    if not keep.any():
        raise ValueError(f"{path}: none of its records is readable: {_reasons(sorted(why.items()), 'record')}")
    csi = csi[keep].astype(np.complex64)
    rssi = np.stack([log.rssi_a, log.rssi_b, log.rssi_c], axis=1)[keep].astype(float)
    agc, noise = log.agc[keep].astype(float), log.noise[keep].astype(float)
    if scaled:
        # A port that is not used reads 0 dB, and must add no power.
        report = hardware.Report(csi, np.where(rssi == 0, -np.inf, rssi), agc, np.zeros(len(csi), bool))
        csi = hardware.scaled(report, np.where(noise == -127, hardware.NOISE_FLOOR_DBM, noise))
    dropped = sorted(why.items())
    _say(path, len(csi), dropped, "record")
    return Intel5300(csi, _seconds(log.timestamp_low[keep]), rssi, agc, noise, tuple(dropped))


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
    """A log of the ESP32-CSI-Tool: lines CSI_DATA,role,mac,rssi,...,len,[128 numbers], 64 pairs (imaginary, real).

    Blank, short and broken lines and headers are left out; `dropped` says which and why, and one printed sentence
    says how many. The order of the subcarriers is that of the file: an ESP32 writes 0..31, -32..-1, other chips
    also -32..31; the zeros at the edge of the band show which. The hardware addresses are not kept.
    Raises FileNotFoundError, and ValueError naming the file when no line is readable.
    """
    path = _existing(path)
    values, rssi, clock, dropped = esp32_lines(path.read_bytes())
    if not len(values):
        raise ValueError(f"{path}: no line of the ESP32-CSI-Tool with {ESP32_VALUES} numbers is readable: "
                         + (_reasons(dropped, "line") or "the file is empty"))
    _say(path, len(values), dropped, "line")
    pairs = values.reshape(-1, ESP32_VALUES // 2, 2).astype(np.float32)
    csi = np.ascontiguousarray(pairs[..., ::-1]).view(np.complex64)[..., 0]
    return ESP32(csi, _seconds(clock), rssi.astype(float), tuple(dropped))


def esp32_lines(content: bytes):
    """The bytes of an ESP32-CSI-Tool log -> what its good lines hold, and why the others are none.

    Returns values (packet, 128) int8, imaginary before real; rssi (packet,) int8 in dBm; clock (packet,) uint32,
    us of the chip's clock, which starts anew after 2**32; dropped, a list of (line number from 1, why).
    """
    values, rssi, clock, dropped = [], [], [], []
    # Serial logs hold broken bytes; Latin-1 reads any of them, and no line is lost for one in its address.
    for number, line in enumerate(content.splitlines(), 1):
        try:
            numbers, strength, time = _esp32_line(line.decode("latin-1").strip())
        except ValueError as problem:
            dropped.append((number, str(problem)))
            continue
        values.append(numbers)
        rssi.append(strength)
        clock.append(time)
    return (np.array(values, np.int8).reshape(-1, ESP32_VALUES), np.array(rssi, np.int8),
            np.array(clock, np.uint32), dropped)


def _esp32_line(line):
    """(numbers, rssi, clock) of one line; ValueError says in a few words what the line is instead."""
    if not line:
        raise ValueError("blank")
    if line.startswith("type,"):
        raise ValueError("header")
    head, bracket, rest = line.partition("[")
    if not line.startswith("CSI_DATA,") or not bracket:
        raise ValueError("without CSI_DATA and a bracket")
    body, bracket, _ = rest.partition("]")
    fields = head.rstrip(",").split(",")
    if not bracket or line.count("CSI_DATA") > 1 or len(fields) != _FIELDS:
        raise ValueError("broken, cut short or run together")
    try:
        numbers = [int(word) for word in body.replace(",", " ").split()]
        strength, time = int(fields[_RSSI]), int(fields[_CLOCK])
    except ValueError:
        raise ValueError("with something that is no whole number") from None
    if len(numbers) != ESP32_VALUES:
        raise ValueError(f"with {len(numbers)} values instead of {ESP32_VALUES}")
    if not (-128 <= min(numbers) and max(numbers) <= 127 and -128 <= strength <= 127 and 0 <= time < 2**32):
        raise ValueError("with a number out of its range")
    return numbers, strength, time


def _reasons(dropped, unit):
    """ "2 blank (first at line 3); 1 header (line 1)", the commonest first."""
    count = Counter(why for _, why in dropped)
    first = {why: number for number, why in reversed(dropped)}
    return "; ".join(f"{times} {why} ({unit if times == 1 else f'first at {unit}'} {first[why]})"
                     for why, times in count.most_common())


def _say(path, packets, dropped, unit):
    """One printed sentence: what was read, and what was not and why."""
    left_out = f"{len(dropped)} {unit}{'s' * (len(dropped) > 1)} left out: {_reasons(dropped, unit)}"
    print(f"{path.name}: {packets} packet{'s' * (packets > 1)} read, {left_out if dropped else f'no {unit} left out'}.")


def _existing(path):
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"path: there is no file {path} (looked for at {path.absolute()})")
    return path


def _seconds(microseconds):
    """A 32-bit counter of microseconds -> seconds since its first value; it may start anew on the way."""
    step = np.diff(np.asarray(microseconds).astype(np.uint32)).view(np.int32)
    return np.concatenate([[0.0], np.cumsum(step.astype(float)) * 1e-6])
