"""Who may import whom: the contracts of pyproject.toml, and no circle, not even of imports inside of functions."""

import ast
import graphlib
import re
from pathlib import Path

import nbformat
import pytest
from importlinter import cli

from csi_utils import datasets

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("csi_utils", "csi_papers")


def test_the_contracts_of_pyproject_are_kept(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    status = cli.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == 0, capsys.readouterr().out


def modules(root):
    """name -> file of every module below a folder."""
    found = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name, path, known):
    """The modules of `known` that a module imports anywhere in its code, or names in a string for import_module."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    wanted = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            wanted |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[:len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parts, *filter(None, [node.module])])
            wanted |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "import" in node.value:
            wanted |= set(re.findall(r"\bcsi_(?:utils|papers)(?:\.\w+)+", node.value))
    # A package's own __init__ is run before its modules, and imports none of them.
    return {module for module in wanted if module in known and module not in (name, package)}


def circle(graph):
    """The modules of an import circle, or None."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


def test_no_circle_not_even_at_run_time():
    known = {name: path for name, path in modules(ROOT).items() if name.split(".")[0] in PACKAGES}
    graph = {name: imported(name, path, known) for name, path in known.items()}
    graph["csi_utils.datasets"] |= {f"csi_utils.{module}" for module, _, _ in datasets.EMBEDDED.values()}
    assert "csi_papers.run.guard" in graph["csi_papers.run.engine"]  # which a string imports
    assert circle(graph) is None


@pytest.mark.parametrize(("here", "there"), [
    ("from . import b", "from .a import x"), ("import p.b", "def f():\n    from p import a"),
    ("from p.b import x", "def f():\n    import p.a")])
def test_a_circle_is_seen(tmp_path, here, there):
    (tmp_path / "p").mkdir()
    for name, text in (("__init__", ""), ("a", here), ("b", there)):
        (tmp_path / "p" / f"{name}.py").write_text(text, encoding="utf-8")
    known = modules(tmp_path)
    assert set(circle({name: imported(name, path, known) for name, path in known.items()})) == {"p.a", "p.b"}


def test_notebooks_import_csi_utils_and_never_what_works_on_them():
    for path in (ROOT / "notebooks").rglob("*.ipynb"):
        code = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
        assert not re.search(r"\bcsi_papers\b", code), path.name
