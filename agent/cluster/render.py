"""`cluster render`: the ConfigMap on stdout, or it and the patches as files for kubectl."""

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
from agent.core.cluster.objects import SECRET, Source, read_source, source_of, source_path
from agent.core.cluster.patch import apply_patch, patch_text
from agent.core.settings.workloads import Workload
from agent.edges.files import FileSystem
from agent.edges.kubectl import Kubectl
from agent.errors import AgentError, FileError, UsageError
from agent.node.sources import read_local_file


def render(arguments: argparse.Namespace, inputs: ClusterInputs, kubectl: Kubectl | None) -> int:
    """Without --output the ConfigMaps go to stdout; with it everything goes to files, and stdout names them.

    The patches depend on the containers that a workload has: it is read from the cluster, or from
    --manifest FILE.
    """
    sources = {name: _source(inputs, name, kubectl) for name in inputs.namespaces}
    documents = {name: _yaml(source, inputs) for name, source in sources.items()}
    if not arguments.output:
        if any(source.kind == SECRET for source in sources.values()):
            raise UsageError("the Secret holds the proxy's password; render it to files (0600) with --output DIR")
        sys.stdout.write("---\n".join(documents.values()))
        return 0
    files = {f"{name}-{sources[name].kind.lower()}.yaml": text for name, text in documents.items()}
    commands = [f"kubectl apply -f {shlex.quote(os.path.join(arguments.output, name))}" for name in files]
    for workload, found in _workloads(arguments, inputs, kubectl):
        name = "{}.patch.json".format(str(workload).replace("/", "-"))
        text = _patch(workload, found, sources[workload.namespace])
        if not text:
            print(f"note: {workload} is as wanted already: no patch", file=sys.stderr)
            continue
        files[name] = text
        commands.append(_patch_command(workload, os.path.join(arguments.output, name)))
    _write(arguments.output, files)
    print("\n".join(commands))
    return 0


def _source(inputs: ClusterInputs, namespace: str, kubectl: Kubectl | None) -> Source:
    """With the salt that the cluster has: else each rendering would be a change."""
    before = kubectl.find(source_path(SECRET, namespace)) if kubectl and inputs.intent.credentials else None
    return source_of(inputs.intent, namespace, (read_source(before).salt if before else "") or secrets.token_hex(16))


def _yaml(source: Source, inputs: ClusterInputs) -> str:
    import yaml

    manifest = source.manifest(one for one in inputs.workloads if one.namespace == source.namespace)
    return str(yaml.safe_dump(manifest, sort_keys=False, width=2**20))


def _patch(workload: Workload, found: Mapping[str, Any], source: Source) -> str:
    """The patch as text, empty for none; raises FileError for a manifest that no API server would have taken."""
    try:
        patch = apply_patch(found, source, take_over=False)
        return patch_text(patch) if patch.ops else ""
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"
        raise FileError(f"{workload}: its manifest is not that of a {workload.kind} ({why})") from None


def _workloads(
    arguments: argparse.Namespace, inputs: ClusterInputs, kubectl: Kubectl | None
) -> Sequence[tuple[Workload, Mapping[str, Any]]]:
    given = _given(arguments.manifest)
    absent = [one for one in inputs.workloads if one not in given]
    if absent and kubectl is None:
        hint = "give their manifests: --manifest FILE (kubectl get ... -o yaml writes one), or leave out --offline"
        raise AgentError("the containers of {} are not known".format(", ".join(map(str, absent))), hint=hint)
    read = dict(read_workloads(kubectl, absent)) if kubectl else {}
    return [(one, given.get(one) or read[one]) for one in inputs.workloads]


def _given(paths: Sequence[str]) -> dict[Workload, Mapping[str, Any]]:
    """The workloads in files of manifests, YAML or JSON, one or many documents, or lists of objects."""
    import yaml

    found: dict[Workload, Mapping[str, Any]] = {}
    for path in paths:
        try:
            documents = list(yaml.safe_load_all(read_local_file(path)))
            objects = [item for one in documents for item in _items(one)]
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise FileError("{}: is not YAML: {}".format(path, str(error).replace("\n", " "))) from None
        for one in objects:
            metadata = one.get("metadata")
            if not isinstance(metadata, dict):
                continue
            name = (str(metadata.get("namespace", "default")), str(one.get("kind")), str(metadata.get("name")))
            found[Workload(*name)] = one
    return found


def _items(document: Any) -> list[Mapping[str, Any]]:
    if not isinstance(document, dict):
        return []
    items = document.get("items") if str(document.get("kind", "")).endswith("List") else [document]
    return [one for one in items if isinstance(one, dict)] if isinstance(items, list) else []


def _patch_command(workload: Workload, path: str) -> str:
    return f"kubectl -n {workload.namespace} patch {workload.kind.lower()} {workload.name} --type json --patch-file {shlex.quote(path)}"


def _write(directory: str, texts: Mapping[str, str]) -> None:
    """All of them, each readable for its owner only: one may hold a password."""
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise FileError(f"--output {directory}: the directory cannot be made: {error.strerror}") from None
    files = FileSystem("/")
    for name, text in texts.items():
        files.write(os.path.join(os.path.realpath(directory), name), text.encode("utf-8"), 0o600)
