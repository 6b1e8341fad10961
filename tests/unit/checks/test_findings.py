"""The pure parts of `check`: findings that follow from given states and results."""

import email.utils
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.checks import clock, direct, files, no_proxy, processes, proxy, runner, settings, units
from agent.checks.context import NEEDS_MACHINE, NEEDS_ROOT, CheckedNode
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
from agent.core.record import evolve
from agent.core.settings.layers import Layer, merge
from agent.core.status.document import StatusDocument
from agent.core.status.records import RepairsStatus
from agent.core.systemd import UnitState, differences
from agent.edges.systemd import Systemd
from agent.errors import FileError
from agent.node.sources import SettingsSources


class Machine:
    """As much of a machine as the runner of the checks reads; systemd does not run on it."""

    def __init__(self, live=True):
        self.files, self.live, self.units = self, live, Systemd(running=False)


def node(live=True, skip_reason=""):
    """A node of which nothing else is known."""
    return CheckedNode(Machine(live), SettingsSources(), skip_reason=skip_reason)


def finding(group, state):
    """A finding in this state."""
    return Finding(group, "x", state, "text")


# --- exit code


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
    """It is 78 for invalid settings alone, 3 for drift alone, else 1; a warning does not fail."""
    others = [finding("x", state) for state in (OK, WARN, SKIP)]
    assert exit_code([*others, *(evolve(finding("x", FAIL), exit_code=each) for each in failed)]) == code


# --- settings


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([], "valid, defaults only; user data is unknown"),
        ([Layer("a.toml", {"node": {"yum": False}})], "valid, from a.toml; user data is unknown"),
    ],
)
def test_settings_without_metadata_are_valid_without_a_proxy(layers, text):
    """The unread user data may set proxy.url, so that its absence is not an error."""
    (result,) = settings.check(evolve(node(skip_reason="no metadata"), layered=merge(layers)))
    assert (result.state, result.text) == (OK, text)


# --- all groups


def test_an_error_in_a_check_is_a_finding():
    """Neither an AgentError nor a bug stops the other groups, and both are redacted."""

    def raise_agent_error(node):
        yield finding("a", OK)
        raise FileError("/x: http://me:secret@p:1", hint="http://me:secret@p:1")

    def raise_key_error(node):
        raise KeyError("http://me:secret@p:1")

    checks = [("a", raise_agent_error), ("b", raise_key_error), ("c", lambda node: [finding("c", OK)])]
    results = examine(node(), [Group(name, check) for name, check in checks])
    assert [(result.group, result.state) for result in results] == [("a", FAIL), ("b", FAIL), ("c", OK)]
    assert "secret" not in "".join(result.text + result.hint for result in results)
    assert "KeyError" in results[1].text


def test_a_check_that_hangs_times_out(monkeypatch):
    """After the time limit its finding fails, and `check` does not wait for it."""
    monkeypatch.setattr(runner, "BOUND", 0.01)
    end = threading.Event()
    hangs = Group("a", lambda node: end.wait(60) and [])
    try:
        (result,) = examine(node(), [hangs])
    finally:
        end.set()
    assert (result.state, result.text) == (FAIL, "timed out after 0.01 s")


@pytest.mark.parametrize(
    ("live", "skip_reason", "text"),
    [(False, "", NEEDS_MACHINE), (True, NEEDS_ROOT, NEEDS_ROOT)],
    ids=["a tree", "not root"],
)
def test_what_cannot_be_checked_is_skipped(live, skip_reason, text):
    """The text of the finding is the reason."""
    (result,) = examine(node(live, skip_reason), [Group("a", lambda node: 1 / 0)])
    assert (result.state, result.text) == (SKIP, text)


@pytest.mark.parametrize("name", [units.GROUP, processes.GROUP])
def test_without_systemd_units_and_processes_are_skipped(name):
    """In a container, or with another init system, a missing systemd is not a failure."""
    (group,) = [group for group in GROUPS if group.name == name]
    (result,) = examine(node(), [group])
    assert (result.state, result.text) == (SKIP, "systemd is not running")


# --- clock

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("skew", "state", "text"),
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
def test_clock_skew(skew, state, text):
    """A skew of one minute is ok; more than five minutes is too much for AWS's signatures."""
    result = clock.judge(email.utils.formatdate(NOW - skew, usegmt=True), NOW, "http://p:1")
    assert result.state == state
    assert text in result.text


@given(st.text())
def test_any_date_header_is_accepted(date):
    """No text in a proxy's Date header raises an error."""
    assert clock.judge(date, NOW, "http://p:1").state in (OK, WARN, FAIL, SKIP)


