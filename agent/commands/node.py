"""The commands `apply`, `plan` and `revert`, and their output."""

from __future__ import annotations

import argparse
import json
import posixpath
import sys

from agent.commands import late_start
from agent.core.intent.inputs import Resolved
from agent.core.noproxy.lint import advice
from agent.core.plan.diff import unified
from agent.core.plan.plan import Plan
from agent.core.status.document import entries_to_json
from agent.core.systemd import AGENT, considered, enabling
from agent.errors import FileError
from agent.node import kept_flags
from agent.node.apply import apply
from agent.node.elsewhere import place_warnings
from agent.node.host import Host, host_of, need_root
from agent.node.inputs import credentials_notes, facts_of, load_inputs
from agent.node.metrics_file import withdraw
from agent.node.overrides import override_warnings
from agent.node.planning import changed_paths, node_files, plan_node, plan_revert
from agent.node.reachability import unprobed_notes
from agent.node.reconcile import (
    ReconcileResult,
    Trigger,
    compose_intent,
    forget_network,
    probe,
    reconcile,
    require_proxy,
)
from agent.node.sources import StaticSettings, sources_of, static_settings
from agent.node.units import release_units, running_units
from agent.node.waiting import order_warnings

PENDING = 3
DAEMON = AGENT


def apply_command(arguments: argparse.Namespace) -> int:
    """Configure the node and print the changes."""
    host = host_of(arguments)
    need_root(host, "apply")
    late_start.check_flags(host, arguments)
    print_losses(host, "baseline.json", "flags.json")
    static = static_settings(host.files, sources_of(arguments))
    facts = facts_of(static)
    if arguments.forget:
        with host.locked() as state:
            for name in kept_flags.forget(state, facts.instance_id, arguments.forget):
                print(f"dropped the kept flag {name}")
    if arguments.refresh:
        with host.locked() as state:
            forget_network(state, facts.instance_id)
    result = reconcile(host, static, facts, Trigger.COMMAND)
    print_changes(host, result.plan)
    for warning in _warnings(host, result):
        print("warning: " + warning, file=sys.stderr)
    result.raise_unit_problems()
    _print_result(host, static, result)
    if arguments.start:
        late_start.start_daemon(host, result)
    elif result.intent:
        late_start.print_daemon_warning(host)
    code = 0
    if arguments.restart:
        code = late_start.restart_units(host, result)
    else:
        late_start.print_stale(host, result)
    result.raise_problems()
    return code


def _print_result(host: Host, static: StaticSettings, result: ReconcileResult) -> None:
    """Start units that were held back, and print what became of the node."""
    if result.intent is None:
        meaning = "nothing is written" if result.plan.empty else "the agent's changes were reverted"
        print("unconfigured: no proxy.url in the settings; " + meaning, file=sys.stderr)
    released = release_units(host, result.settings, result.plan)
    for name in released:
        print(f"started {name}")
    if result.intent is None:
        return
    if result.plan.empty and not result.problems and not released:
        print("nothing to do: the node is as planned")
    if static.sources.config and host.files.live and static.sources.keep:
        text = "warning: --config is not kept for the next boot; copy the file to /etc/eks-proxy-agent/config.toml"
        print(text, file=sys.stderr)


def _warnings(host: Host, result: ReconcileResult) -> tuple[str, ...]:
    resolved = result.resolved
    warnings = resolved.problems + resolved.warnings + result.unit_warnings
    is_elsewhere = not resolved.inputs.on_instance
    return warnings + (credentials_notes(host, result.settings, "for --root or --facts") if is_elsewhere else ())


