"""What the runner and its commands do without a kernel: nonsense is refused, limits and environment are right."""

import os
import subprocess
import sys
import time

import bad_notebooks
import filelock
import pytest

from csi_papers import __main__
from csi_papers.run import engine
from csi_papers.run import runner as run
from csi_papers.run.runner import run_notebook


def test_files_that_are_no_notebooks(tmp_path):
    for name, text in [("text", "hello"), ("json", "{}"), ("binary", "\0"), ("list", "[1]")]:
        (tmp_path / f"{name}.ipynb").write_text(text)
        result = run_notebook(tmp_path / f"{name}.ipynb", tmp_path / "out")
        assert result["status"].startswith("failed: refused: not a valid notebook"), result["status"]
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_no_notebook_at_all_is_not_a_green_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "ROOT", tmp_path)
    assert __main__.main(["run"]) == 2
    assert "no notebooks" in capsys.readouterr().err


@pytest.fixture
def refused(tmp_path, capsys):
    """What `csi-papers run` says to arguments that it must refuse; the results of an earlier run lie in old/."""
    (tmp_path / "twin").mkdir()
    for folder in (tmp_path, tmp_path / "twin"):
        bad_notebooks.build("good", folder)
    (tmp_path / "old").mkdir()
    for name in ("good.ipynb", "good.json"):
        (tmp_path / "old" / name).write_text("of an earlier run")

    def refused(*arguments, out="old", notebooks=("good.ipynb",)):
        status = __main__.main(["run", *(str(tmp_path / name) for name in notebooks), "--profile", "smoke",
                                "--out", str(tmp_path / out), *arguments])
        said = capsys.readouterr()
        assert status in (1, 2) and not said.out and len(said.err.splitlines()) == 1, said
        assert {file.name: file.read_text() for file in (tmp_path / "old").glob("[!.]*")} == {
            "good.ipynb": "of an earlier run", "good.json": "of an earlier run"}
        return said.err

    return refused


def test_a_typo_touches_no_result(refused, tmp_path):
    assert "good: unknown parameter 'sede', expected one of profile" in refused("-p", "sede", "1")
    assert "parameter seed: got 'abc', expected int" in refused("-p", "seed", "abc")
    for wrong in ("godo.ipynb", "twin"):
        assert f"{wrong}, expected the path of a notebook" in refused(notebooks=["good.ipynb", wrong])
    for again in ("good.ipynb", "twin/good.ipynb"):
        assert "good is there twice" in refused(notebooks=["good.ipynb", again])


def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(refused, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    assert "file: a file, expected a folder" in refused(out="file")
    with filelock.FileLock(tmp_path / "old" / ".lock"):
        assert "another run is writing to" in refused()
    monkeypatch.setattr(run.Path, "mkdir", lambda *_, **__: os.mkdir("/proc/version/no"))
    assert "/proc/version/no: Not a directory" in refused(out="new")


def test_an_error_in_the_middle_of_a_run_is_not_called_nothing_was_run(tmp_path, monkeypatch):
    notebook = bad_notebooks.build("good", tmp_path)
    monkeypatch.setattr(run, "run_notebook", lambda *_, **__: int("x"))
    with pytest.raises(ValueError, match="invalid literal"):
        __main__.main(["run", str(notebook), "--profile", "smoke", "--out", str(tmp_path / "out")])


def test_command_line_refuses_nonsense(capsys):
    for arguments in (["run", "--profile", "fast"], ["run", "--jobs", "0"], ["bands", "x.ipynb", "--seeds", "a:b"],
                      ["bands", "x.ipynb", "--seeds", "5:5"], []):
        with pytest.raises(SystemExit) as stop:
            __main__.main(arguments)
        assert stop.value.code == 2
    capsys.readouterr()


def test_light_commands_import_no_heavy_module():
    code = ("import sys, csi_papers.__main__ as m; m._parser(); import csi_utils.claims\n"
            "print([n for n in ('papermill', 'torch', 'scipy', 'nbformat') if n in sys.modules])")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_the_limit_of_a_cell_shrinks_as_the_notebook_s_runs_out(tmp_path):
    session = engine.Session(tmp_path, tmp_path, {}, cell_timeout=100, notebook_timeout=1000)
    assert session.time_left(None) == 100
    session.deadline = time.monotonic() + 50
    assert 0 < session.time_left(None) <= 50
    session.deadline = time.monotonic() - 1
    assert session.time_left(None) == 0.1  # nbclient takes 0 as no limit


def test_a_relative_mirror_is_relative_to_where_the_runner_was_started(tmp_path, monkeypatch):
    (tmp_path / "mirror").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CSI_DATA_MIRROR", "mirror")
    monkeypatch.setenv("CSI_GUARD_TOKEN", "stale")
    env = run._environment_of_kernel(True, 1, False, None)
    assert env["CSI_DATA_MIRROR"] == str(tmp_path / "mirror") and env["OMP_NUM_THREADS"] == "1"
    assert "CSI_GUARD_TOKEN" not in env and "CSI_GUARD_NETWORK" not in env
    blocked = run._environment_of_kernel(False, None, False, None)
    assert blocked["CSI_GUARD_NETWORK"] == "block" and blocked["CSI_DATA_OFFLINE"] == "1"
