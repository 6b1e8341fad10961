"""Problems of one ConfigMap, workload or pod, compared with the nodes, as texts."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.core.cluster.container_state import ContainerState, container_states
from agent.core.cluster.managed_fields import FieldManager, container_path, keyed_by_name, other_managers
from agent.core.cluster.objects import CHECKSUM, NAME, VARIABLES, Source
from agent.core.cluster.patch import (
    containers,
    template_spec,
)
from agent.core.cluster.rollout import desired_pods
from agent.core.cluster.undo_annotation import Undo
from agent.core.record import evolve, record
from agent.core.settings.workloads import Workload

#: States of a pod.  ENDING: it terminates or has terminated, and is ignored.  STALE: it has old
#: values.  WRONG: its spec is wrong.
OK, ENDING, STALE, WRONG = "ok", "ending", "stale", "wrong"
_ENDED = ("Succeeded", "Failed")


@record
class Expected:
    """ConfigMap or Secret of the cluster with which the pods of a namespace are compared.

    `changed` is when its data last changed, `edited` when anyone but the agent last changed it, and
    `created` when it was created.  All are RFC 3339 as the API writes it, "" if unknown.
    """

    source: Source
    changed: str = ""
    edited: str = ""
    created: str = ""


@record
class PodVerdict:
    """State of one pod; the texts in `problems` are equal for all pods with the same problem."""

    namespace: str
    name: str
    node: str
    state: str
    problems: tuple[str, ...] = ()


def source_problems(source: Source, desired: Mapping[str, str] | None, direct: Sequence[tuple[str, str]]) -> list[str]:
    """Return the problems of the ConfigMap's data.

    `desired` are the variables of the Intent, or None if they are unknown.  `direct` are pairs of a
    CIDR or host that NO_PROXY has to cover, and its name.  The texts have no proxy URL, which may
    contain a password.
    """
    problems = [f"{name} is missing" for name in VARIABLES if name not in source.data]
    problems += [
        f"{name} differs from the settings{_difference(source.data[name], desired[name], name)}"
        for name in VARIABLES
        if desired is not None and name in source.data and source.data[name] != desired[name]
    ]
    for name in ("no_proxy", "NO_PROXY"):
        if name in source.data:
            entries = source.data[name].split(",")
            problems += [
                f"{name} does not cover {what} {value}" for value, what in direct if not covers(entries, value)
            ]
    return problems


def _difference(actual: str, desired: str, name: str) -> str:
    """Return which entries of NO_PROXY differ; for proxy URLs, return nothing."""
    if name.lower() != "no_proxy":
        return ""
    actual_entries, desired_entries = actual.split(","), desired.split(",")
    missing = [entry for entry in desired_entries if entry not in actual_entries]
    unexpected = [entry for entry in actual_entries if entry not in desired_entries]
    parts = [f"missing {' '.join(missing)}"] if missing else []
    parts += [f"unexpected {' '.join(unexpected)}"] if unexpected else []
    return f": {'; '.join(parts)}" if parts else ": different order"


def covers(entries: Sequence[str], value: str) -> bool:
    """Return True if an entry of NO_PROXY covers a CIDR or host.

    An entry covers itself, the CIDRs inside it, and the hosts of its domain.
    """
    if "/" in value:
        network = ipaddress.ip_network(value)
        return any(_is_inside(network, entry) for entry in entries)
    host = value.lower()
    names = (entry.lower().lstrip(".") for entry in entries if entry)
    if any(host == name or host.endswith("." + name) for name in names):
        return True
    try:
        address = ipaddress.ip_network(host)
    except ValueError:
        return False
    return any(_is_inside(address, entry) for entry in entries)


def _is_inside(network: Any, entry: str) -> bool:
    try:
        outer = ipaddress.ip_network(entry)
    except ValueError:
        return False
    return bool(outer.version == network.version and network.subnet_of(outer))


def template_problems(obj: Mapping[str, Any], expected: Expected) -> list[str]:
    """Return the problems of a workload's pod template, each with the field managers that wrote."""
    kind = expected.source.kind
    undo = Undo.read(obj)
    states = container_states(template_spec(obj), expected.source)
    problems = []
    for state in states:
        path = container_path(state.group, state.name)
        if state.lacks_reference:
            is_lost = f"{state.group}/{state.name}" in undo.env_from
            problem = _lost_reference(kind) if is_lost else _no_reference(kind)
            problems.append(f"{state.where}: {problem}{_written_by(other_managers(obj, path))}")
        for entry in state.later:
            writers = other_managers(obj, [*path, "f:envFrom"])
            problems.append(f"{state.where}: {_later_reference(entry)}{_written_by(writers)}")
        written: dict[str, list[str]] = {}
        for name in state.overrides:
            text = _written_by(other_managers(obj, [*path, "f:env", keyed_by_name(name)]))
            written.setdefault(text, []).append(name)
        problems += [f"{state.where}: {_overrides(names)}{text}" for text, names in written.items()]
    annotation = _annotations(obj["spec"]["template"]).get(CHECKSUM)
    needs_checksum = any(state.uses_source for state in states)
    if not problems and needs_checksum and annotation != expected.source.checksum:
        problems.append(_checksum_problem(annotation))
    return problems


