"""docs/reference, the schemas and the code agree with each other.

After an intended change: ACCEPT=1 pytest tests/unit/test_reference.py, and read the diff.
"""

import ast
import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from agent import cli, errors
from agent.core.facts.instance import facts_from_json, facts_to_json
from agent.edges.command import TIMED_OUT
from tests import json_schemas, log_calls

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference"
GENERATED = ("commands.md", "json.md", "settings.md")
SCHEMAS = sorted((ROOT / "docs").glob("*.schema.json"))


# --- the generated pages


@pytest.mark.allows("subprocess")
def test_the_generated_pages_are_those_of_the_code(tmp_path):
    """The pages are what packaging/man/reference.py writes; ACCEPT=1 rewrites them."""
    directory = REFERENCE if os.environ.get("ACCEPT") == "1" else tmp_path
    subprocess.run([sys.executable, "-I", str(ROOT / "packaging/man/reference.py"), str(directory)], check=True)
    for name in GENERATED:
        assert (directory / name).read_text().splitlines() == (REFERENCE / name).read_text().splitlines()


def test_every_page_is_in_the_index():
    """The table of README.md has each page of the directory."""
    index = (REFERENCE / "README.md").read_text()
    assert [path.name for path in REFERENCE.glob("*.md") if f"({path.name})" not in index] == ["README.md"]


# --- JSON


def commands(parser, *words):
    """Yield the words and the parser of each command."""
    for name, command in (parser.commands.choices if parser.commands else {None: parser}).items():
        yield from commands(command, *words, name) if name else [(" ".join(words), command)]


def test_every_json_output_has_a_schema():
    """A command with --json has a schema in docs/, and a schema has a command."""
    names = {name for name, command in commands(cli.parser()) if "--json" in command._option_string_actions}
    assert len(names) > 8
    assert {json_schemas.path_of(name) for name in names} == set(SCHEMAS)


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_a_schema_is_valid(path):
    """It is a JSON Schema of its draft, has the name of its command, and allows new keys."""
    schema = json.loads(path.read_text())
    name = path.name[: -len(".schema.json")]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:eks-proxy-agent:{name}:1"
    assert re.search("`eks-proxy-agent (.*) --json`", schema["title"]).group(1).replace(" ", "-") == name
    assert "a reader must ignore unknown keys" in schema["description"].replace("unknown ones", "unknown keys")
    assert '"additionalProperties": false' not in path.read_text()


def keys(schema):
    """Yield the name of every key of a schema."""
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from keys(part)
    if isinstance(schema, dict) and schema.get("type") == "object":
        yield from schema.get("properties", {})


@pytest.mark.parametrize(("name", "heading"), [("check", "## `--json`, schema 1"), ("explain", "## `--json`")])
def test_the_page_of_a_command_has_every_key(name, heading):
    """The section on --json names each key of the schema."""
    section = (ROOT / f"docs/{name}.md").read_text().partition(heading)[2]
    named = set(re.findall("`([a-z_]+)`", section))
    assert set(keys(json.loads((ROOT / f"docs/{name}.schema.json").read_text()))) - named == set()


PLAN = {
    "schema": 1,
    "instance_id": "i-0123456789abcdef0",
    "intent": None,
    "no_proxy": [{"entry": "localhost", "reason": "loopback"}],
    "changes": [{"path": "/etc/environment", "action": "changed"}],
    "diff": "",
    "actions": [],
    "problems": [],
    "node_enable": None,
}


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({}, None),
        ({"later": 1}, ""),
        ({"schema": 2}, "schema"),
        ({"changes": [{"path": "/etc/environment", "action": "kept"}]}, "changes/0/action"),
        ({"changes": [{"path": "/etc/environment"}]}, "changes/0"),
        ({"no_proxy": [{"entry": "localhost", "reason": "loopback", "later": 1}]}, "no_proxy/0"),
    ],
)
def test_the_judge_of_the_tests_refuses_an_undocumented_key(changed, where):
    """Also in an object of a list; the published schema accepts it."""
    document = {**PLAN, **changed}
    found = json_schemas.problems("plan", json.dumps(document))
    assert [problem.partition(":")[0] for problem in found] == ([] if where is None else [where])
    is_tolerated = where in (None, "", "no_proxy/0")
    published = jsonschema.Draft202012Validator(json.loads((ROOT / "docs/plan.schema.json").read_text()))
    assert published.is_valid(document) == is_tolerated


def test_the_page_has_every_key_of_facts():
    """The table of json.md has the keys of --facts."""
    minimum = {"instance_id": "i-0123456789abcdef0", "region": "eu-west-1", "vpc_cidrs_v4": ["10.0.0.0/16"]}
    keys = {*json.loads(facts_to_json(facts_from_json(json.dumps(minimum)))), "fips"}
    table = (REFERENCE / "json.md").read_text().partition("## Facts")[2]
    rows = [re.findall("`([a-z0-9_]+)`", row.split("|")[1]) for row in table.splitlines() if row.startswith("| `")]
    assert {key for row in rows for key in row} == keys


# --- events


