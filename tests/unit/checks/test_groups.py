"""What the groups of `check` examine, and which of it makes a finding."""

from __future__ import annotations

import os
from typing import Any

import pytest

from agent.checks import clock, direct, elsewhere, files, no_proxy, packages, processes, proxy, units
from agent.checks.finding import FAIL, OK, SKIP, WARN
from agent.core.intent.reachability import ProbeResult
from agent.core.net.proxy_health import Verdict
from agent.core.net.proxy_url import parse_proxy_url
from agent.core.plan.files.environment import NODE_ENV
from agent.core.plan.files.systemd_dropin import EnvironmentDropin
from agent.core.plan.files.yum_conf import DNF_CONF, YUM_CONF
from agent.core.plan.plan import Plan
from agent.core.record import evolve
from agent.core.status.document import StatusDocument
from agent.core.systemd import UnitState
from agent.errors import CommandError, FileError
from tests.unit.checks.test_findings_golden import (
    DOCKER,
    DROPIN,
    PROXY,
    SETTINGS,
    Units,
    checked,
    lines_of,
    resolved,
    variables,
)

URL = parse_proxy_url(PROXY)
AMAZON = ".eu-central-1.amazonaws.com"


@pytest.fixture(autouse=True)
def _as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def listed(findings: Any) -> list[tuple[str, str]]:
    """Return name and state of each finding."""
    return [(finding.name, finding.state) for finding in findings]


# --- proxy


