"""The proxy variables for `explain`: of the command line, planned, or in force on this node."""

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

_NOTHING = "no proxy is set on this node; use --proxy and --no-proxy, or --planned to read the settings"


@attrs.frozen
class VariablesSource:
    """Values, the node's region if known, and notes on the source of the values."""

    values: Values
    region: str = ""
    notes: tuple[str, ...] = ()


def values_of(arguments: argparse.Namespace) -> VariablesSource:
    """Return the values that the flags select.

    `--no-proxy` and `--proxy` override the values in force.  `--planned`, and any other flag that
    reads settings, selects what `apply` would write.  The metadata service is queried only then,
    and only without `--facts`.
    """
    is_planned = arguments.planned or arguments.facts or arguments.sets or arguments.config
    source = _planned(arguments) if is_planned else _in_force(files_of(arguments))
    if arguments.proxy and not is_planned:
        proxy = _proxy(arguments.proxy)
        values = source.values
        changed = variables(proxy, proxy, values.no_proxy)
        source = attrs.evolve(source, values=attrs.evolve(values, environment=changed))
        if not values.no_proxy and arguments.no_proxy is None:
            source = attrs.evolve(source, notes=("NO_PROXY is not set on this node; give a list with --no-proxy",))
    if arguments.no_proxy is not None:
        source = VariablesSource(_with_list(source.values, arguments.no_proxy), source.region)
    return source


def _proxy(text: str) -> str:
    try:
        return str(parse_proxy_url(text))
    except ValueError as error:
        raise UsageError(f"--proxy: {error}") from None


def _with_list(values: Values, no_proxy: str) -> Values:
    """Return values with the same proxy and another list."""
    http, https = (values.environment.get(name) or UNNAMED for name in ("http_proxy", "https_proxy"))
    return Values(variables(http, https, no_proxy))


def _planned(arguments: argparse.Namespace) -> VariablesSource:
    from agent.node.host import host_of
    from agent.node.inputs import facts_of, load_inputs
    from agent.node.reachability import unprobed_notes
    from agent.node.reconcile import compose_intent, probe
    from agent.node.sources import sources_of, static_settings

    host = host_of(arguments)
    static = static_settings(host.files, sources_of(arguments))
    inputs = load_inputs(host, static, facts_of(static))
    intent = compose_intent(inputs, probe(host.state, inputs)).intent
    if intent is None:
        raise AgentError("proxy.url: not set, so nothing is planned", hint="set it with --proxy URL")
    values = of_entries(intent.no_proxy, str(intent.http_proxy), str(intent.https_proxy))
    return VariablesSource(values, inputs.facts.region, ("planned: what `apply` would write", *unprobed_notes(inputs)))


def _in_force(files: FileSystem) -> VariablesSource:
    """Return the values of the first of these that has any.

    They are /etc/environment, which is world-readable; the file that the units read; status.json.
    """
    status = _status(files)
    intent = status.intent() if status else None
    reasons = {entry.value: entry.reason for entry in intent.no_proxy} if intent else {}
    environments = {name: _variables(files, name) for name in (ENVIRONMENT, NODE_ENV)}
    name = next((name for name, environment in environments.items() if environment), "")
    region = (status.region if status else None) or ""
    notes: list[str] = []
    if name:
        notes.append(f"in force: {name}" + ("" if reasons else "; status.json has no reasons for its entries"))
        if (
            name == ENVIRONMENT
            and not _bare(environments[NODE_ENV]).items() <= _bare(environments[ENVIRONMENT]).items()
        ):
            notes.append(f"units read {NODE_ENV}, which differs; run: eks-proxy-agent check")
        return VariablesSource(Values(environments[name], reasons, FOREIGN), region, tuple(notes))
    if intent:
        environment = variables(str(intent.http_proxy), str(intent.https_proxy), ",".join(reasons))
        return VariablesSource(Values(environment, reasons, FOREIGN), region, ("in force: status.json",))
    return VariablesSource(Values({}), region, (_NOTHING,))


def _variables(files: FileSystem, name: str) -> dict[str, str]:
    """Return the variables in a file, without credentials; empty if the file cannot be read."""
    try:
        text = files.read(name) or b""
    except FileError:
        return {}
    return {key: value if key.lower() == "no_proxy" else _shown(value) for key, value in variables_in(text).items()}


def _shown(url: str) -> str:
    """Return a proxy's URL, safe to print.

    Clients also accept a URL without a scheme, and that may contain a password.
    """
    rest = re.sub(r"\A[A-Za-z][A-Za-z0-9+.-]*://", "", url)
    return url[: len(url) - len(rest)] + printable(rest)


def _bare(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables without masked credentials, which only node.env may have."""
    return {key: value.replace("***@", "") for key, value in environment.items()}


def _status(files: FileSystem) -> StatusDocument | None:
    from agent.edges.state import State

    try:
        return State(files).status()
    except FileError:
        return None
