"""Containers of a pod with their proxy variables, as text and as JSON, without credentials."""

from __future__ import annotations

from typing import Any

from agent.core.cluster.pod_env import PodVariable
from agent.core.noproxy.dialects import nodejs
from agent.core.noproxy.explain import shown_url
from agent.core.record import record

#: Variables of Node.js that decide whether it reads the others.
NODE_JS = (nodejs.SWITCH, "NODE_OPTIONS")


@record
class PodContainers:
    """Containers of a pod that have the same variables and problems."""

    pod: str
    containers: tuple[str, ...]
    variables: tuple[PodVariable, ...]
    problems: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the containers and their variables as text; equal ones share a line."""
        names: dict[tuple[str, str], list[str]] = {}
        for variable in self.variables:
            value = "unknown" if variable.value is None else shown(variable)
            names.setdefault((variable.origin, value), []).append(variable.name)
        head = f"pod {self.pod}: {', '.join(self.containers)}"
        rows = [f"  {', '.join(keys)} ({origin}): {value}" for (origin, value), keys in names.items()]
        return [head, *(rows or ["  no proxy variables"]), *(f"  {problem}" for problem in self.problems)]

    def labels(self) -> dict[str, Any]:
        """Return the keys that tell the objects of --json apart."""
        return {"pod": self.pod, "containers": list(self.containers)}

    def table(self) -> dict[str, Any]:
        """Return the variables as an object for --json."""
        variables = {
            variable.name: {"value": None if variable.value is None else shown(variable), "origin": variable.origin}
            for variable in self.variables
        }
        return {**self.labels(), "variables": variables, "problems": list(self.problems)}


def shown(variable: PodVariable) -> str:
    """Return a value that is safe to print: a proxy's URL without its credentials."""
    value = variable.value or ""
    return value if variable.name.lower() == "no_proxy" or variable.name in NODE_JS else shown_url(value)
