"""Serial logs of ESP32 chips: lines CSI_DATA,...,[numbers], as ESP32-CSI-Tool and Espressif's esp-csi print them.

Which numbers belong to which training field and subcarrier: the tables of ESP-IDF's guide "Wi-Fi Vendor Features", one
for ESP32, S2, S3, C3 and one for C5. What is ours and not the guide's is marked "inferred".
"""

import codecs
import functools
import io
import itertools
import re
import warnings
from dataclasses import dataclass, field

import numpy as np

from csi_utils.files.packets import commonest, ranges

VALUES = 128  # of a line of the ESP32-CSI-Tool with one training field: 64 subcarriers, two values each
LONGEST = 1 << 16  # characters; a longer line is cut into several, and none of them is read
PATIENCE = 20_000  # lines without one that is readable, and the file is given up

# Names of the columns before the numbers, by their number, for a log without a header line.
_START = "type,role,mac,rssi,rate,sig_mode,mcs,bandwidth,smoothing,not_sounding,aggregation,stbc,fec_coding,sgi,"
_MIDDLE = "noise_floor,ampdu_cnt,channel,secondary_channel,local_timestamp,ant,sig_len,rx_state,"
_NEWER = "type,seq,mac,rssi,rate,noise_floor,fft_gain,agc_gain,channel,local_timestamp,sig_len,rx_state,len,first_word"
COLUMNS = {25: (_START + _MIDDLE + "real_time_set,real_timestamp,len").split(","),
           24: (_START.replace("role", "id") + _MIDDLE + "len,first_word").split(","), 14: _NEWER.split(",")}
_WANTED = ("rssi", "local_timestamp", "sig_mode", "bandwidth", "stbc", "secondary_channel", "channel", "fft_gain",
           "agc_gain", "first_word")
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass
class Log:
    """The good lines of a log, all of one layout, and why the others are none.

    values: int8 (packet, number), imaginary before real; rssi: int8 (packet,) dBm; clock: uint32 (packet,) us; gain:
    float (packet,) dB, or None; fields: ((name, indices), ...), one entry a training field, in the order of the
    numbers; first_word: are the first two subcarriers invalid in any line, or is it not said (inferred: then they are,
    the chips of the ESP32-CSI-Tool do it); channel: of every line, or None.
    """

    values: np.ndarray
    rssi: np.ndarray
    clock: np.ndarray
    gain: np.ndarray | None
    fields: tuple
    first_word: bool
    channel: int | None
    secondary: int
    senders: int
    dropped: list = field(default_factory=list)


def read(path) -> Log:
    """The lines of the commonest layout (number of values, training fields, subcarriers) of the log `path`."""
    rows, facts, senders, dropped = [], [], [], []
    columns = None
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # NumPy's, on numbers that it cannot read to their end
        for number, line in enumerate(_lines(path), 1):
            try:
                if columns_here := _header(line):
                    columns = columns_here
                    raise ValueError("header")
                numbers, fact, sender = _parsed(line, columns)
            except ValueError as problem:
                dropped.append((number, str(problem)))
                if not rows and number >= PATIENCE:
                    break
                continue
            rows.append((number, numbers))
            facts.append(fact)
            senders.append(sender)
    layouts = [_layout(len(numbers), fact[2:6], fact[7] is not None)
               for (_, numbers), fact in zip(rows, facts, strict=True)]
    known = [layout for layout in layouts if layout]
    common = commonest(known) if known else None
    n_values = sum(len(indices) for _, indices in common) * 2 if known else 0
    keep = []
    for row, ((number, numbers), layout) in enumerate(zip(rows, layouts, strict=True)):
        if layout is not None and layout == common:
            keep.append(row)
        elif len(numbers) == n_values:
            dropped.append((number, f"with {_named(layout)}, where most have {_named(common)}"))
        else:
            dropped.append((number, f"with {len(numbers)} values" + (f" instead of {n_values}" if known else
                                                                     ", which fit no training fields that we know")))
    facts = [facts[row] for row in keep]
    values = np.frombuffer(b"".join(rows[row][1] for row in keep), np.int8).reshape(len(keep), n_values)
    gain = np.array([agc + fft / 4 for *_, fft, agc, _ in facts]) if facts and None not in facts[0][7:9] else None
    channels = {fact[6] for fact in facts}
    return Log(values=values, rssi=np.array([fact[0] for fact in facts], np.int8),
               clock=np.array([fact[1] for fact in facts], np.uint32), gain=gain,
               fields=tuple((name, np.array(indices)) for name, indices in common or ()),
               first_word=any(fact[9] != 0 for fact in facts),
               channel=channels.pop() if len(channels) == 1 else None, secondary=facts[0][5] or 0 if facts else 0,
               senders=len({senders[row] for row in keep}), dropped=sorted(dropped))


