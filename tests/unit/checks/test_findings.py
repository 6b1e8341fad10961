"""The pure parts of `check`: what follows from what was seen."""

import email.utils
import threading

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.checks import clock, direct, files, no_proxy, processes, proxy, runner, settings, units
from agent.checks.context import OFFLINE, CheckedNode
from agent.checks.finding import FAIL, OK, SKIP, WARN, Finding
from agent.checks.runner import GROUPS, Group, examine, exit_code
from agent.core.intent.reachability import ProbeResult
from agent.core.net.proxy_health import Verdict
from agent.core.net.proxy_url import parse_proxy_url
from agent.core.noproxy.dialects.families import DIALECTS
from agent.core.noproxy.dialects.request import Request
from agent.core.noproxy.entries import Entry, render
from agent.core.plan.files.environment import assignments
from agent.core.plan.files.yum_conf import effective
from agent.core.settings.layers import Layer, merge
from agent.core.status.document import StatusDocument
from agent.core.status.records import RepairsStatus
from agent.core.systemd import UnitState, differences
from agent.edges.systemd import Systemd
from agent.errors import FileError
from agent.node.sources import SettingsSources


class FileSystem:
    """As much of a machine as the doctor looks at; no systemd runs on it."""

    def __init__(self, live=True):
        self.files, self.live, self.units = self, live, Systemd(running=False)


def node(live=True, missing=""):
    """A node of which only that is known."""
    return CheckedNode(FileSystem(live), SettingsSources(), missing=missing)


def found(group, state):
    """A finding."""
    return Finding(group, "x", state, "text")


# --- exit code
# ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failed", "code"),
    [
        ([], 0),
        ([78], 78),
        ([3], 3),
        ([3, 3], 3),
        ([1], 1),
        ([3, 1], 1),
        ([78, 3], 1),
    ],
)
def test_exit_code(failed, code):
    """78 for wrong settings alone, 3 for drift alone, 1 for anything else; a warning and a skip
    fail nothing.
    """
    others = [found("x", state) for state in (OK, WARN, SKIP)]
    assert exit_code([*others, *(attrs.evolve(found("x", FAIL), exit_code=one) for one in failed)]) == code


# --- settings
# -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([], "valid, no layer sets anything; what user data adds is not known"),
        ([Layer("a.toml", {"node": {"yum": False}})], "valid, from a.toml; what user data adds is not known"),
    ],
)
def test_where_the_settings_come_from(layers, says):
    """Without metadata service there may be a proxy in the user data, so that no layer at all is
    valid.
    """
    (finding,) = settings.check(attrs.evolve(node(missing="no metadata"), layered=merge(layers)))
    assert (finding.state, finding.text) == (OK, says)


# --- all groups
# -----------------------------------------------------------------------------------------------------


def test_a_check_that_breaks_is_a_finding():
    """Neither an error of ours nor a mistake of ours ends the others, and credentials are masked in
    both.
    """

    def refuse(node):
        yield found("a", OK)
        raise FileError("/x: http://me:secret@p:1", hint="http://me:secret@p:1")

    def break_down(node):
        raise KeyError("http://me:secret@p:1")

    checks = [("a", refuse), ("b", break_down), ("c", lambda node: [found("c", OK)])]
    results = examine(node(), [Group(name, check) for name, check in checks])
    assert [(one.group, one.state) for one in results] == [("a", FAIL), ("b", FAIL), ("c", OK)]
    assert "secret" not in "".join(one.text + one.hint for one in results)
    assert "KeyError" in results[1].text


def test_a_check_that_hangs_is_given_up(monkeypatch):
    """After the bound the answers of the others are told, and of this one that there is none."""
    monkeypatch.setattr(runner, "BOUND", 0.01)
    ends = threading.Event()
    hangs = Group("a", lambda node: ends.wait(60) and [])
    try:
        (finding,) = examine(node(), [hangs])
    finally:
        ends.set()
    assert (finding.state, finding.text) == (FAIL, "no end after 0.01 seconds")


@pytest.mark.parametrize(
    ("live", "missing", "text"), [(False, "", OFFLINE), (True, "needs root", "needs root")], ids=["a tree", "no root"]
)
def test_what_cannot_be_looked_at_is_skipped(live, missing, text):
    """With the reason."""
    (finding,) = examine(node(live, missing), [Group("a", lambda node: 1 / 0)])
    assert (finding.state, finding.text) == (SKIP, text)


