"""The functions that a notebook defines, to import or to read, without running the notebook."""

import ast
import json
import pathlib
import types

NOTEBOOKS = pathlib.Path(__file__).resolve().parents[2] / "notebooks"


def definitions(stem):
    """A module with the imports, functions and all-capitals constants of notebooks/STEM.ipynb, nothing else run."""
    module = types.ModuleType(stem)
    for cell_id, text in _code(stem):
        tree = ast.parse(text)
        tree.body = list(filter(is_definition, tree.body))
        exec(compile(tree, f"{stem}:{cell_id}", "exec"), module.__dict__)
    return module


def sources(stem):
    """{name: text} of every function and class of notebooks/STEM.ipynb, as it stands there."""
    found = {}
    for _, text in _code(stem):
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found[node.name] = ast.get_source_segment(text, node)
    return found


def _code(stem):
    notebook = json.loads((NOTEBOOKS / f"{stem}.ipynb").read_text(encoding="utf-8"))
    return [(cell["id"], "".join(cell["source"])) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def is_definition(node):
    """Is this statement an import, a function, a class or an all-capitals constant?"""
    return isinstance(node, _DEFINITIONS) or _constant(node)


def _constant(node):
    return (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper()
            and all(isinstance(part, _LITERAL) for part in ast.walk(node.value)))


_DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
_LITERAL = (ast.Constant, ast.Dict, ast.Tuple, ast.List, ast.Load, ast.UnaryOp, ast.USub)
