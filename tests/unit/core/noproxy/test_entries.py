"""NO_PROXY: what is always in it, its order, its reasons, and which entries an owner may write."""

import ipaddress
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.net.addresses import canonical
from agent.core.noproxy.entries import Entry, OperatorEntry, canonical_cidr, compose, parse_operator_entry, render, spellings

#: The kinds, in the order in which they stand in the list.
KINDS = [
    "loopback",
    "metadata",
    "credentials",
    "internal",
    "cluster-domain",
    "vpc",
    "service-cidr",
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
OWNER_TEXTS = st.one_of(NAMES, NAMES.map(lambda name: "." + name), NETWORKS, st.ip_addresses().map(str))
ADDRESSES = st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(canonical))
INPUTS = st.fixed_dictionaries(
    {
        "vpc_cidrs": st.lists(CIDRS, max_size=4),
        "service_cidrs": st.lists(CIDRS, max_size=2),
        "api_endpoints": st.lists(st.one_of(NAMES, NAMES.map(lambda name: "." + name), ADDRESSES), max_size=2),
        "aws": st.lists(st.tuples(st.sampled_from(["aws:ec2", "aws:s3"]), st.lists(NAMES, max_size=3)), max_size=3),
        "owner": st.lists(OWNER_TEXTS.map(parse_operator_entry), max_size=5),
    }
)


def test_what_is_always_there():
    """The things that no node may ever reach through a proxy are there without any input, each with
    its reason.
    """
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


def test_a_whole_list():
    """Each input has its place and its reason, networks sorted by number and not by text."""
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
        ("abc.gr7.eu-central-1.eks.amazonaws.com", "api-endpoint"),
        ("ec2.eu-central-1.amazonaws.com", "aws:ec2"),
        ("s3.eu-central-1.amazonaws.com", "aws:s3"),
        ("[fd12::7]", "owner"),
        ("fd12::7", "owner"),
        ("nexus.corp", "owner"),
    ]


def test_whole_entries_are_compared():
    """An owner's entry that merely contains another one does not take its place, nor does a like
    one double it.
    """
    values = [
        entry.value for entry in compose(operator=[parse_operator_entry(text) for text in ("notlocalhost", "LOCALHOST")])
    ]
    assert values.count("localhost") == 1
    assert "notlocalhost" in values


@given(INPUTS)
def test_each_value_once_sorted_by_kind_with_a_reason(inputs):
    """No value comes twice, kinds stand together in their order, and every entry says why it is
    there.
    """
    entries = compose(**inputs)
    values = [entry.value for entry in entries]
    assert len(values) == len(set(values))
    assert [reason for reason, _ in itertools.groupby(entry.reason for entry in entries)] == [
        kind for kind in KINDS if any(entry.reason == kind for entry in entries)
    ]
    assert set(compose()) <= set(entries)


@given(INPUTS, st.randoms(use_true_random=False))
def test_the_order_of_the_inputs_does_not_matter(inputs, rng):
    """Any permutation and any repetition of the inputs gives the same list, so that no node sees a
    needless change.
    """
    assert compose(**inputs) == compose(**{key: shuffled(rng, value) for key, value in inputs.items()})


def shuffled(rng, value):
    """Lists in another order and with repetitions, the lists inside pairs as well."""
    if isinstance(value, list):
        more = value + rng.sample(value, rng.randint(0, len(value)))
        return [shuffled(rng, item) for item in rng.sample(more, len(more))]
    return (value[0], shuffled(rng, value[1])) if isinstance(value, tuple) else value


@given(INPUTS)
def test_every_entry_is_one_that_an_owner_could_write(inputs):
    """What comes out can go in again, and changes nothing: neither `*` nor blank, port or sloppy
    CIDR is among it.
    """
    entries = compose(**inputs)
    again = [parse_operator_entry(entry.value) for entry in entries]
    assert not any(entry.warning for entry in again)
    assert {spelling for entry in again for spelling in entry.spellings} == {entry.value for entry in entries}
    assert compose(**{**inputs, "owner": inputs["owner"] + again}) == entries


@given(INPUTS)
def test_the_value_splits_into_the_entries_again(inputs):
    """Commas without blanks: what clients split is the list, entry by entry."""
    entries = compose(**inputs)
    text = render(entries)
    assert text.split(",") == [entry.value for entry in entries]
    assert text.isascii()
    assert not set(text) & set(" *\t\r\n\"'\\$#")


@given(INPUTS)
def test_networks_are_canonical_and_sorted_by_number(inputs):
    """VPC and service CIDRs stand as `ipaddress` writes them, IPv4 first, by number."""
    entries = compose(**inputs)
    for reason in ("vpc", "service-cidr"):
        networks = [ipaddress.ip_network(entry.value) for entry in entries if entry.reason == reason]
        assert networks == sorted(networks, key=lambda net: (net.version, int(net.network_address), net.prefixlen))
        assert [str(network) for network in networks] == [entry.value for entry in entries if entry.reason == reason]