def _overrides(names: Iterable[str]) -> str:
    return f"env {', '.join(names)} overrides envFrom"


def _no_reference(kind: str) -> str:
    return f"no envFrom reference to {kind} {NAME}"


def _lost_reference(kind: str) -> str:
    return f"the envFrom reference to {kind} {NAME} was removed"


def _later_reference(entry: str) -> str:
    return f"envFrom {entry} comes after the agent's reference and may override it"


def absence_problems(obj: Mapping[str, Any], workload: Workload, pods: int) -> list[str]:
    """Return the problem of a workload that should have pods but has none, so none was checked."""
    desired = desired_pods(obj)
    if pods or not desired:
        return []
    command = f"kubectl -n {workload.namespace} describe {workload.kind.lower()} {workload.name}"
    return [f"no pods (expected {desired}); to see why: {command}"]


def _checksum_problem(annotation: str | None) -> str:
    if annotation is None:
        return "the pod template has no checksum annotation; changed values would not start a rollout"
    return "the pod template has older values"


def _written_by(writers: Sequence[FieldManager]) -> str:
    return f"; written by field manager {' and '.join(map(str, writers))}" if writers else ""


def selector_text(selector: Mapping[str, Any]) -> str:
    """Return a label selector as the API takes it in a URL's query, before percent-encoding."""
    terms = [f"{key}={value or ''}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or []:
        key, values = expression["key"], ",".join(expression.get("values") or [])
        forms = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "DoesNotExist": f"!{key}"}
        terms.append(forms.get(expression["operator"], str(key)))
    return ",".join(terms)


def foreign_managers(obj: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of other field managers of a workload's containers, without duplicates."""
    paths = [container_path(group, str(container["name"])) for group, _, container in containers(template_spec(obj))]
    return tuple(dict.fromkeys(writer.manager for path in paths for writer in other_managers(obj, path)))


def has_ended(pod: Mapping[str, Any]) -> bool:
    """Return True if a pod terminates or has terminated: no container starts in it again."""
    return bool(pod["metadata"].get("deletionTimestamp")) or (pod.get("status") or {}).get("phase") in _ENDED


def judge_pod(pod: Mapping[str, Any], expected: Expected) -> PodVerdict:
    """Compare one pod with its ConfigMap or Secret."""
    metadata = pod["metadata"]
    spec, kind = pod["spec"], expected.source.kind
    verdict = PodVerdict(str(metadata["namespace"]), str(metadata["name"]), str(spec.get("nodeName") or ""), OK)
    if has_ended(pod):
        return evolve(verdict, state=ENDING)
    states = container_states(spec, expected.source)
    problems: dict[tuple[str, ...], list[str]] = {}  # containers with the same problems share a text
    for state in states:
        texts = [_no_reference(kind)] if state.lacks_reference else []
        texts += map(_later_reference, state.later)
        texts += [_overrides(state.overrides)] if state.overrides else []
        if texts:
            problems.setdefault(tuple(texts), []).append(state.where)
    if problems:
        line = "; ".join(f"{', '.join(names)}: {' and '.join(texts)}" for texts, names in problems.items())
        return evolve(verdict, state=WRONG, problems=(line,))
    stale = _stale_problem(pod, states, expected)
    return evolve(verdict, state=STALE, problems=(stale,)) if stale else verdict


def _stale_problem(pod: Mapping[str, Any], states: Iterable[ContainerState], expected: Expected) -> str:
    """Return the problem of a pod with old values, or "".

    A pod that takes no value of the ConfigMap has none.  A container gets its environment when it
    starts, so the values have to be there before.  A change by the agent also changes the checksum.
    An edit of the ConfigMap by anyone else does not, once the old values are back.
    """
    users = [state for state in states if state.uses_source]
    if not users:
        return ""
    annotation = _annotations(pod).get(CHECKSUM)
    if annotation is not None and annotation != expected.source.checksum:
        return "created with older values"
    changed = expected.changed if annotation is None else expected.edited
    if not all(state.needs_source for state in users):
        changed = max(changed, expected.created)
    start = started(pod)
    if changed and start and start < changed:
        return f"a container started before the last change of {NAME} ({changed})"
    return ""


def started(pod: Mapping[str, Any]) -> str:
    """Return when the longest running container started, or "" if none runs."""
    status = pod.get("status") or {}
    statuses = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]  # sidecars too
    times = [((status.get("state") or {}).get("running") or {}).get("startedAt") for status in statuses]
    return min(filter(None, times), default="")


def _annotations(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return (obj.get("metadata") or {}).get("annotations") or {}
