"""Decision between the policy of the API server and envFrom in templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.cluster.admission import API_VERSION, POLICY_KIND
from agent.core.record import record

#: Values of cluster.injection; a decision is one of the last two.
AUTO, POLICY, ENV_FROM = "auto", "policy", "envFrom"
#: API path of the resources that an API server has in the policy's group and version.
RESOURCES_PATH = f"/apis/{API_VERSION}"
NOT_SERVED = f"the API server does not serve {POLICY_KIND} ({API_VERSION}), which Kubernetes 1.36 does"


@record
class InjectionMode:
    """Decision for POLICY or ENV_FROM.

    It has a reason where the setting is "auto" and nothing is applied yet.  `is_tentative`: the
    policy has to be proved, and envFrom is the alternative.
    """

    mode: str
    reason: str = ""
    is_tentative: bool = False

    @property
    def is_policy(self) -> bool:
        return self.mode == POLICY

    def __str__(self) -> str:
        return f"cluster.injection is {self.mode}: {self.reason}"


def choose_mode(setting: str, *, has_env_from: bool, has_policy: bool, problem: str) -> InjectionMode:
    """Return the decision.

    `has_env_from`: apply has changed a template.  `has_policy`: our policy exists.  `problem`: why
    the policy cannot be used, or "".  Raises ValueError with the problem if the setting requires
    the policy.
    """
    if setting == ENV_FROM:
        return InjectionMode(ENV_FROM)
    if setting == POLICY:
        if problem:
            raise ValueError(problem)
        return InjectionMode(POLICY)
    if has_env_from:
        return InjectionMode(ENV_FROM)
    if problem:
        return InjectionMode(ENV_FROM, problem)
    if has_policy:
        return InjectionMode(POLICY)
    return InjectionMode(POLICY, "the API server supports it (not proved yet)", is_tentative=True)


def serves_policies(resources: Mapping[str, Any] | None) -> bool:
    """Return True if a list of resources (APIResourceList) has policies that change objects."""
    return any(
        resource.get("name") == "mutatingadmissionpolicies" for resource in (resources or {}).get("resources", [])
    )
