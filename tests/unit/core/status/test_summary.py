"""The screen of `status`, as a person sees it."""

import re

import pytest

from agent.core.status.document import StatusDocument
from agent.core.status.node_view import DaemonStatus, NodeView
from agent.core.status.records import BootstrapStatus
from agent.core.status.summary import screen
from agent.core.status.timestamps import parse_timestamp

NOW = parse_timestamp("2026-11-22T20:35:05+00:00")
DROP_IN = "/etc/systemd/system/%s.service.d/90-eks-proxy.conf"

WELL = {
    "schema": 1,
    "version": "1.2.3",
    "phase": "configured",
    "error": None,
    "updated": "2026-11-22T20:31:05+00:00",
    "since": "2026-11-22T17:31:05+00:00",
    "last_success": "2026-11-22T20:31:05+00:00",
    "next_pass": "2026-11-22T20:41:05+00:00",
    "instance_id": "i-0a1b2c3d4e5f60718",
    "region": "eu-central-1",
    "intent": "349dd264e6c3",
    "proxy": {"http": "http://one.corp:3128", "https": "http://one.corp:3128"},
    "no_proxy": [
        {"entry": "localhost", "reason": "loopback"},
        {"entry": "127.0.0.1", "reason": "loopback"},
        {"entry": "10.42.0.0/16", "reason": "vpc"},
    ],
    "files": [{"path": "/etc/environment", "state": "ok"}, {"path": DROP_IN % "docker", "state": "ok"}],
    "units": [{"unit": "docker.service", "state": "active"}, {"unit": "sandbox-image.service", "state": "absent"}],
    "warnings": [],
    "stale_units": [],
    "repairs": {"total": 2, "fought": []},
    "proxies": [
        {
            "url": "http://one.corp:3128",
            "up": True,
            "latency_seconds": 0.012,
            "chosen": True,
            "since": None,
            "text": "",
        },
        {
            "url": "http://two.corp:3128",
            "up": False,
            "latency_seconds": None,
            "chosen": False,
            "since": "2026-11-22T20:30:00+00:00",
            "text": "http://two.corp:3128: Connection refused",
        },
    ],
    "preflight": {"ok": True, "kind": "ok", "text": "", "hint": "", "at": "2026-11-22T17:31:07+00:00"},
    "metrics": {"path": "/var/lib/node_exporter/textfile_collector/eks_proxy_agent.prom", "error": None},
    "daemon": {"state": "active", "enabled": "enabled", "pid": 412},
    "bootstrap": {"exit_code": 0, "signalled": True, "time": "2026-11-22T17:33:00+00:00"},
    "held_units": [],
}

CONFIGURED = """\
phase      configured for 3 h
           services that start now use the proxy; no action needed
proxy      http://one.corp:3128  in use, up, 12 ms
           http://two.corp:3128  DOWN for 5 min, Connection refused
preflight  ok, 3 h ago
daemon     running (pid 412), last reconcile 4 min ago, next in 6 min
intent     349dd264e6c3, 3 NO_PROXY entries (reasons: status --full)
files      2, all as written, 2 repaired since power-on
units      docker.service active
bootstrap  exit code 0, 3 h ago; cfn-signal sent
metrics    /var/lib/node_exporter/textfile_collector/eks_proxy_agent.prom
instance   i-0a1b2c3d4e5f60718 in eu-central-1
"""

STALE = """\
phase      configured for 3 h
           services that start now use the proxy
to do      docker.service runs with an old environment. Restart it at a convenient time: systemctl restart docker.service
           Another program keeps changing /etc/yum.conf, so the agent leaves it alone. Find that program, then: systemctl reload eks-proxy-agent
proxy      http://one.corp:3128  in use, health unknown
           http://two.corp:3128  for https:// URLs
daemon     running (pid 412), last reconcile 4 min ago, next in 6 min
intent     349dd264e6c3, 3 NO_PROXY entries (reasons: status --full)
files      2, 1 not as written, 7 repaired since power-on
file       /etc/yum.conf                                                changed since
units      docker.service active
metrics    watch.metrics: /srv/metrics is not a directory
instance   i-0a1b2c3d4e5f60718 in eu-central-1
warning    proxy.no_proxy: "nexus.corp:8443" has a port
"""

DEGRADED = """\
phase      degraded for 12 min
           the last reconcile failed; the last good values stay in force
error      /etc/environment: line 1: invalid UTF-8
           /etc/yum.conf: is a directory
to do      Fix the error above. The agent retries by itself; to retry now: systemctl reload eks-proxy-agent
"""