def documented_events():
    """Return (level, fields, remedy) of each event of events.md."""
    rows = [line.split(" | ") for line in (REFERENCE / "events.md").read_text().splitlines() if line.startswith("| `")]
    rows = [row for row in rows if len(row) == 5]
    return {
        name: (set(row[1].split(", ")), set(re.findall("`([a-z_]+)`", row[2])), row[4].strip(" |"))
        for row in rows
        for name in re.findall("`([a-z_.]+)`", row[0])
    }


def test_every_event_is_documented():
    """events.md has exactly the events of the source, each with its levels and fields."""
    logged = log_calls.events()
    assert len(logged) > 50
    assert {name: (levels, fields) for name, (levels, fields, _) in documented_events().items()} == logged


def test_a_bad_event_has_a_remedy():
    """The last column of a warning or an error is not empty."""
    events = documented_events()
    assert [name for name, (levels, _, remedy) in events.items() if levels - {"info"} and not remedy] == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("get_logger().info('a.b', x=1)", {"a.b": ({"info"}, {"x"})}),
        ("log = get_logger()\n    (log.error if x else log.info)('a.b')", {"a.b": ({"error", "info"}, set())}),
        ("get_logger().info('a.b' if x else 'a.c')", {"a.b": ({"info"}, set()), "a.c": ({"info"}, set())}),
        ("get_logger().info(NAMES[x])", {"n.one": ({"info"}, set()), "n.two": ({"info"}, set())}),
        ("more = {'y': 1}\n    get_logger().info('a.b', **more)", {"a.b": ({"info"}, {"y"})}),
        ("get_logger().info('a.b', **({'y': 1} if x else {}))", {"a.b": ({"info"}, {"y"})}),
        ("report('error', 'a.b', x='1')", {"a.b": ({"error"}, {"x"})}),
        ("get_logger().info(f'{x}.b')", "line 3"),
        ("get_logger().info(x)", "line 3"),
        ("get_logger().info('a.b', **x)", "line 3"),
        ("use(get_logger())", "line 3"),
        ("log = get_logger(); use(log)", "line 3"),
        ("get_logger().info(other.NAMES[x])", "line 3"),
    ],
)
def test_events_are_read_from_the_source(tmp_path, source, expected):
    """Names in tables and conditions are read; what cannot be read is an error with its line."""
    (tmp_path / "module.py").write_text(f"NAMES = {{1: 'n.one', 2: 'n.two'}}\ndef f(x):\n    {source}\n")
    if isinstance(expected, str):
        with pytest.raises(log_calls.Unreadable, match=expected):
            log_calls.events(tmp_path)
    else:
        assert log_calls.events(tmp_path) == expected


# --- exit codes, files, environment


def test_every_exit_code_is_documented():
    """The table of docs/settings.md has the codes of errors, pending changes and timeouts."""
    table = (ROOT / "docs/settings.md").read_text().partition("## Exit codes")[2]
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.AgentError)]
    codes = {kind.exit_code for kind in kinds} | {0, 3, TIMED_OUT, 130}
    assert set(map(int, re.findall(r"(?m)^\| (\d+) \|", table))) == codes


@functools.cache
def trees():
    """Return the syntax tree of each module of the program."""
    return [ast.parse(path.read_text()) for path in sorted((ROOT / "agent").rglob("*.py"))]


def texts(tree):
    """Yield every text of a module except docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


#: Directories that only begin a path, or that coverage.md names by their begin.
BEGINNINGS = {"/etc", "/proc", "/usr/lib", "/usr/local/lib", "/run", "/var/lib/eks-proxy-agent/instances"}
BEGINNINGS |= {"/lib/systemd/system", "/usr/local/lib/systemd/system"}
#: Paths in user data, or in a pod, which the agent only names.
NAMED = {"/etc/eks-proxy-agent-ca", "/etc/resolv.conf", "/usr/bin/aws"}


def test_every_path_of_the_program_is_documented():
    """Each absolute path in the source is in files.md, or on a page that it links to."""
    names = ("node.md", "architecture.md", "coverage.md", "status.md", "reference/files.md")
    known = "".join((ROOT / "docs" / name).read_text() for name in names)
    for files in re.findall(r"(?m)^\| `/run`: (.*?) \|", known):
        known += "".join(f"/run/eks-proxy-agent/{name}\n" for name in re.findall("`(.*?)`", files))
    pattern = r"(?<![\w.\]}])/(?:etc|usr|var|run|opt|proc|lib)(?:/[\w.*-]+)*"
    found = {path.rstrip(".") for tree in trees() for text in texts(tree) for path in re.findall(pattern, text)}
    assert len(found) > 40
    directories = tuple(re.findall("`(/[^`]+/)`", (REFERENCE / "files.md").read_text()))
    unknown = found - BEGINNINGS - NAMED - {path for path in found if path.startswith(directories)}
    assert sorted(path for path in unknown if path not in known) == []


def test_every_variable_of_the_environment_is_documented():
    """The section ENVIRONMENT of eks-proxy-agent(8) has each variable that the program reads."""
    page = (ROOT / "packaging/man/eks-proxy-agent.8.in").read_text().partition(".SH ENVIRONMENT")[2]
    section = page.partition(".SH ")[0]
    names = {
        node.args[0].value
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.environ.get", "os.getenv")
    }
    names |= {
        node.slice.value
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ"
    }
    assert "NO_COLOR" in names
    assert {name for name in names if name not in section} == set()