class Probes:
    """Health checks that all open a tunnel; `calls` has what was requested."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[Any] = []
        monkeypatch.setattr(proxy, "probe_each", self._probe_each)

    def _probe_each(self, url: Any, targets: Any, credentials: Any, *, timeout: float, tls: bool) -> Any:
        self.calls.append((str(url), [host for host, _ in targets], credentials, tls))
        assert timeout == proxy.BOUND
        return tuple(Verdict(True, "ok", "", seconds=0.01) for _ in targets)

    def run(self, text: str, **changes: Any) -> list[Any]:
        """Return the calls of a check, sorted by proxy and host."""
        found = list(proxy.check(checked(text=text, **changes)))
        assert {finding.state for finding in found} == {OK}
        return sorted(self.calls, key=lambda call: (call[0], call[1]))


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> Probes:
    """Health checks."""
    return Probes(monkeypatch)


def test_the_proxy_is_asked_for_what_is_reached_through_it(probes: Probes) -> None:
    """With TLS, and with the credentials; one proxy for both protocols is asked once."""
    ((url, hosts, credentials, tls),) = probes.run(SETTINGS.replace("[cluster]\nendpoint", "[cluster]\ndomain"))
    assert (url, credentials, tls) == (PROXY, None, True)
    assert "s3" + AMAZON not in hosts
    assert any(host.endswith(AMAZON) for host in hosts)


def test_a_public_api_server_is_tried_without_tls(probes: Probes) -> None:
    """Its certificate is issued by the cluster's own CA, which this node's trust store lacks."""
    public = SETTINGS.replace("[cluster]", '[cluster]\nendpoint_access = "public"')
    assert (PROXY, ["api.example.com"], None, False) in probes.run(public)


def test_a_private_api_server_is_not_asked_from_the_proxy(probes: Probes) -> None:
    """It is reached directly."""
    private = SETTINGS.replace("[cluster]", '[cluster]\nendpoint_access = "private"')
    assert [hosts for _, hosts, _, _ in probes.run(private) if "api.example.com" in hosts] == []


def test_another_proxy_for_https_and_spares_get_one_endpoint(probes: Probes) -> None:
    """The one in use decides; a spare is only tried."""
    text = SETTINGS.replace(f'url = "{PROXY}"', f'url = ["{PROXY}", "http://spare:1"]\nhttps_url = "http://other:2"')
    calls = probes.run(text)
    by_url = {url: hosts for url, hosts, _, tls in calls if tls}
    assert set(by_url) == {PROXY, "http://spare:1", "http://other:2"}
    assert len(by_url["http://other:2"]) > 1
    assert [len(by_url[url]) for url in (PROXY, "http://spare:1")] == [1, 1]


@pytest.mark.parametrize(("url", "state"), [(PROXY, FAIL), ("http://spare:1", WARN)])
def test_a_spare_that_is_down_is_only_a_warning(monkeypatch: pytest.MonkeyPatch, url: str, state: str) -> None:
    """The node works without it."""

    def probe_each(proxy: Any, targets: Any, *_: Any, **__: Any) -> Any:
        down = str(proxy) == url
        return tuple(Verdict(not down, "refused" if down else "ok", f"{proxy}: refused", "hint") for _ in targets)

    monkeypatch.setattr(proxy, "probe_each", probe_each)
    text = SETTINGS.replace(f'url = "{PROXY}"', f'url = ["{PROXY}", "http://spare:1"]')
    found = [finding for finding in proxy.check(checked(text=text)) if finding.state != OK]
    assert {(finding.name, finding.state, finding.text.partition(";")[0]) for finding in found} == {
        (url, state, "refused")
    }


@pytest.mark.parametrize(("is_from_status", "state"), [(True, SKIP), (False, FAIL)])
def test_without_root_a_407_is_no_failure(monkeypatch: pytest.MonkeyPatch, is_from_status: bool, state: str) -> None:
    """The credentials could not be read, so none were sent."""
    refused = Verdict(False, "credentials", f"{PROXY}: requires credentials (407)", "hint")
    monkeypatch.setattr(proxy, "probe_each", lambda url, targets, *_, **__: (refused,) * len(targets))
    assert {finding.state for finding in proxy.check(checked(is_from_status=is_from_status))} == {state}


@pytest.mark.parametrize(
    ("total", "others", "text"),
    [
        (1, 0, ""),
        (2, 1, "; the same for all 2 endpoints"),
        (3, 2, "; the same for all 3 endpoints"),
        (3, 0, ""),
        (3, 1, "; the same for b"),
    ],
)
def test_endpoints_with_the_same_result_are_named_once(total: int, others: int, text: str) -> None:
    """Or counted, if it is all of them."""
    verdict = Verdict(False, "denied", "", "")
    results = [((host, 443), verdict) for host in "abc"[: others + 1]]
    assert proxy._other_endpoints(results, total) == text


# --- direct


def test_direct_hosts_are_probed_once_for_their_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API server by the host of the endpoint, services by their names."""
    asked: list[Any] = []

    def probe(hosts: list[str], *, bound: float) -> Any:
        asked.append((hosts, bound))
        return {host: ProbeResult(True, ("10.0.0.1",)) for host in hosts}

    monkeypatch.setattr(direct.tcp, "probe", probe)
    private = SETTINGS.replace("[cluster]", '[cluster]\nendpoint_access = "private"')
    found = list(direct.check(checked(text=private)))
    assert sorted(listed(found)) == [("api-endpoint", OK), ("aws:s3", OK)]
    ((hosts, bound),) = asked
    assert bound == direct.BOUND
    assert "api.example.com" in hosts
    assert "s3" + AMAZON in hosts
    assert found[0].text.startswith("reachable on port 443: ")


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (ProbeResult(), "does not resolve"),
        (ProbeResult(False, ("10.0.0.1", "10.0.0.2")), "no connection to 10.0.0.1 10.0.0.2 on port 443"),
    ],
)
def test_the_problem_of_a_host(result: ProbeResult, text: str) -> None:
    """A name without addresses has another remedy than a port that refuses."""
    (finding,) = [direct._finding("aws:s3", {"s3": None}, {"s3": result})]
    assert finding.text == f"in NO_PROXY but not reachable: s3: {text}"
    assert finding.hint == "create the VPC endpoint of s3, or remove s3 from aws.direct"


# --- clock


