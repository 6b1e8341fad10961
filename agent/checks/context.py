"""The node as the checks see it: all that several of them need, looked up once, with what is missing and why."""

from __future__ import annotations

import errno
import json
import os
import re
import time

import attrs

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import Facts, facts_from_json
from agent.core.intent.inputs import Inputs, Resolved
from agent.core.intent.intent import Intent
from agent.core.settings.layers import Layered
from agent.core.settings.schema import Settings
from agent.core.settings.user_data import read_user_data
from agent.core.status.document import StatusDocument
from agent.errors import AgentError, FileError, MetadataError
from agent.node.host import Host
from agent.node.inputs import COMMAND_DEADLINE, cluster_info, facts_of, load_inputs
from agent.node.proxies import remembered_choice
from agent.node.reachability import probe_directly
from agent.node.reconcile import Network, compose_intent, require_proxy
from agent.node.sources import SettingsSources, StaticSettings, static_settings

NEEDS_ROOT = "needs root"
UNCONFIGURED = "unconfigured: no proxy.url in the settings"
OFFLINE = "looks at a running machine, not at a tree (--root)"


@attrs.frozen
class CheckedNode:
    """`found` is made of the facts of the last pass, `now` of those of this moment; mostly they are the same.

    Where a CIDR was added to the VPC since, files and processes are as the last pass made them:
    that is one finding, of NO_PROXY, and not one for each file.  `missing` says why there is no
    `found` or no Intent in it. `told` is what status.json says, if it can be read; `silent` why the
    metadata service did not answer. `partial`: only root can read all, so that `found` is made of
    `told`, without credentials.
    """

    host: Host
    sources: SettingsSources
    told: StatusDocument | None = None
    layered: Layered | None = None
    wrong: AgentError | None = None
    facts: Facts | None = None
    silent: AgentError | None = None
    asked: float = 0.0
    found: Resolved | None = None
    now: Resolved | None = None
    missing: str = ""
    partial: bool = False

    @property
    def live(self) -> bool:
        return self.host.files.live

    @property
    def settings(self) -> Settings:
        return self.resolved.settings

    @property
    def intent(self) -> Intent:
        """The same."""
        if self.resolved.intent is None:
            raise LookupError(self.missing)
        return self.resolved.intent

    @property
    def resolved(self) -> Resolved:
        """Only for checks that run when nothing is `missing`."""
        if self.found is None:
            raise LookupError(self.missing)
        return self.found


def is_root() -> bool:
    return os.geteuid() == 0


def is_denied(problem: str) -> bool:
    """Return True if a file's problem is a missing permission, which root would have."""
    return not is_root() and problem.endswith((os.strerror(errno.EACCES), os.strerror(errno.EPERM)))


def reason(error: AgentError) -> str:
    """Why something could not be looked at."""
    if isinstance(error, FileError) and is_denied(str(error)):
        return NEEDS_ROOT
    return str(error).partition("\n")[0]


def look(host: Host, sources: SettingsSources) -> CheckedNode:
    """Look once, whatever is broken; changes nothing and takes no lock."""
    node = CheckedNode(host, sources, _told(host))
    try:
        static = static_settings(host.files, sources)
        node = attrs.evolve(node, layered=static.layered)
    except AgentError as error:
        return _wrong(node, error)
    begin = time.monotonic()
    try:
        node = attrs.evolve(node, facts=facts_of(static, longest=COMMAND_DEADLINE), asked=time.monotonic() - begin)
    except AgentError as error:
        if not (isinstance(error, MetadataError) or sources.facts):
            return _wrong(node, error)
        node = attrs.evolve(node, silent=error)  # the file of --facts is no setting
    known = _known_facts(node) if host.files.live and not sources.facts else None
    facts = node.facts or known
    if facts is None:
        return attrs.evolve(node, missing="needs the metadata service (see metadata)")
    return _resolved(node, static, facts, _as_of_the_last_pass(facts, known))


def _resolved(node: CheckedNode, static: StaticSettings, facts: Facts, last: Facts) -> CheckedNode:
    try:
        now = _resolve(node, static, facts)
        found = now if last == facts else _resolve(node, static, last)
        require_proxy(found)
    except AgentError as error:
        return _partly(node, facts) if reason(error) == NEEDS_ROOT else _wrong(node, error)
    missing = "" if found.intent else UNCONFIGURED
    return attrs.evolve(node, layered=found.inputs.layered, found=found, now=now, missing=missing)


def _partly(node: CheckedNode, facts: Facts) -> CheckedNode:
    found = _as_told(node.host, node.layered, facts, node.told) if node.layered and node.told else None
    if found is None:
        return attrs.evolve(node, missing=NEEDS_ROOT)
    return attrs.evolve(node, found=found, now=found, partial=True)


def _resolve(node: CheckedNode, static: StaticSettings, facts: Facts) -> Resolved:
    """Resolve these facts, with what the last pass chose of several proxies: a check chooses none."""
    state, inputs = node.host.state, load_inputs(node.host, static, facts)
    return compose_intent(inputs, Network(probe_directly(state, inputs), remembered_choice(state, inputs), None))


def _wrong(node: CheckedNode, error: AgentError) -> CheckedNode:
    """What the owner gave is wrong, or only root may read it: then nothing that depends on it can be looked at."""
    if reason(error) == NEEDS_ROOT:
        return attrs.evolve(node, missing=NEEDS_ROOT)
    return attrs.evolve(node, wrong=error, missing="needs valid settings (see settings)")


def _told(host: Host) -> StatusDocument | None:
    try:
        return host.state.status()
    except AgentError:
        return None


def _known_facts(node: CheckedNode) -> Facts | None:
    """The facts that the last pass of this boot had; None when there was none, or only root can tell."""
    instance = (node.told.instance_id if node.told else None) or ""
    try:
        kept = node.host.state.of_instance(instance, "facts") if re.fullmatch("i-[0-9a-f]+", instance) else None
        return facts_from_json(json.dumps(kept)) if kept else None
    except AgentError:
        return None


def _as_of_the_last_pass(facts: Facts, known: Facts | None) -> Facts:
    """The facts with the VPC's CIDRs of then, if some were added since on this same instance."""
    if known is None or known.instance_id != facts.instance_id:
        return facts
    if set(_cidrs(facts)) <= set(_cidrs(known)):
        return facts
    return attrs.evolve(facts, vpc_cidrs_v4=known.vpc_cidrs_v4, vpc_cidrs_v6=known.vpc_cidrs_v6)


def _cidrs(facts: Facts) -> tuple[str, ...]:
    return facts.vpc_cidrs_v4 + facts.vpc_cidrs_v6


def _as_told(host: Host, layered: Layered, facts: Facts, told: StatusDocument) -> Resolved | None:
    """The Intent of the last pass without its credentials, with the settings of the files; None without such a pass."""
    intent = told.intent()
    if intent is None or told.instance_id != facts.instance_id:
        return None
    try:
        info = cluster_info(host.files, layered.settings, read_user_data(facts.user_data))
    except AgentError:
        info = ClusterInfo()
    return Resolved(Inputs(layered, facts, info), intent)
