"""Which cells of a notebook the exercises need: those whose names they use, directly or through other cells.

Grading sixty submissions runs these cells and not the rest of the paper: 3 s a notebook in place of 20. It is a
reading of names, not a proof; `grading` runs the whole notebook where a name turns out to be missing.
"""

import ast
import functools
import symtable
from dataclasses import dataclass, field


@dataclass
class Names:
    """What a piece of code does with the notebook's names."""

    binds: set = field(default_factory=set)  # sets anew
    uses: set = field(default_factory=set)  # reads before it sets them
    changes: set = field(default_factory=set)  # alters in place: x[0] = 1, x.a = 1
    functions: dict = field(default_factory=dict)  # name of a function -> names it reads when it is called


def needed(sources, wanted):
    """Indices of the cells that the cells `wanted` need, in order and with themselves.

    sources: the code of each cell, in order. wanted: indices. A cell that is not plain Python is needed.
    """
    cells = [_names(source) for source in sources]
    functions = {}
    for cell in filter(None, cells):
        for name, reads in cell.functions.items():
            functions[name] = functions.get(name, set()) | reads
    found, open_names = [], set()
    for index in reversed(range(len(cells))):
        cell = cells[index]
        if cell is None:
            found.append(index)
        elif index in wanted or (cell.binds | cell.changes) & open_names:
            found.append(index)
            uses = _through(cell.uses, functions)
            open_names = (open_names - (cell.binds - uses)) | uses
    return found[::-1]


def _through(names, functions):
    """The names, and those that functions among them read, and so on."""
    seen, todo = set(), list(names)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += functions.get(name, ())
    return seen


@functools.lru_cache(maxsize=4096)
def _names(source):
    """Names of a cell, statement by statement; None where it is not plain Python."""
    total = Names()
    try:
        body = ast.parse(source).body
        for statement in body:
            one = _of_statement(statement)
            total.uses |= _through(one.uses, total.functions) - total.binds
            total.binds |= one.binds
            total.changes |= one.changes
            for name, reads in one.functions.items():
                total.functions[name] = total.functions.get(name, set()) | reads
    except (SyntaxError, ValueError, RecursionError):
        return None
    return total


def _of_statement(statement):
    top = symtable.symtable(ast.unparse(statement), "cell", "exec")
    symbols = top.get_symbols()
    names = Names({s.get_name() for s in symbols if s.is_assigned() or s.is_imported()},
                  {s.get_name() for s in symbols if s.is_referenced()})
    for inner in top.get_children():
        if inner.get_type() == "function" and inner.get_name() in names.binds:
            names.functions[inner.get_name()] = _globals(inner)
        else:  # a class, a lambda or a comprehension runs here and now
            names.uses |= _globals(inner)
    first = set()  # set by the statement itself before its body reads them
    for node in _outside_functions(statement):
        targets = ([node.target] if isinstance(node, ast.For) else
                   [item.optional_vars for item in node.items if item.optional_vars] if isinstance(node, ast.With)
                   else [])
        first |= {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            while isinstance(node, ast.Subscript | ast.Attribute):
                node = node.value
            if isinstance(node, ast.Name):
                names.changes.add(node.id)
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            names.uses.add(node.target.id)
    names.uses -= first
    return names


def _outside_functions(node):
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _outside_functions(child)


def _globals(table):
    found = {s.get_name() for s in table.get_symbols() if s.is_global() and s.is_referenced()}
    return found.union(*(_globals(inner) for inner in table.get_children()))
