"""What is said of a NO_PROXY list: who misreads an entry, the consequence, the way out; and nothing
of a good list.
"""

import json

import attrs
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
from agent.core.settings.schema import Aws, Proxy, Settings

NEEDED = "localhost,127.0.0.1,169.254.169.254"
REGION = "eu-central-1"


def given_list(no_proxy):
    """Values with a list that somebody gave."""
    return Values(variables(UNNAMED, UNNAMED, no_proxy))


def findings(*entries, region=REGION):
    """What is found of entries that stand beside those that every list needs."""
    return list(judge(given_list(",".join([NEEDED, *entries])), region=region))


def owned(*entries):
    """The composed list of a node whose owner wrote these."""
    return compose(vpc_cidrs=["10.42.0.0/16"], operator=[parse_operator_entry(entry) for entry in entries])


# --- single entries
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "kind", "severity", "clients", "said", "fix"),
    [
        ("10.0.0.0/16", "cidr", NOTE, {"curl-old", "wget", "urllib"}, "the addresses in it take the proxy", ""),
        ("fd00:1::/64", "cidr", NOTE, {"wget", "urllib", "curl"}, "nothing better exists", ""),
        (".corp.example.com", "suffix", WARNING, {"go", "wget"}, "corp.example.com itself", "write corp.example.com,"),
        ("*.corp.example.com", "wildcard", WARNING, {"curl", "wget"}, "the * means nothing", "write corp.example.com"),
        ("10.1.*", "wildcard", WARNING, {"wget", "urllib"}, "the * means nothing", "write 10.1.0.0/16"),
        ("10.*", "wildcard", WARNING, {"wget", "urllib"}, "the * means nothing", "write 10.0.0.0/8"),
        ("host.corp:8443", "port", WARNING, {"curl", "wget"}, "with a port", "write host.corp, for all ports"),
        ("[fd00::7]:8443", "port", WARNING, {"curl", "wget"}, "with a port", "write fd00::7 and [fd00::7], for all"),
        ("fd00::7", "ipv6", WARNING, {"urllib"}, "means nothing to urllib", "write both fd00::7 and [fd00::7]"),
        ("[fd00::7]", "ipv6", WARNING, {"curl", "wget"}, "means nothing to", "write both fd00::7 and [fd00::7]"),
        (" host.corp ", "blank", WARNING, {"wget"}, "with the blank beside it", "write host.corp"),
        ("host.corp\r", "blank", WARNING, {"curl", "wget"}, "with the blank beside it", "write host.corp"),
        (
            "a.corp b.corp",
            "blank",
            WARNING,
            {"go", "wget", "requests"},
            "with a blank instead of a comma",
            "write a.corp,b.corp",
        ),
        ("host.corp.", "final-dot", WARNING, {"go", "wget"}, "with its final dot", "write host.corp"),
        ("http://host.corp/path", "url", WARNING, {"go", "curl", "wget"}, "a URL means nothing", "write host.corp"),
        ("10.0.0", "unreadable", WARNING, set(), "no host name, .suffix, address or CIDR", "write one"),
        ("10.0.0.0/33", "unreadable", WARNING, set(), "no host name, .suffix, address or CIDR", "write one"),
        ("a..corp", "unreadable", WARNING, set(), "no host name, .suffix, address or CIDR", "write one"),
        ("10.0.0.1-10.0.0.9", "unreadable", WARNING, set(), "no host name", "write one"),
        ("b\u00fccher.example", "unreadable", WARNING, set(), "no host name", "write xn--bcher-kva.example"),
    ],
)
def test_an_entry_that_clients_misread(entry, kind, severity, clients, said, fix):
    """One finding, with the clients that misread the entry, what that leads to, and how to write it
    instead.
    """
    (found,) = findings(entry)
    assert (found.kind, found.severity, found.entry) == (kind, severity, entry)
    assert clients <= set(found.clients)
    assert said in found.text
    assert found.fix.startswith(fix)
    assert bool(found.fix) == bool(fix)


@pytest.mark.parametrize(
    ("entry", "fix"),
    [
        (" *.host.corp", "write host.corp"),
        (" .host.corp", "write host.corp, which covers what is below it too"),
        ("host.corp.\r", "write host.corp"),
        (" host.corp:8443", "write host.corp, for all ports"),
        ("a.corp\u2028b.corp\n", "write a.corp,b.corp"),
        ("http://host.corp:8080/path", "write host.corp, for all ports"),
        ("http://[fd00::7]/", "write both fd00::7 and [fd00::7]"),
        (" 10.0.0.0/16", "write 10.0.0.0/16"),
    ],
)
def test_two_things_wrong_have_one_way_out(entry, fix):
    """What is to be written instead is not misread in its turn, and is one printable line."""
    assert [one.fix for one in findings(entry)] == [fix]


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
def test_nothing_is_said_of_a_good_entry(entries):
    """Names (capitals are folded by all), addresses, both spellings of IPv6 and suffixes of one
    label are read alike by all.
    """
    assert findings(*entries) == []


