"""Properties of every dialect, for any target and any value of NO_PROXY."""

from hypothesis import assume, example, given
from hypothesis import strategies as st

from agent.core.noproxy.dialects import go
from agent.core.noproxy.dialects.families import ALL_DIALECTS, DIALECTS, NODE_JS
from agent.core.noproxy.dialects.request import parse_request
from agent.core.noproxy.entries import canonical_cidr, compose, parse_operator_entry, render

LABELS = st.text("abz09", min_size=1, max_size=4).map(lambda text: "n" + text)
NAMES = st.lists(LABELS, min_size=1, max_size=3).map(".".join)
IPV4 = st.ip_addresses(v=4).map(str)
IPV6 = st.ip_addresses(v=6).map(str)
# Without ::ffff:10.0.0.1 and the like, which have two short spellings: curl compares the text.
ADDRESSES = st.one_of(IPV4, IPV6.filter(lambda text: not text.startswith("::") or len(text) < 7))
HOSTS = st.one_of(NAMES, NAMES.map(lambda name: name + "."), IPV4, IPV6.map("[{}]".format))
TARGETS = st.builds(
    lambda scheme, host, port: parse_request(scheme + host + port),
    st.sampled_from(["http://", "https://", ""]),
    HOSTS,
    st.sampled_from(["", ":80", ":443", ":8080"]),
)
SLOPPY = st.one_of(st.text(), st.text("n.*,:/[]0123456789af -+\t\r\n\u0660\xa0xX", max_size=30))


@given(target=TARGETS, no_proxy=SLOPPY)
@example(target=parse_request("10.0.3.4"), no_proxy="10.0.0.0/١٦")
@example(
    target=parse_request("10.0.3.4"), no_proxy="٣.0.0.0/8,0x/8,08/8,1.2.3.4.5/8,/8,//,10.0.0.0/99999999999999999999"
)
@example(target=parse_request("10.0.3.4"), no_proxy="10.0.0.0/" + "9" * 9000)
@example(
    target=parse_request("10.0.3.4"), no_proxy="9" * 9000 + "/8," + "0" * 9000 + "8.0/8,10.0.0.0/" + "0" * 9000 + "8"
)
@example(target=parse_request("[::1]"), no_proxy="[,],[],[]:,[:,:],::/,::/x,::%eth0/8,fe80::1%eth0")
@example(target=parse_request("n.example"), no_proxy=".,..,*.,*..,:,:80,.:80,*:80,\ud800.example,xn--\xfc,é..,\u3002")
def test_any_value_is_accepted(target, no_proxy):
    """Nothing is raised, and the result is part of the value, LOOPBACK or None."""
    for dialect in ALL_DIALECTS:
        entry = dialect.bypass(target, no_proxy)
        assert entry is None or entry == go.LOOPBACK or (entry and entry in no_proxy.replace(" ", "") + no_proxy)


@given(target=TARGETS, before=SLOPPY, after=SLOPPY)
def test_direct_target_stays_direct_with_more_entries(target, before, after):
    """The exception is *, which must be the complete value."""
    assume(before != "*")
    for dialect in ALL_DIALECTS:
        if dialect.bypass(target, before) is not None:
            assert dialect.bypass(target, before + "," + after) is not None


ENTRIES = st.lists(
    st.one_of(
        NAMES,
        NAMES.map(lambda name: "." + name),
        NAMES.map(lambda name: name + ":443"),
        ADDRESSES,
        st.builds("{}/{}".format, st.ip_addresses(v=4), st.integers(1, 32)),
        st.builds("{}/{}".format, st.ip_addresses(v=6), st.integers(1, 128)),
    ),
    max_size=8,
)


@given(target=TARGETS, entries=ENTRIES)
@example(target=parse_request("a.n"), entries=["b", "n", ".n", "a.n", "n"])
@example(target=parse_request("10.0.3.4"), entries=["10.0.3.0/24", "10.0.0.0/8", "10.0.3.4"])
def test_first_entry_that_covers_the_target_decides(target, entries):
    """A long list has the result of its entries one by one.

    requests before 2.34 and axios read the list twice, by two sets of rules.
    """
    for dialect in ALL_DIALECTS:
        entry = dialect.bypass(target, ",".join(entries))
        first = next(filter(None, (dialect.bypass(target, entry) for entry in entries)), dialect.bypass(target, ""))
        assert entry == first or (dialect.name in ("requests-old", "axios") and entry is not None and first is not None)


@given(target=TARGETS)
def test_empty_list_exempts_nothing(target):
    """The exception is loopback in Go."""
    for dialect in ALL_DIALECTS:
        assert dialect.bypass(target, "") in ((None, go.LOOPBACK) if dialect.name == "go" else (None,))


@given(name=NAMES, below=LABELS)
def test_name_without_leading_dot_is_portable(name, below):
    """It covers itself and its subdomains in every client of a node, in upper and lower case."""
    for dialect in DIALECTS:
        for value in (name, name.upper(), "other.example," + name):
            assert dialect.bypass(parse_request(name), value) == value.rpartition(",")[2]
            assert dialect.bypass(parse_request(below + "." + name), value) == value.rpartition(",")[2]


@given(name=NAMES, below=LABELS)
def test_name_with_and_without_leading_dot_is_portable_to_pods(name, below):
    """Both spellings together cover the name and its subdomains in every dialect."""
    value = f"{name},.{name}"
    for dialect in ALL_DIALECTS:
        for host in (name, below + "." + name):
            assert dialect.bypass(parse_request(host), value) in (name, "." + name)


@given(name=NAMES, other=NAMES)
def test_name_covers_no_other_domain(name, other):
    """The exception is requests before 2.34, which compares suffixes."""
    assume(other != name and not other.endswith("." + name))
    for dialect in ALL_DIALECTS:
        is_direct = dialect.name == "requests-old" and other.endswith(name)
        assert (dialect.bypass(parse_request(other), name) is not None) == is_direct


@given(ADDRESSES)
def test_address_is_portable_in_the_agents_spellings(address):
    """An IPv4 address, or an IPv6 address without and with brackets, is direct in every dialect."""
    entry = parse_operator_entry(address)
    target = parse_request(entry.spellings[-1])
    for dialect in ALL_DIALECTS:
        assert dialect.bypass(target, render(compose(operator=[entry]))) is not None


CIDRS = st.builds(lambda address, bits: canonical_cidr(f"{address}/{bits}"), st.ip_addresses(v=4), st.integers(8, 28))


@given(
    vpc=st.lists(CIDRS, max_size=3),
    names=st.lists(NAMES, max_size=3),
    suffixes=st.lists(NAMES, max_size=2),
    addresses=st.lists(ADDRESSES, max_size=3),
)
def test_composed_list_exempts_its_entries(vpc, names, suffixes, addresses):
    """Names, suffixes and addresses are direct in every dialect, CIDRs where they are read."""
    operator = [parse_operator_entry(text) for text in [*names, *("." + name for name in suffixes), *addresses]]
    entries = compose(vpc_cidrs=vpc, service_cidrs=["172.20.0.0/16"], operator=operator)
    for entry in entries:
        base, cidr, _ = entry.value.partition("/")
        target = parse_request("below" + base if base.startswith(".") else base)
        for dialect in ALL_DIALECTS:
            ignores_cidrs = {"curl-old", "wget", "urllib", *(other.name for other in NODE_JS)} - {"axios"}
            reads_cidrs = dialect.name not in ignores_cidrs
            assert dialect.bypass(target, render(entries)) is not None or (cidr and not reads_cidrs)
