"""`cluster render --inject`: the manifests of the policy, on stdout or as files for kubectl."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterable, Sequence

from agent.cluster.formats import KUSTOMIZE, secret_notes, source_file, yaml_text
from agent.cluster.inputs import ClusterInputs
from agent.cluster.policy import chosen_namespaces
from agent.cluster.render import refuse_secrets, source_for, write_files
from agent.core.cluster.admission import ENABLED, INJECT, Manifest
from agent.core.cluster.ca_policy import CA_NAME, ca_config_map, ca_policy
from agent.core.cluster.objects import DEFAULT_NAMESPACE, MANAGER, OURS, Source
from agent.core.cluster.partial import kustomization
from agent.core.cluster.policy import proxy_policy
from agent.edges.kubectl import Kubectl


def render_policy(arguments: argparse.Namespace, inputs: ClusterInputs, kubectl: Kubectl | None) -> int:
    """Print all manifests, or with --output write them to files and print the commands for them."""
    is_secret = bool(inputs.intent.credentials)
    namespaces = _namespaces(inputs, kubectl) if is_secret or inputs.ca else []
    sources = [source_for(inputs, name, kubectl) for name in (namespaces if is_secret else [DEFAULT_NAMESPACE])]
    files = policy_files(inputs, sources, namespaces)
    if not arguments.output:
        refuse_secrets(sources)
        sys.stdout.write("---\n".join(files.values()))
        return 0
    # On the server's side: kubectl's own annotation would exceed its limit with a bundle of CAs.
    apply = f"kubectl apply --server-side --field-manager={MANAGER}"
    commands = [f"{apply} -f {shlex.quote(os.path.join(arguments.output, name))}" for name in files]
    if arguments.format == KUSTOMIZE:
        files["kustomization.yaml"] = yaml_text(kustomization([*files], []))
        commands = [f"{apply} -k {shlex.quote(arguments.output)}"]
    write_files(arguments.output, {name: text.encode() for name, text in files.items()})
    print("\n".join(commands))
    for note in secret_notes(arguments.output, sources):
        print("note: " + note, file=sys.stderr)
    return 0


def policy_files(inputs: ClusterInputs, sources: Iterable[Source], namespaces: Iterable[str]) -> dict[str, str]:
    """Return file name → YAML, in the order in which they are applied.

    With a CA, each of the namespaces gets its ConfigMap.
    """
    files: dict[str, list[Manifest]] = {source_file(source): [source.manifest([], OURS)] for source in sources}
    files["policy.yaml"] = proxy_policy(inputs.workloads, secret=bool(inputs.intent.credentials))
    if inputs.ca:
        files.update({f"{name}-{CA_NAME}.yaml": [ca_config_map(name, inputs.ca)] for name in namespaces})
        files["ca-policy.yaml"] = ca_policy(inputs.workloads)
    return {name: "---\n".join(map(yaml_text, manifests)) for name, manifests in files.items()}


def _namespaces(inputs: ClusterInputs, kubectl: Kubectl | None) -> Sequence[str]:
    """Return the namespaces that need a Secret or the CA's ConfigMap."""
    if kubectl:
        return [*chosen_namespaces(kubectl, inputs.workloads)]
    objects = " and ".join(
        ["the Secret"] * bool(inputs.intent.credentials) + ["the ConfigMap of the CA"] * bool(inputs.ca)
    )
    print(f"note: each namespace with the label {INJECT}={ENABLED} needs a copy of {objects}", file=sys.stderr)
    return inputs.namespaces
