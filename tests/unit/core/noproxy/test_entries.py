"""NO_PROXY: its constant entries, order and reasons, and the entries that an operator may write."""

import ipaddress
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.net.addresses import canonical
from agent.core.noproxy.entries import (
    Entry,
    OperatorEntry,
    canonical_cidr,
    compose,
    parse_operator_entry,
    proposals,
    render,
    spellings,
)

#: The kinds, in the order of the list.
KINDS = [
    "loopback",
    "metadata",
    "credentials",
    "internal",
    "cluster-domain",
    "vpc",
    "pod-cidr",
    "service-cidr",
    "service-address",
    "api-endpoint",
    "aws:ec2",
    "aws:s3",
    "owner",
]

NAMES = st.lists(st.sampled_from(["a", "b2", "corp", "s3-eu", "x_1"]), min_size=1, max_size=3).map(".".join)
NETWORKS = st.one_of(
    st.builds(lambda ip, bits: f"{ip}/{bits}", st.ip_addresses(v=4), st.integers(1, 32)),
    st.builds(lambda ip, bits: f"{ip}/{bits}", st.ip_addresses(v=6), st.integers(1, 128)),
)
CIDRS = NETWORKS.map(canonical_cidr)
OPERATOR_TEXTS = st.one_of(NAMES, NAMES.map(lambda name: "." + name), NETWORKS, st.ip_addresses().map(str))
ADDRESSES = st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(canonical))
INPUTS = st.fixed_dictionaries(
    {
        "vpc_cidrs": st.lists(CIDRS, max_size=4),
        "pod_cidrs": st.lists(CIDRS, max_size=2),
        "service_cidrs": st.lists(CIDRS, max_size=2),
        "api_endpoints": st.lists(st.one_of(NAMES, NAMES.map(lambda name: "." + name), ADDRESSES), max_size=2),
        "aws": st.lists(st.tuples(st.sampled_from(["aws:ec2", "aws:s3"]), st.lists(NAMES, max_size=3)), max_size=3),
        "operator": st.lists(OPERATOR_TEXTS.map(parse_operator_entry), max_size=5),
    }
)


def test_constant_entries():
    """Destinations that must never use a proxy are in the list without any input."""
    assert compose() == (
        Entry("localhost", "loopback"),
        Entry("127.0.0.1", "loopback"),
        Entry("::1", "loopback"),
        Entry("[::1]", "loopback"),
        Entry("169.254.169.254", "metadata"),
        Entry("fd00:ec2::254", "metadata"),
        Entry("[fd00:ec2::254]", "metadata"),
        Entry("169.254.170.2", "credentials"),
        Entry("169.254.170.23", "credentials"),
        Entry("fd00:ec2::23", "credentials"),
        Entry("[fd00:ec2::23]", "credentials"),
        Entry(".internal", "internal"),
        Entry(".svc", "cluster-domain"),
        Entry(".cluster.local", "cluster-domain"),
    )


def test_complete_list():
    """Each input has its place and reason; networks are sorted by number, not by text."""
    entries = compose(
        vpc_cidrs=["100.64.0.0/16", "10.0.0.0/16", "2600:1f16::/56"],
        service_cidrs=["172.20.0.0/16"],
        cluster_domain="k8s.corp",
        api_endpoints=["abc.gr7.eu-central-1.eks.amazonaws.com"],
        aws=[("aws:s3", ["s3.eu-central-1.amazonaws.com"]), ("aws:ec2", ["ec2.eu-central-1.amazonaws.com"])],
        operator=[parse_operator_entry("nexus.corp"), parse_operator_entry("fd12::7")],
    )
    assert entries[: len(compose())] == compose()
    assert [(entry.value, entry.reason) for entry in entries[len(compose()) :]] == [
        (".k8s.corp", "cluster-domain"),
        ("10.0.0.0/16", "vpc"),
        ("100.64.0.0/16", "vpc"),
        ("2600:1f16::/56", "vpc"),
        ("172.20.0.0/16", "service-cidr"),
        ("172.20.0.1", "service-address"),
        ("abc.gr7.eu-central-1.eks.amazonaws.com", "api-endpoint"),
        ("ec2.eu-central-1.amazonaws.com", "aws:ec2"),
        ("s3.eu-central-1.amazonaws.com", "aws:s3"),
        ("[fd12::7]", "owner"),
        ("fd12::7", "owner"),
        ("nexus.corp", "owner"),
    ]


