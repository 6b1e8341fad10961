"""The proxy variables for `explain`: of the command line, planned, or in force on this node."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from agent.core.net.proxy_url import parse_proxy_url
from agent.core.noproxy.explain import FOREIGN, UNNAMED, Values, of_entries, shown_url, variables
from agent.core.plan.elsewhere.place import ProxyPlace, is_proxy_name
from agent.core.plan.files.environment import ENVIRONMENT, NODE_ENV, assignments
from agent.core.plan.files.systemd_dropin import EnvironmentDropin
from agent.core.record import evolve, record
from agent.core.settings.unit_table import UNORDERED, reads_etc_environment, service_unit, variables_of
from agent.edges.files import FileSystem
from agent.errors import AgentError, FileError, UsageError
from agent.node.elsewhere import other_places, unit_places
from agent.node.host import files_of

if TYPE_CHECKING:
    from agent.commands.pod_containers import PodContainers
    from agent.core.status.document import StatusDocument

_NOTHING = "no proxy is set on this node; use --proxy and --no-proxy, or --planned to read the settings"


@record
class VariablesSource:
    """Values, the node's region if known, and notes on the source of the values.

    `subject` are the containers that have these values, None for a node.
    """

    values: Values
    region: str = ""
    notes: tuple[str, ...] = ()
    subject: PodContainers | None = None


def values_of(arguments: argparse.Namespace) -> VariablesSource:
    """Return the values that the flags select.

    `--no-proxy` and `--proxy` override the values in force.  `--planned`, and any other flag that
    reads settings, selects what `apply` would write.  The metadata service is queried only then,
    and only without `--facts`.  `--unit` selects what the next start of a unit gets.
    """
    is_planned = arguments.planned or arguments.facts or arguments.sets or arguments.config
    unit = _unit(arguments.unit) if arguments.unit else ""
    source = _planned(arguments, unit) if is_planned else _in_force(files_of(arguments), unit)
    if arguments.proxy and not is_planned:
        proxy = _proxy(arguments.proxy)
        values = source.values
        changed = variables(proxy, proxy, values.no_proxy)
        source = evolve(source, values=evolve(values, environment=changed))
        if not values.no_proxy and arguments.no_proxy is None:
            source = evolve(source, notes=("NO_PROXY is not set on this node; give a list with --no-proxy",))
    if arguments.no_proxy is not None:
        source = VariablesSource(_with_list(source.values, arguments.no_proxy), source.region)
    return _for_unit(source, unit) if unit else source


def _proxy(text: str) -> str:
    try:
        return str(parse_proxy_url(text))
    except ValueError as error:
        raise UsageError(f"--proxy: {error}") from None


def _unit(text: str) -> str:
    try:
        return service_unit(text)
    except ValueError as error:
        raise UsageError(f"--unit: {error}") from None


def _not_covered(unit: str) -> AgentError:
    hint = (
        f"add it to node.units; to see what it gets now: systemctl show --property=Environment,EnvironmentFiles {unit}"
    )
    return AgentError(
        f"--unit: {unit} has no drop-in of the agent, so the agent does not know its environment", hint=hint
    )


def _for_unit(source: VariablesSource, unit: str) -> VariablesSource:
    """Return the source without the variables that the drop-in of `unit` removes."""
    environment = {name: value for name, value in variables_of(unit, source.values.environment.items()) if value}
    removed = [name for name in source.values.environment if name not in environment]
    notes: tuple[str, ...] = (f"{unit}: without {', '.join(removed)}",) if removed else ()
    notes += (f"{unit}: {UNORDERED[unit].caveat}",) if unit in UNORDERED else ()
    values = evolve(source.values, environment=environment)
    return evolve(source, values=values, notes=source.notes + notes)


def _with_list(values: Values, no_proxy: str) -> Values:
    """Return values with the same proxy and another list."""
    http, https = (values.environment.get(name) or UNNAMED for name in ("http_proxy", "https_proxy"))
    return Values(variables(http, https, no_proxy))


def _planned(arguments: argparse.Namespace, unit: str) -> VariablesSource:
    from agent.node.host import host_of
    from agent.node.inputs import facts_of, load_inputs
    from agent.node.reachability import unprobed_notes
    from agent.node.reconcile import compose_intent, probe
    from agent.node.sources import sources_of, static_settings

    host = host_of(arguments)
    static = static_settings(host.files, sources_of(arguments))
    inputs = load_inputs(host, static, facts_of(static))
    intent = compose_intent(inputs, probe(host, inputs)).intent
    if intent is None:
        raise AgentError("proxy.url: not set, so nothing is planned", hint="set it with --proxy URL")
    if unit and unit not in inputs.settings.node.units:
        raise _not_covered(unit)
    values = of_entries(intent.no_proxy, str(intent.http_proxy), str(intent.https_proxy))
    notes = ("planned: what `apply` would write", *unprobed_notes(inputs))
    return VariablesSource(values, inputs.facts.region, notes)


def _in_force(files: FileSystem, unit: str) -> VariablesSource:
    """Return the values of the node, or of a covered unit.  Raises AgentError for another unit."""
    if not unit:
        source = _first_in_force(files, (ENVIRONMENT, NODE_ENV))
        return _with_places(source, (*unit_places(files), *other_places(files)))
    if files.state(EnvironmentDropin.path_of(unit)).content is None:
        raise _not_covered(unit)
    node_env = files.state(NODE_ENV)
    if node_env.content is None and not node_env.problem and not reads_etc_environment(unit):
        note = f"{NODE_ENV} is missing, so {unit} gets no proxy; run: eks-proxy-agent apply"
        return VariablesSource(Values({}), notes=(note,))
    source = _first_in_force(files, (NODE_ENV, ENVIRONMENT))
    return _with_places(source, (place for place in unit_places(files) if place.unit == unit))


def _with_places(source: VariablesSource, places: Iterable[ProxyPlace]) -> VariablesSource:
    """Return the source with a note on each place that sets another proxy for some programs."""
    texts = ((place.path, place.text(source.values.environment, has_credentials=False)) for place in places)
    return evolve(source, notes=(*source.notes, *(f"{path}: {text}" for path, text in texts if text)))


def _first_in_force(files: FileSystem, names: Sequence[str]) -> VariablesSource:
    """Return the values of the first of `names` that has any, else those of status.json.

    /etc/environment is world-readable; node.env, which units read, is not.
    """
    status = _status(files)
    intent = status.intent() if status else None
    reasons = {entry.value: entry.reason for entry in intent.no_proxy} if intent else {}
    environments = {name: _variables(files, name) for name in (ENVIRONMENT, NODE_ENV)}
    name = next((name for name in names if environments[name]), "")
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
    """Return the proxies that systemd reads from a file, without credentials.

    It is empty if the file cannot be read.
    """
    try:
        text = files.read(name) or b""
    except FileError:
        return {}
    proxies = {key: value for key, value in assignments(text).items() if is_proxy_name(key)}
    return {key: value if key.lower() == "no_proxy" else shown_url(value) for key, value in proxies.items()}


def _bare(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables without masked credentials, which only node.env may have."""
    return {key: value.replace("***@", "") for key, value in environment.items()}


def _status(files: FileSystem) -> StatusDocument | None:
    from agent.edges.state import State

    try:
        return State(files).status()
    except FileError:
        return None
