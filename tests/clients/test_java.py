"""What our list becomes for Java, against a JVM: it is asked for its proxies, and connects to
nothing.
"""

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

#: Java compares IPv6 addresses as text: those that are spelt as our list spells them.
HOSTS = (*cases.NAMES, *cases.IPV4, "[fd00:ec2::254]", "[FD00:EC2::254]", "[2001:db8:1:10::5]", "[::1]")


def ways(asked):
    """How a JVM goes, for each URL and value of http.nonProxyHosts."""
    if shutil.which("java") is None:
        pytest.skip("not installed: java (package: tests/packages.txt)")
    lines = "".join("{}\t{}\n".format(*pair) for pair in asked)
    return run(["java", "-XX:TieredStopAtLevel=1", PROGRAM], stdin=lines).stdout.split()


def lists():
    """The owner's entries of the other clients' cases, each for itself, and a whole list as a node
    has it.
    """
    for entry in " ".join(entries for entries, _ in cases.ENTRIES).split():
        if entry.startswith("::ffff:"):
            continue  # Go alone takes it for the IPv4 address
        with contextlib.suppress(ValueError):  # nothing that can be in our list
            yield parse_operator_entry(entry).spellings
    whole = compose(
        vpc_cidrs=["10.0.0.0/16", "100.64.0.0/16", "2600:1f16::/56"],
        service_cidrs=["172.20.0.0/16"],
        api_endpoints=[".eu-west-1.eks.amazonaws.com"],
        aws=[("aws:s3", ["s3.eu-west-1.amazonaws.com"])],
        operator=[parse_operator_entry("example.com"), parse_operator_entry("fd00:ec2::1")],
    )
    yield tuple(entry.value for entry in whole)


def test_the_option_exempts_what_the_list_exempts():
    """Of the entries that Java can say, each exempts the same hosts as in Go, the client that
    compares addresses as such.
    """
    said = [[entry for entry in entries if not non_proxy_hosts([entry]).left_out] for entries in lists()]
    asked = [(host, entries) for entries, host in itertools.product(filter(None, said), HOSTS)]
    found = ways([(f"http://{host}/", non_proxy_hosts(entries).value) for host, entries in asked])
    wrong = [
        f"{host} with {entries}: Java goes {way}"
        for (host, entries), way in zip(asked, found)
        if (way == "direct") != bool(go.bypass(parse_request(host), ",".join(entries)))
    ]
    assert len(found) == len(asked) > 1000
    assert wrong == []
    assert {"proxy", "direct"} == set(found)


def test_what_java_makes_of_a_value():
    """Its own exemptions stand beside any value but the empty one; text is compared without a port,
    and no CIDR is known.
    """
    told = {
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
    wanted = {(f"https://{host}/", value): way for way, pairs in told.items() for host, value in pairs}
    assert dict(zip(wanted, ways(wanted))) == wanted
