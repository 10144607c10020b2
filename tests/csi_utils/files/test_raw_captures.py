"""Raw captures of the registry are read by the rules of the data sets: the registered bytes, or none; each is said."""

import functools
import http.server
import json
import threading
from pathlib import Path

import pytest
from real_data import REAL

from csi_utils import datasets
from csi_utils.files import captures, sources

CONTENT = b"CSI_DATA,a raw log\n"


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A mirror and a public source that hold one capture, "log"; an empty cache; nothing asked, nothing said."""
    for folder in ("mirror/captures", "public/example"):
        (tmp_path / folder).mkdir(parents=True)
    mirrored = tmp_path / "mirror/captures/log.csv"
    for file in (mirrored, tmp_path / "public/example/log.csv"):
        file.write_bytes(CONTENT)
    entry = {"kind": "capture", "file": "captures/log.csv", "bytes": len(CONTENT),
             "sha256": sources._sha256(mirrored, 0, 0),
             "upstream": {"base": "http://127.0.0.1:9", "files": [{"path": "example/log.csv"}]}}
    sources._sha256.cache_clear()
    for module in (datasets, sources):
        monkeypatch.setattr(module, "registry", lambda: {"log": entry, "other": dict(entry, kind="capture"), "set": {}})
    monkeypatch.setattr(sources, "_probes", {})
    monkeypatch.setattr(sources, "_budget", {"left": sources.PROBE_SECONDS})
    monkeypatch.setattr(datasets, "_said", [])
    for variable in ("CSI_DATA_MIRROR", "CSI_DATA_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("CSI_DATA_CACHE", str(tmp_path / "cache"))
    return type("World", (), {"mirror": tmp_path / "mirror", "file": mirrored, "entry": entry,
                              "cache": tmp_path / "cache", "public": tmp_path / "public"})


@pytest.fixture
def public(world):
    """The public source answers."""
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=world.public))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    world.entry["upstream"]["base"] = f"http://127.0.0.1:{server.server_address[1]}"
    yield world.public / "example/log.csv"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("source", ["auto", "real"])
def test_a_capture_of_the_mirror_is_read_in_place(world, monkeypatch, source):
    monkeypatch.setenv("CSI_DATA_MIRROR", str(world.mirror))
    assert datasets.capture("log", source) == world.file and not world.cache.exists()
    assert datasets.capture("log", "embedded") is None


@pytest.mark.parametrize("change", [b"CSI_DATA,a raw lie\n", CONTENT[:-2], b""])
def test_an_altered_or_cut_capture_is_refused(world, monkeypatch, change):
    monkeypatch.setenv("CSI_DATA_MIRROR", str(world.mirror))
    world.file.write_bytes(change)
    for source in ("auto", "real"):
        with pytest.raises(sources.DataAltered, match=rf"log: .*log\.csv is not the registered file.*{len(change)} by"):
            datasets.capture("log", source)
    assert datasets.capture("log", "embedded") is None


def test_a_capture_is_had_from_its_public_source_unchanged(world, public):
    path = datasets.capture("log", "auto")
    assert path == sources.cached("log") and path.parent == world.cache and path.suffix == ".csv"
    assert path.read_bytes() == CONTENT
    public.unlink()
    assert datasets.capture("log", "real") == path  # now from the cache
    path.write_bytes(b"altered")
    with pytest.raises(sources.DataAltered, match="data fetch log replaces it"):
        datasets.capture("log", "auto")


def test_a_public_source_that_changed_is_refused_and_leaves_nothing(world, public):
    public.write_bytes(b"another log")
    with pytest.raises(sources.DataAltered, match="not the registered file"):
        datasets.capture("log", "auto")
    assert not list(world.cache.iterdir())


def test_every_missing_set_is_said_once(world, monkeypatch, capsys):
    monkeypatch.setenv("CSI_DATA_OFFLINE", "1")
    for name in ("log", "other", "log", "other"):
        assert datasets.capture(name, "auto") is None
    said = capsys.readouterr().out
    assert said.count("*** REAL DATA ARE NOT USED, embedded data are. log: ") == 1
    assert said.count("*** REAL DATA ARE NOT USED, embedded data are. other: ") == 1 and said.count("***") == 4
    with pytest.raises(datasets.DataUnavailable, match="log: .*CSI_DATA_OFFLINE is set.*To get real data"):
        datasets.capture("log", "real")


def test_names_and_kinds(world):
    with pytest.raises(ValueError, match="unknown data set 'lug'.*mean 'log'"):
        datasets.capture("lug", "auto")
    with pytest.raises(ValueError, match="'set' is no raw capture"):
        datasets.capture("set", "auto")
    with pytest.raises(ValueError, match=r"'log' is a raw capture: datasets\.capture\('log', source\)"):
        datasets.load("log")
    with pytest.raises(ValueError, match="source: got 'reel'"):
        datasets.capture("log", "reel")


def test_every_capture_of_the_registry_says_where_it_is_from():
    entries = {name: entry for name, entry in datasets.registry().items() if entry.get("kind") == "capture"}
    assert entries
    for name, entry in entries.items():
        assert name and entry["title"] and entry["licence"] and entry["citation"] and entry["caveats"]
        assert len(entry["sha256"]) == 64 and entry["bytes"] > 0
        assert entry["upstream"]["base"].endswith(entry["upstream"]["commit"])
        assert Path(entry["file"]).suffix == Path(entry["upstream"]["files"][0]["path"]).suffix


@REAL
@pytest.mark.real_data
def test_the_registered_captures_are_what_their_titles_say(capsys):
    log = captures.read_esp32(datasets.capture("esp32_example_100hz_pitraffic", "real"))
    assert log.csi.shape == (833, 64) and sorted(why for _, why in log.dropped) == [
        "header", "with 127 values instead of 128"]
    pytest.importorskip("csiread")
    log = captures.read_intel5300(datasets.capture("intel5300_los_40", "real"))
    assert log.csi.shape == (1119, 30, 3, 1)


def test_no_notebook_reads_a_file_past_the_registry():
    """A path under the mirror is nobody's business but the registry's."""
    for path in sorted((sources.ROOT / "notebooks").rglob("*.ipynb")):
        if "build" in path.parts:
            continue
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        assert "sources.mirror" not in code and "CSI_DATA_MIRROR" not in code, path.name
