"""Lint of a NO_PROXY list: misread, wide, redundant and missing entries; advice to the operator."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import facts_from_json
from agent.core.intent import intent
from agent.core.noproxy.dialects.request import parse_request
from agent.core.noproxy.entries import compose, parse_operator_entry
from agent.core.noproxy.explain import UNNAMED, Values, of_entries, variables
from agent.core.noproxy.lint import NOTE, WARNING, advice, judge
from agent.core.noproxy.lint_aws import region_of
from agent.core.noproxy.lint_forms import breadth, form_of, may_cover
from agent.core.noproxy.lint_shadow import Candidates
from agent.core.record import asdict
from agent.core.settings.schema import Aws, Proxy, Settings

NEEDED = "localhost,127.0.0.1,169.254.169.254"
REGION = "eu-central-1"


def given_list(no_proxy):
    """Return values with a list of the command line."""
    return Values(variables(UNNAMED, UNNAMED, no_proxy))


def findings(*entries, region=REGION):
    """Return the findings about entries, beside the entries that every list needs."""
    return list(judge(given_list(",".join([NEEDED, *entries])), region=region))


def composed_with(*entries):
    """Return the composed list of a node with these operator's entries."""
    return compose(vpc_cidrs=["10.42.0.0/16"], operator=[parse_operator_entry(entry) for entry in entries])


# --- single entries ---


@pytest.mark.parametrize(
    ("entry", "kind", "severity", "clients", "part", "fix"),
    [
        ("10.0.0.0/16", "cidr", NOTE, {"curl-old", "wget", "urllib"}, "its addresses use the proxy", ""),
        ("fd00:1::/64", "cidr", NOTE, {"wget", "urllib", "curl"}, "there is no better form", ""),
        ("10.0.0.7/32", "cidr", WARNING, {"curl-old", "wget", "urllib"}, "because of its /", "write 10.0.0.7"),
        (
            "fd00:1::7/128",
            "cidr",
            WARNING,
            {"wget", "urllib"},
            "because of its /",
            "write both fd00:1::7 and [fd00:1::7]",
        ),
        (".corp.example.com", "suffix", WARNING, {"go", "wget"}, "corp.example.com itself", "write corp.example.com,"),
        ("*.corp.example.com", "wildcard", WARNING, {"curl", "wget"}, "because of the *", "write corp.example.com"),
        ("10.1.*", "wildcard", WARNING, {"wget", "urllib"}, "because of the *", "write 10.1.0.0/16"),
        ("10.*", "wildcard", WARNING, {"wget", "urllib"}, "because of the *", "write 10.0.0.0/8"),
        ("host.corp:8443", "port", WARNING, {"curl", "wget"}, "because of its port", "write host.corp, for all ports"),
        (
            "[fd00::7]:8443",
            "port",
            WARNING,
            {"curl", "wget"},
            "because of its port",
            "write fd00::7 and [fd00::7], for all",
        ),
        ("fd00::7", "ipv6", WARNING, {"urllib"}, "ignored by urllib", "write both fd00::7 and [fd00::7]"),
        ("[fd00::7]", "ipv6", WARNING, {"curl", "wget"}, "ignored by", "write both fd00::7 and [fd00::7]"),
        (" host.corp ", "blank", WARNING, {"wget"}, "because of the blank beside it", "write host.corp"),
        ("host.corp\r", "blank", WARNING, {"curl", "wget"}, "because of the blank beside it", "write host.corp"),
        (
            "a.corp b.corp",
            "blank",
            WARNING,
            {"go", "wget", "requests"},
            "because of a blank instead of a comma",
            "write a.corp,b.corp",
        ),
        ("host.corp.", "final-dot", WARNING, {"go", "wget"}, "because of its trailing dot", "write host.corp"),
        ("http://host.corp/path", "url", WARNING, {"go", "curl", "wget"}, "because it is a URL", "write host.corp"),
        ("10.0.0", "unreadable", WARNING, set(), "not a host name, .suffix, address or CIDR", "write one"),
        ("10.0.0.0/33", "unreadable", WARNING, set(), "not a host name, .suffix, address or CIDR", "write one"),
        ("a..corp", "unreadable", WARNING, set(), "not a host name, .suffix, address or CIDR", "write one"),
        ("10.0.0.1-10.0.0.9", "unreadable", WARNING, set(), "not a host name", "write one"),
        ("b\u00fccher.example", "unreadable", WARNING, set(), "not a host name", "write xn--bcher-kva.example"),
    ],
)
def test_misread_entry(entry, kind, severity, clients, part, fix):
    """The finding has the clients that misread the entry, the consequence and the better form."""
    (finding,) = findings(entry)
    assert (finding.kind, finding.severity, finding.entry) == (kind, severity, entry)
    assert clients <= set(finding.clients)
    assert part in finding.text
    assert finding.fix.startswith(fix)
    assert bool(finding.fix) == bool(fix)