def test_what_nobody_reads_means_nothing_to_any_client():
    """Said so: "nothing to every client" would leave open that it means something to most."""
    (found,) = findings("http://host.corp/path")
    assert found.text == "a URL means nothing to any client"


def test_another_entry_may_help_out():
    """A suffix whose apex is in the list as well is not misread: the list as a whole is judged."""
    assert [found.kind for found in findings(".corp.example.com", "corp.example.com")] == ["shadowed"]


# --- the whole world
# ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    "* . com .com *.org io de co.uk .com.cn 0.0.0.0/0 128.0.0.0/1 ::/0 2000::/3 amazonaws.com .amazonaws.com api.aws COM".split(),
)
def test_an_entry_that_bypasses_the_proxy_for_the_world(entry):
    """Top-level domains, registries, all of AWS and huge networks are warned of."""
    found = findings(entry)
    assert [(one.severity, one.kind) for one in found] == [(WARNING, "wide")]


@pytest.mark.parametrize("entry", "10.0.0.0/8 fc00::/7 corp local db svc example.com co.example 172.16.0.0/12".split())
def test_what_is_large_and_private_is_no_world(entry):
    """Private networks and zones of one's own are what NO_PROXY is for."""
    assert breadth(entry) == ""


def test_a_wide_entry_hides_nothing():
    """Beside an entry for the whole world the others are judged as if it were not there."""
    kinds = [found.kind for found in findings("com", "*.corp.com", "10.0.0.1:80")]
    assert kinds == ["wide", "wildcard", "port"]


# --- the list
# -------------------------------------------------------------------------------------------------------


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
def test_entries_that_shadow_each_other(entries, shadowed):
    """An entry that another one makes superfluous in every client is noted; an address in a CIDR is
    not: wget needs it.

    Of two that do the same only the later is, or who obeys has neither.
    """
    found = [one for one in findings(*entries) if one.kind == "shadowed"]
    assert [one.entry for one in found] == shadowed
    assert all(one.severity == NOTE and one.fix == "leave it out" for one in found)


def test_a_list_without_the_metadata_service():
    """A list that lacks what every node needs, or has it in a form that some clients do not read,
    is warned of.
    """
    found = list(judge(given_list("localhost,169.254.0.0/16")))
    assert [(one.kind, one.entry) for one in found if one.severity == WARNING] == [
        ("missing", "169.254.169.254"),
        ("missing", "127.0.0.1"),
    ]
    assert "urllib" in found[1].clients
    assert [one.entry for one in judge(given_list(""))] == ["169.254.169.254", "localhost", "127.0.0.1"]


def test_variables_that_differ():
    """Upper and lower case with different values mean different things to different clients."""
    known = Values({**variables(UNNAMED, UNNAMED, NEEDED), "NO_PROXY": "x"})
    (found,) = judge(known)
    assert (found.severity, found.kind) == (WARNING, "variables")
    assert found.line.startswith("no_proxy and NO_PROXY are not the same")


def test_hosts_that_clients_disagree_on():
    """Of the hosts that were asked for, those that clients reach in different ways are named, with
    the way out.
    """
    targets = [parse_request(text) for text in ("10.1.2.3", "x.org", "10.1.2.3")]
    found = [one for one in judge(given_list(NEEDED + ",10.1.0.0/16"), targets=targets) if one.kind == "disagree"]
    assert [one.entry for one in found] == ["10.1.2.3", "10.1.2.3"]
    assert found[0].fix == "to have it direct for all, add 10.1.2.3 to proxy.no_proxy"


def test_hosts_are_judged_one_at_a_time():
    """A long list of hosts is never held in memory."""
    read = []

    def hosts():
        for number in range(3):
            read.append(number)
            yield parse_request(f"10.1.0.{number}")

    found = judge(given_list(NEEDED + ",10.1.0.0/16"), targets=hosts())
    assert next(one for one in found if one.kind == "disagree").entry == "10.1.0.0"
    assert read == [0]


# --- AWS
# ------------------------------------------------------------------------------------------------------------


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
    """An AWS name of a region that is not the node's is warned of, with the name that is meant."""
    found = [one for one in findings(entry) if one.kind == "region"]
    assert [one.severity for one in found] == [WARNING]
    assert region in found[0].text
    assert found[0].fix == "write {}, or leave it out".format(entry.lstrip(".").replace(region, REGION))
    assert not [one for one in findings(entry, region="") if one.kind == "region"]
    assert not [one for one in findings(entry, region=region) if one.kind == "region"]


