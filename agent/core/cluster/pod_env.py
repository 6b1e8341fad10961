"""Environment that a container of a pod gets, with the origin of each variable.

Source: makeEnvironmentVariables() in pkg/kubelet/kubelet_pods.go, and third_party/forked/golang/
expansion: envFrom comes first, and of two entries the later wins; then env, in which `$(NAME)`
stands for a variable that is set before.  A container gets its values when it starts.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any, Callable

from agent.core.cluster.objects import KEY_REFERENCE, REFERENCE, SECRET
from agent.core.cluster.patch import containers, shown_group
from agent.core.record import evolve, field, record

_REFERENCE = re.compile(r"\$(?:(?P<escaped>\$)|\((?P<name>[^)]*)\))")


@record
class ObjectRef:
    """ConfigMap or Secret of the pod's namespace to which a container refers."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@record
class ObjectData:
    """Content of a ConfigMap or Secret; `problem` is why it is unknown, or "".

    `data` is None if the object does not exist.  `changed` is when it last changed, RFC 3339, "" if
    unknown.
    """

    data: Mapping[str, str] | None = field(default=None, repr=False)
    problem: str = ""
    changed: str = ""


@record
class PodVariable:
    """Value of a variable, None if it is unknown; it may contain a password."""

    name: str
    value: str | None = field(repr=False)
    origin: str


@record
class ContainerEnv:
    """Variables of one container by name; `used` are the objects that it refers to.

    `problems` are what keeps the container from starting, and what is unknown.
    """

    group: str
    container: str
    variables: Mapping[str, PodVariable]
    used: tuple[ObjectRef, ...]
    problems: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        return f"{shown_group(self.group)} {self.container}"


def objects_of(pod_spec: Mapping[str, Any], is_wanted: Callable[[str], bool]) -> tuple[ObjectRef, ...]:
    """Return the ConfigMaps and Secrets that the wanted variables of a pod may come from.

    Those of other variables, such as a password, are not read.
    """
    references = (ref for _, _, container in containers(pod_spec) for ref in _references(container, is_wanted))
    return tuple(dict.fromkeys(references))


def decoded_data(kind: str, data: Mapping[str, str]) -> dict[str, str]:
    """Return the data of an object as text; a value of a Secret that is not base64 becomes ""."""
    return {key: _decoded(value or "") if kind == SECRET else value or "" for key, value in data.items()}


def container_envs(
    pod_spec: Mapping[str, Any], objects: Mapping[ObjectRef, ObjectData], is_wanted: Callable[[str], bool]
) -> tuple[ContainerEnv, ...]:
    """Return the wanted variables of each container, given the objects of `objects_of`."""
    return tuple(_container_env(group, container, objects, is_wanted) for group, _, container in containers(pod_spec))


def _container_env(
    group: str,
    container: Mapping[str, Any],
    objects: Mapping[ObjectRef, ObjectData],
    is_wanted: Callable[[str], bool],
) -> ContainerEnv:
    environment: dict[str, PodVariable] = {}
    problems: dict[str, None] = {}
    for entry in container.get("envFrom") or []:
        for ref, reference in _whole(entry):
            found = objects.get(ref) or ObjectData(problem="not read")
            problems.update(dict.fromkeys(_object_problem(ref, found, reference)))
            for key, value in sorted((found.data or {}).items()):
                name = (entry.get("prefix") or "") + key
                environment[name] = PodVariable(name, value, f"envFrom {ref}")
    for entry in container.get("env") or []:
        name = str(entry["name"])
        variable, problem = _env_variable(entry, environment, objects)
        if problem and is_wanted(name):
            problems[problem] = None
        if variable is not None:
            over = environment.get(name)
            overrides = f", overrides {over.origin.partition(',')[0]}" if over else ""
            environment[name] = evolve(variable, origin=variable.origin + overrides)
    wanted = {name: variable for name, variable in environment.items() if is_wanted(name)}
    used = tuple(dict.fromkeys(_references(container, is_wanted)))
    return ContainerEnv(group, str(container["name"]), wanted, used, tuple(problems))


def _env_variable(
    entry: Mapping[str, Any], environment: Mapping[str, PodVariable], objects: Mapping[ObjectRef, ObjectData]
) -> tuple[PodVariable | None, str]:
    """Return the variable of an env entry, None if it is absent, and a problem or ""."""
    name, value = str(entry["name"]), entry.get("value")
    value_from = entry.get("valueFrom") or {}
    if value or not value_from:
        return PodVariable(name, _expanded(value or "", environment), "env"), ""
    for ref, reference in _keys(entry):
        key = str(reference.get("key") or "")
        origin = f"env {ref} key {key}"
        found = objects.get(ref) or ObjectData(problem="not read")
        if found.problem:
            return PodVariable(name, None, origin), f"{ref}: {found.problem}"
        if found.data is not None and key in found.data:
            return PodVariable(name, found.data[key], origin), ""
        if reference.get("optional"):
            return None, ""
        missing = f"no key {key}" if found.data is not None else "not found"
        return None, f"{ref}: {missing}, so the container cannot start"
    return PodVariable(name, None, f"env {', '.join(sorted(map(str, value_from)))}"), ""


def _object_problem(ref: ObjectRef, found: ObjectData, reference: Mapping[str, Any]) -> Iterator[str]:
    if found.problem:
        yield f"{ref}: {found.problem}"
    elif found.data is None and not reference.get("optional"):
        yield f"{ref}: not found, so the container cannot start"


def _expanded(text: str, environment: Mapping[str, PodVariable]) -> str | None:
    """Return text with the values of `$(NAME)`, or None if one of them is unknown.

    A name that is not set stays as it is, as the variables of services do here: they are unknown.
    """
    values = {name: environment[name].value for name in _names(text) if name in environment}
    if None in values.values():
        return None
    return _REFERENCE.sub(lambda match: match["escaped"] or str(values.get(match["name"], match[0])), text)


def _names(text: str) -> list[str]:
    return [match["name"] for match in _REFERENCE.finditer(text) if match["name"] is not None]


def _references(container: Mapping[str, Any], is_wanted: Callable[[str], bool]) -> Iterator[ObjectRef]:
    env = container.get("env") or []
    expanded = {name for entry in env for name in _names(entry.get("value") or "")}
    for entry in container.get("envFrom") or []:
        yield from (ref for ref, _ in _whole(entry))
    for entry in env:
        if is_wanted(str(entry["name"])) or entry["name"] in expanded:
            yield from (ref for ref, _ in _keys(entry))


def _whole(entry: Mapping[str, Any]) -> Iterator[tuple[ObjectRef, Mapping[str, Any]]]:
    for kind, key in REFERENCE.items():
        reference = entry.get(key)
        if reference:
            yield ObjectRef(kind, str(reference.get("name") or "")), reference


def _keys(entry: Mapping[str, Any]) -> Iterator[tuple[ObjectRef, Mapping[str, Any]]]:
    for kind, key in KEY_REFERENCE.items():
        reference = (entry.get("valueFrom") or {}).get(key)
        if reference:
            yield ObjectRef(kind, str(reference.get("name") or "")), reference


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value).decode("utf-8", "replace")
    except ValueError:
        return ""
