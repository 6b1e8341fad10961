"""Comparison of the files with the plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agent.checks import packages
from agent.checks.context import NEEDS_ROOT, CheckedNode, error_summary, is_denied
from agent.checks.finding import FAIL, OK, SKIP, Finding
from agent.core.plan.diff import unified
from agent.core.plan.files.managed_file import ManagedFile
from agent.core.plan.files.systemd_dropin import EnvironmentDropin
from agent.core.plan.files.yum_conf import YUM_CONF
from agent.core.plan.plan import Change, Plan
from agent.core.status.document import StatusDocument
from agent.errors import FileError
from agent.node.package_manager import has_separate_yum_conf
from agent.node.planning import node_files, plan_node

GROUP = "files"
APPLY = "eks-proxy-agent apply"
CONTESTED = (
    f"another process keeps changing it, so the agent stopped repairing it; stop that process, then run: {APPLY}"
)
#: The exit code for what `apply` repairs.
DRIFT = 3


def check(node: CheckedNode) -> Iterator[Finding]:
    """Report each file that differs, with the diff that `apply` would make.

    A file that `apply` cannot change is reported with its problem.
    """
    try:
        plan = plan_files(node)
    except FileError as error:
        if error_summary(error) != NEEDS_ROOT:
            yield Finding(GROUP, "baseline", FAIL, str(error), error.hint)
            return
        yield Finding(GROUP, "files", SKIP, NEEDS_ROOT)
        return
    is_separate = has_separate_yum_conf(node.host.files)
    changes = [change for change in plan.changes if not (is_separate and change.path == YUM_CONF)]
    for problem in plan.problems:
        path, _, text = problem.partition(": ")
        if is_denied(text):
            yield Finding(GROUP, path, SKIP, NEEDS_ROOT)
        else:
            yield Finding(GROUP, path, FAIL, text, packages.FIX_BY_HAND)
    for alike in _group_alike(changes):
        paths = [change.path for change in alike]
        hint, topic = _remedy(paths, node.status)
        yield Finding(GROUP, ", ".join(paths), FAIL, _text(alike[0]), hint, DRIFT, topic)
    if plan.trust:
        yield Finding(GROUP, "trust store", FAIL, "not rebuilt since the CA changed", APPLY, DRIFT)
    if not (changes or plan.problems or plan.trust):
        yield Finding(GROUP, "files", OK, _summary(desired_files(node)))


def plan_files(node: CheckedNode) -> Plan:
    """Plan the changes of files, without units.

    Raises FileError if the agent's state cannot be read.
    """
    return plan_node(node.host, desired_files(node))


def desired_files(node: CheckedNode) -> tuple[ManagedFile, ...]:
    """Return the files that this node should have."""
    return node_files(node.host, node.resolved)


def _group_alike(changes: Iterable[Change]) -> Iterable[list[Change]]:
    """Group the drop-ins that change alike: they have the same text, so one diff is enough."""
    groups: dict[tuple[object, ...], list[Change]] = {}
    for change in changes:
        is_dropin = EnvironmentDropin.unit_of(change.path) is not None
        groups.setdefault((change.before, change.after, "" if is_dropin else change.path), []).append(change)
    return groups.values()


def _remedy(paths: Sequence[str], status: StatusDocument | None) -> tuple[str, str]:
    """Return the hint and the topic of a finding about these files."""
    if status and status.repairs and any(path in status.repairs.fought for path in paths):
        return CONTESTED, "contested"
    return APPLY, ""


def _text(change: Change) -> str:
    problem = "missing" if change.before is None else "must not exist" if change.after is None else "differs"
    return f"{problem}; apply would make this change:\n" + unified(change).rstrip("\n")


def _summary(desired: Sequence[ManagedFile]) -> str:
    """List the paths; of drop-ins, give only the number."""
    present = [file for file in desired if file.merge(None) is not None]
    dropins = sum(isinstance(file, EnvironmentDropin) for file in present)
    paths = [file.path for file in present if not isinstance(file, EnvironmentDropin)]
    return "as planned: " + ", ".join([*paths, f"{dropins} drop-in{'s' * (dropins != 1)}"])
