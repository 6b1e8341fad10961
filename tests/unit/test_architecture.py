"""The house keeps its rooms apart: what may import what, and how large a file may be."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AGENT = ROOT / "agent"
FILES = sorted(AGENT.rglob("*.py"))
CORE = [path for path in FILES if AGENT / "core" in path.parents]

# Modules that compute and nothing else: no files, no clock, no environment, no network.  datetime is the calendar, and
# CLOCK is how it would read the clock.
PURE = set(
    "__future__ abc base64 binascii collections dataclasses datetime difflib email enum functools gzip hashlib html io ipaddress "
    "itertools json math operator re string textwrap tomllib types typing unicodedata urllib zlib".split()
) | {"attr", "attrs", "cattrs", "tomli", "yaml"}
PURE_ONLY = {
    "urllib": {"urllib.parse"},  # urllib.request is the network
    "datetime": {"datetime.datetime", "datetime.timezone"},
}
CLOCK = {"now", "today", "utcnow"}
SYS_ONLY = {"version_info", "maxsize"}  # what the interpreter is; not argv, environ or stdin


def imports(path):
    """The modules that a file imports anywhere, also inside functions; `from a import b` gives a.b too."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                folder = path.relative_to(ROOT).parts[: -node.level]
                module = ".".join([*folder, *filter(None, [module])])
            yield module
            for name in node.names:
                yield f"{module}.{name.name}"


def inside(module, packages):
    """Whether a module is one of the packages or below one."""
    return any(module == package or module.startswith(package + ".") for package in packages)


def impure(path):
    """What a file of core imports and may not."""
    found = []
    for module in imports(path):
        first = module.split(".")[0]
        if first == "agent":
            if module != "agent" and not inside(module, ["agent.core", "agent.errors"]):
                found.append(module)
        elif first == "sys":
            found += [module] if module != "sys" and module.split(".")[1] not in SYS_ONLY else []
        elif first not in PURE or ("." in module and not inside(module, PURE_ONLY.get(first, {module}))):
            found.append(module)
    return found


def touches(path):
    """What a file of core calls or reads that reaches outside without an import."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"open", "input", "print"}
        ):
            yield f"{node.func.id}() in line {node.lineno}"
        if isinstance(node, ast.Attribute) and node.attr in CLOCK:
            yield f"{node.attr} in line {node.lineno}"
        reads_sys = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sys"
        if reads_sys and node.attr not in SYS_ONLY:
            yield f"sys.{node.attr} in line {node.lineno}"


def name_of(path):
    """A short name for a case."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_core_imports_no_io_and_no_edges(path):
    """A file of core imports pure modules, attrs, cattrs, YAML and TOML, core and errors, and nothing else."""
    assert impure(path) == []


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_core_touches_nothing(path):
    """A file of core opens, prints and reads nothing."""
    assert list(touches(path)) == []


@pytest.mark.parametrize(
    "line",
    [
        "import os",
        "import requests",
        "from agent import log",
        "from agent.edges import disk",
        "from ..edges.disk import Disk",
        "def f():\n    import subprocess",
        "from urllib import request",
        "import urllib.request",
        "from sys import argv",
        "import time",
        "from datetime import date",
    ],
)
def test_an_impure_import_is_seen(line, tmp_path, monkeypatch):
    """Each of these lines in a file of core would be found."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "agent" / "core" / "bad.py"
    path.parent.mkdir(parents=True)
    path.write_text(line + "\n")
    assert impure(path)


@pytest.mark.parametrize(
    "line", ["datetime.now()", "datetime.now(timezone.utc)", "datetime.utcnow()", "datetime.today()"]
)
def test_a_look_at_the_clock_is_seen(line, tmp_path):
    """Core computes with the calendar, and is handed the time."""
    path = tmp_path / "bad.py"
    path.write_text("from datetime import datetime, timezone\n" + line + "\n")
    assert list(touches(path))


def test_edges_know_neither_commands_nor_the_story():
    """An edge is handed what it needs: it imports core, errors and log, and other edges."""
    allowed = ["agent.core", "agent.errors", "agent.log", "agent.edges", "agent.__version__"]
    wrong = [
        f"{name_of(path)}: {module}"
        for path in FILES
        if AGENT / "edges" in path.parents
        for module in imports(path)
        if module.startswith("agent.") and not inside(module, allowed)
    ]
    assert wrong == []


def test_one_file_runs_commands():
    """Only agent/edges/command.py imports subprocess, and nobody goes round it."""
    others = [
        f"{name_of(path)}: {module}"
        for path in FILES
        if path != AGENT / "edges" / "command.py"
        for module in imports(path)
        if inside(module, ["subprocess", "os.system", "os.popen", "os.execv", "os.fork", "pty", "multiprocessing"])
    ]
    assert others == []


def test_no_module_imports_itself_through_others():
    """Imports inside functions count: a cycle that is put off is a cycle."""
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in FILES}
    graph = {name: {module for module in imports(path) if module in modules} for name, path in modules.items()}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the modules


def test_no_room_for_everything():
    """No module is called utils, helpers or common."""
    vague = {"util", "utils", "helper", "helpers", "common", "misc", "lib", "tools"}
    assert [name_of(path) for path in FILES if path.stem in vague or path.parent.name in vague] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_is_short(path):
    """No file of the package has more than 300 lines."""
    assert len(path.read_text().splitlines()) <= 300


def test_data_folders_are_no_packages():
    """systemd/ and packaging/ hold no __init__.py: systemd/ would hide the library of that name."""
    assert [name for name in ("systemd", "packaging") if (ROOT / name / "__init__.py").exists()] == []


@pytest.mark.allows("subprocess")
def test_the_command_line_starts_light():
    """`import agent.cli` loads none of the libraries that cost tens of milliseconds."""
    code = "import agent.cli, sys; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    heavy = {
        "requests",
        "urllib3",
        "structlog",
        "tenacity",
        "attr",
        "attrs",
        "cattrs",
        "yaml",
        "http",
        "email",
        "asyncio",
    }
    assert sorted(heavy & set(done.stdout.split())) == []