@pytest.mark.parametrize(
    ("entry", "fix"),
    [
        (" *.host.corp", "write host.corp"),
        (" .host.corp", "write host.corp, which also covers its subdomains"),
        ("host.corp.\r", "write host.corp"),
        (" host.corp:8443", "write host.corp, for all ports"),
        ("a.corp\u2028b.corp\n", "write a.corp,b.corp"),
        ("http://host.corp:8080/path", "write host.corp, for all ports"),
        ("http://[fd00::7]/", "write both fd00::7 and [fd00::7]"),
        (" 10.0.0.0/16", "write 10.0.0.0/16"),
    ],
)
def test_entry_with_two_mistakes_has_one_fix(entry, fix):
    """The better form is not misread in turn, and is one printable line."""
    assert [finding.fix for finding in findings(entry)] == [fix]


@pytest.mark.parametrize(
    "entries",
    [
        ["host.corp"],
        ["Host.CORP"],
        ["10.1.2.3"],
        ["fd00::7", "[fd00::7]"],
        [".local", ".internal"],
        ["s3.eu-central-1.amazonaws.com", "s3.dualstack.eu-central-1.amazonaws.com"],
        ["a_b.corp", "x"],
        ["", " ", "host.corp", ""],
    ],
)
def test_good_entries_have_no_findings(entries):
    """All clients read alike: names, addresses, IPv6 in both spellings, suffixes of one label."""
    assert findings(*entries) == []


def test_entry_that_all_clients_ignore():
    """The text does not list the clients."""
    (finding,) = findings("http://host.corp/path")
    assert finding.text == "it is ignored by every client because it is a URL"


def test_another_entry_may_cover_the_gap():
    """A suffix is not misread if its apex is in the list: the complete list counts."""
    assert [finding.kind for finding in findings(".corp.example.com", "corp.example.com")] == ["shadowed"]


# --- wide entries ---


@pytest.mark.parametrize(
    "entry",
    "* . com .com *.org io de co.uk .com.cn 0.0.0.0/0 128.0.0.0/1 ::/0 2000::/3 amazonaws.com .amazonaws.com api.aws COM".split(),
)
def test_wide_entry_has_a_warning(entry):
    """Top-level domains, registries, all of AWS and huge networks are too wide."""
    assert [(finding.severity, finding.kind) for finding in findings(entry)] == [(WARNING, "wide")]


@pytest.mark.parametrize("entry", "10.0.0.0/8 fc00::/7 corp local db svc example.com co.example 172.16.0.0/12".split())
def test_large_private_entry_has_no_warning(entry):
    """Private networks and zones are the purpose of NO_PROXY."""
    assert breadth(entry) == ""


def test_wide_entry_hides_no_other_finding():
    """The other entries are checked without it."""
    kinds = [finding.kind for finding in findings("com", "*.corp.com", "10.0.0.1:80")]
    assert kinds == ["wide", "wildcard", "port"]


# --- the list ---


