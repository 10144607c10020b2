"""A wheel is built, installed elsewhere, and every command is run from it, above a small checkout."""

import csv
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest
from capture_files import some_file

from csi_papers.__main__ import _parser
from csi_utils import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.notebook, pytest.mark.timeout(3600)]
STEM = "09_small_paper"
NOTEBOOK = f"notebooks/{STEM}.ipynb"


class Installed:
    """An environment with our wheel in it, and a small checkout; `command` is what a person types there."""

    def __init__(self, folder):
        self.checkout, self.venv = folder / "checkout", folder / "venv"
        source = folder / "source"  # a copy, for a build leaves its own folders behind
        for package in ("csi_utils", "csi_papers"):
            shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
        for file in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / file, source)
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        self.say([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source)])
        self.say([sys.executable, "-m", "venv", "--without-pip", str(self.venv)])
        self.packages = Path(self.say([self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]))
        # What we depend on comes from here, but not our own packages, which may be installed as this checkout.
        (self.packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
        (self.venv / "share").mkdir()
        (self.venv / "share" / "jupyter").symlink_to(Path(sys.prefix) / "share" / "jupyter")
        wheel, = folder.glob("*.whl")
        self.say([*pip, "--python", self.python, "install", "--no-deps", "--no-index", str(wheel)])
        shutil.copytree(ROOT / "docs", self.checkout / "docs", ignore=shutil.ignore_patterns("papers", "0*"))
        for file in ("README.md", "README.zh.md", "LICENSE"):
            shutil.copy(ROOT / file, self.checkout)
        (self.checkout / "data").mkdir()
        (self.checkout / "notebooks").mkdir()
        for file in ("README.md", "datasets.toml"):
            shutil.copy(ROOT / "data" / file, self.checkout / "data")

    @property
    def python(self):
        return str(self.venv / "bin" / "python")

    def say(self, command, status=0):
        env = {name: value for name, value in os.environ.items() if not name.startswith(("CSI_", "PYTHONPATH"))}
        env["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # nbgrader starts alembic by its name
        folder = self.checkout if self.checkout.is_dir() else None
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)
        assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return (done.stdout + done.stderr).strip()

    def command(self, *words, status=0):
        return self.say([str(self.venv / "bin" / "csi-papers"), *words], status)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """With a new paper in the checkout, run once: what works on notebooks needs one that was run."""
    installed = Installed(tmp_path_factory.mktemp("wheel"))
    assert NOTEBOOK in installed.command("new", STEM)
    path = installed.checkout / NOTEBOOK
    nb = nbformat.read(path, as_version=4)
    setup = next(cell for cell in nb.cells if "setup" in cell.metadata.get("tags", []))
    setup.source += ("\n\nimport csi_utils\n\nassert csi_utils.__file__.startswith("
                     f"{str(installed.packages)!r}), csi_utils.__file__")
    nbformat.write(nb, path)
    said = installed.command("run", "--profile", "smoke", "--report", "build/report")
    assert "1 of 1 notebooks ran" in said
    installed.command("docs")  # README names the notebooks that are there; the book's links need it
    return installed


def test_the_packages_are_those_of_the_wheel_and_the_checkout_is_where_one_works(installed):
    where = installed.say([installed.python, "-c", "import csi_papers, csi_utils; print(csi_papers.__file__); "
                           "print(csi_utils.__file__); print(csi_utils.ROOT)"]).splitlines()
    assert [Path(line).parent.parent for line in where[:2]] == [installed.packages] * 2
    assert where[2] == str(installed.checkout)


def test_every_file_of_the_packages_is_in_the_wheel(installed):
    for package in ("csi_utils", "csi_papers"):
        ours, theirs = ({str(path.relative_to(folder)) for path in (folder / package).rglob("*")
                         if path.is_file() and "__pycache__" not in path.parts}
                        for folder in (ROOT, installed.packages))
        assert ours == theirs


def test_run_and_report(installed):
    result = json.loads((installed.checkout / f"build/runs/smoke/{STEM}.json").read_text())
    assert result["status"] == "ok" and result["environment"]["csi_utils"] == "installed"
    assert (installed.checkout / "build/report/index.html").is_file()
    assert "report: " in installed.command("report", "build/runs/smoke", "--out", "build/again")


# What is typed -> the exit status, and a file that it writes, or what it says.
OTHERS = {
    ("bands", NOTEBOOK, "--seeds", "0:1", "--profile", "smoke"): (1, "seeds: got 1"),  # ten would take minutes
    ("data", "list"): (0, "sim-lab"),
    ("docs",): (0, "docs/glossary.md"),
    ("start",): (0, "notebooks/START_HERE.md"),
    ("learn",): (0, f"build/learn/{STEM}.ipynb"),
    ("slides",): (0, f"build/slides/{STEM}.html"),
    ("book",): (0, "build/book/index.html"),
}


@pytest.mark.parametrize("words", OTHERS, ids=lambda words: words[0])
def test_other_commands(installed, words):
    status, made = OTHERS[words]
    said = installed.command(*words, status=status)
    assert made in said or (installed.checkout / made).is_file()


def test_a_course_is_made_and_graded(installed):
    """The course's own solutions are handed in, and get all points."""
    installed.command("assignments")
    handed_in = installed.checkout / "submitted" / "ada" / f"{STEM}.ipynb"
    handed_in.parent.mkdir(parents=True)
    shutil.copy(installed.checkout / "build" / "course" / "source" / STEM / f"{STEM}.ipynb", handed_in)
    # Not in the sandbox: it would not show the dependencies, which here lie in another environment.
    installed.command("grade", "submitted", "--sandbox", "none")
    row, = csv.DictReader((installed.checkout / "build/course/grades.csv").open(encoding="utf-8-sig"))
    assert row["status"] == "graded" and float(row["points"]) == float(row["of"]) > 0


def test_a_capture_becomes_a_persons_own_data(installed):
    (installed.checkout / "walk.csv").write_bytes(some_file("esp32", packets=40))
    installed.command("import", "walk.csv", "--to", "my.npz", "--label", "activity=walk")
    assert (installed.checkout / "my.npz").is_file()


def test_every_command_is_tried_and_has_its_help(installed):
    names = next(action.choices for action in _parser()._actions if action.dest == "command")
    assert set(names) == {*(words[0] for words in OTHERS), "run", "report", "record", "new", "import",
                          "assignments", "grade"}
    for name in names:
        assert f"usage: csi-papers {name}" in installed.command(name, "--help")