def test_the_clock_is_that_of_the_http_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any response has a Date header."""
    asked: list[Any] = []

    def request_date(url: Any, *, timeout: float) -> str:
        asked.append((str(url), timeout))
        return "Thu, 01 Jan 1970 00:00:00 GMT"

    monkeypatch.setattr(clock, "request_date", request_date)
    (finding,) = clock.check(checked())
    assert (finding.state, asked) == (FAIL, [(PROXY, clock.BOUND)])
    assert "ahead of" in finding.text


# --- units and processes


AGENT = UnitState(units.AGENT, before=(DOCKER,), enabled="enabled", active="active")
DOCKER_STATE = UnitState(
    DOCKER, main_pid=7, drop_ins=(DROPIN,), environment_files=("/etc/environment", NODE_ENV), since=10.0
)
CONTENT = {DROPIN: EnvironmentDropin(DOCKER).merge(None)}


def test_only_existing_units_are_examined() -> None:
    """The agent's own unit always is; the others of node.units need not be installed."""
    node = checked(CONTENT, units=Units(AGENT, DOCKER_STATE))
    assert listed(units.check(node)) == [(units.AGENT, OK), (DOCKER, OK)]


def test_systemd_is_asked_once_for_all_units() -> None:
    """Within a limit, because a person waits."""
    asked = []

    class Asked(Units):
        def show(self, names: Any, *, timeout: float) -> Any:
            asked.append((names, timeout))
            return super().show(names, timeout=timeout)

    list(units.check(checked(units=Asked(AGENT))))
    ((names, timeout),) = asked
    assert timeout == units.BOUND
    assert len(names) == len(set(names))
    assert {units.AGENT, DOCKER} <= set(names)


@pytest.mark.parametrize(
    ("active", "state"),
    [
        ("active", OK),
        ("reloading", OK),
        ("activating", OK),
        ("inactive", WARN),
        ("deactivating", WARN),
        ("failed", FAIL),
    ],
)
def test_state_of_the_agent(active: str, state: str) -> None:
    """While it starts or reloads nothing is wrong."""
    assert units._agent(evolve(AGENT, active=active), None).state == state


@pytest.mark.parametrize(("phase", "state"), [("configured", OK), ("unconfigured", OK), ("degraded", WARN)])
def test_a_failed_reconcile_is_a_warning(phase: str, state: str) -> None:
    """Only the first line of its error is shown."""
    finding = units._agent(AGENT, StatusDocument(phase, "<error>\nmore"))
    assert finding.state == state
    assert ("<error>" in finding.text, "more" in finding.text) == (state == WARN, False)


@pytest.mark.parametrize("value", ["http://other:1", PROXY])
def test_a_later_file_overrides_only_with_another_value(value: str) -> None:
    """The same value, or another variable, is harmless; a pattern stands for several files."""
    after = evolve(DOCKER_STATE, environment_files=(NODE_ENV, "/etc/x.env"))
    content = {**CONTENT, "/etc/x.env": f"A=1\nHTTPS_PROXY={value}\n".encode()}
    node = checked(content, units=Units(AGENT, after))
    finding = units.problem(node, after)
    assert (finding is None) == (value == PROXY)


def test_a_later_file_that_only_root_can_read_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """For root an unreadable file sets nothing."""
    after = evolve(DOCKER_STATE, environment_files=(NODE_ENV, "/etc/x.env"))
    node = checked({**CONTENT, "/etc/x.env": "cannot be read: Permission denied"}, units=Units(AGENT, after))
    assert units.problem(node, after) is None
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    finding = units.problem(node, after)
    assert finding
    assert (finding.state, finding.text) == (SKIP, "requires root")


