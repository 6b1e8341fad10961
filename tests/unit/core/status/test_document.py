"""docs/status.schema.json and docs/status.md agree with each other and with the code."""

import re

import attrs
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.net.proxy_url import Credentials
from agent.core.noproxy.entries import Entry
from agent.core.status.document import PHASES, StatusDocument
from agent.core.status.metrics import render
from agent.core.status.node_view import NodeView
from agent.core.status.summary import screen
from tests import status_schema
from tests.status_schema import ROOT, SCHEMA
from tests.unit.core.status.test_summary import WELL

PAGE = (ROOT / "docs/status.md").read_text()
FILE = {
    **{key: value for key, value in WELL.items() if key not in ("units", "daemon", "bootstrap", "held_units")},
    "files": [one["path"] for one in WELL["files"]],
}
PARTS = [FILE["no_proxy"][0], FILE["proxies"][0], FILE["preflight"], FILE["repairs"], FILE["metrics"], FILE["proxy"]]


def test_it_is_a_schema():
    """The file is a JSON Schema of the draft that it names."""
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_what_the_screen_is_tested_with_is_real():
    """The node that is well in the tests of the screen is one that the schema allows, as output and
    as file.
    """
    assert status_schema.problems(WELL) == []
    assert status_schema.problems(FILE, file=True) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"schema": 2},
        {"phase": "well"},
        {"updated": "2026-11-22 20:31"},
        {"since": None},
        {"intent": None},
        {"error": "in a node that is well"},
        {"proxy": {"http": "http://user:password@one.corp:3128", "https": "http://one.corp:3128"}},
        {"no_proxy": [{"entry": "localhost"}]},
        {"no_proxy": []},
        {"stale_units": ["docker"]},
        {"repairs": {"total": -1, "fought": []}},
        {"proxies": [{"url": "http://one.corp:3128"}]},
        {"preflight": {"ok": True}},
        {"metrics": {}},
        {"surprise": 1},
    ],
    ids=str,
)
def test_what_is_wrong_is_found(changed):
    """Each of these would be an error, in the output and in the file."""
    assert status_schema.problems({**WELL, **changed}) != []
    assert status_schema.problems({**FILE, **changed}, file=True) != []


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"phase": "unconfigured", "intent": None, "proxy": None, "no_proxy": [], "proxies": [], "preflight": None},
        {"metrics": {"path": None, "error": "no room"}, "stale_units": ["docker.service"]},
        {"key_of_a_newer_version": [1, {"a": None}]},
    ],
    ids=",".join,
)
def test_a_status_is_written_as_it_was_read(changed):
    """All keys and values stay, also the keys that only a newer version knows."""
    status = {**FILE, **changed}
    assert StatusDocument.from_json(status).to_json() == status


def test_what_was_not_found_out_yet_is_left_out():
    """A pass that failed before any succeeded says so, and nothing of proxies, files and units."""
    first = {"schema": 1, "phase": "degraded", "error": "x", "version": "1", "updated": FILE["updated"]}
    first["since"] = first["updated"]
    assert status_schema.problems(first, file=True) == []
    assert StatusDocument.from_json(first).to_json() == first


def test_the_output_of_status_is_read_as_the_file_is():
    """`cluster --from-node` takes either: of the output the paths count, and not their state."""
    output, file = StatusDocument.from_json(WELL), StatusDocument.from_json(FILE)
    assert attrs.evolve(output, extra={}) == file


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
    ],
    ids=str,
)
def test_a_spoilt_status_is_refused(changed):
    """Whoever has a StatusDocument need not ask whether its values are what they have to be."""
    with pytest.raises(ValueError, match=r"."):
        StatusDocument.from_json({**FILE, **changed})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
)


@given(JSON, st.sampled_from(sorted(FILE)), st.sampled_from(sorted({key for part in PARTS for key in part} | {""})))
def test_garbage_is_refused_or_shown(value, key, inner):
    """Anything at all may stand anywhere: it is refused, or can be shown, as a screen and as
    metrics.
    """
    if inner:
        table = {**next(part for part in PARTS if inner in part), inner: value}
        value = [table] if isinstance(FILE[key], list) else table
    try:
        document = StatusDocument.from_json({**FILE, key: value})
    except ValueError:
        return
    render(document)
    screen(NodeView(document), 0.0, full=True)


def test_the_intent_is_the_nodes():
    """Proxies and entries as the node has them, and the credentials that are given; none without a
    proxy.
    """
    document = StatusDocument.from_json(FILE)
    intent = document.intent(Credentials("user", "password"))
    assert (str(intent.http_proxy), str(intent.https_proxy)) == ("http://one.corp:3128", "http://one.corp:3128")
    assert intent.no_proxy[0] == Entry("localhost", "loopback")
    assert (intent.credentials.user, document.intent().credentials) == ("user", None)
    assert attrs.evolve(document, proxy=None).intent() is None


def test_every_key_is_explained_in_words():
    """docs/status.md has a line for each key of the schema, and for no other; and for each
    phase.
    """
    lines = re.findall(r"^\| `((?!eks_)[a-z_]+)`", PAGE, re.MULTILINE)
    assert sorted(lines) == sorted([*SCHEMA["properties"], "configured", "unconfigured", "degraded"])
    assert "`not run`" in PAGE
    assert set(SCHEMA["properties"]["phase"]["enum"]) == {*PHASES, "not run"}


def test_every_metric_is_explained_in_words():
    """docs/status.md names each metric that the agent writes, and no other."""
    written = set(re.findall("# TYPE ([a-z_]+)", render(StatusDocument.from_json(FILE))))
    assert set(re.findall(r"`(eks_proxy_agent_[a-z_]+)[`{]", PAGE)) == written
