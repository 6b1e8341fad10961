"""`bake` and `clean`: what an image build does before the snapshot."""

from __future__ import annotations

import argparse
import sys

import attrs

from agent.commands.node import DAEMON, tell
from agent.core.plan.desired import clean_files, image_files
from agent.core.plan.files.managed_file import Effect
from agent.core.plan.plan import forget_instance
from agent.errors import FileError
from agent.node.apply import apply
from agent.node.host import host_of, need_root
from agent.node.metrics_file import withdraw
from agent.node.planning import plan_node
from agent.node.sources import read_ca, sources_of, static_settings

BOOTSTRAP = "eks-proxy-agent-bootstrap.service"


def bake_command(arguments: argparse.Namespace) -> int:
    """Write what does not depend on the instance, so that no instance has to reload systemd on its first boot.

    That is the drop-ins, and our units and those of node.enable enabled; nothing is started, the
    builder stays as it is.
    """
    host, sources = host_of(arguments), sources_of(arguments)
    need_root(host, "bake")
    static = static_settings(host.files, sources)
    settings = static.settings
    with host.locked() as state:
        files = image_files(settings, read_ca(host.files, settings))
        # What an earlier bake wrote and is wanted no longer goes.
        plan = plan_node(host, files, scope=Effect.DAEMON_RELOAD)
        units = host.units.show((DAEMON, BOOTSTRAP, *settings.node.enable))
        enable = tuple(name for name, unit in units.items() if unit.exists and unit.enabled == "disabled")
        baseline = attrs.evolve(plan.baseline, baked=True, enabled=plan.baseline.enabled + enable)
        plan = attrs.evolve(plan, enable=enable, reload=plan.reload or bool(enable), baseline=baseline)
        plan = apply(plan, host, state)
    tell(host, plan)
    for warning in static.layered.warnings:
        print("warning: " + warning, file=sys.stderr)
    if static.flags.data:
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
    settings = static_settings(host.files, sources).settings
    daemon = host.units.show((DAEMON,)).get(DAEMON)
    stopped = bool(daemon and daemon.active in ("active", "activating", "reloading"))
    if stopped:
        host.units.stop((DAEMON,))
        print(f"stopped {DAEMON}, else it would write them again")
    with host.locked() as state:
        ca = read_ca(host.files, settings)
        plan = plan_node(host, clean_files(settings, ca, baked=host.state.baseline().baked))
        plan = attrs.evolve(plan, baseline=forget_instance(plan.baseline))
        plan = apply(plan, host, state)
        withdrawn = withdraw(host)
        instances = state.forget(bootstrap=True)
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
