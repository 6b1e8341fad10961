"""The proxy variables of a pod's containers for `explain --pod`, read from the cluster."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from agent.cluster.inputs import kubectl_of, settings_of
from agent.commands.pod_containers import NODE_JS, PodContainers, shown
from agent.commands.proxy_variables import VariablesSource
from agent.core.cluster.managed_fields import data_changed
from agent.core.cluster.objects import RESOURCE
from agent.core.cluster.pod_env import (
    ContainerEnv,
    ObjectData,
    ObjectRef,
    PodVariable,
    container_envs,
    decoded_data,
    objects_of,
)
from agent.core.cluster.pod_state import started
from agent.core.net.proxy_url import quoted
from agent.core.noproxy.dialects import nodejs
from agent.core.noproxy.dialects.families import ALL_DIALECTS
from agent.core.noproxy.explain import Values
from agent.core.plan.elsewhere.place import is_proxy_name
from agent.edges.kubectl import Kubectl, KubectlError
from agent.errors import AgentError, UsageError

_POD = re.compile(r"(?P<namespace>[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)/(?P<name>[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?)")
#: Flags that select other values; a pod has its own.
_OTHERS = ("no_proxy", "proxy", "facts", "planned", "unit")
#: Why the rest of a container's environment is unknown.
_IMAGE = "variables of the image and of what runs in the container are not known here"


def sources_of_pod(arguments: argparse.Namespace) -> list[VariablesSource]:
    """Return the variables of each container of --pod; those that have the same share a source.

    Raises UsageError, and AgentError if the pod cannot be read.
    """
    flags = ["--" + name.replace("_", "-") for name in _OTHERS if getattr(arguments, name) not in ("", None, False)]
    if flags:
        raise UsageError(f"--pod: not allowed with {', '.join(flags)}: a pod has its own variables")
    match = _POD.fullmatch(arguments.pod)
    if match is None:
        raise UsageError(f"--pod {quoted(arguments.pod)}: expected NAMESPACE/NAME")
    kubectl = kubectl_of(arguments, settings_of(arguments))
    path = f"/api/v1/namespaces/{match['namespace']}/pods/{match['name']}"
    pod = kubectl.find(path, "Pod", f"reading pod {arguments.pod}")
    if pod is None:
        hint = f"to list the pods: kubectl -n {match['namespace']} get pods"
        raise AgentError(f"pod {arguments.pod}: not found in this cluster", hint=hint)
    objects = {ref: _read(kubectl, match["namespace"], ref) for ref in objects_of(pod["spec"], _is_wanted)}
    envs = container_envs(pod["spec"], objects, _is_wanted)
    groups: dict[tuple[tuple[PodVariable, ...], tuple[str, ...]], list[str]] = {}
    for env in envs:
        problems = (*env.problems, *_outdated(env, objects, started(pod)))
        groups.setdefault((_ordered(env), problems), []).append(env.where)
    return [
        _source(PodContainers(arguments.pod, tuple(names), variables, problems))
        for (variables, problems), names in groups.items()
    ]


def _is_wanted(name: str) -> bool:
    return is_proxy_name(name) or name in NODE_JS


def _ordered(env: ContainerEnv) -> tuple[PodVariable, ...]:
    """Return the variables by name.

    NODE_OPTIONS, which may hold anything, is one of them only if it makes Node.js read the others.
    """
    listed = env.variables.values()
    relevant = (item for item in listed if item.name != "NODE_OPTIONS" or nodejs.is_enabled(_values([item])))
    return tuple(sorted(relevant, key=lambda item: (item.name.lower(), item.name)))


def _values(variables: Iterable[PodVariable]) -> dict[str, str]:
    return {variable.name: variable.value for variable in variables if variable.value is not None}


def _source(containers: PodContainers) -> VariablesSource:
    environment = {variable.name: shown(variable) for variable in containers.variables if variable.value is not None}
    origins = {variable.name: variable.origin for variable in containers.variables}
    origin = origins.get("no_proxy") or origins.get("NO_PROXY") or ""
    values = Values(environment, otherwise=origin, families=ALL_DIALECTS, is_complete=True)
    return VariablesSource(values, subject=containers, notes=(_IMAGE,))


def _read(kubectl: Kubectl, namespace: str, ref: ObjectRef) -> ObjectData:
    """Return the content of a ConfigMap or Secret, or why it is unknown.  Raises KubectlError."""
    path = f"/api/v1/namespaces/{namespace}/{RESOURCE[ref.kind]}/{quote(ref.name, safe='')}"
    try:
        obj = kubectl.find(path, ref.kind, f"reading {ref}")
    except KubectlError as error:
        if error.reason != "Forbidden":
            raise
        return ObjectData(problem="you have no permission to read it, so its values are unknown")
    if obj is None:
        return ObjectData()
    return ObjectData(decoded_data(ref.kind, obj.get("data") or {}), changed=data_changed(obj, by_us=True))


def _outdated(env: ContainerEnv, objects: Mapping[ObjectRef, ObjectData], start: str) -> list[str]:
    """Return a text for each object that changed after the containers of the pod had started."""
    return [
        f"{ref}: changed at {objects[ref].changed}, after the pod had started; a container has the values of its start"
        for ref in env.used
        if start and objects[ref].changed > start
    ]
