"""The screen of `status`.  The golden file has it for nodes in many states; accept a change with
ACCEPT=1 pytest tests/unit/core/status/test_summary.py
"""

import os
from pathlib import Path

import pytest

from agent.core.status.document import StatusDocument
from agent.core.status.node_view import DaemonStatus, NodeView
from agent.core.status.records import BootstrapStatus
from agent.core.status.summary import screen
from agent.core.status.timestamps import parse_timestamp
from tests import status_schema

GOLDEN = Path(__file__).parent / "golden/screens.txt"
NOW = parse_timestamp("2026-11-22T20:35:05+00:00")
DROP_IN = "/etc/systemd/system/%s.service.d/zz-eks-proxy.conf"
FIRST, SECOND = "http://one.corp:3128", "http://two.corp:3128"


def proxy(url, up, chosen, since=None, text=""):
    """A proxy as status.json has it."""
    latency = 0.012 if up else None
    return {"url": url, "up": up, "latency_seconds": latency, "chosen": chosen, "since": since, "text": text}


HEALTHY = {
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
    "proxy": {"http": FIRST, "https": FIRST},
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
        proxy(FIRST, True, True),
        proxy(SECOND, False, False, "2026-11-22T20:30:00+00:00", f"{SECOND}: Connection refused"),
    ],
    "preflight": {"ok": True, "kind": "ok", "text": "", "hint": "", "at": "2026-11-22T17:31:07+00:00"},
    "metrics": {
        "path": "/var/lib/node_exporter/textfile_collector/eks_proxy_agent.prom",
        "paths": ["/var/lib/node_exporter/textfile_collector/eks_proxy_agent.prom"],
        "error": None,
        "reason": None,
        "copy": "/run/eks-proxy-agent/metrics.prom",
    },
    "kept_flags": 1,
    "ca_not_after": "2031-11-22T00:00:00+00:00",
    "counters": {
        "passes": {"configured": 12, "unconfigured": 0, "degraded": 3},
        "failures": {"settings": 0, "metadata": 2, "file": 0, "command": 0, "crash": 1, "other": 0},
        "failovers": 1,
        "restarts": {"restarted": 1, "refused": 0, "failed": 0},
        "probes": {"up": 30, "down": 4},
    },
    "daemon": {"state": "active", "enabled": "enabled", "pid": 412},
    "bootstrap": {"exit_code": 0, "signalled": True, "time": "2026-11-22T17:33:00+00:00"},
    "signal": None,
    "held_units": [],
}
#: nodeadm has joined it to the cluster.
JOINED = {
    **HEALTHY,
    "bootstrap": None,
    "signal": {"exit_code": 0, "signalled": True, "time": "2026-11-22T17:33:00+00:00"},
}
#: What the settings alone give: a node without a proxy.
WITHOUT_PROXY = {
    "intent": None,
    "proxy": None,
    "no_proxy": [],
    "files": [],
    "units": [],
    "proxies": [],
    "preflight": None,
    "bootstrap": None,
    "metrics": {"path": None, "error": None, "reason": "watch.metrics is empty"},
    "repairs": {"total": 0, "fought": []},
}
DEGRADED = {**HEALTHY, "phase": "degraded", "since": "2026-11-22T20:23:05+00:00"}
#: A node whose first reconcile failed: only these keys are known.
NEVER_CONFIGURED = {
    **{key: DEGRADED[key] for key in ("schema", "version", "phase", "since", "updated")},
    "error": "instance metadata service at http://169.254.169.254 did not respond: timed out after 30 s",
    "files": [],
    "units": [],
    "daemon": {"state": "activating", "enabled": "enabled", "pid": 99},
    "bootstrap": None,
    "signal": None,
    "held_units": [],
}
NOT_RUN = {
    "schema": 1,
    "phase": "not run",
    "error": None,
    "files": [],
    "units": [],
    "daemon": None,
    "bootstrap": None,
    "signal": None,
    "held_units": [],
}
DOWN = "Connection refused"

