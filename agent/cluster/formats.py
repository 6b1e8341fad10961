"""Files of `cluster render --output` in each format, and the commands that use them."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, Callable

from agent.core.cluster.helm_values import charts_of
from agent.core.cluster.objects import MANAGER, SECRET, Source
from agent.core.cluster.override_notes import exclusion_notes, override_notes
from agent.core.cluster.partial import GITOPS, PartialManifest, kustomization, partial_manifest
from agent.core.cluster.patch import apply_patch, patch_text
from agent.core.record import record
from agent.core.settings.workloads import Workload
from agent.errors import AgentError

PATCH, SSA, KUSTOMIZE, HELM_VALUES = ("patch", "ssa", "kustomize", "helm-values")
#: Text that some reader of YAML takes for a number or for a Boolean.
_LITERAL = re.compile(r"[-+.0-9]|[yYnN]\Z")
_MANIFEST_HINT = (
    "use --manifest FILE with the manifests of your repository;"
    " for add-ons that EKS or Helm manages, use --format ssa or helm-values"
)


@record
class RenderInput:
    """Input of a format.

    `sources`: the ConfigMap or Secret of each namespace, with its file name and its manifest.
    `workloads`: the objects, read when they are needed.  `manifests`: the files of --manifest by
    the name that they get in the directory.
    """

    directory: str
    sources: Mapping[str, tuple[Source, str, Mapping[str, Any]]]
    workloads: Callable[[], Iterable[tuple[Workload, Mapping[str, Any]]]]
    manifests: Mapping[str, bytes]
    gitops: str = ""
    take_over: bool = False

    def source(self, workload: Workload) -> Source:
        return self.sources[workload.namespace][0]

    def path(self, name: str) -> str:
        """Return the quoted path of a file, for a command."""
        return shlex.quote(os.path.join(self.directory, name))


@record
class Rendering:
    """Files by name, commands that use them, and notes for the operator."""

    files: Mapping[str, bytes]
    commands: tuple[str, ...]
    notes: tuple[str, ...] = ()


def render_format(name: str, given: RenderInput) -> Rendering:
    """Return the files of a format.  Raises AgentError."""
    rendering = {PATCH: _patches, SSA: _server_side, KUSTOMIZE: _kustomize, HELM_VALUES: _helm}[name](given)
    notes = secret_notes(given.directory, (source for source, _, _ in given.sources.values()))
    return Rendering(rendering.files, rendering.commands, (*rendering.notes, *notes))


def source_file(source: Source) -> str:
    """Return the name of the file of a ConfigMap or Secret."""
    return f"{source.namespace}-{source.kind.lower()}.yaml"


def secret_notes(directory: str, sources: Iterable[Source]) -> list[str]:
    """Return a note on each file that has the password."""
    paths = [os.path.join(directory, source_file(source)) for source in sources if source.kind == SECRET]
    return [f"{path} contains the proxy's password; do not commit it in plain text" for path in paths]


def yaml_text(table: Mapping[str, Any]) -> str:
    """Return an object as YAML, with its keys in their order."""
    import yaml

    class Plain(yaml.SafeDumper):
        """Dumper that writes equal parts out, without aliases."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        # The YAML of Go takes 12e4 for a number and y for true, unlike that of Python.
        style = "'" if _LITERAL.match(text) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else style)

    Plain.add_representer(str, quoted)
    return str(yaml.dump(table, Dumper=Plain, sort_keys=False, width=2**20))


def _sources(given: RenderInput) -> dict[str, bytes]:
    return {name: yaml_text(manifest).encode() for _, name, manifest in given.sources.values()}


def _patches(given: RenderInput) -> Rendering:
    """Return JSON patches by index, for kubectl: they also keep the operator's envFrom."""
    files, notes = _sources(given), []
    commands = [f"kubectl apply -f {given.path(name)}" for name in files]
    for workload, obj in given.workloads():
        patch = apply_patch(obj, given.source(workload), take_over=given.take_over)
        notes += [f"{workload}: {note}" for note in override_notes(patch.env_overrides)]
        if not patch.ops:
            notes.append(f"{workload} is up to date: no patch")
            continue
        name = f"{_stem(workload)}.patch.json"
        files[name] = patch_text(patch).encode()
        resource = f"{workload.kind.lower()} {workload.name}"
        flags = f"--type json --patch-file {given.path(name)}"
        commands.append(f"kubectl -n {workload.namespace} patch {resource} {flags}")
    return Rendering(files, tuple(commands), tuple(notes))