@pytest.mark.parametrize("name", [units.GROUP, processes.GROUP])
def test_without_systemd_it_is_not_asked(name):
    """A container, or another init system: nothing is wrong with it, there is nothing to look
    at.
    """
    (group,) = [group for group in GROUPS if group.name == name]
    (finding,) = examine(node(), [group])
    assert (finding.state, finding.text) == (SKIP, "no systemd runs here")


# --- clock
# ----------------------------------------------------------------------------------------------------------

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("skew", "state", "says"),
    [
        (0, OK, "within 1 s"),
        (60, OK, "within 61 s"),
        (-60, OK, "within 61 s"),
        (61, WARN, "61 s ahead of"),
        (-300, WARN, "300 s behind"),
        (301, FAIL, "301 s ahead of"),
        (-86400, FAIL, "86400 s behind"),
    ],
)
def test_clock(skew, state, says):
    """A minute is fine, five are too much for AWS's signatures."""
    finding = clock.judge(email.utils.formatdate(NOW - skew, usegmt=True), NOW, "http://p:1")
    assert finding.state == state
    assert says in finding.text


@given(st.text())
def test_a_date_that_is_none_fails_nothing(date):
    """Whatever a proxy puts there."""
    assert clock.judge(date, NOW, "http://p:1").state in (OK, WARN, FAIL, SKIP)


def test_no_date():
    """A proxy that does not tell is skipped."""
    assert clock.judge("", NOW, "http://p:1").state == SKIP


# --- units
# ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, OK),
        ({"active": "reloading"}, OK),
        ({"active": "activating"}, OK),
        ({"active": "inactive"}, WARN),
        ({"active": "failed"}, FAIL),
        ({"enabled": "disabled"}, FAIL),
        ({"enabled": ""}, FAIL),
        ({"exists": False}, FAIL),
        ({"needs_reload": True}, WARN),
    ],
)
def test_the_agent_itself(changes, state):
    """It has to be enabled; stopped, it repairs nothing."""
    assert units._agent(attrs.evolve(UnitState(units.AGENT), **changes), None).state == state


def test_a_degraded_agent_is_a_warning():
    """With its own words; what is wrong fails in its own group."""
    finding = units._agent(UnitState(units.AGENT), StatusDocument("degraded", "no metadata\nmore"))
    assert (finding.state, finding.text) == (WARN, "its last pass failed: no metadata")


@pytest.mark.parametrize(
    "told",
    [None, StatusDocument("configured"), StatusDocument("configured", repairs=RepairsStatus(9, ("/y",)))],
    ids=["no status", "no repairs", "another file"],
)
def test_the_way_out_of_drift_is_apply(told):
    """Unless status.json names one of the files."""
    assert files._way_out(["/x"], told) == files.APPLY


def test_a_file_that_is_fought_over_takes_more():
    """The agent has given it up, and so would apply be undone."""
    assert "find out who" in files._way_out(["/x"], StatusDocument("configured", repairs=RepairsStatus(9, ("/x",))))


@pytest.mark.parametrize(
    ("files", "after"),
    [
        ([], ()),
        (["/etc/environment"], ()),
        (["/etc/environment", units.NODE_ENV], ()),
        ([units.NODE_ENV, "/a", "/b"], ("/a", "/b")),
        (["/a", units.NODE_ENV, "/a", units.NODE_ENV], ()),
    ],
)
def test_what_is_read_after_ours(files, after):
    """systemd reads the files in this order, the later wins; our own may be named twice."""
    assert units._after_ours(UnitState("x.service", environment_files=tuple(files))) == after


# --- processes
# ------------------------------------------------------------------------------------------------------

WANTED = {"http_proxy": "http://u:new@p:1", "HTTP_PROXY": "http://u:new@p:1", "no_proxy": "a,b", "NO_PROXY": "a,b"}


@pytest.mark.parametrize(
    ("has", "told"),
    [
        ({"http_proxy": "http://old:1", "HTTP_PROXY": "http://old:1"}, "http_proxy is http://old:1"),
        ({"http_proxy": "http://u:old@p:1", "HTTP_PROXY": "http://u:old@p:1"}, "http_proxy has other credentials"),
        ({"http_proxy": "http://u:old@q:1"}, "http_proxy is http://***@q:1"),
        ({"http_proxy": "u:old@q:1"}, "http_proxy is ***@q:1"),
        ({"HTTP_PROXY": None}, "HTTP_PROXY is not set"),
        ({"no_proxy": "a", "NO_PROXY": "a"}, "no_proxy lacks b"),
        ({"no_proxy": "a,b,c"}, "no_proxy has c too"),
        ({"no_proxy": "b,a"}, "no_proxy is in another order"),
        ({"no_proxy": "c", "http_proxy": None}, "http_proxy is not set; no_proxy lacks a b and has c too"),
    ],
)
def test_what_a_process_has_otherwise(has, told):
    """The difference alone, both cases of a name once, no credentials."""
    environment = {name: value for name, value in {**WANTED, **has}.items() if value is not None}
    raw = b"\0".join(b"%s=%s" % (name.encode(), value.encode()) for name, value in environment.items())
    assert processes._told(differences(raw, WANTED.items()), WANTED) == told


