"""`bake` and `clean`: what an image build does before the snapshot."""

from __future__ import annotations

import argparse
import sys

import attrs

from agent.commands.node import DAEMON, tell
from agent.core.plan.desired import clean_targets, image_targets
from agent.core.plan.plan import SYSTEMD, forget_instance
from agent.edges.lock import held
from agent.errors import FileError
from agent.node.apply import apply
from agent.node.host import host_of, need_root, sources_of
from agent.node.metrics_file import withdraw
from agent.node.planning import plan_node
from agent.node.sources import baked, read_ca

BOOTSTRAP = "eks-proxy-agent-bootstrap.service"


def bake_command(arguments: argparse.Namespace) -> int:
    """Write what does not depend on the instance, so that no instance has to reload systemd on its first boot.

    That is the drop-ins, and our units and those of node.enable enabled; nothing is started, the builder stays as it is.
    """
    host, sources = host_of(arguments), sources_of(arguments)
    need_root(host, "bake")
    layered = baked(host.files, sources)
    settings = layered.settings
    with held(host.files):
        static = image_targets(settings, read_ca(host.files, settings))
        plan = plan_node(host, static, scope=SYSTEMD)  # what an earlier bake wrote and is wanted no longer goes
        units = host.units.show((DAEMON, BOOTSTRAP, *settings.node.enable))
        enable = tuple(name for name, unit in units.items() if unit.exists and unit.enabled == "disabled")
        baseline = attrs.evolve(plan.baseline, baked=True, enabled=plan.baseline.enabled + enable)
        plan = attrs.evolve(plan, enable=enable, reload=plan.reload or bool(enable), baseline=baseline)
        plan = apply(plan, host)
    tell(host, plan)
    for warning in layered.warnings:
        print("warning: " + warning, file=sys.stderr)
    if sources.layer().data:
        print("warning: bake keeps no flags; write settings into the image's config.toml", file=sys.stderr)
    if not settings.proxy.url:
        print("note: the image names no proxy.url; user data has to", file=sys.stderr)
    if plan.problems:
        raise FileError("\n".join(plan.problems))
    if plan.empty:
        print("nothing to do: the image is baked")
    return 0


def clean_command(arguments: argparse.Namespace) -> int:
    """Take out every trace of this instance and of its proxy; what `bake` wrote stays."""
    host, sources = host_of(arguments), sources_of(arguments)
    need_root(host, "clean")
    settings = baked(host.files, sources).settings
    daemon = host.units.show((DAEMON,)).get(DAEMON)
    stopped = bool(daemon and daemon.active in ("active", "activating", "reloading"))
    if stopped:
        host.units.stop((DAEMON,))
        print(f"stopped {DAEMON}, else it would write them again")
    with held(host.files):
        ca = read_ca(host.files, settings)
        plan = plan_node(host, clean_targets(settings, ca, host.state.baseline()))
        plan = attrs.evolve(plan, baseline=forget_instance(plan.baseline))
        plan = apply(plan, host)
        withdrawn = withdraw(host)
        instances = host.state.forget(bootstrap=True)
    tell(host, plan)
    for path in withdrawn:
        print(f"removed {path}")
    for instance_id in instances:
        print(f"forgot instance {instance_id}")
    if plan.problems:
        raise FileError("\n".join(plan.problems))
    if plan.empty and not (instances or stopped or withdrawn):
        print("nothing to do: no trace of an instance is left")
    return 0
