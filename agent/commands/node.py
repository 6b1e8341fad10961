"""`apply`, `plan` and `revert`: what a person does to a node, and what they are told."""

from __future__ import annotations

import argparse
import json
import sys

from agent.core.intent.intent import endpoint_host
from agent.core.noproxy.lint import advice
from agent.core.plan.diff import unified
from agent.core.plan.plan import Plan
from agent.edges.lock import held
from agent.errors import CommandError, FileError
from agent.node.apply import Machine, apply
from agent.node.host import fetch, machine_of, need_root, options_of
from agent.node.inputs import Discovered, discover, facts_of, plan_node, plan_revert
from agent.node.metrics_file import withdraw
from agent.node.proxies import choose
from agent.node.reachability import find_out, left_open
from agent.node.reconcile import (
    Pass,
    changed_paths,
    configure,
    entries,
    refuse_unproxied,
    release_units,
    running_units,
    stale_units,
    wanted,
)

PENDING = 3
DAEMON = "eks-proxy-agent.service"


def apply_command(arguments: argparse.Namespace) -> int:
    """Configure the node and say what changed."""
    machine = machine_of(arguments)
    need_root(machine, "apply")
    options = options_of(arguments)
    facts = facts_of(machine, options, fetch)
    done = configure(machine, options, facts, keep_flags=not arguments.once, refresh=arguments.refresh)
    tell(machine, done.plan)
    for warning in done.discovered.warnings:
        print("warning: " + warning, file=sys.stderr)
    done.raise_problems()
    if done.discovered.intent is None:
        meaning = "so nothing is written" if done.plan.empty else "so what was written is taken back"
        print("unconfigured: no proxy.url in the settings, " + meaning, file=sys.stderr)
    released = release_units(machine, done)
    for name in released:
        print(f"started {name}")
    if done.discovered.intent is None:
        return 0
    if done.plan.empty and not released:
        print("nothing to do: the node is as planned")
    if options.config and machine.disk.live and not arguments.once:
        text = "warning: --config is not kept; to have it at the next boot, put it to /etc/eks-proxy-agent/config.toml"
        print(text, file=sys.stderr)
    _tell_stale(machine, done)
    return 0


def _tell_stale(machine: Machine, done: Pass) -> None:
    """Name what runs with an old environment; everything is written, so who may not look has not failed."""
    try:
        stale = stale_units(machine, done.discovered.settings, done.discovered.intent)
    except CommandError as error:
        print(f"warning: what runs with an old environment cannot be told: {error}", file=sys.stderr)
        return
    for name in stale:
        text = "%s runs with an old environment; when it suits you: systemctl restart %s"
        print(text % (name, name), file=sys.stderr)


def plan_command(arguments: argparse.Namespace) -> int:
    """Show what `apply` would do; exit code 3 when that is anything."""
    machine = machine_of(arguments)
    options = options_of(arguments)
    facts = facts_of(machine, options, fetch)
    answers = find_out(machine, options, facts).answers
    found = discover(machine, options, facts, answers, choose(machine, options, facts, answers))
    refuse_unproxied(found.settings, found.intent)
    plan = plan_node(machine, *wanted(machine, found))
    actions = _unit_actions(machine, plan)
    if arguments.json:
        print(json.dumps(_plan_json(found, plan, actions), indent=2))
    else:
        for change in plan.changes:
            sys.stdout.write(unified(change))
        for action in actions:
            print(action)
    told = ["node.ca_bundle: " + summary for summary in (found.anchor.summaries if found.anchor else ())]
    told += ["note: " + note for note in plan.notes] + ["warning: " + warning for warning in found.warnings]
    told += advice(found.intent.no_proxy, found.facts.region) if found.intent else ()
    endpoint = endpoint_host(found.settings, found.hints)
    told += ["note: " + note for note in left_open(machine, options, found.settings, endpoint)]
    pending = bool(not plan.empty or actions)
    if found.intent is None:
        told.append("unconfigured: no proxy.url in the settings")
    elif not pending and not plan.problems:
        told.append("nothing to do: the node is as planned")
    for line in told:
        print(line, file=sys.stderr)
    if plan.problems:
        raise FileError("\n".join(plan.problems))
    return PENDING if pending else 0


def revert_command(arguments: argparse.Namespace) -> int:
    """Put everything back; the daemon is stopped and disabled first, else it would configure the node again."""
    machine = machine_of(arguments)
    need_root(machine, "revert")
    machine.state.baseline()  # one that cannot be read is an error before the daemon is gone, not after
    daemon = machine.units.show([DAEMON]).get(DAEMON)
    if daemon and daemon.exists and (daemon.enabled == "enabled" or daemon.active not in ("inactive", "failed")):
        machine.units.disable_now([DAEMON])
        print(f"stopped and disabled {DAEMON}; to have it back: systemctl enable --now {DAEMON}")
    with held(machine.disk):
        plan = apply(plan_revert(machine), machine)
        withdrawn = withdraw(machine)
        machine.state.forget()
    tell(machine, plan)
    for path in withdrawn:
        print(f"removed {path}")
    if plan.problems:
        raise FileError("\n".join(plan.problems))
    for name in running_units(machine, plan):
        print(f"{name} keeps the proxy until it is restarted: systemctl restart {name}", file=sys.stderr)
    if plan.empty and not withdrawn:
        print("nothing to do: no file is changed by this program")
    return 0


def tell(machine: Machine, plan: Plan) -> None:
    for verb, path in changed_paths(plan):
        print(f"{verb} {path}")
    if plan.trust and machine.disk.live:
        print("updated the trust store")
    if plan.reload and machine.units.running:
        print("reloaded systemd")
    for name in plan.enable:
        print("enabled {}{}".format(name, " and started it" if name in plan.start and machine.units.running else ""))
    for name in plan.disable:
        print(f"disabled {name}, which was so before")
    for note in plan.notes:
        print("note: " + note, file=sys.stderr)


def _unit_actions(machine: Machine, plan: Plan) -> list[str]:
    actions = ["update the trust store"] if plan.trust and machine.disk.live else []
    actions += ["systemctl daemon-reload"] if plan.reload and machine.units.running else []
    now = " --now --no-block" if machine.units.running else ""
    return actions + [f"systemctl enable{now} {name}" for name in plan.enable]


def _plan_json(found: Discovered, plan: Plan, actions: list[str]) -> object:
    return {
        "schema": 1,
        "instance_id": found.facts.instance_id,
        "intent": found.intent.digest() if found.intent else None,
        "no_proxy": entries(found.intent),
        "changes": [{"path": path, "action": verb} for verb, path in changed_paths(plan)],
        "diff": "".join(map(unified, plan.changes)),
        "actions": actions,
        "problems": list(plan.problems),
    }
