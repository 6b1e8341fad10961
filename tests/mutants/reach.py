"""Records which functions of the program each test reaches, in its own process and in its children.

In a copy of the tree, each function of agent/ gets one more statement, a call that notes its name.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

#: Put before agent/__init__.py.  Its functions are bound early, because tests replace those of os.
#: A file for each process: processes of another user may not write into one of root.
_HOOK = """
import builtins, os
def _hook(directory, seen=set(), link=os.readlink, open=os.open, write=os.write, close=os.close, pid=os.getpid):
    def reached(name):
        try:
            test = link(directory + "/current")
            if (test, name) not in seen:
                seen.add((test, name))
                file = open(f"{directory}/{test}.{pid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
                try:
                    write(file, (name + "\\n").encode())
                finally:
                    close(file)
        except OSError:
            pass
    return reached
builtins._reached = _hook(DIRECTORY)
"""


def instrument(copy: Path, directory: Path) -> None:
    """Let each function of a copied tree note its name in `directory`."""
    for path in sorted((copy / "agent").rglob("*.py")):
        tree = ast.parse(path.read_bytes())
        file = str(path.relative_to(copy))
        for name, function in _functions(tree, ""):
            begin = 1 if ast.get_docstring(function) is not None else 0
            function.body.insert(begin, ast.parse(f"_reached({f'{file}:{name}'!r})").body[0])
        text = ast.unparse(tree)
        if file == "agent/__init__.py":
            text = _HOOK.replace("DIRECTORY", repr(str(directory))) + text
        path.write_text(text)


def _functions(node: ast.AST, above: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for child in ast.iter_child_nodes(node):
        name = above
        if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
            name = f"{above}.{child.name}" if above else child.name
        if isinstance(child, ast.FunctionDef):
            yield name, child
        yield from _functions(child, name)


def mark(directory: Path, test: str) -> None:
    """Note what is reached from now on for `test`, a name without a slash."""
    new = directory / "next"
    new.symlink_to(test)
    os.replace(new, directory / "current")


def reached(directory: Path, test: str) -> set[str]:
    """Return FILE:FUNCTION of each function that a test reached."""
    return {name for path in directory.glob(f"{test}.*") for name in path.read_text().splitlines()}