def _named(layout):
    return "other fields" if layout is None else " + ".join(f"{name} {min(indices)}..{max(indices)}"
                                                            for name, indices in layout)


def _lines(path):
    """The lines of a text in UTF-8 or Latin-1, or in UTF-16 where a byte order mark or its zeros say so."""
    with open(path, "rb") as file:
        head = file.read(200)
        file.seek(0)
        code = "latin-1"  # a serial log holds broken bytes; Latin-1 reads any, and no line is lost for one
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            code = "utf-16"
        elif head[1::2].count(0) > len(head) // 3 or head[::2].count(0) > len(head) // 3:
            code = "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"
        elif head.startswith(codecs.BOM_UTF8):
            file.seek(3)
        text = io.TextIOWrapper(file, code, errors="replace")
        while line := text.readline(LONGEST):
            yield line


def strict_lines(content: bytes):
    """The bytes of a log of the ESP32-CSI-Tool with one training field, by the rule of the registered data sets.

    A line starts with CSI_DATA, has 25 columns and 128 numbers. Returns values (packet, 128) int8; rssi (packet,)
    int8; clock (packet,) uint32; dropped, a list of (line number from 1, why).
    """
    values, rssi, clock, dropped = [], [], [], []
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        for number, line in enumerate(content.splitlines(), 1):
            try:
                text = line.decode("latin-1").strip()
                if _header(text):
                    raise ValueError("header")
                if text and not text.startswith("CSI_DATA,"):
                    raise ValueError("without CSI_DATA and a bracket")
                numbers, fact, _ = _parsed(text, COLUMNS[25])
                if len(numbers) != VALUES:
                    raise ValueError(f"with {len(numbers)} values instead of {VALUES}")
            except ValueError as problem:
                dropped.append((number, str(problem)))
                continue
            values.append(numbers)
            rssi.append(fact[0])
            clock.append(fact[1])
    return (np.frombuffer(b"".join(values), np.int8).reshape(-1, VALUES), np.array(rssi, np.int8),
            np.array(clock, np.uint32), dropped)


def _header(line):
    """The names of the columns where a line is a header, else None."""
    if "type" not in line[:20] or "CSI_DATA," in line or "rssi" not in line:
        return None
    return [name.strip() for name in re.split("[,;\t]", line.strip().replace('"', ""))]


def _parsed(line, columns):
    """(numbers as bytes, facts in the order of _WANTED, sender); ValueError says in a few words what it is instead."""
    if "\x1b" in line:
        line = _COLOUR.sub("", line)
    line = line.replace('"', "").strip()  # a spreadsheet quotes a cell, Espressif quotes the numbers
    if not line.strip(",;\t"):
        raise ValueError("blank")
    start = line.find("CSI_DATA")  # a monitor writes its own prefix before
    head, bracket, rest = line[max(start, 0):].partition("[")
    if start < 0 or not bracket:
        raise ValueError("without CSI_DATA and a bracket")
    body, bracket, rest = rest.partition("]")
    separator = next((mark for mark in ";\t" if mark in head), ",")
    fields = head.rstrip(separator + " ").split(separator)
    if len(columns or ()) - 1 != len(fields):
        columns = COLUMNS.get(len(fields))
    if not bracket or not columns or "CSI_DATA" in rest or head.count("CSI_DATA") > 1 or "CSI_DATA" in body:
        raise ValueError("broken, cut short or run together")
    if columns[1] in ("id", "seq") and not fields[1].strip().isdigit():
        raise ValueError("broken, cut short or run together")  # a line with roles that lost a field looks like these
    where = _where(tuple(columns))
    if where[0] is None or where[1] is None:
        raise ValueError("under a header without rssi or local_timestamp")
    try:
        facts = tuple(None if at is None else int(fields[at]) for at in where[:-1])
        wide = np.zeros(0, np.int64)
        if body := body.replace(";", ",").strip():  # eight times as fast as int() of each word
            wide = np.fromstring(body, np.int64, sep="," if "," in body else " ")
    except (ValueError, DeprecationWarning):
        raise ValueError("with something that is no whole number") from None
    numbers = wide.astype(np.int8)
    if not (-128 <= facts[0] <= 127 and 0 <= facts[1] < 2**32 and (numbers == wide).all()):
        raise ValueError("with a number out of its range")
    return numbers.tobytes(), facts, fields[where[-1]] if where[-1] is not None else ""


