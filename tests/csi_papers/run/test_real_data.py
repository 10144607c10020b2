"""Which real data a run has is decided once, before anything runs, and a mistaken mirror ends it there."""

import http.server
import threading
import time

import pytest

from csi_papers import __main__
from csi_papers.run import data, runner
from csi_utils import datasets
from csi_utils.files import sources


@pytest.fixture(autouse=True)
def new_process(monkeypatch, tmp_path):
    """No question asked yet, nothing in the cache, no mirror."""
    monkeypatch.setattr(sources, "_probes", {})
    monkeypatch.setattr(sources, "_budget", {"left": sources.PROBE_SECONDS})
    for variable in ("CSI_DATA_MIRROR", "CSI_DATA_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("CSI_DATA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def server(tmp_path):
    """The address of a server that has no file."""
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=tmp_path)

        def log_message(self, *args):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    running.server_close()


def run(tmp_path, *arguments):
    notebook = tmp_path / "no_notebook.ipynb"
    notebook.write_text("{}")  # is refused where a run begins
    return __main__.main(["run", str(notebook), "--out", str(tmp_path / "out"), *arguments])


def test_a_mistyped_mirror_ends_a_run_before_it_begins(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CSI_DATA_MIRROR", "mirrror")
    monkeypatch.setattr(sources, "_ask", lambda url: pytest.fail("a connection was tried"))
    assert run(tmp_path) == 2 and not (tmp_path / "out").exists()
    said = capfd.readouterr()  # of the process, so that a thread's traceback would be in it
    assert said.out == "" and "Traceback" not in said.err
    assert said.err.startswith(f"CSI_DATA_MIRROR=mirrror is no directory (looked for at {tmp_path / 'mirrror'})")
    assert said.err.count("\n") == 1


def test_a_mirror_that_does_not_answer_ends_a_run_before_it_begins(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("CSI_DATA_MIRROR", "http://127.0.0.1:9/mirror")
    assert run(tmp_path) == 2 and not (tmp_path / "out").exists()
    said = capfd.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith("CSI_DATA_MIRROR=http://127.0.0.1:9/mirror holds none of the registered data files")
    assert "no connection to 127.0.0.1:9" in said.err


def test_a_mirror_that_holds_nothing_is_mistaken_too(tmp_path, monkeypatch, server, capsys):
    monkeypatch.setenv("CSI_DATA_MIRROR", str(tmp_path))
    assert run(tmp_path) == 2 and "holds none of the registered data files;" in capsys.readouterr().err
    monkeypatch.setenv("CSI_DATA_MIRROR", f"{server}/mirrror")
    assert run(tmp_path) == 2 and "answers with status 404" in capsys.readouterr().err


def test_other_commands_say_it_as_well(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CSI_DATA_MIRROR", str(tmp_path / "mirrror"))
    for arguments in (["data", "list"], ["data", "fetch", "mnist"], ["bands", "x.ipynb", "--profile", "standard"]):
        assert __main__.main(arguments) == 2, arguments
        assert capsys.readouterr().err.startswith("CSI_DATA_MIRROR="), arguments


def test_a_mirror_that_is_not_needed_is_not_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CSI_DATA_MIRROR", str(tmp_path / "mirrror"))
    assert run(tmp_path, "--profile", "smoke") == 1 and "refused" in capsys.readouterr().out  # the notebook's fault
    monkeypatch.setenv("CSI_DATA_MIRROR", "http://127.0.0.1:9")
    monkeypatch.setenv("CSI_DATA_OFFLINE", "1")
    assert runner.real_data("auto") == []


def test_a_mirror_that_holds_some_sets_is_one(tmp_path, monkeypatch):
    file = tmp_path / sources.registry()["usps"]["file"]
    file.parent.mkdir()
    file.touch()
    monkeypatch.setenv("CSI_DATA_MIRROR", str(tmp_path))
    monkeypatch.setenv("CSI_DATA_OFFLINE", "1")
    assert runner.real_data("auto") == ["usps"]


def test_what_is_found_and_what_is_not_is_said(monkeypatch):
    said, fetched = [], []
    places = {"near": (True, "mirror: here"), "far": (True, "public source: https://example.org/x"),
              "broken": (True, "public source: https://example.org/y"), "nowhere": (False, "no connection")}

    def fetch(name):
        fetched.append(name)
        if name == "broken":
            raise sources.DataUnavailable("broken: cut short")

    monkeypatch.setattr(sources, "registry", lambda: dict.fromkeys(places, {}))
    monkeypatch.setattr(datasets, "available", places.get)
    monkeypatch.setattr(datasets, "fetch", fetch)
    assert runner.real_data("embedded", said.append) == [] and said == fetched == []
    assert runner.real_data("auto", said.append) == ["near", "far"] and fetched == ["far", "broken"]
    assert said == ["real data: near, far\n  not broken: broken: cut short\n  not nowhere: no connection"]


def test_a_silent_network_costs_a_run_seconds(monkeypatch):
    asked = []
    monkeypatch.setattr(sources, "PROBE_SECONDS", 0.3)
    monkeypatch.setattr(sources, "_budget", {"left": 0.3})
    monkeypatch.setattr(sources, "_ask", lambda url: asked.append(url) or time.sleep(60))
    # One after another they would take minutes; what the names of the missing sets are does not matter.
    assert runner.real_data("auto") == [] and len(asked) > 5 and sources._budget["left"] <= 0


def test_a_capture_is_listed_fetched_and_verified(tmp_path, monkeypatch, capsys):
    content = b"a raw log"
    (tmp_path / "log.dat").write_bytes(content)
    entry = {"kind": "capture", "title": "t", "licence": "MIT", "file": "log.dat", "bytes": len(content),
             "sha256": sources._sha256(tmp_path / "log.dat", 0, 0), "mirror_only": "a test"}
    sources._sha256.cache_clear()
    for module in (sources, datasets, data):
        monkeypatch.setattr(module, "registry", lambda: {"log": entry})
    monkeypatch.setenv("CSI_DATA_MIRROR", str(tmp_path))
    assert data.command("list", []) == 0 and "capture" in capsys.readouterr().out
    assert data.command("fetch", ["log"]) == 0 and data.command("verify", []) == 0
    assert capsys.readouterr().out.count("good log") == 2
    (tmp_path / "log.dat").write_bytes(b"another log")
    assert data.command("verify", ["log"]) == 1 and "BAD" in capsys.readouterr().out
