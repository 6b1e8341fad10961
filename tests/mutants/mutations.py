"""Mutations of the program: one small change each, as a programmer may make it by mistake."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Union

from agent.core.record import record

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_ARITHMETIC: dict[type[ast.operator], ast.operator] = {
    ast.Add: ast.Sub(),
    ast.Sub: ast.Add(),
    ast.Mult: ast.Add(),
    ast.BitAnd: ast.BitOr(),
    ast.BitOr: ast.BitAnd(),
}
_CONDITIONAL = (ast.If, ast.IfExp, ast.While)


@record
class Mutant:
    """One change: in `function` of a file, the bytes from `begin` to `end` become `new`.

    `function` is empty for what is evaluated when the file is imported.
    """

    file: str
    function: str
    line: int
    begin: int
    end: int
    old: str
    new: str
    #: The source around a short `old`, which alone would not be found.
    around: tuple[str, str] = ("", "")

    def __str__(self) -> str:
        before, after = self.around
        return f"{self.file}:{self.line} {_shown(before + self.old + after)} → {_shown(before + self.new + after)}"

    def apply(self, source: bytes) -> bytes:
        """Return the changed source of the file."""
        return source[: self.begin] + self.new.encode() + source[self.end :]


def mutants_of(root: Path, file: str) -> list[Mutant]:
    """Return every mutant of a file, in the order of its text."""
    source = (root / file).read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    mutants = []
    for function, node, new in _visit(ast.parse(source), ("", ""), is_number=False):
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        old = source[begin:end].decode()
        around = ("", "")
        if end - begin < 6:
            line = source[starts[node.lineno - 1] : starts[node.lineno]]
            left, right = line[: node.col_offset][-20:], line[node.end_col_offset :][:20]
            around = left.decode(errors="ignore").lstrip(), right.decode(errors="ignore").rstrip()
        mutants.append(Mutant(file, function, node.lineno, begin, end, old, new, around))
    return mutants


_Node = Union[ast.expr, ast.stmt]


def _visit(node: ast.AST, place: tuple[str, str], *, is_number: bool) -> Iterator[tuple[str, _Node, str]]:
    """Yield function, node and new text for each mutant of a node and of what is in it.

    `place`: qualified name of what encloses the node, and of its function.  `is_number`: integers
    in it are mutated.  As arguments and constants they are mostly limits and delays, of which one
    more or less makes no difference.
    """
    for changed, text in _changes(node, is_number=is_number):
        yield place[1], changed, text
    if isinstance(node, (ast.Compare, ast.Subscript, ast.BinOp, ast.Return)):
        is_number = True
    elif isinstance(node, (ast.Call, ast.stmt)):
        is_number = False
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases"):
            continue
        inner = place
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and name == "body":
            qualified = f"{place[0]}.{node.name}" if place[0] else node.name
            inner = qualified, qualified if isinstance(node, ast.FunctionDef) else place[1]
        for child in value if isinstance(value, list) else [value]:
            # Positions in an f-string are wrong before Python 3.12; a docstring is not code.
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr) and not _is_text(child):
                yield from _visit(child, inner, is_number=is_number)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _changes(node: ast.AST, *, is_number: bool) -> Iterator[tuple[_Node, str]]:
    """Yield what is replaced for a node, and the new text."""
    if isinstance(node, ast.expr):
        for new in _of_expression(node):
            yield node, f"({ast.unparse(ast.fix_missing_locations(new))})"
        if isinstance(node, ast.Constant) and is_number and type(node.value) is int:
            yield node, str(node.value + 1)
    elif isinstance(node, ast.stmt):
        for text in _of_statement(node):
            yield node, text
    elif isinstance(node, ast.ExceptHandler) and not isinstance(node.body[0], ast.Raise):
        yield node.body[0], "raise"  # the error is not handled
    tests = node.ifs if isinstance(node, ast.comprehension) else [node.test] if isinstance(node, _CONDITIONAL) else []
    for test in tests:
        if not isinstance(test, (ast.Compare, ast.BoolOp, ast.UnaryOp)):  # these have mutants of their own
            yield test, f"(not {ast.unparse(test)})"


def _of_expression(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield ast.Compare(node.left, [_COMPARISONS[type(node.ops[0])]()], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)
        for number in range(len(node.values)):
            values = node.values[:number] + node.values[number + 1 :]
            yield values[0] if len(values) == 1 else ast.BoolOp(node.op, values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        yield ast.BinOp(node.left, _ARITHMETIC[type(node.op)], node.right)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Call):
        for number in range(len(node.keywords)):
            keywords = node.keywords[:number] + node.keywords[number + 1 :]
            yield ast.Call(node.func, node.args, keywords)


def _of_statement(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield "pass"
    elif isinstance(node, ast.Return) and node.value is not None:
        if ast.unparse(node.value) not in ("None", "True", "False"):  # False for None is mostly the same
            yield "return None"
    elif isinstance(node, ast.Raise):
        yield "pass"
    elif isinstance(node, (ast.Continue, ast.Break)):
        yield "break" if isinstance(node, ast.Continue) else "continue"
    elif isinstance(node, ast.AugAssign):
        yield f"{ast.unparse(node.target)} = {ast.unparse(node.value)}"


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else line[:87] + "..."