def test_a_proxy_without_a_date_is_skipped():
    """An empty Date header is not a failure."""
    assert clock.judge("", NOW, "http://p:1").state == SKIP


# --- units


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
def test_state_of_the_agents_unit(changes, state):
    """A unit that is not enabled fails; a stopped one is a warning, because it repairs no drift."""
    assert units._agent(evolve(UnitState(units.AGENT), **changes), None).state == state


def test_a_degraded_agent_is_a_warning():
    """The text is the first line of the error; the cause fails in its own group."""
    result = units._agent(UnitState(units.AGENT), StatusDocument("degraded", "no metadata\nmore"))
    assert (result.state, result.text) == (WARN, "the last reconcile failed: no metadata")


@pytest.mark.parametrize(
    "status",
    [None, StatusDocument("configured"), StatusDocument("configured", repairs=RepairsStatus(9, ("/y",)))],
    ids=["no status", "no repairs", "another file"],
)
def test_the_hint_for_drift_is_apply(status):
    """It is another one only if status.json names one of the files as contested."""
    assert files._remedy(["/x"], status) == (files.APPLY, "")


def test_the_hint_for_a_contested_file_is_to_stop_the_other_process():
    """The other process would undo what `apply` does."""
    hint, topic = files._remedy(["/x"], StatusDocument("configured", repairs=RepairsStatus(9, ("/x",))))
    assert "stop that process" in hint
    assert topic == "contested"


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
def test_files_that_systemd_reads_after_node_env(files, after):
    """systemd reads the files in this order; the later overrides.  node.env may be listed twice."""
    assert units._read_after_node_env(UnitState("x.service", environment_files=tuple(files))) == after


# --- processes

DESIRED = {"http_proxy": "http://u:new@p:1", "HTTP_PROXY": "http://u:new@p:1", "no_proxy": "a,b", "NO_PROXY": "a,b"}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"http_proxy": "http://old:1", "HTTP_PROXY": "http://old:1"}, "http_proxy is http://old:1"),
        ({"http_proxy": "http://u:old@p:1", "HTTP_PROXY": "http://u:old@p:1"}, "http_proxy has different credentials"),
        ({"http_proxy": "http://u:old@q:1"}, "http_proxy is http://***@q:1"),
        ({"http_proxy": "u:old@q:1"}, "http_proxy is ***@q:1"),
        ({"HTTP_PROXY": None}, "HTTP_PROXY is not set"),
        ({"no_proxy": "a", "NO_PROXY": "a"}, "no_proxy lacks b"),
        ({"no_proxy": "a,b,c"}, "no_proxy has unexpected c"),
        ({"no_proxy": "b,a"}, "no_proxy has its entries in a different order"),
        ({"no_proxy": "c", "http_proxy": None}, "http_proxy is not set; no_proxy lacks a b and has unexpected c"),
    ],
)
def test_differences_in_the_environment_of_a_process(changes, text):
    """Only the differences are described, each variable once, and credentials are masked."""
    environment = {name: value for name, value in {**DESIRED, **changes}.items() if value is not None}
    raw = b"\0".join(b"%s=%s" % (name.encode(), value.encode()) for name, value in environment.items())
    assert processes._describe(differences(raw, DESIRED.items()), DESIRED) == text


# --- proxy


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
def test_a_common_suffix_of_host_names_is_printed_once(hosts, text):
    """A line with seven endpoints stays readable."""
    assert proxy.shortened(hosts) == text