#: Name → status as JSON, the time (seconds after NOW) and True for --full.
SCREENS = {
    "configured": (HEALTHY, 0, False),
    "configured, with --full": (HEALTHY, 0, True),
    "stale unit": ({**HEALTHY, "stale_units": ["docker.service", "kubelet.service"]}, 0, False),
    "after an upgrade that added to NO_PROXY": (
        {**HEALTHY, "deferred_units": ["containerd.service", "docker.service"]},
        0,
        False,
    ),
    "contested file": (
        {
            **HEALTHY,
            "files": [HEALTHY["files"][0], {"path": "/etc/yum.conf", "state": "changed since"}],
            "repairs": {"total": 7, "fought": ["/etc/yum.conf"]},
        },
        0,
        False,
    ),
    "degraded, with earlier values": (
        {**DEGRADED, "error": "/etc/environment: line 1: invalid UTF-8\n/etc/yum.conf: is a directory"},
        0,
        False,
    ),
    "degraded, without earlier values": (NEVER_CONFIGURED, 0, False),
    "degraded, policy closed": (
        {**NEVER_CONFIGURED, "held_units": ["docker.service", "kubelet.service"]},
        0,
        False,
    ),
    "degraded, daemon not running": (
        {
            **DEGRADED,
            "error": "/etc/eks-proxy-agent/config.toml: proxy.url: must not be empty",
            "daemon": {"state": "failed", "enabled": "enabled", "pid": None},
        },
        0,
        False,
    ),
    "unconfigured": ({**HEALTHY, **WITHOUT_PROXY, "phase": "unconfigured"}, 0, False),
    "health of the proxies unknown, another one for https": (
        {**HEALTHY, "proxy": {"http": FIRST, "https": SECOND}, "proxies": None, "preflight": None},
        0,
        False,
    ),
    "all proxies down": (
        {
            **HEALTHY,
            "proxies": [
                proxy(FIRST, False, True, "2026-11-22T20:31:00+00:00", f"{FIRST}: {DOWN}"),
                proxy(SECOND, False, False, "2026-11-22T20:30:00+00:00", f"{SECOND}: {DOWN}"),
            ],
        },
        0,
        False,
    ),
    "preflight failed": (
        {
            **HEALTHY,
            "preflight": {
                "ok": False,
                "kind": "credentials",
                "text": f"{FIRST}: 407 Proxy Authentication Required",
                "hint": "check proxy.credentials_file.",
                "at": "2026-11-22T17:31:07+00:00",
            },
        },
        0,
        False,
    ),
    "bootstrap failed": (
        {**HEALTHY, "bootstrap": {"exit_code": 7, "signalled": False, "time": "2026-11-22T17:33:00+00:00"}},
        0,
        False,
    ),
    "bootstrap running": (
        {**HEALTHY, "bootstrap": {"exit_code": None, "signalled": False, "time": "2026-11-22T20:31:05+00:00"}},
        0,
        False,
    ),
    "waiting for kubelet": (
        {**JOINED, "signal": {"exit_code": None, "signalled": False, "time": "2026-11-22T20:31:05+00:00"}},
        0,
        False,
    ),
    "kubelet is healthy": (JOINED, 0, False),
    "kubelet was not healthy, and the signal was refused": (
        {
            **JOINED,
            "signal": {
                "exit_code": 124,
                "signalled": False,
                "time": "2026-11-22T17:48:00+00:00",
                "refused": "ValidationError: Stack blue does not exist",
            },
        },
        0,
        False,
    ),
    "daemon not running": (
        {**HEALTHY, "daemon": {"state": "failed", "enabled": "enabled", "pid": None}},
        0,
        False,
    ),
    "daemon hangs": (HEALTHY, 2 * 3600 + 600, False),
    "not run": ({**NOT_RUN, "daemon": {"state": "inactive", "enabled": "disabled", "pid": None}}, 0, False),
    "not run, without systemd": (NOT_RUN, 0, False),
    "configured by apply, without systemd": ({**HEALTHY, "daemon": None}, 0, False),
    "read without root": (
        {**HEALTHY, "files": [{**file, "state": "unknown (root can tell)"} for file in HEALTHY["files"]]},
        0,
        False,
    ),
    "metrics not written, warning about the settings": (
        {
            **HEALTHY,
            "metrics": {
                **HEALTHY["metrics"],
                "path": "/srv/metrics/eks_proxy_agent.prom",
                "paths": ["/srv/metrics/eks_proxy_agent.prom"],
                "error": "watch.metrics: /srv/metrics is not a directory",
            },
            "warnings": ['proxy.no_proxy: "nexus.corp:8443" has a port'],
        },
        0,
        False,
    ),
    "metrics without a collector": (
        {
            **HEALTHY,
            "metrics": {
                "path": None,
                "error": None,
                "reason": "no directory of a textfile collector (/a, /b); see watch.metrics",
                "copy": "/run/eks-proxy-agent/metrics.prom",
            },
        },
        0,
        False,
    ),
    "metrics for two collectors": (
        {
            **HEALTHY,
            "metrics": {**HEALTHY["metrics"], "paths": ["/a/eks_proxy_agent.prom", "/b/eks_proxy_agent.prom"]},
        },
        0,
        False,
    ),
    "clock set back": (HEALTHY, -3600, False),
}


