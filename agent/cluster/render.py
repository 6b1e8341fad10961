"""`cluster render`: the ConfigMap on stdout, or all files of a format, for kubectl, Git or Helm."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.cluster.formats import HELM_VALUES, KUSTOMIZE, PATCH, SSA, RenderInput, render_format, source_file, yaml_text
from agent.cluster.inputs import ClusterInputs
from agent.cluster.plan import read_workloads
from agent.core.cluster.manifests import workloads_in
from agent.core.cluster.objects import SECRET, Source, read_source, source_of, source_path
from agent.core.redact import redact
from agent.core.settings.workloads import Workload
from agent.edges.files import FileSystem
from agent.edges.kubectl import Kubectl
from agent.errors import AgentError, FileError, UsageError
from agent.node.sources import read_local_file


def check_flags(arguments: argparse.Namespace) -> None:
    """Raise UsageError for flags that do not fit together, before anything is queried."""
    chosen = arguments.format
    if arguments.inject:
        _refuse_with_inject(arguments)
    if not arguments.output:
        if chosen:
            raise UsageError(f"--format {chosen}: requires --output DIR")
        for flag, value in (("--manifest", arguments.manifest), ("--take-over", arguments.take_over)):
            if value:
                raise UsageError(f"{flag} requires --output DIR: it is for the workloads")
    if arguments.gitops and chosen != SSA:
        raise UsageError("--gitops: only with --format ssa, whose manifests it annotates")
    if arguments.take_over and chosen in (SSA, HELM_VALUES):
        raise UsageError(f"--take-over: not with --format {chosen}, which cannot remove env; use patch or kustomize")
    if arguments.manifest and chosen == HELM_VALUES:
        raise UsageError("--manifest: not with --format helm-values, which needs no workloads")


def _refuse_with_inject(arguments: argparse.Namespace) -> None:
    if arguments.format not in ("", SSA, KUSTOMIZE):
        raise UsageError(f"--format {arguments.format}: not with --inject, whose files are for {SSA} or {KUSTOMIZE}")
    for flag in ("--gitops", "--manifest", "--take-over", "--namespace"):
        if getattr(arguments, flag.strip("-").replace("-", "_")):
            raise UsageError(f"{flag}: not with --inject, which writes a policy for the whole cluster")


def render(arguments: argparse.Namespace, inputs: ClusterInputs, kubectl: Kubectl | None) -> int:
    """Print the ConfigMaps, or with --output write all files and print the commands for them.

    What the containers get depends on the workload, which is read from --manifest FILE or from the
    cluster.  Raises AgentError.
    """
    sources = {name: source_for(inputs, name, kubectl) for name in inputs.namespaces}
    manifests = {name: _manifest(source, inputs) for name, source in sources.items()}
    if not arguments.output:
        refuse_secrets(sources.values())
        sys.stdout.write("---\n".join(map(yaml_text, manifests.values())))
        return 0
    texts = {path: read_local_file(path) for path in arguments.manifest}
    given = RenderInput(
        arguments.output,
        {name: (source, source_file(source), manifests[name]) for name, source in sources.items()},
        lambda: _workloads(arguments, texts, inputs, kubectl),
        _named(texts),
        gitops=arguments.gitops,
        take_over=arguments.take_over,
    )
    rendering = render_format(arguments.format or PATCH, given)
    write_files(arguments.output, rendering.files)
    print("\n".join(rendering.commands))
    for note in rendering.notes:
        print("note: " + redact(note), file=sys.stderr)
    return 0


def refuse_secrets(sources: Iterable[Source]) -> None:
    """Raise UsageError if one of the sources must not be printed."""
    if any(source.kind == SECRET for source in sources):
        raise UsageError("the Secret contains the proxy's password; write it to a file (0600) with --output DIR")


def source_for(inputs: ClusterInputs, namespace: str, kubectl: Kubectl | None) -> Source:
    """Return the Source with the salt of the cluster.

    A new salt would make each rendering a change.
    """
    before = kubectl.find(source_path(SECRET, namespace), SECRET) if kubectl and inputs.intent.credentials else None
    return source_of(inputs.intent, namespace, (read_source(before).salt if before else "") or secrets.token_hex(16))


def _manifest(source: Source, inputs: ClusterInputs) -> dict[str, Any]:
    return source.manifest(workload for workload in inputs.workloads if workload.namespace == source.namespace)


def _workloads(
    arguments: argparse.Namespace, texts: Mapping[str, bytes], inputs: ClusterInputs, kubectl: Kubectl | None
) -> Sequence[tuple[Workload, Mapping[str, Any]]]:
    manifests: dict[Workload, Mapping[str, Any]] = {}
    for path, content in texts.items():
        manifests.update(workloads_in(path, content))
    absent = [workload for workload in inputs.workloads if workload not in manifests]
    if absent and (kubectl is None or arguments.format == KUSTOMIZE):
        hint = "use --manifest FILE (to write one: kubectl get ... -o yaml), or remove --offline"
        hint = "name their manifests with --manifest FILE, or limit cluster.workloads" if kubectl else hint
        raise AgentError(f"the containers of {', '.join(map(str, absent))} are unknown", hint=hint)
    objects = dict(read_workloads(kubectl, absent)) if kubectl else {}
    return [(workload, manifests.get(workload) or objects[workload]) for workload in inputs.workloads]


def _named(texts: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files of --manifest by the names that their copies get.  Raises UsageError."""
    names: dict[str, bytes] = {}
    for number, (path, content) in enumerate(texts.items(), start=1):
        base = os.path.basename(path)
        name = base if base.endswith((".yaml", ".yml", ".json")) else f"manifest-{number}.yaml"
        if name in names:
            raise UsageError(f"--manifest {path}: another one has the name {name}; rename one of them")
        names[name] = content
    return names


def write_files(directory: str, files: Mapping[str, bytes]) -> None:
    """Write all files, each readable only by its owner: one may contain a password."""
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise FileError(f"--output {directory}: cannot create the directory: {error.strerror}") from None
    file_system = FileSystem("/")
    for name, content in files.items():
        file_system.write(os.path.join(os.path.realpath(directory), name), content, 0o600)