@functools.cache
def _where(columns):
    return tuple(columns.index(name) if name in columns else None for name in (*_WANTED, "mac"))


_FULL = ((0, 31), (-32, -1))
_NAMES = ("LLTF", "HT-LTF", "STBC-HT-LTF")
# Newer chips do not say of bandwidth and secondary channel: by the number of values (ESP32-C5's table, for a packet
# without secondary channel). 128, 256 and 384 values are inferred to be those of the older chips.
_BY_COUNT = {106: (("LLTF", (0, 26), (-26, -1)),), 114: (("HT-LTF", (0, 28), (-28, -1)),),
             228: (("HT-LTF", (0, 28), (-28, -1)), ("STBC-HT-LTF", (0, 28), (-28, -1))),
             234: (("HT-LTF", (0, 58), (-58, -1)),),
             468: (("HT-LTF", (0, 58), (-58, -1)), ("STBC-HT-LTF", (0, 58), (-58, -1))),
             490: (("HE-LTF", (0, 122), (-122, -1)),), 128: (("LLTF", *_FULL),),
             256: (("LLTF", *_FULL), ("HT-LTF", *_FULL)), 384: (("LLTF", *_FULL), ("HT-LTF", (0, 63), (-64, -1)))}


@functools.cache
def _layout(n_values, signal, newer):
    """((field, indices), ...) of a line with this many values, or None where no fields fit.

    signal: (sig_mode, bandwidth, stbc, secondary_channel) as the line says. Where fewer values are written than the
    packet has, the first fields that fit are taken: inferred, LLTF before HT-LTF.
    """
    if newer or None in signal:
        found = _BY_COUNT.get(n_values)
        return found and tuple((name, tuple(ranges(*parts).tolist())) for name, *parts in found)
    mode, wide, stbc, second = signal
    beside = {0: _FULL, 1: ((-64, -1),), 2: ((0, 63),)}.get(second)  # none, above, below
    if beside is None:
        return None
    parts = [("LLTF", beside)]
    if mode:
        if wide:
            high = ((0, 60), (-60, -1)) if stbc else ((0, 63), (-64, -1))
        else:
            high = {0: _FULL, 1: ((-62, -1),), 2: ((0, 62),)}[second] if stbc else beside
        parts += [(name, high) for name in _NAMES[1:2 + bool(stbc)]]
    fields = [(name, tuple(ranges(*pairs).tolist())) for name, pairs in parts]
    for count in range(len(fields), 0, -1):
        for chosen in itertools.combinations(fields, count):
            if 2 * sum(len(indices) for _, indices in chosen) == n_values:
                return chosen
    return None


def unused(name, indices):
    """Which subcarriers of a field carry nothing, by the standard: bool, as indices."""
    indices = np.asarray(indices)
    middle = 0 if indices.min() < 0 <= indices.max() else 32 if indices.min() >= 0 else -32
    distance = np.abs(indices - middle)
    size = 2 * np.abs(indices).max()
    if name == "HE-LTF":
        low, high = 2, 122
    elif name != "LLTF" and size > 70 and middle == 0:
        low, high = 2, 58
    else:
        low, high = 1, 26 if name == "LLTF" else 28
    return (distance < low) | (distance > high)


def in_order(name, indices, amplitude):
    """The indices of a field in the order of the file: as in the guide, or ascending where the zeros say so.

    amplitude: (subcarrier,) mean over packets. Inferred: some chips write -32..31 where the guide has 0..31, -32..-1,
    and Espressif's own viewer takes the newer chips' fields as ascending. The unused subcarriers decide, if clearly.
    """
    guide, ascending = np.asarray(indices), np.sort(indices)
    if (guide == ascending).all():
        return guide
    rest = [np.median(amplitude[unused(name, order)]) for order in (guide, ascending)]
    return ascending if rest[1] < 0.5 * rest[0] else guide


def frequency(channel):
    """The centre of a 20 MHz channel in Hz, or None."""
    if channel is None or not 1 <= channel <= 200:
        return None
    return 1e6 * (2484 if channel == 14 else 2407 + 5 * channel if channel < 14 else 5000 + 5 * channel)


