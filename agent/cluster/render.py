"""`cluster render`: the ConfigMap on stdout, or ConfigMap and patches as files for kubectl."""

from __future__ import annotations

import argparse
import os
import secrets
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from agent.cluster.inputs import ClusterInputs
from agent.cluster.plan import read_workloads
from agent.core.cluster.manifests import workloads_in
from agent.core.cluster.objects import SECRET, Source, read_source, source_of, source_path
from agent.core.cluster.patch import apply_patch, patch_text
from agent.core.settings.workloads import Workload
from agent.edges.files import FileSystem
from agent.edges.kubectl import Kubectl
from agent.errors import AgentError, FileError, UsageError
from agent.node.sources import read_local_file


def render(arguments: argparse.Namespace, inputs: ClusterInputs, kubectl: Kubectl | None) -> int:
    """Print the ConfigMaps, or with --output write all files and print the commands for them.

    The patches depend on the containers of a workload, which is read from the cluster or from
    --manifest FILE.
    """
    sources = {name: _source(inputs, name, kubectl) for name in inputs.namespaces}
    documents = {name: _yaml(source, inputs) for name, source in sources.items()}
    if not arguments.output:
        if any(source.kind == SECRET for source in sources.values()):
            raise UsageError("the Secret contains the proxy's password; write it to a file (0600) with --output DIR")
        sys.stdout.write("---\n".join(documents.values()))
        return 0
    files = {f"{name}-{sources[name].kind.lower()}.yaml": text for name, text in documents.items()}
    commands = [f"kubectl apply -f {shlex.quote(os.path.join(arguments.output, name))}" for name in files]
    for workload, obj in _workloads(arguments, inputs, kubectl):
        name = f"{str(workload).replace('/', '-')}.patch.json"
        text = _patch(obj, sources[workload.namespace])
        if not text:
            print(f"note: {workload} is up to date: no patch", file=sys.stderr)
            continue
        files[name] = text
        commands.append(_patch_command(workload, os.path.join(arguments.output, name)))
    _write(arguments.output, files)
    print("\n".join(commands))
    return 0


def _source(inputs: ClusterInputs, namespace: str, kubectl: Kubectl | None) -> Source:
    """Return the Source with the salt of the cluster.

    A new salt would make each rendering a change.
    """
    before = kubectl.find(source_path(SECRET, namespace), SECRET) if kubectl and inputs.intent.credentials else None
    return source_of(inputs.intent, namespace, (read_source(before).salt if before else "") or secrets.token_hex(16))


def _yaml(source: Source, inputs: ClusterInputs) -> str:
    import yaml

    manifest = source.manifest(workload for workload in inputs.workloads if workload.namespace == source.namespace)
    return str(yaml.safe_dump(manifest, sort_keys=False, width=2**20))


def _patch(obj: Mapping[str, Any], source: Source) -> str:
    """Return the patch as text, or "" if nothing has to change."""
    patch = apply_patch(obj, source, take_over=False)
    return patch_text(patch) if patch.ops else ""


def _workloads(
    arguments: argparse.Namespace, inputs: ClusterInputs, kubectl: Kubectl | None
) -> Sequence[tuple[Workload, Mapping[str, Any]]]:
    manifests: dict[Workload, Mapping[str, Any]] = {}
    for path in arguments.manifest:
        manifests.update(workloads_in(path, read_local_file(path)))
    absent = [workload for workload in inputs.workloads if workload not in manifests]
    if absent and kubectl is None:
        hint = "use --manifest FILE (to write one: kubectl get ... -o yaml), or remove --offline"
        raise AgentError(f"the containers of {', '.join(map(str, absent))} are unknown", hint=hint)
    objects = dict(read_workloads(kubectl, absent)) if kubectl else {}
    return [(workload, manifests.get(workload) or objects[workload]) for workload in inputs.workloads]


def _patch_command(workload: Workload, path: str) -> str:
    resource = f"{workload.kind.lower()} {workload.name}"
    return f"kubectl -n {workload.namespace} patch {resource} --type json --patch-file {shlex.quote(path)}"


def _write(directory: str, texts: Mapping[str, str]) -> None:
    """Write all files, each readable only by its owner: one may contain a password."""
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise FileError(f"--output {directory}: cannot create the directory: {error.strerror}") from None
    files = FileSystem("/")
    for name, text in texts.items():
        files.write(os.path.join(os.path.realpath(directory), name), text.encode("utf-8"), 0o600)