@pytest.mark.parametrize(
    "entry",
    ["sts.amazonaws.com", "my-bucket-1.s3.eu-central-1.amazonaws.com", "us-east-1.example.com", "eu-central-1.api.aws"],
)
def test_names_of_no_other_region(entry):
    """Global names, buckets that look like regions and other people's domains are left alone."""
    assert [one for one in findings(entry) if one.kind == "region"] == []


def test_the_last_region_in_a_name_counts():
    """A bucket may be called like a region."""
    assert region_of("us-east-1.s3.eu-central-1") == "eu-central-1"
    assert region_of("sts") == ""


@pytest.mark.parametrize("entry", ["s3.eu-central-1.amazonaws.com", ".s3.eu-central-1.amazonaws.com"])
def test_s3_without_its_dual_stack_name(entry):
    """S3 without the name of Amazon Linux 2023's repositories sends dnf through the proxy."""
    found = [one for one in findings(entry) if one.kind == "dualstack"]
    assert [one.fix for one in found] == ["add s3.dualstack.eu-central-1.amazonaws.com"]
    assert not [one for one in findings(entry, "s3.dualstack.eu-central-1.amazonaws.com") if one.kind == "dualstack"]


# --- what the owner is told
# -----------------------------------------------------------------------------------------


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
def test_no_false_alarm_for_what_the_agent_composes(v4, v6, region, services, endpoint):
    """Of a list without entries of the owner's there is nothing to warn of, and plan says
    nothing.
    """
    facts = facts_from_json(
        json.dumps({"instance_id": "i-0123456789abcdef0", "region": region, "vpc_cidrs_v4": v4, "vpc_cidrs_v6": v6})
    )
    known = Settings(proxy=Proxy(url=(parse_proxy(),)), aws=Aws(direct=tuple(dict.fromkeys(services))))
    hints = ClusterInfo(endpoint=endpoint.partition("://")[2].strip("[]"))
    composed = intent.compose(known, facts, hints).no_proxy
    found = list(judge(of_entries(composed), region=region))
    assert {(one.severity, one.kind) for one in found} <= {(NOTE, "cidr")}
    assert advice(composed, region) == ()


def parse_proxy():
    """Any proxy."""
    from agent.core.net.proxy_url import ProxyUrl

    return ProxyUrl("http", "proxy", 3128)


def test_the_owner_is_told_what_can_be_mended():
    """Warnings and superfluous entries of the owner's are told, with the key; what has no better
    form is not.
    """
    told = advice(owned(".corp.example.com", "10.0.0.0/8", "10.42.7.0/24", "10.42.7.7", "fd00::7"), REGION)
    assert [line.partition(" (owner)")[0] for line in told] == [
        "warning: proxy.no_proxy: .corp.example.com",
        "note: proxy.no_proxy: 10.42.7.0/24",
    ]


def test_a_port_is_told_once():
    """A port is warned of where the entry is read, so the lint of plan does not repeat it."""
    assert advice(owned("host.corp:8443"), REGION) == ()


def test_an_edited_list_of_ours_is_judged_too():
    """What the agent composes is judged like the rest, so that a spelling that somebody took out is
    missed.
    """
    entries = [entry for entry in owned() if entry.value != "[fd00:ec2::254]"]
    assert [(one.kind, one.entry) for one in judge(of_entries(entries)) if one.severity == WARNING] == [
        ("ipv6", "fd00:ec2::254")
    ]


# --- anything
# -------------------------------------------------------------------------------------------------------

ODD = st.text("*.:/[]@-, \tab1\u00fc\x00", max_size=12)


@given(st.lists(st.one_of(ODD, st.text(max_size=20)), max_size=6).map(",".join))
def test_any_list_can_be_judged(no_proxy):
    """No list makes the lint fail, and every finding is one printable line."""
    for found in judge(given_list(no_proxy), region=REGION):
        assert found.line.isprintable()
        assert found.severity in (WARNING, NOTE)
        json.dumps(attrs.asdict(found))


@given(st.one_of(ODD, st.text(max_size=20)), ODD)
@example("*::", "")
@example("*10.0.0.1", "")
def test_any_entry_has_a_form(entry, other):
    """Each form has a place for the clients in its text, and its targets can be asked for."""
    form = form_of(entry)
    assert "{}" in form.text
    for text in form.meant:
        parse_request(text)
    assert isinstance(may_cover(other, entry), bool)
    assert isinstance(breadth(entry), str)


def test_a_password_in_an_entry_is_masked():
    """A URL with user info that landed in the list is shown without it."""
    (found,) = findings("http://user:secret@host.corp/")
    assert "secret" not in found.line
    assert found.fix == "write host.corp"
