"""Real data are used only when they are the registered ones, and their absence costs seconds and one line."""

import functools
import gzip
import http.server
import io
import os
import pickle
import re
import socket
import struct
import sys
import threading
import time
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from real_data import MIRROR, REAL, needs
from scipy.io import savemat

from csi_papers.run import data
from csi_papers.run.data import command
from csi_utils import datasets
from csi_utils.files import converters, sources

SAMPLES = needs("upstream-samples")
ARRAYS = {"amp": np.arange(12, dtype=np.float16).reshape(4, 3), "location": np.array([0, 0, 1, 1], np.uint8),
          "domain": np.array([0, 0, 1, 1], np.uint8), "domain_names": np.array(["a", "b"])}
AXES = {"amp": ["packet", "feature"], "location": ["packet"], "domain": ["packet"], "domain_names": ["domain"]}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A mirror, a public source and a registry of one tiny set "tiny", an empty cache, no probes made yet."""
    for folder in ("mirror/datasets", "public/dataset", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    file = tmp_path / "mirror/datasets/tiny.npz"
    np.savez(file, **ARRAYS)
    for index, name in enumerate("ab"):
        rows = ARRAYS["domain"] == index
        np.save(tmp_path / f"public/dataset/{name}.npy",
                {"data": ARRAYS["amp"][rows].astype(float), "label": ARRAYS["location"][rows].astype(np.int32)})
    entry = {"title": "tiny <b>", "task": "t", "hardware": "h", "licence": "none & no", "redistribution": "no",
             "citation": "c", "caveats": ["first", "second", "third", "fourth"], "file": "datasets/tiny.npz",
             "bytes": file.stat().st_size, "sha256": sources._sha256(file, 0, 0), "converter": "dfl_4env",
             "content": sources.content_digest(ARRAYS), "groups": ["domain"], "honest_split": "by domain", "axes": AXES,
             "upstream": {"repository": "r", "commit": "0", "base": "http://127.0.0.1:9",
                          "files": [{"path": "dataset/a.npy"}, {"path": "dataset/b.npy"}]}}
    sources._sha256.cache_clear()
    for module in (datasets, sources, data):
        monkeypatch.setattr(module, "registry", lambda: {"tiny": entry})
    for variable in ("CSI_DATA_MIRROR", "CSI_DATA_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("CSI_DATA_CACHE", str(tmp_path / "cache"))
    forget(monkeypatch)
    world = type("World", (), {"root": tmp_path, "mirror": tmp_path / "mirror", "file": file, "entry": entry,
                               "cache": tmp_path / "cache", "public": tmp_path / "public"})
    return world


def forget(monkeypatch):
    """A new process: no probe made, nothing said."""
    monkeypatch.setattr(sources, "_probes", {})
    monkeypatch.setattr(sources, "_budget", {"left": sources.PROBE_SECONDS})
    monkeypatch.setattr(datasets, "_said", [])


@pytest.fixture
def serve():
    """serve(folder) -> (base URL, list of requested paths)."""
    servers = []

    def start(folder, cut=False):
        asked = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *args):
                asked.append(f"{self.command} {self.path}")

            def copyfile(self, source, out):
                content = source.read()
                out.write(content[:len(content) // 2] if cut else content)

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}", asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def flip_byte(path, keep_size=True):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content if keep_size else content[:-7])


def files(folder):
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


# ---- the Dataset -----------------------------------------------------------------------------------------------

def test_load_from_mirror_gives_the_whole_card(world, monkeypatch):
    monkeypatch.setenv("CSI_DATA_MIRROR", str(world.mirror))
    ds = datasets.load("tiny")
    assert ds.source == "real" and ds.origin.startswith("mirror: ") and ds.groups == ("domain",)
    assert ds.axes["amp"] == ("packet", "feature")
    np.testing.assert_array_equal(ds["amp"], ARRAYS["amp"])
    assert ds.card["upstream"]["path"] == "dataset/a.npy, dataset/b.npy" and ds.card["licence"] == "none & no"
    with pytest.raises(KeyError, match="tiny has no array 'xy'; it has amp, location, domain, domain_names"):
        ds["xy"]
    assert "(4, 3) float16" in repr(ds) and "caveat: third" in repr(ds) and "fourth" not in repr(ds)
    page = ds._repr_html_()
    assert "tiny &lt;b&gt;" in page and "none &amp; no" in page and "&lt;U1" in page


@pytest.mark.parametrize("wrong", [{"axes": {"amp": ("packet",)}}, {"axes": {}}, {"groups": ("day",)},
                                   {"axes": {"amp": ("packet", "feature"), "xy": ("packet",)}}])
def test_a_dataset_whose_parts_do_not_fit_is_refused(wrong):
    parts = {"arrays": {"amp": ARRAYS["amp"]}, "axes": {"amp": ("packet", "feature")}, "groups": ()} | wrong
    with pytest.raises(ValueError, match="x: "):
        datasets.Dataset(name="x", source="own", origin="", honest_split="", card={}, **parts)


def test_names_and_options(world, monkeypatch):
    known = ", ".join([*datasets.EMBEDDED, "tiny"])
    with pytest.raises(ValueError, match=f"unknown data set 'tinny'; expected {known}.*mean 'tiny'"):
        datasets.load("tinny")
    monkeypatch.setenv("CSI_DATA_MIRROR", str(world.mirror))
    with pytest.raises(TypeError, match=r"'tiny' takes none, got \['seed'\]"):
        datasets.load("tiny", seed=1)
    with pytest.raises(ValueError, match="unknown data set"):
        datasets.available("sim-lab2")


def test_simulated_sets_are_built_with_their_options(monkeypatch):
    import types

    def build(name, **options):
        return {"arrays": {"amp": np.zeros((options["n"], 2))}, "axes": {"amp": ("packet", "feature")}, "groups": (),
                "honest_split": "", "card": {"title": name}}

    monkeypatch.setitem(sys.modules, "csi_utils.sim.fingerprints", types.SimpleNamespace(build=build))
    monkeypatch.setattr("csi_utils.sim.fingerprints", sys.modules["csi_utils.sim.fingerprints"], raising=False)
    ds = datasets.load("sim-lab", n=5)
    assert ds.source == "simulated" and ds["amp"].shape == (5, 2)


def test_order_in_group():
    domain, place = np.array([1, 0, 1, 1, 0]), np.array(["x", "x", "x", "y", "x"])
    assert datasets.order_in_group(domain, place).tolist() == [0, 0, 1, 0, 1]
    assert datasets.order_in_group(place).tolist() == [0, 1, 2, 0, 3]
    for keys in ((), (domain, place[:2]), (np.zeros((2, 2)),)):
        with pytest.raises(ValueError, match="keys: expected 1-D arrays"):
            datasets.order_in_group(*keys)


# ---- integrity -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("keep_size", [True, False])
def test_an_altered_or_cut_mirror_file_is_refused_and_auto_does_not_hide_it(world, monkeypatch, keep_size):
    monkeypatch.setenv("CSI_DATA_MIRROR", str(world.mirror))
    datasets.load("tiny")
    flip_byte(world.file, keep_size)
    size = world.entry["bytes"] - (0 if keep_size else 7)
    for use in (datasets.load, datasets.fetch, lambda name: datasets.resolve(name, "auto")):
        with pytest.raises(sources.DataAltered) as refusal:
            use("tiny")
        expected = f"expected {world.entry['bytes']} bytes, sha256 {world.entry['sha256']}"
        for part in ("tiny.npz", expected, f"found {size} bytes"):
            assert part in str(refusal.value)
    assert files(world.cache) == []
    assert command("verify", []) == 1


def test_equal_content_in_other_bytes_is_good_for_the_cache_but_not_for_a_mirror(world, monkeypatch):
    world.cache.mkdir()
    np.savez_compressed(sources.cached("tiny"), **ARRAYS)
    assert datasets.load("tiny").origin.startswith("cache: ")
    np.savez_compressed(world.file, **ARRAYS)
    monkeypatch.setenv("CSI_DATA_MIRROR", str(world.mirror))
    with pytest.raises(sources.DataAltered, match="mirror"):
        datasets.load("tiny")


def bad_files():
    good = io.BytesIO()
    np.savez(good, **ARRAYS)
    yield "changed value", lambda path: np.savez(path, **ARRAYS | {"location": ARRAYS["location"] + 1})
    yield "changed type", lambda path: np.savez(path, **ARRAYS | {"amp": ARRAYS["amp"].astype(float)})
    yield "missing array", lambda path: np.savez(path, amp=ARRAYS["amp"])
    yield "pickled object", lambda path: np.savez(path, amp=np.array([{}], dtype=object))
    yield "cut", lambda path: path.write_bytes(good.getvalue()[:-40])
    yield "empty", lambda path: path.write_bytes(b"")
    yield "a page of a proxy", lambda path: path.write_bytes(b"<html>log in</html>")


BAD = dict(bad_files())


@pytest.mark.parametrize("what", BAD)
def test_a_bad_cached_file_is_refused_and_fetch_replaces_it_only_by_a_good_one(world, monkeypatch, what):
    world.cache.mkdir()
    target = sources.cached("tiny")
    BAD[what](target)
    bad = target.read_bytes()
    with pytest.raises(sources.DataAltered, match="data fetch tiny"):
        datasets.load("tiny")
    with pytest.raises(datasets.DataUnavailable):
        datasets.fetch("tiny")
    assert target.read_bytes() == bad and files(world.cache) == [target.name]
    monkeypatch.setenv("CSI_DATA_MIRROR", str(world.mirror))
    assert datasets.fetch("tiny") == target
    assert target.read_bytes() == world.file.read_bytes() and files(world.cache) == [target.name]


def test_a_large_file_is_hashed_once(world, monkeypatch):
    monkeypatch.setenv("CSI_DATA_MIRROR", str(world.mirror))
    sources._sha256.cache_clear()
    datasets.load("tiny")
    datasets.load("tiny")
    assert sources._sha256.cache_info().misses == 1


# ---- mirror and cache ------------------------------------------------------------------------------------------

def test_a_read_only_mirror_is_read_in_place_and_stays_as_it_is(world, monkeypatch):
    monkeypatch.setenv("CSI_DATA_MIRROR", str(world.mirror))
    for path in (world.file, world.file.parent, world.mirror):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = world.file.stat()
    datasets.load("tiny")
    assert not world.cache.exists()
    datasets.fetch("tiny")
    after = world.file.stat()
    assert (before.st_mtime_ns, before.st_ino, before.st_mode) == (after.st_mtime_ns, after.st_ino, after.st_mode)
    assert files(world.mirror) == ["datasets", "tiny.npz"]
    assert not sources.cached("tiny").is_symlink()


def test_links_are_followed_for_reading_and_never_written_through(world, monkeypatch):
    (world.root / "linked").symlink_to(world.mirror)
    monkeypatch.setenv("CSI_DATA_MIRROR", str(world.root / "linked"))
    datasets.load("tiny")
    precious = world.root / "elsewhere/precious.npz"
    precious.write_bytes(b"mine")
    world.cache.mkdir()
    sources.cached("tiny").symlink_to(precious)
    datasets.fetch("tiny")
    assert precious.read_bytes() == b"mine" and not sources.cached("tiny").is_symlink()


def test_how_a_mirror_may_be_named(world, monkeypatch):
    monkeypatch.setenv("CSI_DATA_MIRROR", world.mirror.as_uri())
    assert datasets.load("tiny").origin.startswith("mirror: ")
    monkeypatch.setattr(sources, "ROOT", world.root / "public")
    monkeypatch.chdir(world.root / "elsewhere")
    monkeypatch.setenv("CSI_DATA_MIRROR", "../mirror")  # from the working directory
    assert datasets.load("tiny").origin.startswith("mirror: ")
    (world.root / "elsewhere/deep").mkdir()
    monkeypatch.chdir(world.root / "elsewhere/deep")  # a notebook's folder; now from the checkout
    assert datasets.load("tiny").origin.startswith("mirror: ")
    monkeypatch.setenv("CSI_DATA_MIRROR", "../mirrror")
    for use in (lambda: datasets.load("tiny"), lambda: datasets.resolve("tiny", "auto")):
        with pytest.raises(FileNotFoundError, match=r"CSI_DATA_MIRROR=\.\./mirrror is no directory"):
            use()


def test_url_mirror_goes_to_the_cache_once(world, monkeypatch, serve):
    base, asked = serve(world.mirror)
    monkeypatch.setenv("CSI_DATA_MIRROR", base + "/")
    assert datasets.available("tiny") == (True, f"mirror: {base}/datasets/tiny.npz") and files(world.cache) == []
    assert datasets.load("tiny").origin.startswith("cache: ")
    datasets.load("tiny")
    assert [line for line in asked if line.startswith("GET")] == ["GET /datasets/tiny.npz"]
    assert sources.cached("tiny").read_bytes() == world.file.read_bytes()


def test_an_altered_url_mirror_is_refused_and_leaves_nothing(world, monkeypatch, serve):
    flip_byte(world.file)
    monkeypatch.setenv("CSI_DATA_MIRROR", serve(world.mirror)[0])
    with pytest.raises(sources.DataAltered, match="tiny"):
        datasets.resolve("tiny", "auto")
    assert files(world.cache) == []


def test_a_url_mirror_without_the_file_gives_way_to_the_public_source(world, monkeypatch, serve):
    monkeypatch.setenv("CSI_DATA_MIRROR", serve(world.root / "elsewhere")[0])
    world.entry["upstream"]["base"] = serve(world.public)[0]
    assert datasets.load("tiny").origin.startswith("cache: ")


# ---- public source ---------------------------------------------------------------------------------------------

def test_public_files_are_converted_and_the_result_is_checked(world, serve):
    world.entry["upstream"]["base"], asked = serve(world.public)
    np.testing.assert_array_equal(datasets.resolve("tiny", "auto")["location"], ARRAYS["location"])
    assert [line for line in asked if line.startswith("GET")] == ["GET /dataset/a.npy", "GET /dataset/b.npy"]
    assert files(world.cache) == [sources.cached("tiny").name]


@pytest.mark.parametrize("change", ["value", "sha256", "pickle", "rubbish"])
def test_changed_public_files_are_refused(world, serve, change):
    file = world.public / "dataset/b.npy"
    if change == "value":
        np.save(file, {"data": ARRAYS["amp"][2:].astype(float) + 1, "label": ARRAYS["location"][2:]})
    elif change == "sha256":
        world.entry["upstream"]["files"][1]["sha256"] = "0" * 64
    elif change == "pickle":
        np.save(file, np.array(Evil(), dtype=object))
    else:
        file.write_bytes(b"<html>")
    world.entry["upstream"]["base"] = serve(world.public)[0]
    with pytest.raises(sources.DataAltered, match="not used"):
        datasets.resolve("tiny", "auto")
    assert files(world.cache) == []


def test_an_interrupted_download_leaves_no_half_file(world, serve, capsys):
    world.entry["upstream"]["base"] = serve(world.public, cut=True)[0]
    with pytest.raises(datasets.DataUnavailable, match="could not be fetched.*dataset/a.npy"):
        datasets.load("tiny")
    assert files(world.cache) == []
    assert datasets.resolve("tiny", "auto") is None and "REAL DATA ARE NOT USED" in capsys.readouterr().out
    assert command("fetch", ["tiny"]) == 1


@pytest.fixture
def mirror_only(world, monkeypatch):
    del world.entry["converter"]
    world.entry["mirror_only"] = "nobody knows its form"
    return world


def test_a_set_without_a_converter_comes_from_a_mirror_or_says_so_and_asks_nobody(mirror_only, monkeypatch, capsys):
    monkeypatch.setattr(sources, "_ask", lambda url: pytest.fail("a connection was tried"))
    here, why = datasets.available("tiny")
    assert not here and why.endswith("it comes from a mirror only (nobody knows its form)")
    for use in (datasets.load, datasets.fetch, lambda name: datasets.resolve(name, "real")):
        with pytest.raises(datasets.DataUnavailable, match=r"tiny: .*comes from a mirror only \(nobody") as problem:
            use("tiny")
        assert "set CSI_DATA_MIRROR" in str(problem.value) and "data fetch" not in str(problem.value)
    assert datasets.resolve("tiny", "auto") is None
    assert command("list", []) == 0 and "from a mirror only" in capsys.readouterr().out
    assert command("fetch", []) == 1 and "from a mirror only" in capsys.readouterr().err
    monkeypatch.setenv("CSI_DATA_MIRROR", str(mirror_only.mirror))
    assert datasets.load("tiny").origin.startswith("mirror: ") and datasets.fetch("tiny").is_file()


def test_a_set_without_a_converter_is_had_from_a_url_mirror(mirror_only, monkeypatch, serve):
    base, asked = serve(mirror_only.mirror)
    monkeypatch.setenv("CSI_DATA_MIRROR", base)
    assert datasets.load("tiny").origin.startswith("cache: ")
    assert {line.split()[1] for line in asked} == {"/datasets/tiny.npz"}


# ---- no network ------------------------------------------------------------------------------------------------

def test_without_network_the_fallback_is_quick_and_said_once(world, capsys):
    assert datasets.available("tiny")[0] is False
    assert datasets.resolve("tiny", "auto") is None and datasets.resolve("tiny", "auto") is None
    assert datasets.resolve("tiny", "embedded") is None
    said = capsys.readouterr().out
    assert said.count("REAL DATA ARE NOT USED") == 1 and "CSI_DATA_MIRROR" in said and "tiny" in said
    with pytest.raises(datasets.DataUnavailable, match="CSI_DATA_MIRROR"):
        datasets.resolve("tiny", "real")
    with pytest.raises(ValueError, match="source: got 'reel', expected one of embedded, real, auto"):
        datasets.resolve("tiny", "reel")
    with pytest.raises(ValueError, match="unknown data set"):
        datasets.resolve("tynyy", "embedded")


def test_a_silent_network_is_asked_once_a_run_and_given_up(world, monkeypatch):
    """A black hole: connections are accepted and never answered. Many threads, two addresses, one budget of waiting."""
    monkeypatch.setattr(sources, "PROBE_SECONDS", 0.3)
    forget(monkeypatch)
    asked, answers, ask = [], [], sources._ask
    monkeypatch.setattr(sources, "_ask", lambda url: asked.append(url) or ask(url))
    with socket.create_server(("127.0.0.1", 0)) as hole:
        base = f"http://127.0.0.1:{hole.getsockname()[1]}"
        world.entry["upstream"]["base"] = base
        monkeypatch.setenv("CSI_DATA_MIRROR", f"{base}/mirror")  # a second URL to ask
        threads = [threading.Thread(target=lambda: answers.append(datasets.available("tiny")[0])) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert datasets.resolve("tiny", "auto") is None
        with pytest.raises(datasets.DataUnavailable):
            datasets.load("tiny")
    assert answers == [False] * 4 and len(asked) == len(set(asked)) == 2
    assert sources._budget["left"] < 0.1  # the second address was not given a budget of its own


def test_a_name_server_that_hangs_is_not_waited_for(world, monkeypatch):
    monkeypatch.setattr(sources, "PROBE_SECONDS", 0.3)
    forget(monkeypatch)
    asked = []

    def answers_in_a_minute(url):
        asked.append(url)
        time.sleep(60)
        return ""  # "it answers": who waits for it gets the wrong result

    monkeypatch.setattr(sources, "_ask", answers_in_a_minute)
    assert datasets.available("tiny")[0] is False and datasets.available("tiny")[0] is False
    assert len(asked) == 1


def test_offline_is_answered_at_once_but_the_cache_still_works(world, monkeypatch):
    monkeypatch.setenv("CSI_DATA_OFFLINE", "1")
    monkeypatch.setattr(sources, "_ask", lambda url: pytest.fail("a connection was tried"))
    here, why = datasets.available("tiny")
    assert not here and why == "neither in a mirror directory nor in the cache; CSI_DATA_OFFLINE is set"
    with pytest.raises(datasets.DataUnavailable, match="CSI_DATA_OFFLINE"):
        datasets.load("tiny")
    world.cache.mkdir()
    np.savez(sources.cached("tiny"), **ARRAYS)
    assert datasets.available("tiny")[0] and datasets.resolve("tiny", "auto").source == "real"


def test_available_does_not_download(world, serve):
    world.entry["upstream"]["base"], asked = serve(world.public)
    assert datasets.available("tiny")[0] and datasets.available("tiny")[0]
    assert asked == ["HEAD /dataset/a.npy"] and not world.cache.exists()
    world.entry["upstream"]["base"] += "/gone"
    assert "status 404" in datasets.available("tiny")[1]


# ---- converters ------------------------------------------------------------------------------------------------

class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


@pytest.mark.parametrize("content", [Evil(), {"data": Evil()}, {"data": Path("x")}, [1, 2], {"a": np.float64(1)}],
                         ids=["call", "call in a dict", "foreign class", "no dict", "numpy scalar"])
def test_a_pickle_that_is_more_than_arrays_is_refused(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.array(content, dtype=object) if not isinstance(content, list) else np.array(None))
    with pytest.raises(ValueError, match=r"x\.npy"):
        converters.read_pickled_dict("x.npy")
    assert not Path("evil").exists()


def test_the_refusal_of_a_pickle_says_what_it_asked_for(tmp_path):
    np.save(tmp_path / "x.npy", np.array(Evil(), dtype=object))
    with pytest.raises(ValueError, match="asks for posix.mkdir|asks for nt.mkdir"):
        converters.read_pickled_dict(tmp_path / "x.npy")


def test_every_cut_of_a_pickled_file_is_refused(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, {"data": np.ones((3, 2)), "label": np.arange(3)})
    assert list(converters.read_pickled_dict(path)) == ["data", "label"]
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"x\.npy"):
            converters.read_pickled_dict(path)
    path.write_bytes(b"\x93NUMPY\x01\x00" + pickle.dumps(Evil()))
    with pytest.raises(ValueError, match=r"x\.npy"):
        converters.read_pickled_dict(path)


def frame(values, sec, microsec, magic=b"\x11\x11"):
    body = bytes(42) + magic + bytes(16) + np.asarray(values, "<i2").tobytes()
    return struct.pack("<4I", sec, microsec, len(body), len(body)) + body


def test_nexmon_frames_foreign_frames_and_a_cut_tail():
    header = b"\xd4\xc3\xb2\xa1" + bytes(20)
    values = np.arange(128) - 5
    capture = header + frame(values, 10, 999_999) + frame(values, 10, 0, b"\x22\x22") + frame([1, 2], 11, 0)
    capture += frame(values + 1, 12, 0)
    iq, t = converters.read_nexmon(capture + frame(values, 13, 0)[:-1])
    assert iq.shape == (2, 64, 2) and iq.dtype == np.int16 and iq[1, 0].tolist() == [-4, -3]
    np.testing.assert_allclose(t, [0, 1.000001], atol=1e-6)
    for wrong in (b"", b"PK", header, header + frame([1, 2], 1, 0)):
        with pytest.raises(ValueError, match="capture: "):
            converters.read_nexmon(wrong)


@SAMPLES
def test_dfl_samples_equal_the_mirror():
    folder = MIRROR / "upstream-samples/dfl/dataset"
    ours = converters.dfl_4env([folder / "EXP2_sub2.npy", folder / "EXP3-r1_sub2.npy"])
    with np.load(MIRROR / "datasets/dfl_4env_fingerprints.npz") as theirs:
        rows = np.isin(theirs["domain"], (2, 4))
        for key in ("amp", "location"):
            np.testing.assert_array_equal(ours[key], theirs[key][rows])
            assert ours[key].dtype == theirs[key].dtype


@SAMPLES
def test_csu_samples_equal_the_mirror(tmp_path, monkeypatch):
    """The whole converter on an archive cut down to the two points whose captures we hold."""
    folder = MIRROR / "upstream-samples/loc_csu"
    books = [(folder / f"locations/location_{kind}.xlsx").read_bytes() for kind in ("coords", "info")]
    points = converters.csu_points(*books)
    with np.load(MIRROR / "datasets/loc_csu_nexmon_metres.npz") as file:
        theirs = {key: file[key] for key in file.files}
    for key, array in points.items():
        np.testing.assert_array_equal(array, theirs[key], key)
        assert array.dtype == theirs[key].dtype
    archive = tmp_path / "repository.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for kind, book in zip(("coords", "info"), books, strict=True):
            out.writestr(f"repo-0/locations/location_{kind}.xlsx", book)
        for file in ("ref/ref_217_1_3000.pcap", "test/test_217_1_100.pcap"):
            out.write(folder / "data" / file, f"repo-0/data/{file}")
    with pytest.raises(KeyError):  # the other captures are not there; datasets says so as DataAltered
        converters.loc_csu([archive])
    two = {key: array[[26, 206]] for key, array in points.items()}
    monkeypatch.setattr(converters, "csu_points", lambda *books: two)
    ours = converters.loc_csu([archive])
    rows = np.r_[2600:2700, 20571:20671]
    np.testing.assert_array_equal(ours["iq"], theirs["iq"][rows])
    np.testing.assert_array_equal(ours["time_s"], theirs["time_s"][rows])
    assert {key: array.dtype for key, array in ours.items()} == {key: array.dtype for key, array in theirs.items()}


def har_file(path, csi):
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"csi": csi})
    return path.read_bytes()


def test_har_people_are_known_by_their_walk_and_copies_are_left_out(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    walk = [har_file(tmp_path / f"{i}.mat", rng.normal(size=(3, 30, 200, 2)) @ [1, 1j]) for i in range(3)]
    subject_of = [zlib.crc32(converters.har_sample(content)[0].tobytes()) for content in walk]
    monkeypatch.setattr(converters, "_WALK", {subject_of[0]: 1, subject_of[1]: 0})
    archive = tmp_path / "repository.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for name, number in {"bedroom/4/B_walk1": 0, "bedroom/4/A_walk1": 1, "bedroom/4/C_walk1": 2,  # C is a stranger
                             "bedroom/4/B_walk10": 1, "bedroom/4/B_walk2": 2, "meetingroom/11/A_fall 3": 2,
                             "meetingroom/11/A_fall 20": 0, "meetingroom/11/A_fall 4": 2}.items():  # 4 is a copy of 3
            out.writestr(f"repo-0/Processed Data/{name}.mat", walk[number])
        out.writestr("repo-0/Original Data/bedroom/B_walk1.dat", b"raw")
    ours = converters.har_bedroom_meetingroom([archive])
    rows = np.stack([ours[key] for key in ("scene", "activity", "subject", "trial")], axis=1)
    assert rows.tolist() == [[0, 4, 0, 1], [0, 4, 1, 1], [0, 4, 1, 10], [0, 4, 1, 2], [1, 11, 0, 20], [1, 11, 0, 3]]
    assert ours["amp_q"].shape == (6, 3, 10, 200) and ours["amp_q"].max() == 255
    monkeypatch.setattr(converters, "_WALK", {})
    with pytest.raises(ValueError, match=r"repository\.zip: holds no sample"):
        converters.har_bedroom_meetingroom([archive])


@pytest.mark.parametrize(("content", "message"), [
    (b"", "no MATLAB file"), (b"<html>", "no MATLAB file"),
    (np.ones((3, 30, 199)) + 0j, r"found complex128 \(3, 30, 199"),
    (np.zeros((3, 30, 200)) + 0j, "not finite or all zero"), (np.full((3, 30, 200), np.nan + 0j), "not finite"),
])
def test_a_har_file_that_is_none_is_refused(tmp_path, content, message):
    if not isinstance(content, bytes):
        content = har_file(tmp_path / "x.mat", content)
    with pytest.raises(ValueError, match=f"walk: .*{message}"):
        converters.har_sample(content, "walk")


def near_in_steps(ours, theirs):
    """Whole numbers that another processor rounded: a step of the quantization apart at most, and hardly ever."""
    gap = np.abs(ours.astype(float) - theirs)
    assert gap.max() <= 1 and (gap > 0).mean() < 1e-4


@SAMPLES
def test_har_samples_equal_the_mirror(tmp_path, monkeypatch):
    """Each sample file gives exactly its row; then the whole converter, with the two people whose files we hold."""
    folder = MIRROR / "upstream-samples/har"
    samples = sorted(folder.rglob("*.mat"))
    people = sorted({path.stem.split("_")[0] for path in samples})
    assert len(samples) == 12 and len(people) == 2
    with np.load(MIRROR / "datasets/har_bedroom_meetingroom_small.npz") as file:
        theirs = {key: file[key] for key in file.files}
    row_of = {}
    for path in samples:
        labels = {"scene": converters._SCENES.index(path.parts[-3]), "activity": int(path.parts[-2]),
                  "subject": people.index(path.stem.split("_")[0]), "trial": int(re.search(r"\d+$", path.stem)[0])}
        [row_of[path]] = np.flatnonzero(np.all([theirs[key] == value for key, value in labels.items()], axis=0))
        amp_q, scale = converters.har_sample(path.read_bytes(), path.name)
        near_in_steps(amp_q, theirs["amp_q"][row_of[path]])
        np.testing.assert_allclose(scale, theirs["scale"][row_of[path]], rtol=1e-6)
    assert {0, 23, 240, 263, 800, 811, 852, 873, 1092, 1113, 1642, 1659} == set(row_of.values())
    first = [np.flatnonzero((theirs["scene"] == 0) & (theirs["activity"] == 4) & (theirs["trial"] == 1)
                            & (theirs["subject"] == subject))[0] for subject in range(4)]
    assert [converters._WALK[zlib.crc32(theirs["amp_q"][row].tobytes())] for row in first] == [0, 1, 2, 3]

    archive = tmp_path / "repository.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for path in samples:
            name = path.relative_to(folder).as_posix()
            out.write(path, "repo-0/" + name.replace("walk12", "walk1"))  # the second person's first walk is not here
    walk = {zlib.crc32(theirs["amp_q"][row].tobytes()): subject for subject, row in enumerate((240, 263))}
    monkeypatch.setattr(converters, "_WALK", walk)
    ours, rows = converters.har_bedroom_meetingroom([archive]), sorted(row_of.values())
    for key, array in ours.items():
        expected = theirs[key] if len(theirs[key].shape) == 0 or len(theirs[key]) < 100 else theirs[key][rows]
        if key == "trial":
            expected = np.where(np.array(rows) == 263, 1, expected)
        if key == "amp_q":
            near_in_steps(array, expected)
        elif key == "scale":
            np.testing.assert_allclose(array, expected, rtol=1e-6)
        else:
            np.testing.assert_array_equal(array, expected, key)
        assert array.dtype == theirs[key].dtype, key


def test_metal_foil_is_put_together_from_its_logs(tmp_path):
    for name, count in (("foil_01", 2), ("hand_01", 1)):
        line = f"CSI_DATA,AP,0,-23,{'0,' * 14}77,0,0,0,0,2.5,128,[{'1 -2 ' * 64}]\r\n"
        (tmp_path / f"{name}.csv").write_text(line * count + "\n" + line[:90])
    paths = [tmp_path / "foil_01.csv", tmp_path / "hand_01.csv"]
    ours = converters.metal_foil(paths)
    assert ours["rec"].tolist() == [0, 0, 1] and ours["rec_name"].tolist() == ["foil_01", "hand_01"]
    assert ours["csi_int8"].shape == (3, 128) and ours["csi_int8"][2, :4].tolist() == [1, -2, 1, -2]
    assert ours["local_timestamp_us"].tolist() == [77] * 3 and ours["rssi_dbm"].tolist() == [-23] * 3
    paths[1].write_text("<html>")
    with pytest.raises(ValueError, match=r"hand_01\.csv: no line"):
        converters.metal_foil(paths)


@SAMPLES
def test_the_metal_foil_capture_equals_the_mirror():
    ours = converters.metal_foil([MIRROR / "captures/esp32_csitool_empty_03.csv"])
    with np.load(MIRROR / "datasets/metal_foil_esp32_tiny.npz") as theirs:
        for key in ("csi_int8", "rssi_dbm", "local_timestamp_us"):
            np.testing.assert_array_equal(ours[key], theirs[key][445:607])
            assert ours[key].dtype == theirs[key].dtype
        assert theirs["rec_name"][theirs["rec"][445]] == "empty_03" and ours["rec"].dtype == theirs["rec"].dtype


def test_presence_motion_is_put_together_from_its_files(tmp_path):
    facts = {"collected_at": "2026-03-29T13:03:03.633347", "duration_ms": 10003.3}
    paths = [tmp_path / f"{label}_64sc_20260329_130303.npz" for label in ("baseline_c3", "movement_esp32", "test_s3")]
    for count, path in enumerate(paths, 1):
        np.savez(path, csi_data=np.full((count, 128), count, np.int8), label="other", **facts,
                 **({"gain_locked": False} if count == 3 else {}))
    ours = converters.presence_motion(paths)
    assert ours["rec"].tolist() == [0, 1, 1, 2, 2, 2] == (ours["csi_int8"][:, 0] - 1).tolist()
    assert ours["rec_label"].tolist() == ["baseline", "movement", "test"]
    assert ours["rec_chip"].tolist() == ["c3", "esp32", "s3"]
    assert ours["rec_gain_locked"].tolist() == [True, False, False] and ours["rec_file"][0] == paths[0].name
    assert ours["rec_time"].tolist() == [facts["collected_at"]] * 3 and ours["rec_duration_ms"].dtype == np.float32
    np.savez(paths[1], csi_data=np.zeros((2, 64), np.int8), **facts)
    with pytest.raises(ValueError, match=r"movement_esp32.*found int8 \(2, 64\)"):
        converters.presence_motion(paths)


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def idx_files(folder, count=3):
    """Four idx files, two of them packed: training part of `count` digits, test part of one more."""
    rng, paths = np.random.default_rng(0), []
    for extra in (0, 1):
        for shape in ((count + extra, 28, 28), (count + extra,)):
            content = idx(rng.integers(0, 10, shape).astype(np.uint8))
            paths.append(folder / f"{len(paths)}.gz")
            paths[-1].write_bytes(gzip.compress(content) if extra else content)
    return paths


def test_mnist_is_put_together_from_its_idx_files(tmp_path):
    paths = idx_files(tmp_path)
    ours = converters.mnist(paths)
    assert {key: array.shape for key, array in ours.items()} == {"x_train": (3, 28, 28), "y_train": (3,),
                                                                 "x_test": (4, 28, 28), "y_test": (4,)}
    assert ours["x_train"].tobytes() == paths[0].read_bytes()[16:] and ours["x_test"].dtype == np.uint8
    with pytest.raises(ValueError, match=r"0\.gz: expected images .* found \(3, 28, 28\) and labels \(4,\)"):
        converters.mnist([paths[0], paths[3], paths[2], paths[1]])
    content = paths[2].read_bytes()
    for wrong in (b"", b"<html>", content[:-9], gzip.decompress(content)[:-1], gzip.decompress(content) + b"x",
                  content[:40] + b"x" + content[41:], bytes(4), b"\0\0\x08\x03", b"\0\0\x0d\x01" + bytes(4)):
        paths[2].write_bytes(wrong)
        with pytest.raises(ValueError, match=r"2\.gz: no idx file"):
            converters.mnist(paths)


@SAMPLES
def test_mnist_samples_equal_the_mirror():
    folder = MIRROR / "upstream-samples/mnist"
    files = [folder / f"t10k-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
    ours = converters.mnist([*files, *files])  # the training files are not among the samples
    with np.load(MIRROR / "datasets/mnist.npz") as theirs:
        for key in ("x_test", "y_test"):
            np.testing.assert_array_equal(ours[key], theirs[key])
            assert ours[key].dtype == theirs[key].dtype


@SAMPLES
def test_usps_sample_is_the_registered_set():
    ours = converters.usps([MIRROR / "upstream-samples/usps/data/usps.h5"])
    assert sources.content_digest(ours) == datasets.registry()["usps"]["content"]


def test_usps_that_is_none_is_refused_and_without_h5py_it_is_said(tmp_path, monkeypatch, world, serve):
    path = tmp_path / "usps.h5"
    path.write_bytes(b"<html>")
    with pytest.raises(ValueError, match=r"usps\.h5: not the HDF5 file of USPS"):
        converters.usps([path])
    with h5py.File(path, "w") as file:
        for part in ("train", "test"):
            file[f"{part}/data"], file[f"{part}/target"] = np.full((2, 256), 0.5, np.float32), np.array([1, 2])
    ours = converters.usps([path])
    assert ours["x_test"].shape == (2, 16, 16) and (ours["x_test"] == 1000).all() and ours["y_train"].dtype == np.uint8
    for key, wrong in (("data", np.full((2, 256), 2.0)), ("data", np.zeros((2, 255))), ("target", np.zeros(3, int))):
        with h5py.File(tmp_path / "wrong.h5", "w") as file:
            for part in ("train", "test"):
                file[f"{part}/data"], file[f"{part}/target"] = np.zeros((2, 256)), np.array([1, 2])
            del file[f"train/{key}"]
            file[f"train/{key}"] = wrong
        with pytest.raises(ValueError, match=r"wrong\.h5.*expected data \(n, 256\) in 0\.\.1"):
            converters.usps([tmp_path / "wrong.h5"])
    world.entry["converter"], world.entry["upstream"]["base"] = "usps", serve(world.public)[0]
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(datasets.DataUnavailable, match="pip install h5py"):
        datasets.load("tiny")
    assert datasets.resolve("tiny", "auto") is None


def test_office_is_put_together_from_its_files(tmp_path):
    paths = [tmp_path / f"{domain}_SURF_L10.mat" for domain in ("Caltech10", "amazon", "webcam", "dslr")]
    for count, path in enumerate(paths, 1):
        savemat(path, {"fts": np.full((count, 800), count, float), "labels": np.arange(1, count + 1)[:, None]})
    ours = converters.office_caltech_surf(paths)
    assert ours["x_dslr"].shape == (4, 800) and (ours["x_webcam"] == 3).all() and ours["x_amazon"].dtype == np.uint16
    assert ours["y_webcam"].tolist() == [1, 2, 3] and ours["y_caltech"].dtype == np.uint8
    for wrong in ({"fts": np.full((1, 800), 0.5), "labels": [[1]]}, {"fts": np.zeros((1, 800)), "labels": [[1], [2]]},
                  {"x": np.zeros(3)}):
        savemat(paths[1], wrong)
        with pytest.raises(ValueError, match=r"amazon_SURF_L10\.mat: "):
            converters.office_caltech_surf(paths)


@REAL
@pytest.mark.real_data
def test_office_goes_through_mat_files_and_back(tmp_path, monkeypatch):
    monkeypatch.setenv("CSI_DATA_MIRROR", str(MIRROR))
    ds, paths = datasets.load("office-caltech-surf"), []
    for domain in ("caltech", "amazon", "webcam", "dslr"):
        paths.append(tmp_path / f"{domain}.mat")
        savemat(paths[-1], {"fts": ds[f"x_{domain}"].astype(float), "labels": ds[f"y_{domain}"][:, None]})
    found = sources.content_digest(converters.office_caltech_surf(paths))
    assert found == datasets.registry()["office-caltech-surf"]["content"]


# ---- sets made from others -------------------------------------------------------------------------------------

def tiny_digits():
    rng = np.random.default_rng(3)
    digits = {f"{key}_{part}": rng.integers(0, 256 if key == "x" else 10, (n, 28, 28)[:3 if key == "x" else 1])
              .astype(np.uint8) for part, n in (("train", 40), ("test", 25)) for key in "xy"}
    patches = {"patches": rng.integers(0, 256, (6, 30, 31, 3)).astype(np.uint8),
               "is_test": np.array([0, 1, 0, 1, 0, 0], np.uint8), "files": np.array(list("abcdef"))}
    return digits, patches


def test_mnist_m_follows_its_recipe_value_by_value():
    digits, patches = tiny_digits()
    ours = converters.mnist_m(digits, patches)
    for part, allowed in (("train", {0, 2, 4, 5}), ("test", {1, 3})):
        x, patch, corner = (ours[f"{key}_{part}"] for key in ("x", "patch", "corner"))
        assert set(patch.tolist()) == allowed
        assert corner.min() == 0 and corner[:, 0].max() == 2 and corner[:, 1].max() == 3
        for row in range(len(x)):
            top, left = corner[row].astype(int)
            crop = patches["patches"][patch[row], top:top + 28, left:left + 28].astype(int)
            np.testing.assert_array_equal(x[row], np.abs(crop - digits[f"x_{part}"][row][:, :, None].astype(int)))
        np.testing.assert_array_equal(ours[f"y_{part}"], digits[f"y_{part}"])
    again = converters.mnist_m(digits, patches)
    assert sources.content_digest(ours) == sources.content_digest(again)


@pytest.fixture
def made(tmp_path, monkeypatch, world):
    """A registry of three: digits and patches with files in the mirror, and what is made from them."""
    entries, parts = {}, dict(zip(("digits", "patches"), tiny_digits(), strict=True))
    for name, arrays in parts.items():
        file = world.mirror / f"datasets/{name}.npz"
        np.savez(file, **arrays)
        axes = {key: [f"{key}{i}" for i in range(array.ndim)] for key, array in arrays.items()}
        entries[name] = world.entry | {"file": f"datasets/{name}.npz", "bytes": file.stat().st_size, "axes": axes,
                                       "sha256": sources._sha256(file, 0, 0), "groups": [],
                                       "content": sources.content_digest(arrays)}
    del entries["patches"]["converter"]
    entries["patches"]["mirror_only"] = "its crops are not recorded"
    arrays = converters.mnist_m(*parts.values())
    kept = ("title", "task", "hardware", "licence", "redistribution", "citation", "caveats", "honest_split")
    entries["blend"] = {key: world.entry[key] for key in kept} | {
        "made_from": ["digits", "patches"], "converter": "mnist_m", "groups": ["patch_train"],
        "content": sources.content_digest(arrays),
        "axes": {key: [f"{key}{i}" for i in range(array.ndim)] for key, array in arrays.items()}}
    for module in (datasets, sources, data):
        monkeypatch.setattr(module, "registry", lambda: entries)
    world.entries, world.arrays = entries, arrays
    return world


def test_a_made_set_is_loaded_listed_fetched_and_verified(made, monkeypatch, capsys):
    monkeypatch.setenv("CSI_DATA_MIRROR", str(made.mirror))
    ds = datasets.resolve("blend", "auto")
    assert ds.source == "made" and ds.origin.startswith("digits, mirror: ") and "; patches, mirror: " in ds.origin
    assert set(ds.card["upstream"]) == {"digits", "patches"} and ds.groups == ("patch_train",)
    np.testing.assert_array_equal(ds["x_test"], made.arrays["x_test"])
    assert datasets.available("blend") == (True, "made on load from digits, patches")
    assert datasets.fetch("blend") == made.cache
    assert sorted(files(made.cache)) == sorted(sources.cached(name).name for name in ("digits", "patches"))
    assert command("list", []) == 0 and "made on load from digits" in capsys.readouterr().out
    assert command("verify", []) == 0
    assert capsys.readouterr().out.count("good ") == 5  # two mirror files, two cached ones, one made set
    made.entries["blend"]["content"] = "0" * 64
    with pytest.raises(sources.DataAltered, match="made from digits, patches is not the registered set"):
        datasets.resolve("blend", "auto")
    assert command("verify", ["blend"]) == 1 and "BAD" in capsys.readouterr().out


def test_a_made_set_whose_parts_are_missing_says_which(made, monkeypatch, capsys):
    here, why = datasets.available("blend")
    assert not here and "digits: neither in" in why and "patches: neither in" in why and "crops are not" in why
    assert datasets.resolve("blend", "auto") is None and datasets.resolve("blend", "embedded") is None
    with pytest.raises(datasets.DataUnavailable, match="set CSI_DATA_MIRROR to a directory"):
        datasets.resolve("blend", "real")
    with pytest.raises(datasets.DataUnavailable, match="digits"):
        datasets.load("blend")
    assert command("verify", ["blend"]) == 0 and "not on this machine" in capsys.readouterr().out


@REAL
@pytest.mark.real_data
@pytest.mark.parametrize("name", ["presence-motion", "metal-foil-tiny", "har-bedroom-meetingroom"])
def test_an_upstream_that_is_rebuilt_from_the_set_gives_the_set_again(name, monkeypatch, tmp_path):
    """The set is written out in the form of its source, as far as the form is known, and converted: same digest."""
    monkeypatch.setenv("CSI_DATA_MIRROR", str(MIRROR))
    ds, entry = datasets.load(name), datasets.registry()[name]
    paths = [tmp_path / file["path"] for file in entry["upstream"]["files"]]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    if name == "presence-motion":
        for index, path in enumerate(paths):
            np.savez(path, csi_data=ds["csi_int8"][ds["rec"] == index], gain_locked=ds["rec_gain_locked"][index],
                     collected_at=ds["rec_time"][index], duration_ms=float(ds["rec_duration_ms"][index]))
    elif name == "metal-foil-tiny":
        for index, path in enumerate(paths):
            path.write_text("\n".join(
                f"CSI_DATA,AP,0,{ds['rssi_dbm'][row]},{'0,' * 14}{ds['local_timestamp_us'][row]},0,0,0,0,2.5,128,"
                f"[{' '.join(map(str, ds['csi_int8'][row].tolist()))} ]" for row in np.flatnonzero(ds["rec"] == index)))
    else:
        # One sample stands for its .mat file, named by its row; the reader of .mat files is tested above.
        samples = {}
        with zipfile.ZipFile(paths[0], "w") as out:
            for row in np.random.default_rng(0).permutation(len(ds["scene"])):
                scene = ds["scene_names"][ds["scene"][row]]
                name = (f"repo-0/Processed Data/{scene}/{ds['activity'][row]}/"
                        f"{'DACB'[ds['subject'][row]]}_x{ds['trial'][row]}.mat")
                samples[name] = row
                out.writestr(name, b"")
        monkeypatch.setattr(converters, "har_sample",
                            lambda _, name: (ds["amp_q"][samples[name]], ds["scale"][samples[name]]))
    ours = getattr(converters, entry["converter"])(paths)
    assert sources.content_digest(ours) == entry["content"]


# ---- the registry and the real files ---------------------------------------------------------------------------

def test_every_entry_of_the_registry_is_complete():
    for name, entry in datasets.registry().items():
        if sources.is_capture(name):
            continue  # tests/csi_utils/files/test_raw_captures.py
        if "made_from" in entry:
            assert set(entry["made_from"]) <= set(datasets.registry()) and "file" not in entry and entry["caveats"]
            assert set(entry["groups"]) <= set(entry["axes"]) and callable(getattr(converters, entry["converter"]))
            continue
        assert set(entry["groups"]) <= set(entry["axes"]) and entry["caveats"] and entry["honest_split"]
        assert len(entry["sha256"]) == len(entry["content"]) == 64 and entry["bytes"] > 0
        assert ("converter" in entry) != ("mirror_only" in entry) and entry["upstream"]["base"].startswith("https://")
        assert "mirror_only" in entry or callable(getattr(converters, entry["converter"]))
        assert entry["upstream"]["commit"] in entry["upstream"]["base"] + entry["upstream"]["files"][0]["path"]
        for text in (entry["citation"], entry["licence"], entry["upstream"]["repository"], name):
            assert text


def test_a_missing_registry_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    with pytest.raises(FileNotFoundError, match="registry .* is missing"):
        sources.registry.__wrapped__()


@pytest.mark.slow
@REAL
@pytest.mark.real_data
@pytest.mark.parametrize("name", [name for name in datasets.registry() if not sources.is_capture(name)])
def test_the_real_sets_load_and_have_the_registered_content(name, monkeypatch):
    monkeypatch.setenv("CSI_DATA_MIRROR", str(MIRROR))
    ds = datasets.load(name)
    assert sources.content_digest(ds.arrays) == datasets.registry()[name]["content"]
    assert set(ds.axes) == set(ds.arrays)


@REAL
@pytest.mark.real_data
def test_which_domains_of_dfl_keep_the_order_of_time(monkeypatch):
    """The card's claim: neighbours in the file are alike, except in the two domains shuffled upstream."""
    monkeypatch.setenv("CSI_DATA_MIRROR", str(MIRROR))
    ds, rng = datasets.load("dfl-4env"), np.random.default_rng(0)
    ratio = {}
    for index, name in enumerate(ds["domain_names"]):
        near, far = [], []
        for place in np.unique(ds["location"][ds["domain"] == index]):
            rows = ds["amp"][(ds["domain"] == index) & (ds["location"] == place)].astype(float)
            near.append(np.linalg.norm(np.diff(rows, axis=0), axis=1).mean())
            far.append(np.linalg.norm(np.diff(rng.permutation(rows), axis=0), axis=1).mean())
        ratio[str(name)] = np.mean(near) / np.mean(far)
    shuffled = {name for name, value in ratio.items() if value > 0.95}
    assert shuffled == {"EXP2_sub1", "EXP3-r1_sub1"} and max(ratio[name] for name in set(ratio) - shuffled) < 0.75


