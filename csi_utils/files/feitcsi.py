"""FeitCSI captures (Intel AX200, AX210), by the header that FeitCSI documents on its page "CSI format"."""

import mmap
import struct

import numpy as np

from csi_utils.files.packets import Packets, commonest, existing, ranges, reasons, seconds

HEAD = 272
# Of the header: bytes of CSI, clock, microseconds of the computer (0 in older files), rx, tx, subcarriers, -dBm,
# microseconds, rate. Inferred: the page calls bytes 88 to 91 reserved; in the captures that we have they count
# microseconds, 320 ticks of the clock each, which is how we know the tick.
_FIELDS = np.dtype({"names": ["size", "clock", "computer", "rx", "tx", "tones", "rssi", "us", "flags"],
                    "formats": ["<u4", "<u4", "<u8", "u1", "u1", "<u4", ("<u4", 2), "<u4", "<u4"],
                    "offsets": [0, 8, 12, 46, 47, 52, 60, 88, 92], "itemsize": HEAD})
TICK = 1 / 320e6
# By MHz and number of subcarriers: those in use, (first, last) on the upper side, and the pilots among them, by 802.11.
# The card reports both, the pilots too weak.
_TONES = {
    (20, 52): (((1, 26),), (7, 21)),
    (20, 56): (((1, 28),), (7, 21)),
    (20, 242): (((2, 122),), (22, 48, 90, 116)),
    (40, 114): (((2, 58),), (11, 25, 53)),
    (40, 484): (((3, 244),), (10, 36, 78, 104, 144, 170, 212, 238)),
    (80, 242): (((2, 122),), (11, 39, 75, 103)),
    (80, 996): (((3, 500),), (24, 92, 158, 226, 266, 334, 400, 468)),
    (160, 484): (((6, 126), (130, 250)), (25, 53, 89, 117, 139, 167, 203, 231)),
    (160, 1992): (((12, 509), (515, 1012)), (44, 112, 178, 246, 286, 354, 420, 488,
                                             536, 604, 670, 738, 778, 846, 912, 980))}


def tones_of(width, count):
    """(signed subcarriers, is it a pilot) of `count` tones at `width` MHz, or (None, None) where no table fits."""
    if (width, count) not in _TONES:
        return None, None
    sides, pilots = _TONES[width, count]
    positive = ranges(*sides)
    index = np.concatenate([-positive[::-1], positive])
    return index, np.isin(np.abs(index), pilots)


def read_feitcsi(path) -> Packets:
    """The records of the commonest kind (rx, tx, subcarriers, MHz) of a FeitCSI file; pilots are marked as null.

    t is the computer's clock where the file has it, else the card's. rssi is that of the first antenna.
    Raises FileNotFoundError, and ValueError naming the file when no record is readable.
    """
    path = existing(path, "feitcsi")
    if not path.stat().st_size:
        raise ValueError(f"{path}: the file is empty")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        starts, whys = _records(content)
        records = [(number, start, start + HEAD) for number, start in enumerate(starts)]
        if not records:
            raise ValueError(f"{path}: no FeitCSI record in its {len(content)} bytes: {reasons(whys, 'record')}")
        return unpacked("feitcsi", content, records, whys, "record")


def unpacked(kind, content, records, whys, unit) -> Packets:
    """The packets of records (number, where its header starts, where its CSI starts), all of them sound."""
    kinds = [_kind(content, start) for _, start, _ in records]
    n_rx, n_tx, tones, width = common = commonest(kinds)
    whys = whys + [(number, "with {} rx x {} tx x {} tones at {} MHz".format(*kind))
                   for (number, *_), kind in zip(records, kinds, strict=True) if kind != common]
    records = [record for record, kind in zip(records, kinds, strict=True) if kind == common]
    head = np.frombuffer(b"".join(content[start:start + HEAD] for _, start, _ in records), _FIELDS)
    csi = np.empty((len(records), tones, n_rx, n_tx), np.complex64)
    for row, (*_, start) in enumerate(records):  # rx by rx, tx by tx, pairs (real, imaginary)
        pairs = np.frombuffer(content, "<i2", 2 * tones * n_rx * n_tx, start).astype(np.float32)
        csi[row] = pairs.view(np.complex64).reshape(n_rx, n_tx, tones).transpose(2, 0, 1)
    index, pilot = tones_of(width, tones)
    computer = head["computer"].astype(np.int64)
    if computer.all():
        t = (computer - computer[0]) * 1e-6
    else:
        t = seconds(head["us"]) if head["us"].all() else seconds(head["clock"], TICK)
    return Packets(kind, csi, t, index, np.zeros(tones, bool) if pilot is None else pilot,
                   -head["rssi"][:, 0].astype(float), bandwidth=width * 1e6, unit=unit, dropped=tuple(sorted(whys)),
                   remark=f"{tones} subcarriers fit no table of {width} MHz" if index is None else "")


def _kind(content, start):
    """(rx, tx, subcarriers, MHz) of a record."""
    tones, flags = (struct.unpack_from("<I", content, start + at)[0] for at in (52, 92))
    return content[start + 46], content[start + 47], tones, 20 << (flags >> 11 & 7)


def sound(content, start):
    """The bytes of CSI that a header announces, or 0 where its numbers do not fit each other."""
    size, tones = (struct.unpack_from("<I", content, start + at)[0] for at in (0, 52))
    n_rx, n_tx = content[start + 46], content[start + 47]
    return size if 1 <= n_rx <= 4 and 1 <= n_tx <= 4 and size == 4 * n_rx * n_tx * tones else 0


def _records(content):
    """Where each record starts, and why the file ends early if it does."""
    starts, start = [], 0
    while start < len(content):
        left = len(content) - start - HEAD
        if left < 0:
            return starts, [(len(starts), f"cut short: {left + HEAD} bytes left")]
        size = sound(content, start)
        if not size:
            return starts, [(len(starts), "with a header whose numbers do not fit each other; it and what follows")]
        if size > left:
            return starts, [(len(starts), f"cut short: {size} bytes announced, {left} left")]
        starts.append(start)
        start += HEAD + size
    return starts, []
