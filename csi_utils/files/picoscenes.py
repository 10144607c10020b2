"""PicoScenes captures, unpacked by csiread, an optional extra, in a process of its own: csiread trusts a file.

Frames of an AX200 or AX210 are unpacked here: csiread 1.4.1 takes three tones out beside the pilots that it means, on
the second antenna other ones, and leaves the pilots in. Such a frame holds the header and the values that FeitCSI
writes (inferred from captures of both). This file is also that process: `python picoscenes.py capture.csi result.npz`.
"""

import mmap
import os
import subprocess
import sys
import tempfile
from pathlib import Path

MAGIC = b"\x15\x03\x15\x20"
LARGEST = (2048, 4, 4)  # subcarriers, rx, tx of one frame
MEMORY = 4 << 30  # bytes that the process may have, where the system can limit it
SECONDS = 600
_AT_ONCE = 64  # frames that csiread unpacks at a time


def read_picoscenes(path):
    """The frames of the commonest kind (subcarriers, rx, tx) of a PicoScenes .csi file.

    t is the clock of the card, rssi the total, gain is there where the card reports it. Pilots of AX200 and AX210 are
    marked as null. Tried on captures of AX200 and Intel 5300; other cards are as csiread gives them.
    Raises FileNotFoundError; ModuleNotFoundError without csiread, unless all frames are of an AX200 or AX210;
    ValueError naming the file when no frame is readable, or when csiread dies on it.
    """
    import importlib.util

    import numpy as np

    from csi_utils.files import feitcsi
    from csi_utils.files.packets import Packets, commonest, existing, no_csiread, reasons

    path = existing(path, "picoscenes")
    if not path.stat().st_size:
        raise ValueError(f"{path}: the file is empty")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found, whys = frames(content)
        modern = [(number, *places) for number, start, length in found
                  if (places := _intel_header(content, start, length, feitcsi))]
        if len(modern) * 2 > len(found):
            here = {number for number, *_ in modern}
            whys += [(number, "of another card") for number, *_ in found if number not in here]
            return feitcsi.unpacked("picoscenes", content, modern, whys, "frame")
    del found, modern
    if importlib.util.find_spec("csiread") is None:
        raise no_csiread("a PicoScenes capture")
    whys = []
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.npz"
        try:
            ended = subprocess.run([sys.executable, "-P", __file__, str(path), str(result)], timeout=SECONDS,
                                   capture_output=True, text=True, errors="replace", check=False, env=_quiet())
        except subprocess.TimeoutExpired:
            raise ValueError(f"{path}: csiread did not end within {SECONDS} s") from None
        if ended.returncode or not result.is_file():
            how = f"signal {-ended.returncode}" if ended.returncode < 0 else (ended.stderr.strip().splitlines() or [
                f"exit status {ended.returncode}"])[-1]
            raise ValueError(f"{path}: csiread could not read it: {how}")
        with np.load(result, allow_pickle=False) as file:
            numbers, shapes, facts = (file[key] for key in ("number", "shape", "fact"))
            lines = np.split(file["index"], np.cumsum(file["key"][:, 0])[:-1])
            indices = dict(zip(map(tuple, file["key"].tolist()), lines, strict=False))  # no key: one empty line
            whys = [(int(number), str(why)) for number, why in zip(file["bad"], file["why"], strict=True)]
        values = np.fromfile(result.with_suffix(".csi"), np.complex64)
    if not len(numbers):
        raise ValueError(f"{path}: no frame with CSI is readable: {reasons(whys, 'frame') or 'it holds none'}")
    kinds = list(map(tuple, shapes.tolist()))
    tones, n_rx, n_tx, mhz_wide = common = commonest(kinds)
    keep = np.array([kind == common for kind in kinds])
    whys += [(int(number), f"with {kind[1]} rx x {kind[2]} tx x {kind[0]} at {kind[3]} MHz, where most have {n_rx} x "
                           f"{n_tx} x {tones} at {mhz_wide} MHz")
             for number, kind in zip(numbers, kinds, strict=True) if kind != common]
    # The values of all frames lie one after the other.
    csi = values if keep.all() else values[np.repeat(keep, shapes[:, :3].prod(1))]
    csi = csi.reshape(-1, tones, n_rx, n_tx)
    facts, index = facts[keep], indices[tones, mhz_wide]
    stamp, rssi, gain, has_gain, mhz = facts.T
    return Packets("picoscenes", csi, (stamp - stamp[0]) * 1e-6, index, np.zeros(tones, bool), rssi.astype(float),
                   gain.astype(float) if has_gain.all() else None,
                   float(mhz[0]) * 1e6 if (mhz == mhz[0]).all() else None, mhz_wide * 1e6, "frame",
                   tuple(sorted(whys)))


