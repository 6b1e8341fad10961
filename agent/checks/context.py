"""State of the node that the checks share, read once, with the reason for what is missing."""

from __future__ import annotations

import errno
import json
import os
import re
import time

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import Facts, facts_from_json
from agent.core.intent.inputs import Inputs, Resolved
from agent.core.intent.intent import Intent
from agent.core.record import evolve, record
from agent.core.settings.layers import Layered
from agent.core.settings.schema import Settings
from agent.core.settings.user_data import read_user_data
from agent.core.status.document import StatusDocument
from agent.errors import AgentError, FileError, MetadataError
from agent.node.budget import Budget
from agent.node.host import Host
from agent.node.inputs import COMMAND_DEADLINE, cluster_info, facts_of, load_inputs
from agent.node.proxies import remembered_choice
from agent.node.reachability import probe_directly
from agent.node.reconcile import Network, compose_intent, require_proxy
from agent.node.sources import SettingsSources, StaticSettings, static_settings

NEEDS_ROOT = "requires root"
UNCONFIGURED = "unconfigured: proxy.url is not set"
NEEDS_MACHINE = "requires a running machine, not a directory tree (--root)"


@record
class CheckedNode:
    """State of the node that `check` examines; None for what could not be read.

    `reconciled` is composed from the facts of the last reconcile, `current` from those of this
    moment.  They differ only if a CIDR was added to the VPC since.  Files and processes are then
    still as the last reconcile left them.  So the CIDR is one finding (of NO_PROXY), and not one
    for each file.

    `status` is status.json.  `settings_error` and `metadata_error` are the errors of the settings
    and of the metadata service; `metadata_seconds` is the time that it took to respond.
    `skip_reason` says why there is no `reconciled`, or no Intent in it; else it is empty.
    `is_from_status` is True without root: `reconciled` is then composed from status.json, without
    credentials.
    """

    host: Host
    sources: SettingsSources
    status: StatusDocument | None = None
    layered: Layered | None = None
    settings_error: AgentError | None = None
    facts: Facts | None = None
    metadata_error: AgentError | None = None
    metadata_seconds: float = 0.0
    reconciled: Resolved | None = None
    current: Resolved | None = None
    skip_reason: str = ""
    is_from_status: bool = False

    @property
    def is_live(self) -> bool:
        """Return True for the running machine, False for a directory tree (`--root`)."""
        return self.host.files.live

    @property
    def settings(self) -> Settings:
        """Return the settings of `reconciled`.  Raises LookupError if there is none."""
        return self.resolved.settings

    @property
    def intent(self) -> Intent:
        """Return the Intent of `reconciled`.  Raises LookupError if there is a `skip_reason`."""
        if self.resolved.intent is None:
            raise LookupError(self.skip_reason)
        return self.resolved.intent

    @property
    def resolved(self) -> Resolved:
        """Return `reconciled`.  Raises LookupError if it is None."""
        if self.reconciled is None:
            raise LookupError(self.skip_reason)
        return self.reconciled


def is_root() -> bool:
    return os.geteuid() == 0


def is_denied(problem: str) -> bool:
    """Return True if a file's problem is a missing permission, which root would have."""
    return not is_root() and problem.endswith((os.strerror(errno.EACCES), os.strerror(errno.EPERM)))


def error_summary(error: AgentError) -> str:
    """Return the first line of an error, or NEEDS_ROOT if root would not get it."""
    if isinstance(error, FileError) and is_denied(str(error)):
        return NEEDS_ROOT
    return str(error).partition("\n")[0]


def inspect_node(host: Host, sources: SettingsSources) -> CheckedNode:
    """Read the state of the node once, whatever is broken; change nothing and take no lock."""
    node = CheckedNode(host, sources, _read_status(host))
    try:
        static = static_settings(host.files, sources)
        node = evolve(node, layered=static.layered)
    except AgentError as error:
        return _with_settings_error(node, error)
    start = time.monotonic()
    try:
        deadline = min(static.settings.metadata.deadline or COMMAND_DEADLINE, COMMAND_DEADLINE)
        facts = facts_of(static, Budget(deadline, started=start))
        node = evolve(node, facts=facts, metadata_seconds=time.monotonic() - start)
    except AgentError as error:
        if not (isinstance(error, MetadataError) or sources.facts):
            return _with_settings_error(node, error)
        node = evolve(node, metadata_error=error)  # the file of --facts is not a setting
    last_facts = _last_facts(node) if host.files.live and not sources.facts else None
    current_facts = node.facts or last_facts
    if current_facts is None:
        return evolve(node, skip_reason="requires the metadata service (see metadata)")
    return _with_intents(node, static, current_facts, _with_last_cidrs(current_facts, last_facts))


