"""The agent's list as Java's option, and the entries that it cannot express."""

import ipaddress
from fnmatch import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.noproxy.dialects.java import MOST_PATTERNS, non_proxy_hosts


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("localhost", "localhost|*.localhost"),
        ("Example.com", "example.com|*.example.com"),
        (".svc", "*.svc"),
        ("*.svc", "*.svc"),
        ("*svc", "*svc"),
        ("a.example.", "a.example.|*.a.example."),
        ("*", "*"),
        ("169.254.169.254", "169.254.169.254"),
        ("fd00:ec2::254", "[fd00:ec2::254]"),
        ("[fd00:ec2::254]", "[fd00:ec2::254]"),
        ("10.0.0.0/8", "10.*"),
        ("172.20.0.0/16", "172.20.*"),
        ("10.0.3.0/24", "10.0.3.*"),
        ("10.0.3.4/32", "10.0.3.4"),
        ("10.0.3.4/31", "10.0.3.4|10.0.3.5"),
        ("10.0.4.1/22", "10.0.4.*|10.0.5.*|10.0.6.*|10.0.7.*"),  # bits of a host
        ("10.0.3.4/8", "10.*"),
        ("10.0.4.0/22", "10.0.4.*|10.0.5.*|10.0.6.*|10.0.7.*"),
        ("", ""),
    ],
)
def test_entry_becomes_patterns(entry, value):
    """A name covers its subdomains; a network becomes one pattern for each of its octet values."""
    assert non_proxy_hosts([entry]).value == value
    assert non_proxy_hosts([entry]).left_out == ()


@pytest.mark.parametrize(
    "entry",
    [
        *("fd00::/8", "10.0.0.0/25", "10.0.0.0/17", "10.0.0.0/\u00b2", "10.0.0.0/\u0663", "10/8", "0.0.0.0/0"),
        *("host:8080", "a*b", "**", "*.", "a|b", "a b", "a\nb", "'a'", "..a"),
        *("b\u00fccher.example", "3.4", "010.0.3.4"),
    ],
)
def test_entry_that_java_cannot_express_is_left_out(entry):
    """The value does not have it, and `left_out` does."""
    java = non_proxy_hosts(["a.example", entry])
    assert (java.value, java.left_out) == ("a.example|*.a.example", (entry,))


def test_patterns_are_unique():
    """Both spellings of an IPv6 address are one pattern, and the order is kept."""
    assert non_proxy_hosts(["::1", "[::1]", ".svc", "::1"]).value == "[::1]|*.svc"


@given(st.lists(st.text(max_size=20), max_size=5))
def test_any_list_becomes_a_value(entries):
    """Nothing is raised, and the number of patterns for an entry is limited."""
    assert non_proxy_hosts(entries).value.count("|") <= MOST_PATTERNS * len(entries)


@given(st.ip_addresses(v=4), st.integers(0, 33))
def test_any_network_becomes_patterns_or_is_left_out(address, bits):
    """Also one with bits of a host, which stands for its network."""
    java = non_proxy_hosts([f"{address}/{bits}"])
    assert bool(java.value) != bool(java.left_out)
    if java.value and bits <= 32:
        network = ipaddress.ip_network(f"{address}/{bits}", strict=False)
        assert java == non_proxy_hosts([str(network)])
        assert any(fnmatch(str(network[0]), pattern) for pattern in java.value.split("|"))
        assert any(fnmatch(str(network[-1]), pattern) for pattern in java.value.split("|"))