def _quiet():
    return os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _intel_header(content, start, length, feitcsi):
    """Where header and values of an AX200 or AX210 start in a frame, or None.

    A frame is its length, the mark, a version and the number of segments; a segment is its length, the length of its
    name, the name, a version and what it holds. The header is the end of MVMExtra, the values that of CSI.
    """
    places, at, end = {}, start + 11, start + length
    for _ in range(content[start + 10]):
        if at + 5 > end:
            return None
        size = 4 + int.from_bytes(content[at:at + 4], "little")
        if at + size > end:
            return None
        name = content[at + 5:at + 5 + content[at + 4]].rstrip(b"\0")
        places[name] = at + size
        at += size
    if b"MVMExtra" not in places or b"CSI" not in places:
        return None
    head = places[b"MVMExtra"] - feitcsi.HEAD
    size = feitcsi.sound(content, head)
    announced = int.from_bytes(content[places[b"CSI"] - size - 4:places[b"CSI"] - size], "little")
    return (head, places[b"CSI"] - size) if size and head > start and size == announced else None


def frames(content):
    """[(number, start, length)] of the frames by their lengths, and [(number, why)] of what is none."""
    found, bad, start, number = [], [], 0, 0
    while start + 8 <= len(content):
        length = int.from_bytes(content[start:start + 4], "little") + 4
        if content[start + 4:start + 8] != MAGIC:
            after = content.find(MAGIC, start + 8)
            bad.append((number, "of bytes that are no frame"))
            start = after - 4 if after > 0 else len(content)
        elif start + length > len(content) or length < 16:
            bad.append((number, f"cut short: {length} bytes announced, {len(content) - start} left"))
            after = content.find(MAGIC, start + 8)
            start = after - 4 if after > 0 else len(content)
        else:
            found.append((number, start, length))
            start += length
        number += 1
    return found, bad


def _child(path, result):
    import csiread
    import numpy as np

    try:
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, ValueError, OSError):
        pass  # not on this system
    with open(path, "rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    found, bad = frames(content)
    part = Path(result).with_suffix(".part")
    numbers, shapes, facts = [], [], []
    values = open(Path(result).with_suffix(".csi"), "wb")
    index = {}  # the subcarriers, by their number and the MHz

    def unpacked(chosen, size):
        """The raw records of some frames, or None where csiread fails or one is larger than size."""
        # csiread begins at the start of a file, whatever position it is given.
        part.write_bytes(b"".join(content[start:start + length] for _, start, length in chosen))
        try:
            log = csiread.Picoscenes(os.fspath(part), {"CSI": list(size)}, if_report=False, bufsize=len(chosen))
            log.seek(os.fspath(part), 0, len(chosen))
        except (IndexError, ValueError):
            return None
        info = log.raw["CSI"]["Info"]
        shape = (info["NumTones"], info["NumRx"], info["NumTx"].astype(int) + info["NumESS"])
        fits = log.count == len(chosen) and all((have <= room).all() for have, room in zip(shape, size, strict=True))
        return log.raw if fits else None

    size = (1, 1, 1)  # the largest frame so far
    for first in range(0, len(found), _AT_ONCE):
        chosen = found[first:first + _AT_ONCE]
        raw = unpacked(chosen, size)
        # One frame that is larger or broken spoils its neighbours: each alone.
        each = [unpacked([one], LARGEST) for one in chosen] if raw is None else raw[:, None]
        for (number, *_), record in zip(chosen, each, strict=True):
            if record is None:
                bad.append((number, "that csiread does not read"))
                continue
            csi, basic = record[0]["CSI"], record[0]["RxSBasic"]
            tones, n_rx = int(csi["Info"]["NumTones"]), int(csi["Info"]["NumRx"])
            n_tx = int(csi["Info"]["NumTx"]) + int(csi["Info"]["NumESS"])
            size = tuple(map(max, size, (tones, n_rx, n_tx)))
            # csiread repeats the last index where it leaves tones out.
            tones = 1 + int((np.cumprod(np.diff(csi["SubcarrierIndex"][:tones]) > 0)).sum()) if tones else 0
            if not (tones and n_rx and n_tx):
                bad.append((number, "without CSI"))
                continue
            numbers.append(number)
            shapes.append((tones, n_rx, n_tx, int(csi["Info"]["CBW"])))
            values.write(csi["CSI"][:tones, :n_rx, :n_tx].astype(np.complex64).tobytes())
            index.setdefault((tones, shapes[-1][3]), csi["SubcarrierIndex"][:tones].copy())
            extra = record[0]["RxExtraInfo"]
            facts.append([int(basic["Timestamp"]), int(basic["RSSI"]), int(extra["AGC"]), int(extra["HasAGC"]),
                          int(basic["CenterFreq"])])
    values.close()
    np.savez(result, number=np.array(numbers, int), shape=np.array(shapes, int).reshape(-1, 4),
             fact=np.array(facts, np.int64).reshape(-1, 5),
             index=np.concatenate([*index.values(), np.zeros(0, np.int32)]), key=np.array([*index], int).reshape(-1, 2),
             bad=np.array([number for number, _ in bad], int), why=np.array([why for _, why in bad], str))


if __name__ == "__main__":
    _child(*sys.argv[1:])