@pytest.mark.parametrize(
    ("kind", "is_required", "state"),
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
def test_a_proxy_that_is_up_may_refuse_endpoints_that_are_direct(kind, is_required, state):
    """If all AWS endpoints are direct, a refusal is skipped; a proxy that is down fails."""
    request = proxy.ProxyEndpoints(parse_proxy_url("http://p:1"), [("a", 443)], is_required=is_required)
    verdict = Verdict(kind == "ok", kind, "http://p:1: has a problem", "fix it")
    (result,) = proxy._findings(request, [verdict], has_credentials=True)
    assert result.state == state
    assert state == OK or (result.text.startswith("has a problem") and result.hint)


def test_endpoints_that_fail_differently_are_separate_findings():
    """Endpoints with the same hint are one finding; a response with the proxy's URL is not cut."""
    url = parse_proxy_url("http://p:1")
    endpoints = [("a.x", 443), ("b.x", 443), ("c.x", 443)]
    verdicts = [
        Verdict(False, "upstream", "http://p:1: does not reach a.x: 503", "read its log for a.x"),
        Verdict(False, "upstream", "http://p:1: does not reach b.x: 503", "read its log for b.x"),
        Verdict(False, "upstream", 'http://p:1: TLS to c.x fails: "http://p:1: fine"', "check the firewall"),
    ]
    results = proxy._findings(proxy.ProxyEndpoints(url, endpoints), verdicts, has_credentials=True)
    assert [result.text for result in results] == [
        "does not reach a.x: 503; the same for b.x",
        'TLS to c.x fails: "http://p:1: fine"',
    ]


# --- direct

API, REGISTRY, NEW_API = "api.ecr.x.amazonaws.com", "111122223333.dkr.ecr.x.amazonaws.com", "ecr.x.api.aws"


@pytest.mark.parametrize(
    ("reason", "reachable", "state", "unreachable"),
    [
        ("aws:ecr", [API, REGISTRY, NEW_API], OK, []),
        ("aws:ecr", [API, REGISTRY], OK, []),
        ("aws:ecr", [API, NEW_API], FAIL, [REGISTRY]),
        ("aws:ecr", [REGISTRY], FAIL, [API, NEW_API]),
        ("direct:ecr", [API, REGISTRY, NEW_API], OK, []),
        ("direct:ecr", [API, REGISTRY], FAIL, [NEW_API]),
    ],
)
def test_every_endpoint_of_a_direct_service_must_be_reachable(reason, reachable, state, unreachable):
    """ECR's registry has its own endpoint; of a detected service, each name must be reachable."""
    hosts = dict.fromkeys([API, REGISTRY, NEW_API])
    result = direct._finding(reason, hosts, {host: ProbeResult(host in reachable, ("10.0.0.9",)) for host in hosts})
    assert result.state == state
    assert state == OK or [host for host in hosts if host in result.text] == unreachable


# --- NO_PROXY


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
def test_request_that_an_entry_must_exempt(value, reason, target):
    """It is an address in the network, a name below the domain, or the host itself."""
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
def test_family_of_a_version_of_libcurl(version, family):
    """A family includes the versions from its first one up to the next family's."""
    assert no_proxy._curl_family(version).name == family


V4, V6, ALL = Entry("10.0.0.0/16", "vpc"), Entry("2600:1f16::/56", "vpc"), tuple(DIALECTS)


@pytest.mark.parametrize(
    ("entries", "dialects", "text"),
    [
        ([Entry(".svc", "x")], ALL, ".svc: direct for every client"),
        ([Entry(".svc", "x")], ALL[:2], ".svc: direct for Go, curl"),
        (
            [V4],
            ALL,
            (
                "10.0.0.0/16: direct for Go, curl 7.86-8.8, curl 8.9-8.17, curl >=8.18, requests;"
                " through the proxy for curl <7.86, wget, urllib, which cannot match such an entry"
            ),
        ),
        (
            [V4, V6],
            (ALL[0], ALL[2], ALL[5], ALL[7]),
            (
                "10.0.0.0/16: direct for Go, curl, requests; through the proxy for wget, which cannot match such an entry. "
                "2600:1f16::/56: direct for Go; through the proxy for curl, wget, requests, which cannot match such an entry"
            ),
        ),
    ],
    ids=["all", "installed ones", "a network", "two networks"],
)
def test_an_entry_that_a_client_cannot_match_is_ok_and_reported(entries, dialects, text):
    """The list also has ::1, which an older requests takes for a suffix of any address."""
    values = {"no_proxy": render([Entry("::1", "loopback"), *entries])}
    values["NO_PROXY"] = values["no_proxy"]
    result = no_proxy._coverage("vpc", entries, dialects, values, values["no_proxy"])
    assert (result.state, result.text) == (OK, text)


# --- files that other programs write


@pytest.mark.parametrize(
    ("content", "variables"),
    [
        (b"", {}),
        (b"A=1\nA=2\n", {"A": "2"}),
        (b" A = 1 \n# B=2\n; C=3\nexport D=4\n5=6\nno\n", {"A": "1"}),
        (b'A="1 2"\nB=\'3\'\nC="4\n', {"A": "1 2", "B": "3", "C": "4\n"}),
        (b'A="1,\n2"\n# caf\xe9\nB=\\\\\nC=3\n', {"A": "1,\n2", "B": "\\", "C": "3"}),
        (b"A=1\\\n2\n", {"A": "12"}),
        (b"A=\nB", {"A": ""}),
        (b"A=1\nB=\xff\n", {}),
    ],
)
def test_an_environment_file_is_read_as_systemd_does(content, variables):
    """The later line overrides; a byte that is not UTF-8 makes the whole file be ignored."""
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
def test_effective_proxy_of_a_section(content, proxies):
    """The last line of a section overrides the earlier ones."""
    assert effective(content) == proxies


@given(st.binary())
def test_readers_accept_any_bytes(content):
    """No content raises an error."""
    assignments(content)
    effective(content)
