"""What makes a kept result stale: the notebook, the package with all its folders, its own claims and bands."""

import errno
import os
import shutil

import bad_notebooks
import pytest

from csi_papers.run import provenance


@pytest.fixture
def key(tmp_path, monkeypatch):
    """key() of the notebook "tiny" in a copy of the package and a data folder of its own."""
    package = tmp_path / "csi_utils"
    shutil.copytree(provenance.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    notebook = bad_notebooks.build("good", tmp_path / "data").rename(tmp_path / "tiny.ipynb")
    monkeypatch.setattr(provenance, "PACKAGE", package)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    return lambda: provenance.inputs(notebook, {"seed": 0}, None)


def append(path):
    path.write_text((path.read_text(encoding="utf-8") if path.is_file() else "") + "\n# changed\n", encoding="utf-8")


@pytest.mark.parametrize("file", [
    "tiny.ipynb", "data/claims/tiny.toml", "data/bands/tiny.toml", "data/datasets.toml", "csi_utils/claims.py",
    "csi_utils/sim/channel.py", "csi_utils/files/sources.py", "csi_utils/sim/new_module.py"])
def test_what_a_result_depends_on_makes_it_stale(key, tmp_path, file):
    before = key()
    assert key() == before
    append(tmp_path / file)
    assert key() != before


@pytest.mark.parametrize("file", ["data/bands/spread.toml", "data/claims/spread.toml", "data/README.md"])
def test_a_new_band_of_another_notebook_leaves_it(key, tmp_path, file):
    before = key()
    append(tmp_path / file)
    assert key() == before


def test_parameters_and_data_count_too(tmp_path):
    path = tmp_path / "absent.ipynb"
    first = provenance.inputs(path, {"seed": 0}, None)
    assert first["notebook_sha256"] is None and first != provenance.inputs(path, {"seed": 1}, None)


def test_a_full_disk_leaves_the_old_files_whole_and_no_other(tmp_path, monkeypatch):
    """The second of two files does not fit: the first is not there either, and the error names which."""
    for name in ("a", "b"):
        (tmp_path / name).write_text("old")
    real, calls = os.chmod, []

    def full(name, mode):
        calls.append(name)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(name, mode)

    monkeypatch.setattr(os, "chmod", full)
    with pytest.raises(OSError) as told:
        provenance.write_all({tmp_path / "a": "new", tmp_path / "b": "new"})
    assert told.value.filename == str(tmp_path / "b")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"a": "old", "b": "old"}
