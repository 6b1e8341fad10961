"""Steps of `cluster apply`, as values: each with what the API server's dry run changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.cluster.admission import name_of
from agent.core.cluster.diff import FieldChange, changes
from agent.core.cluster.mode import InjectionMode
from agent.core.cluster.objects import Source, read_source
from agent.core.record import field, record
from agent.core.settings.workloads import Workload

UP_TO_DATE = "nothing to do: the cluster is up to date"
#: Changes of a policy, whose expressions would fill a page.
RULES_ADDED = FieldChange("", "rules", None, "as printed by cluster render --inject")
RULES_CHANGED = FieldChange("", "rules", "others", "as printed by cluster render --inject")
RULES_REMOVED = FieldChange("", "rules", "of an earlier apply", None)


@record
class Step:
    """Changes of one object, perhaps none, and notes for the operator."""

    name: str
    verb: str
    changes: tuple[FieldChange, ...]
    notes: tuple[str, ...] = ()


@record
class SourceStep:
    """ConfigMap or Secret to write."""

    source: Source
    manifest: Mapping[str, Any] = field(repr=False)
    step: Step = field(kw_only=True)


@record
class PolicyStep:
    """Policy, binding, or ConfigMap of the CA to write."""

    manifest: Mapping[str, Any]
    step: Step


@record
class ClusterPlan:
    """All steps in their order.

    `policies` are the policy and its bindings, `ca` the CA's ConfigMaps and its policy.  `surplus`
    are our ConfigMaps and Secrets that nothing needs, and `surplus_policies` our policy
    and its bindings where the templates have envFrom; both are deleted.
    """

    mode: InjectionMode
    sources: tuple[SourceStep, ...]
    workloads: tuple[tuple[Workload, Step], ...]
    surplus: tuple[tuple[str, Mapping[str, Any]], ...]
    policies: tuple[PolicyStep, ...] = ()
    ca: tuple[PolicyStep, ...] = ()
    surplus_policies: tuple[tuple[str, Mapping[str, Any]], ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        deletions = [Step(name_of(obj), "delete", (RULES_REMOVED,)) for _, obj in self.surplus_policies]
        deletions += [Step(str(read_source(obj)), "delete", changes(obj, None)) for _, obj in self.surplus]
        writes = [step.step for step in self.sources] + [step.step for step in (*self.policies, *self.ca)]
        return (*writes, *(step for _, step in self.workloads), *deletions)

    @property
    def pending(self) -> bool:
        return any(step.changes for step in self.steps)

    def source(self, namespace: str) -> Source:
        return next(step.source for step in self.sources if step.source.namespace == namespace)
