"""The architecture: which room may import which, and how large a file may be."""

import ast
import collections
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent.core.plan.files.kinds import KINDS

ROOT = Path(__file__).parents[2]
AGENT = ROOT / "agent"
FILES = sorted(AGENT.rglob("*.py"))
DECISIONS = [str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs/decisions").glob("*.md"))]
CORE = [path for path in FILES if AGENT / "core" in path.parents]

# Modules that only compute: no files, no clock, no environment, no network.  datetime is allowed
# for the calendar; CLOCK lists its functions that read the clock.
PURE = set(
    "__future__ abc base64 binascii bisect collections dataclasses datetime difflib email enum functools gzip hashlib html io ipaddress "
    "itertools json math operator re string textwrap tomllib types typing unicodedata urllib zlib".split()
) | {"attrs", "tomli", "yaml"}
PURE_ONLY = {
    "urllib": {"urllib.parse"},  # urllib.request is the network
    "datetime": {"datetime.datetime", "datetime.timezone"},
}
CLOCK = {"now", "today", "utcnow"}
SYS_ONLY = {"version_info", "maxsize"}  # properties of the interpreter; not argv, environ or stdin


def imports(path):
    """Yield the modules that a file imports, also in functions; `from a import b` gives a.b too."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                directory = path.relative_to(ROOT).parts[: -node.level]
                module = ".".join([*directory, *filter(None, [module])])
            yield module
            for name in node.names:
                yield f"{module}.{name.name}"


def is_inside(module, packages):
    """Return True if a module is one of the packages or below one."""
    return any(module == package or module.startswith(package + ".") for package in packages)


def impure(path):
    """Return the imports of a file that core does not allow."""
    forbidden = []
    for module in imports(path):
        first = module.split(".")[0]
        if first == "agent":
            if module != "agent" and not is_inside(module, ["agent.core", "agent.errors"]):
                forbidden.append(module)
        elif first == "sys":
            forbidden += [module] if module != "sys" and module.split(".")[1] not in SYS_ONLY else []
        elif first not in PURE or ("." in module and not is_inside(module, PURE_ONLY.get(first, {module}))):
            forbidden.append(module)
    return forbidden


def side_effects(path):
    """Yield calls and reads of a file that have side effects without an import."""
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
    """Return the path relative to the repository."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_core_imports_no_io_and_no_edges(path):
    """A file of core imports only pure modules, YAML, TOML, core and errors."""
    assert impure(path) == []


def test_only_the_type_checker_reads_attrs():
    """attrs does not ship: records are those of agent/core/record.py."""
    importing = [path for path in FILES if any(name.partition(".")[0] in ("attr", "attrs") for name in imports(path))]
    assert [name_of(path) for path in importing] == ["agent/core/record.py"]


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_core_has_no_side_effects(path):
    """A file of core opens, prints and reads nothing."""
    assert list(side_effects(path)) == []


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
def test_an_impure_import_is_detected(line, tmp_path, monkeypatch):
    """Each of these lines in a file of core is detected."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "agent" / "core" / "bad.py"
    path.parent.mkdir(parents=True)
    path.write_text(line + "\n")
    assert impure(path)


@pytest.mark.parametrize(
    "line", ["datetime.now()", "datetime.now(timezone.utc)", "datetime.utcnow()", "datetime.today()"]
)
def test_reading_the_clock_is_detected(line, tmp_path):
    """Core may compute dates, but gets the time as an argument."""
    path = tmp_path / "bad.py"
    path.write_text("from datetime import datetime, timezone\n" + line + "\n")
    assert list(side_effects(path))


# --- rooms


def modules():
    """Return the modules of agent/ and their files."""
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in FILES}


def rooms():
    """Return the table of docs/architecture.md: room → what it may import of agent/."""
    rows = re.findall(r"(?m)^\| `agent/([\w/*.]+)` \|.*\| ([^|]*) \|$", (ROOT / "docs/architecture.md").read_text())
    return {room: set() if allowed == "nothing" else set(allowed.split(", ")) for room, allowed in rows}


def room_of(module):
    """Return the row of a module: its own, or that of the nearest directory."""
    table, parts = rooms(), module.split(".")[1:]
    if "/".join(parts) + ".py" in table:
        return "/".join(parts) + ".py"
    directories = ["/".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]
    return next((directory for directory in directories if directory in table), "/".join([*parts[:-1], "*.py"]))


def test_every_room_has_a_row():
    """docs/architecture.md has a row for each directory of agent/ and agent/core, and for files."""
    directories = [*AGENT.iterdir(), *(AGENT / "core").iterdir()]
    packages = {str(path.relative_to(AGENT)) for path in directories if (path / "__init__.py").exists()} - {"core"}
    assert packages <= set(rooms())
    assert {room_of(module) for module in modules()} == set(rooms())


def test_a_room_imports_what_its_row_allows():
    """A room imports only what docs/architecture.md allows; `core` stands for all of core."""
    files, imported = modules(), collections.defaultdict(set)
    for name, path in files.items():
        for module in set(imports(path)) & set(files):
            imported[room_of(name)].add(room_of(module))
    for room, allowed in rooms().items():
        others = imported[room] - {room}
        if "core" in allowed:
            others = {"core" if other.startswith("core/") else other for other in others}
        assert others <= allowed, room


def test_edges_import_core_and_errors_only():
    """An edge gets its inputs as arguments: it imports core and errors."""
    assert rooms()["edges"] <= {"core", "errors.py", "*.py"}


def test_a_reconcile_does_not_import_its_callers():
    """node imports neither the daemon nor commands, checks or the cluster."""
    assert rooms()["node"] & {"daemon", "commands", "checks", "cluster", "demo", "cli.py"} == set()


def test_few_modules_are_outside_of_rooms():
    """At most 8 modules are directly in agent/."""
    assert len(list(AGENT.glob("*.py"))) <= 8


def test_one_file_runs_commands():
    """Only agent/edges/command.py imports subprocess, and no module bypasses it."""
    others = [
        f"{name_of(path)}: {module}"
        for path in FILES
        if path != AGENT / "edges" / "command.py"
        for module in imports(path)
        if is_inside(module, ["subprocess", "os.system", "os.popen", "os.execv", "os.fork", "pty", "multiprocessing"])
    ]
    assert others == []


def test_imports_have_no_cycle():
    """No module imports itself through others; imports inside functions count too."""
    files = modules()
    graph = {name: set(imports(path)) & set(files) for name, path in files.items()}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the modules


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md", *DECISIONS])
def test_paths_in_a_page_exist(page):
    """Each path in a page for contributors exists; a bare name is one of agent/ or tests/."""
    bare = {path.name for directory in ("agent", "tests") for path in (ROOT / directory).rglob("*.py")}
    assert [name for name in names_in(page) if not (ROOT / name).exists() and name not in bare] == []


def test_the_pages_contain_paths():
    """The test above reads paths from the pages for contributors."""
    assert len(names_in("docs/architecture.md")) > 10
    assert len(names_in("CONTRIBUTING.md")) > 10
    assert any(names_in(page) for page in DECISIONS)


def names_in(page):
    """Return the paths that a page names."""
    return re.findall(r"`((?:agent|packaging|tests|docs|systemd)/[\w/.-]+|[\w/]+\.py)`", (ROOT / page).read_text())


# --- one place for each purpose


def nodes(path, kind):
    """Return the nodes of a kind in the syntax tree of a file."""
    return (node for node in ast.walk(ast.parse(path.read_text(), str(path))) if isinstance(node, kind))


def callers(*names):
    """Return the files of agent/ that call a function, class or method of one of these names."""
    return {
        name_of(path)
        for path in FILES
        for call in nodes(path, ast.Call)
        if getattr(call.func, "id", getattr(call.func, "attr", "")) in names
    }


def test_class_names_are_unique():
    """No two classes of agent/ have the same name."""
    counts = collections.Counter(node.name for path in FILES for node in nodes(path, ast.ClassDef))
    assert [name for name, count in counts.items() if count > 1] == []


def test_state_is_saved_under_the_lock_only():
    """Only Host.locked() creates a LockedState, and one module writes status.json."""
    assert callers("LockedState") == {"agent/node/host.py"}
    assert callers("save_status") == {"agent/node/status_file.py"}


def test_one_function_lists_the_files_of_a_node():
    """Each file to write is a class in core/plan/files; only core/plan/desired.py creates it."""
    directory = AGENT / "core" / "plan" / "files"
    bases = {
        node.name: {getattr(base, "id", "") for base in node.bases}
        for path in FILES
        for node in nodes(path, ast.ClassDef)
    }
    files = {"ManagedFile"}
    while more := {name for name, above in bases.items() if above & files} - files:
        files |= more
    defined = {node.name for path in directory.glob("*.py") for node in nodes(path, ast.ClassDef)}
    assert len(files) > 5
    assert files <= defined
    assert callers(*files) == {"agent/core/plan/desired.py"}


def test_every_kind_of_file_can_be_reverted():
    """A class that defines a `kind` is in KINDS, which revert reads."""
    kinds = {
        line.value.value
        for path in FILES
        for node in nodes(path, ast.ClassDef)
        for line in node.body
        if isinstance(line, ast.Assign) and getattr(line.targets[0], "id", "") == "kind"
    }
    assert kinds == set(KINDS)


def test_every_delay_of_the_daemon_is_in_one_file():
    """No other module of daemon/ has a float, except zero, microseconds and the message limit."""
    numbers = {
        (path.name, node.value)
        for path in (AGENT / "daemon").glob("*.py")
        for node in nodes(path, ast.Constant)
        if isinstance(node.value, float) and path.name != "retry.py"
    }
    assert {(name, value) for name, value in numbers if value} == {
        ("protocol.py", 1e9),
        ("supervisor.py", 1e6),
        ("supervisor.py", 2e6),
    }


def test_one_table_lists_the_dialects():
    """A family of clients is a module in dialects/ and a line in families.py, its only name."""
    families = AGENT / "core" / "noproxy" / "dialects" / "families.py"
    named = {node.args[0].value for node in nodes(families, ast.Call)} - {"go", "curl", "wget", "urllib", "requests"}
    assert {"curl-old", "curl-8.18", "requests-old"} <= named
    elsewhere = [
        f"{name_of(path)}: {node.value}"
        for path in FILES
        if path != families
        for node in nodes(path, ast.Constant)
        if node.value in named
    ]
    assert callers("Dialect") == {name_of(families)}
    assert elsewhere == []


def test_no_catch_all_modules():
    """No module is called utils, helpers or common."""
    vague = {"util", "utils", "helper", "helpers", "common", "misc", "lib", "tools"}
    assert [name_of(path) for path in FILES if path.stem in vague or path.parent.name in vague] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_is_short(path):
    """No file of the package has more than 300 lines."""
    assert len(path.read_text().splitlines()) <= 300


def test_data_directories_are_not_packages():
    """systemd/ and packaging/ have no __init__.py: systemd/ would hide the library."""
    assert [name for name in ("systemd", "packaging") if (ROOT / name / "__init__.py").exists()] == []


@pytest.mark.allows("subprocess")
def test_the_command_line_starts_light():
    """`import agent.cli` loads none of the libraries that take tens of milliseconds."""
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
