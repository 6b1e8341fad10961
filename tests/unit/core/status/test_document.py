"""docs/status.schema.json and docs/status.md agree with each other and with the code."""

import re

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.net.proxy_url import Credentials
from agent.core.noproxy.entries import Entry
from agent.core.record import evolve
from agent.core.status.counters import CATEGORIES
from agent.core.status.document import PHASES, StatusDocument
from agent.core.status.metrics import render
from agent.core.status.node_view import NodeView
from agent.core.status.summary import screen
from tests import status_schema
from tests.status_schema import ROOT, SCHEMA
from tests.unit.core.status.test_summary import HEALTHY

PAGE = (ROOT / "docs/status.md").read_text()
FILE = {
    **{
        key: value
        for key, value in HEALTHY.items()
        if key not in ("units", "daemon", "bootstrap", "signal", "held_units")
    },
    "files": [file["path"] for file in HEALTHY["files"]],
}
PARTS = [FILE["no_proxy"][0], FILE["proxies"][0], FILE["preflight"], FILE["repairs"], FILE["metrics"], FILE["proxy"]]
PARTS += [FILE["counters"], FILE["counters"]["passes"]]


def test_the_schema_is_valid():
    """The file is a JSON Schema of the draft that it names."""
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_node_of_the_screen_tests_is_valid():
    """The healthy node of test_summary matches the schema, as output and as file."""
    assert status_schema.problems(HEALTHY) == []
    assert status_schema.problems(FILE, file=True) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"schema": 2},
        {"phase": "healthy"},
        {"updated": "2026-11-22 20:31"},
        {"since": None},
        {"intent": None},
        {"error": "in a healthy node"},
        {"proxy": {"http": "http://user:password@one.corp:3128", "https": "http://one.corp:3128"}},
        {"no_proxy": [{"entry": "localhost"}]},
        {"no_proxy": []},
        {"stale_units": ["docker"]},
        {"repairs": {"total": -1, "fought": []}},
        {"proxies": [{"url": "http://one.corp:3128"}]},
        {"preflight": {"ok": True}},
        {"metrics": {}},
        {"kept_flags": -1},
        {"ca_not_after": None},
        {"counters": {}},
        {"counters": {**FILE["counters"], "failovers": 1.5}},
        {"surprise": 1},
        {"repairs": {"total": 0, "fought": [], "surprise": 1}},
    ],
    ids=str,
)
def test_the_schema_rejects_invalid_values(changed):
    """Each of these is invalid in the output and in the file."""
    assert status_schema.problems({**HEALTHY, **changed}) != []
    assert status_schema.problems({**FILE, **changed}, file=True) != []


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"phase": "unconfigured", "intent": None, "proxy": None, "no_proxy": [], "proxies": [], "preflight": None},
        {
            "metrics": {**FILE["metrics"], "path": None, "paths": [], "error": "no room"},
            "stale_units": ["docker.service"],
        },
        {"key_of_a_newer_version": [1, {"a": None}]},
    ],
    ids=",".join,
)
def test_a_status_is_written_as_it_was_read(changed):
    """All keys and values stay, also the keys of a newer version."""
    status = {**FILE, **changed}
    assert StatusDocument.from_json(status).to_json() == status


def test_a_value_that_is_not_known_yet_is_left_out():
    """If the first reconcile failed, there are no proxies, files and units."""
    first = {"schema": 1, "phase": "degraded", "error": "x", "version": "1", "updated": FILE["updated"]}
    first["since"] = first["updated"]
    assert status_schema.problems(first, file=True) == []
    assert StatusDocument.from_json(first).to_json() == first


def test_the_output_of_status_is_read_like_the_file():
    """`cluster --from-node` accepts both: of the output it uses the paths without their state."""
    output, file = StatusDocument.from_json(HEALTHY), StatusDocument.from_json(FILE)
    assert evolve(output, extra={}) == file


