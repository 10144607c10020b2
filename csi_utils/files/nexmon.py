"""nexmon captures: a pcap whose packets hold the CSI of Broadcom chips (bcm4339, 43455c0, 4358, 4366c0).

Read here and not by csiread: its unpacking of the chips with floating-point values scales each frame by a power of two
of its own and cuts the rest to whole numbers (1.4.1), which invents steps of 6 dB.
"""

import mmap
import struct

import numpy as np

from csi_utils.files.packets import PCAP, Packets, commonest, existing, reasons

_HEAD = 60  # bytes of a frame before its values: Ethernet, IP, UDP, then 18 of nexmon
# The number that a frame gives its chip: whole, signed 16-bit pairs, or (bits of the mantissa, of the exponent). The
# second number of a chip was seen in captures of others.
_CHIPS = {0x0001: None, 0x0065: None, 0xA6DC: None, 0x0003: (9, 5), 0xDEAD: (9, 5), 0x006A: (12, 6), 0xE834: (12, 6)}
# Bandwidth by the channel specification, and (first, last) subcarrier in use on either side of the carrier by 802.11ac.
_WIDTHS = {0x1000: (20, 1, 28), 0x1800: (40, 2, 58), 0x2000: (80, 2, 122), 0x2800: (160, 6, 250)}


def read_nexmon(path) -> Packets:
    """The packets of a nexmon .pcap; rx is the core, tx the spatial stream, where a packet came over several.

    t is the clock of the computer that wrote the file; rssi is there where the firmware writes it. Frames of the
    commonest chip and bandwidth are kept. What a frame holds after its values is passed over. Subcarriers are
    ascending, -n/2 .. n/2 - 1, and null where 802.11ac sends nothing.
    Raises FileNotFoundError, and ValueError naming the file when it is no pcap or holds no such frame.
    """
    path = existing(path, "nexmon")
    with open(path, "rb") as file:
        if path.stat().st_size < 24 or file.read(4) not in PCAP:
            raise ValueError(f"{path}: not a pcap")
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with content:
        return _packets(path, content)


