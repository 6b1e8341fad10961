"""`apply` on a node that runs: its daemon, and the units that run with an old environment."""

from __future__ import annotations

import argparse
import contextlib
import sys

from agent.core.systemd import AGENT, ALIVE, UnitState
from agent.errors import AgentError, CommandError, LockedError, UsageError
from agent.node.budget import BOOT
from agent.node.host import Host
from agent.node.reconcile import ReconcileResult
from agent.node.status_file import save_units
from agent.node.units import Outcome, Restart, node_outdated, restart_stale

#: Exit code if a unit that had to be restarted still has its old environment.
PENDING = 3
#: Seconds beyond the budget of a boot until its start counts as failed.
_GRACE = 40.0
_NAME = AGENT.partition(".")[0]


def check_flags(host: Host, arguments: argparse.Namespace) -> None:
    """Raise UsageError if --start or --restart makes no sense for this host or with other flags."""
    for flag in ("start", "restart"):
        if getattr(arguments, flag) and not host.files.live:
            raise UsageError(f"--{flag}: nothing runs in --root {arguments.root}; run it on the node")
        if getattr(arguments, flag) and not host.units.running:
            raise UsageError(f"--{flag}: systemd does not run here; run it on the node")
    if arguments.start and (arguments.once or arguments.config):
        other = "--once" if arguments.once else "--config"
        raise UsageError(f"--start: the daemon would not know {other} and undo it; leave out one of them")


def start_daemon(host: Host, result: ReconcileResult) -> None:
    """Enable the daemon and start it, and wait until it has configured the node; print that.

    Nothing is done if it is enabled and runs.  Raises AgentError.
    """
    unit = _daemon(host)
    if unit is None:
        raise AgentError(f"{AGENT}: not installed, so it cannot be started", hint="install the package eks-proxy-agent")
    timeout = (result.settings.metadata.deadline or BOOT) + _GRACE
    try:
        if unit.enabled != "enabled":  # systemctl runs all generators again, also if there is nothing to enable
            host.units.enable_now(AGENT, timeout=timeout)
            print(f"enabled {AGENT} and started it")
        elif unit.active not in ALIVE:
            host.units.start_and_wait(AGENT, timeout=timeout)
            print(f"started {AGENT}")
    except CommandError as error:
        raise CommandError(str(error), hint=f"read its log: journalctl --unit {_NAME}") from None


def print_daemon_warning(host: Host) -> None:
    """Print a warning if the daemon does not run, or the next boot does not start it."""
    try:
        unit = _daemon(host)
    except CommandError as error:
        print(f"warning: cannot determine whether {AGENT} runs: {error}", file=sys.stderr)
        return
    problem = daemon_problem(unit) if unit else ""
    if problem:
        print(f"warning: {problem}", file=sys.stderr)


def daemon_problem(unit: UnitState) -> str:
    """Return what is missing while the daemon is in this state, with the command; or ""."""
    is_alive, is_enabled = unit.active in ALIVE, unit.enabled == "enabled"
    if is_alive and is_enabled:
        return ""
    if unit.enabled.startswith("masked"):
        return f"{AGENT} is masked, so it does not run. Unmask it: systemctl unmask {_NAME}"
    if is_alive:
        return f"{AGENT} is not enabled, so the next boot does not start it. Enable it: systemctl enable {_NAME}"
    if is_enabled:
        text = f"{AGENT} is not running, so nothing repairs these files before the next boot"
        return f"{text}. Start it: systemctl start {_NAME}, or: eks-proxy-agent apply --start"
    text = f"{AGENT} is neither enabled nor running, so nothing repairs these files or follows changes"
    return f"{text}. Start it: systemctl enable --now {_NAME}, or: eks-proxy-agent apply --start"


def restart_units(host: Host, result: ReconcileResult) -> int:
    """Restart the stale units by the rules of watch.restart; print each, and return the exit code.

    That is 1 if a restart failed, and 3 if a unit keeps its old environment.
    """
    intent = result.intent
    if intent is None:
        return 0
    restarts = restart_stale(
        host,
        result.resolved.facts.instance_id,
        intent,
        lambda: node_outdated(host, result.settings, intent).stale,
        _print_restart,
    )
    if any(restart.outcome is Outcome.FAILED for restart in restarts):
        return AgentError.exit_code
    return PENDING if print_stale(host, result) else 0


def _print_restart(restart: Restart) -> None:
    if restart.outcome is Outcome.RESTARTED:
        print(f"restarted {restart.unit}", flush=True)
    else:
        level = "error" if restart.outcome is Outcome.FAILED else "warning"
        print(f"{level}: {restart.unit} was not restarted: {restart.reason}", file=sys.stderr)


def print_stale(host: Host, result: ReconcileResult) -> tuple[str, ...]:
    """Print the units that run with an old environment, save them in status.json, and return them.

    All files are written by then, so a missing permission is a warning and not a failure.
    """
    try:
        units = node_outdated(host, result.settings, result.intent)
    except CommandError as error:
        print(f"warning: cannot determine which units run with an old environment: {error}", file=sys.stderr)
        return ()
    for name in units.stale:
        remedy = f"Restart it at a convenient time: systemctl restart {name}"
        print(f"{name} runs with an old environment. {remedy}", file=sys.stderr)
    if host.files.live:
        with contextlib.suppress(LockedError), host.locked() as state:  # the cycle that holds the lock saves them too
            save_units(state, units)
    return units.stale


def _daemon(host: Host) -> UnitState | None:
    """Return the daemon's unit, None if it is not installed.

    systemd does not load a masked unit.
    """
    unit = host.units.show([AGENT]).get(AGENT)
    return unit if unit and (unit.exists or unit.enabled.startswith("masked")) else None
