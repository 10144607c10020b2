"""What a person runs: `csi-papers run` as it stands, with as many worker processes as there are cores."""

import json

import bad_notebooks
import executed
import pytest

from csi_papers import __main__

pytestmark = pytest.mark.notebook


def test_a_tiny_notebook_starts_worker_processes(tmp_path, monkeypatch):
    """Its function has torch and an attribute named `classes`, which worker processes could not be sent."""
    monkeypatch.delenv("CSI_WORKERS", raising=False)  # a shell as a user's
    notebook = bad_notebooks.build("workers", tmp_path)
    assert __main__.main(["run", str(notebook), "--profile", "smoke", "--out", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "workers.json").read_text())["status"] == "ok"


def test_05_bdg_runs_as_make_run_runs_it(tmp_path_factory):
    result = executed.smoke(executed.NOTEBOOKS / "05_bdg.ipynb", tmp_path_factory)
    assert result["status"] == "ok"
