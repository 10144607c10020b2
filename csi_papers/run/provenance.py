"""Where a result comes from: environment, inputs, and how results are kept."""

import contextlib
import datetime
import functools
import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path

import csi_utils
from csi_utils import ROOT

PACKAGE = Path(csi_utils.__file__).resolve().parent
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "matplotlib", "papermill", "nbclient", "ipykernel")


def inputs(path, parameters, real):
    """What a result depends on, for --resume: hashes of the notebook, of csi_utils, of the data, and parameters.

    Of the claims and bands only the notebook's own count: a new band of one notebook leaves the others' results valid.
    """
    package = hashlib.sha256()
    own = [ROOT / "data" / kind / f"{path.stem}.toml" for kind in ("claims", "bands")]
    files = [*PACKAGE.rglob("*.py"), ROOT / "data" / "datasets.toml", *own]
    for file in sorted(file for file in files if file.is_file()):
        package.update(file.name.encode() + file.read_bytes())
    return {"notebook_sha256": hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None,
            "csi_utils_sha256": package.hexdigest(), "parameters": parameters,
            "real_data": real or []}


def finished(file, key):
    """The result in file, if it says ok for these inputs; else None."""
    try:
        old = json.loads(file.read_text(encoding="utf-8"))
        kept = old["status"] == "ok" and old["environment"]["inputs"] == key and file.with_suffix(".ipynb").is_file()
        return old if kept else None
    except (FileNotFoundError, ValueError, KeyError):
        return None


@functools.cache
def environment():
    """Python, platform, versions, where csi_utils is (relative to the checkout) and the commit, if there is one."""
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    commit = None
    if git := shutil.which("git"):
        found = subprocess.run([git, "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
        commit = found.stdout.strip() if found.returncode == 0 else None
    return {"python": platform.python_version(), "platform": platform.platform(), "packages": versions,
            "cpus": os.cpu_count(), "csi_utils": "csi_utils" if PACKAGE.parent == ROOT else "installed",
            "commit": commit, "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}


def write(path, text):
    """`write_all` of one file."""
    write_all({path: text})


def write_all(texts):
    """Write {path: text}; old files are touched when every new one is whole. Raises OSError, which names the file."""
    ready = {}
    try:
        for path, text in texts.items():
            with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False,
                                             encoding="utf-8") as file:
                ready[file.name] = path
                file.write(text)
            os.chmod(file.name, 0o644)  # a temporary file is its owner's alone, a result is not
        for name, path in ready.items():
            os.replace(name, path)
    except OSError as err:
        raise OSError(err.errno, err.strerror, str(path)) from None
    finally:
        for name in ready:
            with contextlib.suppress(FileNotFoundError):  # in its place
                os.unlink(name)
