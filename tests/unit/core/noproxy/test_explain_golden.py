"""A matrix of 60 hosts, as it is printed.  After a wanted change: ACCEPT=1 pytest
tests/unit/core/noproxy/test_explain_golden.py
"""

import os
from pathlib import Path

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import facts_from_json
from agent.core.intent import intent
from agent.core.noproxy.dialects.request import parse_request
from agent.core.noproxy.explain import of_entries, ways
from agent.core.noproxy.explain_view import matrix_head, matrix_row
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


def hosts():
    """The lines of hosts.txt that are no comments."""
    return [line for line in (GOLDEN / "hosts.txt").read_text().splitlines() if not line.startswith("#")]


def matrix():
    """What `explain --matrix` prints of them."""
    composed = intent.compose(merge([parse_toml("golden", SETTINGS)]).settings, facts_from_json(FACTS), ClusterInfo())
    values = of_entries(composed.no_proxy, str(composed.http_proxy), str(composed.https_proxy))
    targets = [parse_request(host) for host in hosts()]
    rows = [matrix_row(target, ways(target, values)) for target in targets]
    return "".join(line + "\n" for line in [*matrix_head(values), *rows])


def test_the_matrix_is_the_golden_one():
    """60 hosts by all clients come out as they did; ACCEPT=1 writes the file anew, to be read
    before it is committed.
    """
    golden = GOLDEN / "matrix.txt"
    if os.environ.get("ACCEPT") == "1":
        golden.write_text(matrix())
    assert len(hosts()) == 60
    assert matrix().splitlines() == golden.read_text().splitlines()