def view(status):
    """The NodeView with this JSON."""
    daemon, bootstrap, signal = (status.get(key) for key in ("daemon", "bootstrap", "signal"))
    return NodeView(
        StatusDocument.from_json(status),
        files={file["path"]: file["state"] for file in status["files"]},
        units={unit["unit"]: unit["state"] for unit in status["units"]},
        daemon=DaemonStatus(daemon["state"], daemon["enabled"], daemon["pid"]) if daemon else None,
        bootstrap=BootstrapStatus.from_json(bootstrap) if bootstrap else None,
        signal=BootstrapStatus.from_json(signal) if signal else None,
        held_units=tuple(status["held_units"]),
    )


def shown(status, later=0, full=False):
    """The screen as text, `later` seconds after NOW."""
    lines = (f"{line.label:<10} {line.text}".rstrip() for line in screen(view(status), NOW + later, full=full))
    return "".join(line + "\n" for line in lines)


def all_screens():
    """The content of the golden file."""
    return "\n".join(f"=== {name}\n{shown(*case)}" for name, case in SCREENS.items())


def test_the_screens_match_the_golden_file():
    """Each state of a node has the screen that was accepted."""
    if os.environ.get("ACCEPT") == "1":
        GOLDEN.write_text(all_screens())
    assert all_screens().splitlines() == GOLDEN.read_text().splitlines()


@pytest.mark.parametrize("name", SCREENS)
def test_the_golden_file_shows_valid_states(name):
    """The JSON of each state matches docs/status.schema.json."""
    status = {key: value for key, value in SCREENS[name][0].items() if (key, value) != ("proxies", None)}
    assert status_schema.problems(status) == []


@pytest.mark.parametrize("name", SCREENS)
def test_every_task_has_a_command(name):
    """A task that does not show a command is of no use at three in the morning."""
    lines = screen(view(SCREENS[name][0]), NOW + SCREENS[name][1])
    tasks = [line.text for line in lines if line.tone == "warn" and line.text[:1].isupper()]
    assert all(": systemctl " in task or ": eks-proxy-agent " in task for task in tasks)


def test_a_task_is_not_listed_twice():
    """On a degraded node with a dead daemon, one task starts the daemon; reload would fail."""
    assert shown(*SCREENS["degraded, daemon not running"]).count("systemctl start") == 1


def test_a_healthy_node_fits_on_the_screen():
    """A healthy node needs less than 24 lines of 100 columns."""
    lines = shown(HEALTHY).splitlines()
    assert len(lines) < 24
    assert max(map(len, lines)) <= 100


def test_the_phase_is_green_only_without_tasks():
    """A configured node with a task is shown as a warning."""
    stale = {**HEALTHY, "stale_units": ["a.service"]}
    tones = [screen(view(status), NOW)[0].tone for status in (HEALTHY, stale)]
    assert tones == ["good", "warn"]