def test_only_running_processes_are_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit without a main process, or one that is stopping, has none."""
    monkeypatch.setattr(processes, "environ", lambda pid: lines_of(variables()).replace(b"\n", b"\0"))
    others = [UnitState("kubelet.service", active="deactivating", main_pid=8), UnitState("containerd.service")]
    node = checked(CONTENT, units=Units(DOCKER_STATE, *others))
    assert listed(processes.check(node)) == [(DOCKER, OK)]
    node = checked(CONTENT, units=Units(*others))
    assert listed(processes.check(node)) == [("services", SKIP)]


@pytest.mark.parametrize(("uid", "text"), [(0, "<problem>"), (1000, "requires root")])
def test_an_unreadable_process_is_skipped(monkeypatch: pytest.MonkeyPatch, uid: int, text: str) -> None:
    """For another user than root that is normal."""

    def fail(pid: int) -> bytes:
        raise CommandError("<problem>")

    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(processes, "environ", fail)
    (finding,) = processes.check(checked(CONTENT, units=Units(DOCKER_STATE)))
    assert (finding.state, finding.text) == (SKIP, text)


@pytest.mark.parametrize(("changed_at", "state"), [(None, OK), (9.0, OK), (10.0, OK), (10.5, FAIL)])
def test_a_process_older_than_the_ca_needs_a_restart(
    monkeypatch: pytest.MonkeyPatch, changed_at: float | None, state: str
) -> None:
    """Programs read the trust store when they start; this one started after 10 s."""
    monkeypatch.setattr(processes, "environ", lambda pid: lines_of(variables()).replace(b"\n", b"\0"))
    (finding,) = processes.check(checked(CONTENT, units=Units(DOCKER_STATE), memory=changed_at))
    assert finding.state == state


@pytest.mark.parametrize(("changed_at", "state"), [(None, OK), (10.0, OK), (10.5, FAIL)])
def test_the_list_of_an_earlier_version_is_ok_unless_the_ca_changed(
    monkeypatch: pytest.MonkeyPatch, changed_at: float | None, state: str
) -> None:
    """The restart for the CA brings the new list too."""
    now = variables()["no_proxy"]
    fewer = now.partition(",")[2]
    earlier = lines_of(variables(no_proxy=fewer, NO_PROXY=fewer)).replace(b"\n", b"\0")
    monkeypatch.setattr(processes, "environ", lambda pid: earlier)
    node = checked(CONTENT, units=Units(DOCKER_STATE), memory=changed_at, accepted=(fewer, now))
    assert listed(processes.check(node)) == [(DOCKER, state)]


# --- files


def test_drift_of_a_separate_yum_conf_is_one_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own check has it, with the remedy; here it is not repeated."""
    changes = (files.Change(YUM_CONF, b"a", b"b"), files.Change("/etc/environment", b"a", b"b"))
    monkeypatch.setattr(files, "plan_files", lambda node: Plan(changes))
    monkeypatch.setattr(files, "has_separate_yum_conf", lambda files: True)
    assert listed(files.check(checked())) == [("/etc/environment", FAIL)]
    monkeypatch.setattr(files, "has_separate_yum_conf", lambda files: False)
    assert listed(files.check(checked())) == [(YUM_CONF, FAIL), ("/etc/environment", FAIL)]


@pytest.mark.parametrize(("uid", "state"), [(0, FAIL), (1000, SKIP)])
def test_what_only_root_may_read_is_skipped(monkeypatch: pytest.MonkeyPatch, uid: int, state: str) -> None:
    """A file of the plan, and the baseline; for root both are failures."""
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    denied = "/etc/x: cannot be read: Permission denied"
    monkeypatch.setattr(files, "plan_files", lambda node: Plan(problems=(denied,)))
    assert listed(files.check(checked())) == [("/etc/x", state)]

    def fail(node: object) -> Plan:
        raise FileError(denied)

    monkeypatch.setattr(files, "plan_files", fail)
    assert listed(files.check(checked())) == [("baseline" if uid == 0 else "files", state)]


# --- NO_PROXY