@pytest.mark.parametrize(
    "changed",
    [
        {"schema": 2},
        {"schema": None},
        {"phase": None},
        {"error": 5},
        {"intent": 5},
        {"proxy": "http://one.corp:3128"},
        {"proxy": {"http": "one.corp", "https": "one.corp"}},
        {"no_proxy": 1},
        {"no_proxy": ["localhost"]},
        {"no_proxy": [{"entry": "a,b", "reason": "x"}]},
        {"no_proxy": [{"entry": "a"}]},
        {"files": {}},
        {"files": [5]},
        {"warnings": None},
        {"stale_units": "docker.service"},
        {"repairs": [1]},
        {"repairs": {"total": "7", "fought": []}},
        {"proxies": {}},
        {"proxies": [{}]},
        {"proxies": [{"url": "http://one.corp:3128", "latency_seconds": "fast"}]},
        {"proxies": [{"url": "http://one.corp:3128", "latency_seconds": float("nan")}]},
        {"preflight": {"ok": "yes", "kind": "ok", "text": ""}},
        {"metrics": {"path": 5}},
        {"metrics": {"paths": [5]}},
        {"metrics": {"paths": ["/etc/passwd"]}},
        {"kept_flags": "1"},
        {"counters": {"passes": {}}},
        {"counters": {**FILE["counters"], "failovers": -1}},
        {"counters": {**FILE["counters"], "failovers": True}},
        {"counters": {**FILE["counters"], "probes": {"up": 1.5}}},
        {"counters": {**FILE["counters"], "probes": 5}},
    ],
    ids=str,
)
def test_a_corrupt_status_is_refused(changed):
    """The values of a StatusDocument need no further checks."""
    with pytest.raises(ValueError, match=r"."):
        StatusDocument.from_json({**FILE, **changed})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
)


@given(JSON, st.sampled_from(sorted(FILE)), st.sampled_from(sorted({key for part in PARTS for key in part} | {""})))
def test_any_value_is_refused_or_shown(value, key, inner):
    """Any value in any place is refused, or can be shown as screen and as metrics."""
    if inner:
        table = {**next(part for part in PARTS if inner in part), inner: value}
        value = [table] if isinstance(FILE[key], list) else table
    try:
        document = StatusDocument.from_json({**FILE, key: value})
    except ValueError:
        return
    render(document)
    screen(NodeView(document), 0.0, full=True)


def test_the_intent_has_the_values_of_the_node():
    """It has the node's proxies and entries, and the given credentials.

    There is none without a proxy.
    """
    document = StatusDocument.from_json(FILE)
    intent = document.intent(Credentials("user", "password"))
    assert (str(intent.http_proxy), str(intent.https_proxy)) == ("http://one.corp:3128", "http://one.corp:3128")
    assert intent.no_proxy[0] == Entry("localhost", "loopback")
    assert (intent.credentials.user, document.intent().credentials) == ("user", None)
    assert evolve(document, proxy=None).intent() is None


def test_every_key_is_documented():
    """docs/status.md has a line for each key of the schema and for each phase, and no other."""
    lines = re.findall(r"^\| `((?!eks_)[a-z_]+)`", PAGE, re.MULTILINE)
    assert sorted(lines) == sorted([*SCHEMA["properties"], "configured", "unconfigured", "degraded"])
    assert "`not run`" in PAGE
    assert set(SCHEMA["properties"]["phase"]["enum"]) == {*PHASES, "not run"}


def test_every_metric_is_documented():
    """docs/status.md has a row with the labels of each metric that the agent writes, and no other.

    The row of an error has each category of an error.
    """
    text = render(StatusDocument.from_json({**FILE, "repairs": {"total": 0, "fought": ["/etc/a"]}}))
    samples = re.findall(r"^(eks_proxy_agent_[a-z_]+)(?:\{(.*)\})? ", text, re.MULTILINE)
    written = {(name, tuple(re.findall(r'([a-z]+)="', labels))) for name, labels in samples}
    rows = re.findall(r"^\| `(eks_proxy_agent_[a-z_]+)(?:\{([a-z,]+)\})?` \|", PAGE, re.MULTILINE)
    assert sorted((name, tuple(labels.split(",")) if labels else ()) for name, labels in rows) == sorted(written)
    assert {name for name, _ in written} == set(re.findall("# TYPE ([a-z_]+)", text))
    row = next(line for line in PAGE.splitlines() if "failures_total{category}" in line)
    assert [name for name in CATEGORIES if f"`{name}`" not in row] == []
