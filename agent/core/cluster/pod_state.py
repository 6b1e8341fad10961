"""Whether ConfigMap, workloads and pods are as the nodes are: what is off, in words.  Pure; one object at a time."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from agent.core.cluster.managed_fields import Owner, container_path, named, others
from agent.core.cluster.objects import CHECKSUM, NAME, VARIABLES, Source
from agent.core.cluster.patch import beaten, containers, needs, overruled, refers, shown_group, template_spec
from agent.core.cluster.rollout import wanted_pods
from agent.core.cluster.undo_annotation import Undo
from agent.core.settings.workloads import Workload

#: How a pod stands: it ends or has ended (nobody cares), its values are old, something is wrong
#: with it.
OK, ENDING, STALE, WRONG = "ok", "ending", "stale", "wrong"
_ENDED = ("Succeeded", "Failed")
_LATER = "envFrom {} comes after ours, and may beat it"


@attrs.frozen
class Expected:
    """What pods of a namespace are compared with: the cluster's own ConfigMap or Secret.

    `changed` is when its data last changed, `edited` when by somebody else than us, and `created`
    when it came to be; RFC 3339 as the API writes it, empty when that is not known.
    """

    source: Source
    changed: str = ""
    edited: str = ""
    created: str = ""


@attrs.frozen
class Pod:
    """One pod's verdict; `problems` are the same text for all pods with the same problem."""

    namespace: str
    name: str
    node: str
    state: str
    problems: tuple[str, ...] = ()


def source_problems(source: Source, wanted: Mapping[str, str] | None, direct: Sequence[tuple[str, str]]) -> list[str]:
    """What is wrong with the ConfigMap's data.

    `wanted` are the variables of the Intent, or None when they are not known; `direct` pairs of
    what NO_PROXY has to cover (a CIDR or a host) and what it is.  No value is told: it may hold a
    password.
    """
    found = [f"{name} is missing" for name in VARIABLES if name not in source.data]
    found += [
        f"{name} is not what the settings say{_difference(source.data[name], wanted[name], name)}"
        for name in VARIABLES
        if wanted is not None and name in source.data and source.data[name] != wanted[name]
    ]
    for name in ("no_proxy", "NO_PROXY"):
        entries = source.data.get(name, "").split(",")
        missing = [(value, what) for value, what in direct if name in source.data and not covered(value, entries)]
        found += [f"{name} lacks {what} {value}" for value, what in missing]
    return found


def _difference(found: str, wanted: str, name: str) -> str:
    """Which entries of NO_PROXY differ; of the proxies nothing."""
    if name.lower() != "no_proxy":
        return ""
    here, there = found.split(","), wanted.split(",")
    parts = ["lacks " + " ".join(e for e in there if e not in here)] if set(there) - set(here) else []
    parts += ["has besides " + " ".join(e for e in here if e not in there)] if set(here) - set(there) else []
    return ": " + "; ".join(parts) if parts else ": another order"


def covered(value: str, entries: Sequence[str]) -> bool:
    """Whether an entry of NO_PROXY is this CIDR, a larger one, this host, or a domain above it."""
    if "/" in value:
        network = ipaddress.ip_network(value)
        return any(_inside(network, entry) for entry in entries)
    host = value.lower()
    names = (entry.lower().lstrip(".") for entry in entries if entry)
    if any(host == name or host.endswith("." + name) for name in names):
        return True
    try:
        address = ipaddress.ip_network(host)
    except ValueError:
        return False
    return any(_inside(address, entry) for entry in entries)


def _inside(network: Any, entry: str) -> bool:
    try:
        outer = ipaddress.ip_network(entry)
    except ValueError:
        return False
    return bool(outer.version == network.version and network.subnet_of(outer))


def template_problems(found: Mapping[str, Any], expected: Expected) -> list[str]:
    """What is wrong with a workload's pod template, and who wrote it."""
    spec, kind = template_spec(found), expected.source.kind
    undo = Undo.read(found)
    problems = []
    for group, _, container in containers(spec):
        if not refers(container, kind):
            name = str(container["name"])
            had = f"{group}/{name}" in undo.env_from
            what = "lost its envFrom of" if had else "has no envFrom of"
            owner = others(found, container_path(group, name))
            problems.append(f"{shown_group(group)} {name} {what} {kind} {NAME}{_written_by(owner)}")
    for group, name, entry in overruled(spec, kind):
        owner = others(found, container_path(group, name, "f:envFrom"))
        problems.append(f"{shown_group(group)} {name}: {_LATER.format(entry)}{_written_by(owner)}")
    for one in beaten(spec, kind):
        path = container_path(one.group, one.container, "f:env", named(one.variable))
        problems.append(f"{one.where}: env {one.variable} beats envFrom{_written_by(others(found, path))}")
    annotation = _annotations(found["spec"]["template"]).get(CHECKSUM)
    if not problems and annotation != expected.source.checksum:
        problems.append(_checksum_problem(annotation))
    return problems


