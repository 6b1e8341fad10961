"""Are the files as planned?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agent.checks import packages
from agent.checks.context import NEEDS_ROOT, CheckedNode, is_denied, reason
from agent.checks.finding import FAIL, OK, SKIP, Finding
from agent.core.plan.diff import unified
from agent.core.plan.files.managed_file import ManagedFile
from agent.core.plan.files.systemd_dropin import EnvironmentDropin
from agent.core.plan.files.yum_conf import YUM_CONF
from agent.core.plan.plan import Change, Plan
from agent.core.status.document import StatusDocument
from agent.errors import FileError
from agent.node.planning import node_files, plan_node

GROUP = "files"
APPLY = "eks-proxy-agent apply"
#: The exit code for what `apply` puts right.
DRIFT = 3


def check(node: CheckedNode) -> Iterator[Finding]:
    """A file that differs is shown with the diff that `apply` would make; what stands in its way, with its problem."""
    try:
        plan = planned(node)
    except FileError as error:
        if reason(error) != NEEDS_ROOT:
            yield Finding(GROUP, "baseline", FAIL, str(error), error.hint)
            return
        yield Finding(GROUP, "files", SKIP, NEEDS_ROOT)
        return
    apart = packages.split(node.host.files)
    changes = [change for change in plan.changes if not (apart and change.path == YUM_CONF)]
    for problem in plan.problems:
        path, _, text = problem.partition(": ")
        if is_denied(text):
            yield Finding(GROUP, path, SKIP, NEEDS_ROOT)
        else:
            yield Finding(GROUP, path, FAIL, text, "mend it by hand, then: " + APPLY)
    for alike in _alike(changes):
        names = [change.path for change in alike]
        yield Finding(GROUP, ", ".join(names), FAIL, _text(alike[0]), _way_out(names, node.told), DRIFT)
    if plan.trust:
        yield Finding(GROUP, "trust store", FAIL, "is not made anew since the CA changed", APPLY, DRIFT)
    if not (changes or plan.problems or plan.trust):
        yield Finding(GROUP, "files", OK, _all(node))


def planned(node: CheckedNode) -> Plan:
    """What would be done to the files, units aside.  Raises FileError when our own memory cannot be read."""
    return plan_node(node.host, _wanted(node))


def _wanted(node: CheckedNode) -> tuple[ManagedFile, ...]:
    return node_files(node.host, node.resolved)


def _alike(changes: Iterable[Change]) -> Iterable[list[Change]]:
    """The changes, drop-ins to which the same happens together: they have the same text, and one diff is enough."""
    found: dict[tuple[object, ...], list[Change]] = {}
    for change in changes:
        drop_in = EnvironmentDropin.unit_of(change.path) is not None
        found.setdefault((change.before, change.after, "" if drop_in else change.path), []).append(change)
    return found.values()


def _way_out(names: Sequence[str], told: StatusDocument | None) -> str:
    if told and told.repairs and any(name in told.repairs.fought for name in names):
        return "somebody else writes it again and again, and the agent has given up: find out who, then: " + APPLY
    return APPLY


def _text(change: Change) -> str:
    what = "is missing" if change.before is None else "is not wanted" if change.after is None else "differs"
    return what + "; apply would do:\n" + unified(change).rstrip("\n")


def _all(node: CheckedNode) -> str:
    """What there is, the drop-ins as a number."""
    files = [file for file in _wanted(node) if file.merge(None) is not None]
    drop_ins = sum(isinstance(file, EnvironmentDropin) for file in files)
    paths = [file.path for file in files if not isinstance(file, EnvironmentDropin)]
    return "as planned: " + ", ".join([*paths, f"{drop_ins} drop-ins" if drop_ins else "no drop-in"])