def _packets(path, content):
    order, tick = PCAP[content[:4]]
    starts, seconds, extra, kinds, whys = [], [], [], [], []
    start, number = 24, -1
    while start + 16 <= len(content):
        number += 1
        whole, part, length, _ = struct.unpack_from(order + "4I", content, start)
        start += 16
        if start + length > len(content):
            whys.append((number, f"cut short: {length} bytes announced, {len(content) - start} left"))
            break
        kind, why = _kind(content, start, length)
        if why:
            whys.append((number, why))
        else:
            starts.append((number, start))
            seconds.append(whole + part * tick)
            extra.append(length - _HEAD - 4 * kind[1])
            kinds.append(kind)
        start += length
    if not kinds:
        raise ValueError(f"{path}: no nexmon frame in its {len(content)} bytes: "
                         + (reasons(whys, "frame") or "it holds no packet"))
    chip, tones, width = common = commonest(kinds)
    whys += [(number, f"with {kind[1]} subcarriers of chip {kind[0]:#06x}, where most have {tones} of {chip:#06x}")
             for (number, _), kind in zip(starts, kinds, strict=True) if kind != common]
    keep = [row for row, kind in enumerate(kinds) if kind == common]
    longer = sum(extra[row] > 0 for row in keep)
    starts, seconds = [starts[row] for row in keep], [seconds[row] for row in keep]
    groups, rx, tx = _groups(content, starts, whys)
    if not groups:
        raise ValueError(f"{path}: no packet with all of its {rx} cores x {tx} streams: {reasons(whys, 'frame')}")
    ascending = np.fft.fftshift(np.arange(tones))
    csi = np.empty((len(groups), tones, rx, tx), np.complex64)
    for row, group in enumerate(groups):
        for column, frame in enumerate(group):
            values = _values(content, starts[frame][1], tones, chip)
            csi[row, :, column // tx, column % tx] = values[ascending]
    first = [group[0] for group in groups]
    rssi = np.array([content[starts[row][1] + 44] for row in first], np.uint8).view(np.int8).astype(float)
    index = np.arange(tones) - tones // 2
    low, high = _WIDTHS[width][1:]
    null = (np.abs(index) < low) | (np.abs(index) > high)
    if tones == 512:
        null |= (np.abs(index) > 126) & (np.abs(index) < 130)
    t = np.array([seconds[row] for row in first])
    remark = f"{longer} frames longer than their values; the rest was passed over" if longer else ""
    return Packets("nexmon", csi, t - t[0], index, null, rssi if (rssi < 0).all() else None,
                   fc=None, bandwidth=tones * 312500.0, unit="frame", dropped=tuple(sorted(whys)), remark=remark)


def _kind(content, start, length):
    """((chip, subcarriers, code of the bandwidth), None) of a frame, else (None, why not)."""
    if length < _HEAD + 4 or content[start + 42:start + 44] != b"\x11\x11":
        return None, "of another protocol"
    spec, chip = struct.unpack_from("<2H", content, start + 56)
    width = spec & 0x3800
    if chip not in _CHIPS:
        return None, f"of the unknown chip {chip:#06x}"
    if width not in _WIDTHS:
        return None, f"with the unknown bandwidth {width:#06x}"
    tones = int(_WIDTHS[width][0] * 3.2)
    if length < _HEAD + 4 * tones:
        return None, f"with {(length - _HEAD) // 4} values instead of {tones}"
    return (chip, tones, width), None


def _groups(content, starts, whys):
    """The frames of each packet, in the order of core and stream, and how many cores and streams there are.

    Frames of one packet follow each other with one sequence number; csiread takes them together in the same way.
    """
    facts = [struct.unpack_from("<2H", content, start + 52) for _, start in starts]
    found, sequence = [], None  # for each packet {(core, stream): frame}
    for row, (number, word) in enumerate(facts):
        word |= word >> 8  # some firmware writes the two bytes the other way round
        place = (word & 7, word >> 3 & 7)  # core, stream
        if number != sequence or place in found[-1]:
            found.append({})
        sequence = number
        found[-1][place] = row
    places = commonest([tuple(sorted(packet)) for packet in found])
    rx, tx = (len(set(side)) for side in zip(*places, strict=True))
    for packet in found:
        if tuple(sorted(packet)) != places:
            whys.extend((starts[row][0], f"of a packet without all of {rx} cores x {tx} streams")
                        for row in packet.values())
    groups = [[packet[place] for place in places] for packet in found if tuple(sorted(packet)) == places]
    return groups if len(places) == rx * tx else [], rx, tx


def _values(content, start, tones, chip):
    if _CHIPS[chip] is None:
        pairs = np.frombuffer(content, "<i2", 2 * tones, start + _HEAD).astype(np.float32)
        return pairs.view(np.complex64)
    return unpack_float(np.frombuffer(content, "<u4", tones, start + _HEAD), *_CHIPS[chip])


def unpack_float(words, mantissa, exponent):
    """32-bit words of (sign, real, sign, imaginary, common exponent) -> complex64; bits of each part, sign included.

    The value is the mantissa times 2 to the exponent, so packets keep their ratio to each other.
    """
    words = np.asarray(words, np.uint32)
    mask = (1 << mantissa - 1) - 1
    power = (words & (1 << exponent) - 1).astype(np.int32)
    power -= (power >= 1 << exponent - 1) * (1 << exponent)
    parts = []
    for shift in (exponent + mantissa, exponent):
        size = ((words >> shift) & mask).astype(np.float32)
        parts.append(np.ldexp(np.where(words >> (shift + mantissa - 1) & 1, -size, size), power))
    return (parts[0] + 1j * parts[1]).astype(np.complex64)
