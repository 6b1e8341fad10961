"""What `status` tells a person to do, each task with its command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.status.timestamps import epoch, span

DAEMON = "eks-proxy-agent"
CONFIG = "/etc/eks-proxy-agent/config.toml"
#: Seconds that a pass may be late before the daemon counts as one that hangs.
PATIENCE = 120.0
#: ActiveState of a daemon that is alive.
_ALIVE = ("active", "activating", "reloading")

Status = Mapping[str, Any]


def to_do(status: Status, now: float) -> list[str]:
    """What a person has to do, or should; each with its command."""
    tasks = _for_the_phase(status) + _for_the_daemon(status, now)
    tasks += [
        f"{name} still runs with old settings; when it suits you: systemctl restart {name}"
        for name in status.get("stale_units") or ()
    ]
    tasks += [
        f"{path} is changed again and again by something else, and left alone; find it, then: {_again(status)}"
        for path in (status.get("repairs") or {}).get("fought") or ()
    ]
    known = [one for one in status.get("proxies") or () if one.get("up") is not None]
    if known and not any(one["up"] for one in known):
        tasks.append("no proxy answers; what stands in the way: eks-proxy-agent check")
    elif (status.get("preflight") or {}).get("ok") is False:
        hint = (status["preflight"].get("hint") or "").rstrip(".")
        reason = "the proxy gave no connection after the boot" + ("; " + hint if hint else "")
        tasks.append(reason + "; how it is now: eks-proxy-agent check")
    if (status.get("bootstrap") or {}).get("exit_code"):
        once_more = "once more: eks-proxy-agent bootstrap --again"
        tasks.append("bootstrap.sh failed: journalctl -u eks-proxy-agent-bootstrap; " + once_more)
    return tasks


def _for_the_phase(status: Status) -> list[str]:
    phase = status.get("phase")
    if phase == "degraded":
        if alive(status):
            return [f"mend what the error names; it is tried again by itself, and at once by: {_again(status)}"]
        return [f"mend what the error names, then: {_again(status)}"]
    if phase == "unconfigured":
        return [f"if the node is to use a proxy: set proxy.url in {CONFIG}, then: {_again(status)}"]
    if phase == "not run" and not status.get("daemon"):
        return ["eks-proxy-agent apply"]
    return []


def _for_the_daemon(status: Status, now: float) -> list[str]:
    daemon = status.get("daemon")
    if not daemon:
        return []
    if not alive(status) and status.get("phase") == "degraded":
        return []  # the command is the same
    if not alive(status):
        enable = "enable --now" if daemon.get("enabled") not in ("enabled", "") else "start"
        return [f"the daemon is not running, nothing keeps the files as they are: systemctl {enable} {DAEMON}"]
    due = epoch(status.get("next_pass"))
    if due is not None and now - due > PATIENCE:
        remedy = f"journalctl -u {DAEMON}; systemctl restart {DAEMON} (docker keeps running)"
        return [f"the daemon has missed its pass by {span(now - due)}: {remedy}"]
    return []


def alive(status: Status) -> bool:
    return (status.get("daemon") or {}).get("state") in _ALIVE


def _again(status: Status) -> str:
    """The command that makes the agent look at the node now."""
    if not status.get("daemon"):
        return "eks-proxy-agent apply"
    return "systemctl {} {}".format("reload" if alive(status) else "start", DAEMON)