# ---- a person's own data ---------------------------------------------------------------------------------------

def own(path, **arrays):
    np.savez(path, **arrays)
    return datasets.load(str(path))


def test_own_data(tmp_path, monkeypatch):
    csi = np.ones((6, 30, 3, 2), np.complex64)
    ds = own(tmp_path / "my.npz", csi=csi, xy=np.zeros((6, 2)), session=["a"] * 6, point=np.arange(6),
             subcarrier_index=np.arange(-15, 15), fc=5.3e9)
    assert ds.source == "own" and ds.axes["csi"] == ("packet", "subcarrier", "rx", "tx")
    assert ds.groups == ("session", "point") and ds.axes["fc"] == () and "my.npz" in repr(ds)
    ds = own(tmp_path / "b.npz", amp=np.ones((4, 5)), location=np.arange(4))
    assert ds.axes["amp"] == ("packet", "feature") and "no session" in ds.card["caveats"][0]
    assert own(tmp_path / "c.npz", csi=np.ones((2, 3, 30, 3, 2)) + 0j).axes["csi"][1] == "link"
    ds = own(tmp_path / "d.npz", amp=np.ones((4, 5)), activity=["walk", "walk", "sit", "sit"], recording=[0, 0, 1, 1])
    assert ds.axes["activity"] == ("packet",) and ds.groups == ("recording",) and "every recording" in ds.honest_split
    monkeypatch.chdir(tmp_path)
    assert datasets.load("b.npz").source == "own" and datasets.load(Path("b.npz")).source == "own"
    with pytest.raises(TypeError, match="takes none"):
        datasets.load("b.npz", seed=1)
    with pytest.raises(FileNotFoundError, match=r"there is no file nothing\.npz"):
        datasets.load("nothing.npz")