def absence(found: Mapping[str, Any], workload: Workload, pods: int) -> list[str]:
    """What is wrong when a workload has none of the pods that it is to have: nothing was looked at then."""
    wanted = wanted_pods(found)
    if pods or not wanted:
        return []
    way = f"kubectl -n {workload.namespace} describe {workload.kind.lower()} {workload.name}"
    return [f"has no pod, but is to have {wanted}: {way} tells why"]


def _checksum_problem(annotation: str | None) -> str:
    if annotation is None:
        return "the pod template has no checksum: a change of the values starts no rollout"
    return "the pod template is of older values: `cluster apply` rolls the present ones out"


def _written_by(owner: Sequence[Owner]) -> str:
    return "; written by field manager {}".format(" and ".join(map(str, owner))) if owner else ""


def selector_text(selector: Mapping[str, Any]) -> str:
    """A label selector as the API takes it in a URL's query (before percent-encoding)."""
    terms = ["{}={}".format(*pair) for pair in sorted((selector.get("matchLabels") or {}).items())]
    for one in selector.get("matchExpressions") or []:
        key, values = one["key"], ",".join(one.get("values") or [])
        forms = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "DoesNotExist": f"!{key}"}
        terms.append(forms.get(one["operator"], str(key)))
    return ",".join(terms)


def foreign_managers(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Who else writes the containers of a workload: names of field managers, each once."""
    spec = template_spec(found)
    owner = [one for group, _, c in containers(spec) for one in others(found, container_path(group, str(c["name"])))]
    return tuple(dict.fromkeys(one.manager for one in owner))


def has_ended(pod: Mapping[str, Any]) -> bool:
    """Whether a pod ends or has ended: nothing starts in it any more."""
    return bool(pod["metadata"].get("deletionTimestamp")) or (pod.get("status") or {}).get("phase") in _ENDED


def judge_pod(pod: Mapping[str, Any], expected: Expected) -> Pod:
    """How one pod stands."""
    metadata = pod["metadata"]
    spec, kind = pod["spec"], expected.source.kind
    verdict = Pod(str(metadata["namespace"]), str(metadata["name"]), str(spec.get("nodeName", "")), OK)
    if has_ended(pod):
        return attrs.evolve(verdict, state=ENDING)
    problems = [
        "{} {} has no envFrom of {} {}".format(shown_group(group), container["name"], kind, NAME)
        for group, _, container in containers(spec)
        if not refers(container, kind)
    ]
    problems += [f"{shown_group(group)} {name}: {_LATER.format(entry)}" for group, name, entry in overruled(spec, kind)]
    problems += [f"{one.where}: env {one.variable} beats envFrom" for one in beaten(spec, kind)]
    if problems:
        return attrs.evolve(verdict, state=WRONG, problems=tuple(problems))
    stale = _stale(pod, expected)
    return attrs.evolve(verdict, state=STALE, problems=(stale,)) if stale else verdict


def _stale(pod: Mapping[str, Any], expected: Expected) -> str:
    """A container's environment is made when it starts: by then the values have to be there.

    When we change them, the checksum changes too.  Somebody's edit of the ConfigMap, there and
    back, changes no checksum.
    """
    annotation = _annotations(pod).get(CHECKSUM)
    if annotation is not None and annotation != expected.source.checksum:
        return "is of older values"
    changed = expected.changed if annotation is None else expected.edited
    if not all(needs(container, expected.source.kind) for _, _, container in containers(pod["spec"])):
        changed = max(changed, expected.created)
    started = _started(pod)
    if changed and started and started < changed:
        return f"has a container that runs since before the last change of {NAME} ({changed})"
    return ""


def _started(pod: Mapping[str, Any]) -> str:
    """When the longest running container started; empty while none runs."""
    status = pod.get("status") or {}
    statuses = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]  # sidecars too
    times = [((status.get("state") or {}).get("running") or {}).get("startedAt") for status in statuses]
    return min(filter(None, times), default="")


def _annotations(found: Mapping[str, Any]) -> Mapping[str, str]:
    return (found.get("metadata") or {}).get("annotations") or {}