@pytest.mark.parametrize(
    ("entries", "shadowed"),
    [
        (["corp", "git.corp"], ["git.corp"]),
        (["git.corp", "corp"], ["git.corp"]),
        ([".corp", "git.corp"], ["git.corp"]),
        (["corp", ".corp"], [".corp"]),
        (["10.0.0.0/8", "10.1.0.0/16"], ["10.1.0.0/16"]),
        (["a.corp", "a.corp"], ["a.corp"]),
        (["A.corp", "a.corp"], ["a.corp"]),
        (["10.1.0.0/16", "10.1.2.0/16"], ["10.1.2.0/16"]),
        (["10.1.0.0/16", "10.1.2.3"], []),
        (["corp", "notcorp"], []),
        (["10.0.0.0/8", "fd00::/16"], []),
        (["a.corp", "b.corp"], []),
    ],
)
def test_redundant_entries(entries, shadowed):
    """An entry that another one covers in every client has a note.

    An address in a CIDR has none, because wget needs it.  Of two equivalent entries only the later
    one has a note, so that one of them stays.
    """
    notes = [finding for finding in findings(*entries) if finding.kind == "shadowed"]
    assert [finding.entry for finding in notes] == shadowed
    assert all(finding.severity == NOTE and finding.fix == "remove it" for finding in notes)


def test_list_without_the_metadata_service():
    """A necessary entry is also missing if some clients do not read its form."""
    found = list(judge(given_list("localhost,169.254.0.0/16")))
    assert [(finding.kind, finding.entry) for finding in found if finding.severity == WARNING] == [
        ("missing", "169.254.169.254"),
        ("missing", "127.0.0.1"),
    ]
    assert "urllib" in found[1].clients
    assert [finding.entry for finding in judge(given_list(""))] == ["169.254.169.254", "localhost", "127.0.0.1"]


def test_variables_that_differ():
    """Clients differ if upper and lower case have different values."""
    (finding,) = judge(Values({**variables(UNNAMED, UNNAMED, NEEDED), "NO_PROXY": "x"}))
    assert (finding.severity, finding.kind) == (WARNING, "variables")
    assert finding.line.startswith("no_proxy and NO_PROXY differ")


def test_hosts_that_clients_disagree_on():
    """Hosts with different routes are reported, with the entries to add."""
    targets = [parse_request(text) for text in ("10.1.2.3", "x.org", "10.1.2.3")]
    found = judge(given_list(NEEDED + ",10.1.0.0/16"), targets=targets)
    disagreements = [finding for finding in found if finding.kind == "disagree"]
    assert [finding.entry for finding in disagreements] == ["10.1.2.3", "10.1.2.3"]
    assert disagreements[0].fix == "to make it direct for all, add 10.1.2.3 to proxy.no_proxy"


def test_hosts_are_read_one_at_a_time():
    """A long list of hosts is never kept in memory."""
    read = []

    def hosts():
        for number in range(3):
            read.append(number)
            yield parse_request(f"10.1.0.{number}")

    found = judge(given_list(NEEDED + ",10.1.0.0/16"), targets=hosts())
    assert next(finding for finding in found if finding.kind == "disagree").entry == "10.1.0.0"
    assert read == [0]


# --- AWS ---


@pytest.mark.parametrize(
    ("entry", "region"),
    [
        ("ec2.us-east-1.amazonaws.com", "us-east-1"),
        (".us-gov-west-1.eks.amazonaws.com", "us-gov-west-1"),
        ("s3-ap-southeast-2.amazonaws.com", "ap-southeast-2"),
        ("ec2.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"),
        ("us-west-2.compute.internal", "us-west-2"),
        ("ecr.eu-north-1.api.aws", "eu-north-1"),
    ],
)
def test_names_of_another_region(entry, region):
    """An AWS name of another region than the node's has a warning with the right name."""
    (finding,) = (finding for finding in findings(entry) if finding.kind == "region")
    assert finding.severity == WARNING
    assert region in finding.text
    assert finding.fix == f"write {entry.lstrip('.').replace(region, REGION)}, or remove it"
    assert not [finding for finding in findings(entry, region="") if finding.kind == "region"]
    assert not [finding for finding in findings(entry, region=region) if finding.kind == "region"]


