"""Commands `bake` and `clean`, for image builds."""

from __future__ import annotations

import argparse
import sys

from agent.commands.node import DAEMON, print_changes, print_losses
from agent.core.plan.baseline import forget_instance
from agent.core.plan.desired import clean_files, image_files
from agent.core.plan.files.managed_file import Effect
from agent.core.record import evolve
from agent.core.systemd import ALIVE, considered, enabling
from agent.errors import FileError
from agent.node.apply import apply
from agent.node.elsewhere import manager_confs
from agent.node.host import host_of, need_root
from agent.node.metrics_file import withdraw
from agent.node.planning import plan_node
from agent.node.sources import read_ca, sources_of, static_settings
from agent.node.waiting import order_warnings, with_order

BOOTSTRAP = "eks-proxy-agent-bootstrap.service"


def bake_command(arguments: argparse.Namespace) -> int:
    """Write the files that do not depend on the instance.

    These are the drop-ins; our units and those of node.enable are enabled.  An instance then need
    not reload systemd on its first boot.  Nothing is started: the builder itself does not change.
    """
    host, sources = host_of(arguments), sources_of(arguments)
    need_root(host, "bake")
    print_losses(host, "baseline.json")
    static = static_settings(host.files, sources)
    settings = static.settings
    with host.locked() as state:
        files = with_order(host, image_files(settings, read_ca(host.files, settings)))
        # The plan also removes what an earlier bake wrote and the settings no longer name.
        plan = plan_node(host, files, scope=Effect.DAEMON_RELOAD)
        units = host.units.show((DAEMON, BOOTSTRAP, *considered(settings)))
        ours = (units[name] for name in (DAEMON, BOOTSTRAP, *enabling(settings, units).units) if name in units)
        enable = tuple(unit.name for unit in ours if unit.exists and unit.enabled == "disabled")
        baseline = evolve(plan.baseline, baked=True, enabled=plan.baseline.enabled + enable)
        plan = evolve(plan, enable=enable, reload=plan.reload or bool(enable), baseline=baseline)
        plan = apply(plan, host, state)
    print_changes(host, plan)
    for warning in static.layered.warnings + order_warnings(host, files):
        print("warning: " + warning, file=sys.stderr)
    if static.flags.data:
        print("warning: bake does not keep flags; write the settings into config.toml of the image", file=sys.stderr)
    if not settings.proxy.url:
        print("note: proxy.url is not set in the image; set it in the user data", file=sys.stderr)
    if plan.problems:
        raise FileError("\n".join(plan.problems))
    if plan.empty:
        print("nothing to do: the image is already baked")
    return 0


def clean_command(arguments: argparse.Namespace) -> int:
    """Remove every trace of this instance and of its proxy; what `bake` wrote stays."""
    host, sources = host_of(arguments), sources_of(arguments)
    need_root(host, "clean")
    print_losses(host, "baseline.json")
    settings = static_settings(host.files, sources).settings
    daemon = host.units.show((DAEMON,)).get(DAEMON)
    stopped = bool(daemon and daemon.active in ALIVE)
    if stopped:
        host.units.stop((DAEMON,))
        print(f"stopped {DAEMON}; otherwise it would write the files again")
    with host.locked() as state:
        ca = read_ca(host.files, settings)
        confs = [path for path in manager_confs(host.files) if path.startswith("/etc/")]
        desired = clean_files(settings, ca, confs, baked=host.state.baseline().baked)
        plan = plan_node(host, with_order(host, desired))
        failed = frozenset(path for path in host.state.baseline().files if plan.fails(path))
        plan = evolve(plan, baseline=forget_instance(plan.baseline, failed))
        plan = apply(plan, host, state)
        withdrawn, problems = withdraw(host)
        instances = state.forget(bootstrap=True, status=not problems)
    print_changes(host, plan)
    for path in withdrawn:
        print(f"removed {path}")
    for instance_id in instances:
        print(f"removed the state of instance {instance_id}")
    if plan.problems or problems:
        raise FileError("\n".join(plan.problems + problems))
    if plan.empty and not (instances or stopped or withdrawn):
        print("nothing to do: no trace of an instance remains")
    return 0