AMP = np.ones((4, 5))


@pytest.mark.parametrize(("arrays", "message"), [
    ({"xy": np.zeros((4, 2))}, "csi or amp: neither is there"),
    ({"amp": AMP, "xy": np.zeros((3, 2))}, "xy: 3 along packet, but amp has 4"),
    ({"amp": AMP, "xy": np.zeros((4, 3))}, r"xy: shape \(4, 3\), expected \(packet, 2\) in metres"),
    ({"amp": AMP, "xy": np.zeros(4)}, r"xy: shape \(4,\), expected axes"),
    ({"amp": AMP, "session": np.arange(5)}, "session: 5 along packet"),
    ({"amp": AMP, "activity": np.zeros((4, 2), int)}, r"activity: shape \(4, 2\), expected axes \(packet\)"),
    ({"amp": AMP, "activity": np.zeros(4)}, "activity: dtype float64, expected integer or unsigned or text"),
    ({"amp": AMP, "activity": 3}, r"activity: shape \(\), expected axes \(packet\)"),
    ({"amp": AMP, "recording": np.zeros((1, 4), int)}, r"recording: shape \(1, 4\), expected axes \(packet\)"),
    ({"amp": AMP, "recording": np.array(["a"] * 3)}, "recording: 3 along packet, but amp has 4"),
    ({"amp": AMP, "recordings": np.arange(4)}, "recordings: unknown array, did you mean recording"),
    ({"amp": AMP, "location": np.arange(4.0)}, "location: dtype float64, expected integer"),
    ({"amp": AMP, "locaton": np.arange(4)}, "locaton: unknown array, did you mean location"),
    ({"amp": np.where(np.eye(4, 5), np.nan, 1)}, r"amp: 4 values are NaN or infinite, the first at \(0, 0\)"),
    ({"csi": np.full((4, 3, 1, 1), np.inf + 0j)}, "csi: 12 values are NaN"),
    ({"csi": np.ones((4, 3, 1, 1))}, "csi: dtype float64, expected complex"),
    ({"amp": AMP + 0j}, "amp: dtype complex128, expected real"),
    ({"amp": AMP, "label": np.arange(4)}, "label: unknown array, did you mean location or activity?"),
    ({"amp": AMP, "null": np.zeros(5)}, "null: dtype float64, expected true or false"),
    ({"csi": np.ones((4, 3)) + 0j}, r"csi: shape \(4, 3\), expected axes \(packet, subcarrier, rx, tx\) or"),
    ({"amp": np.ones((0, 5))}, r"amp: shape \(0, 5\) is empty"),
    ({"amp": np.ones((4, 30, 3, 2)), "subcarrier_index": np.arange(29)}, "subcarrier_index: 29 along subcarrier"),
    ({"amp": AMP, "session": np.array([{}] * 4, dtype=object)}, "without pickled objects"),
    ({"amp": AMP, "xy": np.zeros((4, 3)), "location": np.arange(5)}, r"xy: shape \(4, 3\).*; location: 5 along packet"),
])
def test_own_data_mistakes_name_the_array(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message) as refusal:
        own(tmp_path / "my.npz", **arrays)
    assert "my.npz" in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04"])
