"""The agent's option for Java, compared with a JVM, which is queried and connects to nothing."""

import contextlib
import itertools
import shutil
from pathlib import Path

import pytest

from agent.core.noproxy.dialects import go
from agent.core.noproxy.dialects.java import non_proxy_hosts
from agent.core.noproxy.dialects.request import parse_request
from agent.core.noproxy.entries import compose, parse_operator_entry
from tests.boot.harness.command import run
from tests.clients import cases

PROGRAM = Path(__file__).parent / "workers/NonProxyHosts.java"

LOOPBACK = ("localhost", "127.8.9.10", "[::1]", "0.0.0.0", "[::0]")

#: Java compares IPv6 addresses as text: these have the spelling of the agent's list.
HOSTS = (*cases.NAMES, *cases.IPV4, "[fd00:ec2::254]", "[FD00:EC2::254]", "[2001:db8:1:10::5]", "[::1]")


def routes_of_java(requested):
    """Return the route of a JVM for each pair of URL and http.nonProxyHosts."""
    if shutil.which("java") is None:
        pytest.skip("not installed: java (package: tests/packages.txt)")
    lines = "".join(f"{url}\t{value}\n" for url, value in requested)
    return run(["java", "-XX:TieredStopAtLevel=1", PROGRAM], stdin=lines).stdout.split()


def lists():
    """Yield each entry of the other clients' cases on its own, and a complete list of a node."""
    for entry in " ".join(entries for entries, _ in cases.ENTRIES).split():
        if entry.startswith("::ffff:"):
            continue  # only Go reads it as the IPv4 address
        with contextlib.suppress(ValueError):  # cannot be in the agent's list
            yield parse_operator_entry(entry).spellings
    complete = compose(
        vpc_cidrs=["10.0.0.0/16", "100.64.0.0/16", "2600:1f16::/56"],
        service_cidrs=["172.20.0.0/16"],
        api_endpoints=[".eu-west-1.eks.amazonaws.com"],
        aws=[("aws:s3", ["s3.eu-west-1.amazonaws.com"])],
        operator=[parse_operator_entry("example.com"), parse_operator_entry("fd00:ec2::1")],
    )
    yield tuple(entry.value for entry in complete)


def test_option_exempts_the_same_hosts_as_the_list():
    """Entries that Java can express exempt the same hosts as in Go, which parses addresses."""
    expressed = [[entry for entry in entries if not non_proxy_hosts([entry]).left_out] for entries in lists()]
    requested = [(host, entries) for entries, host in itertools.product(filter(None, expressed), HOSTS)]
    routes = routes_of_java([(f"http://{host}/", non_proxy_hosts(entries).value) for host, entries in requested])
    wrong = [
        f"{host} with {entries}: got {route}"
        for (host, entries), route in zip(requested, routes)
        if (route == "direct") != bool(go.bypass(parse_request(host), ",".join(entries)))
    ]
    assert len(routes) == len(requested) > 1000
    assert wrong == []
    assert {"proxy", "direct"} == set(routes)


def test_rules_of_java():
    """Loopback is exempt with any value but the empty one; ports and CIDRs are not read."""
    pairs_by_route = {
        "direct": [
            *((host, "x.org") for host in LOOPBACK),
            ("example.com:8080", "example.com"),
            ("www.example.com", "*example.com"),
            ("10.0.3.4", "10.0.*"),
        ],
        "proxy": [
            *((host, "") for host in LOOPBACK),
            ("example.com", "example.com:80"),
            ("10.0.3.4", "10.0.0.0/16"),
            ("[fd00:ec2:0::254]", "[fd00:ec2::254]"),
            ("[fd00:ec2::254]", "fd00:ec2::254"),
        ],
    }
    expected = {(f"https://{host}/", value): route for route, pairs in pairs_by_route.items() for host, value in pairs}
    assert dict(zip(expected, routes_of_java(expected))) == expected
