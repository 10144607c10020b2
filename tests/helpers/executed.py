"""Each notebook executed once at the smoke profile for all tests of a session, whichever of them comes first."""

import json
import os

from filelock import FileLock  # torch brings it

from csi_papers.run.runner import run_notebook


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
            run_notebook(path, out, "smoke", workers=1)  # other tests run beside it on the same cores
    return json.loads((out / f"{path.stem}.json").read_text(encoding="utf-8"))