@pytest.mark.parametrize(
    "entry",
    ["sts.amazonaws.com", "my-bucket-1.s3.eu-central-1.amazonaws.com", "us-east-1.example.com", "eu-central-1.api.aws"],
)
def test_names_of_no_other_region(entry):
    """Global names, buckets named like regions and other domains have no warning."""
    assert [finding for finding in findings(entry) if finding.kind == "region"] == []


def test_last_region_in_a_name_counts():
    """A bucket may have the name of a region."""
    assert region_of("us-east-1.s3.eu-central-1") == "eu-central-1"
    assert region_of("sts") == ""


@pytest.mark.parametrize("entry", ["s3.eu-central-1.amazonaws.com", ".s3.eu-central-1.amazonaws.com"])
def test_s3_without_its_dual_stack_name(entry):
    """Amazon Linux 2023's repositories have that name, so dnf would use the proxy."""
    fixes = [finding.fix for finding in findings(entry) if finding.kind == "dualstack"]
    assert fixes == ["add s3.dualstack.eu-central-1.amazonaws.com"]
    assert not [
        finding for finding in findings(entry, "s3.dualstack.eu-central-1.amazonaws.com") if finding.kind == "dualstack"
    ]


# --- advice to the operator ---


@settings(max_examples=30)
@given(
    st.lists(
        st.sampled_from(["10.0.0.0/16", "172.16.0.0/12", "100.64.0.0/10", "192.168.1.0/24"]), min_size=1, max_size=4
    ),
    st.lists(st.sampled_from(["2600:1f16:67f:f200::/56", "fd00:1::/64"]), max_size=2),
    st.sampled_from(["eu-central-1", "us-east-1", "cn-north-1", "us-gov-west-1", "us-iso-east-1"]),
    st.lists(st.sampled_from(["ec2", "ecr", "s3", "ssm", "eks", "sts"]), max_size=3),
    st.sampled_from(["", "https://abc.gr7.eu-central-1.eks.amazonaws.com", "https://[fd00::9]", "https://10.0.0.9"]),
)
def test_composed_list_has_no_warnings(v4, v6, region, services, endpoint):
    """A list without the operator's entries has only notes about CIDRs, and plan prints nothing."""
    facts = facts_from_json(
        json.dumps({"instance_id": "i-0123456789abcdef0", "region": region, "vpc_cidrs_v4": v4, "vpc_cidrs_v6": v6})
    )
    chosen = Settings(proxy=Proxy(url=(parse_proxy(),)), aws=Aws(direct=tuple(dict.fromkeys(services))))
    hints = ClusterInfo(endpoint=endpoint.partition("://")[2].strip("[]"))
    composed = intent.compose(chosen, facts, hints).no_proxy
    found = list(judge(of_entries(composed), region=region))
    assert {(finding.severity, finding.kind) for finding in found} <= {(NOTE, "cidr")}
    assert advice(composed, region) == ()


def parse_proxy():
    """Return any proxy."""
    from agent.core.net.proxy_url import ProxyUrl

    return ProxyUrl("http", "proxy", 3128)


def test_advice_has_findings_with_a_remedy():
    """Operator's entries that are misread or redundant are reported with the key, CIDRs are not."""
    lines = advice(composed_with(".corp.example.com", "10.0.0.0/8", "10.42.7.0/24", "10.42.7.7", "fd00::7"), REGION)
    assert [line.partition(" (owner)")[0] for line in lines] == [
        "warning: proxy.no_proxy: .corp.example.com",
        "note: proxy.no_proxy: 10.42.7.0/24",
    ]


