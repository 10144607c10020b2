"""Capture files of every kind, made by hand for tests, bit by bit as their tools write them."""

import struct

import numpy as np

NUMBERS = [(7 * k) % 101 - 50 for k in range(612)]


def tool(values, clock=7313, mode=0, wide=0, stbc=0, second=0, role="AP"):
    """A line of the ESP32-CSI-Tool."""
    return (f"CSI_DATA,{role},00:00:00:00:00:00,-52,11,{mode},0,{wide},1,1,0,{stbc},0,0,-93,0,6,{second},{clock},0,101,"
            f"0,0,80.36,{len(values)},[{' '.join(map(str, values))} ]")


def espressif(values, clock=7313, mode=1, wide=1, stbc=0, second=2, first_word=0):
    """A line of Espressif's esp-csi for ESP32, S2, S3, C3."""
    return (f"CSI_DATA,17,1a:00:00:00:00:00,-40,11,{mode},0,{wide},1,1,0,{stbc},0,0,-93,0,11,{second},{clock},0,101,0,"
            f"{len(values)},{first_word},\"[{','.join(map(str, values))}]\"")


NEWER = ("type,seq,mac,rssi,rate,noise_floor,fft_gain,agc_gain,channel,local_timestamp,sig_len,rx_state,len,first_word,"
         "data")


def newer(values, clock=7313, fft=20, agc=36, first_word=0):
    """A line of esp-csi for the C5 and C6."""
    return (f"CSI_DATA,17,1a:00:00:00:00:00,-40,11,-93,{fft},{agc},11,{clock},101,0,{len(values)},{first_word},"
            f"\"[{','.join(map(str, values))}]\"")


SPEC = {64: 0x1000, 128: 0x1800, 256: 0x2000, 512: 0x2800}


def nexmon_frame(words, tones, chip=0x65, seq=1, core=0, stream=0, rssi=-60, more=b"", spec=None):
    head = bytes(6) + b"NEXMON" + b"\x08\0" + bytes(28)
    spec = SPEC[tones] if spec is None else spec
    return (head + b"\x11\x11" + struct.pack("<bB6sHHHH", rssi, 0x80, bytes(6), seq, core | stream << 3, spec | 6, chip)
            + np.asarray(words, "<u4").tobytes() + more)


def pcap(frames, order="<", nano=False, cut=0):
    magic = {"<": b"\xd4\xc3\xb2\xa1", ">": b"\xa1\xb2\xc3\xd4"}[order]
    if nano:
        magic = {"<": b"\x4d\x3c\xb2\xa1", ">": b"\xa1\xb2\x3c\x4d"}[order]
    content = magic + struct.pack(order + "HHIIII", 2, 4, 0, 0, 65535, 1)
    for k, frame in enumerate(frames):
        part = k * (10**6 if nano else 1000)
        content += struct.pack(order + "IIII", 1000, part, len(frame), len(frame)) + frame
    return content[:len(content) - cut]


def pairs(rng, tones):
    return rng.integers(-3000, 3000, (tones, 2)).astype("<i2")


def atheros_record(csi, clock=0, order="<", payload=0, tones=None):
    """csi: (tone, rx, tx) whole numbers within 10 bits."""
    n, n_rx, n_tx = csi.shape
    values = np.stack([csi.imag, csi.real], -1).astype(int).ravel() & 1023
    bits = ((values[:, None] >> np.arange(10)) & 1).astype(np.uint8).ravel()
    body = np.packbits(bits, bitorder="little").tobytes()
    body += bytes(-len(body) % 4)
    head = struct.pack(order + "QHH", clock, len(body), 2437)
    head += bytes([0, 0, 135, n == 114, tones or n, n_rx, n_tx, 52, 38, 52, 36]) + struct.pack(order + "H", payload)
    return struct.pack(order + "H", 25 + len(body) + payload) + head + body + bytes(payload)


def atheros_csi(rng, tones=56, n_rx=3, n_tx=2):
    return rng.integers(-500, 500, (tones, n_rx, n_tx)) + 1j * rng.integers(-500, 500, (tones, n_rx, n_tx))


def intel_record(csi, ports, clock=0, rssi=(33, 31, 35), noise=-127, agc=40, count=1):
    """One record of the log, packed by hand: csi (30, rx, tx) whole numbers in the order of the chains; ports:
    the antenna port of each of the three chains."""
    n_rx, n_tx = csi.shape[1:]
    values = np.stack([csi.real, csi.imag], -1).astype(np.int8).view(np.uint8).reshape(30, -1)
    bits = np.unpackbits(values, axis=1, bitorder="little")
    bits = np.concatenate([np.zeros((30, 3), np.uint8), bits], axis=1).ravel()  # 3 bits are skipped each time
    payload = np.packbits(bits, bitorder="little").tobytes()
    size = (30 * (8 * 2 * n_rx * n_tx + 3) + 7) // 8
    assert len(payload) == size
    selection = sum(port << 2 * chain for chain, port in enumerate(ports))
    body = struct.pack("<IHHBBBBBbBBHH", clock, count, 0, n_rx, n_tx, *rssi, noise, agc, selection, size, 0x4101)
    return struct.pack(">HB", 1 + len(body) + size, 0xBB) + body + payload


def feit_record(csi, clock=0, us=0, style=3, width=2, rssi=48, us32=0):
    """csi: (tone, rx, tx)."""
    n, n_rx, n_tx = csi.shape
    values = np.stack([csi.real, csi.imag], -1).transpose(1, 2, 0, 3).astype("<i2").tobytes()
    head = bytearray(272)
    struct.pack_into("<IxxxxIQ", head, 0, len(values), clock, us)
    head[46], head[47] = n_rx, n_tx
    struct.pack_into("<I", head, 52, n)
    struct.pack_into("<II", head, 60, rssi, rssi)
    struct.pack_into("<II", head, 88, us32, style << 8 | width << 11)
    return bytes(head) + values


def picoscenes_frame(csi, clock=0):
    """A frame of an AX200: csi (tone, rx, tx)."""
    record = feit_record(csi, style=2, width=0, us32=clock)

    def segment(name, body):
        name = name + b"\0"
        content = bytes([len(name)]) + name + struct.pack("<H", 4) + body
        return struct.pack("<I", len(content)) + content

    values = record[272:]
    rest = struct.pack("<HB", 1, 2) + segment(b"MVMExtra", record[:272])
    rest += segment(b"CSI", bytes(36) + struct.pack("<I", len(values)) + values)
    return struct.pack("<I", 4 + len(rest)) + b"\x15\x03\x15\x20" + rest


def some_file(kind, packets=1):
    """A sound file of a kind of `csi_utils.files.packets.READABLE`."""
    rng = np.random.default_rng(7)
    if kind == "esp32":
        return "\n".join(tool(NUMBERS[k:128 + k], 1000 * k) for k in range(packets)).encode()
    if kind == "nexmon":
        return pcap([nexmon_frame(pairs(rng, 64).view("<u4"), 64, seq=k) for k in range(packets)])
    if kind == "atheros":
        return b"".join(atheros_record(atheros_csi(rng), 1000 * k) for k in range(packets))
    if kind == "feitcsi":
        return b"".join(feit_record(np.ones((56, 2, 1)), 1000 * k) for k in range(packets))
    if kind == "picoscenes":
        return b"".join(picoscenes_frame(rng.integers(-99, 99, (56, 2, 1)), 1000 + k) for k in range(packets))
    return b"".join(intel_record(rng.integers(-99, 99, (30, 3, 1)) + 1j, (0, 1, 2), clock=1000 * k)
                    for k in range(packets))