def test_duplicates_are_complete_entries():
    """An operator's entry that contains another one stays; an equal one appears once."""
    values = [
        entry.value
        for entry in compose(operator=[parse_operator_entry(text) for text in ("notlocalhost", "LOCALHOST")])
    ]
    assert values.count("localhost") == 1
    assert "notlocalhost" in values


@given(INPUTS)
def test_values_are_unique_and_sorted_by_kind(inputs):
    """Entries of a kind are together, kinds have their order, and every entry has a reason."""
    entries = compose(**inputs)
    values = [entry.value for entry in entries]
    assert len(values) == len(set(values))
    assert [reason for reason, _ in itertools.groupby(entry.reason for entry in entries)] == [
        kind for kind in KINDS if any(entry.reason == kind for entry in entries)
    ]
    assert set(compose()) <= set(entries)


@given(INPUTS, st.randoms(use_true_random=False))
def test_order_of_the_inputs_does_not_matter(inputs, rng):
    """Any permutation or repetition gives the same list, so a node has no needless changes."""
    assert compose(**inputs) == compose(**{key: shuffled(rng, value) for key, value in inputs.items()})


def shuffled(rng, value):
    """Return lists in another order and with repetitions, also lists inside pairs."""
    if isinstance(value, list):
        more = value + rng.sample(value, rng.randint(0, len(value)))
        return [shuffled(rng, item) for item in rng.sample(more, len(more))]
    return (value[0], shuffled(rng, value[1])) if isinstance(value, tuple) else value


@given(INPUTS)
def test_every_entry_is_valid_input(inputs):
    """Composed entries are valid operator entries, and change nothing.

    None has `*`, a blank, a port or host bits.
    """
    entries = compose(**inputs)
    again = [parse_operator_entry(entry.value) for entry in entries]
    assert not any(re.search(r"^[^:]*/32$|/128$", entry.value) for entry in entries)
    assert not any(entry.warning for entry in again)
    assert {spelling for entry in again for spelling in entry.spellings} == {entry.value for entry in entries}
    assert compose(**{**inputs, "operator": inputs["operator"] + again}) == entries


@given(INPUTS)
def test_value_splits_into_its_entries(inputs):
    """Clients that split the value at commas get the list, entry by entry."""
    entries = compose(**inputs)
    text = render(entries)
    assert text.split(",") == [entry.value for entry in entries]
    assert text.isascii()
    assert not set(text) & set(" *\t\r\n\"'\\$#")


@given(INPUTS)
def test_networks_are_canonical_and_sorted_by_number(inputs):
    """VPC and service CIDRs have the form of `ipaddress`, IPv4 first, sorted by number.

    One of a single address is that address.
    """
    entries = compose(**inputs)
    for reason in ("vpc", "service-cidr"):
        values = [entry.value for entry in entries if entry.reason == reason and "[" not in entry.value]
        networks = [ipaddress.ip_network(value) for value in values]
        assert networks == sorted(networks, key=lambda net: (net.version, int(net.network_address), net.prefixlen))
        assert all(value == str(network) for value, network in zip(values, networks) if "/" in value)
        assert all(network.num_addresses == 1 for value, network in zip(values, networks) if "/" not in value)


@pytest.mark.parametrize(
    ("service_cidr", "expected"),
    [
        ("172.20.0.0/16", ["172.20.0.1"]),
        ("10.100.0.0/24", ["10.100.0.1"]),
        ("10.100.0.64/31", ["10.100.0.65"]),
        ("10.100.0.64/32", []),  # the CIDR itself is this address
        ("fd12:3456::/108", ["fd12:3456::1", "[fd12:3456::1]"]),
    ],
)
def test_first_address_of_the_service_cidr(service_cidr, expected):
    """Pods have it as KUBERNETES_SERVICE_HOST, and not every client reads a CIDR."""
    entries = compose(service_cidrs=[service_cidr])
    assert [entry.value for entry in entries if entry.reason == "service-address"] == expected