@pytest.mark.parametrize(("region", "count"), [("eu-central-1", 1), ("us-east-1", 0), ("", 0)])
def test_advice_knows_the_region_of_the_node(region, count):
    """A name of another region is a mistake only if the node's is known."""
    lines = advice(composed_with("ec2.us-east-1.amazonaws.com"), region)
    assert sum("the node is in eu-central-1" in line for line in lines) == count


def test_advice_does_not_repeat_the_warning_about_a_port():
    """The parser of the entry warns about it."""
    assert advice(composed_with("host.corp:8443"), REGION) == ()


def test_composed_entries_are_checked_too():
    """A spelling that was removed from the agent's list is reported."""
    entries = [entry for entry in composed_with() if entry.value != "[fd00:ec2::254]"]
    assert [(finding.kind, finding.entry) for finding in judge(of_entries(entries)) if finding.severity == WARNING] == [
        ("ipv6", "fd00:ec2::254")
    ]


# --- anything ---

ODD = st.text("*.:/[]@-, \tab1\u00fc\x00", max_size=12)


@given(st.lists(st.one_of(ODD, st.text(max_size=20)), max_size=6).map(",".join))
def test_any_list_is_accepted(no_proxy):
    """The lint raises nothing, and every finding is one printable line."""
    for finding in judge(given_list(no_proxy), region=REGION):
        assert finding.line.isprintable()
        assert finding.severity in (WARNING, NOTE)
        json.dumps(asdict(finding))


@given(st.one_of(ODD, st.text(max_size=20)), ODD)
@example("*::", "")
@example("*10.0.0.1", "")
def test_any_entry_has_a_form(entry, other):
    """Each form has a place for the clients in its text, and its targets are valid."""
    form = form_of(entry)
    assert "{}" in form.text
    for text in form.targets:
        parse_request(text)
    assert isinstance(may_cover(other, entry), bool)
    assert isinstance(breadth(entry), str)


SPELLED = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "", " ", "\t"]),
    st.one_of(
        st.text("aA.", min_size=1, max_size=6),
        st.builds("10.{}.0.{}/{}".format, st.integers(0, 3), st.integers(0, 1), st.integers(7, 33)),
        st.builds("fd00::{}/{}".format, st.integers(0, 3), st.integers(62, 129)),
        st.sampled_from(["10.1.0.1", "fd00::1", "[fd00::1]", "a.a:80", "*.a", "a b", "x/y.a", "/8"]),
    ),
    st.sampled_from(["", "", " ", "."]),
)


@given(st.lists(SPELLED, min_size=1, max_size=12))
def test_search_for_wider_entries_is_complete(entries):
    """The index returns what a comparison with every entry of the list returns."""
    candidates = Candidates(entries)
    for entry in entries:
        pairs = [(index, other) for index, other in enumerate(entries) if may_cover(other, entry)]
        candidate_pairs = [pair for pair in candidates.of(entry) if may_cover(pair[1], entry)]
        assert candidate_pairs == [pair for pair in pairs if entries.index(pair[1]) == pair[0]]


def test_many_spellings_of_a_name_are_bounded():
    """Of hundreds of spellings of one name only a few are compared."""
    entries = [" " * (1 + number % 20) + "\t" * (number // 20) + "a.corp" for number in range(400)]
    shadowed = [finding for finding in findings(*entries) if finding.kind == "shadowed"]
    assert len(Candidates(entries).of(entries[-1])) < 20
    assert entries[-1] in [finding.entry for finding in shadowed]


@pytest.mark.parametrize("name", ["user:secret@s3.eu-central-1.amazonaws.com", "\ud7fcs3.us-east-1.amazonaws.com"])
def test_fix_of_an_aws_name_is_safe_to_print(name):
    """The fix repeats a name, and never user info or characters that a terminal would obey."""
    for finding in findings(name):
        assert "secret" not in finding.line + finding.fix
        assert finding.line.isprintable()


def test_a_password_in_an_entry_is_masked():
    """A URL in the list is shown without its user info."""
    (finding,) = findings("http://user:secret@host.corp/")
    assert "secret" not in finding.line
    assert finding.fix == "write host.corp"