@pytest.mark.parametrize(
    ("text", "written"),
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
        ("10.1.2.3/32", ("10.1.2.3/32",)),
        ("FD12::0:7", ("fd12::7", "[fd12::7]")),
        ("[fd12::7]", ("fd12::7", "[fd12::7]")),
        ("fd12::/64", ("fd12::/64",)),
        ("::1", ("::1", "[::1]")),
        ("::FFFF:a00:304", ("::ffff:10.0.3.4", "[::ffff:10.0.3.4]")),
    ],
)
def test_owner_may_write(text, written):
    """Names, suffixes, addresses and CIDRs, in their most portable form; IPv6 addresses in both
    spellings.
    """
    assert parse_operator_entry(text) == OperatorEntry(written)


@pytest.mark.parametrize(
    ("text", "written", "warning"),
    [
        ("nexus.corp:8443", "nexus.corp:8443", "has a port"),
        (".corp:443", ".corp:443", "has a port"),
        ("10.1.2.3:80", "10.1.2.3:80", "has a port"),
        ("10.1.2.3/16", "10.1.0.0/16", "is written as 10.1.0.0/16"),
        ("2600:1f16:67f:f200:0:0:0:0/56", "2600:1f16:67f:f200::/56", "is written as 2600:1f16:67f:f200::/56"),
    ],
)
def test_owner_is_warned(text, written, warning):
    """What works in some clients only, or is not written as it was meant, is accepted with a
    warning that names it.
    """
    entry = parse_operator_entry(text)
    assert entry.spellings == (written,)
    assert text in entry.warning
    assert warning in entry.warning


@pytest.mark.parametrize(
    ("text", "way_out"),
    [
        ("", "one entry for each host"),
        ("a.corp b.corp", "one entry for each host"),
        (" a.corp", "one entry for each host"),
        ("a.corp,b.corp", "one entry for each host"),
        ("a.corp\n", "one entry for each host"),
        ("a.corp\r", "one entry for each host"),
        ("a\tb", "one entry for each host"),
        ("a\0b", "one entry for each host"),
        ("\x7f", "one entry for each host"),
        ("bücher.example", "non-ASCII"),
        ("*", 'write ".example.com"'),
        ("*.corp", 'write ".corp"'),
        ("a*.corp", "has a *"),
        ("http://a.corp", "write the host alone"),
        ("a.corp/path", "is no host name, .suffix, address or CIDR"),
        ("a..corp", "is no host name"),
        ("..corp", "is no host name"),
        (".", "is no host name"),
        ("-a.corp", "is no host name"),
        ("a.corp:0", "is no host name"),
        ("a.corp:99999", "is no host name"),
        ("http://alice:hunter2@a.corp", "write the host alone"),
        ("a.corp:", "is no host name"),
        ("a.corp:80:81", "is no host name"),
        ("10.1.2", "is no host name"),
        ("10.1.2.256", "is no host name"),
        ("10.1.0.0/33", "is no host name"),
        ("10.1.0.0/255.255.0.0", "is no host name"),
        ("fd12::/129", "is no host name"),
        ("fe80::1%eth0", "is no host name"),
        ("[10.1.2.3", "is no host name"),
        ("$HOST", "is no host name"),
        ("'a.corp'", "is no host name"),
        ("#a.corp", "is no host name"),
        ("0.0.0.0/0", "bypass the proxy for every address"),
        ("10.0.0.0/0", "bypass the proxy for every address"),
        ("::/0", "bypass the proxy for every address"),
    ],
)
def test_owner_may_not_write(text, way_out):
    """What clients read differently, or what would break the line, is refused with the way out."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_operator_entry(text)
    assert way_out in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).isascii()
    assert "\n" not in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_an_entry_or_a_value_error(text):
    """No text breaks the reader, and whatever it accepts cannot break the line either."""
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
    """The host bits go, and IPv6 is written short, so that equal networks are equal texts."""
    assert canonical_cidr(text) == canonical


@pytest.mark.parametrize(
    "text",
    ["", "auto", "10.0.0.0", "10.0.0.0/", "/16", "10.0/16", "10.0.0.0/33", "fd00::/129", "fd00::%1/64", " 10.0.0.0/8"],
)
def test_what_is_no_cidr(text):
    """Anything else is refused by name."""
    with pytest.raises(ValueError, match=r"is no CIDR such as 10\.0\.0\.0/16") as caught:
        canonical_cidr(text)
    assert f'"{text}"' in str(caught.value)


@pytest.mark.parametrize("text", ["0.0.0.0/0", "10.0.0.0/0", "::/0"])
def test_no_cidr_covers_everything(text):
    """A CIDR of every address, wherever it was written, would take the proxy away from the whole
    node.
    """
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