CLOSED = """\
phase      degraded for 12 min
           the last reconcile failed; there are no earlier values
           failure.policy = "closed": docker.service, kubelet.service cannot start until a reconcile succeeds
error      no metadata
to do      Fix the error above. The agent retries by itself; to retry now: systemctl reload eks-proxy-agent
daemon     starting (pid 99), last reconcile 4 min ago
"""

UNCONFIGURED = """\
phase      unconfigured for 3 h
           no proxy.url in the settings; nothing is written
to do      If this node needs a proxy, set proxy.url in /etc/eks-proxy-agent/config.toml, then: systemctl reload eks-proxy-agent
daemon     running (pid 412), last reconcile 4 min ago, next in 6 min
instance   i-0a1b2c3d4e5f60718 in eu-central-1
"""

DEAD = """\
phase      configured for 3 h
           services that start now use the proxy
to do      The daemon is not running, so nothing repairs the files. Start it: systemctl start eks-proxy-agent
proxy      http://one.corp:3128  in use, up, 12 ms
           http://two.corp:3128  DOWN for 5 min, Connection refused
preflight  ok, 3 h ago
daemon     NOT RUNNING (failed), last reconcile 4 min ago
"""

HANGING = """\
to do      The daemon's reconcile is 2 h overdue. Read its log: journalctl -u eks-proxy-agent. Restart it (docker keeps running): systemctl restart eks-proxy-agent
"""

NOT_RUN = """\
phase      not run
           no reconcile since power-on, or the agent's changes were reverted
to do      The daemon is not running, so nothing repairs the files. Start it: systemctl enable --now eks-proxy-agent
daemon     NOT RUNNING (inactive)
"""

NOTHING_KNOWN = {"schema": 1, "phase": "not run", "error": None, "files": [], "units": [], "held_units": []}
NOT_ASKED = {"preflight": None, "bootstrap": None}


def view(status):
    """The NodeView whose JSON this is."""
    daemon, bootstrap = status.get("daemon"), status.get("bootstrap")
    return NodeView(
        StatusDocument.from_json({"schema": 1, **status}),
        files={one["path"]: one["state"] for one in status.get("files", [])},
        units={one["unit"]: one["state"] for one in status.get("units", [])},
        daemon=DaemonStatus(daemon["state"], daemon["enabled"], daemon.get("pid")) if daemon else None,
        bootstrap=BootstrapStatus.from_json(bootstrap) if bootstrap else None,
        held_units=tuple(status.get("held_units", [])),
    )


def shown(status, full=False, now=NOW):
    """The screen as text."""
    lines = (f"{line.label:<10} {line.text}".rstrip() for line in screen(view(status), now, full=full))
    return "".join(line + "\n" for line in lines)


def test_configured():
    """A node that is well says so in its second line, and shows what that rests on."""
    assert shown(WELL) == CONFIGURED


def test_stale_units_and_fought_files():
    """Each thing to do stands near the top with its command, the evidence below."""
    status = {
        **WELL,
        **NOT_ASKED,
        "proxies": None,
        "proxy": {"http": "http://one.corp:3128", "https": "http://two.corp:3128"},
        "files": [WELL["files"][0], {"path": "/etc/yum.conf", "state": "changed since"}],
        "stale_units": ["docker.service"],
        "repairs": {"total": 7, "fought": ["/etc/yum.conf"]},
        "metrics": {
            "path": "/srv/metrics/eks_proxy_agent.prom",
            "error": "watch.metrics: /srv/metrics is not a directory",
        },
        "warnings": ['proxy.no_proxy: "nexus.corp:8443" has a port'],
    }
    assert shown(status) == STALE


def test_degraded():
    """All errors, what they mean for the node, and the way out come first."""
    errors = "/etc/environment: line 1: invalid UTF-8\n/etc/yum.conf: is a directory"
    status = {**WELL, "phase": "degraded", "since": "2026-11-22T20:23:05+00:00", "error": errors}
    assert shown(status).startswith(DEGRADED)


def test_degraded_with_the_closed_policy():
    """Units that are held back are named, because that is why the node is empty."""
    status = {
        "phase": "degraded",
        "error": "no metadata",
        "since": "2026-11-22T20:23:05+00:00",
        "updated": WELL["updated"],
        "daemon": {"state": "activating", "enabled": "enabled", "pid": 99},
        "held_units": ["docker.service", "kubelet.service"],
    }
    assert shown(status) == CLOSED


