"""Partial manifests: only the agent's fields of a workload, with its containers by name.

They are for server-side apply and for kustomize.  `env` is a list keyed by name, so entries of the
operator stay whatever they are; envFrom is an atomic list, which would be replaced.  Each variable
refers to its key of the ConfigMap or Secret, so the manifest has no value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.cluster.objects import CHECKSUM, KEY_REFERENCE, NAME, VARIABLES, Source
from agent.core.cluster.patch import EnvOverride, containers, env_overrides, template_spec
from agent.core.record import record

#: Annotations of a partial manifest for the tools that apply it from Git.  Without the first ones
#: it would count as the complete object; without the others, the add-on would be deleted when its
#: file is.  Sources: "Server-side apply" and "Prune" of Flux's Kustomization; "Sync options" of
#: Argo CD.
GITOPS: Mapping[str, Mapping[str, str]] = {
    "flux": {"kustomize.toolkit.fluxcd.io/ssa": "Merge", "kustomize.toolkit.fluxcd.io/prune": "disabled"},
    "argocd": {
        "argocd.argoproj.io/sync-options": "ServerSideApply=true,Validate=false,Prune=false,Delete=false",
    },
}


@record
class PartialManifest:
    """Manifest, None if no container is left, and the containers' own env with another value.

    A container with such env is not in the manifest, unless the manifest removes the env.
    """

    manifest: Mapping[str, Any] | None
    env_overrides: tuple[EnvOverride, ...] = ()


def partial_manifest(
    obj: Mapping[str, Any], source: Source, *, annotations: Mapping[str, str] | None = None, take_over: bool = False
) -> PartialManifest:
    """Return the manifest that gives the containers of a workload the variables of `source`.

    With `take_over` a null removes each field of the containers' own entries: a merge patch of
    kustomize does this, server-side apply does not.
    """
    spec = template_spec(obj)
    overrides = env_overrides(spec, source.kind)
    skipped = set() if take_over else {(override.group, override.container) for override in overrides}
    groups: dict[str, list[Any]] = {}
    for group, _, container in containers(spec):
        if (group, container["name"]) not in skipped:
            env = [_entry(name, source.kind, container, take_over=take_over) for name in VARIABLES]
            groups.setdefault(group, []).append({"name": container["name"], "env": env})
    if not groups:
        return PartialManifest(None, overrides)
    metadata = {"name": obj["metadata"]["name"], "namespace": source.namespace}
    metadata.update({"annotations": dict(annotations)} if annotations else {})
    template = {"metadata": {"annotations": {CHECKSUM: source.checksum}}, "spec": groups}
    manifest = {"apiVersion": "apps/v1", "kind": obj["kind"], "metadata": metadata, "spec": {"template": template}}
    return PartialManifest(manifest, overrides)


def _entry(name: str, kind: str, container: Mapping[str, Any], *, take_over: bool) -> dict[str, Any]:
    """Return the env entry of a variable; with `take_over`, nulls remove what it has today."""
    reference = KEY_REFERENCE[kind]
    entry: dict[str, Any] = {"name": name, "valueFrom": {reference: {"name": NAME, "key": name}}}
    own = next((item for item in reversed(container.get("env") or []) if item.get("name") == name), None)
    if own is None or not take_over:
        return entry
    before = own.get("valueFrom") or {}
    removed = {key: None for key in before if key != reference}
    entry["valueFrom"].update(removed)
    entry["valueFrom"][reference].update({"optional": None} if "optional" in (before.get(reference) or {}) else {})
    return {**entry, **({"value": None} if "value" in own else {})}


def kustomization(resources: list[str], patches: list[str]) -> dict[str, Any]:
    """Return kustomization.yaml.

    The key patchesStrategicMerge is the only one that kustomize 2.0.3 (in kubectl 1.14 to 1.20) and
    5.7 (in kubectl 1.35) read alike; the newer ones warn that it is deprecated.
    """
    table: dict[str, Any] = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    table["resources"] = resources
    return {**table, **({"patchesStrategicMerge": patches} if patches else {})}
