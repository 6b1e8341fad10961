"""docs/status.schema.json and docs/status.md agree with each other and with the code."""

import re

import jsonschema
import pytest

from agent.core.status.metrics import PHASES
from tests import status_schema
from tests.status_schema import ROOT, SCHEMA
from tests.unit.core.status.test_summary import WELL

PAGE = (ROOT / "docs/status.md").read_text()
FILE = {
    **{key: value for key, value in WELL.items() if key not in ("units", "daemon", "bootstrap", "held_units")},
    "files": [one["path"] for one in WELL["files"]],
}


def test_it_is_a_schema():
    """The file is a JSON Schema of the draft that it names."""
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_what_the_screen_is_tested_with_is_real():
    """The node that is well in the tests of the screen is one that the schema allows, as output and as file."""
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


def test_every_key_is_explained_in_words():
    """docs/status.md has a line for each key of the schema, and for no other; and for each phase."""
    lines = re.findall(r"^\| `((?!eks_)[a-z_]+)`", PAGE, re.MULTILINE)
    assert sorted(lines) == sorted([*SCHEMA["properties"], "configured", "unconfigured", "degraded"])
    assert "`not run`" in PAGE
    assert set(SCHEMA["properties"]["phase"]["enum"]) == {*PHASES, "not run"}


def test_every_metric_is_explained_in_words():
    """docs/status.md names each metric that the agent writes, and no other."""
    from agent.core.status.metrics import render

    written = set(re.findall("# TYPE ([a-z_]+)", render(FILE)))
    assert set(re.findall(r"`(eks_proxy_agent_[a-z_]+)[`{]", PAGE)) == written
