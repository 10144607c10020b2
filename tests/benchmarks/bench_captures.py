"""How fast captures are read, and in how much memory: 100,000 packets of each kind.

Run with `make benchmark`. Printed are the seconds of one core, and the largest memory over that of the array of CSI.
The first should stay under 10 s and the second under 3; nothing is asserted of either.
"""

import json
import subprocess
import sys

import numpy as np
import pytest
from capture_files import (
    NUMBERS,
    atheros_csi,
    atheros_record,
    espressif,
    feit_record,
    intel_record,
    newer,
    nexmon_frame,
    pairs,
    pcap,
    picoscenes_frame,
    tool,
)
from real_data import MIRROR

from csi_utils.files import picoscenes

pytestmark = pytest.mark.benchmark
PACKETS, DIFFERENT = 100_000, 100
# Seconds of one core and bytes that reading a file takes, of this process and of those that it starts.
MEASURE = """
import json, resource, sys
from csi_utils.files import captures

def now(whose):
    usage = resource.getrusage(whose)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024  # kB on Linux

before = now(resource.RUSAGE_SELF)
csi = captures.read(sys.argv[1]).csi
after, started = now(resource.RUSAGE_SELF), now(resource.RUSAGE_CHILDREN)
print(json.dumps({"packets": len(csi), "array": csi.nbytes, "seconds": after[0] - before[0] + started[0],
                  "memory": after[1] - before[1], "child": started[1]}))
"""


def lines(line, n):
    return b"".join(line([*NUMBERS[k:], *NUMBERS][:n], clock=1000 * k).encode() + b"\n" for k in range(DIFFERENT))


def pcap_body(rng, chip):
    frames = [nexmon_frame(pairs(rng, 256).view("<u4"), 256, chip, seq=k) for k in range(DIFFERENT)]
    return pcap(frames)[24:]


def made(kind):
    """(the start of a file, what is repeated in it)."""
    rng = np.random.default_rng(0)
    records = range(DIFFERENT)
    if kind.startswith("nexmon"):
        return pcap([])[:24], pcap_body(rng, 0x6A if "4366c0" in kind else 0x65)
    if kind == "picoscenes, Intel 5300, by csiread":
        content = (MIRROR / "captures/picoscenes_iwl5300_example.csi").read_bytes()
        found, _ = picoscenes.frames(content)
        return b"", b"".join(content[start:start + length] for _, start, length in found[:DIFFERENT])
    return b"", {
        "esp32, 128 values": lambda: lines(tool, 128),
        "esp32, 384 values": lambda: lines(espressif, 384),
        "esp32, newer chip, 234 values": lambda: lines(newer, 234),
        "intel5300, 3 rx x 1 tx": lambda: b"".join(intel_record(rng.integers(-99, 99, (30, 3, 1)) + 1j, (0, 1, 2))
                                                   for _ in records),
        "atheros, 56 x 3 x 2": lambda: b"".join(atheros_record(atheros_csi(rng), k) for k in records),
        "picoscenes, AX200, 56 x 2 x 1": lambda: b"".join(picoscenes_frame(rng.integers(-99, 99, (56, 2, 1)), k)
                                                          for k in records),
        "feitcsi, 242 x 2 x 1": lambda: b"".join(feit_record(rng.integers(-99, 99, (242, 2, 1)), k) for k in records),
    }[kind]()


KINDS = ["esp32, 128 values", "esp32, 384 values", "esp32, newer chip, 234 values", "intel5300, 3 rx x 1 tx",
         "nexmon 43455c0, 256", "nexmon 4366c0, 256", "atheros, 56 x 3 x 2", "picoscenes, AX200, 56 x 2 x 1",
         "picoscenes, Intel 5300, by csiread", "feitcsi, 242 x 2 x 1"]


@pytest.mark.parametrize("kind", KINDS)
def test_seconds_and_memory(tmp_path, kind, capsys):
    if kind.startswith(("intel", "atheros")) or "csiread" in kind:
        pytest.importorskip("csiread")
    if "csiread" in kind and MIRROR is None:
        pytest.skip("CSI_DATA_MIRROR is not set: no frame to repeat")
    start, body = made(kind)
    path = tmp_path / "a.bin"
    with open(path, "wb") as file:
        file.write(start)
        for _ in range(PACKETS // DIFFERENT):
            file.write(body)

    # In a process of its own, whose largest memory is that of the reader; a file that is mapped counts as memory.
    run = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, check=True)
    got = json.loads(run.stdout)
    size, array = path.stat().st_size / 1e6, got["array"]
    with capsys.disabled():
        print(f"\n{kind}: {got['packets']:,} packets of {size:.0f} MB in {got['seconds']:.1f} s of one core; "
              f"{got['memory'] / array:.1f} times the array of {array / 1e6:.0f} MB"
              + (f", and {got['child'] / array:.1f} times in the process of csiread" if got["child"] else ""))
    assert got["packets"] > 0.85 * PACKETS
    path.unlink()
