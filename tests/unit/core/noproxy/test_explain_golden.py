"""Golden files: the matrix of 60 hosts, paragraphs of `explain`, findings of the lint, and errors.

After an intended change: ACCEPT=1 pytest tests/unit/core/noproxy/test_explain_golden.py
"""

import json
import os
from pathlib import Path

import pytest

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import facts_from_json
from agent.core.intent import intent
from agent.core.noproxy.dialects.request import parse_request
from agent.core.noproxy.entries import parse_operator_entry
from agent.core.noproxy.explain import UNNAMED, Values, of_entries, routes_of, variables
from agent.core.noproxy.explain_view import matrix_head, matrix_row, paragraph
from agent.core.noproxy.lint import judge
from agent.core.settings.layers import merge, parse_toml

GOLDEN = Path(__file__).parent / "golden"
SETTINGS = b"""
[proxy]
url = "http://proxy.example.com:3128"
no_proxy = ["corp.example.com", ".partner.example.net", "nexus.example.org:8443", "192.168.7.0/24", "fd12:3456::7"]
[aws]
direct = ["ec2", "ecr", "s3", "sts"]
"""
FACTS = """{"instance_id": "i-0123456789abcdef0", "region": "eu-central-1",
"vpc_cidrs_v4": ["10.42.0.0/16", "100.64.0.0/16"], "vpc_cidrs_v6": ["2600:1f16:67f:f200::/56"]}"""

PARAGRAPHS = ["localhost", "http://127.0.0.53:53", "http://[fd00:ec2::254]", "10.42.0.10", "sts.amazonaws.com"]
NEEDED = "localhost,127.0.0.1,169.254.169.254"
#: A list for each finding of the lint.
LISTS = [
    "10.0.0.0/16",
    ".corp.example.com",
    "*.corp.example.com,10.1.*",
    "host.corp:8443,[fd00::7]:8443",
    "fd00::7",
    " host.corp ,a.corp b.corp",
    "host.corp.",
    "http://host.corp/path",
    "10.0.0,b\u00fccher.example",
    "*,com,co.uk,0.0.0.0/0,amazonaws.com",
    "corp,git.corp,corp",
    "ec2.us-east-1.amazonaws.com,s3.eu-central-1.amazonaws.com",
]
BAD_TARGETS = [
    "",
    "ftp://example.com",
    "http:/example.com",
    "10.0.0.0/16",
    "example.com:0",
    "127.1",
    "[::1",
    "fe80::1%eth0",
    "stra\u00dfe.example",
    "x" * 8193,
]
BAD_ENTRIES = ["a b", "*", "*.corp", "http://a.corp", "a..corp", "0.0.0.0/0", "10.1.2.3/16", "nexus.corp:8443"]


def hosts():
    """Return the lines of hosts.txt that are not comments."""
    return [line for line in (GOLDEN / "hosts.txt").read_text().splitlines() if not line.startswith("#")]


def values():
    """Return the values that the agent composes from SETTINGS and FACTS."""
    composed = intent.compose(merge([parse_toml("golden", SETTINGS)]).settings, facts_from_json(FACTS), ClusterInfo())
    return of_entries(composed.no_proxy, str(composed.http_proxy), str(composed.https_proxy))


def matrix():
    """Return the matrix of all hosts."""
    targets = [parse_request(host) for host in hosts()]
    return [*matrix_head(values()), *(matrix_row(target, routes_of(target, values())) for target in targets)]


def paragraphs():
    """Return the paragraphs of a few hosts, one for each kind."""
    targets = [parse_request(host) for host in PARAGRAPHS]
    return [line for target in targets for line in paragraph(target, routes_of(target, values()))]


def findings():
    """Return each list of LISTS and its findings, without those about missing entries."""
    lines = []
    for no_proxy in LISTS:
        given = Values(variables(UNNAMED, UNNAMED, f"{NEEDED},{no_proxy}"))
        lines.append(json.dumps(no_proxy))
        lines += [f"  {finding.severity}: {finding.line}" for finding in judge(given, region="eu-central-1")]
    for given in (Values(variables(UNNAMED, UNNAMED, "")), Values({"no_proxy": NEEDED, "NO_PROXY": "x"})):
        lines.append(json.dumps(dict(given.environment)))
        lines += [f"  {finding.severity}: {finding.line}" for finding in judge(given)]
    return lines


def errors():
    """Return the errors about targets and about entries of the operator."""
    return [*complaints(parse_request, BAD_TARGETS), *complaints(parse_operator_entry, BAD_ENTRIES)]


def complaints(parse, texts):
    """Yield each text with the error or warning about it."""
    for text in texts:
        try:
            yield f"{json.dumps(text[:40])}: warning: {parse(text).warning}"
        except ValueError as error:
            yield f"{json.dumps(text[:40])}: {error}"


@pytest.mark.parametrize("render", [matrix, paragraphs, findings, errors])
def test_output_equals_the_golden_file(render):
    """ACCEPT=1 writes the file again; review it before the commit."""
    golden = GOLDEN / f"{render.__name__}.txt"
    lines = render()
    if os.environ.get("ACCEPT") == "1":
        golden.write_text("".join(line + "\n" for line in lines))
    assert lines == golden.read_text().splitlines()


def test_the_golden_matrix_has_60_hosts():
    """The matrix covers all kinds of hosts."""
    assert len(hosts()) == 60
