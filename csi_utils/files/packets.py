"""What every reader of captures shares: the packets that it gives, and by which first bytes a file is recognized."""

import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

FIRST = 1 << 16  # bytes that are looked at to recognize a file

# kind: what it is called in a message. A kind that we read has a function read_<kind>.
READABLE = {"esp32": "a log of an ESP32", "intel5300": "a log of the Linux 802.11n CSI tool (Intel 5300)",
            "nexmon": "a nexmon capture (pcap)", "atheros": "a log of the Atheros CSI tool",
            "picoscenes": "a PicoScenes capture", "feitcsi": "a FeitCSI capture"}
OTHER = {"pcap": "a pcap without nexmon frames among its first packets",
         "pcapng": "a pcapng file: write it as pcap first (tcpdump -r old.pcapng -w new.pcap)",
         "npz": "an .npz or another zip archive", "npy": "an .npy file of NumPy",
         "gzip": "a gzip file: unpack it first",
         "hdf5": "an HDF5 file (MATLAB writes them too)", "mat": "a MATLAB file", "empty": "an empty file"}


@dataclass(frozen=True)
class Packets:
    """What a capture holds.

    csi: complex64 (packet, subcarrier, rx, tx), in the receiver's own counts, subcarriers in ascending order where
    their indices are known; t: (packet,) s from the first packet; subcarrier_index: (subcarrier,) signed, 0 is the
    middle of the band, or None; null: (subcarrier,) bool, where the standard sends nothing or the receiver reports
    nothing of use; rssi: (packet,) dBm or None; gain: (packet,) dB or None, of the receiver's amplifier; fc,
    bandwidth: Hz or None; unit: what the file counts, "line", "record" or "frame"; dropped: (number, why) of each
    unit that was left out.
    """

    kind: str
    csi: np.ndarray
    t: np.ndarray
    subcarrier_index: np.ndarray | None
    null: np.ndarray
    rssi: np.ndarray | None = None
    gain: np.ndarray | None = None
    fc: float | None = None
    bandwidth: float | None = None
    unit: str = "record"
    dropped: tuple = field(default=(), repr=False)
    remark: str = ""


def existing(path, kind=None):
    """The path, if there is such a file. With a kind: ValueError where the file is plainly of another kind."""
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"path: there is no file {path} (looked for at {path.absolute()})")
    found = kind_of(path) if kind else None
    if found not in (None, kind, "empty"):
        reader = f", which read_{found} reads" if found in READABLE else ""
        raise ValueError(f"{path}: this looks like {(READABLE | OTHER)[found]}{reader}; expected {READABLE[kind]}")
    return path


def kind_of(path):
    """The kind of a file by its first bytes, a key of READABLE or OTHER, or None where nothing fits."""
    with open(path, "rb") as file:
        head = file.read(FIRST)
    if not head:
        return "empty"
    if head[:4] in PCAP:
        return "nexmon" if _nexmon_soon(head) else "pcap"
    for magic, kind in ((b"\x0a\x0d\x0d\x0a", "pcapng"), (b"PK\x03\x04", "npz"), (b"\x93NUMPY", "npy"),
                        (b"\x1f\x8b", "gzip"), (b"\x89HDF", "hdf5"), (b"MATLAB", "mat")):
        if head.startswith(magic):
            return kind
    if head[4:8] == b"\x15\x03\x15\x20":  # 0x20150315
        return "picoscenes"
    if any(word.encode(code) in head for word in ("CSI_DATA", "type,role,mac") for code in ("ascii", "utf-16-le",
                                                                                         "utf-16-be")):
        return "esp32"
    for kind, fits in (("feitcsi", _feitcsi), ("intel5300", _intel5300), ("atheros", atheros_order)):
        if fits(head):
            return kind
    return None


# The first bytes of a pcap: byte order of its headers, fraction of a second that it counts.
PCAP = {b"\xd4\xc3\xb2\xa1": ("<", 1e-6), b"\xa1\xb2\xc3\xd4": (">", 1e-6),
        b"\x4d\x3c\xb2\xa1": ("<", 1e-9), b"\xa1\xb2\x3c\x4d": (">", 1e-9)}


def _nexmon_soon(head):
    """Is one of the first packets a nexmon frame, or is the capture empty?"""
    order, start = PCAP[head[:4]][0], 24
    while start + 16 <= len(head):
        length = struct.unpack_from(order + "I", head, start + 8)[0]
        if head[start + 22:start + 28] == b"NEXMON" or head[start + 58:start + 60] == b"\x11\x11":
            return True
        start += 16 + length
    return start == 24


def _feitcsi(head):
    if len(head) < 272:
        return False
    size, tones = struct.unpack_from("<I", head)[0], struct.unpack_from("<I", head, 52)[0]
    return 0 < size == 4 * head[46] * head[47] * tones


def _intel5300(head):
    """One record, and the next one or the end where its length says."""
    if len(head) < 23 or head[2] not in (0xBB, 0xC1):
        return False
    end = 2 + int.from_bytes(head[:2], "big")
    return end >= 3 and (end == len(head) or head[end + 2:end + 3] in (b"\xbb", b"\xc1"))


def atheros_order(head):
    """The byte order of an Atheros log, "<" or ">", by its first records, or None."""
    for order in "<>":
        # A log of the changed tool begins with one byte that says big-endian.
        start = 1 if order == ">" and head[:1] == b"\xff" else 0
        for _ in range(20):
            if len(head) < start + 27:
                break
            length, size, payload = (struct.unpack_from(order + "H", head, start + at)[0] for at in (0, 10, 25))
            if length != 25 + size + payload or not (size == 0 or 1 <= head[start + 19] <= 3):
                break
            if size:  # 10 bits for each of two values, in whole words of 16 bits
                tones, n_rx, n_tx = head[start + 18:start + 21]
                if not 0 <= size - tones * n_rx * n_tx * 20 / 8 < 8:
                    break
                return order
            start += 2 + length
    return None


def reasons(dropped, unit):
    """ "2 blank (first at line 3); 1 header (line 1)", the commonest first."""
    count = Counter(why for _, why in dropped)
    first = {why: number for number, why in reversed(dropped)}
    return "; ".join(f"{times} {why} ({unit if times == 1 else f'first at {unit}'} {first[why]})"
                     for why, times in count.most_common())


def said(path, packets, dropped, unit):
    """One sentence: what was read, and what was not and why."""
    left_out = f"{len(dropped)} {unit}{'s' * (len(dropped) > 1)} left out: {reasons(dropped, unit)}"
    return f"{path.name}: {packets} packet{'s' * (packets > 1)} read, {left_out if dropped else f'no {unit} left out'}."


def seconds(counter, tick=1e-6):
    """A 32-bit counter of ticks -> seconds since its first value; it may start anew on the way, and step back."""
    step = np.diff(np.asarray(counter).astype(np.uint32)).view(np.int32)
    return np.concatenate([[0.0], np.cumsum(step.astype(float)) * tick])


def no_csiread(what):
    return ModuleNotFoundError(f"{what} is read by csiread, which is not installed: "
                               'pip install "csi-paper-notebooks[capture]", or pip install csiread', name="csiread")


def commonest(kinds):
    """The commonest of a list, the first of several."""
    return Counter(kinds).most_common(1)[0][0]


def ranges(*pairs):
    """Whole numbers of closed ranges, one after the other: ranges((-28, -1), (1, 28))."""
    return np.concatenate([np.arange(first, last + 1) for first, last in pairs])