def test_own_data_that_is_no_npz(tmp_path, content):
    (tmp_path / "my.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"my\.npz: not readable"):
        datasets.load(str(tmp_path / "my.npz"))
    np.save(tmp_path / "x.npy", AMP)
    (tmp_path / "x.npy").rename(tmp_path / "my.npz")
    with pytest.raises(ValueError, match=r"my\.npz: not readable"):
        datasets.load(str(tmp_path / "my.npz"))


# ---- the command -----------------------------------------------------------------------------------------------

def test_command(world, monkeypatch, capsys):
    assert command("list", []) == 0
    table = capsys.readouterr().out
    assert "sim-lab" in table and "made on load" in table and "none & no" in table and "neither in" in table
    assert command("verify", []) == 0 and "not on this machine" in capsys.readouterr().out
    monkeypatch.setenv("CSI_DATA_MIRROR", str(world.mirror))
    assert command("fetch", []) == 0 and sources.cached("tiny").is_file()
    assert command("verify", ["tiny"]) == 0
    assert capsys.readouterr().out.count("good tiny") == 2
    sources.cached("tiny").write_bytes(b"bad")
    assert command("verify", []) == 1
    said = capsys.readouterr().out
    assert "good tiny: mirror" in said and "BAD" in said
    assert command("fetch", ["tinny"]) == 1 and "mean 'tiny'" in capsys.readouterr().err


def test_require_names_what_is_missing():
    ds = datasets.load("sim-meeting", sessions=("survey",), packets=1, empty=0)
    ds.require("csi", "amp or csi", "xy or location")
    with pytest.raises(ValueError, match="the array amp and the array location or activity is missing; it has csi"):
        ds.require("amp", "csi", "location or activity")
