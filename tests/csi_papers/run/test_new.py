"""`csi-papers new`: seven files from the template, green as they are, in a checkout that nobody edits otherwise."""

import os
import re
import shutil
import subprocess
import sys
import tomllib

import nbformat
import pytest
from notebook_lint import lint

from csi_papers.run import new
from csi_papers.run.runner import run_notebook
from csi_utils import ROOT

STEM = "90_noisy_mean"
PARTS = ("csi_utils", "csi_papers", "data", "docs", "notebooks", "tests", "README.md", "README.zh.md", "pyproject.toml")
SEVEN = [f"data/bands/{STEM}.toml", f"data/claims/{STEM}.toml", f"docs/papers/{STEM}.md", f"docs/papers/{STEM}.zh.md",
         f"notebooks/{STEM}.ipynb", f"tests/papers/90/test_{STEM}.py", "tests/papers/90/wrong_answers.toml"]


def copied(folder):
    """A copy of what a new paper meets in this checkout."""
    unwanted = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "START_HERE.md")
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts}


def python(folder, *arguments):
    """Run a module of the copy, and not of this checkout, from its root."""
    env = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-m", *arguments], cwd=folder, env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """(a copy in which the command was run, its files before)."""
    folder = copied(tmp_path_factory.mktemp("checkout"))
    before = files(folder)
    done = python(folder, "csi_papers", "new", STEM)
    assert done.returncode == 0, done.stderr
    return folder, before


@pytest.fixture
def empty(tmp_path):
    """A checkout with one paper and nothing else."""
    (tmp_path / "notebooks" / "deeper").mkdir(parents=True)
    (tmp_path / "notebooks" / "07_alae.ipynb").write_text("{}")
    (tmp_path / "notebooks" / "deeper" / "07_curves.ipynb").write_text("{}")
    return tmp_path


def test_it_makes_seven_files_and_touches_no_other(checkout):
    folder, before = checkout
    after = files(folder)
    assert sorted(after.keys() - before.keys()) == SEVEN
    assert {name: content for name, content in after.items() if name not in SEVEN} == before


def test_no_placeholder_is_left(checkout):
    folder, _ = checkout
    for name in SEVEN:
        assert not re.search(r"\bNN\b|NN_short_name|short_name", (folder / name).read_text(encoding="utf-8")), name


def test_the_notebook_has_nothing_to_complain_about_and_its_code_is_formatted(checkout):
    folder, _ = checkout
    path = folder / SEVEN[4]
    assert lint(nbformat.read(path, as_version=4), STEM) == []
    done = python(folder, "ruff", "format", "--isolated", "--line-length", "88", "--diff", str(path))
    assert done.returncode == 0, done.stdout


@pytest.mark.notebook
def test_the_notebook_runs_within_its_bands_and_gives_the_same_bits_again(checkout, monkeypatch):
    folder, _ = checkout
    monkeypatch.setenv("PYTHONPATH", str(folder))  # the kernel takes csi_utils, and with it the claims, of the copy
    found = []
    for out in ("one", "two"):
        result = run_notebook(folder / SEVEN[4], folder / out, workers=1)
        assert result["status"] == "ok"
        found.append({row["id"]: row["value"] for row in result["claims"]})
    assert found[0] == found[1]
    recorded = tomllib.loads((folder / SEVEN[0]).read_text(encoding="utf-8"))["smoke"]
    assert found[0] == pytest.approx({mid: values["values"][0] for mid, values in recorded.items()}, rel=1e-6)


@pytest.mark.notebook
def test_the_tests_of_a_new_paper_pass_once_the_tables_are_written(checkout):
    """Its own, its exercises with their wrong answers, its two pages, the tables."""
    folder, _ = checkout
    assert python(folder, "csi_papers", "docs").returncode == 0
    assert STEM in (folder / "README.md").read_text(encoding="utf-8")
    assert f"[90](papers/{STEM}.md)" in (folder / "docs" / "course.md").read_text(encoding="utf-8")
    chosen = f"({STEM} or course or glossaries or table or term) and not smoke_run"
    asked = ("papers/90", "papers/test_exercise_checks.py", "papers/test_notebooks.py", "test_languages.py",
             "csi_papers/pages/test_docs.py")
    done = python(folder, "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/{name}" for name in asked), "-k", chosen)
    assert done.returncode == 0, done.stdout[-6000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 20


@pytest.mark.parametrize("name", ["noisy_mean", "9_mean", "90", "90_", "90_Mean", "90-mean", "90_mean.ipynb", "../90_x",
                                  "90__mean", "90_mean "])
def test_a_malformed_name_is_refused(empty, name):
    before = files(empty)
    with pytest.raises(ValueError, match="expected two digits and a short name, like 09_short_name"):
        new.stamp(name, empty)
    assert files(empty) == before


@pytest.mark.parametrize(("name", "message"), [
    ("07_other", "has the number of 07_alae"), ("08_alae", "has the short name of 07_alae"),
    ("08_curves", "has the short name of 07_curves")])
def test_a_taken_number_or_name_is_refused(empty, name, message):
    before = files(empty)
    with pytest.raises(ValueError, match=message):
        new.stamp(name, empty)
    assert files(empty) == before


def test_outside_of_a_checkout_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="has no notebooks/, expected a checkout"):
        new.stamp(STEM, tmp_path)
    assert files(tmp_path) == {}


def test_a_file_that_is_there_is_never_overwritten(empty):
    own = empty / "docs" / "papers" / f"{STEM}.md"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    with pytest.raises(ValueError, match=rf"docs/papers/{STEM}\.md is there already"):
        new.stamp(STEM, empty)
    assert own.read_text() == "mine" and len(files(empty)) == 3


def test_half_a_paper_is_taken_back(empty):
    (empty / "tests").write_text("a file where a folder should be")
    before = files(empty)
    with pytest.raises(OSError):
        new.stamp(STEM, empty)
    assert files(empty) == before


def test_the_command_names_the_mistake_and_fails():
    done = python(ROOT, "csi_papers", "new", "Mean")
    assert done.returncode == 2 and "name: got 'Mean'" in done.stderr