@pytest.mark.parametrize("kind", ["vpc_cidrs", "service_cidrs"])
@pytest.mark.parametrize(
    ("cidr", "expected"),
    [("10.9.8.7/32", ["10.9.8.7"]), ("fd12::7/128", ["fd12::7", "[fd12::7]"]), ("10.9.8.6/31", ["10.9.8.6/31"])],
)
def test_network_of_one_address_is_the_address(kind, cidr, expected):
    """An address is read by every client, a CIDR by some."""
    reason = {"vpc_cidrs": "vpc", "service_cidrs": "service-cidr"}[kind]
    assert [entry.value for entry in compose(**{kind: [cidr]}) if entry.reason == reason] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nexus.corp", ("nexus.corp",)),
        ("Nexus.CORP", ("nexus.corp",)),
        ("nexus.corp.", ("nexus.corp",)),
        ("corp", ("corp",)),
        (".corp", (".corp",)),
        (".corp.example.", (".corp.example",)),
        ("build_1.corp", ("build_1.corp",)),
        ("xn--bcher-kva.example", ("xn--bcher-kva.example",)),
        ("3com.example", ("3com.example",)),
        ("10.1.2.3", ("10.1.2.3",)),
        ("10.1.0.0/16", ("10.1.0.0/16",)),
        ("FD12::0:7", ("fd12::7", "[fd12::7]")),
        ("[fd12::7]", ("fd12::7", "[fd12::7]")),
        ("fd12::/64", ("fd12::/64",)),
        ("::1", ("::1", "[::1]")),
        ("::FFFF:a00:304", ("::ffff:10.0.3.4", "[::ffff:10.0.3.4]")),
    ],
)
def test_accepts(text, expected):
    """An entry gets its most portable form; an IPv6 address gets both spellings."""
    assert parse_operator_entry(text) == OperatorEntry(expected)


@pytest.mark.parametrize(
    ("text", "spelling", "warning"),
    [
        ("nexus.corp:8443", "nexus.corp:8443", "has a port; curl and wget ignore"),
        (".corp:443", ".corp:443", "has a port; curl and wget ignore"),
        ("10.1.2.3:80", "10.1.2.3:80", "has a port; curl and wget ignore"),
        ("10.1.2.3/16", "10.1.0.0/16", "is normalized to 10.1.0.0/16"),
        ("2600:1f16:67f:f200:0:0:0:0/56", "2600:1f16:67f:f200::/56", "is normalized to 2600:1f16:67f:f200::/56"),
    ],
)
def test_accepts_with_a_warning(text, spelling, warning):
    """The warning names an entry that only some clients read, or that is normalized."""
    entry = parse_operator_entry(text)
    assert entry.spellings == (spelling,)
    assert text in entry.warning
    assert warning in entry.warning


