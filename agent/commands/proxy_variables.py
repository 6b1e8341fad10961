"""The proxy variables that `explain` is about: given, planned, or in force on this node."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from agent.core.net.proxy_url import parse_proxy_url
from agent.core.noproxy.explain import FOREIGN, UNNAMED, Values, of_entries, printable, variables, variables_in
from agent.core.plan.files.environment import ENVIRONMENT, NODE_ENV
from agent.edges.files import FileSystem
from agent.errors import AgentError, FileError, UsageError
from agent.node.host import files_of

if TYPE_CHECKING:
    from agent.core.status.document import StatusDocument

_NOTHING = "no proxy is set here; name one with --proxy and --no-proxy, or take the settings with --planned"


@attrs.frozen
class VariablesSource:
    """Values, the node's region if it is known, and what to say of where they come from."""

    values: Values
    region: str = ""
    notes: tuple[str, ...] = ()


def values_of(arguments: argparse.Namespace) -> VariablesSource:
    """What the flags ask for.

    `--no-proxy` and `--proxy` go over what is in force; `--planned`, and what else reads settings,
    takes what `apply` would write.  Nothing but `--planned` without `--facts` asks the metadata
    service.
    """
    planned = arguments.planned or arguments.facts or arguments.sets or arguments.config
    source = _planned(arguments) if planned else _in_force(files_of(arguments))
    if arguments.proxy and not planned:
        proxy = _proxy(arguments.proxy)
        known = source.values
        changed = variables(proxy, proxy, known.no_proxy)
        source = attrs.evolve(source, values=attrs.evolve(known, environment=changed))
        if not known.no_proxy and arguments.no_proxy is None:
            source = attrs.evolve(source, notes=("no list is in force here; give one with --no-proxy",))
    if arguments.no_proxy is not None:
        source = VariablesSource(_given(source.values, arguments.no_proxy), source.region)
    return source


def _proxy(text: str) -> str:
    try:
        return str(parse_proxy_url(text))
    except ValueError as error:
        raise UsageError(f"--proxy: {error}") from None


def _given(known: Values, no_proxy: str) -> Values:
    """Another list for the same proxy."""
    http, https = (known.environment.get(name) or UNNAMED for name in ("http_proxy", "https_proxy"))
    return Values(variables(http, https, no_proxy))


def _planned(arguments: argparse.Namespace) -> VariablesSource:
    from agent.node.host import host_of
    from agent.node.inputs import facts_of, load_inputs
    from agent.node.reachability import left_open
    from agent.node.reconcile import compose_intent, probe
    from agent.node.sources import sources_of, static_settings

    host = host_of(arguments)
    static = static_settings(host.files, sources_of(arguments))
    inputs = load_inputs(host, static, facts_of(static))
    intent = compose_intent(inputs, probe(host.state, inputs)).intent
    if intent is None:
        raise AgentError("no proxy.url in the settings: nothing is planned", hint="--proxy URL names one")
    values = of_entries(intent.no_proxy, str(intent.http_proxy), str(intent.https_proxy))
    return VariablesSource(values, inputs.facts.region, ("planned: what `apply` would write", *left_open(inputs)))


def _in_force(files: FileSystem) -> VariablesSource:
    """/etc/environment, which everybody may read; else what the units read; else what status.json says."""
    status = _status(files)
    intent = status.intent() if status else None
    reasons = {entry.value: entry.reason for entry in intent.no_proxy} if intent else {}
    shown = {name: _variables(files, name) for name in (ENVIRONMENT, NODE_ENV)}
    name = next((name for name, found in shown.items() if found), "")
    region = (status.region if status else None) or ""
    notes: list[str] = []
    if name:
        notes.append(f"in force: {name}" + ("" if reasons else "; status.json has no reasons for its entries"))
        if name == ENVIRONMENT and not _bare(shown[NODE_ENV]).items() <= _bare(shown[ENVIRONMENT]).items():
            notes.append(f"the units read {NODE_ENV}, which is not the same: see `eks-proxy-agent check`")
        return VariablesSource(Values(shown[name], reasons, FOREIGN), region, tuple(notes))
    if intent:
        environment = variables(str(intent.http_proxy), str(intent.https_proxy), ",".join(reasons))
        return VariablesSource(Values(environment, reasons, FOREIGN), region, ("in force, by status.json",))
    return VariablesSource(Values({}), region, (_NOTHING,))


def _variables(files: FileSystem, name: str) -> dict[str, str]:
    """The variables in a file, without credentials; none of what only root may read."""
    try:
        text = files.read(name) or b""
    except FileError:
        return {}
    return {key: value if key.lower() == "no_proxy" else _shown(value) for key, value in variables_in(text).items()}


def _shown(url: str) -> str:
    """A proxy's URL as it can be printed: clients take one without a scheme, too, and that may have a password."""
    rest = re.sub(r"\A[A-Za-z][A-Za-z0-9+.-]*://", "", url)
    return url[: len(url) - len(rest)] + printable(rest)


def _bare(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables without the masks of credentials, which node.env alone may hold."""
    return {key: value.replace("***@", "") for key, value in environment.items()}


def _status(files: FileSystem) -> StatusDocument | None:
    from agent.edges.state import State

    try:
        return State(files).status()
    except FileError:
        return None
