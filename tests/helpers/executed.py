"""Each notebook executed once at the smoke profile for all tests of a session, whichever of them comes first."""

import json
import os
import subprocess
import sys
from pathlib import Path

from filelock import FileLock  # torch brings it

from csi_papers.run.runner import run_notebook

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
# Run as a person runs it, by the command and with worker processes; the others share the cores with other tests.
AS_A_PERSON = "05_bdg"


def folder(tmp_path_factory):
    """Where the executed notebooks of this session are, shared by the processes of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "smoke"
    shared.mkdir(exist_ok=True)
    return shared


def smoke(path, tmp_path_factory):
    """The result of a notebook's smoke run; its files lie in `folder`."""
    out = folder(tmp_path_factory)
    with FileLock(f"{out / path.stem}.lock"):
        if not (out / f"{path.stem}.json").is_file():
            if path.stem == AS_A_PERSON:
                command = [sys.executable, "-m", "csi_papers", "run", path, "--profile", "smoke", "--out", out]
                env = {name: value for name, value in os.environ.items() if name != "CSI_WORKERS"}
                subprocess.run(command, env=env, check=False)
            else:
                run_notebook(path, out, "smoke", workers=1)
    return json.loads((out / f"{path.stem}.json").read_text(encoding="utf-8"))
