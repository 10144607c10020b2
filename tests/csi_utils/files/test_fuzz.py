"""Files that are broken or made to harm: an error or what is good of them, bounded work, and nothing is executed."""

import io
import os
import pickle
import struct
import subprocess
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from capture_files import atheros_record, nexmon_frame, pcap, some_file, tool
from real_data import MIRROR, needs

from csi_utils import datasets
from csi_utils.files import captures, esp32, own_data, packets

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed: the extra test")
st = hypothesis.strategies
small = hypothesis.settings(max_examples=40, deadline=None, derandomize=True, database=None,
                            suppress_health_check=list(hypothesis.HealthCheck))

HUGE = [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\xff\xff", b"\x00\x00", b"\xff\x7f", b"\x80"]


@st.composite
def broken(draw, content):
    """The bytes of a file with a few of them changed, huge counts put in, a piece lost, doubled, or the end cut off."""
    content = bytearray(content)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content) - 1))
        content[at] ^= 1 << draw(st.integers(0, 7))
    for _ in range(draw(st.integers(0, 2))):
        # Most counts stand in the first bytes of a record.
        at = draw(st.one_of(st.integers(0, 100), st.integers(0, len(content))))
        count = draw(st.sampled_from(HUGE))
        content[at:at + len(count)] = count
    if draw(st.booleans()):
        first, last = sorted(draw(st.tuples(st.integers(0, len(content)), st.integers(0, len(content)))))
        content[first:last] = bytes(content[first:last]) * draw(st.integers(0, 2))
    return bytes(content[:draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)


def read_or_error(path):
    """What is read of a file, or None after an error that names it; the memory that it took, in bytes."""
    tracemalloc.start()
    try:
        return captures.read(path), tracemalloc.get_traced_memory()[1]
    except ValueError as problem:
        assert path.name in str(problem)
        return None, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", packets.READABLE)
def test_a_broken_capture_is_an_error_or_gives_no_more_than_it_holds(tmp_path, kind, monkeypatch):
    if kind in ("atheros", "intel5300", "picoscenes"):
        pytest.importorskip("csiread")
    # No process is started for frames that we unpack, and a broken one must not be handed on unseen.
    started = []
    monkeypatch.setattr(subprocess, "run", lambda *args, **rest: started.append(args) or subprocess.CompletedProcess(
        args, 1, "", "not started here"))
    path, content = tmp_path / "a.bin", some_file(kind, packets=5)

    @small
    @hypothesis.given(st.data())
    def check(data):
        changed = data.draw(broken(content))
        path.write_bytes(changed)
        got, memory = read_or_error(path)
        assert memory < 4_000_000 + 20 * len(changed)
        if got is not None:
            assert got.csi.size <= len(changed) and len(got.t) == len(got.csi) > 0
            assert np.isfinite(got.t).all() and np.isfinite(got.csi).all()
            assert len(got.null) == got.csi.shape[1]

    check()


@needs("captures")
def test_a_broken_picoscenes_capture_ends_at_most_the_process_of_csiread(tmp_path):
    pytest.importorskip("csiread")
    content = (MIRROR / "captures/picoscenes_iwl5300_example.csi").read_bytes()[:6000]
    path = tmp_path / "a.csi"

    @hypothesis.settings(small, max_examples=8)
    @hypothesis.given(st.data())
    def check(data):
        changed = content[:8] + data.draw(broken(content[8:]))
        path.write_bytes(changed)
        got, _ = read_or_error(path)
        assert got is None or got.csi.size <= len(changed)

    check()


def test_a_pcap_of_two_gigabytes_by_its_header(tmp_path):
    content = pcap([nexmon_frame(np.ones(64, np.uint32), 64)])
    for length in (2**31 - 1, 2**32 - 1):
        bad = content + struct.pack("<IIII", 1, 1, length, length) + bytes(100)
        (tmp_path / "a.pcap").write_bytes(bad)
        got, memory = read_or_error(tmp_path / "a.pcap")
        assert len(got.csi) == 1 and memory < 1_000_000
        assert got.dropped == ((1, f"cut short: {length} bytes announced, 100 left"),)
        (tmp_path / "a.pcap").write_bytes(bad[:24] + bad[-116:])
        got, memory = read_or_error(tmp_path / "a.pcap")
        assert got is None and memory < 1_000_000


@pytest.mark.parametrize("kind", packets.READABLE)
def test_to_recognize_a_large_file_little_of_it_is_read(tmp_path, kind, monkeypatch):
    (tmp_path / "a.bin").write_bytes(some_file(kind))
    with open(tmp_path / "a.bin", "ab") as file:
        file.truncate(1 << 32)  # of zeros, which take no place on the disk
    tracemalloc.start()
    assert packets.kind_of(tmp_path / "a.bin") in (kind, None)
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert memory < 4 * packets.FIRST


def test_a_line_without_an_end_is_cut_and_given_up(tmp_path):
    with open(tmp_path / "a.csv", "wb") as file:
        file.write(tool([1] * 128).encode() + b"\n" + b"CSI_DATA," + b"1 " * (1 << 20))
    got, memory = read_or_error(tmp_path / "a.csv")
    assert len(got.csi) == 1 and memory < 20 * esp32.LONGEST
    assert len(got.dropped) == 1 + (1 << 21) // esp32.LONGEST


def test_counts_that_promise_more_than_there_is(tmp_path):
    pytest.importorskip("csiread")
    good = atheros_record(np.ones((56, 3, 2)))
    bad = bytearray(good)
    bad[18:21] = b"\xff\xff\xff"
    (tmp_path / "a.dat").write_bytes(good + bytes(bad))
    got, memory = read_or_error(tmp_path / "a.dat")
    assert len(got.csi) == 1 and memory < 1_000_000 and got.dropped == ((1, "with 255 rx x 255 tx x 255 tones"),)


# ---- A person's own .npz ---------------------------------------------------------------------------------------

def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def members(**contents):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, content in contents.items():
            archive.writestr(f"{key}.npy", content)
    return file.getvalue()


def npy(shape, dtype, content=b""):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue() + content


def loaded(path):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as problem:
            datasets.load(path)
        return str(problem.value), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_broken_npz_is_an_error_or_whole(tmp_path):
    content = npz(csi=np.ones((20, 8, 1, 1), np.complex64), session=np.arange(20), t=np.arange(20.0),
                  activity=np.array(["a", "b"] * 10))
    path = tmp_path / "my.npz"

    @small
    @hypothesis.given(st.data())
    def check(data):
        path.write_bytes(data.draw(broken(content)))
        try:
            found = datasets.load(path)
        except ValueError as problem:
            assert "my.npz" in str(problem)
        else:
            assert found["csi"].shape == (20, 8, 1, 1)

    check()


@small
@hypothesis.given(key=st.sampled_from(sorted(own_data.OWN)),
                  dtype=st.sampled_from(["?", "i1", "u8", "f2", "f8", "c8", "c16", "U3", "S3", "M8[s]", "m8[s]", "V4"]),
                  shape=st.lists(st.integers(0, 5), max_size=6))
def test_wrong_types_and_shapes_are_named(tmp_path_factory, key, dtype, shape):
    path = tmp_path_factory.mktemp("types") / "my.npz"
    path.write_bytes(npz(**{"amp": np.ones((4, 3))} | {key: np.zeros(shape, dtype)}))
    try:
        datasets.load(path)
    except ValueError as problem:
        assert "my.npz" in str(problem) and (key in str(problem) or "amp" in str(problem))


class Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("where", ["amp", "session", "other"])
def test_a_pickle_is_refused_and_not_run(tmp_path, where):
    mark = tmp_path / "harm"
    arrays = {"amp": np.ones((4, 3))} | {where: np.array([Harm(str(mark))] * 4, object)}
    (tmp_path / "my.npz").write_bytes(npz(**arrays))
    assert "pickled objects" in loaded(tmp_path / "my.npz")[0] or where == "other"
    (tmp_path / "raw.npz").write_bytes(members(amp=pickle.dumps(Harm(str(mark)))))
    loaded(tmp_path / "raw.npz")
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(Harm(str(mark))))
    loaded(tmp_path / "bare.npz")
    with pytest.raises(ValueError):
        captures.read(tmp_path / "bare.npz")
    assert not mark.exists()


