"""Events that the agent can log, read from its source: names, levels and fields."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LEVELS = ("debug", "info", "warning", "error", "critical")
#: The logger itself, which passes on events of others.
LOGGER = ROOT / "agent/log.py"


class Unreadable(Exception):
    """Call whose event this module cannot read: write its name as text, or in a table of texts."""


def events(directory: Path = ROOT / "agent") -> dict[str, tuple[set[str], set[str]]]:
    """Return the levels and fields of each event by its name."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    tables: dict[str, Any] = {}
    trees = {path: ast.parse(path.read_text(), str(path)) for path in sorted(directory.rglob("*.py"))}
    for path, tree in trees.items():
        tables[path.stem] = _tables(tree)
    for path, tree in trees.items():
        if path == LOGGER:
            continue
        try:
            for level, name, fields in _calls(tree, {**tables, **tables[path.stem]}):
                levels, names = found.setdefault(name, (set(), set()))
                levels.add(level)
                names |= fields
        except Unreadable as error:
            raise Unreadable(f"{path.relative_to(directory.parent)}: {error}") from None
    return found


def _tables(tree: ast.Module) -> dict[str, list[str]]:
    """Return the values of each constant that is a dict of texts."""
    assigned = [node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)]
    return {
        node.targets[0].id: [value.value for value in node.value.values]
        for node in assigned
        if isinstance(node.targets[0], ast.Name)
        and all(isinstance(value, ast.Constant) and isinstance(value.value, str) for value in node.value.values)
    }


def _calls(tree: ast.Module, tables: dict[str, Any]) -> Iterator[tuple[str, str, set[str]]]:
    """Yield level, name and fields of each event that a module logs."""
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    seen = set()
    for function in functions:
        values = _values(function)
        for call in [node for node in ast.walk(function) if isinstance(node, ast.Call)]:
            levels = _levels(call, values)
            if not levels:
                continue
            seen |= {id(node) for node in ast.walk(call.func)}
            is_report = isinstance(call.func, ast.Name)
            fields = set().union(*(_fields(keyword, values) for keyword in call.keywords))
            for name in _names(call.args[1 if is_report else 0], tables):
                yield from ((level, name, fields) for level in levels)
        seen |= {id(value) for value in values.values()}
    loggers = [node for node in ast.walk(tree) if _is_logger(node, {})]
    for function in functions:
        values = _values(function)
        names = [node for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
        loggers += [node for node in names if _is_logger(node, values)]
    for node in loggers:
        if id(node) not in seen:
            raise Unreadable(f"line {node.lineno}: the logger is used in another way than LOGGER.LEVEL(NAME, ...)")


def _values(function: ast.AST) -> dict[str, ast.expr]:
    """Return the expressions that a function assigns to names."""
    values: dict[str, ast.expr] = {}
    for node in ast.walk(function):
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            pairs = (
                zip(target.elts, node.value.elts)
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
                else [(target, node.value)]
            )
            values.update({name.id: value for name, value in pairs if isinstance(name, ast.Name)})
    return values


def _is_logger(node: ast.AST, values: dict[str, ast.expr]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in values and _is_logger(values[node.id], {})
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "get_logger"


def _levels(call: ast.Call, values: dict[str, ast.expr]) -> list[str]:
    """Return the levels of a call of the logger, or of `report` of the supervisor; else none."""
    function = call.func
    if isinstance(function, ast.Name) and function.id == "report" and call.args:
        level = call.args[0]
        return [str(level.value)] if isinstance(level, ast.Constant) and level.value in LEVELS else []
    choices = [function.body, function.orelse] if isinstance(function, ast.IfExp) else [function]
    attributes = [choice for choice in choices if isinstance(choice, ast.Attribute)]
    return [choice.attr for choice in attributes if choice.attr in LEVELS and _is_logger(choice.value, values)]


def _names(node: ast.expr, tables: dict[str, Any]) -> list[str]:
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.IfExp):
        return _names(node.body, tables) + _names(node.orelse, tables)
    if isinstance(node, ast.Subscript):
        table = node.value
        if isinstance(table, ast.Name) and isinstance(tables.get(table.id), list):
            return list(tables[table.id])
        if isinstance(table, ast.Attribute) and isinstance(table.value, ast.Name):
            names = tables.get(table.value.id)
            if isinstance(names, dict) and table.attr in names:
                return list(names[table.attr])
    raise Unreadable(f"line {node.lineno}: the name of the event is not a text: {ast.unparse(node)}")


def _fields(keyword: ast.keyword, values: dict[str, ast.expr]) -> set[str]:
    if keyword.arg:
        return {keyword.arg}
    node = values.get(keyword.value.id, keyword.value) if isinstance(keyword.value, ast.Name) else keyword.value
    branches = [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]
    if not all(isinstance(branch, ast.Dict) for branch in branches):
        raise Unreadable(f"line {keyword.value.lineno}: the fields are not a dict: {ast.unparse(keyword.value)}")
    return {str(key.value) for branch in branches for key in branch.keys}