def _server_side(given: RenderInput) -> Rendering:
    """Return partial manifests for server-side apply by the agent's field manager."""
    files, notes = _sources(given), []
    annotations = GITOPS[given.gitops] if given.gitops else {}
    remedy = "server-side apply cannot remove it: use kubectl set env, or --format patch --take-over"
    for workload, obj in given.workloads():
        partial = partial_manifest(obj, given.source(workload), annotations=annotations)
        notes += _notes(workload, partial, remedy)
        if partial.manifest:
            files[f"{_stem(workload)}.yaml"] = yaml_text(partial.manifest).encode()
    flags = f"--server-side --field-manager={MANAGER} --validate=false"
    command = f"kubectl apply {flags} {' '.join(f'-f {given.path(name)}' for name in files)}"
    return Rendering(files, (command,), tuple(notes))


def _kustomize(given: RenderInput) -> Rendering:
    """Return a kustomization of the ConfigMap, the given manifests, and a patch for each."""
    if not given.manifests:
        raise AgentError("--format kustomize: patches need the manifests of the workloads", hint=_MANIFEST_HINT)
    files, notes, patches = _sources(given), [], []
    resources = [*files, *given.manifests]
    remedy = "to remove it, use --take-over"
    for workload, obj in given.workloads():
        if "resourceVersion" in obj["metadata"]:
            notes.append(f"{workload}: the manifest is an export of a cluster; use the one of your repository")
        partial = partial_manifest(obj, given.source(workload), take_over=given.take_over)
        notes += [] if given.take_over else _notes(workload, partial, remedy)
        if partial.manifest:
            patches.append(f"{_stem(workload)}.patch.yaml")
            files[patches[-1]] = yaml_text(_like(partial.manifest, obj)).encode()
    clash = sorted({*files, "kustomization.yaml"} & set(given.manifests))
    if clash:
        raise AgentError(f"--manifest {clash[0]}: render writes a file of this name; rename yours")
    files.update(given.manifests)
    files["kustomization.yaml"] = yaml_text(kustomization(resources, patches)).encode()
    return Rendering(files, (f"kubectl apply -k {shlex.quote(given.directory)}",), tuple(notes))


def _like(manifest: Mapping[str, Any], obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return the patch with a namespace only if its target has one: kustomize compares both."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key in obj["metadata"]}
    return {**manifest, "metadata": metadata}


def _helm(given: RenderInput) -> Rendering:
    """Return values of charts that take env or envFrom, for each namespace."""
    files, notes = _sources(given), []
    commands = [f"kubectl apply -f {given.path(name)}" for name in files]
    for namespace, (source, _, _) in given.sources.items():
        for chart in charts_of(source):
            name = f"{namespace}-{chart.name}.values.yaml"
            if chart.values is None:
                notes.append(f"{chart.name}: no values, because the chart would show the password; {_POLICY}")
                continue
            files[name] = yaml_text(chart.values).encode()
            flags = f"--namespace {namespace} --reuse-values --values {given.path(name)}"
            commands.append(f"helm upgrade RELEASE {chart.name} {flags}")
            notes.append(f"{chart.name}: {chart.note}")
    return Rendering(files, tuple(commands), tuple(dict.fromkeys(notes)))


_POLICY = "name its Deployment in cluster.workloads"


def _notes(workload: Workload, partial: PartialManifest, remedy: str) -> list[str]:
    notes = [f"{workload}: {note}" for note in exclusion_notes(partial.env_overrides, remedy)]
    return notes if partial.manifest else [*notes, f"{workload}: no container is left, so it has no manifest"]


def _stem(workload: Workload) -> str:
    return str(workload).replace("/", "-")
