"""Logs of the Atheros CSI tool (ath9k), unpacked by csiread, an optional extra."""

import mmap
import os
import struct
import tempfile
from pathlib import Path

import numpy as np

from csi_utils.files.packets import FIRST, Packets, atheros_order, commonest, existing, no_csiread, ranges, reasons

_AT_ONCE = 1000  # records that csiread unpacks at a time: it keeps 3 x 3 antennas in double precision
# Inferred: the tool's guide does not number its tones; 802.11n has these, and csiread gives them from low to high.
_INDEX = {56: ranges((-28, -1), (1, 28)), 114: ranges((-58, -2), (2, 58))}


def read_atheros(path) -> Packets:
    """The records of the commonest kind (tones, rx, tx) of a log of the Atheros CSI tool, big- or little-endian.

    t is the clock of the card; rssi is the total, in dBm as the tool's own software takes it (value - 95). The frames
    that the log may hold are not read. Raises FileNotFoundError, ModuleNotFoundError without csiread, and ValueError
    naming the file when no record is readable.
    """
    path = existing(path, "atheros")
    try:
        import csiread
    except ModuleNotFoundError as problem:
        raise no_csiread("an Atheros log") from problem
    if not path.stat().st_size:
        raise ValueError(f"{path}: the file is empty")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        order = atheros_order(content[:FIRST]) or "<"
        records, whys = _records(content, order)
        if not records:
            raise ValueError(f"{path}: no record of the Atheros CSI tool: {reasons(whys, 'record')}")
        tones, n_rx, n_tx = common = commonest([kind for kind, *_ in records])
        whys += [(number, f"with {kind[1]} rx x {kind[2]} tx x {kind[0]}, where most have {n_rx} x {n_tx} x {tones}")
                 for kind, number, *_ in records if kind != common]
        records = [record for record in records if record[0] == common]
        csi, facts = np.empty((len(records), tones, n_rx, n_tx), np.complex64), []
        with tempfile.TemporaryDirectory() as folder:
            sound = Path(folder) / "sound.dat"
            for row in range(0, len(records), _AT_ONCE):
                part = records[row:row + _AT_ONCE]
                # Without the frame that follows the CSI: csiread reads it into a buffer of 4096 bytes.
                sound.write_bytes(b"".join(struct.pack(order + "H", 25 + size) + content[at + 2:at + 25] + b"\0\0"
                                           + content[at + 27:at + 27 + size] for *_, at, size in part) + bytes(4))
                log = csiread.Atheros(os.fspath(sound), nrxnum=n_rx, ntxnum=n_tx, tones=tones, if_report=False,
                                      bufsize=len(part) + 1)
                log.seek(os.fspath(sound), 0, len(part), "big" if order == ">" else "little")
                csi[row:row + len(part)] = log.csi
                facts.append(np.stack([log.timestamp.astype(np.int64), log.rssi, log.tx_channel]))
    clock, rssi, mhz = np.concatenate(facts, axis=1)
    return Packets("atheros", csi, (clock - clock[0]) * 1e-6, _INDEX[tones], np.zeros(tones, bool), rssi - 95.0,
                   fc=float(mhz[0]) * 1e6 if (mhz == mhz[0]).all() else None, bandwidth=2e7 if tones == 56 else 4e7,
                   dropped=tuple(sorted(whys)))


def _records(content, order):
    """[(kind, number, start, bytes of CSI)] of the sound records with CSI, and why the others are none."""
    records, whys, number = [], [], 0
    start = 1 if order == ">" and content[:1] == b"\xff" else 0
    while start + 2 < len(content):
        length = struct.unpack_from(order + "H", content, start)[0]
        left = len(content) - start - 2
        if length > left:
            whys.append((number, f"cut short: {length} bytes announced, {left} left"))
            break
        if length < 25:
            whys.append((number, f"with {length} bytes, too few for a header, and what follows"))
            break
        size, payload = (struct.unpack_from(order + "H", content, start + at)[0] for at in (10, 25))
        tones, n_rx, n_tx = content[start + 18:start + 21]
        if not size:
            whys.append((number, "without CSI"))
        elif length != 25 + size + payload:
            whys.append((number, f"with {length} bytes, which are not 25 + {size} + {payload}"))
        elif tones not in _INDEX or not (1 <= n_rx <= 3 and 1 <= n_tx <= 3):
            whys.append((number, f"with {n_rx} rx x {n_tx} tx x {tones} tones"))
        elif not 0 <= size - tones * n_rx * n_tx * 20 / 8 < 8:
            whys.append((number, f"with {size} bytes of CSI, which do not fit {n_rx} rx x {n_tx} tx x {tones} tones"))
        else:
            records.append(((tones, n_rx, n_tx), number, start, size))
        start += 2 + length
        number += 1
    return records, whys