def test_every_reason_without_which_a_node_fails_is_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of a process is node.env, or /etc/environment for a user who may not read that."""
    monkeypatch.setattr(no_proxy, "_libcurl_version", lambda files: (8, 5))
    content = {NODE_ENV: lines_of(variables())}
    found = list(no_proxy.check(checked(content)))
    reasons = {entry.reason for entry in resolved().intent.no_proxy}
    assert listed(found) == [(reason, OK) for reason in no_proxy.REASONS if reason in reasons]
    assert {"metadata", "vpc", "cluster-domain"} <= reasons
    other = {"/etc/environment": lines_of(variables()), NODE_ENV: "cannot be read: Permission denied"}
    assert list(no_proxy.check(checked(other))) == found


@pytest.mark.parametrize(("uid", "text"), [(0, "NO_PROXY is not set (see files)"), (1000, "requires root")])
def test_without_a_list_there_is_one_finding(monkeypatch: pytest.MonkeyPatch, uid: int, text: str) -> None:
    """And none at all without a current Intent."""
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    (finding,) = no_proxy.check(checked())
    assert (finding.name, finding.state, finding.text) == ("list", SKIP, text)
    assert list(no_proxy.check(checked(current=None))) == []
    assert list(no_proxy.check(checked(current=evolve(resolved(), intent=None)))) == []


# --- elsewhere


@pytest.mark.parametrize(("units_line", "state"), [("", FAIL), ('units = ["kubelet"]\n', WARN)])
def test_another_proxy_for_docker_fails_if_docker_is_ours(units_line: str, state: str) -> None:
    """Without docker in node.units it is only a warning."""
    content = {"/etc/docker/daemon.json": b'{"proxies": {"http-proxy": "http://old:1"}}'}
    found = elsewhere.check(checked(content, text=SETTINGS + units_line))
    assert listed(found) == [("/etc/docker/daemon.json", state)]


@pytest.mark.parametrize(("is_from_status", "count"), [(False, 1), (True, 0)])
def test_other_credentials_count_only_if_ours_are_known(is_from_status: bool, count: int) -> None:
    """Without root the desired values have none."""
    unit = f"[Service]\nExecStart=dockerd --http-proxy=http://u:old@{PROXY[7:]} --https-proxy={PROXY}\n"
    content = {"/etc/systemd/system/docker.service": unit.encode()}
    found = [
        finding for finding in elsewhere.check(checked(content, is_from_status=is_from_status)) if finding.state != OK
    ]
    assert len(found) == count


# --- packages


DNF = {"/usr/bin/dnf": b"", DNF_CONF: f"[main]\nproxy={PROXY}\n".encode()}
REPO = "/etc/yum.repos.d/x.repo"


def repository(text: str, **variables: str) -> list[tuple[str, str]]:
    """Return the findings of a repository; variables are those of dnf."""
    content: dict[str, Any] = {**DNF, REPO: text.encode()}
    content.update({f"/etc/dnf/vars/{name}": value.encode() for name, value in variables.items()})
    return [(finding.state, finding.text) for finding in packages.check(checked(content, {YUM_CONF: DNF_CONF}))][1:]


@pytest.mark.parametrize(
    ("text", "is_exempt"),
    [
        ("baseurl=https://repo.internal/x", True),
        ("baseurl=https://repo.corp/x", False),
        ("baseurl=file:///x", False),
        ("baseurl=https://[x/", False),
        ("baseurl=https://repo.corp/x https://repo.internal/y", True),
        ("mirrorlist=https://$host/x", True),
        ("metalink=https://${host}/x", True),
        ("baseurl=https://$other/x", False),
        ("baseurl=https://repo.internal/x\nenabled=0", False),
        ("baseurl=https://repo.internal/x\nenabled=False", False),
        ("baseurl=https://repo.internal/x\nproxy=_none_", False),
    ],
)
def test_exempt_repositories(monkeypatch: pytest.MonkeyPatch, text: str, is_exempt: bool) -> None:
    """dnf of a timer lacks NO_PROXY, and uses the proxy for what is exempt elsewhere."""
    monkeypatch.setattr(no_proxy, "_libcurl_version", lambda files: (8, 5))
    found = repository(f"[a]\n{text}\n", host="repo.internal\n")
    assert [state for state, _ in found] == [WARN] * is_exempt
    assert not is_exempt or "[a] (repo.internal)" in found[0][1]


def test_variables_of_dnf_precede_those_of_yum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both directories are read."""
    content = {"/etc/dnf/vars/a": b"1\n", "/etc/yum/vars/a": b"2", "/etc/yum/vars/b": b" 3 \n", "/etc/yum/vars/c": "x"}
    assert packages._variables(checked(content).host.files) == {"a": "1", "b": "3", "c": ""}