def plan_command(arguments: argparse.Namespace) -> int:
    """Print what `apply` would do; return 3 if there are changes."""
    host = host_of(arguments)
    print_losses(host, "baseline.json", "flags.json")
    static = static_settings(host.files, sources_of(arguments))
    inputs = load_inputs(host, static, facts_of(static))
    resolved = compose_intent(inputs, probe(host, inputs))
    require_proxy(resolved)
    settings = resolved.settings if resolved.intent else None
    files = node_files(host, resolved)
    plan = plan_node(host, files, settings)
    actions = _unit_actions(host, plan)
    rule = enabling(settings, host.units.show(considered(settings))).rule if settings else ""
    if arguments.json:
        print(json.dumps({**_plan_json(resolved, plan, actions), "node_enable": rule or None}, indent=2))
    else:
        for change in plan.changes:
            sys.stdout.write(unified(change))
        for action in actions:
            print(action)
    messages = ["node.ca_bundle: " + summary for summary in (inputs.ca.summaries if inputs.ca else ())]
    unit_warnings = override_warnings(host.files, resolved, plan) + place_warnings(host.files, resolved)
    unit_warnings += order_warnings(host, files)
    warnings = resolved.problems + resolved.warnings + unit_warnings
    messages += ["note: " + note for note in plan.notes] + ["warning: " + warning for warning in warnings]
    messages += advice(resolved.intent.no_proxy, inputs.facts.region) if resolved.intent else ()
    messages += ["note: " + note for note in unprobed_notes(inputs)]
    messages += ["note: " + note for note in credentials_notes(host, inputs.settings, "by plan")]
    messages += [f'note: node.enable = "auto": {rule}'] if rule else []
    pending = bool(not plan.empty or actions)
    if resolved.intent is None:
        messages.append("unconfigured: no proxy.url in the settings")
    elif not pending and not plan.problems:
        messages.append("nothing to do: the node is as planned")
    for message in messages:
        print(message, file=sys.stderr)
    if plan.problems:
        raise FileError("\n".join(plan.problems))
    return PENDING if pending else 0


def revert_command(arguments: argparse.Namespace) -> int:
    """Revert all changes of the agent.

    The daemon is stopped and disabled first, otherwise it would configure the node again.
    """
    host = host_of(arguments)
    need_root(host, "revert")
    print_losses(host, "baseline.json")
    host.state.baseline()  # a corrupt baseline must fail before the daemon is stopped, not after
    daemon = host.units.show([DAEMON]).get(DAEMON)
    if daemon and daemon.exists and (daemon.enabled == "enabled" or daemon.active not in ("inactive", "failed")):
        host.units.disable_now([DAEMON])
        print(f"stopped and disabled {DAEMON}; to enable it again: systemctl enable --now {DAEMON}")
    with host.locked() as state:
        plan = apply(plan_revert(host), host, state)
        withdrawn, problems = withdraw(host)
        state.forget(status=not problems)
    print_changes(host, plan)
    for path in withdrawn:
        print(f"removed {path}")
    if plan.problems or problems:
        raise FileError("\n".join(plan.problems + problems))
    for name in running_units(host, plan):
        print(f"{name} uses the proxy until its next restart: systemctl restart {name}", file=sys.stderr)
    if plan.empty and not withdrawn:
        print("nothing to do: the agent has not changed any file")
    return 0


def print_losses(host: Host, *without: str) -> None:
    """Print a warning for each corrupt state file, except those whose error ends the command."""
    for path, loss in host.state.losses().items():
        if posixpath.basename(path) not in without:
            print(f"warning: {path}: corrupt; {loss}", file=sys.stderr)


def print_changes(host: Host, plan: Plan) -> None:
    """Print what a plan changed; notes go to stderr."""
    for verb, path in changed_paths(plan):
        print(f"{verb} {path}")
    if plan.trust and host.files.live:
        print("updated the trust store")
    if plan.reload and host.units.running:
        print("reloaded systemd")
    for name in plan.enable:
        started = " and started it" if name in plan.start and host.units.running else ""
        print(f"enabled {name}{started}")
    for name in plan.disable:
        print(f"disabled {name}, as before the agent enabled it")
    for note in plan.notes:
        print("note: " + note, file=sys.stderr)


def _unit_actions(host: Host, plan: Plan) -> list[str]:
    actions = ["update the trust store"] if plan.trust and host.files.live else []
    actions += ["systemctl daemon-reload"] if plan.reload and host.units.running else []
    now = " --now --no-block" if host.units.running else ""
    return actions + [f"systemctl enable{now} {name}" for name in plan.enable]


def _plan_json(resolved: Resolved, plan: Plan, actions: list[str]) -> dict[str, object]:
    return {
        "schema": 1,
        "instance_id": resolved.facts.instance_id,
        "intent": resolved.intent.digest() if resolved.intent else None,
        "no_proxy": entries_to_json(resolved.intent.no_proxy if resolved.intent else ()),
        "changes": [{"path": path, "action": verb} for verb, path in changed_paths(plan)],
        "diff": "".join(map(unified, plan.changes)),
        "actions": actions,
        "problems": list(plan.problems),
    }