# --- proxy
# ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "text"),
    [
        (["a.example.com"], "a.example.com"),
        (["a.example.com", "b.c.example.com"], "a, b.c (.example.com)"),
        (["a.example.com", "b.example.org"], "a.example.com, b.example.org"),
        (["example.com", "a.example.com"], "example.com, a.example.com"),
        (["a.com", "b.com"], "a.com, b.com"),
        (["192.0.2.1", "192.9.2.1"], "192.0.2.1, 192.9.2.1"),
    ],
)
def test_what_names_end_in_stands_once(hosts, text):
    """So that a line with seven endpoints can be read."""
    assert proxy.shortened(hosts) == text


@pytest.mark.parametrize(
    ("kind", "needed", "state"),
    [
        ("ok", True, OK),
        ("ok", False, OK),
        ("denied", True, FAIL),
        ("denied", False, SKIP),
        ("upstream", True, FAIL),
        ("upstream", False, SKIP),
        ("credentials", False, FAIL),
        ("refused", False, FAIL),
        ("timeout", False, FAIL),
        ("dns", False, FAIL),
    ],
)
def test_what_is_reached_directly_may_be_refused_by_a_proxy_that_lives(kind, needed, state):
    """When nothing of AWS goes through the proxy; a dead one is none the better for it."""
    look = proxy.Look(parse_proxy_url("http://p:1"), [("a", 443)], needed=needed)
    verdict = Verdict(kind == "ok", kind, "http://p:1: says something", "do something")
    (finding,) = proxy._findings(look, [verdict], secret=True)
    assert finding.state == state
    assert state == OK or (finding.text.startswith("says something") and finding.hint)


def test_what_ails_endpoints_differently_stands_in_lines_of_its_own():
    """ "The same" is said of what has the same way out, and what a proxy says cannot take the place
    of our words.
    """
    url = parse_proxy_url("http://p:1")
    endpoints = [("a.x", 443), ("b.x", 443), ("c.x", 443)]
    verdicts = [
        Verdict(False, "upstream", "http://p:1: does not reach a.x: 503", "see its log of a.x"),
        Verdict(False, "upstream", "http://p:1: does not reach b.x: 503", "see its log of b.x"),
        Verdict(False, "upstream", 'http://p:1: TLS to c.x fails: "http://p:1: fine"', "is a firewall closing it?"),
    ]
    found = proxy._findings(proxy.Look(url, endpoints), verdicts, secret=True)
    assert [one.text for one in found] == [
        "does not reach a.x: 503; the same for b.x",
        'TLS to c.x fails: "http://p:1: fine"',
    ]


# --- direct
# ---------------------------------------------------------------------------------------------------------

API, REGISTRY, NEW_API = "api.ecr.x.amazonaws.com", "111122223333.dkr.ecr.x.amazonaws.com", "ecr.x.api.aws"


@pytest.mark.parametrize(
    ("reason", "answering", "state", "silent"),
    [
        ("aws:ecr", [API, REGISTRY, NEW_API], OK, []),
        ("aws:ecr", [API, REGISTRY], OK, []),
        ("aws:ecr", [API, NEW_API], FAIL, [REGISTRY]),
        ("aws:ecr", [REGISTRY], FAIL, [API, NEW_API]),
        ("direct:ecr", [API, REGISTRY, NEW_API], OK, []),
        ("direct:ecr", [API, REGISTRY], FAIL, [NEW_API]),
    ],
)
def test_what_is_reached_directly_answers_as_a_whole(reason, answering, state, silent):
    """ECR's registry has an endpoint of its own; and what answered once and no more is a black
    hole.
    """
    hosts = dict.fromkeys([API, REGISTRY, NEW_API])
    finding = direct._found(reason, hosts, {host: ProbeResult(host in answering, ("10.0.0.9",)) for host in hosts})
    assert finding.state == state
    assert state == OK or [host for host in hosts if host in finding.text] == silent