@pytest.mark.parametrize("shape", [(10**12,), (10**9, 10**9), (2**40, 30)])
def test_a_shape_that_promises_more_than_there_is(tmp_path, shape):
    (tmp_path / "my.npz").write_bytes(members(amp=npy(shape, "<f8", bytes(64))))
    message, memory = loaded(tmp_path / "my.npz")
    assert "amp: float64" in message and "but there are 64" in message and memory < 1_000_000


def test_a_bomb_is_refused_before_it_goes_off(tmp_path, monkeypatch):
    monkeypatch.setattr(own_data, "LARGE", 1 << 20)
    (tmp_path / "my.npz").write_bytes(npz(amp=np.zeros((1 << 16, 64))))
    message, memory = loaded(tmp_path / "my.npz")
    assert f"grow to {1 << 25}, which no recording does" in message and memory < 1_000_000
    (tmp_path / "other.npz").write_bytes(npz(amp=np.ones((4, 3)), bomb=np.zeros((1 << 16, 64))))
    message, memory = loaded(tmp_path / "other.npz")
    assert "bomb: unknown array" in message and memory < 1_000_000


def test_a_large_recording_is_no_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(own_data, "LARGE", 1 << 16)
    amp = np.random.default_rng(0).integers(0, 5, (5000, 64)).astype(np.uint8)  # as compressible as counts can be
    (tmp_path / "my.npz").write_bytes(npz(amp=amp, session=np.repeat(np.arange(5), 1000)))
    assert datasets.load(Path(tmp_path / "my.npz"))["amp"].shape == (5000, 64)


def test_two_arrays_of_one_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "my.npz", "w") as archive, pytest.warns(UserWarning):
        for _ in range(2):
            archive.writestr("amp.npy", npy((1, 1), "<f8", bytes(8)))
    assert "two arrays have one name" in loaded(tmp_path / "my.npz")[0]