def test_unconfigured():
    """Without a proxy the node is left as it is, and the screen says how it gets one."""
    nothing = {"intent": None, "proxy": None, "no_proxy": [], "files": [], "units": [], "proxies": []}
    status = {**WELL, **NOT_ASKED, **nothing, "phase": "unconfigured", "metrics": None, "repairs": None}
    assert shown(status) == UNCONFIGURED


def test_a_dead_daemon():
    """What a dead daemon left is shown as what it is: of the past."""
    status = {**WELL, "daemon": {"state": "failed", "enabled": "enabled", "pid": None}}
    assert shown(status).startswith(DEAD)


def test_a_dead_daemon_on_a_degraded_node():
    """A daemon that ended at wrong settings has to be started again: reload would do nothing."""
    status = {**WELL, "phase": "degraded", "error": "x", "daemon": {"state": "failed", "enabled": "enabled"}}
    text = shown(status)
    assert "to do      Fix the error above, then: systemctl start eks-proxy-agent\n" in text
    assert text.count("systemctl start") == 1


def test_a_daemon_that_hangs():
    """A daemon that is active and has missed its own next pass is not taken for one that is
    well.
    """
    assert HANGING in shown(WELL, now=NOW + 2 * 3600 + 600)


def test_before_the_first_pass():
    """A node on which nothing ran says what to start."""
    assert shown({**NOTHING_KNOWN, "daemon": {"state": "inactive", "enabled": "disabled", "pid": None}}) == NOT_RUN


def test_before_the_first_pass_without_systemd():
    """In a tree where no daemon can run the command is named instead."""
    assert "to do      Configure the node: eks-proxy-agent apply\n" in shown(NOTHING_KNOWN)


def test_files_that_only_root_can_judge():
    """For others the files are not a list of alarms, but one line."""
    files = [{"path": f"/etc/{at}", "state": "unknown (root can tell)"} for at in range(3)]
    text = shown({**WELL, "files": files})
    assert "files      3, 3 readable by root only, 2 repaired since power-on\n" in text
    assert "/etc/1" not in text
    assert "/etc/1 " in shown({**WELL, "files": files}, full=True)


def test_full_names_everything():
    """With --full each entry stands with its reason, each file and each unit with its state."""
    lines = [line.split() for line in shown(WELL, full=True).splitlines()]
    assert ["no_proxy", "loopback", "localhost", "127.0.0.1"] in lines
    assert ["vpc", "10.42.0.0/16"] in lines
    assert ["file", "/etc/environment", "ok"] in lines
    assert ["unit", "sandbox-image.service", "absent"] in lines


@pytest.mark.parametrize(
    ("changed", "task"),
    [
        ({"proxies": [{"url": "http://one.corp:3128", "up": False, "chosen": True}]}, "No proxy is up"),
        (
            {"preflight": {"ok": False, "kind": "denied", "text": "403", "at": None}},
            "The preflight failed",
        ),
        ({"bootstrap": {"exit_code": 1, "signalled": False, "time": WELL["updated"]}}, "bootstrap.sh failed"),
    ],
)
def test_each_trouble_has_its_command(changed, task):
    """What is wrong is in the list of things to do, with a command to run."""
    text = shown({**WELL, **changed})
    assert re.search(f"^to do +.*{re.escape(task)}.*eks-proxy-agent", text, re.MULTILINE)


def test_a_bootstrap_that_has_not_ended():
    """A bootstrap.sh that runs, or that was killed, is not called a success."""
    text = shown({**WELL, "bootstrap": {"exit_code": None, "signalled": False, "time": WELL["updated"]}})
    assert "bootstrap  started 4 min ago, not finished\n" in text


def test_a_clock_that_was_set_back():
    """Moments ahead of the clock are called so."""
    assert "last reconcile 56 min in the future by this clock" in shown(WELL, now=NOW - 3600)


def test_it_is_one_screen():
    """A node that is well fits into 24 lines of 100 columns."""
    lines = shown(WELL).splitlines()
    assert len(lines) < 24
    assert max(map(len, lines)) <= 100


def test_green_is_for_a_node_that_is_well():
    """The phase is good only when nothing is left to do."""
    tones = {line.tone for line in screen(view(WELL), NOW) if line.label == "phase"}
    stale = {line.tone for line in screen(view({**WELL, "stale_units": ["a.service"]}), NOW) if line.label == "phase"}
    assert (tones, stale) == ({"good"}, {"warn"})
