"""Removal of the fields that `render --format ssa` gave to a workload by server-side apply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.cluster.managed_fields import is_applied_by_us
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import Kubectl, retry


def release_fields(kubectl: Kubectl, workload: Workload, obj: Mapping[str, Any]) -> bool:
    """Apply a manifest without fields, and return True if a workload has fields that we applied.

    The API server then removes those that no other field manager owns.  Raises KubectlError.
    """
    if not is_applied_by_us(obj):
        return False
    metadata = {"name": workload.name, "namespace": workload.namespace}
    bare = {"apiVersion": "apps/v1", "kind": workload.kind, "metadata": metadata}
    retry(lambda: kubectl.apply(bare, f"removing the agent's fields from {workload}", dry_run=False))
    return True