def _with_intents(node: CheckedNode, static: StaticSettings, facts: Facts, last_facts: Facts) -> CheckedNode:
    try:
        current = _resolve(node, static, facts)
        reconciled = current if last_facts == facts else _resolve(node, static, last_facts)
        require_proxy(reconciled)
    except AgentError as error:
        return _without_root(node, facts) if error_summary(error) == NEEDS_ROOT else _with_settings_error(node, error)
    return evolve(
        node,
        layered=reconciled.inputs.layered,
        reconciled=reconciled,
        current=current,
        skip_reason="" if reconciled.intent else UNCONFIGURED,
    )


def _without_root(node: CheckedNode, facts: Facts) -> CheckedNode:
    resolved = (
        _resolve_from_status(node.host, node.layered, facts, node.status) if node.layered and node.status else None
    )
    if resolved is None:
        return evolve(node, skip_reason=NEEDS_ROOT)
    return evolve(node, reconciled=resolved, current=resolved, is_from_status=True)


def _resolve(node: CheckedNode, static: StaticSettings, facts: Facts) -> Resolved:
    """Compose the Intent of these facts.

    If there are several proxies, use the one that the last reconcile chose; `check` chooses none.
    """
    state, inputs = node.host.state, load_inputs(node.host, static, facts)
    return compose_intent(inputs, Network(probe_directly(state, inputs), remembered_choice(state, inputs), None))


def _with_settings_error(node: CheckedNode, error: AgentError) -> CheckedNode:
    """Record that the settings are invalid, or that only root can read them.

    All checks that depend on valid settings are then skipped.
    """
    if error_summary(error) == NEEDS_ROOT:
        return evolve(node, skip_reason=NEEDS_ROOT)
    return evolve(node, settings_error=error, skip_reason="requires valid settings (see settings)")


def _read_status(host: Host) -> StatusDocument | None:
    try:
        return host.state.status()
    except AgentError:
        return None


def _last_facts(node: CheckedNode) -> Facts | None:
    """Return the facts of the last reconcile since boot, or None.

    None also if only root can read them.
    """
    instance_id = (node.status.instance_id if node.status else None) or ""
    try:
        cached = node.host.state.of_instance(instance_id, "facts") if re.fullmatch("i-[0-9a-f]+", instance_id) else None
        return facts_from_json(json.dumps(cached)) if cached else None
    except AgentError:
        return None


def _with_last_cidrs(facts: Facts, last_facts: Facts | None) -> Facts:
    """Return the facts with the VPC's CIDRs of the last reconcile if some were added since.

    The facts of another instance are ignored.
    """
    if last_facts is None or last_facts.instance_id != facts.instance_id:
        return facts
    if set(_cidrs(facts)) <= set(_cidrs(last_facts)):
        return facts
    return evolve(facts, vpc_cidrs_v4=last_facts.vpc_cidrs_v4, vpc_cidrs_v6=last_facts.vpc_cidrs_v6)


def _cidrs(facts: Facts) -> tuple[str, ...]:
    return facts.vpc_cidrs_v4 + facts.vpc_cidrs_v6


def _resolve_from_status(host: Host, layered: Layered, facts: Facts, status: StatusDocument) -> Resolved | None:
    """Return the Intent of the last reconcile, without credentials, and the settings of the files.

    None if status.json has no Intent or is of another instance.
    """
    intent = status.intent()
    if intent is None or status.instance_id != facts.instance_id:
        return None
    try:
        info = cluster_info(host.files, layered.settings, read_user_data(facts.user_data))
    except AgentError:
        info = ClusterInfo()
    return Resolved(Inputs(layered, facts, info), intent)