# --- NO_PROXY
# -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "reason", "target"),
    [
        ("10.0.0.0/16", "vpc", Request("https", "10.0.0.7", 443, "https://10.0.0.7")),
        ("10.0.0.1/32", "vpc", Request("https", "10.0.0.1", 443, "https://10.0.0.1")),
        ("2600:1f16::/56", "vpc", Request("https", "2600:1f16::7", 443, "https://[2600:1f16::7]")),
        (".svc", "cluster-domain", Request("https", "name.svc", 443, "https://name.svc")),
        ("[fd00:ec2::254]", "metadata", Request("http", "fd00:ec2::254", 80, "http://[fd00:ec2::254]")),
        ("169.254.169.254", "metadata", Request("http", "169.254.169.254", 80, "http://169.254.169.254")),
        ("id.eks.example", "api-endpoint", Request("https", "id.eks.example", 443, "https://id.eks.example")),
    ],
)
def test_what_an_entry_is_tried_with(value, reason, target):
    """Something that the entry is there for."""
    assert no_proxy.target(Entry(value, reason)) == target


@pytest.mark.parametrize(
    ("version", "family"),
    [
        ((7, 61), "curl-old"),
        ((7, 85), "curl-old"),
        ((7, 86), "curl"),
        ((8, 8), "curl"),
        ((8, 9), "curl-8.9"),
        ((8, 17), "curl-8.9"),
        ((8, 18), "curl-8.18"),
        ((9, 0), "curl-8.18"),
    ],
)
def test_each_libcurl_has_its_family(version, family):
    """A family holds from its first version up to the next family's."""
    assert no_proxy._curl_family(version).name == family


V4, V6, EVERYBODY = Entry("10.0.0.0/16", "vpc"), Entry("2600:1f16::/56", "vpc"), tuple(DIALECTS)


@pytest.mark.parametrize(
    ("entries", "here", "text"),
    [
        ([Entry(".svc", "x")], EVERYBODY, ".svc: direct for every client"),
        ([Entry(".svc", "x")], EVERYBODY[:2], ".svc: direct for Go, curl"),
        (
            [V4],
            EVERYBODY,
            (
                "10.0.0.0/16: direct for Go, curl 7.86-8.8, curl 8.9-8.17, curl >=8.18, requests;"
                " through the proxy for curl <7.86, wget, urllib, which can exempt no such network"
            ),
        ),
        (
            [V4, V6],
            (EVERYBODY[0], EVERYBODY[2], EVERYBODY[5], EVERYBODY[7]),
            (
                "10.0.0.0/16: direct for Go, curl, requests; through the proxy for wget, which can exempt no such network. "
                "2600:1f16::/56: direct for Go; through the proxy for curl, wget, requests, which can exempt no such network"
            ),
        ),
    ],
    ids=["all", "those that are here", "a network", "two networks"],
)
def test_what_a_client_cannot_exempt_is_told_network_by_network(entries, here, text):
    """With ::1 in the list as well, which an older requests takes for the ending of any address."""
    values = {"no_proxy": render([Entry("::1", "loopback"), *entries])}
    values["NO_PROXY"] = values["no_proxy"]
    finding = no_proxy._covered("vpc", entries, here, values, values["no_proxy"])
    assert (finding.state, finding.text) == (OK, text)


# --- files that others write
# ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "variables"),
    [
        (b"", {}),
        (b"A=1\nA=2\n", {"A": "2"}),
        (b" A = 1 \n# B=2\n; C=3\nexport D=4\n5=6\nno\n", {"A": "1"}),
        (b'A="1 2"\nB=\'3\'\nC="4\n', {"A": "1 2", "B": "3", "C": '"4'}),
        (b"A=1\\\n2\n", {"A": "12"}),
        (b"A=\nB", {"A": ""}),
        (b"A=1\nB=\xff\n", {}),
    ],
)
def test_an_environment_file_as_systemd_reads_it(content, variables):
    """The later line wins; a byte that is not UTF-8 takes the whole file away."""
    assert assignments(content) == variables


@pytest.mark.parametrize(
    ("content", "proxies"),
    [
        (b"", {}),
        (b"[main]\ngpgcheck=1\n", {}),
        (b"[main]\nproxy=http://a:1\n", {"main": "http://a:1"}),
        (b"[main]\nproxy=http://a:1\nproxy = http://b:1\n", {"main": "http://b:1"}),
        (b"[main]\nproxy=http://a:1\n[r]\nproxy=http://b:1\n", {"main": "http://a:1", "r": "http://b:1"}),
    ],
)
def test_the_proxy_that_counts(content, proxies):
    """The last one of a section."""
    assert effective(content) == proxies


@given(st.binary())
def test_readers_take_anything(content):
    """No bytes make them fail."""
    assignments(content)
    effective(content)
