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
from agent.node.apply import Host, apply
from agent.node.host import fetch, host_of, need_root, sources_of
from agent.node.inputs import Discovered, discover, facts_of
from agent.node.metrics_file import withdraw
from agent.node.planning import changed_paths, plan_node, plan_revert, wanted
from agent.node.proxies import choose
from agent.node.reachability import find_out, left_open
from agent.node.reconcile import (
    ReconcileResult,
    configure,
    entries,
    refuse_unproxied,
    release_units,
    running_units,
    stale_units,
)

PENDING = 3
DAEMON = "eks-proxy-agent.service"


def apply_command(arguments: argparse.Namespace) -> int:
    """Configure the node and say what changed."""
    host = host_of(arguments)
    need_root(host, "apply")
    sources = sources_of(arguments)
    facts = facts_of(host, sources, fetch)
    done = configure(host, sources, facts, keep_flags=not arguments.once, refresh=arguments.refresh)
    tell(host, done.plan)
    for warning in done.discovered.warnings:
        print("warning: " + warning, file=sys.stderr)
    done.raise_problems()
    if done.discovered.intent is None:
        meaning = "so nothing is written" if done.plan.empty else "so what was written is taken back"
        print("unconfigured: no proxy.url in the settings, " + meaning, file=sys.stderr)
    released = release_units(host, done)
    for name in released:
        print(f"started {name}")
    if done.discovered.intent is None:
        return 0
    if done.plan.empty and not released:
        print("nothing to do: the node is as planned")
    if sources.config and host.files.live and not arguments.once:
        text = "warning: --config is not kept; to have it at the next boot, put it to /etc/eks-proxy-agent/config.toml"
        print(text, file=sys.stderr)
    _tell_stale(host, done)
    return 0


def _tell_stale(host: Host, done: ReconcileResult) -> None:
    """Name what runs with an old environment; everything is written, so who may not look has not failed."""
    try:
        stale = stale_units(host, done.discovered.settings, done.discovered.intent)
    except CommandError as error:
        print(f"warning: what runs with an old environment cannot be told: {error}", file=sys.stderr)
        return
    for name in stale:
        text = "%s runs with an old environment; when it suits you: systemctl restart %s"
        print(text % (name, name), file=sys.stderr)


def plan_command(arguments: argparse.Namespace) -> int:
    """Show what `apply` would do; exit code 3 when that is anything."""
    host = host_of(arguments)
    sources = sources_of(arguments)
    facts = facts_of(host, sources, fetch)
    answers = find_out(host, sources, facts).answers
    found = discover(host, sources, facts, answers, choose(host, sources, facts, answers))
    refuse_unproxied(found.settings, found.intent)
    plan = plan_node(host, *wanted(host, found))
    actions = _unit_actions(host, plan)
    if arguments.json:
        print(json.dumps(_plan_json(found, plan, actions), indent=2))
    else:
        for change in plan.changes:
            sys.stdout.write(unified(change))
        for action in actions:
            print(action)
    told = ["node.ca_bundle: " + summary for summary in (found.ca.summaries if found.ca else ())]
    told += ["note: " + note for note in plan.notes] + ["warning: " + warning for warning in found.warnings]
    told += advice(found.intent.no_proxy, found.facts.region) if found.intent else ()
    endpoint = endpoint_host(found.settings, found.cluster_info)
    told += ["note: " + note for note in left_open(host, sources, found.settings, endpoint)]
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
    host = host_of(arguments)
    need_root(host, "revert")
    host.state.baseline()  # one that cannot be read is an error before the daemon is gone, not after
    daemon = host.units.show([DAEMON]).get(DAEMON)
    if daemon and daemon.exists and (daemon.enabled == "enabled" or daemon.active not in ("inactive", "failed")):
        host.units.disable_now([DAEMON])
        print(f"stopped and disabled {DAEMON}; to have it back: systemctl enable --now {DAEMON}")
    with held(host.files):
        plan = apply(plan_revert(host), host)
        withdrawn = withdraw(host)
        host.state.forget()
    tell(host, plan)
    for path in withdrawn:
        print(f"removed {path}")
    if plan.problems:
        raise FileError("\n".join(plan.problems))
    for name in running_units(host, plan):
        print(f"{name} keeps the proxy until it is restarted: systemctl restart {name}", file=sys.stderr)
    if plan.empty and not withdrawn:
        print("nothing to do: no file is changed by this program")
    return 0


def tell(host: Host, plan: Plan) -> None:
    for verb, path in changed_paths(plan):
        print(f"{verb} {path}")
    if plan.trust and host.files.live:
        print("updated the trust store")
    if plan.reload and host.units.running:
        print("reloaded systemd")
    for name in plan.enable:
        print("enabled {}{}".format(name, " and started it" if name in plan.start and host.units.running else ""))
    for name in plan.disable:
        print(f"disabled {name}, which was so before")
    for note in plan.notes:
        print("note: " + note, file=sys.stderr)


def _unit_actions(host: Host, plan: Plan) -> list[str]:
    actions = ["update the trust store"] if plan.trust and host.files.live else []
    actions += ["systemctl daemon-reload"] if plan.reload and host.units.running else []
    now = " --now --no-block" if host.units.running else ""
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