@pytest.mark.parametrize(
    ("text", "expected", "instead"),
    [
        ("10.1.2.3/32", ("10.1.2.3",), "written as 10.1.2.3"),
        ("FD12::0:7/128", ("fd12::7", "[fd12::7]"), "written as fd12::7 and [fd12::7]"),
        ("::ffff:a00:304/128", ("::ffff:10.0.3.4", "[::ffff:10.0.3.4]"), "written as ::ffff:10.0.3.4 and"),
    ],
)
def test_host_as_cidr_becomes_the_address(text, expected, instead):
    """The warning names what is written; the proposal is accepted without a warning."""
    entry = parse_operator_entry(text)
    assert entry.spellings == expected
    assert f'"{text}" is one host; {instead}' in entry.warning
    assert all(parse_operator_entry(spelling) == OperatorEntry(expected) for spelling in expected)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "one entry for each host"),
        ("a.corp b.corp", 'write "a.corp", "b.corp"'),
        (" a.corp", 'write "a.corp"'),
        ("a.corp,b.corp", 'write "a.corp", "b.corp"'),
        ("a.corp\n", 'write "a.corp"'),
        ("a.corp\r", 'write "a.corp"'),
        ("a\tb", 'write "a", "b"'),
        ("a\0b", "one entry for each host"),
        ("\x7f", "one entry for each host"),
        ("bücher.example", "non-ASCII"),
        ("*", "would bypass the proxy for every host; write the hosts and networks that are direct"),
        ("*.corp", 'contains *, which clients read differently; write "corp"'),
        ("a*.corp", "contains *"),
        ("http://a.corp", 'is a URL; write "a.corp"'),
        ("a.corp/path", "is not a host name, .suffix, address or CIDR"),
        ("a..corp", "is not a host name"),
        ("..corp", "is not a host name"),
        (".", "is not a host name"),
        ("-a.corp", "is not a host name"),
        ("a.corp:0", "is not a host name"),
        ("a.corp:99999", "is not a host name"),
        ("http://alice:hunter2@a.corp", 'is a URL; write "a.corp"'),
        ("a.corp:", "is not a host name"),
        ("a.corp:80:81", "is not a host name"),
        ("10.1.2", "is not a host name"),
        ("10.1.2.256", "is not a host name"),
        ("10.1.0.0/33", "is not a host name"),
        ("10.1.0.0/255.255.0.0", 'is not a host name, .suffix, address or CIDR; write "10.1.0.0/16"'),
        ("fd12::/129", "is not a host name"),
        ("fe80::1%eth0", "is not a host name"),
        ("[10.1.2.3", "is not a host name"),
        ("$HOST", "is not a host name"),
        ("'a.corp'", "is not a host name"),
        ("#a.corp", "is not a host name"),
        ("0.0.0.0/0", "bypass the proxy for every address"),
        ("10.0.0.0/0", "bypass the proxy for every address"),
        ("::/0", "bypass the proxy for every address"),
    ],
)
def test_rejects(text, part):
    """An entry that clients read differently, or that would break the line, is rejected."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_operator_entry(text)
    assert part in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).isascii()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*.example.com", ("example.com",)),
        ("*example.com", ("example.com",)),
        ("10.*", ("10.0.0.0/8",)),
        ("10.1.*.*", ("10.1.0.0/16",)),
        ("192.168.7.*", ("192.168.7.0/24",)),
        ("a.corp,b.corp", ("a.corp", "b.corp")),
        ("a.corp, 10.*;*.b.corp|a.corp", ("a.corp", "10.0.0.0/8", "b.corp")),
        ("https://nexus.corp:8443/repository", ("nexus.corp",)),
        ("bücher.example", ("xn--bcher-kva.example",)),
        ("10.1.0.0/255.255.0.0", ("10.1.0.0/16",)),
        ("*", ()),
        ("a*.corp", ()),
        ("*.1", ()),
        ("a.corp,*", ()),
        ("0.0.0.0/0", ()),
        (",", ()),
    ],
)
def test_proposals(text, expected):
    """An entry in another form has the portable one; an unclear one has none."""
    assert proposals(text) == expected


@given(
    st.one_of(
        st.text(max_size=40), st.lists(OPERATOR_TEXTS | st.sampled_from(["*.a", "10.*", "*"]), max_size=4).map(",".join)
    )
)
def test_each_proposal_is_accepted(text):
    """Whatever is proposed for a rejected entry is a valid one."""
    for proposal in proposals(text):
        assert parse_operator_entry(proposal).spellings


@given(st.text(max_size=40))
def test_any_text_is_an_entry_or_a_value_error(text):
    """The parser raises only ValueError, and an accepted entry cannot break the line."""
    try:
        entry = parse_operator_entry(text)
    except ValueError:
        return
    for spelling in entry.spellings:
        assert spelling.isascii()
        assert spelling.isprintable()
        assert not set(spelling) & set(" ,*\"'\\$#%")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.0.0.1/16", "10.0.0.0/16"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("2600:1f16:67f:f200:0:0:0:0/56", "2600:1f16:67f:f200::/56"),
        ("FD00::/8", "fd00::/8"),
    ],
)
def test_cidrs_become_canonical(text, canonical):
    """Host bits are removed and IPv6 is short, so equal networks are equal texts."""
    assert canonical_cidr(text) == canonical


@pytest.mark.parametrize(
    "text",
    ["", "auto", "10.0.0.0", "10.0.0.0/", "/16", "10.0/16", "10.0.0.0/33", "fd00::/129", "fd00::%1/64", " 10.0.0.0/8"],
)
def test_rejects_text_that_is_not_a_cidr(text):
    """The error quotes the text."""
    with pytest.raises(ValueError, match=r"is not a CIDR such as 10\.0\.0\.0/16") as caught:
        canonical_cidr(text)
    assert f'"{text}"' in str(caught.value)


@pytest.mark.parametrize("text", ["0.0.0.0/0", "10.0.0.0/0", "::/0"])
def test_rejects_a_cidr_of_every_address(text):
    """It would disable the proxy on the whole node."""
    with pytest.raises(ValueError, match="would bypass the proxy for every address"):
        canonical_cidr(text)


def test_only_ipv6_addresses_have_two_spellings():
    """Names, IPv4 addresses and networks have one spelling."""
    assert [spellings(text) for text in ("a.corp", "10.0.0.1", "fd00::/8", "fd00::1")] == [
        ("a.corp",),
        ("10.0.0.1",),
        ("fd00::/8",),
        ("fd00::1", "[fd00::1]"),
    ]
